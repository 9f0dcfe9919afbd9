//! What is wrong with a behaviour or a scenario, measured against the mesh that it is for.

use std::fmt::Display;

use meshproof_proxy::Nanos;

use crate::{
    Arrivals, Behaviour, CallBehaviour, Distribution, Expectation, Load, Mesh, Objective, ObjectiveError,
    ObjectiveSubject, Phase, RolloutStep, Scenario, Share, TargetError, WorkloadBehaviour, behaviour::ClientFrom,
    did_you_mean,
};

/// The most requests that one run of a scenario may start.
pub const REQUESTS_MAX: u128 = 1_000_000_000;

/// One thing that is wrong with a behaviour or a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {problem}")]
pub struct ScenarioError {
    /// The way to the field, such as `faults[1].workload`.
    pub path: String,
    /// What is wrong.
    pub problem: ScenarioProblem,
}

/// What is wrong with a behaviour or a scenario.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioProblem {
    /// A service or port that does not exist.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// A workload that does not exist.
    #[error("unknown workload `{name}`{}", hint(suggestion.as_deref()))]
    UnknownWorkload {
        /// As written.
        name: String,
        /// The nearest one.
        suggestion: Option<String>,
    },
    /// A client that neither `mesh.ron` nor the scenario has.
    #[error("no client named `{name}`{}", hint(suggestion.as_deref()))]
    UnknownClient {
        /// As written.
        name: String,
        /// The nearest one.
        suggestion: Option<String>,
    },
    /// A VirtualService that does not exist, or has no such destinations.
    #[error("{message}")]
    Rollout {
        /// What is wrong, in one sentence.
        message: String,
    },
    /// An objective that cannot be judged.
    #[error(transparent)]
    Objective(#[from] ObjectiveError),
    /// A queue of messages, or a zone, that `mesh.ron` does not have.
    #[error("no {what} named `{name}`{}", hint(suggestion.as_deref()))]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// As written.
        name: String,
        /// The nearest one.
        suggestion: Option<String>,
    },
    /// More requests than a run can have.
    #[error("{requests} requests are more than the {REQUESTS_MAX} that one run may start")]
    TooManyRequests {
        /// How many the load asks for.
        requests: u128,
    },
    /// Nothing can be worked on.
    #[error("the capacity is zero: nothing is ever worked on")]
    ZeroCapacity,
    /// Requests that call each other for ever.
    #[error("calls go round in a circle: {}", .0.join(" -> "))]
    Cycle(
        /// Workloads, the first again at the end.
        Vec<String>,
    ),
    /// A value that makes no sense.
    #[error("{0}")]
    Value(
        /// What is wrong, in one sentence.
        String,
    ),
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

/// Collects what is wrong.
#[derive(Default)]
pub(crate) struct Errors(Vec<ScenarioError>);

impl Errors {
    pub(crate) fn add(&mut self, path: impl Display, problem: impl Into<ScenarioProblem>) {
        self.0.push(ScenarioError { path: path.to_string(), problem: problem.into() });
    }

    pub(crate) fn value(&mut self, path: impl Display, message: impl Into<String>) {
        self.add(path, ScenarioProblem::Value(message.into()));
    }

    pub(crate) fn distribution(&mut self, path: impl Display, distribution: &Distribution) {
        let fault = match distribution {
            Distribution::Uniform { min, max } if min > max => "`min` is greater than `max`",
            Distribution::LogNormal { median, p99 } if median > p99 => "the median is greater than the 99th percentile",
            Distribution::Gamma { shape, .. } if !(shape.is_finite() && *shape > 0.0) => "the shape is above zero",
            Distribution::LogNormal { median, .. } if median.is_zero() => "the median of a log-normal is above zero",
            Distribution::Quantiles(quantiles) if quantiles.is_empty() => "at least one quantile is needed",
            Distribution::Quantiles(quantiles) if quantiles.last().map(|(share, _)| *share) != Some(Share::ALL) => {
                "the last quantile is that of 100%"
            }
            Distribution::Quantiles(quantiles) if !ascend(quantiles) => "quantiles ascend in share and time",
            _ => return,
        };
        self.value(path, fault);
    }

