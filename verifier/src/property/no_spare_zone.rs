//! `MP0705` no-spare-zone (`P6`).
//!
//! **Statement.** Under the load that scenarios send, no pod of a service gets more requests than it answers, whichever
//! one zone is lost with all its pods, and whichever one of the service's pods in a zone is, or so many that proxies keep
//! all requests there all the same: whether they know that the pods are gone, or have ejected them and count them still.
//! Proxies that prefer near pods keep `min(100, ⌊140 · h / t⌋)` percent of their requests there while `h` of `t` are fit
//! (Envoy: overprovisioning factor 1.4), so that the pods left of a zone may get more than the others while these have
//! room.
//!
//! **Decided by** going through every zone, every number of pods and both ways of being gone, with the priorities of the
//! lowered configuration of a client in each zone. The oracle in the tests hands out requests one by one.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Finding, Lowered, Lowering, Mesh, NO_SPARE_ZONE, ProxyMode, ServiceId, Subject, WorkloadId};

use super::{Judge, breaker_beyond_capacity::callers};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_PATCHES, SENT_BY_SCENARIOS},
    failures::milli_rps_of_pod,
    flow::{carrier, sure_rate},
};

/// A pod as a client's proxy sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Host {
    zone: usize,
    priority: u32,
    /// Requests per second that it answers, in thousandths.
    able: u64,
}

/// A client's proxies in one zone.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    zone: usize,
    /// Which caller, by number; what its lost proxies sent, its others do.
    caller: usize,
    proxies: u64,
    hosts: Vec<Host>,
}

/// Everybody who calls a service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Callers {
    groups: Vec<Group>,
    /// What each caller sends, in thousandths of a request per second.
    rates: Vec<u64>,
    can_eject: bool,
}

/// What is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    /// A zone with everything in it.
    Zone(usize),
    /// So many of the service's pods in a zone, and whether proxies still count them.
    Pods { zone: usize, count: usize, ejected: bool },
}

/// Judges every service whose pods' speed and load are known, where pods are in several zones.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let mesh = judge.mesh;
    let zones = &mesh.behaviour.placement.zones;
    if zones.len() < 2 || judge.options.demand.is_empty() {
        return report;
    }
    let lowering = Lowering::new(mesh);
    let mut by_service: BTreeMap<ServiceId, BTreeSet<(WorkloadId, u16)>> = BTreeMap::new();
    for (client, service, port) in callers(mesh, &lowering) {
        by_service.entry(service).or_default().insert((client, port));
    }
    for (service, clients) in by_service {
        let Some(callers) = callers_of(judge, &lowering, service, &clients) else { continue };
        if callers.rates.iter().all(|rate| *rate == 0) || worst(&callers, None).is_none_or(|(load, able)| load > able) {
            continue;
        }
        let subject = Subject::Service(mesh.service(service).full_name());
        if let Some((loss, load, able)) = callers.breaks(zones.len()) {
            report.findings.push(finding(mesh, subject, loss, load, able));
            continue;
        }
        let after = (0..zones.len()).filter_map(|zone| worst(&callers, Some(Loss::Zone(zone))));
        let (load, able) = after.max().unwrap_or_default();
        let proof = Proof::new(&NO_SPARE_ZONE, subject, Engine::Fixpoint, None)
            .value("pod_load_after_zone_loss_rps", load / 1000)
            .value("pod_rps", able / 1000);
        report.proofs.push(proof.assuming([NO_PATCHES, CALLS_COMPLETE, APPLIED, SENT_BY_SCENARIOS]));
    }
    report
}

/// Who calls a service, from which zones, and which pods they see; `None`: not all of it is known or simple.
fn callers_of(
    judge: &Judge<'_>,
    lowering: &Lowering<'_>,
    service: ServiceId,
    clients: &BTreeSet<(WorkloadId, u16)>,
) -> Option<Callers> {
    let mesh = judge.mesh;
    let mut callers = Callers::default();
    for (client, port) in clients {
        let rate = sure_rate(judge.graph, &judge.options.demand, |hop| {
            hop.arm.service == Some(service.index()) && carrier(mesh, judge.graph, hop.from) == Some(*client)
        });
        let subsets: BTreeSet<Option<String>> = (0..judge.graph.nodes.len())
            .filter(|node| carrier(mesh, judge.graph, *node) == Some(*client))
            .flat_map(|node| judge.graph.calls(node).flat_map(|call| &call.ways).flat_map(|way| &way.arms))
            .filter(|arm| arm.service == Some(service.index()))
            .map(|arm| arm.subset.clone())
            .collect();
        let subset = subsets.first().filter(|_| subsets.len() == 1)?;
        for (zone, name) in mesh.behaviour.placement.zones.iter().enumerate() {
            let replicas: Vec<u32> = (0..mesh.workload(*client).replicas.value)
                .filter(|replica| mesh.zone_of(*client, *replica) == name)
                .collect();
            let Some(first) = replicas.first() else { continue };
            let lowered = match mesh.workload(*client).proxy {
                ProxyMode::Gateway => lowering.gateway(*client, *first),
                ProxyMode::Sidecar => lowering.outbound(*client, *first, &[(service, *port)]),
                _ => return None,
            };
            let (hosts, can_eject) = hosts(mesh, &lowered, service, *port, subset.as_deref())?;
            callers.can_eject |= can_eject;
            callers.groups.push(Group { zone, caller: callers.rates.len(), proxies: replicas.len() as u64, hosts });
        }
        callers.rates.push(rate);
    }
    Some(callers)
}

