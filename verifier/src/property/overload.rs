//! `MP0508` load-beyond-capacity and `MP0509` self-sustained-overload (`P2.3`, `P2.4`).
//!
//! **Statement.** Under the load that scenarios send, no service gets more requests than its pods answer (`MP0508`). And
//! none stays above that once something has pushed it there (`MP0509`): with `q` the services that are over their
//! capacity, and so late that their callers have left and try again, let `F(q)` be the load that then arrives; the
//! greatest `q` with `q = {s : F(q)(s) > capacity(s)}` holds no more services than the least one.
//!
//! **Decided by** two fixpoints of the monotone `F`: from nobody over capacity upwards, which is the mesh after a cold
//! start, and from everybody downwards, which is the mesh after the worst that can happen. What is told rests on lower
//! bounds: tries that certainly happen, as a try has a limit that is shorter than the wait in a full queue, its expiry is
//! retried, and the work goes on. What is proved rests on upper bounds: every try that any failure allows, of callers too that need one of them. Between both
//! nothing is said. The oracle in the tests goes through all sets of services.

use std::collections::BTreeMap;

use meshproof_model::{Finding, LOAD_BEYOND_CAPACITY, Lowering, SELF_SUSTAINED_OVERLOAD, Subject, WorkloadId};

mod recheck;

use super::{
    Check, Judge,
    local_limit::{limits, milli_rate},
    millis,
    retry_amplification::{Hop, hops},
};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_PATCHES, SENT_BY_SCENARIOS},
    failures::{mean_nanos, milli_rps_of_pod},
    flow::{amounts, at_entries},
    graph::{Graph, NodeKind},
};

/// Judges every service whose pods' speed is known.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    if judge.options.demand.is_empty() || judge.mesh.behaviour.workloads.is_empty() {
        return report;
    }
    let capacities = capacities(judge);
    if capacities.iter().all(Option::is_none) {
        return report;
    }
    let sure = |hop: &Hop<'_>| sure_tries(judge, hop);
    let (graph, demand) = (judge.graph, &judge.options.demand);
    let least = Load { graph, demand, capacities: &capacities, tries: &sure, upper: false };
    let most = Load { graph, demand, capacities: &capacities, tries: &every_try, upper: true };
    let nobody = vec![false; capacities.len()];
    let (calm, pushed) = (least.over(&nobody), least.greatest());
    let highest = most.greatest();
    for (service, capacity) in capacities.iter().enumerate() {
        let Some(capacity) = *capacity else { continue };
        let subject = Subject::Service(judge.graph.services[service].clone());
        if calm[service] {
            report.findings.push(beyond(subject, least.at(service, &nobody), capacity));
        } else if pushed[service] {
            report.findings.push(sustained(subject, least.at(service, &nobody), least.at(service, &pushed), capacity));
        } else if !highest[service] {
            let second = if judge.options.paranoid { recheck::stays_over(&most, service) } else { None };
            match second.as_ref().map(|query| judge.none_satisfiable(std::slice::from_ref(query))) {
                Some(Check::Refuted) => {
                    let what = "Z3 finds services that keep each other over their capacity";
                    report.disagree(&SELF_SUSTAINED_OVERLOAD, &subject, what);
                }
                Some(Check::Undecided(reason)) => report.undecided(&SELF_SUSTAINED_OVERLOAD, subject, &reason),
                checked => {
                    let load = most.at(service, &highest);
                    report.proofs.push(proof(subject, load, capacity, checked.map(|_| Engine::Z3)));
                }
            }
        }
    }
    report
}

