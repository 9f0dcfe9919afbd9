//! Hosts that Envoy chose for the golden keys.

use twox_hash::XxHash64;

use super::*;
use crate::config::LbPolicy;

fn chosen(policy: LbPolicy, keys: &str) -> Vec<usize> {
    let mut rig = Rig::new(&Cluster { lb_policy: policy, ..cluster(3) });
    keys.bytes()
        .filter_map(|key| rig.pick_with(|want| want.hash = Some(XxHash64::oneshot(0, &[key]))))
        .map(|host| host + 1)
        .collect()
}

#[test]
fn ring_hash_agrees_with_envoy() {
    assert_eq!(XxHash64::oneshot(0, b"a"), 0xd24e_c4f1_a98c_6e5b);
    let ring = LbPolicy::RingHash { minimum_ring_size: None, maximum_ring_size: None };
    assert_eq!(chosen(ring, "abcdef"), [2, 3, 3, 2, 2, 3]);
}

#[test]
fn maglev_agrees_with_envoy() {
    assert_eq!(chosen(LbPolicy::Maglev { table_size: None }, "abcdef"), [3, 3, 1, 1, 2, 2]);
}

#[test]
fn refused_hosts_are_passed_over() {
    let ring = LbPolicy::RingHash { minimum_ring_size: None, maximum_ring_size: None };
    for policy in [ring, LbPolicy::Maglev { table_size: None }] {
        let mut rig = Rig::new(&Cluster { lb_policy: policy, ..cluster(3) });
        let retry = RetryHosts { previous_hosts: true, max_attempts: 20, previous_priorities: None };
        for key in 0..100_u64 {
            let hash = Some(XxHash64::oneshot(0, &key.to_le_bytes()));
            let mut tried = Tried::default();
            for attempt in 1..=3 {
                rig.call(|hosts, cx| hosts.pick(cx, &mut Pick { hash, retry, ..want(key, attempt, &mut tried) }));
            }
            let mut hosts = tried.hosts().to_vec();
            hosts.sort_unstable();
            hosts.dedup();
            assert_eq!(hosts.len(), 3, "key {key}");
        }
    }
}

#[test]
fn weights_share_the_hashes() {
    let hosts: Vec<_> = [1, 3].iter().map(|weight| (0, *weight, HostHealth::Healthy)).collect();
    let ring = LbPolicy::RingHash { minimum_ring_size: Some(100_000), maximum_ring_size: None };
    for policy in [ring, LbPolicy::Maglev { table_size: None }] {
        let mut rig = Rig::new(&Cluster { lb_policy: policy, ..described(&hosts) });
        // Without a hash, a random one is taken.
        let counts = rig.spread(2, 8000);
        assert!((1800..2200).contains(&counts[0]), "{counts:?}");
    }
}
