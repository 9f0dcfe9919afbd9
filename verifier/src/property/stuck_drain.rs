//! `MP0703` stuck-drain and `MP0704` lax-budget (`P6`, `K-6`).
//!
//! **Statement.** With all its pods healthy, a workload under a `PodDisruptionBudget` lets some pod be evicted, at every
//! number of pods that its scaler may choose (`MP0703`); so a node can be drained. No pod is under two budgets: the API
//! refuses to evict such a pod at all. And a budget for two pods or more does not let all of them go at once (`MP0704`).
//!
//! **Decided by** Kubernetes' arithmetic, **checked by** Z3: is there a number of evictions, from 1, that leaves as many
//! pods as the budget wants?

use meshproof_model::{
    Finding, LAX_BUDGET, Located, Location, Mesh, STUCK_DRAIN, Subject, WorkloadId,
    kubernetes::{IntOrPercent, PodDisruptionBudget},
};

use super::{Check, Judge};
use crate::{
    Engine, Proof, Report,
    assumption::{ALL_HEALTHY, APPLIED},
    term::{Bool, Int, Query},
};

/// Judges every budget of every workload.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    for id in judge.mesh.workload_ids() {
        let budgets: Vec<&PodDisruptionBudget> = judge.mesh.disruption_budgets_of(id).collect();
        match budgets.as_slice() {
            [] => {}
            [budget] => judge_budget(judge, id, budget, &mut report),
            [first, second, ..] => report.findings.push(two_budgets(judge.mesh, id, first, second)),
        }
    }
    report
}

