//! Which endpoints come first, and how localities share the load (`DR-14`, `DR-15`, `11.11`).
//!
//! A locality is `region/zone/subzone`; the name of a zone without a slash is a region of its own.

use meshproof_proxy::config::Host;

use super::{Endpoint, client::Client, destination_rule::Policy};
use crate::{Labels, Mesh, Service, istio::LocalityLb, kubernetes::TrafficDistribution};

/// The annotation that says what `trafficDistribution` does.
const DISTRIBUTION: &str = "networking.istio.io/traffic-distribution";

/// Labels that are compared by locality, not among the pods' own.
const BY_LOCALITY: [&str; 3] =
    ["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

/// Gives hosts their priorities or their localities' weights, and leaves out those that get nothing. Says whether
/// weights count.
pub(super) fn apply(
    mesh: &Mesh,
    client: &Client<'_>,
    service: &Service,
    policy: &Policy<'_>,
    hosts: &mut Vec<Host>,
    endpoints: &mut Vec<Endpoint>,
) -> bool {
    let own = policy.load_balancer.and_then(|lb| lb.locality.as_ref());
    let preferred = if own.is_none() { preferred(mesh, service) } else { None };
    let setting = own.or(mesh.settings.locality_lb_setting.as_ref()).filter(|_| preferred.is_none());
    if setting.is_some_and(|setting| setting.enabled == Some(false)) {
        return false;
    }
    let from = client.zone().unwrap_or_default();
    if let Some(to) = setting.and_then(|setting| shares(setting, from)) {
        distribute(to, hosts, endpoints);
        return true;
    }
    // Priorities count only where endpoints can be found unfit (`DR-14`), or where the service asks for them (`K-8`).
    if policy.outlier.is_none() && preferred.is_none() {
        return false;
    }
    let labels_of = |endpoint: &Endpoint| &mesh.workload(endpoint.workload).labels;
    let written = setting.map(|setting| setting.failover_priority.clone()).filter(|order| !order.is_empty());
    let ranks: Vec<u32> = match preferred.or(written) {
        Some(order) => {
            let there = |(host, endpoint): (&Host, &Endpoint)| (host.locality.clone(), labels_of(endpoint).clone());
            let there: Vec<(String, Labels)> = hosts.iter().zip(endpoints.iter()).map(there).collect();
            let rank =
                |(locality, labels): &(String, Labels)| by_labels(&order, (from, client.labels()), (locality, labels));
            there.iter().map(rank).collect()
        }
        None if from.is_empty() => return false,
        None => hosts.iter().map(|host| by_locality(setting, from, &host.locality)).collect(),
    };
    let mut known = ranks.clone();
    known.sort_unstable();
    known.dedup();
    // Priorities have no gaps.
    for (host, rank) in hosts.iter_mut().zip(&ranks) {
        let place = known.iter().position(|known| known == rank).unwrap_or(0);
        host.priority = u32::try_from(place).unwrap_or(u32::MAX);
    }
    false
}

/// The labels by which a Service prefers near endpoints, its own or its namespace's word (`K-8`).
fn preferred(mesh: &Mesh, service: &Service) -> Option<Vec<String>> {
    let field = service.options.traffic_distribution.as_ref().map(|written| written.value);
    let namespace = mesh.namespaces.get(service.meta.namespace());
    let annotations = [Some(&service.meta.annotations), namespace.map(|namespace| &namespace.annotations)];
    let written = annotations.into_iter().flatten().find_map(|annotations| annotations.get(DISTRIBUTION));
    let annotated = || match written.map(String::as_str) {
        Some("PreferClose" | "PreferSameZone") => Some(TrafficDistribution::SameZone),
        Some("PreferSameNode") => Some(TrafficDistribution::SameNode),
        _ => None,
    };
    // Nodes are not known; the next best is the zone.
    let (TrafficDistribution::SameZone | TrafficDistribution::SameNode) = field.or_else(annotated)?;
    Some(BY_LOCALITY[..2].iter().map(|label| (*label).to_owned()).collect())
}

/// Where requests from a locality go, in shares.
fn shares<'s>(setting: &'s LocalityLb, from: &str) -> Option<&'s [(String, u32)]> {
    let found = setting.distribute.iter().find(|(pattern, _)| covers(pattern, from));
    found.map(|(_, to)| to.as_slice())
}

/// Each share is spread over its localities by their endpoints' weights; a locality without a share gets nothing.
fn distribute(to: &[(String, u32)], hosts: &mut Vec<Host>, endpoints: &mut Vec<Endpoint>) {
    let share_of = |host: &Host| to.iter().position(|(pattern, _)| covers(pattern, &host.locality));
    let shares: Vec<Option<usize>> = hosts.iter().map(share_of).collect();
    let weight_where = |is_meant: &dyn Fn(usize, &Host) -> bool| -> u64 {
        let meant = hosts.iter().enumerate().filter(|(number, host)| is_meant(*number, host));
        meant.map(|(_, host)| u64::from(host.weight)).sum()
    };
    let mut weights = Vec::new();
    for (number, host) in hosts.iter().enumerate() {
        let weight = shares[number].map(|share| {
            let all = weight_where(&|other, _| shares[other] == Some(share)).max(1);
            let own = weight_where(&|_, other| other.locality == host.locality);
            u32::try_from((own * u64::from(to[share].1)).div_ceil(all)).unwrap_or(u32::MAX)
        });
        weights.push(weight);
    }
    for (host, weight) in hosts.iter_mut().zip(&weights) {
        host.locality_weight = *weight;
    }
    let mut kept = weights.iter().map(Option::is_some);
    endpoints.retain(|_| kept.next().unwrap_or(false));
    hosts.retain(|host| host.locality_weight.is_some());
}

/// Whether a pattern such as `region/*` covers a locality.
fn covers(pattern: &str, locality: &str) -> bool {
    let mut parts = locality.split('/');
    for wanted in pattern.split('/') {
        if wanted == "*" {
            return true;
        }
        if parts.next().unwrap_or_default() != wanted {
            return false;
        }
    }
    true
}

/// How far a locality is: the same one, the same zone, the same region, another region; a region to which the client's
/// does not fail over comes last.
fn by_locality(setting: Option<&LocalityLb>, from: &str, to: &str) -> u32 {
    let part = |locality: &str, number: usize| locality.split('/').nth(number).unwrap_or_default().to_owned();
    let same = (0..3).take_while(|number| part(from, *number) == part(to, *number)).count();
    match same {
        3 => 0,
        2 => 1,
        1 => 2,
        _ => {
            let failover = setting.map_or(&[][..], |setting| setting.failover.as_slice());
            let over = failover.iter().find(|(region, _)| *region == part(from, 0));
            if over.is_none_or(|(_, region)| *region == part(to, 0)) { 3 } else { 4 }
        }
    }
}

/// The labels from the first that differs to the last one.
fn by_labels(order: &[String], from: (&str, &Labels), to: (&str, &Labels)) -> u32 {
    let value = |(locality, labels): (&str, &Labels), key: &str| match BY_LOCALITY.iter().position(|own| *own == key) {
        Some(number) => locality.split('/').nth(number).map(str::to_owned),
        None => labels.get(key).cloned(),
    };
    let differs = |label: &String| match label.split_once('=') {
        Some((key, wanted)) => value(to, key).as_deref() != Some(wanted),
        None => value(from, label) != value(to, label),
    };
    let first = order.iter().position(differs).unwrap_or(order.len());
    u32::try_from(order.len() - first).unwrap_or(u32::MAX)
}
