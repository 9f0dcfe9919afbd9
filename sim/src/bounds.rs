//! Holding a run against what was proved.

use meshproof_model::Bounds;

use crate::{
    checker::Checker,
    engine::Observer,
    measure::Measure,
    plan::{Caller, Origin, Plan},
};

/// Notes what a run has shown beyond its bounds.
pub(crate) fn check(bounds: &Bounds, plan: &Plan, observer: &Observer, measure: &Measure, checker: &mut Checker) {
    for ((client, service), most) in &observer.most {
        let key = (plan.clients[*client as usize].name.clone(), plan.services[*service as usize].full_name.clone());
        let observed = [("requests", most.requests, &bounds.requests), ("connects", most.attempts, &bounds.connects)];
        for (what, seen, bounds) in observed {
            if let Some(bound) = bounds.get(&key).filter(|bound| u64::from(seen) > **bound) {
                let (client, service) = &key;
                checker.violation(format!("{seen} {what} at `{service}` for one of `{client}`; proved: {bound}"));
            }
        }
    }
    for (from, to) in &observer.plaintext {
        let Some(from) = from else { continue };
        let name = |workload: &u32| plan.workloads[*workload as usize].name.clone();
        let link = (name(from), name(to));
        if bounds.encrypted.contains(&link) {
            checker.violation(format!("plaintext from `{}` to `{}`; proved: never", link.0, link.1));
        }
    }
    let name = |caller: Caller| match caller {
        Caller::Workload(workload) => Some(plan.workloads[workload as usize].name.clone()),
        Caller::Client(client) => match plan.clients[client as usize].origin {
            Origin::Workload(workload) => Some(plan.workloads[workload as usize].name.clone()),
            Origin::Outside(_) => None,
        },
    };
    for (caller, workload) in &observer.served {
        let pair = (name(*caller).unwrap_or_default(), plan.workloads[*workload as usize].name.clone());
        if bounds.unreachable.contains(&pair) {
            checker.violation(format!("a request of `{}` reached `{}`; proved: never", pair.0, pair.1));
        }
    }
    for (edge, tally) in plan.edges.iter().zip(&measure.edges) {
        let Some(caller) = name(edge.from) else { continue };
        if let Some(bound) = bounds.latency.get(&caller).filter(|bound| tally.longest > bound.get()) {
            let longest = meshproof_proxy::Nanos::new(tally.longest);
            checker.violation(format!("a call of `{caller}` took {longest}; proved: {bound}"));
        }
    }
}
