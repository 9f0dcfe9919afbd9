//! Choices over keyed draws against their theory: chi-square at 0.001.
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics")]

use super::*;
use crate::config::HostHealth::{Degraded, Healthy, Unhealthy};
use crate::config::{LbPolicy, LeastRequest};

/// 0.1 % points of the chi-square distribution for 1, 2, ... degrees of freedom.
const POINTS: [f64; 7] = [10.828, 13.816, 16.266, 18.467, 20.515, 22.458, 24.322];

/// Whether counts may come from these shares; a share of zero allows no count.
pub(super) fn assert_shares(counts: &[u64], shares: &[u64]) {
    let total: u64 = counts.iter().sum();
    let whole: u64 = shares.iter().sum();
    let mut sum = 0.0;
    let mut classes = 0_usize;
    for (count, share) in counts.iter().zip(shares) {
        if *share == 0 {
            assert_eq!(*count, 0, "{counts:?} against {shares:?}");
            continue;
        }
        let expected = total as f64 * *share as f64 / whole as f64;
        sum += (*count as f64 - expected).powi(2) / expected;
        classes += 1;
    }
    let point = classes.checked_sub(2).map_or(0.001, |degrees| POINTS[degrees]);
    assert!(sum < point, "{counts:?} against {shares:?}: {sum}");
}

#[test]
fn priorities_get_their_shares() {
    // (priority, health) of each host; share of each host.
    type Case<'a> = (&'a [(u32, HostHealth)], &'a [u64]);
    let table: [Case<'_>; 5] = [
        (&[(0, Healthy), (0, Unhealthy), (1, Healthy)], &[70, 0, 30]),
        (&[(0, Healthy), (0, Degraded), (0, Unhealthy)], &[50, 50, 0]),
        (&[(0, Healthy), (0, Unhealthy), (0, Unhealthy), (1, Healthy)], &[46, 0, 0, 54]),
        (&[(0, Unhealthy), (1, Unhealthy), (1, Unhealthy)], &[34, 33, 33]),
        (&[(0, Degraded), (0, Unhealthy), (1, Healthy)], &[0, 0, 100]),
    ];
    for (hosts, shares) in table {
        let hosts: Vec<_> = hosts.iter().map(|(priority, health)| (*priority, 1, *health)).collect();
        let mut rig = Rig::new(&described(&hosts));
        assert_shares(&rig.spread(hosts.len(), 20_000), shares);
    }
}

#[test]
fn random_ignores_weights() {
    let hosts = [(0, 5, Healthy), (0, 1, Healthy), (0, 1, Healthy)];
    let mut rig = Rig::new(&Cluster { lb_policy: LbPolicy::Random, ..described(&hosts) });
    assert_shares(&rig.spread(3, 30_000), &[1, 1, 1]);
}

#[test]
fn more_choices_avoid_the_busy_host_better() {
    for (choices, shares) in [(2, [1, 4, 4]), (3, [1, 13, 13]), (4, [1, 40, 40])] {
        let options = LeastRequest { choice_count: Some(choices), active_request_bias_milli: None };
        let mut rig = Rig::new(&Cluster { lb_policy: LbPolicy::LeastRequest(options), ..cluster(3) });
        rig.call(|hosts, _| hosts.request_started(HostId::new(0)));
        assert_shares(&rig.spread(3, 30_000), &shares);
    }
}

#[test]
fn idle_hosts_with_weights_are_a_weighted_rotation() {
    let hosts = [(0, 3, Healthy), (0, 2, Healthy), (0, 1, Healthy)];
    let policy = LbPolicy::LeastRequest(LeastRequest::default());
    let mut rig = Rig::new(&Cluster { lb_policy: policy, ..described(&hosts) });
    assert_eq!(rig.spread(3, 6000), [3000, 2000, 1000]);
}
