//! Replaying a witness: does a run show what it claims?

use std::borrow::Cow;

use meshproof_model::{ClientBehaviour, Distribution, Expectation, Mesh, Nanos, Network, Scenario, Witness};

use crate::{
    SetupError, SimOptions,
    engine::Observer,
    entropy::Keys,
    plan::{Caller, Plan},
    simulate::run_one,
};

/// What the replay of a witness has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplayOutcome {
    /// Whether it was what the witness claims.
    pub shown: bool,
    /// Whether something of the mesh kept a request from going on: access control, a link whose sides cannot agree on
    /// TLS, an ejection, a full breaker. What was not shown is then not refuted either.
    pub obstructed: bool,
    /// What was observed, in one sentence.
    pub observed: String,
}

/// Replays a witness.
///
/// # Errors
/// If the witness has no scenario, or its scenario cannot be run.
pub fn replay(mesh: &Mesh, witness: &Witness) -> Result<ReplayOutcome, SetupError> {
    Replayer::new(mesh).replay(witness)
}

/// Replays witnesses of one mesh, whose network takes no time and whose proxies do not wait before a retry, as proofs
/// assume: where a limit is shorter than a handshake, the caller would leave before anybody has begun to work.
pub struct Replayer<'m> {
    mesh: &'m Mesh,
    /// What was compiled for the last witnesses.
    ready: Vec<Ready>,
}

/// A mesh as proofs assume it, compiled.
struct Ready {
    is_quick: bool,
    clients: Vec<(String, ClientBehaviour)>,
    mesh: Mesh,
    plan: Plan,
}

/// BOUND: compiled meshes that are kept, each for other clients.
const READY_MAX: usize = 4;

impl<'m> Replayer<'m> {
    /// For witnesses of this mesh.
    pub const fn new(mesh: &'m Mesh) -> Self {
        Self { mesh, ready: Vec::new() }
    }

    /// Replays a witness.
    ///
    /// # Errors
    /// If the witness has no scenario, or its scenario cannot be run.
    pub fn replay(&mut self, witness: &Witness) -> Result<ReplayOutcome, SetupError> {
        let (Some(scenario), Some(expectation)) = (&witness.scenario, &witness.expectation) else {
            return Err(SetupError::NothingToReplay);
        };
        let ready = self.ready(scenario, is_quick(expectation))?;
        let keys = Keys::new(scenario.seed, 0).hasty();
        let run = run_one(&ready.plan, &crate::measure::Kept::default(), keys, true);
        if let Some(violation) = run.checker.violations().first() {
            return Ok(outcome(false, format!("internal error: {violation}")));
        }
        let observer = run.observer.unwrap_or_default();
        Ok(shown(&ready.mesh, &ready.plan, &observer, expectation))
    }

    /// What a scenario runs on: what is there already, with other load and answers, if nothing else differs.
    fn ready(&mut self, scenario: &Scenario, is_quick: bool) -> Result<&Ready, SetupError> {
        let is_plain = scenario.faults.is_empty() && scenario.rollout.is_empty();
        let has_clients =
            |ready: &Ready| ready.clients.iter().map(|(name, client)| (name, client)).eq(&scenario.clients);
        let is_alike = |ready: &Ready| ready.is_quick == is_quick && has_clients(ready);
        let known = self.ready.iter().position(is_alike).map(|at| self.ready.remove(at));
        let ready = match known {
            Some(mut known) if is_plain => {
                known.plan.restage(&known.mesh, scenario)?;
                known
            }
            known => {
                let mesh = known.map_or_else(|| as_proved(self.mesh, scenario, is_quick), |known| known.mesh);
                let plan = Plan::new(&mesh, scenario, &SimOptions::default())?;
                let clients = scenario.clients.iter().map(|(name, client)| (name.clone(), client.clone())).collect();
                Ready { is_quick, clients, mesh, plan }
            }
        };
        if !is_plain {
            // Its faults and changes are another scenario's.
            self.ready.retain(|known| !is_alike(known));
        }
        self.ready.truncate(READY_MAX - 1);
        self.ready.insert(0, ready);
        Ok(&self.ready[0])
    }
}

/// The mesh that a scenario runs on: with its clients and, for a witness, as proofs assume it.
pub(crate) fn staged<'m>(mesh: &'m Mesh, scenario: &Scenario) -> Cow<'m, Mesh> {
    match &scenario.shows {
        Some(expectation) => Cow::Owned(as_proved(mesh, scenario, is_quick(expectation))),
        None => mesh.with_clients(&scenario.clients),
    }
}

