//! Why an intent does not hold: the values that were compared, the lines behind them, and a request that shows it.

use std::{collections::BTreeMap, fmt::Write as _};

use meshproof_model::{Expectation, Location, RequestExample, Value, Witness, WitnessKind};

use super::{
    ast::{Assertion, Goal, Pred, Term},
    element::Element,
    eval::Maker,
    judge::{Counter, Judged},
    world::Env,
};
use crate::{
    access::{Client, Fields, Peer, Seen, rule_matches},
    assumption::{
        APPLIED, CALLS_COMPLETE, CALLS_INFERRED, HTTP_WITHOUT_GRPC_STATUS, INJECTED, NO_CLIENT_RETRIES, NO_HEDGING,
        NO_PATCHES, NO_WAITING, OWN_TIME, REACHABLE,
    },
    patterns::{Attribute, address},
    property::listed,
};

/// Why a group of instances breaks an assertion.
#[derive(Default)]
pub(super) struct Blame {
    /// After "does not hold": of what, and how.
    pub(super) message: String,
    /// The lines.
    pub(super) places: Vec<(Location, String)>,
    /// Numbers and texts.
    pub(super) values: BTreeMap<&'static str, Value>,
    /// What shows it.
    pub(super) witness: Option<Witness>,
}

impl Blame {
    pub(super) fn of(judged: &Judged<'_, '_>, group: &[&Counter]) -> Self {
        let mut blame = Self::default();
        let Some(first) = group.first() else { return blame };
        let world = judged.world;
        let last = first.env.elements().next_back().map(|(_, element)| element.clone());
        match last {
            None => {}
            Some(Element::Request(_, server)) => blame.requests(judged, group, server),
            Some(element) => {
                let mut of: Vec<String> = first.env.elements().map(|(_, element)| world.shown(element)).collect();
                of.dedup();
                blame.message = format!(" of {}", listed(&of));
                blame.places.extend(place_of(judged, &element));
            }
        }
        let maker = Maker::new(world);
        let mut terms = Vec::new();
        preds(judged.assertion, &mut |pred| terms_of(pred, &mut terms));
        let mut told = Vec::new();
        for term in terms {
            let value = match maker.number(&term, &first.env) {
                Ok(value) if !matches!(term, Term::Number(..)) => value.to_string(),
                _ => match maker.text(&term, &first.env) {
                    Some(text) => format!("\"{text}\""),
                    None => continue,
                },
            };
            let written = judged.file.written(term.span());
            let one = format!("`{written}` is {value}");
            if !told.contains(&one) {
                told.push(one);
            }
            blame.places.extend(lines_of(judged, &term, &first.env));
        }
        if !told.is_empty() {
            blame.message.push_str(": ");
            blame.message.push_str(&told.join(", "));
        }
        blame.places.sort();
        blame.places.dedup_by(|b, a| a.0 == b.0);
        blame
    }

    /// Requests of some clients to one port.
    fn requests(&mut self, judged: &Judged<'_, '_>, group: &[&Counter], number: usize) {
        let world = judged.world;
        let client = |counter: &&Counter| match counter.env.elements().next_back() {
            Some((_, Element::Request(client, _))) => Some(*client),
            _ => None,
        };
        let mut clients: Vec<Client> = group.iter().filter_map(client).collect();
        clients.sort();
        clients.dedup();
        let names: Vec<String> = clients
            .iter()
            .map(|client| match client {
                Client::Workload(id) => format!("`{}`", world.mesh.workload(*id).full_name()),
                Client::Outside => world.shown(&Element::Outside),
                Client::Anyone => world.shown(&Element::Anyone),
            })
            .collect();
        let shown = if names.len() > 4 {
            let rest = names.len() - 3;
            listed(&names[..3].iter().cloned().chain([format!("{rest} others")]).collect::<Vec<_>>())
        } else {
            listed(&names)
        };
        let server = &world.access.servers[number];
        let name = world.mesh.workload(server.workload).full_name();
        self.message = format!(" of requests from {shown} to `{name}` on port {}", server.port);
        self.values.insert("clients", (clients.len() as u64).into());
        let Some(counter) = group.first() else { return };
        let (Some(client), Some(fields)) = (client(counter), counter.fields.as_ref()) else { return };
        // Writing to a string does not fail.
        let _ = write!(self.message, ", such as `{}`", request_line(fields));
        self.places.extend(deciding_lines(judged, client, number, fields));
        let (example, expectation) = example(judged, client, number, fields);
        let path = vec![
            match client {
                Client::Workload(id) => world.mesh.workload(id).full_name(),
                Client::Outside | Client::Anyone => "outside".to_owned(),
            },
            name,
        ];
        self.witness = Some(Witness {
            kind: WitnessKind::Request,
            path,
            steps: Vec::new(),
            scenario: None,
            expectation,
            replayed: None,
            request: Some(example),
        });
    }
}

