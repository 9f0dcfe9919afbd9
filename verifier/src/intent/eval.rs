//! Terms and conditions: values where everything is known, formulas on the fields of a request where those are free.

use meshproof_model::Protocol;

use super::{
    ast::{Comparison, Goal, Pred, Quantifier, Term, Word},
    element::Element,
    quantity::{Quantity, Unit},
    sorts::recovering,
    world::{Env, World},
};
use crate::{
    access::{Atoms, Client, Peer},
    dfa::escaped,
    patterns::{Attribute, Pattern, block},
    term::Bool,
};

/// Why something has no value.
pub(crate) type Undecided = String;

/// A formula being made.
pub(crate) struct Maker<'w, 'a> {
    /// The mesh.
    pub world: &'w World<'a>,
    /// Patterns that it uses.
    pub atoms: Atoms,
}

/// What a field of a request is.
enum Field {
    /// Free: an attribute.
    Free(Attribute),
    /// Known.
    Known(String),
    /// Not there.
    Absent,
}

impl<'w, 'a> Maker<'w, 'a> {
    /// Without patterns.
    pub(crate) fn new(world: &'w World<'a>) -> Self {
        Self { world, atoms: Atoms::default() }
    }

    /// What `when` and the goals say inside further quantifiers. `wide`: what others decide counts as holding.
    pub(crate) fn holds(
        &mut self,
        rest: &[Quantifier],
        matter: (Option<&Pred>, &[Goal]),
        env: &Env,
        wide: bool,
    ) -> Result<Bool, Undecided> {
        let Some((first, further)) = rest.split_first() else {
            let (premise, surge) = match matter.0 {
                Some(Pred::Surge(factor, during, _)) => (Bool::Const(true), Some((*factor, *during))),
                when => (self.premise(when, env, !wide)?, None),
            };
            let goals = matter.1.iter().map(|goal| self.goal(goal, surge, env, wide)).collect::<Result<Vec<_>, _>>()?;
            return Ok(Bool::Or(vec![!premise, Bool::And(goals)]));
        };
        let elements = self.world.elements(&first.set).map_err(|error| error.message)?;
        let mut parts = Vec::new();
        for element in elements {
            let env = env.with(&first.variable.text, element);
            let inner = self.holds(further, matter, &env, wide)?;
            let filter = match &first.filter {
                Some(filter) => self.pred(filter, &env, wide != first.is_all)?,
                None => Bool::Const(true),
            };
            parts.push(if first.is_all { Bool::Or(vec![!filter, inner]) } else { Bool::And(vec![filter, inner]) });
        }
        Ok(if first.is_all { Bool::And(parts) } else { Bool::Or(parts) })
    }

    /// `when`, or nothing.
    pub(crate) fn premise(&mut self, when: Option<&Pred>, env: &Env, wide: bool) -> Result<Bool, Undecided> {
        when.map_or(Ok(Bool::Const(true)), |when| self.pred(when, env, wide))
    }

    fn goal(
        &mut self,
        goal: &Goal,
        surge: Option<(Quantity, Quantity)>,
        env: &Env,
        wide: bool,
    ) -> Result<Bool, Undecided> {
        match goal {
            Goal::Within(time, pred) => {
                let (Some((factor, during)), Some(of)) = (surge, recovering(pred)) else {
                    return Err("this goal is not decided".to_owned());
                };
                let party = self.element(&Term::Name(of.clone()), env)?;
                let recovery = self.world.recovery(&party, factor, during)?;
                Ok(Bool::Const(recovery.order(*time).is_le()))
            }
            Goal::Always(pred) => self.pred(pred, env, wide),
            Goal::Never(pred) => Ok(!self.pred(pred, env, !wide)?),
            Goal::Unchanged { .. } => Err("this goal is not decided".to_owned()),
        }
    }

