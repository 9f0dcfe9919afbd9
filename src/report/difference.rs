//! What `diff` prints: one JSON document, or text for people.

use std::fmt::Write as _;

use meshproof_model::{Finding, Location, ResourceRef, Sources};
use meshproof_verifier::{AccessChange, Orders, Rerouted, Routed, Side, UnsafeState};
use serde_json::{Value, json};

use super::{full::severity, json::one, location};
use crate::{
    decide::as_question,
    difference::{Changes, PolicyChange, route_question},
};

/// The JSON of `diff` (`schema_version` 1).
pub fn difference_json(changes: &Changes<'_>) -> Value {
    let places = |because: &[(Side, Location)]| {
        let all = because.iter().map(|(side, at)| location(sources(changes, *side), at));
        all.collect::<Vec<_>>()
    };
    let access = |entries: &[AccessChange]| {
        let entry = |change: &AccessChange| {
            json!({
                "from": outside(&change.from), "to": change.to, "port": change.port,
                "request": without_id(as_question(&change.request)), "because": places(&change.because),
            })
        };
        entries.iter().map(entry).collect::<Vec<_>>()
    };
    let routing = changes.meshes.rerouted.iter().map(|change| {
        json!({
            "request": without_id(route_question(&change.request)),
            "before": routed(&change.before), "after": routed(&change.after), "because": places(&change.because),
        })
    });
    let links = changes.meshes.links.iter().map(
        |link| json!({"from": link.from, "to": link.to, "port": link.port, "before": link.before, "after": link.after}),
    );
    let policies = changes.policies.iter().map(|change| {
        json!({
            "from": change.from, "to": change.to, "field": change.field, "before": change.before,
            "after": change.after, "location": change.origin.get("location"),
        })
    });
    let findings = |sources: &Sources, findings: &[Finding]| {
        findings.iter().map(|finding| one(sources, finding, None)).collect::<Vec<_>>()
    };
    json!({
        "schema_version": 1,
        "verdict": if changes.is_empty() { "same" } else { "different" },
        "access": {
            "newly_allowed": access(&changes.meshes.newly_allowed),
            "newly_denied": access(&changes.meshes.newly_denied),
        },
        "routing": routing.collect::<Vec<_>>(),
        "mtls": links.collect::<Vec<_>>(),
        "policy": policies.collect::<Vec<_>>(),
        "findings": {
            "introduced": findings(&changes.head.sources, &changes.introduced),
            "fixed": findings(&changes.base.sources, &changes.fixed),
            "unchanged": changes.unchanged,
        },
        "order": order(&changes.orders),
        "undecided": changes.meshes.undecided,
    })
}

/// In which order the changed objects can be applied.
fn order(orders: &Orders) -> Value {
    let told =
        |state: &UnsafeState| json!({"applied": state.applied, "missing": state.missing, "breaks": state.breaks});
    json!({
        "objects": orders.objects, "safe": orders.safe, "lag_breaks": orders.lag_breaks,
        "needs_waiting": orders.needs_waiting, "by_waves": orders.by_waves.as_ref().map(told),
        "unsafe": orders.unsafe_states.iter().map(told).collect::<Vec<_>>(), "undecided": orders.undecided,
    })
}

fn sources<'c>(changes: &'c Changes<'_>, side: Side) -> &'c Sources {
    match side {
        Side::Base => &changes.base.sources,
        Side::Head => &changes.head.sources,
    }
}

fn outside(name: &str) -> &str {
    if name.is_empty() { "outside" } else { name }
}

fn without_id(mut question: Value) -> Value {
    if let Some(map) = question.as_object_mut() {
        map.remove("id");
    }
    question
}

fn routed(routed: &Routed) -> Value {
    let weights: serde_json::Map<String, Value> =
        routed.weights.iter().map(|(name, weight)| (name.clone(), json!(weight))).collect();
    let cluster = match routed.weights.as_slice() {
        [(name, _)] => json!(name),
        _ => Value::Null,
    };
    json!({
        "route": routed.route, "cluster": cluster, "weights": weights, "status": routed.status,
        "changed": routed.changed,
    })
}

