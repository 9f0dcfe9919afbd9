//! From busy times to verdicts: which caller leaves before its callee is done, and because of which lines.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    Finding, FindingVerdict, Location, Nanos, Severity, Subject, TIMEOUT_INVERSION, Witness, WitnessKind,
};

use super::{BusyTimes, Longest, deadline::Overruns};
use crate::{
    Engine, Proof, Report,
    assumption::{
        APPLIED, CALLS_COMPLETE, CALLS_INFERRED, DEADLINES_PASSED, NO_HEDGING, NO_PATCHES, NO_WAITING, OWN_TIME,
    },
    graph::{Call, Graph, NodeKind, OwnTime, Way},
    property::{Check, Judge, millis},
    witness::{self, Hang},
};

/// Judges every call whose tries have a limit and whose callee's time is known.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let busy = BusyTimes::of(judge.graph);
    let mut report = Report::default();
    let overruns = Overruns::of(judge.graph, &busy);
    let mut queries = busy.queries(judge.graph);
    let obeying = tries(judge.graph).filter(|tried| obeys(judge.graph, tried.callee));
    queries.extend(obeying.filter_map(|tried| overruns.query(judge.graph, &busy, tried.callee, tried.limit)));
    let checked = judge.none_satisfiable(&queries);
    if checked == Check::Refuted {
        report.disagree(&TIMEOUT_INVERSION, &Subject::Mesh, "Z3 exceeds the busy times of the fixpoint");
        return report;
    }
    let mut verdicts = Verdicts::default();
    for tried in tries(judge.graph) {
        verdicts.judge(judge, (&busy, &overruns), &tried);
    }
    if let Check::Undecided(reason) = checked {
        report.undecided(&TIMEOUT_INVERSION, Subject::Mesh, &reason);
    } else {
        report.proofs = verdicts.proofs(judge.graph);
    }
    report.findings.extend(verdicts.broken.into_values().map(Broken::finding));
    report
}

/// A try of a call that has a limit, at one of its endpoints.
struct Try<'a> {
    from: usize,
    call: &'a Call,
    way: &'a Way,
    limit: Nanos,
    service: usize,
    callee: usize,
}

fn tries(graph: &Graph) -> impl Iterator<Item = Try<'_>> {
    (0..graph.nodes.len()).flat_map(move |from| {
        let hops = graph.calls(from).flat_map(move |call| super::super::retry_amplification::hops(from, call));
        hops.filter_map(move |hop| {
            let (limit, service, target) = (hop.way.try_limit()?, hop.arm.service?, hop.target?);
            Some(Try { from, call: hop.call, way: hop.way, limit, service, callee: target.node })
        })
    })
}

#[derive(Default)]
struct Verdicts {
    /// By the caller's name and the callee's service.
    sound: BTreeMap<(String, usize), Sound>,
    violated: BTreeSet<(String, usize)>,
    broken: BTreeMap<Key, Broken>,
}

/// What is proved of the tries of a caller at a service.
struct Sound {
    /// The least limit.
    limit: Nanos,
    /// The longest busy time.
    busy: Nanos,
    inferred: bool,
    /// Whether it rests on deadlines that are passed on.
    obeys: bool,
}

/// What makes one finding: the caller's limit, the callee's service, the kind, the callee's own limit.
type Key = (Option<Location>, usize, Kind, Option<Location>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    /// One call of the callee lasts as long as the caller waits.
    Inversion,
    /// All that the callee does lasts longer than the caller waits.
    Zombie,
    /// The callee looks at the time, and whom it calls does not.
    Held,
    /// A call of the callee has no limit.
    Open,
}

struct Broken {
    kind: Kind,
    subject: Subject,
    callers: BTreeSet<String>,
    callee: String,
    /// Where the call of the callee goes, for all kinds but [`Kind::Zombie`].
    further: String,
    limit: Nanos,
    limit_at: Option<Location>,
    lasts: Option<Nanos>,
    related: Vec<(Location, String)>,
    inferred: bool,
    witness: Option<Witness>,
}