    /// A condition. `wide`: what others decide counts as holding.
    pub(crate) fn pred(&mut self, pred: &Pred, env: &Env, wide: bool) -> Result<Bool, Undecided> {
        match pred {
            Pred::And(all) => Ok(Bool::And(all.iter().map(|one| self.pred(one, env, wide)).collect::<Result<_, _>>()?)),
            Pred::Or(any) => Ok(Bool::Or(any.iter().map(|one| self.pred(one, env, wide)).collect::<Result<_, _>>()?)),
            Pred::Not(one) => Ok(!self.pred(one, env, !wide)?),
            Pred::Compare(left, comparison, right, _) => self.comparison(left, *comparison, right, env),
            Pred::Matches(term, pattern) => self.matches(term, pattern, env),
            Pred::In(term, set) => {
                let element = self.element(term, env)?;
                let set = self.world.elements(set).map_err(|error| error.message)?;
                Ok(Bool::Const(self.world.is_among(&element, &set)))
            }
            Pred::Fact(term) => self.fact(term, env, wide),
            // Whatever comes after it is asked by `within`.
            Pred::Surge(..) => Ok(Bool::Const(true)),
        }
    }

    fn comparison(&mut self, left: &Term, how: Comparison, right: &Term, env: &Env) -> Result<Bool, Undecided> {
        if let (Ok(left), Ok(right)) = (self.element(left, env), self.element(right, env)) {
            let same = self.world.is_among(&left, std::slice::from_ref(&right)) && self.world.is_among(&right, &[left]);
            return Ok(Bool::Const(same == (how == Comparison::Equal)));
        }
        let text = |term: &Term| match term {
            Term::Text(word) => Some(word.text.clone()),
            other => self.text(other, env),
        };
        if let (Some(a), Some(b)) = (text(left), text(right)) {
            return Ok(Bool::Const((a == b) == (how == Comparison::Equal)));
        }
        for (field, value) in [(left, text(right)), (right, text(left))] {
            if let (Some(field), Some(value)) = (self.field(field, env), value) {
                let same = self.asks(field, Asked::Exact(&value));
                return Ok(if how == Comparison::Equal { same } else { !same });
            }
        }
        let (a, b) = (self.number(left, env)?, self.number(right, env)?);
        Ok(Bool::Const(how.holds(a.order(b))))
    }

    fn matches(&mut self, term: &Term, pattern: &Word, env: &Env) -> Result<Bool, Undecided> {
        if let Some(text) = self.text(term, env) {
            return Ok(Bool::Const(glob(&pattern.text).contains(&text).unwrap_or(false)));
        }
        match self.field(term, env) {
            Some(field) => Ok(self.asks(field, Asked::Glob(&pattern.text))),
            None => Err("only texts match patterns".to_owned()),
        }
    }

    /// A field is what is asked for.
    fn asks(&mut self, field: Field, asked: Asked<'_>) -> Bool {
        match field {
            Field::Absent => Bool::Const(false),
            Field::Known(value) => Bool::Const(asked.pattern().contains(&value).unwrap_or(false)),
            Field::Free(attribute) => {
                let pattern = match (&attribute, asked) {
                    (address, Asked::Exact(text) | Asked::Glob(text)) if address.is_address() => {
                        // What is no address matches none.
                        block(text).unwrap_or_else(|| Pattern::Exact("none".to_owned()))
                    }
                    (Attribute::Authority, Asked::Exact(text)) => Pattern::Exact(text.to_ascii_lowercase()),
                    (Attribute::Authority, Asked::Glob(text)) => glob(&text.to_ascii_lowercase()),
                    (Attribute::Identity, Asked::Exact(text)) => Pattern::Exact(format!("spiffe://{text}")),
                    (Attribute::Identity, Asked::Glob(text)) => glob(&format!("spiffe://{text}")),
                    (_, asked) => asked.pattern(),
                };
                self.atoms.term(attribute, pattern)
            }
        }
    }