/// The pods of a service that a proxy sees, and whether it ejects any.
fn hosts(
    mesh: &Mesh,
    lowered: &Lowered,
    service: ServiceId,
    port: u16,
    subset: Option<&str>,
) -> Option<(Vec<Host>, bool)> {
    let is_meant = |at: &usize| {
        let origin = &lowered.provenance.clusters[*at];
        origin.service == Some(service) && origin.port == port && origin.subset.as_deref() == subset
    };
    let at = (0..lowered.config.clusters.len()).find(is_meant)?;
    let (cluster, origin) = (&lowered.config.clusters[at], &lowered.provenance.clusters[at]);
    let panics = cluster.common_lb.healthy_panic_threshold.is_none_or(|percent| percent.ppm() > 0);
    let is_plain = cluster.hosts.iter().all(|host| host.weight == 1 && host.locality_weight.is_none());
    if panics || !is_plain || cluster.hosts.is_empty() {
        return None;
    }
    let zones = &mesh.behaviour.placement.zones;
    let host = |(host, endpoint): (&meshproof_proxy::config::Host, &meshproof_model::Endpoint)| {
        let name = mesh.zone_of(endpoint.workload, endpoint.replica);
        let zone = zones.iter().position(|zone| zone == name)?;
        Some(Host { zone, priority: host.priority, able: milli_rps_of_pod(mesh, endpoint.workload)? })
    };
    let hosts = cluster.hosts.iter().zip(&origin.endpoints).map(host).collect::<Option<Vec<_>>>()?;
    Some((hosts, cluster.outlier_detection.is_some()))
}

impl Callers {
    /// The first loss after which some pod gets more than it answers: of zones, else of so few pods that the others
    /// could do all of it together.
    fn breaks(&self, zones: usize) -> Option<(Loss, u64, u64)> {
        let too_much = |loss: Loss| {
            let (load, able) = worst(self, Some(loss)).unwrap_or((u64::MAX, 0));
            (load > able).then_some((loss, load, able))
        };
        if let Some(found) = (0..zones).find_map(|zone| too_much(Loss::Zone(zone))) {
            return Some(found);
        }
        let hosts = &self.groups.first()?.hosts;
        let able = |count: usize| hosts.iter().skip(count).map(|host| host.able).fold(0, u64::saturating_add);
        let all = self.rates.iter().copied().fold(0, u64::saturating_add);
        let pods = (1..hosts.len()).flat_map(|count| (0..zones).map(move |zone| (count, zone)));
        let modes = if self.can_eject { &[false, true][..] } else { &[false] };
        let is_likely = |(count, zone): &(usize, usize)| {
            let all = hosts.iter().filter(|host| host.zone == *zone).count();
            *count == 1 && all > 1 || *count < all && (all - count) * 140 >= all * 100
        };
        pods.filter(is_likely)
            .filter(|(count, _)| able(*count) >= all)
            .flat_map(|(count, zone)| modes.iter().map(move |ejected| Loss::Pods { zone, count, ejected: *ejected }))
            .find_map(too_much)
    }
}

/// The pod that is worst off after a loss: what it gets, and what it answers. `None`: there is none left.
fn worst(callers: &Callers, loss: Option<Loss>) -> Option<(u64, u64)> {
    let count = callers.groups.first()?.hosts.len();
    let mut loads = vec![0_u64; count];
    let lost_zone = match loss {
        Some(Loss::Zone(zone)) => Some(zone),
        Some(Loss::Pods { .. }) | None => None,
    };
    for (caller, rate) in callers.rates.iter().enumerate() {
        let left: Vec<&Group> =
            callers.groups.iter().filter(|group| group.caller == caller && Some(group.zone) != lost_zone).collect();
        let proxies: u64 = left.iter().map(|group| group.proxies).sum();
        for group in left {
            let own = rate.saturating_mul(group.proxies) / proxies.max(1);
            for (load, share) in loads.iter_mut().zip(shares(&group.hosts, loss)?) {
                *load =
                    load.saturating_add(u64::try_from(u128::from(own) * u128::from(share) / PPM).unwrap_or(u64::MAX));
            }
        }
    }
    let hosts = &callers.groups.first()?.hosts;
    // The one whose load is the greatest part of what it answers.
    let worse =
        |a: &(u64, u64), b: &(u64, u64)| (u128::from(a.0) * u128::from(b.1)).cmp(&(u128::from(b.0) * u128::from(a.1)));
    loads.into_iter().zip(hosts).map(|(load, host)| (load, host.able)).max_by(worse)
}