/// A bound on load holds however quick handlers are, and quick ones leave time for every retry.
const fn is_quick(expectation: &Expectation) -> bool {
    matches!(expectation, Expectation::RequestsAt { .. })
}

fn as_proved(mesh: &Mesh, scenario: &Scenario, is_quick: bool) -> Mesh {
    let mut mesh = mesh.with_clients(&scenario.clients).into_owned();
    mesh.behaviour.network = Network::FREE;
    // Proofs speak of the pods that there are.
    mesh.kubernetes.autoscalers.clear();
    for container in mesh.workloads.iter_mut().flat_map(|workload| &mut workload.life.containers) {
        (container.startup, container.readiness, container.liveness) = (None, None, None);
    }
    if is_quick {
        for workload in mesh.behaviour.workloads.values_mut() {
            workload.service_time = Distribution::Constant(Nanos::ZERO);
        }
    }
    mesh
}

/// Whether a run has shown what it should.
pub(crate) fn shown(mesh: &Mesh, plan: &Plan, observer: &Observer, expectation: &Expectation) -> ReplayOutcome {
    let shown = Replay { mesh, plan, observer }.outcome(expectation);
    ReplayOutcome { obstructed: observer.has_obstacle || !observer.refused.is_empty(), ..shown }
}

struct Replay<'a> {
    mesh: &'a Mesh,
    plan: &'a Plan,
    observer: &'a Observer,
}

impl Replay<'_> {
    fn outcome(&self, expectation: &Expectation) -> ReplayOutcome {
        match expectation {
            Expectation::RequestsAt { service, count } => {
                let at = self.plan.services.iter().position(|known| known.full_name == *service);
                let seen = at.and_then(|at| self.observer.requests.get(&(at as u32))).copied().unwrap_or(0);
                outcome(seen == *count, format!("{seen} requests reached `{service}`"))
            }
            Expectation::CallerLeavesFirst { caller, callee } => {
                let (callers, servers) = (self.callers(caller), self.workloads(callee));
                let is_meant = |from: Caller| callers.iter().any(|caller| self.plan.is_caller(from, *caller));
                let seen = self.observer.left.iter().any(|(from, to)| is_meant(*from) && servers.contains(to));
                let verb = if seen { "had left while" } else { "never left while" };
                outcome(seen, format!("`{caller}` {verb} `{callee}` worked for it"))
            }
            Expectation::Plaintext { from, to } => self.link(&self.observer.plaintext, from, to, "plaintext went"),
            Expectation::Allowed(_) => outcome(false, "a proxy decides this, not a run".to_owned()),
            Expectation::HandshakeFails { from, to } => {
                self.link(&self.observer.refused, from, to, "a handshake failed")
            }
        }
    }

    fn link(
        &self,
        seen: &std::collections::BTreeSet<(Option<u32>, u32)>,
        from: &str,
        to: &str,
        what: &str,
    ) -> ReplayOutcome {
        let (clients, servers) = (self.workloads(from), self.workloads(to));
        let is_client = |client: Option<u32>| match client {
            None => from.is_empty(),
            Some(client) => clients.contains(&client),
        };
        let shown = seen.iter().any(|(client, server)| is_client(*client) && servers.contains(server));
        let from = if from.is_empty() { "a client outside the mesh" } else { from };
        let what = if shown { what.to_owned() } else { format!("never seen: {what}") };
        outcome(shown, format!("{what} from `{from}` to `{to}`"))
    }

    /// The workloads of that `namespace/name`, or behind the service of that name.
    fn workloads(&self, name: &str) -> Vec<u32> {
        let own = self.mesh.named_workload(name).map(|workload| workload.0);
        let behind = self.plan.services.iter().find(|service| service.full_name == name);
        own.into_iter().chain(behind.into_iter().flat_map(|service| service.workloads.iter().copied())).collect()
    }

    fn callers(&self, name: &str) -> Vec<Caller> {
        let clients = self.plan.clients.iter().zip(0..).filter(|(client, _)| client.name == name);
        let clients = clients.map(|(_, number)| Caller::Client(number));
        self.workloads(name).into_iter().map(Caller::Workload).chain(clients).collect()
    }
}

fn outcome(shown: bool, observed: String) -> ReplayOutcome {
    ReplayOutcome { shown, obstructed: false, observed }
}
