//! Which DestinationRule counts for a client and a host, and which of its blocks for a subset and a port.

use std::collections::{BTreeMap, BTreeSet};

use super::index::{Lowering, age, export_to};
use crate::{
    Labels, Location, Mesh, ResourceRef, Service, complete_host, is_subset,
    istio::{
        ClientTls, ClientTlsMode, ConnectionPool, DestinationRule, LoadBalancer, OutlierDetection, RetryBudget, Subset,
        TrafficPolicy,
    },
};

/// Every DestinationRule by namespace and host.
#[derive(Debug, Default)]
pub(super) struct Rules<'m> {
    /// What clients of the namespace look up first.
    local: BTreeMap<&'m str, HostRules<'m>>,
    /// What others may see.
    exported: BTreeMap<&'m str, HostRules<'m>>,
    /// What only the root namespace sees of its own.
    root_private: HostRules<'m>,
}

/// Rules of one namespace by host.
#[derive(Debug, Default)]
pub(super) struct HostRules<'m> {
    pub(super) exact: BTreeMap<String, Vec<Merged<'m>>>,
    /// Longest first.
    pub(super) wildcards: Vec<(String, Vec<Merged<'m>>)>,
}

/// Rules of one host that were merged (`DR-2`).
#[derive(Clone, Debug)]
pub(super) struct Merged<'m> {
    pub(super) sources: Vec<&'m DestinationRule>,
    policy: Option<&'m TrafficPolicy>,
    subsets: Vec<&'m Subset>,
    selector: &'m Labels,
    export_to: BTreeSet<&'m str>,
    namespace: &'m str,
}

impl<'m> Rules<'m> {
    pub(super) fn new(mesh: &'m Mesh) -> Self {
        // Those with a selector first, then by age.
        let mut sorted: Vec<&DestinationRule> = mesh.destination_rules.iter().collect();
        sorted.sort_by_key(|rule| (rule.workload_selector.is_empty(), age(&rule.meta)));
        let root = mesh.settings.root_namespace.value.as_str();
        let by_export = mesh.settings.istio_version.follows("DR-3");
        let mut rules = Self::default();
        for rule in sorted {
            let namespace = rule.meta.namespace();
            let default = &mesh.settings.default_destination_rule_export_to;
            let export = export_to(&rule.export_to, default, namespace);
            let host = complete_host(&rule.host.value, namespace, mesh.domain());
            if export.contains("*") || export.contains(namespace) {
                rules.local.entry(namespace).or_default().add(&host, rule, &export, by_export);
            }
            let is_private = export.len() == 1 && export.contains(namespace);
            if !is_private {
                rules.exported.entry(namespace).or_default().add(&host, rule, &export, by_export);
            } else if namespace == root {
                rules.root_private.add(&host, rule, &export, by_export);
            }
        }
        let all = rules.local.values_mut().chain(rules.exported.values_mut());
        for hosts in all.chain([&mut rules.root_private]) {
            hosts.wildcards.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
        }
        rules
    }
}

impl<'m> HostRules<'m> {
    fn add(&mut self, host: &str, rule: &'m DestinationRule, export: &BTreeSet<&'m str>, by_export: bool) {
        let list = if host.starts_with('*') {
            let at = self.wildcards.iter().position(|(known, _)| known == host).unwrap_or_else(|| {
                self.wildcards.push((host.to_owned(), Vec::new()));
                self.wildcards.len() - 1
            });
            &mut self.wildcards[at].1
        } else {
            self.exact.entry(host.to_owned()).or_default()
        };
        if consolidate(list, rule, export, by_export) {
            list.push(Merged {
                sources: vec![rule],
                policy: rule.traffic_policy.as_ref(),
                subsets: rule.subsets.iter().collect(),
                selector: &rule.workload_selector,
                export_to: export.clone(),
                namespace: rule.meta.namespace(),
            });
        }
    }
}

/// Merges a rule into those of its host, and says whether it also stands on its own. Only rules with the same selector
/// merge (`DR-4`); one that is exported further than an earlier one is merged into it and kept too (`DR-3`). Versions
/// that do not look at exports merge all.
fn consolidate<'m>(
    list: &mut [Merged<'m>],
    rule: &'m DestinationRule,
    export: &BTreeSet<&'m str>,
    by_export: bool,
) -> bool {
    let mut stands_alone = true;
    for merged in list.iter_mut().filter(|merged| *merged.selector == rule.workload_selector) {
        let everyone = export.contains("*");
        if !by_export || *export == merged.export_to {
            stands_alone = false;
        } else if !(everyone || export.is_superset(&merged.export_to)) {
            continue;
        }
        // Subsets are united by name, the first of a name wins; the first traffic policy counts as a whole (`DR-2`).
        for subset in &rule.subsets {
            if !merged.subsets.iter().any(|known| known.name.value == subset.name.value) {
                merged.subsets.push(subset);
            }
        }
        merged.policy = merged.policy.or(rule.traffic_policy.as_ref());
        merged.sources.push(rule);
    }
    stands_alone
}

/// The blocks that count for one cluster (`11.2`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Policy<'m> {
    pub(super) load_balancer: Option<&'m LoadBalancer>,
    pub(super) pool: Option<&'m ConnectionPool>,
    pub(super) outlier: Option<&'m OutlierDetection>,
    pub(super) tls: Option<&'m ClientTls>,
    pub(super) retry_budget: Option<&'m RetryBudget>,
    /// The mode that marks endpoints although the port's own block has no TLS (`DR-10`).
    pub(super) overshadowed_tls: Option<&'m ClientTls>,
    /// Whether the rule is bound to workloads by labels.
    pub(super) is_selected: bool,
}

