//! A request on its way, step by step: why each earlier route was not taken, how the link opens, who lets it in.

use meshproof_model::{Location, Lowered, Mesh, Meta, Origin, RouteOrigin};
use meshproof_proxy::{
    ListenerId, Peer, RequestHead, RequestKey, Table,
    config::{
        Action, Config, ConnectionManager, DirectResponse, HeaderMutations, Listener, PathMatcher, Route,
        RouteConfiguration, RouteMatch, VirtualHost,
    },
};
use serde::Serialize;
use serde_json::Value;

use super::{
    Call, Writer,
    leaves::{of, shown_match},
};
use crate::decide::{Decider, From, Policy, Principal, Question, Request, To};

/// What becomes of a request.
#[derive(Clone, Debug, Serialize)]
pub struct Decision {
    /// In the order in which they happen.
    pub steps: Vec<Step>,
    /// The route that takes it.
    pub route: Option<String>,
    /// The clusters that it may be sent to.
    pub cluster: Vec<String>,
    /// Whether it gets through; `None`: an external authorizer decides.
    pub allowed: Option<bool>,
    /// Whether the hop is mutual TLS.
    pub mtls: Option<bool>,
    /// What happens.
    pub outcome: crate::decide::Outcome,
    /// In one line.
    pub why: String,
}

/// One step.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// What is asked.
    pub what: String,
    /// The answer.
    pub result: String,
    /// Because of what: `{"location": ...}` or `{"default": ...}`.
    pub because: Value,
    /// The same for people.
    #[serde(skip)]
    pub place: String,
}

/// Follows a request.
pub(super) fn decide(
    writer: &Writer<'_>,
    decider: &Decider<'_>,
    outbound: &Lowered,
    call: &Call<'_>,
    request: &Request,
) -> Result<Decision, String> {
    let mesh = writer.mesh;
    let host = mesh.service(call.to).host.clone();
    let question = Question {
        id: Value::Null,
        from: From {
            workload: Some(mesh.workload(call.from).full_name()),
            principal: Principal::Derived,
            ..From::default()
        },
        to: To { host: Some(host.clone()), port: Some(call.port), ..To::default() },
        request: request.clone(),
    };
    let answer = decider.answer(&question);
    let authority = request.host.as_deref().unwrap_or(&host);
    let mut steps = routes(writer, outbound, authority, request)?;
    let step = |what: &str, result: String, origin: &Origin| Step {
        what: what.to_owned(),
        result,
        because: writer.origin(origin),
        place: writer.place(origin),
    };
    if let Some(mutual) = answer.mtls {
        let name = answer.backends.first().map(|backend| backend.cluster.as_str());
        let clusters = outbound.config.clusters.iter().zip(&outbound.provenance.clusters);
        let origin = clusters.into_iter().find(|(cluster, _)| Some(cluster.name.as_str()) == name);
        let origin = origin.map_or(Origin::Default("2.2"), |(_, origin)| origin.tls.clone());
        let result = if mutual { "mutual TLS" } else { "no mutual TLS" };
        steps.push(step("connection to the server", result.to_owned(), &origin));
    }
    for policy in &answer.by {
        let origin = place_of(mesh, policy).map_or(Origin::Default("AZ-2"), Origin::Written);
        let what = match policy.kind.as_str() {
            "AuthorizationPolicy" => format!("{} {}/{}", policy.action, policy.namespace, policy.name),
            kind => format!("{kind} {}/{}", policy.namespace, policy.name),
        };
        let rule = policy.rule.map_or_else(|| "no rule matches".to_owned(), |rule| format!("rule {rule} matches"));
        steps.push(step(&what, rule, &origin));
    }
    if answer.by.is_empty() && !answer.backends.is_empty() {
        let result = if answer.allowed == Some(false) { "it is not asked" } else { "no policy refuses it" };
        steps.push(step("access control of the server", result.to_owned(), &Origin::Default("AZ-2")));
    }
    let route = answer.route.as_ref();
    Ok(Decision {
        steps,
        route: route.map(|route| format!("{} {}/{} rule {}", route.kind, route.namespace, route.name, route.rule)),
        cluster: answer.backends.iter().map(|backend| backend.cluster.clone()).collect(),
        allowed: answer.allowed,
        mtls: answer.mtls,
        outcome: answer.outcome,
        why: answer.why,
    })
}

