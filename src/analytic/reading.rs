//! What a case asks for, and how it is read from a run.

use meshproof_sim::{Number, Run, SimOptions, simulate};

use super::{Answer, Effort, files::CLIENT, parameters::Parameters, system::System};

/// A metric of a case.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Reading {
    /// A figure of the client.
    OfClient(String),
    /// A figure of the station.
    OfStation(String),
    /// The share of requests that were not answered well.
    FailedShare,
    /// The mean latency of those that were let in; the others are refused at once.
    AcceptedMean,
    /// Requests at the last service for one of a client; the number is taken off.
    Attempts(f64),
    /// The same for each second.
    AttemptsPerSecond,
    /// The share of the requests that went to the second version.
    CanaryShare,
    /// Requests for one ejection.
    RequestsPerEjection,
    /// Requests by which the queue grows each second.
    QueueGrowth,
    /// Seconds from the end of a fault until nobody waits.
    QueueEmpty,
    /// Seconds from the end of a fault until clients are served again.
    Served,
    /// Good first tries of the last seconds, as a share of the arrivals.
    LastFirstTries,
    /// The least rate at which an overload sustains itself.
    LowestSustained,
}

/// So many seconds at the end of a run tell how it came out.
const LAST_S: usize = 5;
/// Replications of what has no interval to stop by.
const REPLICATIONS: u32 = 12;

impl Reading {
    /// The metric that a case names in words.
    pub(super) fn of(metric: &str, parameters: &Parameters) -> Result<Self, String> {
        let metric = metric.to_lowercase();
        let has = |words: &str| metric.contains(words);
        let quantile = metric.split_whitespace().next().filter(|word| {
            word.strip_prefix('p')
                .is_some_and(|digits| !digits.is_empty() && digits.chars().all(|c| c.is_ascii_digit()))
        });
        let first_of =
            |table: &[(&str, Self)]| table.iter().find(|(words, _)| has(words)).map(|(_, reading)| reading.clone());
        let of_client = |figure: &str| Self::OfClient(figure.to_owned());
        let of_station = |figure: &str| Self::OfStation(figure.to_owned());
        let jobs = parameters.i.map(|jobs| of_station(&format!("jobs_at_least.{jobs}")));
        if let Some(jobs) = jobs.filter(|_| has("servers with")) {
            return Ok(jobs);
        }
        if let Some(quantile) = quantile {
            return Ok(of_client(quantile));
        }
        first_of(&[
            ("request queues", of_station("queued_ratio")),
            ("queue growth", Self::QueueGrowth),
            ("until queue is empty", Self::QueueEmpty),
            ("self-sustaining", Self::LowestSustained),
            ("in the last", Self::LastFirstTries),
            ("first-try successes", Self::Served),
            ("ejection", Self::RequestsPerEjection),
            ("canary", Self::CanaryShare),
            ("per second at the server", Self::AttemptsPerSecond),
            ("attempts per", Self::Attempts(0.0)),
            ("extra request", Self::Attempts(1.0)),
            ("back-off", of_client("backing_off")),
            ("rejected", Self::FailedShare),
            ("abandoned", Self::FailedShare),
            ("past the timeout", Self::FailedShare),
            ("slower than", Self::FailedShare),
            ("success fraction", of_client("success")),
            ("accepted", Self::AcceptedMean),
            ("mean wait", of_station("queue_wait_ms")),
            ("time in queue", of_station("queue_wait_ms")),
            ("mean", of_client("mean")),
        ])
        .ok_or_else(|| format!("the metric `{metric}` is not known"))
    }

    /// The figure by whose interval a run may stop.
    fn judged(&self, system: &System) -> Option<String> {
        let leaf = system.leaf();
        Some(match self {
            Self::OfClient(figure) => format!("{CLIENT}.{figure}"),
            Self::OfStation(figure) => format!("svc/{leaf}.{figure}"),
            Self::FailedShare => format!("{CLIENT}.failed"),
            Self::AcceptedMean => format!("{CLIENT}.mean"),
            Self::Attempts(_) | Self::AttemptsPerSecond => format!("svc/{leaf}.attempts"),
            Self::CanaryShare => format!("{CLIENT}.requests"),
            Self::RequestsPerEjection => format!("svc/{leaf}.ejections"),
            _ => return None,
        })
    }

