//! `DestinationRules`: TLS without a CA (`IST0128`, `IST0129`), hosts and subsets without pods (`IST0173`, `IST0174`).
//! Istio: `analyzers/destinationrule`.

use std::collections::BTreeMap;

use meshproof_model::{Labels, is_subset};

use super::{
    hosts::Hosts,
    message::{UNKNOWN_RULE_HOST, UNMATCHED_SUBSET, UNVERIFIED_PORT, UNVERIFIED_SERVER},
    report::Report,
    tree::Tree,
    world::{DESTINATION_RULE, NODE, Pod, Resource, World},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let (hosts, pods) = (Hosts::new(world), Pods::new(world));
    for rule in world.all(DESTINATION_RULE) {
        certificates(rule, report);
        subsets(world, &hosts, &pods, rule, report);
    }
}

/// Pods by each of their labels.
struct Pods<'w> {
    by_label: BTreeMap<(&'w String, &'w String), Vec<&'w Labels>>,
    /// Labels of those that name their node, with the node's.
    on_nodes: Vec<Labels>,
    exist: bool,
}

impl<'w> Pods<'w> {
    fn new(world: &'w World<'_>) -> Self {
        let mut pods = Self { by_label: BTreeMap::new(), on_nodes: Vec::new(), exist: false };
        for pod in world.selectable() {
            pods.exist = true;
            for label in &pod.labels {
                pods.by_label.entry(label).or_default().push(&pod.labels);
            }
            pods.on_nodes.extend(on_node(world, pod));
        }
        pods
    }

    fn selects(&self, selector: &Labels) -> bool {
        let with = |label| self.by_label.get(&label).map_or(&[][..], Vec::as_slice);
        let fewest = selector.iter().map(with).min_by_key(|pods| pods.len());
        fewest.map_or(self.exist, |pods| pods.iter().any(|labels| is_subset(selector, labels)))
    }
}

fn certificates(rule: &Resource<'_>, report: &mut Report) {
    let policy = rule.spec.get("trafficPolicy");
    let trusts_anyone = |tls: Tree<'_>| {
        let remote = !tls.get("credentialName").text().is_empty() && rule.spec.get("workloadSelector").is_set();
        matches!(tls.get("mode").text(), "SIMPLE" | "MUTUAL") && tls.get("caCertificates").text().is_empty() && !remote
    };
    let host = rule.spec.get("host").text();
    let help = "name the CA in `caCertificates`";
    if trusts_anyone(policy.get("tls")) {
        let mode = policy.at("tls.mode").text();
        let text = format!("clients begin TLS in mode {mode} with `{host}` and name no CA to check it by");
        report.advise(&UNVERIFIED_SERVER, rule, "spec.trafficPolicy.tls", text, help);
    }
    for (i, port) in policy.list("portLevelSettings").enumerate() {
        if trusts_anyone(port.get("tls")) {
            let (mode, number) = (port.at("tls.mode").text(), port.at("port.number").int());
            let text = format!(
                "clients begin TLS in mode {mode} with port {number} of `{host}` and name no CA to check it by"
            );
            let path = format!("spec.trafficPolicy.portLevelSettings[{i}].tls");
            report.advise(&UNVERIFIED_PORT, rule, &path, text, help);
        }
    }
}

fn subsets(world: &World<'_>, hosts: &Hosts, pods: &Pods<'_>, rule: &Resource<'_>, report: &mut Report) {
    let host = rule.spec.get("host").text();
    let Some(found) = hosts.find(rule.namespace(), &rule.spec.texts("exportTo"), host) else {
        let text = format!("no service has the host `{host}`");
        return report.say(&UNKNOWN_RULE_HOST, rule, "spec.host", text);
    };
    // The manifests may hold the service without what runs behind it.
    if !world.closed && (found.selector.is_empty() || !pods.selects(&found.selector)) {
        return;
    }
    // Of several subsets of one name the last one counts.
    let by_name: BTreeMap<&str, (usize, Tree<'_>)> =
        (rule.spec.list("subsets").enumerate()).map(|(i, subset)| (subset.get("name").text(), (i, subset))).collect();
    for (name, (i, subset)) in by_name {
        let mut selector = found.selector.clone();
        selector.extend(subset.get("labels").labels());
        if !pods.selects(&selector) && !pods.on_nodes.iter().any(|labels| is_subset(&selector, labels)) {
            let text = format!("no pod of `{host}` has the labels of the subset `{name}`");
            report.say(&UNMATCHED_SUBSET, rule, &format!("spec.subsets[{i}].name"), text);
        }
    }
}

/// The labels of a pod that names its node, with those that it has from there.
fn on_node(world: &World<'_>, pod: &Pod<'_>) -> Option<Labels> {
    const TOPOLOGY: &[&str] =
        &["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];
    let name = pod.spec.get("nodeName").text();
    if name.is_empty() {
        return None;
    }
    let mut labels = pod.labels.clone();
    for node in world.all(NODE).iter().filter(|node| node.name() == name) {
        let topology = TOPOLOGY.iter().filter_map(|key| Some(((*key).to_owned(), node.label(key)?.to_owned())));
        labels.extend(topology.filter(|(_, value)| !value.is_empty()));
    }
    labels.insert("kubernetes.io/hostname".to_owned(), name.to_owned());
    Some(labels)
}
