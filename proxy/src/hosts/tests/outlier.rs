//! Outlier detection by the numbers of the specification, and against a naive model.

use proptest::prelude::*;

use super::*;
use crate::config::{FailurePercentage, OutlierDetection, SuccessRate};
use crate::hosts::LocalOrigin;

/// Ejects at the first 5xx, looks every 500 ms, ejects for 300 ms, publishes as usual.
pub(super) fn eager(max_ejection_percent: u32) -> OutlierDetection {
    OutlierDetection {
        consecutive_5xx: Some(1),
        interval: Some(ms(500)),
        base_ejection_time: Some(ms(300)),
        max_ejection_percent: Some(max_ejection_percent),
        ..OutlierDetection::default()
    }
}

fn rig(hosts: usize, detection: OutlierDetection) -> Rig {
    let mut cluster = cluster(hosts);
    cluster.common_lb.update_merge_window = Some(Nanos::ZERO);
    Rig::new(&Cluster { outlier_detection: Some(detection), ..cluster })
}

#[test]
fn the_share_of_ejected_hosts_is_limited() {
    // Hosts, percent, whether one is always ejected, hosts that fail, hosts that are ejected.
    let table =
        [(3, 10, false, 1, 0), (3, 10, true, 3, 1), (4, 50, false, 3, 2), (10, 10, false, 3, 1), (2, 0, false, 1, 0)];
    for (hosts, percent, always, failing, ejected) in table {
        let mut rig = rig(hosts, OutlierDetection { always_eject_one_host: always, ..eager(percent) });
        for host in 0..failing {
            rig.put(host, &[500]);
        }
        assert_eq!(rig.hosts.ejections_active(), ejected, "{hosts} hosts at {percent} %");
        assert_eq!(rig.stat(Counter::EjectionsOverflow), u64::from(failing - ejected));
    }
}

#[test]
fn a_run_counts_anew_after_it_was_detected() {
    let mut rig = rig(3, OutlierDetection { consecutive_5xx: Some(3), ..eager(10) });
    rig.put(0, &[500; 9]);
    assert_eq!(rig.stat(Counter::DetectedConsecutive5xx), 3);
    assert_eq!(rig.stat(Counter::EjectionsConsecutive5xx), 3);
    assert_eq!(rig.stat(Counter::EjectionsTotal), 0);
}

#[test]
fn gateway_failures_have_their_own_run() {
    let detection = OutlierDetection {
        consecutive_5xx: Some(10),
        consecutive_gateway_failure: Some(3),
        enforcing_consecutive_gateway_failure: Some(100),
        ..eager(100)
    };
    let mut one = rig(1, detection.clone());
    one.put(0, &[503, 504, 500, 503, 502]);
    assert!(!one.is_ejected(0));
    one.put(0, &[502]);
    assert!(one.is_ejected(0));
    // By default they are detected, but not enforced.
    let mut other = rig(1, OutlierDetection { enforcing_consecutive_gateway_failure: None, ..detection });
    other.put(0, &[503; 3]);
    assert!(!other.is_ejected(0));
    assert_eq!(other.stat(Counter::DetectedConsecutiveGatewayFailure), 1);
}

#[test]
fn split_mode_counts_connections_apart() {
    use LocalOrigin::{Connected, Failed, Timeout};
    let detection = OutlierDetection {
        split_external_local_origin_errors: true,
        consecutive_local_origin_failure: Some(2),
        ..eager(100)
    };
    let table: [(&[LocalOrigin], bool); 4] = [
        (&[Failed, Failed], true),
        (&[Failed, Connected, Failed], false),
        (&[Connected, Timeout(504), Connected, Timeout(504)], false),
        (&[Timeout(204), Timeout(504)], true),
    ];
    for (events, ejected) in table {
        let mut rig = rig(1, detection.clone());
        for event in events {
            rig.call(|hosts, cx| hosts.put_local(cx, HostId::new(0), *event));
        }
        assert_eq!(rig.is_ejected(0), ejected, "{events:?}");
    }
    // Otherwise a failure is a 503, and a timeout what the client sees: a 204 is a success.
    let unsplit = OutlierDetection { consecutive_5xx: Some(2), ..eager(100) };
    for (events, ejected) in [([Failed, Timeout(504)], true), ([Failed, Timeout(204)], false)] {
        let mut rig = rig(1, unsplit.clone());
        for event in events {
            rig.call(|hosts, cx| hosts.put_local(cx, HostId::new(0), event));
        }
        assert_eq!(rig.is_ejected(0), ejected, "{events:?}");
    }
}

#[test]
fn ejections_end_at_ticks_and_grow() {
    let mut rig = rig(1, eager(100));
    rig.run_to(100);
    rig.put(0, &[500]);
    rig.run_to(499);
    assert!(rig.is_ejected(0));
    rig.run_to(500);
    assert!(!rig.is_ejected(0), "300 ms have passed at the tick");
    // Before a healthy interval has passed, the next ejection lasts twice as long: 600 ms, until the tick at 1500.
    rig.run_to(705);
    rig.put(0, &[500]);
    rig.run_to(1000);
    assert!(rig.is_ejected(0));
    rig.run_to(1500);
    assert!(!rig.is_ejected(0));
    // Two healthy intervals make it forget both.
    rig.run_to(2600);
    rig.put(0, &[500]);
    rig.run_to(3000);
    assert!(!rig.is_ejected(0));
}