    /// Runs the system until the number is known well enough.
    pub(super) fn answer(&self, system: &System, precision: Option<f64>, effort: Effort) -> Result<Answer, String> {
        let judged = self.judged(system);
        // Any bound does: the objective is there for its figure.
        let objectives: Vec<String> = judged.iter().map(|figure| format!("{figure} {}", any_bound(figure))).collect();
        let (mesh, scenario) = system.build(&objectives)?;
        let affordable = (effort.requests / system.requests()).clamp(1.0, f64::from(meshproof_sim::REPLICATIONS_MAX));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a small number")]
        let affordable = affordable as u32;
        let is_stopped = judged.is_some() && precision.is_some();
        let options = SimOptions {
            name: "case".to_owned(),
            replications: Some(if is_stopped { affordable } else { affordable.min(REPLICATIONS) }),
            precision: precision.filter(|_| is_stopped),
            threads: effort.threads,
            ..SimOptions::default()
        };
        let run = simulate(&mesh, &scenario, &options).map_err(|error| error.to_string())?;
        if let Some(fault) = run.internal_errors.first() {
            return Err(format!("internal fault: {fault}"));
        }
        let (observed, interval) = self.read(system, &run);
        Ok(Answer { observed, interval, replications: Some(run.replications), requests: Some(run.client_requests) })
    }

    /// The number, and its interval where it has one.
    pub(super) fn read(&self, system: &System, run: &Run) -> (Option<f64>, Option<[f64; 2]>) {
        let Some(client) = run.clients.first() else { return (None, None) };
        let leaf = system.leaf();
        let station = run.services.iter().find(|service| service.name == leaf);
        let of_station = |pick: fn(&meshproof_sim::ServiceReport) -> Number| station.and_then(|s| pick(s).value());
        let share = |part: Option<f64>, whole: Option<f64>| Some(part? / whole?);
        let requests = client.requests.value();
        let after = run.recovery.first();
        let plain = |value| (value, None);
        match self {
            Self::OfClient(_) | Self::OfStation(_) => {
                run.objectives.first().map_or((None, None), |figure| (figure.observed.value(), figure.interval))
            }
            Self::FailedShare => plain(share(client.failed.value(), requests)),
            Self::AcceptedMean => {
                let mean = client.latency_ms.mean.value();
                plain(share(mean, client.success_ratio.value()))
            }
            Self::Attempts(less) => plain(share(of_station(|s| s.attempts), requests).map(|value| value - less)),
            Self::AttemptsPerSecond => {
                plain(share(of_station(|s| s.attempts), Some(system.horizon_s - system.warm_up_s)))
            }
            Self::CanaryShare => {
                let to = |name: &str| {
                    let attempts = run.services.iter().find(|service| service.name == name).map(|s| s.attempts.value());
                    attempts.flatten().unwrap_or(0.0)
                };
                plain(share(Some(to("s2")), Some(to("s1") + to("s2"))))
            }
            Self::RequestsPerEjection => plain(share(of_station(|s| s.attempts), of_station(|s| s.ejections))),
            Self::QueueGrowth => plain(of_station(|s| s.queue_growth_rps)),
            Self::QueueEmpty => plain(after.and_then(|after| after.queue_empty.seconds.value())),
            Self::Served => plain(after.and_then(|after| after.served.get(CLIENT)?.seconds.value())),
            Self::LastFirstTries => plain(last_first_tries(run)),
            Self::LowestSustained => plain(None),
        }
    }
}

/// Good first tries of the last seconds before the horizon, as a share of the requests that ended in them.
pub(super) fn last_first_tries(run: &Run) -> Option<f64> {
    let last = |figure: &str| -> Option<f64> {
        let series = run.timeline.series.get(&format!("{CLIENT}.{figure}"))?;
        Some(series.iter().rev().take(LAST_S).sum())
    };
    let requests = last("requests").filter(|requests| *requests > 0.0)?;
    Some(last("first_try_ok").unwrap_or(0.0) / requests)
}

fn any_bound(figure: &str) -> &'static str {
    let name = figure.rsplit('.').next().unwrap_or_default();
    match name {
        "mean" | "queue_wait_ms" => "< 1h",
        "success" | "queued_ratio" => "<= 100%",
        _ if figure.contains("jobs_at_least") => "<= 100%",
        _ if name.starts_with('p') => "< 1h",
        _ => ">= 0",
    }
}