impl Verdicts {
    fn judge(&mut self, judge: &Judge<'_>, (busy, overruns): (&BusyTimes, &Overruns), tried: &Try<'_>) {
        let graph = judge.graph;
        let callee = &graph.nodes[tried.callee];
        let pair = (graph.nodes[tried.from].name.clone(), tried.service);
        if callee.stages.is_empty() && callee.own == OwnTime::Unknown {
            return;
        }
        let obeys = obeys(graph, tried.callee);
        let (held, late) = overruns.held(graph, busy, tried.callee, tried.limit);
        let known = if obeys { time(held).unwrap_or(tried.limit) } else { known_time(graph, busy, tried.callee) };
        let worst = if callee.cancels && callee.kind == NodeKind::Workload {
            None
        } else if obeys {
            late.map(|late| (kind_of(graph, busy, late.call, tried.limit), Some(late.call)))
        } else {
            worst_call(graph, busy, tried.callee, tried.limit)
                .map(|(call, way)| (Kind::Inversion, Some((call, way))))
                .or_else(|| match open_call(graph, busy, tried.callee) {
                    _ if known > tried.limit => Some((Kind::Zombie, None)),
                    Some(open) => Some((Kind::Open, Some(open))),
                    None => None,
                })
        };
        let inferred = tried.call.inferred || graph.calls(tried.callee).any(|call| call.inferred);
        let Some((kind, inner)) = worst else {
            let new = Sound { limit: tried.limit, busy: known, inferred, obeys };
            let entry = self.sound.entry(pair).or_insert(new);
            (entry.limit, entry.busy) = (entry.limit.min(tried.limit), entry.busy.max(known));
            (entry.inferred, entry.obeys) = (entry.inferred || inferred, entry.obeys || obeys);
            return;
        };
        self.violated.insert(pair);
        let inner_at = inner.and_then(|(_, way)| way.deciding_limit().location().cloned());
        let limit_at = tried.way.deciding_limit().location().cloned();
        let key = (limit_at.clone(), tried.service, kind, inner_at);
        let caller = graph.nodes[tried.from].name.clone();
        let broken = self.broken.entry(key).or_insert_with(|| Broken {
            kind,
            subject: Subject::Call { from: caller.clone(), to: graph.services[tried.service].clone() },
            callers: BTreeSet::new(),
            callee: callee.name.clone(),
            further: inner.map_or_else(String::new, |(_, way)| destination(graph, way)),
            limit: tried.limit,
            limit_at,
            lasts: match (kind, inner) {
                (Kind::Inversion, Some((call, way))) => time(busy.way(graph, &Call { times: 1, ..call.clone() }, way)),
                (Kind::Zombie | Kind::Held, _) => Some(known),
                _ => None,
            },
            related: related(graph, tried.callee, inner, kind),
            inferred: graph.calls(tried.callee).filter(|call| call.inferred).count() > 1,
            witness: None,
        });
        // Of several callers, one whose call can be replayed shows it, best with a client that is known.
        if !matches!(kind, Kind::Open | Kind::Held)
            && broken.witness.as_ref().is_none_or(|witness| replays(witness) < Replays::Known)
        {
            let witness = show(judge, busy, tried, inner);
            if broken.witness.as_ref().is_none_or(|known| replays(known) < replays(&witness)) {
                broken.witness = Some(witness);
            }
        }
        broken.callers.insert(caller);
    }

    fn proofs(&self, graph: &Graph) -> Vec<Proof> {
        let holds = self.sound.iter().filter(|(pair, _)| !self.violated.contains(pair));
        let proof = |((from, to), sound): (&(String, usize), &Sound)| {
            let subject = Subject::Call { from: from.clone(), to: graph.services[*to].clone() };
            Proof::new(&TIMEOUT_INVERSION, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("caller_limit_ms", millis(sound.limit))
                .value("callee_busy_ms", millis(sound.busy))
                .assuming([NO_HEDGING, NO_PATCHES, CALLS_COMPLETE, OWN_TIME, NO_WAITING, APPLIED])
                .assuming(sound.inferred.then_some(CALLS_INFERRED))
                .assuming(sound.obeys.then_some(DEADLINES_PASSED))
        };
        holds.map(proof).collect()
    }
}

/// Whether a callee looks at the time that its caller waits.
fn obeys(graph: &Graph, callee: usize) -> bool {
    graph.nodes[callee].obeys && graph.nodes[callee].kind == NodeKind::Workload
}

/// Whether a call that goes on is by itself as long as the caller waits, answered by somebody who does not look.
fn kind_of(graph: &Graph, busy: &BusyTimes, (call, way): (&Call, &Way), limit: Nanos) -> Kind {
    let once = busy.way(graph, &Call { times: 1, ..call.clone() }, way);
    let looks = way.arms.iter().flat_map(|arm| &arm.targets).any(|target| obeys(graph, target.node));
    match once {
        Longest::Time(time) if time >= limit && !looks && way.try_limit().is_some() => Kind::Inversion,
        Longest::Open => Kind::Open,
        Longest::Time(_) => Kind::Held,
    }
}

/// How well a witness can be replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Replays {
    /// Not at all.
    No,
    /// With a client of its own.
    Own,
    /// With a client of the mesh.
    Known,
}

