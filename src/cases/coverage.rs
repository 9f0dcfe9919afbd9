//! Which routes and policies the tests of a mesh touch.

use std::collections::BTreeSet;

use meshproof_model::Mesh;
use serde::Serialize;

use crate::decide::{Answer, Policy, Route};

/// What tests touch of a mesh.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// Rules of routes, as `KIND NAMESPACE/NAME/RULE`.
    pub routes: Covered,
    /// Authorization policies, as `AuthorizationPolicy NAMESPACE/NAME`.
    pub policies: Covered,
}

/// How much of a set is touched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Covered {
    /// Touched ones.
    pub covered: usize,
    /// All.
    pub of: usize,
    /// Those that no test touches.
    pub missing: BTreeSet<String>,
}

impl Covered {
    fn new(all: BTreeSet<String>, touched: &BTreeSet<String>) -> Self {
        let of = all.len();
        let missing: BTreeSet<String> = all.into_iter().filter(|name| !touched.contains(name)).collect();
        Self { covered: of - missing.len(), of, missing }
    }
}

/// What answers touch of a mesh.
pub(super) fn of<'a>(mesh: &Mesh, answers: impl Iterator<Item = &'a Answer> + Clone) -> Coverage {
    let routes = answers.clone().filter_map(|answer| answer.route.as_ref());
    let routes = routes.map(name_of_route);
    let policies = answers.flat_map(|answer| &answer.by);
    let policies = policies.map(name_of_policy);
    Coverage {
        routes: Covered::new(rules(mesh).collect(), &routes.collect()),
        policies: Covered::new(
            mesh.authorization_policies.iter().map(|policy| policy.meta.resource.to_string()).collect(),
            &policies.collect(),
        ),
    }
}

/// A route of an answer, as `KIND NAMESPACE/NAME/RULE`.
pub(super) fn name_of_route(route: &Route) -> String {
    format!("{} {}/{}/{}", route.kind, route.namespace, route.name, route.rule)
}

/// A policy of an answer, as `KIND NAMESPACE/NAME`.
pub(super) fn name_of_policy(policy: &Policy) -> String {
    format!("{} {}/{}", policy.kind, policy.namespace, policy.name)
}

/// Every rule for requests. One that delegates is no route itself.
fn rules(mesh: &Mesh) -> impl Iterator<Item = String> {
    let istio = mesh.virtual_services.iter().flat_map(|service| {
        let rules = service.http.iter().enumerate().filter(|(_, rule)| rule.delegate.is_none());
        rules.map(|(number, _)| format!("{}/{number}", service.meta.resource))
    });
    let gateway_api = mesh.gateway_api.http_routes.iter();
    istio.chain(gateway_api.flat_map(|route| (0..route.rules.len()).map(|n| format!("{}/{n}", route.meta.resource))))
}