impl<'m> Lowering<'m> {
    /// The DestinationRule of a client in `namespace` for a service (`11.1`, `DR-1`): the first namespace with a
    /// match counts as a whole; `labels` is `None` for a server's own proxy, where selectors do not apply.
    pub(super) fn rule_for(&self, namespace: &str, labels: Option<&Labels>, service: &Service) -> Option<&Merged<'m>> {
        let root = self.mesh.settings.root_namespace.value.as_str();
        let own = if namespace == root { Some(&self.rules.root_private) } else { self.rules.local.get(namespace) };
        let own = own.and_then(|rules| Self::most_specific(rules, &service.host));
        if let Some(rules) = own {
            return pick(rules.iter(), namespace, labels);
        }
        for other in [service.meta.namespace(), root] {
            let Some(rules) = self.rules.exported.get(other) else { continue };
            let Some(found) = Self::most_specific(rules, &service.host) else { continue };
            let seen = |rule: &&Merged<'_>| rule.export_to.contains("*") || rule.export_to.contains(namespace);
            let mut seen = found.iter().filter(seen).peekable();
            if seen.peek().is_some() {
                return pick(seen, namespace, labels);
            }
        }
        None
    }
}

/// The first rule whose selector has the client's labels, in the client's own namespace only (`DR-4`); else the last
/// one without a selector (`DR-3`).
fn pick<'a, 'm>(
    rules: impl Iterator<Item = &'a Merged<'m>>,
    namespace: &str,
    labels: Option<&Labels>,
) -> Option<&'a Merged<'m>> {
    let mut general = None;
    for rule in rules {
        if rule.selector.is_empty() {
            general = Some(rule);
        } else if rule.namespace == namespace && labels.is_some_and(|labels| is_subset(rule.selector, labels)) {
            return Some(rule);
        }
    }
    general
}

impl<'m> Merged<'m> {
    /// The subset of that name.
    pub(super) fn subset(&self, name: &str) -> Option<&'m Subset> {
        self.subsets.iter().copied().find(|subset| subset.name.value == name)
    }

    /// The objects that it was made of.
    pub(super) fn origins(&self) -> Vec<(ResourceRef, Location)> {
        self.sources.iter().map(|rule| (rule.meta.resource.clone(), rule.meta.at.clone())).collect()
    }

    /// The blocks for a port of the service and a subset (`11.2`).
    pub(super) fn policy(&self, subset: Option<&str>, port: u16) -> Policy<'m> {
        let base = self.policy.map(|top| by_port(top, port)).unwrap_or_default();
        let own = subset.and_then(|name| self.subset(name)).and_then(|subset| subset.traffic_policy.as_deref());
        let policy = match own {
            None => base,
            Some(own) => of_subset(base, own, port),
        };
        Policy { is_selected: !self.selector.is_empty(), ..policy }
    }
}

/// A policy for a port: a port's own entry replaces the four blocks, what it leaves out is a default (`DR-6`).
fn by_port(top: &TrafficPolicy, port: u16) -> Policy<'_> {
    match port_level(top, port) {
        None => Policy { retry_budget: top.retry_budget.as_ref(), ..blocks(top) },
        Some(level) => {
            let overshadowed_tls = if level.tls.is_none() { top.tls.as_ref() } else { None };
            Policy { overshadowed_tls, ..blocks(level) }
        }
    }
}

/// A subset's policy over the host's: each block that it has replaces the host's as a whole (`DR-7`); an entry for the
/// port replaces all four.
fn of_subset<'m>(base: Policy<'m>, own: &'m TrafficPolicy, port: u16) -> Policy<'m> {
    if let Some(level) = port_level(own, port) {
        return Policy { retry_budget: own.retry_budget.as_ref().or(base.retry_budget), ..blocks(level) };
    }
    let own = Policy { retry_budget: own.retry_budget.as_ref(), ..blocks(own) };
    Policy {
        load_balancer: own.load_balancer.or(base.load_balancer),
        pool: own.pool.or(base.pool),
        outlier: own.outlier.or(base.outlier),
        tls: own.tls.or(base.tls),
        retry_budget: own.retry_budget.or(base.retry_budget),
        overshadowed_tls: if own.tls.is_some() { None } else { base.overshadowed_tls },
        is_selected: false,
    }
}

fn port_level(policy: &TrafficPolicy, port: u16) -> Option<&TrafficPolicy> {
    policy.port_level.iter().find(|(number, _)| number.value == port).map(|(_, level)| level)
}

fn blocks(policy: &TrafficPolicy) -> Policy<'_> {
    Policy {
        load_balancer: policy.load_balancer.as_ref(),
        pool: policy.connection_pool.as_ref(),
        outlier: policy.outlier_detection.as_ref(),
        tls: policy.tls.as_ref(),
        ..Policy::default()
    }
}

/// Whether a client's own TLS takes the place of Istio's decision, and the mode that it asks for (`DR-10`, `DR-17`).
pub(super) fn written_tls<'m>(policy: &Policy<'m>) -> Option<(&'m ClientTls, ClientTlsMode)> {
    if let Some(tls) = policy.tls {
        return Some((tls, tls.mode.value));
    }
    // The port's entry has no TLS, so the cluster's own context is Istio's; endpoints are marked by the host's mode,
    // and TLS that the client would originate itself is lost (`DR-10`).
    policy.overshadowed_tls.map(|tls| match tls.mode.value {
        ClientTlsMode::IstioMutual => (tls, ClientTlsMode::IstioMutual),
        ClientTlsMode::Disable | ClientTlsMode::Simple | ClientTlsMode::Mutual => (tls, ClientTlsMode::Disable),
    })
}