    /// A fact about an element, or about a request.
    fn fact(&mut self, term: &Term, env: &Env, wide: bool) -> Result<Bool, Undecided> {
        let Term::Call(name, arguments, _) = term else { return Err("this is no condition".to_owned()) };
        let element = self.argument(arguments, env)?;
        let world = self.world;
        let mesh = world.mesh;
        Ok(Bool::Const(match (name.text.as_str(), &element) {
            ("allowed", Element::Request(client, server)) => {
                let decision = world.access.arrival(*client, *server, &mut self.atoms).decision;
                return Ok(if wide { decision.may } else { decision.must });
            }
            ("authenticated", Element::Request(client, server)) => {
                let peers = world.access.peers(*client, *server);
                peers.iter().flatten().all(|peer| *peer != Peer::Plaintext)
            }
            ("up", party) => world.is_up(party, &self.failures(arguments, env)),
            ("plaintext", element) => world.is_plaintext(element),
            ("encrypted", element) => !world.is_plaintext(element),
            ("outage", Element::Change(object)) => world.breaks_alone(object)?,
            ("outage", element) => world.is_outage(element),
            ("strict", element) => world.is_strict(element),
            ("injected", element) => world.is_injected(element),
            ("default_deny", element) => world.refuses_by_default(element)?,
            ("reachable", Element::Route(service, rule)) => {
                let reached = crate::property::shadowed_route::takes_some(
                    &mesh.virtual_services[*service],
                    *rule,
                    world.options.rlimit,
                );
                reached.ok_or_else(|| "whether a request gets to the route is not decided".to_owned())?
            }
            ("declared", Element::Port(service, number)) => {
                mesh.service(*service).ports[*number].protocol != Protocol::Auto
            }
            ("wildcard", Element::Host(named)) => named.host.contains('*'),
            ("public", Element::Object(named)) => named.public,
            (other, _) => return Err(format!("`{other}` is not known of this")),
        }))
    }

    /// The element that a term names.
    fn element(&self, term: &Term, env: &Env) -> Result<Element, Undecided> {
        match term {
            Term::Name(name) => env.get(&name.text).cloned().ok_or_else(|| format!("`{}` is no variable", name.text)),
            Term::Call(name, arguments, _) => {
                let element = self.argument(arguments, env)?;
                let nobody = || "nobody is at the other end".to_owned();
                match (name.text.as_str(), element) {
                    ("callee", Element::Edge(edge)) => self.world.callee(edge).into_iter().next().ok_or_else(nobody),
                    ("callee", Element::Link(_, server)) | ("to", Element::Request(_, server)) => {
                        Ok(Element::Workload(self.world.access.servers[server].workload))
                    }
                    ("caller", Element::Edge(edge)) => Ok(Element::Node(edge.node)),
                    ("caller", Element::Link(client, _)) => Ok(Element::Workload(client)),
                    ("from", Element::Request(client, _)) => Ok(match client {
                        Client::Workload(id) => Element::Workload(id),
                        Client::Outside => Element::Outside,
                        Client::Anyone => Element::Anyone,
                    }),
                    _ => Err(format!("`{}` gives no element", name.text)),
                }
            }
            _ => Err("this is no element".to_owned()),
        }
    }

    /// What the second argument says has failed.
    fn failures(&self, arguments: &[Term], env: &Env) -> Vec<crate::failures::Failure> {
        match arguments.get(1).map(|argument| self.element(argument, env)) {
            Some(Ok(Element::Failures(failures))) => failures,
            _ => Vec::new(),
        }
    }

    fn argument(&self, arguments: &[Term], env: &Env) -> Result<Element, Undecided> {
        arguments.first().map_or_else(|| Err("of what is not said".to_owned()), |first| self.element(first, env))
    }