    /// A name that is not among the known ones.
    pub(crate) fn unknown<'k>(
        &mut self,
        path: impl Display,
        what: &'static str,
        name: &str,
        known: impl Iterator<Item = &'k str>,
    ) {
        let suggestion = did_you_mean(name, known).map(str::to_owned);
        self.add(path, ScenarioProblem::Unknown { what, name: name.to_owned(), suggestion });
    }
}

fn ascend(quantiles: &[(Share, Nanos)]) -> bool {
    quantiles.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1)
}

impl Mesh {
    /// Everything that is wrong with the mesh's behaviour: unknown names, zero capacity, circles of calls, values
    /// that make no sense.
    pub fn check_behaviour(&self) -> Vec<ScenarioError> {
        let mut errors = Errors::default();
        let Behaviour { clients, workloads, network, placement, control_plane, .. } = &self.behaviour;
        for number in 0..clients.len() {
            self.check_client(number, &mut errors);
        }
        for (name, behaviour) in workloads {
            self.check_workload(name, behaviour, &mut errors);
        }
        for (field, distribution) in
            [("same_zone", &network.same_zone), ("cross_zone", &network.cross_zone), ("proxy", &network.proxy)]
        {
            errors.distribution(format_args!("network.{field}"), distribution);
        }
        if let Some(cross_cluster) = &network.cross_cluster {
            errors.distribution("network.cross_cluster", cross_cluster);
        }
        self.check_placement(placement, &mut errors);
        errors.distribution("control_plane.push", &control_plane.push);
        if network.bandwidth.is_some_and(|bandwidth| bandwidth.get() == 0) {
            errors.add("network.bandwidth", ScenarioProblem::ZeroCapacity);
        }
        self.check_queues(&mut errors);
        if let Some(cycle) = self.cycle_of_calls() {
            errors.add("workloads", ScenarioProblem::Cycle(cycle));
        }
        errors.0
    }

    /// Everything that is wrong with a scenario for this mesh, which has the scenario's clients
    /// ([`Mesh::with_clients`]).
    pub fn check_scenario(&self, scenario: &Scenario) -> Vec<ScenarioError> {
        let mut errors = Errors::default();
        if scenario.horizon.is_zero() {
            errors.value("horizon", "the horizon is above zero");
        }
        if scenario.replications == 0 {
            errors.value("replications", "at least one replication is needed");
        }
        if let crate::WarmUp::Fixed(time) = scenario.warm_up
            && time >= scenario.horizon
        {
            errors.value("warm_up", "the warm-up ends before the horizon");
        }
        for (number, load) in scenario.load.iter().enumerate() {
            self.check_load(&format!("load[{number}]"), load, &mut errors);
        }
        let requests = scenario.requests();
        if requests > REQUESTS_MAX {
            errors.add("load", ScenarioProblem::TooManyRequests { requests });
        }
        let released = self.with_releases(scenario).unwrap_or_else(|faults| {
            for (number, message) in faults {
                errors.add(format_args!("rollout[{number}]"), ScenarioProblem::Rollout { message });
            }
            None
        });
        // Faults may hit the pods of a new version.
        let mesh = released.as_ref().map_or(self, |(mesh, _)| mesh);
        for (number, fault) in scenario.faults.iter().enumerate() {
            mesh.check_fault(&format!("faults[{number}]"), fault, &mut errors);
        }
        let mut is_known = true;
        for (number, step) in scenario.steps() {
            is_known &= !step.changes_manifests();
            self.check_step(&format!("rollout[{number}]"), step, is_known, &mut errors);
        }
        for (number, text) in scenario.objectives.iter().enumerate() {
            mesh.check_objective(&format!("objectives[{number}]"), text, scenario, &mut errors);
        }
        if let Some(Expectation::Allowed(_)) = scenario.shows {
            errors.value("shows", "a proxy decides what is allowed, and not a run");
        }
        for (number, answer) in scenario.script.iter().enumerate() {
            mesh.check_workload_name(format_args!("script[{number}].at"), &answer.at, &mut errors);
        }
        errors.0
    }

