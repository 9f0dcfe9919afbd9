//! `MP0507` early-redelivery (`P9`, `Q-1`).
//!
//! **Statement.** Whoever takes messages from a queue is done with a batch, its calls and their retries included, before
//! the queue hands it to somebody else: the longest time of the handler is at most the queue's `visibility_timeout`.
//! Otherwise a message that is being worked on is worked on twice, and one that always takes longer goes to the dead
//! letters, or round for ever, though nothing fails.
//!
//! **Decided by** the busy times of `MP0402`, **checked by** Z3: is there a time that the handler may take and that is
//! longer than the timeout? The oracle in the tests plays a message with any number of consumers.

use meshproof_model::{EARLY_REDELIVERY, Finding, Nanos, Severity, Subject};

use super::{Check, Judge, millis, timeout_inversion::BusyTimes};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_WAITING, OWN_TIME},
    graph::OwnTime,
    term::{Int, Query},
};

/// Judges every workload that takes messages.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let behaviour = &judge.mesh.behaviour;
    if behaviour.queues.is_empty() {
        return report;
    }
    let busy = BusyTimes::of(judge.graph);
    for id in judge.mesh.workload_ids() {
        let name = judge.mesh.workload(id).full_name();
        let Some(known) = behaviour.workloads.get(&name) else { continue };
        let Some(consumption) = &known.consumes else { continue };
        let Some(queue) = behaviour.queues.get(&consumption.queue) else { continue };
        let node = &judge.graph.nodes[id.index()];
        let OwnTime::AtMost(_) = node.own else { continue };
        // Without a limit on some call nothing can be said.
        let Some(longest) = busy.of_node(id.index()).bounded() else { continue };
        let case = Case {
            consumer: name,
            queue: &consumption.queue,
            longest,
            least: known.service_time.min(),
            visible_after: queue.visibility_timeout,
            most: queue.max_receives,
            has_dead_letters: queue.dead_letters.is_some(),
        };
        judge_case(judge, &case, &mut report);
    }
    report
}

/// A consumer and its queue.
struct Case<'a> {
    consumer: String,
    queue: &'a str,
    longest: Nanos,
    least: Nanos,
    visible_after: Nanos,
    most: Option<u32>,
    has_dead_letters: bool,
}

fn judge_case(judge: &Judge<'_>, case: &Case<'_>, report: &mut Report) {
    let subject = Subject::Workload(case.consumer.clone());
    let mut query = Query::default();
    let time = query.int("time");
    query.assert(time.clone().le(Int::Const(case.longest.get())));
    query.assert(time.gt(Int::Const(case.visible_after.get())));
    match (judge.none_satisfiable(&[query]), case.longest > case.visible_after) {
        (Check::Confirmed, false) => report.proofs.push(
            Proof::new(&EARLY_REDELIVERY, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("queue", case.queue)
                .value("longest_ms", millis(case.longest))
                .value("visibility_timeout_ms", millis(case.visible_after))
                .assuming([OWN_TIME, NO_WAITING, CALLS_COMPLETE, APPLIED]),
        ),
        (Check::Refuted, true) => report.findings.push(finding(subject, case)),
        (Check::Undecided(reason), _) => report.undecided(&EARLY_REDELIVERY, subject, &reason),
        (_, _) => report.disagree(&EARLY_REDELIVERY, &subject, "the busy time and Z3 differ"),
    }
}

/// How often a message is taken that takes so long and does not fail; `None`: without end.
fn deliveries(takes: Nanos, visible_after: Nanos, most: Option<u32>) -> Option<u64> {
    // It is taken again each time that it becomes visible before the first run is done.
    let again = takes.get().saturating_sub(1).checked_div(visible_after.get());
    match (again, most) {
        (Some(again), Some(most)) => Some((again + 1).min(most.into())),
        (Some(again), None) => Some(again + 1),
        (None, most) => most.map(u64::from),
    }
}

fn finding(subject: Subject, case: &Case<'_>) -> Finding {
    let times = deliveries(case.longest, case.visible_after, case.most);
    let often = times.map_or("again and again".to_owned(), |times| format!("up to {times} times"));
    let always = case.least > case.visible_after;
    let lost = match case.most {
        Some(most) if case.longest > case.visible_after.times(most.into()) && case.has_dead_letters => {
            ", and becomes a dead letter though nothing fails"
        }
        _ => "",
    };
    let message = format!(
        "`{}` may work on a message for {} and `{}` hands it out again after {}: it is worked on {often}{lost}",
        case.consumer, case.longest, case.queue, case.visible_after
    );
    let mut finding = Finding::new(&EARLY_REDELIVERY, subject, message)
        .help(format!("a `visibility_timeout` of at least {}, or tighter limits on the handler's calls", case.longest))
        .value("longest_ms", millis(case.longest))
        .value("visibility_timeout_ms", millis(case.visible_after));
    if let Some(times) = times {
        finding = finding.value("deliveries", times);
    }
    if always {
        finding.severity = Severity::Error;
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;

    /// A message that is taken whenever somebody can see it, tick by tick, until the first run is done.
    fn played(takes: u64, visible_after: u64, most: Option<u32>) -> u64 {
        let (mut taken, mut hidden_until) = (0_u64, 0);
        for now in 0..takes {
            if now >= hidden_until && most.is_none_or(|most| taken < u64::from(most)) {
                taken += 1;
                hidden_until = now + visible_after;
            }
        }
        taken
    }

    #[test]
    fn a_message_is_taken_as_often_as_it_is_visible() {
        let cases = crate::testing::cases(1_000);
        let mut draws = Draws::new(11);
        let (mut once, mut often) = (0, 0);
        for _ in 0..cases {
            let (takes, visible_after) = (1 + draws.below(30), 1 + draws.below(20));
            let most = draws.chance(50).then(|| u32::try_from(1 + draws.below(4)).unwrap_or(1));
            let found = deliveries(Nanos::new(takes), Nanos::new(visible_after), most);
            assert_eq!(found, Some(played(takes, visible_after, most)), "{takes} {visible_after} {most:?}");
            // More than once only if it takes longer than it is hidden.
            assert!(found == Some(1) || takes > visible_after);
            *(if takes > visible_after { &mut often } else { &mut once }) += 1;
        }
        assert!(once * 4 >= cases && often * 4 >= cases, "{once} {often}");
    }
}