    /// A text that is known.
    pub(crate) fn text(&self, term: &Term, env: &Env) -> Option<String> {
        let Term::Call(name, arguments, _) = term else { return None };
        let element = self.argument(arguments, env).ok()?;
        let (world, mesh) = (self.world, self.world.mesh);
        let of_meta = |which: fn(&meshproof_model::Meta) -> &str| -> Option<String> {
            Some(match &element {
                Element::Service(id) | Element::Port(id, _) => which(&mesh.service(*id).meta).to_owned(),
                Element::Route(service, _) => which(&mesh.virtual_services[*service].meta).to_owned(),
                other => which(&mesh.workload(*world.workloads(other).first()?).meta).to_owned(),
            })
        };
        match (name.text.as_str(), &element) {
            ("name" | "namespace", Element::Namespace(name)) => Some(name.clone()),
            ("name", Element::Host(named)) => Some(named.host.clone()),
            ("name", Element::Object(named)) => Some(named.resource.name.clone()),
            ("namespace", Element::Host(named) | Element::Object(named)) => Some(named.resource.namespace.clone()),
            ("name", Element::Rollout(resource)) => Some(resource.name.clone()),
            ("namespace", Element::Rollout(resource)) => Some(resource.namespace.clone()),
            ("kind", Element::Rollout(resource)) => Some(resource.kind.clone()),
            ("name", Element::Change(resource)) => Some(resource.name.clone()),
            ("namespace", Element::Change(resource)) => Some(resource.namespace.clone()),
            ("kind", Element::Change(resource)) => Some(resource.kind.clone()),
            ("kind", Element::Host(named) | Element::Object(named)) => Some(named.resource.kind.clone()),
            ("kind", Element::Namespace(_)) => Some("Namespace".to_owned()),
            ("name", Element::Port(id, number)) => Some(mesh.service(*id).ports[*number].name.clone()),
            ("name", Element::Node(node)) if world.workload_of(*node).is_none() => {
                Some(world.graph.nodes[*node].name.clone())
            }
            ("name", _) => of_meta(|meta| meta.name()),
            ("namespace", _) => of_meta(|meta| meta.namespace()),
            ("kind", _) => of_meta(|meta| &meta.resource.kind),
            ("service_account", other) => {
                Some(mesh.workload(*world.workloads(other).first()?).service_account.value.clone())
            }
            ("label", other) => {
                let Some(Term::Text(key)) = arguments.get(1) else { return None };
                let workload = mesh.workload(*world.workloads(other).first()?);
                Some(workload.labels.get(&key.text).cloned().unwrap_or_default())
            }
            _ => None,
        }
    }

    /// A field of a request.
    fn field(&self, term: &Term, env: &Env) -> Option<Field> {
        let Term::Call(name, arguments, _) = term else { return None };
        let Element::Request(client, server) = self.argument(arguments, env).ok()? else { return None };
        let further = || match arguments.get(1) {
            Some(Term::Text(word)) => Some(word.text.clone()),
            _ => None,
        };
        Some(match name.text.as_str() {
            "path" => Field::Free(Attribute::Path),
            "method" => Field::Free(Attribute::Method),
            "host" => Field::Free(Attribute::Authority),
            "sni" => Field::Free(Attribute::ServerName),
            "ip" => Field::Free(Attribute::PeerAddress),
            "remote_ip" => Field::Free(Attribute::ClientAddress),
            "header" => Field::Free(Attribute::HeaderLine(further()?.to_ascii_lowercase())),
            "claim" => Field::Free(Attribute::Claim(further()?)),
            "principal" => match self.world.access.peers(client, server).into_iter().flatten().next() {
                None | Some(Peer::Plaintext) => Field::Absent,
                Some(Peer::Named(name)) => Field::Known(name.strip_prefix("spiffe://").unwrap_or(&name).to_owned()),
                Some(Peer::Anyone) => Field::Free(Attribute::Identity),
            },
            _ => return None,
        })
    }

