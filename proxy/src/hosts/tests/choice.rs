//! Rotations, panic, priorities, localities, zones, slow start and retries.

use super::*;
use crate::config::HostHealth::{Degraded, Healthy, Unhealthy};
use crate::config::{CommonLb, LbPolicy, SlowStart, ZoneAware};

#[test]
fn rotation_goes_on_over_updates() {
    let mut rig = Rig::new(&cluster(3));
    assert_eq!(rig.picks(4), [0, 1, 2, 0]);
    let hosts: Vec<_> = (0..4).map(host).collect();
    rig.call(|own, cx| own.set_hosts(cx, &hosts));
    assert_eq!(rig.picks(4), [0, 1, 2, 3]);
}

#[test]
fn weights_rotate_in_the_recorded_cycles() {
    let mut rig = Rig::new(&described(&[(0, 3, Healthy), (0, 1, Healthy)]));
    assert_eq!(rig.picks(8), [0, 0, 1, 0, 0, 0, 1, 0]);
    let mut rig = Rig::new(&described(&[(0, 5, Healthy), (0, 2, Healthy), (0, 1, Healthy)]));
    let got = rig.picks(8);
    assert_eq!([0, 1, 2].map(|host| got.iter().filter(|one| **one == host).count()), [5, 2, 1]);
}

#[test]
fn panic_uses_all_hosts_only_below_the_threshold() {
    // Hosts' health; threshold in percent; whether panic fails; hosts that are used.
    type Case<'a> = (&'a [HostHealth], u32, bool, &'a [usize]);
    let table: [Case<'_>; 7] = [
        (&[Healthy, Unhealthy], 50, false, &[0]),
        (&[Healthy, Unhealthy, Unhealthy], 50, false, &[0, 1, 2]),
        (&[Healthy, Unhealthy, Unhealthy], 0, false, &[0]),
        (&[Healthy, Unhealthy, Unhealthy], 30, false, &[0]),
        (&[Unhealthy, Unhealthy], 0, false, &[]),
        (&[Unhealthy, Unhealthy], 50, true, &[]),
        (&[Degraded, Degraded], 50, false, &[0, 1]),
    ];
    for (health, threshold, fails, used) in table {
        let hosts: Vec<_> = health.iter().map(|health| (0, 1, *health)).collect();
        let common_lb = CommonLb {
            healthy_panic_threshold: Some(crate::Percent::new(threshold)),
            fail_traffic_on_panic: fails,
            ..CommonLb::default()
        };
        let mut rig = Rig::new(&Cluster { common_lb, ..described(&hosts) });
        let counts = rig.spread(health.len(), 60);
        let got: Vec<_> = (0..health.len()).filter(|host| counts[*host] > 0).collect();
        assert_eq!(got, used, "{health:?} at {threshold}");
    }
}

#[test]
fn localities_share_by_weight_and_health() {
    let locality = |number: usize, name: &str, weight: Option<u32>, health| Host {
        locality: name.to_owned(),
        locality_weight: weight,
        health,
        ..host(number)
    };
    let common_lb = CommonLb { locality_weighted: true, ..CommonLb::default() };
    let hosts = vec![locality(0, "a", Some(3), Healthy), locality(1, "b", Some(1), Healthy)];
    let mut rig = Rig::new(&Cluster { common_lb: common_lb.clone(), ..Cluster::new("c", hosts) });
    assert_eq!(rig.picks(8), [0, 0, 1, 0, 0, 0, 1, 0]);
    // A half of `a` is out: 0.7 of its weight is left.
    let hosts = vec![
        locality(0, "a", Some(1), Healthy),
        locality(1, "a", Some(1), Unhealthy),
        locality(2, "b", Some(1), Healthy),
    ];
    let mut rig = Rig::new(&Cluster { common_lb: common_lb.clone(), ..Cluster::new("c", hosts) });
    assert_eq!(rig.spread(3, 1700), [700, 0, 1000]);
    // A locality without a weight gets nothing.
    let hosts = vec![locality(0, "a", None, Healthy), locality(1, "b", Some(1), Healthy)];
    let mut rig = Rig::new(&Cluster { common_lb, ..Cluster::new("c", hosts) });
    assert_eq!(rig.spread(2, 10), [0, 10]);
}

#[test]
fn hosts_within_weighted_localities_are_a_matter_of_chance() {
    let localities = [("a", 3), ("a", 3), ("b", 1), ("c", 2), ("c", 2), ("c", 2)];
    let host = |(number, (name, weight)): (usize, &(&str, u32))| Host {
        locality: (*name).to_owned(),
        locality_weight: Some(*weight),
        ..host(number)
    };
    let common_lb = CommonLb { locality_weighted: true, ..CommonLb::default() };
    let hosts = localities.iter().enumerate().map(host).collect();
    let mut rig = Rig::new(&Cluster { lb_policy: LbPolicy::Random, common_lb, ..Cluster::new("c", hosts) });
    let counts = rig.spread(6, 12_000);
    // 3 : 1 : 2 among the localities, evenly within each.
    statistics::assert_shares(&counts, &[3000, 3000, 2000, 1333, 1333, 1334]);
}

