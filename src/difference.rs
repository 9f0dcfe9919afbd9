//! What changes from one project to another: access, routes, encryption, effective policies, findings.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Caller, Finding, Lowering, Mesh, ProxyMode, ServiceId, WorkloadId};
use meshproof_verifier::{Difference, Orders, RouteExample, Routed, Via};
use serde_json::{Map, Value, json};

use crate::{
    Choice, InternalError, Project,
    decide::{Answer, Decider, Outcome, Prepared, Question, Replays, one_or_all},
    explain::{Leaf, leaves_of_call, leaves_of_gateway},
    fingerprint::fingerprint,
    verify,
};

/// Everything that differs.
#[derive(Debug)]
pub struct Changes<'p> {
    /// As it was.
    pub base: &'p Project,
    /// As it is.
    pub head: &'p Project,
    /// Requests and links.
    pub meshes: Difference,
    /// In which order the objects can be applied.
    pub orders: Orders,
    /// Values of effective policies.
    pub policies: Vec<PolicyChange>,
    /// Findings that are new.
    pub introduced: Vec<Finding>,
    /// Findings that are gone.
    pub fixed: Vec<Finding>,
    /// How many are in both.
    pub unchanged: usize,
}

/// A value of an effective policy that changes.
#[derive(Clone, Debug)]
pub struct PolicyChange {
    /// The client, `namespace/name`.
    pub from: String,
    /// The service, `namespace/name`; absent: all behind a gateway.
    pub to: Option<String>,
    /// Which value, as `explain` names it.
    pub field: String,
    /// As it was; null: it was not there.
    pub before: Value,
    /// As it is.
    pub after: Value,
    /// Where it comes from: the new value, else the old one.
    pub origin: Value,
}

impl Changes<'_> {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        let meshes = &self.meshes;
        meshes.newly_allowed.is_empty()
            && meshes.newly_denied.is_empty()
            && meshes.rerouted.is_empty()
            && meshes.links.is_empty()
            && self.policies.is_empty()
            && self.introduced.is_empty()
            && self.fixed.is_empty()
    }
}

/// Compares two projects; every example is put to the proxy core of both.
///
/// # Errors
/// Only for faults of meshproof itself: an example that shows something else, engines that disagree.
pub fn changes<'p>(base: &'p Project, head: &'p Project, choice: &Choice) -> Result<Changes<'p>, InternalError> {
    let (before, after) = (verify(base, choice)?.findings, verify(head, choice)?.findings);
    let meshes = meshproof_verifier::difference(&base.imported.mesh, &head.imported.mesh);
    replay(base, head, &meshes)?;
    let total = after.len();
    let (introduced, fixed) = (without(after.clone(), &before), without(before, &after));
    let unchanged = total - introduced.len();
    let orders = meshproof_verifier::orders(&base.imported.mesh, &head.imported.mesh);
    Ok(Changes { base, head, meshes, orders, policies: policies(base, head), introduced, fixed, unchanged })
}

/// Findings that are not among others.
pub(crate) fn without(mut findings: Vec<Finding>, others: &[Finding]) -> Vec<Finding> {
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for finding in others {
        *known.entry(key(finding)).or_default() += 1;
    }
    findings.retain(|finding| match known.get_mut(&key(finding)) {
        Some(left) if *left > 0 => {
            *left -= 1;
            false
        }
        _ => true,
    });
    findings
}

/// What makes two findings the same: an intent's stand all at one path, so its name counts too.
fn key(finding: &Finding) -> String {
    format!("{} {:?}", fingerprint(finding), finding.values.get("intent"))
}

/// Puts every example to the proxies of both meshes.
fn replay(base: &Project, head: &Project, meshes: &Difference) -> Result<(), InternalError> {
    let (before, after) = (Replays::new(&base.imported.mesh), Replays::new(&head.imported.mesh));
    let gained = meshes.newly_allowed.iter().map(|change| (change, true));
    let lost = meshes.newly_denied.iter().map(|change| (change, false));
    let fault = |subject: String, observed: String| InternalError::WitnessNotReplayed {
        code: "the difference",
        subject,
        observed,
    };
    for (change, is_gain) in gained.chain(lost).filter(|(change, _)| change.by_proxies) {
        for (replays, passes) in [(&after, is_gain), (&before, !is_gain)] {
            let (shown, observed) = replays.shows(&change.request, passes);
            if !shown {
                return Err(fault(format!("call {} -> {}", change.from, change.to), observed));
            }
        }
    }
    if meshes.rerouted.is_empty() {
        return Ok(());
    }
    let prepared = (Prepared::new(&base.imported.mesh), Prepared::new(&head.imported.mesh));
    let deciders = (Decider::new(&prepared.0), Decider::new(&prepared.1));
    for change in &meshes.rerouted {
        for (decider, routed) in [(&deciders.0, &change.before), (&deciders.1, &change.after)] {
            if let Some(observed) = contradicts(decider, &change.request, routed) {
                return Err(fault(format!("request to {}:{}", change.request.host, change.request.port), observed));
            }
        }
    }
    Ok(())
}