#[test]
fn changes_are_merged_after_the_first() {
    let mut cluster = cluster(4);
    cluster.outlier_detection = Some(OutlierDetection { base_ejection_time: Some(ms(60_000)), ..eager(100) });
    let mut rig = Rig::new(&cluster);
    rig.run_to(2000);
    rig.put(0, &[500]);
    assert_eq!(rig.spread(4, 9)[0], 0, "the first change is seen at once");
    rig.run_to(2300);
    rig.put(1, &[500]);
    rig.run_to(3299);
    assert!(rig.spread(4, 9)[1] > 0, "the second waits for a second");
    rig.run_to(3300);
    assert_eq!(rig.spread(4, 9)[1], 0);
}

#[test]
fn rates_are_compared_at_ticks() {
    let rates = |stdev_factor, threshold| OutlierDetection {
        consecutive_5xx: Some(1000),
        success_rate: SuccessRate { stdev_factor: Some(stdev_factor), ..SuccessRate::default() },
        failure_percentage: FailurePercentage {
            threshold: Some(threshold),
            enforcing: Some(100),
            ..FailurePercentage::default()
        },
        ..eager(100)
    };
    // Factor, threshold of the failure percentage, requests of each host, whether the host that fails is ejected.
    let table = [
        (1900, 101, 110, true),
        (2000, 101, 110, false),
        (1900, 101, 90, false),
        (2000, 100, 60, true),
        (2000, 100, 40, false),
    ];
    for (factor, threshold, requests, ejected) in table {
        let mut rig = rig(5, rates(factor, threshold));
        for host in 0..5 {
            for _ in 0..requests {
                rig.put(host, &[if host == 3 { 500 } else { 200 }]);
            }
        }
        rig.run_to(500);
        assert_eq!(rig.is_ejected(3), ejected, "factor {factor}, threshold {threshold}, {requests} requests");
        assert_eq!(rig.hosts.ejections_active(), u32::from(ejected));
    }
}

#[test]
fn a_host_that_leaves_is_forgotten() {
    let mut rig = rig(2, eager(100));
    rig.put(0, &[500]);
    assert_eq!(rig.hosts.ejections_active(), 1);
    rig.call(|hosts, cx| hosts.set_hosts(cx, &[host(1)]));
    assert_eq!(rig.hosts.ejections_active(), 0);
    rig.call(|hosts, cx| hosts.set_hosts(cx, &[host(0), host(1)]));
    assert!(!rig.is_ejected(0));
    assert_eq!(rig.spread(2, 4), [2, 2]);
}

/// The machine again, slow and obvious: it keeps all that ever happened and looks back.
#[derive(Default)]
struct Naive {
    /// Status by host and time; a reset of both runs is a 0.
    log: Vec<(u32, u16)>,
    /// When each ejected host was ejected.
    ejected: Vec<(u32, u64)>,
    /// Times of the ends of ejections by host.
    ended: Vec<(u32, u64)>,
    multiplier: [u64; 4],
    detections: u64,
}

impl Naive {
    const HOSTS: u32 = 4;
    const RUN: usize = 3;

    fn put(&mut self, now: u64, host: u32, code: u16) {
        self.log.push((host, code));
        let run = self.log.iter().rev().filter(|(of, _)| *of == host).take_while(|(_, code)| *code >= 500).count();
        let is_ejected = self.ejected.iter().any(|(of, _)| *of == host);
        if run == Self::RUN && !is_ejected {
            self.detections += 1;
            self.log.push((host, 0));
            let share = 100 * (self.ejected.len() as u64 + 1) / u64::from(Self::HOSTS);
            if share <= 50 {
                self.ejected.push((host, now));
                self.multiplier[host as usize] = (self.multiplier[host as usize] + 1).min(4);
            }
        }
    }

    fn tick(&mut self, now: u64) {
        for host in 0..Self::HOSTS {
            let length = (300 * self.multiplier[host as usize]).min(900);
            if self.ejected.iter().any(|(of, at)| *of == host && now - at >= length) {
                self.ejected.retain(|(of, _)| *of != host);
                self.ended.push((host, now));
                self.log.push((host, 0));
            }
            let is_ejected = self.ejected.iter().any(|(of, _)| *of == host);
            let last = self.ended.iter().rev().find(|(of, _)| *of == host);
            if !is_ejected && last.is_some_and(|(_, at)| now - at >= 500) {
                self.multiplier[host as usize] = self.multiplier[host as usize].saturating_sub(1);
            }
        }
    }
}

proptest! {
    #[test]
    fn ejections_agree_with_a_naive_model(
        events in prop::collection::vec((0_u32..4, prop::bool::weighted(0.8), 0_u64..120), 1..300),
    ) {
        let detection = OutlierDetection {
            consecutive_5xx: Some(3),
            max_ejection_time: Some(ms(900)),
            ..eager(50)
        };
        let mut rig = rig(4, detection);
        let mut naive = Naive::default();
        let mut now = 0;
        for (host, fails, pause) in events {
            for tick in now / 500 + 1..=(now + pause) / 500 {
                naive.tick(tick * 500);
            }
            now += pause;
            rig.run_to(now);
            let code = if fails { 500 } else { 200 };
            naive.put(now, host, code);
            rig.put(host, &[code]);
            for host in 0..4 {
                let expected = naive.ejected.iter().any(|(of, _)| *of == host);
                prop_assert_eq!(rig.is_ejected(host), expected, "host {} at {} ms", host, now);
            }
            prop_assert_eq!(rig.stat(Counter::DetectedConsecutive5xx), naive.detections);
        }
    }
}