#[test]
fn zones_keep_what_they_can_serve() {
    let zones = ["a", "a", "b", "b", "b", "b", "c", "c"];
    let hosts = zones.iter().enumerate().map(|(n, zone)| Host { locality: (*zone).to_owned(), ..host(n) }).collect();
    let common_lb = CommonLb { zone_aware: Some(ZoneAware::default()), ..CommonLb::default() };
    let own_cluster_hosts = [("a", 4), ("b", 4), ("c", 2)].map(|(zone, count)| (zone.to_owned(), count)).to_vec();
    let zone = Zone { name: "a".to_owned(), own_cluster_hosts };
    let mut rig = Rig::in_zone(&Cluster { common_lb, ..Cluster::new("c", hosts) }, Some(&zone));
    let counts = rig.spread(8, 8000);
    let by_zone = [counts[..2].iter().sum(), counts[2..6].iter().sum(), counts[6..].iter().sum()];
    statistics::assert_shares(&by_zone, &[6250, 2500, 1250]);
}

#[test]
fn a_new_host_gets_less_at_first() {
    let common_lb = CommonLb {
        slow_start: Some(SlowStart { window: ms(10_000), aggression_milli: None, min_weight_percent: None }),
        ..CommonLb::default()
    };
    let mut rig = Rig::new(&Cluster { common_lb, ..cluster(1) });
    rig.run_to(20_000);
    let hosts: Vec<_> = (0..2).map(host).collect();
    rig.call(|own, cx| own.set_hosts(cx, &hosts));
    // A tenth of the weight, then a half, then all of it.
    let early = rig.spread(2, 110);
    assert!((9..=11).contains(&early[1]), "{early:?}");
    rig.run_to(25_000);
    rig.picks(30);
    let half = rig.spread(2, 150);
    assert!((48..=52).contains(&half[1]), "{half:?}");
    rig.run_to(40_000);
    rig.picks(30);
    let full = rig.spread(2, 100);
    assert!((49..=51).contains(&full[1]), "{full:?}");
}

#[test]
fn retries_avoid_hosts_that_were_tried() {
    let mut rig = Rig::new(&cluster(2));
    let mut tried = Tried::default();
    for request in 0..50 {
        tried.clear();
        rig.pick();
        let first = rig.call(|hosts, cx| hosts.pick(cx, &mut want(request, 1, &mut tried)));
        let retry = RetryHosts { previous_hosts: true, max_attempts: 1, previous_priorities: None };
        let second = rig.call(|hosts, cx| hosts.pick(cx, &mut Pick { retry, ..want(request, 2, &mut tried) }));
        assert_ne!(first, second);
        assert_eq!(tried.hosts().len(), 2);
    }
}

#[test]
fn retries_go_through_the_priorities_and_begin_again() {
    let mut rig = Rig::new(&described(&[(0, 1, Healthy), (1, 1, Healthy), (2, 1, Healthy)]));
    let retry = RetryHosts { previous_priorities: Some(1), ..RetryHosts::default() };
    let mut tried = Tried::default();
    let got: Vec<_> = (1..=6)
        .filter_map(|attempt| rig.call(|hosts, cx| hosts.pick(cx, &mut Pick { retry, ..want(1, attempt, &mut tried) })))
        .map(HostId::index)
        .collect();
    assert_eq!(got, [0, 1, 2, 0, 1, 2]);
}

#[test]
fn the_least_busy_of_two_is_chosen() {
    let policy = LbPolicy::LeastRequest(crate::config::LeastRequest::default());
    let mut rig = Rig::new(&Cluster { lb_policy: policy, ..cluster(2) });
    rig.call(|hosts, _| hosts.request_started(HostId::new(0)));
    // The busy host is chosen only if both samples fall on it.
    statistics::assert_shares(&rig.spread(2, 4000), &[1, 3]);
    rig.call(|hosts, _| hosts.request_ended(HostId::new(0)));
    statistics::assert_shares(&rig.spread(2, 4000), &[1, 1]);
}

#[test]
fn the_dialled_address_is_the_host() {
    let mut rig = Rig::new(&Cluster { lb_policy: LbPolicy::OriginalDst, ..cluster(1) });
    let dial = |rig: &mut Rig, address| rig.pick_with(|want| want.original_destination = address);
    assert_eq!(dial(&mut rig, None), None);
    assert_eq!(dial(&mut rig, Some("127.0.0.1:20901")), Some(0));
    assert_eq!(dial(&mut rig, Some("10.0.0.9:80")), Some(1));
    assert_eq!(dial(&mut rig, Some("10.0.0.9:80")), Some(1));
    assert_eq!(rig.hosts.config(HostId::new(1)).map(|host| host.address.as_str()), Some("10.0.0.9:80"));
}

#[test]
fn the_faster_host_gets_more() {
    let policy = LbPolicy::PeakEwma { default_rtt: ms(30), decay: ms(10_000) };
    let mut rig = Rig::new(&Cluster { lb_policy: policy, ..cluster(2) });
    let now = rig.now;
    rig.call(|hosts, _| hosts.observe_latency(now, HostId::new(0), ms(100)));
    assert_eq!(rig.spread(2, 20), [0, 20]);
    // Load counts as well: 4 × 30 ms against 1 × 100 ms.
    for _ in 0..3 {
        rig.call(|hosts, _| hosts.request_started(HostId::new(1)));
    }
    assert_eq!(rig.spread(2, 20), [20, 0]);
}