    fn check_objective(&self, path: &str, text: &str, scenario: &Scenario, errors: &mut Errors) {
        match text.parse().and_then(|objective: Objective| objective.resolve(self)) {
            Err(error) => errors.add(path, error),
            Ok(Some(ObjectiveSubject::Release(release))) => {
                let names = self.releasable();
                let name = names.get(release);
                let is_started =
                    |step: &RolloutStep| matches!(step, RolloutStep::Release { of, .. } if Some(of) == name);
                if !scenario.rollout.iter().any(is_started) {
                    errors.value(path, "the scenario does not start this release");
                }
            }
            Ok(_) => {}
        }
    }

    /// `is_known`: the manifests are still those of this mesh.
    fn check_step(&self, path: &str, step: &RolloutStep, is_known: bool, errors: &mut Errors) {
        match step {
            RolloutStep::Weight { route, weights, .. } if is_known => {
                if let Err(message) = self.with_weights(route, weights) {
                    errors.add(path, ScenarioProblem::Rollout { message });
                }
            }
            RolloutStep::Apply { files: list, .. } | RolloutStep::Delete { objects: list, .. } if list.is_empty() => {
                errors.value(path, "nothing is named that changes");
            }
            RolloutStep::Restart { workload, .. } => {
                self.check_workload_name(format_args!("{path}.workload"), workload, errors);
            }
            RolloutStep::Drain { zone, during, .. } => {
                self.check_zone(format_args!("{path}.zone"), zone, errors);
                if self.behaviour.placement.zones.len() < 2 {
                    errors.value(path, "pods of a zone that is drained need another zone");
                }
                if during.is_zero() {
                    errors.value(format_args!("{path}.during"), "a drain lasts longer than no time");
                }
            }
            RolloutStep::Release { build: crate::Build { service_time: Some(service_time), .. }, .. } => {
                errors.distribution(format_args!("{path}.build.service_time"), service_time);
            }
            _ => {}
        }
    }

    fn check_client(&self, number: usize, errors: &mut Errors) {
        let Some((name, client)) = self.behaviour.clients.get_index(number) else { return };
        let path = format!("clients.{name}");
        if let ClientFrom::Workload(workload) = &client.from {
            self.check_workload_name(format_args!("{path}.from"), workload, errors);
        }
        if let Some(Err(error)) = self.client_target(number) {
            errors.add(format_args!("{path}.to"), error);
        }
        if client.requests.iter().all(|class| class.share == 0) {
            errors.value(format_args!("{path}.requests"), "no kind of request has a share above zero");
        }
        for (class, request) in client.requests.iter().enumerate() {
            if !request.path.starts_with('/') {
                errors.value(format_args!("{path}.requests[{class}].path"), "a path begins with `/`");
            }
        }
        if let Some(patience) = &client.patience {
            errors.distribution(format_args!("{path}.patience"), patience);
        }
        if let Some(retries) = &client.retries {
            errors.distribution(format_args!("{path}.retries.back_off"), &retries.back_off);
        }
    }

    fn check_workload(&self, name: &str, behaviour: &WorkloadBehaviour, errors: &mut Errors) {
        let path = format!("workloads.{name}");
        self.check_workload_name(&path, name, errors);
        if behaviour.concurrency == 0 {
            errors.add(format_args!("{path}.concurrency"), ScenarioProblem::ZeroCapacity);
        }
        errors.distribution(format_args!("{path}.service_time"), &behaviour.service_time);
        if let Some(patience) = &behaviour.queue.patience {
            errors.distribution(format_args!("{path}.queue.patience"), patience);
        }
        let failing: u64 = behaviour.errors.iter().map(|error| u64::from(error.share.ppm())).sum();
        if failing > u64::from(Share::ALL.ppm()) {
            errors.value(format_args!("{path}.errors"), "shares of errors add up to more than 100%");
        }
        for (number, error) in behaviour.errors.iter().enumerate() {
            check_status(format_args!("{path}.errors[{number}].status"), error.status, errors);
        }
        self.check_handler(&path, behaviour, errors);
        let namespace = name.split_once('/').map_or("", |(namespace, _)| namespace);
        for (stage, calls) in behaviour.calls.iter().enumerate() {
            for (number, call) in calls.iter().enumerate() {
                self.check_call(&format!("{path}.calls[{stage}][{number}]"), namespace, call, errors);
            }
        }
    }

