//! `MP0504` emptied-cluster (`P8`).
//!
//! **Statement.** Outlier detection leaves a host, or the proxy falls back to all of them: not every one of `n` hosts can
//! be ejected, as `100 · n / n` exceeds `maxEjectionPercent`, or `minHealthPercent` is above zero, so that the proxy
//! uses ejected hosts again once too few are left (`DR-13`, `DR-19`). Otherwise one kind of request that fails everywhere
//! empties the cluster, and all other requests are answered 503 too.
//!
//! **Decided by** the two numbers, **checked by** Z3: may the last of the hosts be ejected, and is that no panic? The
//! oracle in the tests ejects one host after the other by Envoy's own rules.

use meshproof_model::{EMPTIED_CLUSTER, Finding, Severity, Subject, istio::OutlierDetection};

use super::{
    Check, Judge,
    outlier_inert::{Hosts, ejectable_percent, has_counter, hosts, least_healthy, policies},
};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, NO_PATCHES},
    term::{Int, Query},
};

/// Judges every `outlierDetection` of every `DestinationRule`.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    for rule in &judge.mesh.destination_rules {
        for (outlier, subset) in policies(rule) {
            let all: Vec<Hosts> = hosts(judge, rule, subset);
            if !all.is_empty() && has_counter(outlier) {
                judge_hosts(judge, &Subject::Resource(rule.meta.resource.clone()), outlier, &all, &mut report);
            }
        }
    }
    report
}

fn judge_hosts(judge: &Judge<'_>, subject: &Subject, outlier: &OutlierDetection, all: &[Hosts], report: &mut Report) {
    let (percent, least) = (ejectable_percent(outlier), least_healthy(outlier));
    let can_empty = percent >= 100 && least == 0;
    let queries: Vec<Query> = all.iter().map(|hosts| last_ejection(hosts.count, percent, least)).collect();
    for check in judge.each_unsatisfiable(&queries) {
        match check {
            Check::Undecided(reason) => return report.undecided(&EMPTIED_CLUSTER, subject.clone(), &reason),
            check if (check == Check::Refuted) != can_empty => {
                return report.disagree(&EMPTIED_CLUSTER, subject, "the closed form and Z3 differ");
            }
            _ => {}
        }
    }
    let fewest = all.iter().min_by_key(|hosts| hosts.count);
    let Some(fewest) = fewest else { return };
    if can_empty {
        report.findings.push(finding(subject, outlier, fewest));
    } else {
        let proof = Proof::new(&EMPTIED_CLUSTER, subject.clone(), Engine::Fixpoint, Some(Engine::Z3))
            .value("hosts", fewest.count)
            .value("max_ejection_percent", percent)
            .value("min_health_percent", least);
        report.proofs.push(proof.assuming([NO_PATCHES, APPLIED]));
    }
}

/// May the last host be ejected, and does the proxy then not use all of them?
fn last_ejection(hosts: u64, percent: u32, least: u32) -> Query {
    let mut query = Query::default();
    let (ejected, left) = (query.int("ejected"), query.int("left"));
    query.assert(Int::Const(hosts).le(ejected.clone()));
    query.assert(ejected.clone().times(100).le(Int::Const(hosts.saturating_mul(percent.into()))));
    query.assert(Int::Sum(vec![ejected, left.clone()]).le(Int::Const(hosts)));
    // No panic: the share that is left is not below the threshold.
    query.assert(Int::Const(hosts.saturating_mul(least.into())).le(left.times(100)));
    query
}

fn finding(subject: &Subject, outlier: &OutlierDetection, fewest: &Hosts) -> Finding {
    let is_only = fewest.count == 1;
    let message = if is_only {
        format!("the only host of `{}` can be ejected: all its requests are answered 503 until it is back", fewest.name)
    } else {
        format!(
            "all {} hosts of `{}` can be ejected: then every request is answered 503 until one is back",
            fewest.count, fewest.name
        )
    };
    let at = outlier.max_ejection_percent.as_ref().map_or_else(|| outlier.at.clone(), |percent| percent.at.clone());
    let mut finding = Finding::new(&EMPTIED_CLUSTER, subject.clone(), message)
        .at(at)
        .help("a `maxEjectionPercent` below 100 keeps a host; a `minHealthPercent` above 0 uses all once few are left")
        .value("hosts", fewest.count)
        .value("max_ejection_percent", 100_u64);
    // With several hosts somebody may want that: rather no answer than that of a host that fails.
    finding.severity = if is_only { Severity::Warning } else { Severity::Info };
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{testing::Draws, z3::Answer};

    /// Ejects one host after the other, as Envoy 1.40 does; whether one is used at the end.
    fn is_emptied(hosts: u64, percent: u32, least: u32) -> bool {
        let mut ejected = 0;
        while ejected < hosts && 100 * (ejected + 1) <= hosts * u64::from(percent) {
            ejected += 1;
        }
        let in_panic = 100 * (hosts - ejected) < hosts * u64::from(least);
        ejected == hosts && !in_panic
    }

    #[test]
    fn hosts_that_are_ejected_one_by_one_empty_the_cluster_exactly_if_the_numbers_say_so() {
        let cases = crate::testing::cases(400);
        let mut draws = Draws::new(5);
        let (mut emptied, mut kept) = (0, 0);
        for _ in 0..cases {
            let mut number = |bound: u64| u32::try_from(draws.below(bound)).unwrap_or(0);
            let (hosts, percent) = (u64::from(1 + number(12)), (number(40) + 75).min(100));
            let least = number(30).saturating_sub(24) * 20;
            let closed = percent >= 100 && least == 0;
            assert_eq!(is_emptied(hosts, percent, least), closed, "{hosts} {percent} {least}");
            let answer = crate::z3::check_one(&last_ejection(hosts, percent, least), 1_000_000);
            assert_eq!(matches!(answer, Answer::Sat(_)), closed, "{hosts} {percent} {least}");
            *(if closed { &mut emptied } else { &mut kept }) += 1;
        }
        assert!(emptied * 4 >= cases && kept * 4 >= cases, "{emptied} {kept}");
    }
}
