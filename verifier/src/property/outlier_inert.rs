//! `MP0501` outlier-inert (`P8`).
//!
//! **Statement.** Outlier detection that is written for a set of hosts can eject at least one of them: with `n` hosts
//! and `maxEjectionPercent` of `p`, the first ejection happens only if `100 · 1 / n <= p`, that is, `⌊n·p/100⌋ >= 1`
//! (Envoy 1.40, measured; Istio never sets `always_eject_one_host`), and the proxy then leaves that host alone: the share
//! that is left is not below `minHealthPercent`, under which all hosts are used, ejected ones too (`DR-19`). Some failures
//! are counted at all. And `consecutiveGatewayErrors` acts: it is lower than `consecutive5xxErrors`, which counts the same
//! failures (`DR-13`).
//!
//! **Decided by** a division, **checked by** Z3: is there a number of ejected hosts, from 1, within both limits?

use std::collections::BTreeMap;

use meshproof_model::{
    Finding, Located, OUTLIER_INERT, Subject, complete_host, host_covers, is_subset,
    istio::{DestinationRule, OutlierDetection, TrafficPolicy},
};

use super::{Check, Judge, listed};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, NO_PATCHES},
    term::{Int, Query},
};

/// Istio's defaults (`DR` table).
const MAX_EJECTION_PERCENT: u32 = 10;
const CONSECUTIVE_5XX: u32 = 5;

/// A set of hosts that an `outlierDetection` is for.
pub(super) struct Hosts {
    /// The service, and the subset where there is one.
    pub name: String,
    /// How many they are.
    pub count: u64,
}

/// Judges every `outlierDetection` of every `DestinationRule`.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    for rule in &judge.mesh.destination_rules {
        for (outlier, subset) in policies(rule) {
            if has_counter(outlier) {
                judge_hosts(judge, rule, outlier, subset, &mut report);
                report.findings.extend(subsumed(rule, outlier));
            } else {
                report.findings.push(uncounted(rule, outlier));
            }
        }
    }
    report
}

/// Every `outlierDetection` of a rule; with the name of its subset, where it is a subset's own.
pub(super) fn policies(rule: &DestinationRule) -> impl Iterator<Item = (&OutlierDetection, Option<&str>)> {
    let top = rule.traffic_policy.iter().flat_map(with_ports).map(|outlier| (outlier, None));
    let subsets = rule.subsets.iter().flat_map(move |subset| {
        let own = subset.traffic_policy.as_deref().into_iter().flat_map(with_ports);
        own.map(|outlier| (outlier, Some(subset.name.value.as_str())))
    });
    top.chain(subsets)
}

fn with_ports(policy: &TrafficPolicy) -> impl Iterator<Item = &OutlierDetection> {
    let ports = policy.port_level.iter().filter_map(|(_, policy)| policy.outlier_detection.as_ref());
    policy.outlier_detection.iter().chain(ports)
}

fn judge_hosts(
    judge: &Judge<'_>,
    rule: &DestinationRule,
    outlier: &OutlierDetection,
    subset: Option<&str>,
    report: &mut Report,
) {
    let (percent, least) = (ejectable_percent(outlier), least_healthy(outlier));
    let subject = Subject::Resource(rule.meta.resource.clone());
    let (mut inert, mut pointless, mut able) = (Vec::new(), Vec::new(), Vec::new());
    for hosts in hosts(judge, rule, subset) {
        let can_eject = hosts.count.saturating_mul(percent.into()) / 100 >= 1;
        let is_left_alone = (hosts.count - 1).saturating_mul(100) >= hosts.count.saturating_mul(least.into());
        match (judge.none_satisfiable(&[ejection(hosts.count, percent, least)]), can_eject && is_left_alone) {
            (Check::Confirmed, false) if can_eject => pointless.push(hosts),
            (Check::Confirmed, false) => inert.push(hosts),
            (Check::Refuted, true) => able.push(hosts),
            (Check::Undecided(reason), _) => report.undecided(&OUTLIER_INERT, subject.clone(), &reason),
            (_, _) => report.disagree(&OUTLIER_INERT, &subject, "the closed form and Z3 differ"),
        }
    }
    if !inert.is_empty() {
        report.findings.push(finding(&subject, outlier, percent, &inert));
    } else if !pointless.is_empty() {
        report.findings.push(panics(&subject, outlier, least, &pointless));
    } else if let Some(fewest) = able.iter().map(|hosts| hosts.count).min() {
        let name = subset.map_or_else(String::new, |subset| format!(" subset {subset}"));
        let proof = Proof::new(&OUTLIER_INERT, subject, Engine::Fixpoint, Some(Engine::Z3))
            .value("hosts", fewest)
            .value("max_ejection_percent", percent)
            .value("ejectable_hosts", fewest.saturating_mul(percent.into()) / 100)
            .assuming([NO_PATCHES, APPLIED]);
        report.proofs.push(if name.is_empty() { proof } else { proof.value("subset", name.trim_start()) });
    }
}

