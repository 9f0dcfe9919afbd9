//! Pods that stop before their callers know, and pods that the mesh takes back before anyone knows whether they work
//! (`K-2`, `K-4`).

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    ABRUPT_STOP, Finding, Mesh, Nanos, ProxyMode, SLOW_READINESS, Subject, Workload, WorkloadId,
    istio::{DestinationRule, OutlierDetection},
};

pub(super) fn check(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    let served: BTreeSet<WorkloadId> = mesh.service_ids().flat_map(|id| mesh.workloads_of(id)).collect();
    abrupt_stops(mesh, &served, findings);
    for rule in &mesh.destination_rules {
        let outlier = rule.traffic_policy.as_ref().and_then(|policy| policy.outlier_detection.as_ref());
        if let Some(outlier) = outlier {
            slow_readiness(mesh, rule, outlier, cluster_domain, findings);
        }
    }
}

/// One finding for a namespace: that a hook is absent is no mistake by itself. Who describes no part of his pods' lives
/// is not asked for the end of it.
fn abrupt_stops(mesh: &Mesh, served: &BTreeSet<WorkloadId>, findings: &mut Vec<Finding>) {
    let mut by_namespace: BTreeMap<&str, Vec<&Workload>> = BTreeMap::new();
    for id in served {
        let workload = mesh.workload(*id);
        let life = &workload.life;
        let described = life.termination_grace.is_some()
            || life.containers.iter().any(|c| c.readiness.is_some() || c.liveness.is_some() || c.post_start.is_some());
        let unhooked = life.containers.iter().any(|container| container.pre_stop.is_none());
        if workload.proxy == ProxyMode::Sidecar && described && unhooked {
            by_namespace.entry(workload.meta.namespace()).or_default().push(workload);
        }
    }
    for (namespace, mut workloads) in by_namespace {
        workloads.sort_by_key(|workload| (workload.meta.at.file, workload.meta.at.line));
        let Some((first, others)) = workloads.split_first() else { continue };
        let more = if others.is_empty() { String::new() } else { format!(" and {} more", others.len()) };
        let message = format!(
            "pods of `{}`{more} have no `preStop`: they may stop while callers still send them requests",
            first.meta.name()
        );
        let mut finding = Finding::new(&ABRUPT_STOP, Subject::Namespace(namespace.to_owned()), message)
            .at(first.meta.at.clone())
            .help("let `preStop` sleep for some seconds, until every caller knows that the pod goes");
        for other in others {
            finding = finding.related(other.meta.at.clone(), "the same");
        }
        findings.push(finding);
    }
}

/// An ejected pod comes back after a while; by then its readiness should have taken it away for as long as it fails.
fn slow_readiness(
    mesh: &Mesh,
    rule: &DestinationRule,
    outlier: &OutlierDetection,
    cluster_domain: &str,
    findings: &mut Vec<Finding>,
) {
    let (host, namespace) = (rule.host.value.as_str(), rule.meta.namespace());
    let full = if host.contains('.') { host.to_owned() } else { format!("{host}.{namespace}.svc.{cluster_domain}") };
    let Some(service) = mesh.find_host(&full) else { return };
    let base = outlier.base_ejection_time.as_ref().map_or(Nanos::from_secs(30), |time| time.value);
    let interval = outlier.interval.as_ref().map_or(Nanos::from_secs(10), |time| time.value);
    let back = Nanos::new(base.get().saturating_add(interval.get()));
    for workload in mesh.workloads_of(service).map(|id| mesh.workload(id)) {
        let probes = workload.life.containers.iter().filter_map(|container| container.readiness.as_ref());
        let Some(probe) = probes.max_by_key(|probe| probe.detection()) else { continue };
        if probe.detection() > back {
            let message = format!(
                "a pod that fails is not ready after {} at the latest, and an ejected one is back after {back}: it \
                 gets requests that it fails in between",
                probe.detection()
            );
            let finding = Finding::new(&SLOW_READINESS, Subject::Resource(workload.meta.resource.clone()), message)
                .at(probe.at.clone())
                .related(outlier.at.clone(), "the ejection")
                .help("lower `periodSeconds` or `failureThreshold`, or raise `baseEjectionTime`");
            findings.push(finding);
        }
    }
}
