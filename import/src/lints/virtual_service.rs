//! `VirtualServices`: weights, retries, callers' labels, several for one host.

use std::collections::BTreeMap;

use meshproof_model::{
    Finding, Mesh,
    istio::{HttpRoute, VirtualService},
};

use super::{conflict, ineffective, precedence};

pub(super) fn check(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    for vs in &mesh.virtual_services {
        for rule in &vs.http {
            retries(vs, rule, findings);
            weights(vs, rule, findings);
            source_labels(vs, rule, findings);
        }
    }
    same_host(mesh, cluster_domain, findings);
}

/// `RT-13`.
fn retries(vs: &VirtualService, rule: &HttpRoute, findings: &mut Vec<Finding>) {
    if let Some(retries) = rule.retries.as_ref().filter(|retries| retries.attempts.is_none()) {
        let message = "`retries` without `attempts` switches retries off";
        findings.push(ineffective(
            &vs.meta,
            &retries.at,
            message,
            "add `attempts`, or leave `retries` out for the default",
        ));
    }
}

/// `RT-9`.
fn weights(vs: &VirtualService, rule: &HttpRoute, findings: &mut Vec<Finding>) {
    if let [only] = rule.route.as_slice()
        && let Some(weight) = only.weight.as_ref().filter(|weight| weight.value != 100)
    {
        let message = format!("the weight {} does not count: the only destination gets every request", weight.value);
        findings.push(ineffective(&vs.meta, &weight.at, message, "leave it out, or add the other destinations"));
    }
    let weighted = rule.route.iter().any(|destination| destination.weight.is_some());
    for destination in rule.route.iter().filter(|d| rule.route.len() > 1 && weighted && d.weight.is_none()) {
        let message = "a destination without a weight beside others gets no request";
        findings.push(ineffective(&vs.meta, &destination.at, message, "give it a weight"));
    }
}

/// `RT-5`.
fn source_labels(vs: &VirtualService, rule: &HttpRoute, findings: &mut Vec<Finding>) {
    let gateways_only = !vs.gateways.is_empty() && !vs.gateways.iter().any(|gateway| gateway.value == "mesh");
    for block in rule.matches.iter().filter(|block| !block.source_labels.is_empty()) {
        let (Some(at), true) = (&block.at, gateways_only || !block.gateways.is_empty()) else { continue };
        let message = if block.gateways.is_empty() {
            "`sourceLabels` select among sidecars, and these routes are for gateways only"
        } else {
            "`sourceLabels` are not looked at beside `gateways`"
        };
        findings.push(ineffective(&vs.meta, at, message, "select callers in a VirtualService of the mesh"));
    }
}

/// `VS-5`: the mesh does not merge.
fn same_host(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    let mut by_host: BTreeMap<String, Vec<(&VirtualService, &meshproof_model::Location)>> = BTreeMap::new();
    let of_mesh = |vs: &&VirtualService| {
        let bound = vs.gateways.is_empty() || vs.gateways.iter().any(|gateway| gateway.value == "mesh");
        bound && vs.export_to.iter().all(|namespace| namespace.value == "*")
    };
    for vs in mesh.virtual_services.iter().filter(of_mesh) {
        for host in &vs.hosts {
            let full = if host.value.contains(['.', '*']) {
                host.value.to_lowercase()
            } else {
                format!("{}.{}.svc.{cluster_domain}", host.value.to_lowercase(), vs.meta.namespace())
            };
            by_host.entry(full).or_default().push((vs, &host.at));
        }
    }
    for (host, mut all) in by_host {
        all.sort_by_key(|(vs, _)| precedence(&vs.meta));
        let Some(((winner, _), others)) = all.split_first() else { continue };
        for (vs, at) in others.iter().filter(|(vs, _)| vs.meta.resource != winner.meta.resource) {
            let message =
                format!("`{}` has routes for `{host}` too, and the mesh takes those of one", winner.meta.resource);
            findings.push(conflict(&vs.meta, at, &winner.meta, message));
        }
    }
}
