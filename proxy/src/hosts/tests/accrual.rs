//! Linkerd's breaker for single hosts.

use super::*;
use crate::config::FailureAccrual;

#[test]
fn a_host_rests_and_is_probed_once() {
    let mut rig = Rig::new(&Cluster {
        failure_accrual: Some(FailureAccrual {
            max_failures: 3,
            min_penalty: ms(1000),
            max_penalty: ms(60_000),
            jitter_ratio_milli: 0,
        }),
        ..cluster(2)
    });
    rig.put(0, &[500, 503, 200, 500, 500]);
    assert_eq!(rig.spread(2, 10), [5, 5], "a success breaks the run");
    rig.put(0, &[500]);
    assert_eq!(rig.spread(2, 10), [0, 10]);
    rig.put(0, &[200]);
    assert_eq!(rig.spread(2, 10), [0, 10], "answers during the rest are ignored");
    rig.run_to(1000);
    assert_eq!(rig.spread(2, 10)[0], 1, "one request probes the host");
    rig.put(0, &[503]);
    rig.run_to(2999);
    assert_eq!(rig.spread(2, 10), [0, 10], "the second rest is twice as long");
    rig.run_to(3000);
    assert_eq!(rig.spread(2, 10)[0], 1);
    rig.put(0, &[200]);
    assert_eq!(rig.spread(2, 10), [5, 5]);
}

#[test]
fn when_all_rest_there_is_no_host() {
    let accrual =
        FailureAccrual { max_failures: 1, min_penalty: ms(1000), max_penalty: ms(60_000), jitter_ratio_milli: 0 };
    let mut rig = Rig::new(&Cluster { failure_accrual: Some(accrual), ..cluster(2) });
    rig.put(0, &[500]);
    rig.put(1, &[500]);
    assert_eq!(rig.pick(), None);
}
