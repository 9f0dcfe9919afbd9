//! A request that was found: whether a formula holds under it, which policies decide about it, and the same as data.

use std::{collections::BTreeMap, fmt::Write as _};

use meshproof_model::{Expectation, Location, RequestExample};

use super::{Access, Atoms, Client, Fields, Peer, Seen, rule_matches};
use crate::{
    patterns::{Attribute, Pattern, address},
    term::{Assignment, Bool},
};

/// Whether a formula holds under a request, looked up value by value.
pub(crate) fn holds(formula: &Bool, atoms: &Atoms, fields: &Fields) -> bool {
    let is_met = |(attribute, pattern): &(Attribute, Pattern)| {
        let values = fields.get(attribute).map_or(&[][..], Vec::as_slice);
        values.iter().any(|value| pattern.contains(value) == Some(true))
    };
    let bools = atoms.list().iter().map(is_met).collect();
    formula.eval(&Assignment { bools, ints: Vec::new() })
}

/// A request as a person writes it.
pub(crate) fn request_line(fields: &Fields) -> String {
    let first = |attribute: &Attribute, default: &str| {
        fields.get(attribute).and_then(|values| values.first()).cloned().unwrap_or_else(|| default.to_owned())
    };
    let mut line = format!("{} {}", first(&Attribute::Method, "GET"), first(&Attribute::Path, "/"));
    for (attribute, values) in fields {
        let what = match attribute {
            Attribute::Authority => "host:".to_owned(),
            Attribute::HeaderLine(name) => format!("{name}:"),
            Attribute::Claim(name) => format!("claim {name}:"),
            Attribute::ServerName => "SNI:".to_owned(),
            Attribute::Identity => "as".to_owned(),
            Attribute::PeerAddress => "from".to_owned(),
            Attribute::ClientAddress => "for".to_owned(),
            _ => continue,
        };
        let shown: Vec<String> = values
            .iter()
            .map(|value| match attribute {
                attribute if attribute.is_address() => {
                    address(value).map_or_else(|| value.clone(), |address| address.to_string())
                }
                _ => value.clone(),
            })
            .collect();
        let _ = write!(line, " {what} {}", shown.join(", "));
    }
    line
}

/// The request as data, and what its replay must show: whether it is allowed, where the decision is a proxy's alone.
pub(crate) fn request_example(
    access: &Access<'_>,
    client: Client,
    number: usize,
    fields: &Fields,
) -> (RequestExample, Option<Expectation>) {
    let server = &access.servers[number];
    let first = |attribute: &Attribute| fields.get(attribute).and_then(|values| values.first()).cloned();
    let ip = |attribute: &Attribute| first(attribute).and_then(|bits| address(&bits));
    let mut atoms = Atoms::default();
    let arrival = access.arrival(client, number, &mut atoms);
    let passes = holds(&arrival.decision.must, &atoms, fields);
    let asks = passes != holds(&arrival.decision.may, &atoms, fields);
    let principal = match &arrival.peer {
        Some(Peer::Anyone) => {
            first(&Attribute::Identity).or_else(|| Some("spiffe://cluster.local/ns/a/sa/a".to_owned()))
        }
        _ => None,
    };
    let speaks = server.services.first().map(|(_, _, protocol)| *protocol);
    let several = |name: fn(&Attribute) -> Option<&String>| {
        let named = fields.iter().filter_map(|(attribute, values)| Some((name(attribute)?.clone(), values.clone())));
        named.collect::<BTreeMap<String, Vec<String>>>()
    };
    let example = RequestExample {
        from: match client {
            Client::Workload(id) => Some(access.mesh.workload(id).full_name()),
            Client::Outside | Client::Anyone => None,
        },
        principal: principal.map(|name| name.strip_prefix("spiffe://").unwrap_or(&name).to_owned()),
        ip: ip(&Attribute::PeerAddress),
        remote_ip: ip(&Attribute::ClientAddress),
        to: access.mesh.workload(server.workload).full_name(),
        port: server.port,
        to_ip: ip(&Attribute::DialledAddress),
        is_connection: speaks.is_some_and(|protocol| !protocol.is_http()),
        method: first(&Attribute::Method),
        path: first(&Attribute::Path),
        host: first(&Attribute::Authority),
        sni: first(&Attribute::ServerName),
        headers: several(|attribute| match attribute {
            Attribute::HeaderLine(name) => Some(name),
            _ => None,
        }),
        claims: several(|attribute| match attribute {
            Attribute::Claim(name) => Some(name),
            _ => None,
        }),
    };
    // Networks are no proxy's matter; nor are ports that go round it.
    let is_proxys = access.is_guarded(number) && arrival.is_single && !arrival.refused_by_network && !asks;
    let outside = client == Client::Outside && fields.contains_key(&Attribute::PeerAddress);
    (example, (is_proxys && !outside).then_some(Expectation::Allowed(passes)))
}

/// The policies that decide about a request, by their rules that match.
pub(crate) fn deciding_lines(
    access: &Access<'_>,
    client: Client,
    number: usize,
    fields: &Fields,
) -> Vec<(Location, String)> {
    let server = &access.servers[number];
    if !access.is_guarded(number) {
        let workload = access.mesh.workload(server.workload);
        return vec![(workload.proxy_at.clone(), "no proxy guards this port".to_owned())];
    }
    let lowered = access.inbound(number);
    let mut places = Vec::new();
    for peer in access.peers(client, number).into_iter().flatten() {
        let policies = lowered.config.listeners.iter().flat_map(|listener| &listener.filters);
        let rules = policies.filter_map(|filter| match filter {
            meshproof_proxy::config::Filter::Rbac(rbac) => rbac.rules.as_ref(),
            _ => None,
        });
        for policy in rules.flat_map(|rules| &rules.policies) {
            let mut atoms = Atoms::default();
            let matches = rule_matches(policy, Seen { peer: &peer, port: server.port }, &mut atoms);
            if holds(&matches, &atoms, fields)
                && let Some(name) = meshproof_model::rule_name(&policy.name)
            {
                let mut known = access.mesh.authorization_policies.iter();
                let found =
                    known.find(|known| known.meta.namespace() == name.namespace && known.meta.name() == name.name);
                let at = found.map(|found| {
                    found.rules.get(name.rule).and_then(|rule| rule.at.clone()).unwrap_or_else(|| found.meta.at.clone())
                });
                places.extend(at.map(|at| (at, "this rule matches the request".to_owned())));
            }
        }
    }
    if places.is_empty() {
        let policies = lowered.provenance.listeners.iter().flat_map(|listener| &listener.policies);
        places.extend(policies.map(|(_, at)| (at.clone(), "this policy holds here".to_owned())));
    }
    places
}
