//! What a simulation has shown, in the shape of the JSON that `simulate` prints.

use std::collections::BTreeMap;

use meshproof_model::delivery::Release;
use serde::Serialize;

use crate::{
    aftermath::RecoveryReport,
    delivery::{Entry, Record},
    digest::Digest,
    figure::{measured_s, of_client, of_messages, of_release, of_service, queue_max, queue_wait, queued, utilisation},
    measure::{BIN, Bin, ClientTally, Measure, ServiceTally},
    number::Number,
    objective::ObjectiveResult,
    plan::{Caller, Plan},
    statistics::{Trend, trend},
};

/// A simulation of one scenario: one run, or several with other draws.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// 1.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Every draw follows from it.
    pub seed: u64,
    /// How many runs.
    pub replications: u32,
    /// Of all events of all runs, in seed order.
    pub digest: Digest,
    /// Simulated time of one run, in seconds.
    pub simulated_s: f64,
    /// Events of all runs.
    pub events: u64,
    /// Requests of clients in all runs, the warm-up included.
    pub client_requests: u64,
    /// By order in `mesh.ron`.
    pub clients: Vec<ClientReport>,
    /// Services that somebody calls, in the mesh's order.
    pub services: Vec<ServiceReport>,
    /// Queues of messages.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub queues: Vec<QueueReport>,
    /// Who calls what.
    pub calls: Vec<CallReport>,
    /// Figures over time.
    pub timeline: Timeline,
    /// The scenario's objectives.
    pub objectives: Vec<ObjectiveResult>,
    /// How long it took after each fault.
    pub recovery: Vec<RecoveryReport>,
    /// Changes of configuration, and of the first run what controllers did and saw.
    pub rollout: Vec<RolloutReport>,
    /// What has become of the releases.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub releases: Vec<ReleaseReport>,
    /// What to know before trusting the figures.
    pub warnings: Vec<String>,
    /// Violations of what must always hold: faults of the simulator, never findings about the mesh.
    #[serde(skip)]
    pub internal_errors: Vec<String>,
}

/// Figures of one client.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it, and the objectives' documentation explains them")]
pub struct ClientReport {
    pub name: String,
    pub requests: Number,
    pub ok: Number,
    pub failed: Number,
    pub success_ratio: Number,
    pub latency_ms: Latency,
    pub goodput_rps: Number,
    pub tries_per_request: Number,
    pub first_try_ratio: Number,
    pub backing_off: Number,
}

/// Figures of one service, as its callers see it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it, and the objectives' documentation explains them")]
pub struct ServiceReport {
    pub name: String,
    pub namespace: String,
    pub requests: Number,
    pub attempts: Number,
    pub attempts_per_request: Number,
    pub connects: Number,
    pub ok_ratio: Number,
    pub responses: BTreeMap<String, Number>,
    pub flags: BTreeMap<String, Number>,
    pub latency_ms: Latency,
    pub utilisation: Number,
    pub queue_max: Number,
    pub queued_ratio: Number,
    pub queue_wait_ms: Number,
    pub queue_growth_rps: Number,
    pub connections: Number,
    pub retries: Number,
    pub retry_overflow: Number,
    pub breaker_overflow: Number,
    pub ejections: Number,
    pub rate_limited: Number,
}

/// Figures of one queue of messages.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct QueueReport {
    /// As `mesh.ron` calls it.
    pub name: String,
    /// Messages that handlers sent.
    pub published: Number,
    /// Messages that found no room.
    pub refused: Number,
    /// Messages that consumers took, each time counted.
    pub received: Number,
    /// Messages that were done.
    pub done: Number,
    /// Messages that were put aside because they failed too often.
    pub dead_letters: Number,
    /// The most messages that waited.
    pub depth_max: Number,
    /// From a message's sending until it was done.
    pub latency_ms: Latency,
}

/// Lengths of time in milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Latency {
    pub p50: Number,
    pub p90: Number,
    pub p99: Number,
    pub p999: Number,
    pub mean: Number,
    pub max: Number,
}

