//! Holding a run against what was proved.

use meshproof_model::Bounds;

use crate::{checker::Checker, engine::Observer, plan::Plan};

/// Notes what a run has shown beyond its bounds.
pub(crate) fn check(bounds: &Bounds, plan: &Plan, observer: &Observer, checker: &mut Checker) {
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
}