/// Requests per second that each service's pods answer, in thousandths; `None`: of some of them nobody says it, or a rate
/// limit lets no more in than that.
fn capacities(judge: &Judge<'_>) -> Vec<Option<u64>> {
    let lowering = Lowering::new(judge.mesh);
    let of = |service| {
        let all = judge.mesh.workloads_of(service).map(|id| {
            let pods = u64::from(judge.mesh.workload(id).replicas.value);
            let able = milli_rps_of_pod(judge.mesh, id)?;
            let is_guarded =
                limits(judge.mesh, &lowering, id).iter().any(|(limit, _)| milli_rate(&limit.bucket) <= able);
            (!is_guarded).then(|| able.saturating_mul(pods))
        });
        let all: Vec<u64> = all.collect::<Option<_>>()?;
        (!all.is_empty()).then(|| all.into_iter().fold(0, u64::saturating_add))
    };
    judge.mesh.service_ids().map(of).collect()
}

/// The load that arrives when some services are over their capacity.
struct Load<'a> {
    graph: &'a Graph,
    demand: &'a BTreeMap<String, u64>,
    capacities: &'a [Option<u64>],
    /// How often a hop is tried whose service is over its capacity.
    tries: &'a dyn Fn(&Hop<'_>) -> u64,
    /// Whether it counts what may happen at the most, not what certainly does.
    upper: bool,
}

impl Load<'_> {
    /// The load of a service, in thousandths of a request per second.
    fn at(&self, service: usize, over: &[bool]) -> u64 {
        let failing = self.failing(over);
        let tries = |hop: &Hop<'_>| if fails(hop, over, &failing) { (self.tries)(hop) } else { 1 };
        let counts = |hop: &Hop<'_>| hop.arm.service == Some(service);
        let amounts = if self.upper { at_most(self.graph, counts, tries) } else { amounts(self.graph, counts, tries) };
        at_entries(self.graph, self.demand, &amounts)
    }

    /// The nodes that may fail as they need a service that is over its capacity. That they certainly do is not said.
    fn failing(&self, over: &[bool]) -> Vec<bool> {
        let mut failing = vec![false; self.graph.nodes.len()];
        for members in self.graph.components().into_iter().filter(|_| self.upper) {
            let may_fail = |node: &usize| {
                let mut needed = self.graph.calls(*node).filter(|call| !call.optional);
                needed.any(|call| hops(*node, call).any(|hop| fails(&hop, over, &failing)))
            };
            let any = members.iter().any(may_fail);
            for node in members {
                failing[node] = any;
            }
        }
        failing
    }

    /// The services that get more than they answer; of what nobody knows the speed of, the worse is taken.
    fn over(&self, over: &[bool]) -> Vec<bool> {
        let is_over =
            |service: usize| self.capacities[service].map_or(self.upper, |most| self.at(service, over) > most);
        (0..self.capacities.len()).map(is_over).collect()
    }

    /// The greatest set that keeps itself up, from everybody downwards.
    fn greatest(&self) -> Vec<bool> {
        let mut over: Vec<bool> = self.capacities.iter().map(|most| most.is_some() || self.upper).collect();
        loop {
            let next = self.over(&over);
            if next == over {
                return over;
            }
            over = next;
        }
    }
}

/// Whether a try may fail: its service is over its capacity, or its callee fails as it needs one that is.
fn fails(hop: &Hop<'_>, over: &[bool], failing: &[bool]) -> bool {
    hop.arm.service.is_some_and(|service| over[service]) || hop.target.is_some_and(|target| failing[target.node])
}

/// How often a hop may be tried whatever fails.
fn every_try(hop: &Hop<'_>) -> u64 {
    hop.factor()
}

/// How often a hop is certainly tried while its callee is over its capacity: every try runs into its own limit, whose
/// expiry is retried while the whole call has time, and the callee works on them all.
fn sure_tries(judge: &Judge<'_>, hop: &Hop<'_>) -> u64 {
    let Some((target, limit)) = hop.target.zip(hop.way.try_limit()) else { return 1 };
    let callee = &judge.graph.nodes[target.node];
    // What a budget or a limit lets through of them is not certain.
    if callee.kind != NodeKind::Workload || callee.cancels || hop.arm.capped {
        return 1;
    }
    let id = WorkloadId(u32::try_from(target.node).unwrap_or(u32::MAX));
    if longest_wait(judge, id).is_none_or(|wait| wait <= limit.get()) {
        return 1;
    }
    let retry = &hop.way.retry;
    let by_proxy = match (hop.way.per_try.value, hop.way.timeout.value) {
        (Some(per_try), Some(timeout)) if retry.timeouts => retry.tries().min(timeout.get().div_ceil(per_try.get())),
        (Some(_), None) if retry.timeouts => retry.tries(),
        // The limit of the whole call leaves no time for another try.
        _ => 1,
    };
    by_proxy.max(1).saturating_mul(hop.call.own_tries)
}