/// Figures of one caller and service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallReport {
    /// A client's name, or `namespace/name` of a workload.
    pub from: String,
    /// The service.
    pub to: String,
    /// Calls.
    pub requests: Number,
    /// Requests that were sent on for them.
    pub attempts: Number,
    /// Of the requests of this service.
    pub share: Number,
    /// Share of the attempts that went over mutual TLS.
    pub mtls_ratio: Number,
    /// Share of the attempts by the workload that they went to.
    pub split: BTreeMap<String, Number>,
}

/// Figures over time, means over replications.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Timeline {
    /// Width of a bin in seconds.
    pub bin_s: u32,
    /// `subject.figure`, a value for each bin.
    pub series: BTreeMap<String, Vec<f64>>,
}

/// A change of configuration.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RolloutReport {
    /// When.
    pub at_s: f64,
    /// The new weights.
    pub weight: BTreeMap<String, u32>,
    /// What let it through; plain scripts have no gate.
    pub gate: Option<String>,
    /// Why.
    pub reason: String,
    /// The release that it belongs to, as `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub release: Option<String>,
}

/// What has become of a release.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ReleaseReport {
    /// The Rollout or Canary, as `namespace/name`.
    pub name: String,
    /// Whether it was promoted: 1 or 0, over several runs the share of them.
    pub promoted: Number,
    /// Whether it was rolled back.
    pub rolled_back: Number,
    /// The most that the new version got.
    pub weight_max: Number,
    /// How long the new version had requests before it was promoted or rolled back, in milliseconds.
    pub exposed_ms: Number,
    /// From its beginning to its end, or to that of the run, in milliseconds.
    pub took_ms: Number,
}

/// A figure of one bin.
type OfBin = fn(&Bin) -> f64;

/// Builds the parts of a report from all replications.
pub(crate) struct Reporter<'a> {
    pub(crate) plan: &'a Plan,
    pub(crate) runs: &'a [&'a Measure],
    /// By service: its name, with its namespace where two have the same.
    names: Vec<String>,
}