fn replays(witness: &Witness) -> Replays {
    match &witness.scenario {
        None => Replays::No,
        Some(scenario) if scenario.clients.is_empty() => Replays::Known,
        Some(_) => Replays::Own,
    }
}

fn time(longest: Longest) -> Option<Nanos> {
    match longest {
        Longest::Time(time) => Some(time),
        Longest::Open => None,
    }
}

/// Every way of every call of a node, with the longest time of a single call over it.
fn calls_of<'a>(
    graph: &'a Graph,
    busy: &'a BusyTimes,
    node: usize,
) -> impl Iterator<Item = (&'a Call, &'a Way, Longest)> {
    graph.calls(node).flat_map(move |call| {
        call.ways.iter().map(move |way| (call, way, busy.way(graph, &Call { times: 1, ..call.clone() }, way)))
    })
}

/// The longest of a callee's calls with a limit of its own, if it lasts as long as the caller waits.
fn worst_call<'a>(graph: &'a Graph, busy: &'a BusyTimes, node: usize, limit: Nanos) -> Option<(&'a Call, &'a Way)> {
    let mut worst: Option<(Nanos, &Call, &Way)> = None;
    for (call, way, longest) in calls_of(graph, busy, node).filter(|(_, way, _)| way.try_limit().is_some()) {
        if let Longest::Time(time) = longest
            && time >= limit
            && worst.is_none_or(|(most, _, _)| time > most)
        {
            worst = Some((time, call, way));
        }
    }
    worst.map(|(_, call, way)| (call, way))
}

/// The first of a callee's calls that nothing bounds.
fn open_call<'a>(graph: &'a Graph, busy: &'a BusyTimes, node: usize) -> Option<(&'a Call, &'a Way)> {
    calls_of(graph, busy, node).find(|(_, _, longest)| *longest == Longest::Open).map(|(call, way, _)| (call, way))
}

/// How long a node is busy, calls without a bound left out.
fn known_time(graph: &Graph, busy: &BusyTimes, node: usize) -> Nanos {
    let own = match graph.nodes[node].own {
        OwnTime::AtMost(time) => time,
        OwnTime::Unknown => Nanos::ZERO,
    };
    graph.nodes[node].stages.iter().fold(own, |sum, stage| {
        let ways = stage.iter().flat_map(|call| call.ways.iter().map(move |way| (call, way)));
        sum + ways.filter_map(|(call, way)| time(busy.way(graph, call, way))).max().unwrap_or(Nanos::ZERO)
    })
}

fn destination(graph: &Graph, way: &Way) -> String {
    way.arms
        .iter()
        .find_map(|arm| arm.service)
        .map_or_else(|| "?".to_owned(), |service| graph.services[service].clone())
}

/// The callee's own limits that make it last.
fn related(graph: &Graph, callee: usize, inner: Option<(&Call, &Way)>, kind: Kind) -> Vec<(Location, String)> {
    let mut places = Vec::new();
    let ways: Vec<&Way> = match (kind, inner) {
        (Kind::Inversion | Kind::Held, Some((_, way))) => vec![way],
        (Kind::Zombie, _) => graph.calls(callee).flat_map(|call| &call.ways).collect(),
        _ => Vec::new(),
    };
    for way in ways {
        for limit in [&way.timeout, &way.per_try] {
            if let (Some(at), Some(value)) = (limit.location(), limit.value)
                && !places.iter().any(|(known, _)| known == at)
            {
                let name = if std::ptr::eq(limit, &raw const way.timeout) { "timeout" } else { "perTryTimeout" };
                places.push((at.clone(), format!("{name} {value} towards `{}`", destination(graph, way))));
            }
        }
    }
    places
}