/// A request as a person writes it.
pub(super) fn request_line(fields: &Fields) -> String {
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
fn example(
    judged: &Judged<'_, '_>,
    client: Client,
    number: usize,
    fields: &Fields,
) -> (RequestExample, Option<Expectation>) {
    let world = judged.world;
    let server = &world.access.servers[number];
    let first = |attribute: &Attribute| fields.get(attribute).and_then(|values| values.first()).cloned();
    let ip = |attribute: &Attribute| first(attribute).and_then(|bits| address(&bits));
    let mut maker = Maker::new(world);
    let arrival = world.access.arrival(client, number, &mut maker.atoms);
    let passes = super::judge::holds(&arrival.decision.must, &maker.atoms, fields);
    let asks = passes != super::judge::holds(&arrival.decision.may, &maker.atoms, fields);
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
            Client::Workload(id) => Some(world.mesh.workload(id).full_name()),
            Client::Outside | Client::Anyone => None,
        },
        principal: principal.map(|name| name.strip_prefix("spiffe://").unwrap_or(&name).to_owned()),
        ip: ip(&Attribute::PeerAddress),
        remote_ip: ip(&Attribute::ClientAddress),
        to: world.mesh.workload(server.workload).full_name(),
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
    let is_proxys = world.access.is_guarded(number) && !arrival.refused_by_network && !asks;
    let outside = client == Client::Outside && fields.contains_key(&Attribute::PeerAddress);
    (example, (is_proxys && !outside).then_some(Expectation::Allowed(passes)))
}