fn judge_budget(judge: &Judge<'_>, id: WorkloadId, budget: &PodDisruptionBudget, report: &mut Report) {
    let subject = Subject::Workload(judge.mesh.workload(id).full_name());
    let (least, most) = numbers(judge.mesh, id);
    if most == 0 {
        return;
    }
    // Who has one pod at the least may want none of it to go: then it has more for a drain.
    let numbers: Vec<u32> = if most - least < NUMBERS_MAX { (least..=most).collect() } else { vec![least, most] };
    let mut fewest: Option<(u32, u32)> = None;
    for pods in numbers.into_iter().filter(|pods| *pods > 0) {
        let gone = budget.disruptions(pods);
        let queries = [evictions(budget, pods, Some(gone)), evictions(budget, pods, None)];
        match judge.each_unsatisfiable(&queries).as_slice() {
            [Check::Confirmed, some] if (*some == Check::Refuted) == (gone > 0) => {}
            [Check::Undecided(reason), _] | [_, Check::Undecided(reason)] => {
                return report.undecided(&STUCK_DRAIN, subject, reason);
            }
            _ => return report.disagree(&STUCK_DRAIN, &subject, "Kubernetes' arithmetic and Z3 differ"),
        }
        if fewest.is_none_or(|(_, known)| gone < known) {
            fewest = Some((pods, gone));
        }
        if pods >= 2 && gone >= pods && !report.findings.iter().any(|f| f.rule == &LAX_BUDGET && f.subject == subject) {
            report.findings.push(lax(&subject, budget, pods));
        }
    }
    match fewest {
        Some((pods, 0)) => report.findings.push(stuck(&subject, budget, pods, least < most)),
        Some((pods, gone)) => report.proofs.push(
            Proof::new(&STUCK_DRAIN, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("pods", pods)
                .value("evictions_at_once", gone)
                .assuming([APPLIED, ALL_HEALTHY]),
        ),
        None => {}
    }
}

// BOUND: numbers of pods that a scaler may choose and that are judged one by one; of more, the ends.
const NUMBERS_MAX: u32 = 64;

/// The fewest and the most pods that a workload may have.
fn numbers(mesh: &Mesh, id: WorkloadId) -> (u32, u32) {
    let workload = mesh.workload(id);
    let resource = &workload.meta.resource;
    let scaler = mesh.kubernetes.autoscalers.iter().find(|scaler| {
        let (kind, name) = &scaler.target.value;
        scaler.meta.namespace() == resource.namespace && *kind == resource.kind && *name == resource.name
    });
    let replicas = workload.replicas.value;
    scaler.map_or((replicas, replicas), |scaler| {
        let least = scaler.min_replicas.as_ref().map_or(1, |least| least.value);
        (least, scaler.max_replicas.value.max(least))
    })
}

/// Is there a number of evictions, above `above` or from 1, that the budget allows?
fn evictions(budget: &PodDisruptionBudget, pods: u32, above: Option<u32>) -> Query {
    let mut query = Query::default();
    let gone = query.int("gone");
    let pods = u64::from(pods);
    query.assert(gone.clone().le(Int::Const(pods)));
    query.assert(gone.clone().gt(Int::Const(above.map_or(0, u64::from))));
    // A share of the pods rounds up: 100 times the number is at least the share, and less than 100 more.
    let mut share = |written: &Located<IntOrPercent>| match written.value {
        IntOrPercent::Count(count) => Int::Const(count.into()),
        IntOrPercent::Percent(percent) => {
            let count = query.int("share");
            let (whole, hundredfold) = (Int::Const(u64::from(percent) * pods), count.clone().times(100));
            query.assert(Bool::And(vec![
                whole.clone().le(hundredfold.clone()),
                Int::Sum(vec![whole, Int::Const(100)]).gt(hundredfold),
            ]));
            count
        }
    };
    match (&budget.min_available, &budget.max_unavailable) {
        (Some(least), _) => {
            let least = share(least);
            query.assert(Int::Sum(vec![gone, least]).le(Int::Const(pods)));
        }
        (None, Some(most)) => {
            let most = share(most);
            query.assert(gone.le(most));
        }
        (None, None) => {}
    }
    query
}

fn place(budget: &PodDisruptionBudget) -> Location {
    let written = budget.min_available.as_ref().or(budget.max_unavailable.as_ref());
    written.map_or_else(|| budget.meta.at.clone(), |written| written.at.clone())
}

fn stuck(subject: &Subject, budget: &PodDisruptionBudget, pods: u32, is_scaled: bool) -> Finding {
    let many = if pods == 1 { "its only pod".to_owned() } else { format!("none of its {pods} pods") };
    let when = if is_scaled { ", its fewest," } else { "" };
    let may = if pods == 1 { "may not" } else { "may" };
    let message = format!("{many}{when} {may} be evicted: nodes that run them cannot be drained");
    Finding::new(&STUCK_DRAIN, subject.clone(), message)
        .at(place(budget))
        .help("use `maxUnavailable: 1`, or run more pods than must be available")
        .value("pods", pods)
        .value("evictions_at_once", 0_u64)
}

fn lax(subject: &Subject, budget: &PodDisruptionBudget, pods: u32) -> Finding {
    let message = format!("the budget lets all {pods} pods go at once, as if there were none");
    Finding::new(&LAX_BUDGET, subject.clone(), message)
        .at(place(budget))
        .help("use `maxUnavailable: 1`")
        .value("pods", pods)
        .value("evictions_at_once", pods)
}

fn two_budgets(mesh: &Mesh, id: WorkloadId, first: &PodDisruptionBudget, second: &PodDisruptionBudget) -> Finding {
    let message = format!(
        "`{}` and `{}` select the same pods: no pod under two budgets is evicted, so nodes cannot be drained",
        first.meta.resource, second.meta.resource
    );
    Finding::new(&STUCK_DRAIN, Subject::Workload(mesh.workload(id).full_name()), message)
        .at(second.meta.at.clone())
        .related(first.meta.at.clone(), "the other budget")
        .help("keep one of them, or let their selectors part the pods")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use meshproof_model::{Labels, Meta, ResourceRef};

    use super::*;
    use crate::{graph::Graph, testing::Draws, z3::Answer};

    fn budget(least: Option<IntOrPercent>, most: Option<IntOrPercent>) -> PodDisruptionBudget {
        let at = |value| Located::new(value, Graph::place(1));
        let resource = ResourceRef { kind: "PodDisruptionBudget".into(), namespace: "n".into(), name: "b".into() };
        let meta =
            Meta { resource, labels: Labels::new(), annotations: Labels::new(), created: None, at: Graph::place(1) };
        PodDisruptionBudget { meta, pods: None, min_available: least.map(at), max_unavailable: most.map(at) }
    }

    /// Pods that go one after the other, each only if the rest is enough.
    fn one_by_one(budget: &PodDisruptionBudget, pods: u32) -> u32 {
        let share = |value: IntOrPercent| match value {
            IntOrPercent::Count(count) => count,
            IntOrPercent::Percent(percent) => (0..=pods * 2).find(|count| count * 100 >= percent * pods).unwrap(),
        };
        let mut gone = 0;
        while gone < pods {
            let enough = match (&budget.min_available, &budget.max_unavailable) {
                (Some(least), _) => pods - gone > share(least.value),
                (None, Some(most)) => gone < share(most.value),
                (None, None) => true,
            };
            if !enough {
                break;
            }
            gone += 1;
        }
        gone
    }

    #[test]
    fn pods_that_go_one_by_one_are_as_many_as_the_budget_allows() {
        let cases = crate::testing::cases(400);
        let mut draws = Draws::new(3);
        let (mut stuck, mut free) = (0, 0);
        for _ in 0..cases {
            let pods = 1 + u32::try_from(draws.below(8)).unwrap();
            let mut value = || {
                let number = u32::try_from(draws.below(9)).unwrap();
                if draws.chance(50) { IntOrPercent::Count(number) } else { IntOrPercent::Percent(number * 12 + 4) }
            };
            let (least, most) = (value(), value());
            let budget = if draws.chance(70) { budget(Some(least), None) } else { budget(None, Some(most)) };
            let gone = one_by_one(&budget, pods);
            assert_eq!(budget.disruptions(pods), gone, "{pods} {budget:?}");
            let answer = |above| crate::z3::check_one(&evictions(&budget, pods, above), 1_000_000);
            assert_eq!(answer(Some(gone)), Answer::Unsat, "{pods} {budget:?}");
            assert_eq!(matches!(answer(None), Answer::Sat(_)), gone > 0, "{pods} {budget:?}");
            *(if gone == 0 { &mut stuck } else { &mut free }) += 1;
        }
        assert!(stuck * 4 >= cases && free * 4 >= cases, "{stuck} {free}");
    }
}