impl<'a> Reporter<'a> {
    pub(crate) fn new(plan: &'a Plan, runs: &'a [&'a Measure]) -> Self {
        let short = |full: &'a str| full.split_once('/').map_or(full, |(_, name)| name);
        let mut same = BTreeMap::<&str, u32>::new();
        for service in &plan.services {
            *same.entry(short(&service.full_name)).or_default() += 1;
        }
        let name = |full: &'a str| if same.get(short(full)) == Some(&1) { short(full) } else { full };
        let names = plan.services.iter().map(|service| name(&service.full_name).to_owned()).collect();
        Self { plan, runs, names }
    }

    fn number(&self, of: impl Fn(&Measure) -> Number) -> Number {
        Number::of(self.runs.iter().map(|run| of(run)))
    }

    fn latency(&self, of: impl Fn(&Measure, &meshproof_model::Figure) -> Number) -> Latency {
        use meshproof_model::Figure::{Max, Mean, Quantile};
        Latency {
            p50: self.number(|run| of(run, &Quantile(500))),
            p90: self.number(|run| of(run, &Quantile(900))),
            p99: self.number(|run| of(run, &Quantile(990))),
            p999: self.number(|run| of(run, &Quantile(999))),
            mean: self.number(|run| of(run, &Mean)),
            max: self.number(|run| of(run, &Max)),
        }
    }

    pub(crate) fn clients(&self) -> Vec<ClientReport> {
        use meshproof_model::Figure::{BackingOff, Failed, FirstTry, Goodput, Ok, Requests, Success, TriesPerRequest};
        let seconds = measured_s(self.plan);
        let report = |(client, name): (usize, &String)| {
            let tally = |run: &Measure| -> ClientTally { run.clients[client].clone() };
            let number = |figure| self.number(|run| of_client(&tally(run), &figure, seconds));
            ClientReport {
                name: name.clone(),
                requests: number(Requests),
                ok: number(Ok),
                failed: number(Failed),
                success_ratio: number(Success),
                latency_ms: self.latency(|run, figure| of_client(&run.clients[client], figure, seconds)),
                goodput_rps: number(Goodput),
                tries_per_request: number(TriesPerRequest),
                first_try_ratio: number(FirstTry),
                backing_off: number(BackingOff),
            }
        };
        self.plan.clients.iter().map(|client| &client.name).enumerate().map(report).collect()
    }

    pub(crate) fn queues(&self) -> Vec<QueueReport> {
        use meshproof_model::Figure::{DeadLetters, DepthMax, Done, Published, Received, Refused};
        let report = |(queue, plan): (usize, &crate::plan::MessageQueue)| {
            let number = |figure| self.number(|run| of_messages(&run.messages[queue], &figure));
            QueueReport {
                name: plan.name.clone(),
                published: number(Published),
                refused: number(Refused),
                received: number(Received),
                done: number(Done),
                dead_letters: number(DeadLetters),
                depth_max: number(DepthMax),
                latency_ms: self.latency(|run, figure| of_messages(&run.messages[queue], figure)),
            }
        };
        self.plan.queues.iter().enumerate().map(report).collect()
    }

    pub(crate) fn services(&self) -> Vec<ServiceReport> {
        let is_called = |service: &usize| self.plan.edges.iter().any(|edge| edge.to as usize == *service);
        (0..self.plan.services.len()).filter(is_called).map(|service| self.service(service)).collect()
    }

    fn service(&self, service: usize) -> ServiceReport {
        use meshproof_model::Figure as F;
        let number = |figure| self.number(|run| of_service(&run.services[service], &figure));
        let each = |keys: Vec<String>, of: &dyn Fn(&ServiceTally, &str) -> u64| {
            let of_key = |key: String| {
                let value = self.number(|run| of(&run.services[service], &key).into());
                (key, value)
            };
            keys.into_iter().map(of_key).collect::<BTreeMap<_, _>>()
        };
        let statuses = self.runs.iter().flat_map(|run| &run.services[service].responses);
        let flags = self.runs.iter().flat_map(|run| &run.services[service].flags);
        let (namespace, _) = self.plan.services[service].full_name.split_once('/').unwrap_or_default();
        ServiceReport {
            name: self.names[service].clone(),
            namespace: namespace.to_owned(),
            requests: number(F::Requests),
            attempts: number(F::Attempts),
            attempts_per_request: number(F::AttemptsPerRequest),
            connects: self.number(|run| run.services[service].connects.into()),
            ok_ratio: number(F::Success),
            responses: each(statuses.map(|(status, _)| status.to_string()).collect(), &|tally, key| {
                tally.responses.iter().find(|(status, _)| status.to_string() == key).map_or(0, |(_, count)| *count)
            }),
            flags: each(flags.map(|(flag, _)| (*flag).to_owned()).collect(), &|tally, key| {
                tally.flags.iter().find(|(flag, _)| *flag == key).map_or(0, |(_, count)| *count)
            }),
            latency_ms: self.latency(|run, figure| of_service(&run.services[service], figure)),
            utilisation: self.number(|run| utilisation(self.plan, run, service)),
            queue_max: self.number(|run| queue_max(self.plan, run, service)),
            queued_ratio: self.number(|run| queued(self.plan, run, service)),
            queue_wait_ms: self.number(|run| queue_wait(self.plan, run, service)),
            queue_growth_rps: self.queue_trend(service).map_or(Number::ABSENT, |trend| Number::Real(trend.slope)),
            connections: number(F::Connections),
            retries: number(F::Retries),
            retry_overflow: number(F::RetryOverflow),
            breaker_overflow: number(F::BreakerOverflow),
            ejections: number(F::Ejections),
            rate_limited: number(F::RateLimited),
        }
    }

    pub(crate) fn calls(&self) -> Vec<CallReport> {
        let mut calls: Vec<_> = self
            .plan
            .edges
            .iter()
            .enumerate()
            .map(|(edge, ends)| {
                let to = ends.to as usize;
                let attempts = |run: &Measure| run.edges[edge].attempts;
                let workloads =
                    self.runs.iter().flat_map(|run| &run.edges[edge].targets).map(|(workload, _)| *workload);
                let split = workloads.map(|workload| {
                    let share = self.number(|run| {
                        let to_it = run.edges[edge].targets.iter().find(|(other, _)| *other == workload);
                        Number::ratio(to_it.map_or(0, |(_, count)| *count), attempts(run))
                    });
                    (self.plan.workloads[workload as usize].name.clone(), share)
                });
                CallReport {
                    from: match ends.from {
                        Caller::Client(client) => self.plan.clients[client as usize].name.clone(),
                        Caller::Workload(workload) => self.plan.workloads[workload as usize].name.clone(),
                    },
                    to: self.names[to].clone(),
                    requests: self.number(|run| run.edges[edge].requests.into()),
                    attempts: self.number(|run| attempts(run).into()),
                    share: self.number(|run| Number::ratio(run.edges[edge].requests, run.services[to].requests)),
                    mtls_ratio: self.number(|run| Number::ratio(run.edges[edge].encrypted, attempts(run))),
                    split: split.collect(),
                }
            })
            .collect();
        calls.sort_by(|a, b| (&a.from, &a.to).cmp(&(&b.from, &b.to)));
        calls
    }

    pub(crate) fn timeline(&self) -> Timeline {
        let mut series = BTreeMap::new();
        for (client, plan) in self.plan.clients.iter().enumerate() {
            self.add_series(&mut series, &plan.name, |run| &run.client_series[client].bins);
        }
        for service in 0..self.plan.services.len() {
            let name = self.names[service].clone();
            let is_client = self.plan.clients.iter().any(|client| client.name == name);
            let name = if is_client { format!("svc/{name}") } else { name };
            self.add_series(&mut series, &name, |run| &run.service_series[service].bins);
            let queue = self.queue(service);
            if queue.iter().any(|length| *length > 0.0) {
                series.insert(format!("{name}.queue"), queue);
            }
            let workloads = &self.plan.services[service].workloads;
            if workloads.iter().any(|workload| self.plan.workloads[*workload as usize].group.is_some()) {
                series.insert(format!("{name}.replicas"), self.replicas(workloads));
            }
        }
        Timeline { bin_s: 1, series }
    }

    /// How many requests wait in a service's workloads at the end of each bin, on average over the runs.
    fn queue(&self, service: usize) -> Vec<f64> {
        let mut sum: Vec<f64> = Vec::new();
        for run in self.runs {
            for workload in &self.plan.services[service].workloads {
                let lengths = run.queues.lengths(*workload as usize);
                sum.resize(lengths.len().max(sum.len()), 0.0);
                sum.iter_mut().zip(&lengths).for_each(|(sum, length)| *sum += f64::from(*length));
            }
        }
        let runs = self.runs.len() as f64;
        sum.into_iter().map(|length| length / runs).collect()
    }

    /// How many replicas that come and go are ready at the end of each bin, on average over the runs.
    fn replicas(&self, workloads: &[u32]) -> Vec<f64> {
        let mut sum: Vec<f64> = Vec::new();
        for (run, workload) in self.runs.iter().flat_map(|run| workloads.iter().map(move |one| (run, one))) {
            let ready = run.pods.lengths(*workload as usize);
            sum.resize(ready.len().max(sum.len()), 0.0);
            sum.iter_mut().zip(&ready).for_each(|(sum, ready)| *sum += f64::from(*ready));
        }
        let runs = self.runs.len() as f64;
        sum.into_iter().map(|ready| ready / runs).collect()
    }

    /// How a service's queue changes over the second half of what is measured.
    fn queue_trend(&self, service: usize) -> Option<Trend> {
        let queue = self.queue(service);
        let warm_up = usize::try_from(self.plan.warm_up.div_ceil(BIN)).ok()?.min(queue.len());
        trend(&queue[warm_up + (queue.len() - warm_up) / 2..])
    }

    /// A warning for each service whose queue grows to the end of the run.
    pub(crate) fn growing_queues(&self) -> Vec<String> {
        let warning = |service: usize| {
            let Trend { slope, grows } = self.queue_trend(service)?;
            let name = &self.plan.services[service].full_name;
            grows.then(|| {
                format!(
                    "not stationary: the queue of `{name}` grows by {slope:.0}/s; figures depend on the run's length"
                )
            })
        };
        (0..self.plan.services.len()).filter_map(warning).collect()
    }

    fn add_series<'r>(
        &'r self,
        series: &mut BTreeMap<String, Vec<f64>>,
        name: &str,
        bins: impl Fn(&'r Measure) -> &'r Vec<Bin>,
    ) {
        let Some(length) = self.runs.first().map(|run| bins(run).len()).filter(|length| *length > 0) else { return };
        let runs = self.runs.len() as f64;
        let sum = |at: usize, of: OfBin| self.runs.iter().map(|run| of(&bins(run)[at])).sum::<f64>() / runs;
        let figures: [(&str, OfBin); 5] = [
            ("requests", |bin| f64::from(bin.requests)),
            ("ok", |bin| f64::from(bin.ok)),
            ("first_try_ok", |bin| f64::from(bin.first_try_ok)),
            ("attempts", |bin| f64::from(bin.attempts)),
            ("mean_ms", |bin| bin.latency_micros as f64 / 1000.0 / f64::from(bin.requests.max(1))),
        ];
        for (figure, of) in figures {
            let values: Vec<f64> = (0..length).map(|at| sum(at, of)).collect();
            if values.iter().any(|value| *value > 0.0) {
                series.insert(format!("{name}.{figure}"), values);
            }
        }
    }

    pub(crate) fn rollout(&self) -> Vec<RolloutReport> {
        let report = |change: &crate::plan::Change| RolloutReport {
            at_s: change.at as f64 / 1e9,
            weight: change.weights.iter().cloned().collect(),
            gate: None,
            reason: change.reason.clone(),
            release: None,
        };
        let planned = self.plan.changes.iter().map(report);
        let records = self.runs.first().map_or(&[][..], |run| run.releases.as_slice());
        let of_release = |(release, record): (&Release, &Record)| {
            let [old, new] = release.destinations().map(str::to_owned);
            let line = |entry: &Entry| RolloutReport {
                at_s: entry.at as f64 / 1e9,
                weight: BTreeMap::from([(old.clone(), 100 - entry.weight), (new.clone(), entry.weight)]),
                gate: entry.gate.clone(),
                reason: entry.reason.clone(),
                release: Some(release.name.clone()),
            };
            record.entries.iter().map(line).collect::<Vec<_>>()
        };
        let of_pods = |step: &crate::plan::PodStep| {
            let reason = step.reason.clone()?;
            let at_s = step.at as f64 / 1e9;
            Some(RolloutReport { at_s, weight: BTreeMap::new(), gate: None, reason, release: None })
        };
        let pods = self.plan.pods.iter().flat_map(|pods| &pods.steps).filter_map(of_pods);
        let releases = self.plan.releases.all.iter().zip(records).flat_map(of_release);
        let mut all: Vec<RolloutReport> = planned.chain(releases).chain(pods).collect();
        all.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        all
    }

    pub(crate) fn releases(&self) -> Vec<ReleaseReport> {
        use meshproof_model::Figure::{Exposed, Promoted, RolledBack, Took, WeightMax};
        let report = |(at, release): (usize, &Release)| {
            let number = |figure| self.number(|run| of_release(self.plan, run, at, &figure));
            ReleaseReport {
                name: release.name.clone(),
                promoted: number(Promoted),
                rolled_back: number(RolledBack),
                weight_max: number(WeightMax),
                exposed_ms: number(Exposed),
                took_ms: number(Took),
            }
        };
        self.plan.releases.all.iter().enumerate().map(report).collect()
    }
}
