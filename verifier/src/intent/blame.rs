//! Why an intent does not hold: the values that were compared, the lines behind them, and a request that shows it.

use std::{collections::BTreeMap, fmt::Write as _};

use meshproof_model::{Location, Value, Witness, WitnessKind};

use super::{
    ast::{Assertion, Goal, Pred, Term},
    element::Element,
    eval::Maker,
    judge::{Counter, Judged},
    world::Env,
};
use crate::{
    access::{Client, deciding_lines, request_example, request_line},
    assumption::{
        APPLIED, CALLS_COMPLETE, CALLS_INFERRED, CONTROLLER_AT_ONCE, HTTP_WITHOUT_GRPC_STATUS, INJECTED,
        NO_CLIENT_RETRIES, NO_HEDGING, NO_PATCHES, NO_WAITING, OWN_TIME, REACHABLE, READY, SEES_FAILURES,
    },
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
                blame.witness = failures_of(judged, first);
                let mut of: Vec<String> = first.env.elements().map(|(_, element)| world.shown(element)).collect();
                of.dedup();
                blame.message = format!(" of {}", listed(&of));
                blame.places.extend(place_of(judged, &element));
                if let Element::Version(version) = &element {
                    blame.message = format!(" of {}: {}", version.of, version.told);
                    blame.places.extend(version.places.iter().cloned());
                    blame.values.insert("weight_percent", version.weight.into());
                }
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
        // The words about a version hold its weight.
        if matches!(group.first().and_then(|one| one.env.elements().next_back()), Some((_, Element::Version(_)))) {
            told.clear();
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
        self.places.extend(deciding_lines(&world.access, client, number, fields));
        let (example, expectation) = request_example(&world.access, client, number, fields);
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

/// What has to fail, where something has to.
fn failures_of(judged: &Judged<'_, '_>, counter: &Counter) -> Option<Witness> {
    let failing = counter.env.elements().find_map(|(_, element)| match element {
        Element::Failures(failures) => Some((element, failures)),
        _ => None,
    });
    let (element, failures) = failing?;
    let others = counter.env.elements().map(|(_, element)| judged.world.name(element));
    Some(Witness {
        kind: WitnessKind::Failures,
        path: others.filter(|name| !name.is_empty()).collect(),
        steps: if failures.is_empty() { Vec::new() } else { vec![judged.world.shown(element)] },
        scenario: None,
        expectation: None,
        replayed: None,
        request: None,
    })
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
                    "up" | "load" | "capacity" | "goodput" | "demand" => {
                        &[CALLS_COMPLETE, CALLS_INFERRED, READY, NO_WAITING]
                    }
                    "busy" | "worst_latency" => &[NO_HEDGING, CALLS_COMPLETE, CALLS_INFERRED, OWN_TIME, NO_WAITING],
                    "allowed" => &[INJECTED],
                    "plaintext" | "encrypted" | "outage" | "strict" | "authenticated" => &[INJECTED, REACHABLE],
                    "limit" | "timeout" | "per_try" | "attempts" => &[CALLS_COMPLETE],
                    "weight" | "error_rate" => &[CONTROLLER_AT_ONCE, SEES_FAILURES],
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
