//! What no run may exceed, because it was proved.

use std::collections::{BTreeMap, BTreeSet};

use crate::{checker::Checker, engine::Observer, plan::Plan};

/// What no run may exceed, because it was proved. What is not bounded is not checked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Requests that reach a service's handlers (`namespace/name`) for one request of a client (by name), the
    /// client's own retries included.
    pub requests: BTreeMap<(String, String), u64>,
    /// Attempts that are made for a service for one request of a client, those before work included.
    pub connects: BTreeMap<(String, String), u64>,
    /// Links that never carry plaintext, as `namespace/name` of the two workloads.
    pub encrypted: BTreeSet<(String, String)>,
}

impl Bounds {
    pub(crate) fn check(&self, plan: &Plan, observer: &Observer, checker: &mut Checker) {
        for ((client, service), most) in &observer.most {
            let key = (plan.clients[*client as usize].name.clone(), plan.services[*service as usize].full_name.clone());
            let observed = [("requests", most.requests, &self.requests), ("connects", most.attempts, &self.connects)];
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
            if self.encrypted.contains(&link) {
                checker.violation(format!("plaintext from `{}` to `{}`; proved: never", link.0, link.1));
            }
        }
    }
}