/// The same for people.
pub fn difference_text(changes: &Changes<'_>) -> String {
    let mut out = String::new();
    let place = |because: &[(Side, Location)]| {
        let first = because.last().map(|(side, at)| at.display(sources(changes, *side)).to_string());
        first.map_or_else(String::new, |at| format!("  ({at})"))
    };
    // Writing to a string does not fail.
    for (title, entries) in
        [("newly allowed", &changes.meshes.newly_allowed), ("newly denied", &changes.meshes.newly_denied)]
    {
        section(&mut out, title, entries, |change| {
            let (from, to, port) = (outside(&change.from), &change.to, change.port);
            format!("{from} -> {to}:{port}  {}{}", shown_request(change), place(&change.because))
        });
    }
    section(&mut out, "rerouted", &changes.meshes.rerouted, |change| {
        let (before, after) = (shown_route(&change.before), shown_route(&change.after));
        format!("{}: {before} => {after}{}", shown_example(change), place(&change.because))
    });
    section(&mut out, "encryption", &changes.meshes.links, |link| {
        format!("{} -> {}:{}: {} => {}", link.from, link.to, link.port, link.before, link.after)
    });
    section(&mut out, "policy", &changes.policies, |change: &PolicyChange| {
        let to = change.to.as_deref().unwrap_or("*");
        format!("{} -> {to}: {}: {} => {}", change.from, change.field, change.before, change.after)
    });
    for (title, sources, findings) in [
        ("findings introduced", &changes.head.sources, &changes.introduced),
        ("findings fixed", &changes.base.sources, &changes.fixed),
    ] {
        section(&mut out, title, findings, |finding| {
            let at = finding.location.as_ref().map_or_else(|| "-".to_owned(), |at| at.display(sources).to_string());
            format!("{at}: {}[{}]: {}", severity(finding.severity), finding.rule.code, finding.message)
        });
    }
    section(&mut out, "unsafe while only these are applied", &changes.orders.unsafe_states, |state| {
        let before =
            if state.missing.is_empty() { String::new() } else { format!("; apply {} before", named(&state.missing)) };
        format!("{}: {}{before}", named(&state.applied), state.breaks.join("; "))
    });
    if let (false, Some(safe)) = (changes.orders.unsafe_states.is_empty(), &changes.orders.safe) {
        let lag = match (changes.orders.lag_breaks, changes.orders.needs_waiting) {
            (true, _) => ", while proxies that lag behind still break links",
            (false, true) => ", each step once the one before has reached every proxy",
            (false, false) => "",
        };
        let _ = writeln!(out, "safe order{lag}: {}\n", named(safe));
    }
    let by_waves: Vec<&UnsafeState> = changes.orders.by_waves.iter().collect();
    section(&mut out, "unsafe on the way of Argo CD's waves", &by_waves, |state| {
        format!("while only {} are applied: {}", named(&state.applied), state.breaks.join("; "))
    });
    section(&mut out, "undecided", &changes.meshes.undecided, Clone::clone);
    let verdict = if changes.is_empty() { "same" } else { "different" };
    let _ = writeln!(
        out,
        "{verdict}: {} newly allowed, {} newly denied, {} rerouted; findings: {} introduced, {} fixed, {} unchanged",
        changes.meshes.newly_allowed.len(),
        changes.meshes.newly_denied.len(),
        changes.meshes.rerouted.len(),
        changes.introduced.len(),
        changes.fixed.len(),
        changes.unchanged,
    );
    out
}

fn named(objects: &[ResourceRef]) -> String {
    objects.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn section<T>(out: &mut String, title: &str, entries: &[T], line: impl Fn(&T) -> String) {
    if entries.is_empty() {
        return;
    }
    let _ = writeln!(out, "{title}:");
    for entry in entries {
        let _ = writeln!(out, "  {}", line(entry));
    }
    out.push('\n');
}

fn shown_request(change: &AccessChange) -> String {
    let request = &change.request;
    let mut shown =
        format!("{} {}", request.method.as_deref().unwrap_or("GET"), request.path.as_deref().unwrap_or("/"));
    for (name, values) in request.headers.iter().chain(&request.claims) {
        let _ = write!(shown, " {name}: {}", values.join(", "));
    }
    shown
}

fn shown_example(change: &Rerouted) -> String {
    let request = &change.request;
    let mut shown = format!("{} {}:{}{}", request.method, request.host, request.port, request.path);
    for (name, values) in &request.headers {
        let _ = write!(shown, " {name}: {}", values.join(", "));
    }
    shown
}

fn shown_route(routed: &Routed) -> String {
    let mut parts: Vec<String> = routed.status.iter().map(u16::to_string).collect();
    parts.extend(routed.weights.iter().map(|(name, weight)| match routed.weights.len() {
        1 => name.clone(),
        _ => format!("{name} {weight}"),
    }));
    parts.extend(routed.changed.clone());
    parts.join(", ")
}