/// How long a request waits in a pod's full queue, in nanoseconds; `None`: it leaves before.
fn longest_wait(judge: &Judge<'_>, id: WorkloadId) -> Option<u64> {
    let known = judge.mesh.behaviour.workloads.get(&judge.mesh.workload(id).full_name())?;
    let leaves = known.queue.patience.is_some() || known.obeys_deadlines || known.cache.is_some();
    let of_places = u64::from(known.queue.limit).checked_div(known.concurrency.into())?;
    (!leaves).then(|| of_places.saturating_mul(mean_nanos(&known.service_time)))
}

/// The same as [`amounts`], of alternatives the one that sends the most.
fn at_most(graph: &Graph, counts: impl Fn(&Hop<'_>) -> bool, tries: impl Fn(&Hop<'_>) -> u64) -> Vec<u64> {
    let mut amounts = vec![0_u64; graph.nodes.len()];
    for members in graph.components() {
        let node = members[0];
        let is_cycle = graph.is_cycle(&members);
        let of_hop = |hop: Hop<'_>| {
            let here = if counts(&hop) { 1_000_000 } else { 0 };
            let below = hop.target.map_or(0, |target| amounts[target.node]);
            u64::saturating_add(here, below).saturating_mul(tries(&hop))
        };
        let of_call = |call| {
            let call: &crate::graph::Call = call;
            let most = hops(node, call).map(of_hop).max().unwrap_or(0);
            let made = u128::from(call.times) * u128::from(call.share_ppm) * u128::from(most);
            u64::try_from(made.div_ceil(1_000_000)).unwrap_or(u64::MAX)
        };
        let sum = graph.calls(node).map(of_call).fold(0, u64::saturating_add);
        for member in &members {
            // Nothing bounds what a cycle sends.
            amounts[*member] = if is_cycle { u64::MAX } else { sum };
        }
    }
    amounts
}

fn beyond(subject: Subject, load: u64, capacity: u64) -> Finding {
    let message = format!(
        "scenarios send it {} rps and its pods answer {}: what is above that waits, and is refused or left",
        load / 1000,
        capacity / 1000
    );
    Finding::new(&LOAD_BEYOND_CAPACITY, subject, message)
        .help("run more pods, or admit less at the entry")
        .value("load_rps", load / 1000)
        .value("capacity_rps", capacity / 1000)
}

fn sustained(subject: Subject, calm: u64, pushed: u64, capacity: u64) -> Finding {
    let message = format!(
        "an overload keeps itself up: {} rps are within the {} that its pods answer, but once they are late retries make \
         them {}, and work for callers that have left goes on",
        calm / 1000,
        capacity / 1000,
        pushed / 1000
    );
    Finding::new(&SELF_SUSTAINED_OVERLOAD, subject, message)
        .help("fewer `attempts`, a retry budget, a shorter queue, or pods that stop work for callers that have left")
        .value("load_rps", calm / 1000)
        .value("load_with_retries_rps", pushed / 1000)
        .value("capacity_rps", capacity / 1000)
}