/// The most hosts that may be ejected, in percent.
pub(super) fn ejectable_percent(outlier: &OutlierDetection) -> u32 {
    let percent = outlier.max_ejection_percent.as_ref().map(|percent| percent.value).filter(|percent| *percent > 0);
    percent.unwrap_or(MAX_EJECTION_PERCENT).min(100)
}

/// The share of hosts, in percent, below which all are used, ejected ones too.
pub(super) fn least_healthy(outlier: &OutlierDetection) -> u32 {
    outlier.min_health_percent.as_ref().map_or(0, |percent| percent.value)
}

/// Whether some failures count towards an ejection.
pub(super) fn has_counter(outlier: &OutlierDetection) -> bool {
    let counts = |errors: &Option<Located<u32>>, default: u32| errors.as_ref().map_or(default, |n| n.value) > 0;
    let is_split = outlier.split_external_local_origin_errors.as_ref().is_some_and(|split| split.value);
    counts(&outlier.consecutive_5xx_errors, CONSECUTIVE_5XX)
        || counts(&outlier.consecutive_gateway_errors, 0)
        || (is_split && counts(&outlier.consecutive_local_origin_failures, CONSECUTIVE_5XX))
}

/// The sets of hosts that a policy of a rule acts on: of the whole service where requests can go there, and of each
/// subset that has no policy of its own.
pub(super) fn hosts(judge: &Judge<'_>, rule: &DestinationRule, subset: Option<&str>) -> Vec<Hosts> {
    let mesh = judge.mesh;
    let host = complete_host(&rule.host.value, rule.meta.namespace(), mesh.domain());
    let services = mesh.service_ids().filter(|id| host_covers(&host, &mesh.service(*id).host));
    let mut sets = BTreeMap::new();
    for id in services {
        let chosen = rule.subsets.iter().filter(|known| subset.is_none_or(|name| known.name.value == name));
        let inherits = chosen.filter(|known| {
            let own = known.traffic_policy.as_ref().and_then(|policy| policy.outlier_detection.as_ref());
            subset.is_some() || own.is_none()
        });
        let count = |labels: &meshproof_model::Labels| -> u64 {
            let workloads = mesh.workloads_of(id).map(|id| mesh.workload(id));
            let members = workloads.filter(|workload| is_subset(labels, &workload.labels));
            members.map(|workload| u64::from(workload.replicas.value)).sum()
        };
        let name = mesh.service(id).full_name();
        for known in inherits {
            sets.insert(format!("{name} subset {}", known.name.value), count(&known.labels));
        }
        if subset.is_none() && rule.subsets.is_empty() {
            sets.insert(name, count(&meshproof_model::Labels::new()));
        }
    }
    // Of hosts that nobody describes nothing can be said.
    sets.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| Hosts { name, count }).collect()
}

/// Is there a number of ejected hosts, from 1, within the limit, and enough are left?
fn ejection(hosts: u64, percent: u32, least: u32) -> Query {
    let mut query = Query::default();
    let ejected = query.int("ejected");
    let kept = Int::Sum(vec![ejected.clone().times(100), Int::Const(hosts.saturating_mul(least.into()))]);
    query.assert(kept.le(Int::Const(hosts.saturating_mul(100))));
    query.assert(Int::Const(1).le(ejected.clone()));
    query.assert(ejected.times(100).le(Int::Const(hosts.saturating_mul(percent.into()))));
    query
}