const PPM: u128 = 1_000_000;

/// The share of a proxy's requests that each pod gets, in millionths; `None`: no pod is left.
fn shares(hosts: &[Host], loss: Option<Loss>) -> Option<Vec<u64>> {
    let mut taken = 0;
    let is_gone: Vec<bool> = hosts
        .iter()
        .map(|host| match loss {
            None => false,
            Some(Loss::Zone(zone)) => host.zone == zone,
            Some(Loss::Pods { zone, count, .. }) => {
                let is_gone = host.zone == zone && taken < count;
                taken += usize::from(is_gone);
                is_gone
            }
        })
        .collect();
    let counted = matches!(loss, Some(Loss::Pods { ejected: true, .. }));
    let of = |priority: u32| hosts.iter().zip(&is_gone).filter(move |(host, _)| host.priority == priority);
    let fit = |priority: u32| of(priority).filter(|(_, gone)| !**gone).count() as u64;
    let last = hosts.iter().map(|host| host.priority).max()?;
    let health: Vec<u64> = (0..=last)
        .map(|priority| {
            let total = if counted { of(priority).count() as u64 } else { fit(priority) };
            (fit(priority) * 140).checked_div(total).unwrap_or(0).min(100)
        })
        .collect();
    let total = health.iter().sum::<u64>().min(100);
    let mut left = 100;
    let mut percents: Vec<u64> = Vec::new();
    for own in &health {
        let share = (own * 100).checked_div(total)?.min(left);
        left -= share;
        percents.push(share);
    }
    // What rounding leaves goes to the first that can take any.
    if let Some(first) = health.iter().position(|health| *health > 0) {
        percents[first] += left;
    }
    let share = |(host, gone): (&Host, &bool)| {
        let percent = percents[host.priority as usize];
        if *gone { 0 } else { percent * 10_000 / fit(host.priority).max(1) }
    };
    Some(hosts.iter().zip(&is_gone).map(share).collect())
}

fn finding(mesh: &Mesh, subject: Subject, loss: Loss, load: u64, able: u64) -> Finding {
    let zones = &mesh.behaviour.placement.zones;
    let name = |zone: usize| zones.get(zone).map_or("", String::as_str);
    let what = match loss {
        Loss::Zone(zone) => format!("zone `{}` is lost", name(zone)),
        Loss::Pods { zone, count: 1, .. } => format!("one pod in zone `{}` is lost", name(zone)),
        Loss::Pods { zone, count, .. } => format!("{count} pods in zone `{}` are lost", name(zone)),
    };
    let message = if able == 0 {
        format!("once {what} no pod is left")
    } else {
        let kept = if matches!(loss, Loss::Zone(_)) { "" } else { ", as proxies keep their requests near" };
        format!("once {what} a pod gets {} rps and answers {}{kept}", load / 1000, able / 1000)
    };
    let mut finding = Finding::new(&NO_SPARE_ZONE, subject, message)
        .help("run more pods in each zone, or in more zones")
        .value("pod_rps", able / 1000);
    if able > 0 {
        finding = finding.value("pod_load_rps", load / 1000);
    }
    finding
}

#[cfg(test)]
mod tests {
    #![allow(clippy::cast_possible_truncation)]

    use super::*;
    use crate::testing::Draws;