    /// A number.
    pub(crate) fn number(&self, term: &Term, env: &Env) -> Result<Quantity, Undecided> {
        Ok(match term {
            Term::Number(quantity, _) => *quantity,
            Term::Sum(a, b) => self.number(a, env)?.plus(self.number(b, env)?),
            Term::Difference(a, b) => self.number(a, env)?.minus(self.number(b, env)?),
            Term::Times(factor, inner, _) => self.number(inner, env)?.times(*factor),
            Term::Call(name, arguments, _) if matches!(name.text.as_str(), "load" | "capacity") => {
                let party = self.argument(arguments, env)?;
                let failures = arguments.get(1).map(|_| self.failures(arguments, env));
                if name.text == "load" {
                    self.world.load(&party, failures.as_deref())?
                } else {
                    self.world.capacity(&party, failures.as_deref().unwrap_or_default())?
                }
            }
            Term::Call(name, arguments, _) => self.figure(&name.text, &self.argument(arguments, env)?)?,
            Term::Text(_) | Term::Name(_) => return Err("this is no number".to_owned()),
        })
    }

    fn figure(&self, name: &str, of: &Element) -> Result<Quantity, Undecided> {
        let world = self.world;
        let edge = |reference| world.edge(reference).ok_or_else(|| "there is no such call".to_owned());
        Ok(match (name, of) {
            ("timeout", Element::Edge(reference)) => Quantity::time(edge(*reference)?.1.timeout.value),
            ("per_try", Element::Edge(reference)) => Quantity::time(edge(*reference)?.1.per_try.value),
            ("limit", Element::Edge(reference)) => Quantity::time(edge(*reference)?.1.try_limit()),
            ("attempts", Element::Edge(reference)) => Quantity::count(Some(edge(*reference)?.1.retry.attempts)),
            ("timeout", Element::Route(service, rule)) => {
                let written = &world.mesh.virtual_services[*service].http[*rule].timeout;
                Quantity::time(written.as_ref().map(|time| time.value).filter(|time| !time.is_zero()))
            }
            ("per_try", Element::Route(service, rule)) => {
                let retries = world.mesh.virtual_services[*service].http[*rule].retries.as_ref();
                let written = retries.and_then(|retries| retries.per_try_timeout.as_ref());
                Quantity::time(written.map(|time| time.value).filter(|time| !time.is_zero()))
            }
            ("worst_latency", Element::Edge(reference)) => world.worst_latency(*reference),
            ("worst_latency", Element::Path(edges)) => {
                edges.first().map_or(Quantity::time(None), |first| world.worst_latency(*first))
            }
            // Of a party that answers what it is asked, both are the same.
            ("goodput" | "demand", party) => world.load(party, Some(&[]))?,
            ("weight", Element::Version(version)) => Quantity::percent(version.weight),
            ("busy", party) => world.busy_time(party),
            ("amplification", party) => world.amplification(party),
            ("connects", party) => world.connects(party),
            ("replicas", party) => Quantity::new(world.replicas(party), Unit::Count),
            ("port", Element::Request(_, server)) => {
                Quantity::new(world.access.servers[*server].port.into(), Unit::Count)
            }
            (other, _) => return Err(format!("`{other}` is not known of this")),
        })
    }
}

/// What a field is compared with.
#[derive(Clone, Copy)]
enum Asked<'t> {
    Exact(&'t str),
    Glob(&'t str),
}

impl Asked<'_> {
    fn pattern(self) -> Pattern {
        match self {
            Self::Exact(text) => Pattern::Exact(text.to_owned()),
            Self::Glob(text) => glob(text),
        }
    }
}

/// A pattern in which `*` stands for any characters; `*` alone asks for something that is not empty.
fn glob(text: &str) -> Pattern {
    match text.split('*').collect::<Vec<_>>().as_slice() {
        [exact] => Pattern::Exact((*exact).to_owned()),
        ["", ""] => Pattern::Regex("(?s:.)+".to_owned()),
        [prefix, ""] => Pattern::Prefix((*prefix).to_owned()),
        parts => Pattern::Regex(parts.iter().map(|part| escaped(part)).collect::<Vec<_>>().join("(?s:.)*")),
    }
}
