//! Active checks: thresholds, intervals, warming up.

use super::*;
use crate::HealthResult::{self, Failed, Status};
use crate::config::HealthCheck;

fn checked(count: usize) -> Rig {
    let check = HealthCheck {
        timeout: ms(200),
        interval: ms(300),
        unhealthy_threshold: 3,
        healthy_threshold: 2,
        path: "/healthz".to_owned(),
        no_traffic_interval: None,
    };
    Rig::new(&Cluster { health_check: Some(check), ..cluster(count) })
}

/// Answers the check that is waiting; then the next one begins.
fn answer(rig: &mut Rig, result: HealthResult) {
    let host = rig.checks.pop().unwrap();
    rig.call(|hosts, cx| hosts.on_health_checked(cx, host, result));
    let next = rig.now.as_nanos() / 1_000_000 + 300;
    rig.run_to(next);
}

fn is_healthy(rig: &Rig) -> bool {
    rig.hosts.counter("membership_healthy") == Some(1)
}

#[test]
fn the_thresholds_count_what_envoy_counts() {
    let mut rig = checked(1);
    rig.hosts.connection_opened();
    // Each answer, and whether the host is healthy after it.
    let table = [
        (Status(200), true),
        (Failed, true),
        (Failed, true),
        (Status(200), true),
        (Failed, true),
        (Failed, true),
        (Failed, false),
        (Status(200), false),
        (Failed, false),
        (Status(200), false),
        (Status(200), true),
        (Status(503), false),
        (Status(200), false),
        (Status(200), true),
        (Status(204), false),
    ];
    for (index, (result, healthy)) in table.into_iter().enumerate() {
        answer(&mut rig, result);
        assert_eq!(is_healthy(&rig), healthy, "answer {index}");
    }
}

#[test]
fn a_first_failure_leaves_the_threshold_standing() {
    let mut rig = checked(1);
    rig.hosts.connection_opened();
    answer(&mut rig, Failed);
    answer(&mut rig, Status(200));
    assert!(!is_healthy(&rig));
    answer(&mut rig, Status(200));
    assert!(is_healthy(&rig));
}

#[test]
fn without_traffic_checks_come_every_minute() {
    let mut rig = checked(1);
    let host = rig.checks.pop().unwrap();
    rig.call(|hosts, cx| hosts.on_health_checked(cx, host, Status(200)));
    // Traffic that comes later does not shorten the wait.
    rig.hosts.connection_opened();
    rig.run_to(59_999);
    assert!(rig.checks.is_empty());
    rig.run_to(60_000);
    assert_eq!(rig.checks.len(), 1);
}

#[test]
fn silence_counts_as_a_failure() {
    let mut rig = checked(1);
    rig.hosts.connection_opened();
    answer(&mut rig, Status(200));
    // Three timeouts of 200 ms with 300 ms between them.
    rig.run_to(300 + 200 + 500 + 500 - 1);
    assert!(is_healthy(&rig));
    rig.run_to(300 + 200 + 500 + 500);
    assert!(!is_healthy(&rig));
    assert_eq!(rig.stat(Counter::HealthCheckNetworkFailure), 3);
}

#[test]
fn the_first_round_is_published_without_merging() {
    let mut rig = checked(3);
    assert_eq!(rig.spread(3, 6), [2, 2, 2], "panic: no host has passed a check");
    for host in 0..3 {
        assert!(rig.hosts.is_warming());
        rig.call(|hosts, cx| hosts.on_health_checked(cx, HostId::new(host), Status(if host == 2 { 503 } else { 200 })));
    }
    assert!(!rig.hosts.is_warming());
    assert_eq!(rig.spread(3, 6), [3, 3, 0]);
}

#[test]
fn a_response_may_take_its_host_out() {
    let mut rig = checked(3);
    for host in 0..3 {
        rig.call(|hosts, cx| hosts.on_health_checked(cx, HostId::new(host), Status(200)));
    }
    rig.run_to(5000);
    rig.call(|hosts, cx| hosts.fail_immediately(cx, HostId::new(1)));
    assert_eq!(rig.spread(3, 6), [3, 0, 3]);
    assert_eq!(rig.hosts.counter("membership_excluded"), Some(1));
}

#[test]
fn a_passed_check_ends_an_ejection() {
    let mut cluster = cluster(1);
    cluster.outlier_detection = Some(super::outlier::eager(100));
    cluster.health_check = Some(HealthCheck {
        timeout: ms(200),
        interval: ms(300),
        unhealthy_threshold: 1,
        healthy_threshold: 1,
        path: "/".to_owned(),
        no_traffic_interval: None,
    });
    let mut rig = Rig::new(&cluster);
    rig.hosts.connection_opened();
    answer(&mut rig, Status(200));
    rig.put(0, &[503]);
    assert!(rig.is_ejected(0));
    answer(&mut rig, Status(200));
    assert!(!rig.is_ejected(0));
}