    /// A hundred requests, one after the other: each to the first priority that still takes some, as its health says.
    fn one_by_one(hosts: &[Host], gone: &[bool], counted: bool) -> Vec<u64> {
        let priorities: BTreeSet<u32> = hosts.iter().map(|host| host.priority).collect();
        let members = |priority: u32| (0..hosts.len()).filter(move |at| hosts[*at].priority == priority);
        let mut room: Vec<(u32, u64)> = priorities
            .iter()
            .map(|priority| {
                let fit = members(*priority).filter(|at| !gone[*at]).count() as u64;
                let all = if counted { members(*priority).count() as u64 } else { fit };
                (*priority, (140 * fit).checked_div(all).map_or(0, |health| health.min(100)))
            })
            .collect();
        let sum: u64 = room.iter().map(|(_, health)| health).sum();
        if sum < 100 {
            // All of them together are less than everything: each takes its part, rounded down.
            for (_, health) in &mut room {
                *health = *health * 100 / sum.max(1);
            }
        }
        let mut got = vec![0; hosts.len()];
        for _ in 0..100 {
            let place = room.iter().position(|(_, health)| *health > 0);
            let first = (0..room.len()).find(|place| members(room[*place].0).any(|at| !gone[at]));
            let Some(place) = place.or(first) else { break };
            room[place].1 = room[place].1.saturating_sub(1);
            let fit: Vec<usize> = members(room[place].0).filter(|at| !gone[*at]).collect();
            for at in &fit {
                got[*at] += 10_000_000_000 / fit.len() as u64;
            }
        }
        got
    }

    #[test]
    fn requests_that_are_handed_out_one_by_one_get_where_the_shares_say() {
        let cases = crate::testing::cases(1_000);
        let mut draws = Draws::new(19);
        let (mut spills, mut stays) = (0, 0);
        for _ in 0..cases {
            let count = 1 + draws.below(8) as usize;
            let near = draws.chance(70);
            let hosts: Vec<Host> = (0..count)
                .map(|_| draws.below(3) as usize)
                .map(|zone| Host { zone, priority: if near { zone.min(1) as u32 } else { 0 }, able: 1 })
                .collect();
            let loss = match draws.below(3) {
                0 => Loss::Zone(0),
                mode => Loss::Pods { zone: 0, count: draws.below(4) as usize, ejected: mode == 1 },
            };
            let mut taken = 0;
            let gone: Vec<bool> = hosts
                .iter()
                .map(|host| {
                    let most = if let Loss::Pods { count, .. } = loss { count } else { usize::MAX };
                    let is_gone = host.zone == 0 && taken < most;
                    taken += usize::from(is_gone);
                    is_gone
                })
                .collect();
            let counted = matches!(loss, Loss::Pods { ejected: true, .. });
            let naive = one_by_one(&hosts, &gone, counted);
            let found = shares(&hosts, Some(loss)).unwrap_or_else(|| vec![0; count]);
            for (found, naive) in found.iter().zip(&naive) {
                assert!(found.abs_diff(naive / 1_000_000) <= 1_000, "{hosts:?} {loss:?} {found} {naive}");
            }
            let far: u64 = hosts.iter().zip(&found).filter(|(host, _)| host.priority > 0).map(|(_, share)| share).sum();
            *(if far > 0 { &mut spills } else { &mut stays }) += 1;
        }
        assert!(spills * 4 >= cases && stays * 4 >= cases, "{spills} {stays}");
    }

    #[test]
    fn what_stays_near_may_be_too_much_for_the_pods_that_are_left() {
        let hosts = |near: usize| -> Vec<Host> {
            let host = |zone: usize| Host { zone, priority: u32::from(zone != near), able: 100 };
            [0, 0, 0, 0, 1, 1, 1, 1].map(host).to_vec()
        };
        let group = |zone: usize| Group { zone, caller: 0, proxies: 1, hosts: hosts(zone) };
        let callers = |rate: u64| Callers { groups: vec![group(0), group(1)], rates: vec![rate], can_eject: true };
        // 40 each; a lost zone leaves four for all of it.
        assert_eq!(callers(320).breaks(2), None);
        assert_eq!(callers(404).breaks(2), Some((Loss::Zone(0), 101, 100)));
        assert_eq!(worst(&callers(320), Some(Loss::Pods { zone: 0, count: 2, ejected: false })), Some((80, 100)));
        // Two of four ejected keep 70 %.
        assert_eq!(worst(&callers(320), Some(Loss::Pods { zone: 0, count: 2, ejected: true })), Some((56, 100)));
        // Five zones, so that the loss of one is nothing; three of four pods in one get what four can do.
        let spread: Vec<Host> = (0..5)
            .flat_map(|zone| [zone; 4])
            .map(|zone| Host { zone, priority: u32::from(zone != 0), able: 100 })
            .collect();
        let near = |zone: usize| {
            spread.iter().map(|host| Host { priority: u32::from(host.zone != zone), ..*host }).collect::<Vec<_>>()
        };
        let groups = (0..5).map(|zone| Group { zone, caller: 0, proxies: 1, hosts: near(zone) }).collect();
        let callers = Callers { groups, rates: vec![1_520], can_eject: false };
        let lost = Loss::Pods { zone: 0, count: 1, ejected: false };
        assert_eq!(callers.breaks(5), Some((lost, 101, 100)));
    }
}