/// The policies that decide about a request, by their rules that match.
fn deciding_lines(judged: &Judged<'_, '_>, client: Client, number: usize, fields: &Fields) -> Vec<(Location, String)> {
    let world = judged.world;
    let server = &world.access.servers[number];
    if !world.access.is_guarded(number) {
        let workload = world.mesh.workload(server.workload);
        return vec![(workload.proxy_at.clone(), "no proxy guards this port".to_owned())];
    }
    let lowered = world.access.inbound(number);
    let mut places = Vec::new();
    for peer in world.access.peers(client, number).into_iter().flatten() {
        let policies = lowered.config.listeners.iter().flat_map(|listener| &listener.filters);
        let rules = policies.filter_map(|filter| match filter {
            meshproof_proxy::config::Filter::Rbac(rbac) => rbac.rules.as_ref(),
            _ => None,
        });
        for policy in rules.flat_map(|rules| &rules.policies) {
            let mut maker = Maker::new(world);
            let matches = rule_matches(policy, Seen { peer: &peer, port: server.port }, &mut maker.atoms);
            if super::judge::holds(&matches, &maker.atoms, fields)
                && let Some(name) = meshproof_model::rule_name(&policy.name)
            {
                let mut known = world.mesh.authorization_policies.iter();
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

/// Where an element stands that is itself at fault.
fn place_of(judged: &Judged<'_, '_>, element: &Element) -> Option<(Location, String)> {
    let world = judged.world;
    let (at, what) = match element {
        Element::Port(id, number) => (&world.mesh.service(*id).ports[*number].number.at, "this port"),
        Element::Host(named) => (&named.at, "this host"),
        Element::Object(named) => (&named.at, "this object"),
        Element::Route(service, rule) => (&world.mesh.virtual_services[*service].http[*rule].at, "this route"),
        Element::Workload(id) => (&world.mesh.workload(*id).meta.at, "this workload"),
        Element::Service(id) => (&world.mesh.service(*id).meta.at, "this service"),
        Element::Link(_, server) => {
            return world.access.servers[*server]
                .origin
                .location()
                .map(|at| (at.clone(), "what the server accepts is decided here".to_owned()));
        }
        Element::Namespace(name) => {
            let at = world.mesh.namespaces.get(name).and_then(|namespace| namespace.at.as_ref())?;
            return Some((at.clone(), "this namespace".to_owned()));
        }
        _ => return None,
    };
    Some((at.clone(), what.to_owned()))
}

/// The lines that a number of a call comes from.
fn lines_of(judged: &Judged<'_, '_>, term: &Term, env: &Env) -> Vec<(Location, String)> {
    let (name, arguments) = match term {
        Term::Call(name, arguments, _) => (name, arguments),
        Term::Sum(a, b) | Term::Difference(a, b) => {
            return lines_of(judged, a, env).into_iter().chain(lines_of(judged, b, env)).collect();
        }
        Term::Times(_, inner, _) => return lines_of(judged, inner, env),
        Term::Number(..) | Term::Text(_) | Term::Name(_) => return Vec::new(),
    };
    let Some(Term::Name(variable)) = arguments.first() else { return Vec::new() };
    let Some(Element::Edge(edge)) = env.get(&variable.text) else { return Vec::new() };
    let Some((_, way, _)) = judged.world.edge(*edge) else { return Vec::new() };
    let origin = match name.text.as_str() {
        "limit" | "worst_latency" => way.deciding_limit().location(),
        "timeout" => way.timeout.location(),
        "per_try" => way.per_try.location(),
        "attempts" => way.retry.origin.location(),
        _ => None,
    };
    origin.map(|at| (at.clone(), format!("`{}` is decided here", name.text))).into_iter().collect()
}

/// Every condition of an assertion.
fn preds<'p>(assertion: &'p Assertion, visit: &mut impl FnMut(&'p Pred)) {
    let filters = assertion.quantifiers.iter().filter_map(|quantifier| quantifier.filter.as_ref());
    let goals = assertion.goals.iter().filter_map(|goal| match goal {
        Goal::Always(pred) | Goal::Never(pred) | Goal::Within(_, pred) => Some(pred),
        Goal::Unchanged { .. } => None,
    });
    for pred in filters.chain(&assertion.when).chain(goals) {
        visit(pred);
    }
}

/// Terms that are compared in a condition.
fn terms_of(pred: &Pred, terms: &mut Vec<Term>) {
    match pred {
        Pred::And(all) | Pred::Or(all) => all.iter().for_each(|one| terms_of(one, terms)),
        Pred::Not(one) => terms_of(one, terms),
        Pred::Compare(left, _, right, _) => terms.extend([left.clone(), right.clone()]),
        Pred::Matches(term, _) | Pred::In(term, _) | Pred::Fact(term) => terms.push(term.clone()),
        Pred::Surge(..) => {}
    }
}

/// What a proof of an assertion rests on.
pub(super) fn assumptions(assertion: &Assertion) -> Vec<&'static str> {
    let mut terms = Vec::new();
    preds(assertion, &mut |pred| terms_of(pred, &mut terms));
    let mut found = vec![NO_PATCHES, APPLIED];
    let mut open = terms;
    while let Some(term) = open.pop() {
        match term {
            Term::Call(name, arguments, _) => {
                found.extend_from_slice(match name.text.as_str() {
                    "amplification" | "connects" => {
                        &[NO_HEDGING, CALLS_COMPLETE, CALLS_INFERRED, HTTP_WITHOUT_GRPC_STATUS, NO_CLIENT_RETRIES]
                    }
                    "busy" | "worst_latency" => &[NO_HEDGING, CALLS_COMPLETE, CALLS_INFERRED, OWN_TIME, NO_WAITING],
                    "allowed" => &[INJECTED],
                    "plaintext" | "encrypted" | "outage" | "strict" | "authenticated" => &[INJECTED, REACHABLE],
                    "limit" | "timeout" | "per_try" | "attempts" => &[CALLS_COMPLETE],
                    _ => &[],
                });
                open.extend(arguments);
            }
            Term::Sum(a, b) | Term::Difference(a, b) => open.extend([*a, *b]),
            Term::Times(_, inner, _) => open.push(*inner),
            Term::Number(..) | Term::Text(_) | Term::Name(_) => {}
        }
    }
    found
}