    fn check_call(&self, path: &str, namespace: &str, call: &CallBehaviour, errors: &mut Errors) {
        if let Err(error) = self.find_target(Some(namespace), &call.to) {
            errors.add(format_args!("{path}.to"), error);
        }
        if !call.path.starts_with('/') {
            errors.value(format_args!("{path}.path"), "a path begins with `/`");
        }
    }

    fn check_load(&self, path: &str, load: &Load, errors: &mut Errors) {
        let (Load::Open { client, .. } | Load::Closed { client, .. } | Load::Burst { client, .. }) = load;
        let clients = &self.behaviour.clients;
        if !clients.contains_key(client) {
            let suggestion = did_you_mean(client, clients.keys().map(String::as_str)).map(str::to_owned);
            let problem = ScenarioProblem::UnknownClient { name: client.clone(), suggestion };
            errors.add(format_args!("{path}.client"), problem);
        }
        match load {
            Load::Open { rate, arrivals, .. } if rate.is_empty() && !matches!(arrivals, Arrivals::Recorded(_)) => {
                errors.value(format_args!("{path}.rate"), "at least one phase is needed");
            }
            Load::Closed { users: 0, .. } => errors.value(format_args!("{path}.users"), "at least one user is needed"),
            Load::Closed { think, .. } => errors.distribution(format_args!("{path}.think"), think),
            Load::Open { .. } | Load::Burst { .. } => {}
        }
    }

    pub(crate) fn check_workload_name(&self, path: impl Display, name: &str, errors: &mut Errors) {
        if self.named_workload(name).is_some() {
            return;
        }
        let known: Vec<String> = self.workloads.iter().map(crate::Workload::full_name).collect();
        let suggestion = did_you_mean(name, known.iter().map(String::as_str)).map(str::to_owned);
        errors.add(path, ScenarioProblem::UnknownWorkload { name: name.to_owned(), suggestion });
    }
}

pub(crate) fn check_status(path: impl Display, status: u16, errors: &mut Errors) {
    if !(200..600).contains(&status) {
        errors.value(path, format!("{status} is no status of a response"));
    }
}

impl Scenario {
    /// How many requests its open loads and bursts start in one run; what closed loads start depends on the answers.
    pub fn requests(&self) -> u128 {
        self.load
            .iter()
            .map(|load| match load {
                Load::Open { rate, .. } => open_requests(rate, self.horizon),
                Load::Burst { requests, .. } => u128::from(*requests),
                Load::Closed { .. } => 0,
            })
            .sum()
    }
}

/// Requests under a rate's course; the last rate holds until the horizon.
fn open_requests(phases: &[Phase], horizon: Nanos) -> u128 {
    let mut left = u128::from(horizon.get());
    let mut rate = 0_u128;
    let mut doubled = 0_u128; // twice the area, in thousandths of a request per second times nanoseconds
    for phase in phases {
        let (to, during, sum) = match phase {
            Phase::Hold { rate: to, during } => (u128::from(to.milli()), during, 2 * u128::from(to.milli())),
            Phase::Ramp { to, during } => (u128::from(to.milli()), during, rate + u128::from(to.milli())),
        };
        let during = u128::from(during.get()).min(left);
        doubled += sum * during;
        left -= during;
        rate = to;
    }
    (doubled + 2 * rate * left) / 2_000_000_000_000
}