/// Where a policy that decides stands: its rule, else the policy.
fn place_of(mesh: &Mesh, policy: &Policy) -> Option<Location> {
    let is_named = |meta: &Meta| {
        let of = &meta.resource;
        of.kind == policy.kind && of.namespace == policy.namespace && of.name == policy.name
    };
    if let Some(found) = mesh.authorization_policies.iter().find(|found| is_named(&found.meta)) {
        let rule = policy.rule.and_then(|rule| found.rules.get(rule)?.at.clone());
        return Some(rule.unwrap_or_else(|| found.meta.at.clone()));
    }
    let network = &mesh.kubernetes.network_policies;
    network.iter().find(|found| is_named(&found.meta)).map(|found| found.meta.at.clone())
}

/// Each route of the virtual host up to the one that takes the request.
pub(super) fn routes(
    writer: &Writer<'_>,
    outbound: &Lowered,
    authority: &str,
    request: &Request,
) -> Result<Vec<Step>, String> {
    let mut steps = Vec::new();
    for (listener, origin) in outbound.config.listeners.iter().zip(&outbound.provenance.listeners) {
        let mut number = 0;
        for host in &listener.route_config.virtual_hosts {
            let origins = &origin.routes[number..number + host.routes.len()];
            number += host.routes.len();
            let bare = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
            let is_meant = |domain: &String| domain == "*" || domain.eq_ignore_ascii_case(bare);
            if !host.domains.iter().any(is_meant) && origin.protocol.is_none() {
                continue;
            }
            for (route, origin) in host.routes.iter().zip(origins) {
                let unmet = unmet(listener, route, authority, request)?;
                let taken = unmet.is_empty();
                let result = if taken { "taken".to_owned() } else { format!("not taken: {}", unmet.join(", ")) };
                steps.push(Step {
                    what: described(route, origin),
                    result,
                    because: writer.origin(&origin.route),
                    place: writer.place(&origin.route),
                });
                if taken {
                    return Ok(steps);
                }
            }
        }
    }
    Ok(steps)
}

fn described(route: &Route, origin: &RouteOrigin) -> String {
    format!("{}: {}", of(origin.resource.as_ref(), origin.rule), shown_match(route))
}

/// The conditions of a route that a request does not meet. Each is put to the proxy core by itself.
fn unmet(listener: &Listener, route: &Route, authority: &str, request: &Request) -> Result<Vec<String>, String> {
    let any = || RouteMatch { path: PathMatcher::Prefix(String::new()), ..RouteMatch::prefix("") };
    let matches = &route.matches;
    let mut conditions =
        vec![RouteMatch { path: matches.path.clone(), case_sensitive: matches.case_sensitive, ..any() }];
    conditions.extend(matches.headers.iter().map(|header| RouteMatch { headers: vec![header.clone()], ..any() }));
    conditions.extend(matches.query.iter().map(|query| RouteMatch { query: vec![query.clone()], ..any() }));
    let mut unmet = Vec::new();
    for condition in conditions {
        let alone = Route {
            name: String::new(),
            matches: condition,
            action: Action::DirectResponse(DirectResponse { status: 200, body: String::new() }),
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        };
        if !takes(&listener.connection_manager, &alone, authority, request)? {
            unmet.push(shown_match(&alone).trim_start_matches("path *, ").to_owned());
        }
    }
    Ok(unmet)
}

fn takes(manager: &ConnectionManager, route: &Route, authority: &str, request: &Request) -> Result<bool, String> {
    let host = VirtualHost { domains: vec!["*".to_owned()], routes: vec![route.clone()], ..VirtualHost::default() };
    let listener = Listener {
        connection_manager: manager.clone(),
        route_config: RouteConfiguration { virtual_hosts: vec![host], ..RouteConfiguration::default() },
        ..Listener::default()
    };
    let table = Table::compile(&Config { listeners: vec![listener], clusters: Vec::new(), zone: None });
    let table = table.map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_ascii_lowercase(), value.as_str()?.to_owned())))
        .collect();
    let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let head = RequestHead {
        key: RequestKey::default(),
        method: request.method.as_deref().unwrap_or("GET"),
        authority,
        path: request.path.as_deref().unwrap_or("/"),
        headers: &headers,
        tokens: &[],
        peer: Peer::default(),
        http2: true,
    };
    Ok(table.route(ListenerId::new(0), &head, 0).is_some())
}
