//! What `meshproof decide` answers: manifests and a question in, the answer in short out.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test stops where something is missing; tables are long"
)]

mod access;
#[path = "../common/mod.rs"]
mod common;
mod network;
mod routes;
mod scopes;

use std::fmt::Write as _;

use meshproof::decide::{Answer, Decider, Prepared, Question};
use meshproof_import::{ImportOptions, import};
use meshproof_model::Sources;

/// Namespaces `shop`, `pay`, `ops` with sidecars, `legacy` without.
const F0: &str = include_str!("../../model/tests/semantics/f0.yaml");

/// The answer to one question, written as JSON.
fn ask(manifests: &str, question: &serde_json::Value) -> Answer {
    let mut sources = Sources::default();
    sources.add("f0.yaml", F0);
    sources.add("more.yaml", manifests);
    let imported = import(&sources, &ImportOptions::default());
    assert!(!imported.unreadable, "{:?}", imported.findings);
    let question: Question = serde_json::from_value(question.clone()).unwrap();
    let prepared = Prepared::with_questions(&imported.mesh, [&question]);
    Decider::new(&prepared).answer(&question)
}

/// `+`, `-` or `?`, the policies that decide, then what else is not the default.
fn short(answer: &Answer) -> String {
    let mut line = match answer.allowed {
        Some(true) => "+",
        Some(false) => "-",
        None => "?",
    }
    .to_owned();
    for policy in &answer.by {
        let rule = policy.rule.map_or_else(String::new, |rule| format!("#{rule}"));
        let _ = write!(line, " {} {}/{}{rule}", policy.action, policy.namespace, policy.name);
    }
    let _ = write!(line, " {}", serde_json::to_value(answer.outcome).unwrap().as_str().unwrap());
    if let Some(status) = answer.status {
        let _ = write!(line, " {status}");
    }
    if let Some(route) = &answer.route {
        let label = route.label.as_ref().map_or_else(String::new, |label| format!(" `{label}`"));
        let _ = write!(line, " by {}/{}[{}][{}]{label}", route.namespace, route.name, route.rule, route.r#match);
    }
    for backend in &answer.backends {
        let host = backend.host.as_deref().unwrap_or("?").replace(".svc.cluster.local", "~");
        let port = backend.port.map_or_else(|| "?".to_owned(), |port| port.to_string());
        let subset = backend.subset.as_ref().map_or_else(String::new, |subset| format!("/{subset}"));
        let _ = write!(line, " {host}:{port}{subset}={}", backend.weight);
    }
    if let Some(redirect) = &answer.redirect {
        let _ = write!(line, " to {}", redirect.location);
    }
    if let Some(rewrite) = &answer.rewrite {
        let _ = write!(line, " as {}{}", rewrite.host.as_deref().unwrap_or(""), rewrite.path.as_deref().unwrap_or(""));
    }
    match answer.mtls {
        Some(true) => line.push_str(" mtls"),
        Some(false) => line.push_str(" plaintext"),
        None => {}
    }
    line
}

fn object(group: &str, kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn ap(name: &str, spec: &str) -> String {
    object("security.istio.io", "AuthorizationPolicy", name, spec)
}

fn vs(name: &str, spec: &str) -> String {
    object("networking.istio.io", "VirtualService", name, spec)
}

fn mesh_config(settings: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: '{settings}'}}\n---\n"
    )
}