fn proof(subject: Subject, load: u64, capacity: u64, checked: Option<Engine>) -> Proof {
    let mut proof = Proof::new(&SELF_SUSTAINED_OVERLOAD, subject, Engine::Fixpoint, checked)
        .value("load_at_most_rps", load.div_ceil(1000))
        .value("capacity_rps", capacity / 1000);
    // Five times the load for ten seconds leaves a backlog, which what is left of the capacity works off.
    let backlog = load.saturating_mul(5).saturating_sub(capacity).saturating_mul(10);
    if let Some(seconds) = backlog.checked_div(capacity.saturating_sub(load)) {
        proof = proof.value("recovery_from_5x_for_10s_ms", millis(meshproof_model::Nanos::from_secs(seconds + 1)));
    }
    proof.assuming([NO_PATCHES, CALLS_COMPLETE, APPLIED, SENT_BY_SCENARIOS])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{Draws, after_work, call, graph};

    #[test]
    fn the_fixpoints_are_the_union_of_all_sets_that_keep_themselves_up() {
        let cases = crate::testing::cases(500);
        let mut draws = Draws::new(13);
        let (mut held, mut healed) = (0, 0);
        for number in 0..cases {
            let nodes = 5;
            let mut graph = graph(nodes);
            for node in 0..nodes - 1 {
                for callee in node + 1..nodes {
                    if draws.chance(if node == 0 { 60 } else { 40 }) {
                        let made = call(callee, after_work(draws.below(4), 1));
                        let optional = draws.chance(25);
                        graph.nodes[node].stages.push(vec![crate::graph::Call { optional, ..made }]);
                    }
                }
            }
            let demand = BTreeMap::from([("client".to_owned(), 1_000 * (1 + draws.below(5)))]);
            let capacities: Vec<Option<u64>> =
                (0..nodes - 1).map(|_| draws.chance(90).then(|| 1_000 * draws.below(40))).collect();
            let upper = draws.chance(50);
            let load = Load { graph: &graph, demand: &demand, capacities: &capacities, tries: &every_try, upper };
            let mut union = vec![false; capacities.len()];
            for bits in 0..1_u32 << capacities.len() {
                let set: Vec<bool> = (0..capacities.len()).map(|place| bits >> place & 1 == 1).collect();
                let over = load.over(&set);
                if set.iter().zip(&over).all(|(in_set, over)| !in_set || *over) {
                    for (known, in_set) in union.iter_mut().zip(&set) {
                        *known |= in_set;
                    }
                }
            }
            let greatest = load.greatest();
            assert_eq!(greatest, union, "{demand:?} {capacities:?} {graph:?}");
            if upper && number < 40 {
                for (service, is_over) in greatest.iter().enumerate() {
                    let answer = crate::z3::check_one(&recheck::stays_over(&load, service).unwrap(), 10_000_000);
                    let found = matches!(answer, crate::z3::Answer::Sat(_));
                    assert_eq!(found, *is_over, "{answer:?} {service} {demand:?} {capacities:?} {graph:?}");
                }
            }
            let least = load.over(&vec![false; capacities.len()]);
            assert!(least.iter().zip(&greatest).all(|(least, greatest)| !least || *greatest));
            *(if least == greatest { &mut healed } else { &mut held }) += 1;
        }
        assert!(held * 4 >= cases && healed * 4 >= cases, "{held} {healed}");
    }

    #[test]
    fn what_nobody_is_over_is_the_load_itself() {
        let mut graph = graph(3);
        graph.nodes[0].stages.push(vec![call(1, after_work(2, 1))]);
        graph.nodes[1].stages.push(vec![call(2, after_work(3, 1))]);
        let demand = BTreeMap::from([("client".to_owned(), 1_000)]);
        let capacities = [Some(2_000), Some(2_000)];
        let load = Load { graph: &graph, demand: &demand, capacities: &capacities, tries: &every_try, upper: false };
        assert_eq!([load.at(0, &[false; 2]), load.at(1, &[false; 2])], [1_000, 1_000]);
        assert_eq!([load.at(0, &[true; 2]), load.at(1, &[true; 2])], [3_000, 12_000]);
        assert_eq!(load.greatest(), [true, true]);
    }
}