impl Broken {
    fn finding(self) -> Finding {
        let callers: Vec<String> = self.callers.iter().map(|name| format!("`{name}`")).collect();
        let Subject::Call { to, .. } = &self.subject else { return Finding::new(&TIMEOUT_INVERSION, self.subject, "") };
        let who = crate::property::listed(&callers);
        let (gives, limit) = (if callers.len() == 1 { "gives" } else { "give" }, self.limit);
        let (callee, further) = (&self.callee, &self.further);
        let lasts = self.lasts.unwrap_or(Nanos::ZERO);
        let (message, help) = match self.kind {
            Kind::Inversion => (
                format!(
                    "timeout inversion: {who} {gives} up on `{to}` after {limit}, but the call of `{callee}` to \
                     `{further}` may last {lasts}"
                ),
                format!("make the call to `{further}` end before {limit}, or let {who} wait longer than {lasts}"),
            ),
            Kind::Zombie => (
                format!(
                    "zombie work: {who} {gives} up on `{to}` after {limit}, but `{callee}` may be busy with it for {lasts}"
                ),
                format!("shorten what `{callee}` waits for, or let {who} wait at least {lasts}"),
            ),
            Kind::Held => (
                format!(
                    "zombie work: {who} {gives} up on `{to}` after {limit}; `{callee}` looks at that time, but its call \
                     to `{further}` goes on, and it is busy for {lasts}"
                ),
                format!("let `{further}` and whom it calls look at the time too, or end the call to it sooner"),
            ),
            Kind::Open => (
                format!(
                    "{who} {gives} up on `{to}` after {limit}, but the call of `{callee}` to `{further}` has no timeout"
                ),
                format!("give the route to `{further}` a `timeout` below {limit}"),
            ),
        };
        let mut finding = Finding::new(&TIMEOUT_INVERSION, self.subject, message).help(help);
        finding.verdict = FindingVerdict::Violated;
        if matches!(self.kind, Kind::Open | Kind::Held) || (self.kind == Kind::Zombie && self.inferred) {
            finding.severity = Severity::Warning;
        }
        // What needs several calls to be as slow as they can, each in its time, no single run is forced to show.
        if matches!(self.kind, Kind::Open | Kind::Held) {
            finding.verdict = FindingVerdict::Lint;
        }
        finding.location = self.limit_at;
        finding.related = self.related;
        finding.witness = self.witness;
        finding = finding.value("caller_limit_ms", millis(limit)).value("kind", self.kind.name());
        match self.lasts {
            Some(lasts) => finding.value("callee_busy_ms", millis(lasts)),
            None => finding,
        }
    }
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Inversion => "inversion",
            Self::Zombie => "zombie work",
            Self::Held => "deadline not passed on",
            Self::Open => "no timeout below",
        }
    }
}

/// A run in which the callee's calls hang: the one of an inversion, or all.
fn show(judge: &Judge<'_>, busy: &BusyTimes, tried: &Try<'_>, inner: Option<(&Call, &Way)>) -> Witness {
    let graph = judge.graph;
    let (caller, callee) = (&graph.nodes[tried.from].name, &graph.nodes[tried.callee]);
    let hanging: Vec<(&Call, &Way)> = match inner {
        Some(one) => vec![one],
        None => calls_of(graph, busy, tried.callee).map(|(call, way, _)| (call, way)).collect(),
    };
    let mut steps = vec![format!("`{caller}` calls `{}` and waits {}", callee.name, tried.limit)];
    for (_, way) in &hanging {
        steps.push(format!("`{}` calls `{}`, which hangs", callee.name, destination(graph, way)));
    }
    steps.push(format!("`{caller}` leaves after {}; `{}` goes on", tried.limit, callee.name));
    let path = vec![caller.clone(), graph.services[tried.service].clone()];
    let (caller, callee, own) = (tried.from, tried.callee, inner.is_none());
    let hang = Hang { caller, call: tried.call, way: tried.way, callee, own, hanging };
    let (scenario, expectation) = witness::timeouts(judge, &hang).unzip();
    Witness { kind: WitnessKind::Scenario, path, steps, scenario, expectation, replayed: None, request: None }
}
