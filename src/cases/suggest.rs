//! Tests that are missing: for each route and policy that no test touches, a request that does, and what becomes of it.
//!
//! What no test touches is taken away from the mesh, and the verifier is asked for what differs: each class of requests
//! that it names is a test that would have noticed.

use std::collections::BTreeSet;

use meshproof_model::{
    Mesh,
    gateway_api::{Filter, FilterAction, HttpRule, Redirect},
    istio::{DirectResponse, HttpRoute},
};
use meshproof_verifier::{Difference, difference};
use serde_json::Value;

use super::{
    coverage,
    file::{Asked, Client, Expected, ExpectedBackend, Target, Test},
};
use crate::{
    decide::{Answer, Decider, Prepared, Question, as_question},
    difference::route_question,
};

// BOUND: policies that are taken away one by one; the others are named.
const POLICIES_MAX: usize = 500;

/// Tests that are missing.
#[derive(Debug, Default)]
pub(super) struct Suggested {
    /// One for each route, and for each policy a request that it lets in, one that it keeps out, or both.
    pub tests: Vec<Test>,
    /// Routes and policies for which no request was found.
    pub left: BTreeSet<String>,
}

/// What is missing beside tests with these answers.
pub(super) fn suggest<'a>(mesh: &Mesh, answers: impl Iterator<Item = &'a Answer> + Clone) -> Suggested {
    let missing = coverage::of(mesh, answers);
    let prepared = Prepared::new(mesh);
    let decider = Decider::new(&prepared);
    let mut found = Suggested::default();
    let mut routes = missing.routes.missing;
    if !routes.is_empty() {
        for change in difference(mesh, &without_routes(mesh, &routes)).rerouted {
            let Some((words, answer)) = ask(&decider, &route_question(&change.request)) else { continue };
            let Some(route) = answer.route.as_ref() else { continue };
            if routes.remove(&coverage::name_of_route(route)) {
                let name = route.label.clone().unwrap_or_else(|| route.rule.to_string());
                let name = format!("{} {}/{}/{name} takes it", route.kind, route.namespace, route.name);
                found.tests.push(words.test(name, &answer));
            }
        }
    }
    let mut policies = missing.policies.missing;
    for name in policies.iter().take(POLICIES_MAX).cloned().collect::<Vec<_>>() {
        let tests = of_policy(&decider, &name, &difference(mesh, &without_policies(mesh, |other| other == name)));
        if !tests.is_empty() {
            policies.remove(&name);
            found.tests.extend(tests);
        }
    }
    // Some decide only together with others.
    if !policies.is_empty() {
        let all = difference(mesh, &without_policies(mesh, |_| true));
        policies.retain(|name| {
            let test = of_policy(&decider, name, &all).into_iter().next();
            let is_left = test.is_none();
            found.tests.extend(test);
            is_left
        });
    }
    found.left = routes.into_iter().chain(policies).collect();
    found
}

/// A request that the policy lets in, and one that it keeps out, among those about which a mesh without it differs.
fn of_policy(decider: &Decider<'_>, name: &str, changes: &Difference) -> Vec<Test> {
    let lets_in = changes.newly_denied.iter().map(|change| (change, "lets it in"));
    let keeps_out = changes.newly_allowed.iter().map(|change| (change, "keeps it out"));
    let mut said = BTreeSet::new();
    let mut tests = Vec::new();
    for (change, what) in lets_in.chain(keeps_out).filter(|(change, _)| change.by_proxies) {
        let Some((words, answer)) = ask(decider, &as_question(&change.request)) else { continue };
        let is_by = |policy| coverage::name_of_policy(policy) == name;
        if answer.by.iter().any(is_by) && said.insert(what) {
            tests.push(words.test(format!("{name} {what}"), &answer));
        }
    }
    tests
}

/// A question in the words of a test.
struct Words {
    from: Client,
    to: Target,
    request: Asked,
}

impl Words {
    /// The test that what is so now stays so.
    fn test(self, name: String, answer: &Answer) -> Test {
        Test::Request { name, from: self.from, to: self.to, request: self.request, expect: expected(answer) }
    }
}

/// Asks; `None`: a test has no words for the question, as for a header of several lines.
fn ask(decider: &Decider<'_>, question: &Value) -> Option<(Words, Answer)> {
    let words = Words {
        from: serde_json::from_value(question["from"].clone()).ok()?,
        to: serde_json::from_value(question["to"].clone()).ok()?,
        request: serde_json::from_value(question["request"].clone()).ok()?,
    };
    let answer = decider.answer(&serde_json::from_value::<Question>(question.clone()).ok()?);
    Some((words, answer))
}

fn expected(answer: &Answer) -> Expected {
    let backends = answer.backends.iter().map(|backend| {
        let host = backend.host.as_deref()?;
        Some(ExpectedBackend {
            host: host.split_once(".svc.").map_or(host, |(short, _)| short).to_owned(),
            port: backend.port,
            subset: backend.subset.clone(),
            weight: Some(backend.weight),
        })
    });
    // One that does not exist has no words.
    let backends: Option<Vec<ExpectedBackend>> = backends.collect();
    Expected {
        allowed: answer.allowed,
        outcome: serde_json::to_value(answer.outcome).ok().and_then(|outcome| Some(outcome.as_str()?.to_owned())),
        status: answer.status,
        route: answer.route.as_ref().map(coverage::name_of_route),
        backends: backends.filter(|backends| !backends.is_empty()),
        redirect: answer.redirect.as_ref().map(|redirect| redirect.location.clone()),
        path: answer.rewrite.as_ref().and_then(|rewrite| rewrite.path.clone()),
        timeout: answer.timeout_ms.map(meshproof_model::Nanos::from_millis),
        retries: answer.retries.as_ref().map(|retries| retries.attempts),
        mtls: answer.mtls,
    }
}

/// The mesh in which these rules answer themselves, as no other rule does.
fn without_routes(mesh: &Mesh, names: &BTreeSet<String>) -> Mesh {
    let mut mesh = mesh.clone();
    for service in &mut mesh.virtual_services {
        let owner = service.meta.resource.to_string();
        for (number, rule) in service.http.iter_mut().enumerate() {
            if names.contains(&format!("{owner}/{number}")) {
                silence(rule);
            }
        }
    }
    for route in &mut mesh.gateway_api.http_routes {
        let owner = route.meta.resource.to_string();
        for (number, rule) in route.rules.iter_mut().enumerate() {
            if names.contains(&format!("{owner}/{number}")) {
                redirect(rule);
            }
        }
    }
    mesh
}

/// A status and a host that nobody else answers with.
const NOT_TESTED: (u16, &str) = (418, "not-tested.invalid");

fn silence(rule: &mut HttpRoute) {
    let at = rule.at.clone();
    rule.route.clear();
    rule.redirect = None;
    rule.direct_response = Some(DirectResponse { at, status: NOT_TESTED.0, body: String::new() });
}

fn redirect(rule: &mut HttpRule) {
    let action = FilterAction::Redirect(Redirect { hostname: Some(NOT_TESTED.1.to_owned()), ..Redirect::default() });
    rule.backends.clear();
    rule.filters = vec![Filter { at: rule.at.clone(), action }];
}

fn without_policies(mesh: &Mesh, is_gone: impl Fn(String) -> bool) -> Mesh {
    let mut mesh = mesh.clone();
    mesh.authorization_policies.retain(|policy| !is_gone(policy.meta.resource.to_string()));
    mesh
}