fn finding(subject: &Subject, outlier: &OutlierDetection, percent: u32, inert: &[Hosts]) -> Finding {
    let names: Vec<String> =
        inert.iter().map(|hosts| format!("{} ({})", hosts.name, hosts_text(hosts.count))).collect();
    let most = inert.iter().map(|hosts| hosts.count).max().unwrap_or(1);
    let enough = 100_u64.div_ceil(most);
    let (at, by_default) = match outlier.max_ejection_percent.as_ref().filter(|percent| percent.value > 0) {
        Some(written) => (written.at.clone(), ""),
        None => (outlier.at.clone(), " (the default)"),
    };
    let message = format!(
        "outlier detection can never eject a host: `maxEjectionPercent` {percent}{by_default} of {} is less than one host",
        listed(&names)
    );
    Finding::new(&OUTLIER_INERT, subject.clone(), message)
        .at(at)
        .help(format!("a `maxEjectionPercent` of {enough} or more allows the first ejection"))
        .value("hosts", most)
        .value("max_ejection_percent", percent)
        .value("ejectable_hosts", 0_u64)
}

/// The first ejection leaves too few.
fn panics(subject: &Subject, outlier: &OutlierDetection, least: u32, pointless: &[Hosts]) -> Finding {
    let names: Vec<String> =
        pointless.iter().map(|hosts| format!("{} ({})", hosts.name, hosts_text(hosts.count))).collect();
    let fewest = pointless.iter().map(|hosts| hosts.count).min().unwrap_or(1);
    let at = outlier.min_health_percent.as_ref().map_or_else(|| outlier.at.clone(), |percent| percent.at.clone());
    let message = format!(
        "an ejected host gets requests all the same: once one of {} is ejected, less than `minHealthPercent` {least} is \
         left, and all are used",
        listed(&names)
    );
    Finding::new(&OUTLIER_INERT, subject.clone(), message)
        .at(at)
        .help(format!("a `minHealthPercent` of {} or less leaves the first one alone", (fewest - 1) * 100 / fewest))
        .value("hosts", fewest)
        .value("min_health_percent", least)
        .value("ejectable_hosts", 0_u64)
}

/// Nothing is counted.
fn uncounted(rule: &DestinationRule, outlier: &OutlierDetection) -> Finding {
    let subject = Subject::Resource(rule.meta.resource.clone());
    let at = outlier.consecutive_5xx_errors.as_ref().map_or_else(|| outlier.at.clone(), |errors| errors.at.clone());
    Finding::new(&OUTLIER_INERT, subject, "outlier detection can never eject a host: it counts no failures")
        .at(at)
        .help("give `consecutive5xxErrors` or `consecutiveGatewayErrors` a number above 0")
        .value("ejectable_hosts", 0_u64)
}

fn hosts_text(count: u64) -> String {
    if count == 1 { "1 host".to_owned() } else { format!("{count} hosts") }
}

/// Gateway errors are 5xx errors too: a threshold that is not lower is never the first to be reached.
fn subsumed(rule: &DestinationRule, outlier: &OutlierDetection) -> Option<Finding> {
    let gateway = outlier.consecutive_gateway_errors.as_ref().filter(|errors| errors.value > 0)?;
    let all: Option<&Located<u32>> = outlier.consecutive_5xx_errors.as_ref();
    let limit = all.map_or(CONSECUTIVE_5XX, |errors| errors.value);
    (limit > 0 && gateway.value >= limit).then(|| {
        let subject = Subject::Resource(rule.meta.resource.clone());
        let message = format!(
            "`consecutiveGatewayErrors` {} never acts: `consecutive5xxErrors` {limit}{} counts the same failures and \
             ejects no later",
            gateway.value,
            if all.is_some() { "" } else { " (the default)" }
        );
        let finding = Finding::new(&OUTLIER_INERT, subject, message)
            .at(gateway.at.clone())
            .help("make it lower than `consecutive5xxErrors`, or set that to 0")
            .value("consecutive_gateway_errors", gateway.value)
            .value("consecutive_5xx_errors", limit);
        match all {
            Some(errors) => finding.related(errors.at.clone(), "reached no later"),
            None => finding,
        }
    })
}