/// What the proxies say of a request, if it is not what is claimed.
fn contradicts(decider: &Decider<'_>, request: &RouteExample, routed: &Routed) -> Option<String> {
    let question = serde_json::from_value::<Question>(route_question(request));
    let answer: Answer = match question {
        Ok(question) => decider.answer(&question),
        Err(error) => return Some(error.to_string()),
    };
    // A backend that does not exist, or a server that refuses, comes after the route.
    let sent = || {
        let clusters: BTreeSet<&str> = answer.backends.iter().map(|end| end.cluster.as_str()).collect();
        let claimed: BTreeSet<&str> = routed.weights.iter().map(|(name, _)| name.as_str()).collect();
        clusters.is_empty() || clusters == claimed
    };
    let agrees = routed.status.map_or_else(sent, |status| answer.status == Some(status));
    (!agrees && !matches!(answer.outcome, Outcome::Denied | Outcome::Unknown)).then_some(answer.why)
}

/// A request as `meshproof decide` takes it.
pub(crate) fn route_question(request: &RouteExample) -> Value {
    let headers: Map<String, Value> =
        request.headers.iter().map(|(name, values)| (name.clone(), one_or_all(values))).collect();
    let (from, to) = match &request.via {
        Via::Workload(name) => (json!({"workload": name}), json!({"host": request.host, "port": request.port})),
        Via::Gateway(name) => (json!({}), json!({"gateway": name, "port": request.port})),
    };
    json!({
        "id": "example", "from": from, "to": to,
        "request": {"method": request.method, "path": request.path, "host": request.host, "headers": headers},
    })
}

type Leaves = BTreeMap<String, Leaf>;

/// Values of known calls, and of gateways, that change.
fn policies(base: &Project, head: &Project) -> Vec<PolicyChange> {
    let (old, new) = (&base.imported.mesh, &head.imported.mesh);
    let (before, after) = (Lowering::new(old), Lowering::new(new));
    let mut found = Vec::new();
    for (from, to, port) in calls(new) {
        let (client, service) = (new.workload(from).full_name(), new.service(to).full_name());
        let known = old.named_workload(&client).zip(old.find_host(&new.service(to).host));
        let Some((old_from, old_to)) = known.filter(|(_, id)| old.service(*id).port(port).is_some()) else { continue };
        let was = leaves_of_call(old, &before, &base.sources, (old_from, old_to, port));
        let is = leaves_of_call(new, &after, &head.sources, (from, to, port));
        compare(&client, Some(&service), &was, &is, &mut found);
    }
    for id in new.workload_ids().filter(|id| new.workload(*id).proxy == ProxyMode::Gateway) {
        let name = new.workload(id).full_name();
        let Some(was) = old.named_workload(&name) else { continue };
        let was = leaves_of_gateway(old, &before, &base.sources, was);
        let is = leaves_of_gateway(new, &after, &head.sources, id);
        compare(&name, None, &was, &is, &mut found);
    }
    found
}

/// Known calls of workloads, each once.
fn calls(mesh: &Mesh) -> BTreeSet<(WorkloadId, ServiceId, u16)> {
    let calls = mesh.calls();
    let known = calls.calls.iter().filter_map(|call| match call.from {
        Caller::Workload(id) => Some((id, call.to, call.port)),
        Caller::Client(client) => Some((mesh.client_workload(client)?, call.to, call.port)),
    });
    known.collect()
}

fn compare(from: &str, to: Option<&str>, was: &Leaves, is: &Leaves, found: &mut Vec<PolicyChange>) {
    let (was, is) = (by_match(was), by_match(is));
    let fields: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    for field in fields {
        let (old, new) = (was.get(field), is.get(field));
        let value = |leaf: Option<&&Leaf>| leaf.map_or(Value::Null, |leaf| leaf.value.clone());
        if value(old) != value(new) {
            found.push(PolicyChange {
                from: from.to_owned(),
                to: to.map(str::to_owned),
                field: field.clone(),
                before: value(old),
                after: value(new),
                origin: new.or(old).map_or(Value::Null, |leaf| leaf.origin.clone()),
            });
        }
    }
}

/// Leaves with routes named by what they match instead of their number; where requests go is told elsewhere.
fn by_match(leaves: &Leaves) -> BTreeMap<String, &Leaf> {
    const ELSEWHERE: [&str; 7] = ["match", "object", "destination", "redirect", "answer", "endpoints", "tls"];
    let named = leaves.iter().filter_map(|(key, leaf)| {
        let (place, field) = key.split_once("].")?;
        if ELSEWHERE.iter().any(|name| field.starts_with(name)) {
            return None;
        }
        let matched = place.starts_with("route[").then(|| leaves.get(&format!("{place}].match"))).flatten();
        let name = matched.and_then(|leaf| leaf.value.as_str());
        Some((name.map_or_else(|| key.clone(), |matched| format!("route[{matched}].{field}")), leaf))
    });
    named.collect()
}
