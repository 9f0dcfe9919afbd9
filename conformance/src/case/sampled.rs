//! System experiments: hosts that draw their answers, and an open load.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Action, Case, Kind, MainProxy, Millis, Request, Upstream, settle};
use crate::drive::Draws;

/// One recorded experiment; `runs`, `summary` and `envoy` are not part of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Experiment {
    pub(crate) id: String,
    #[serde(default, rename = "title")]
    _title: Option<String>,
    #[serde(default, rename = "note")]
    _note: Option<String>,
    config: MainProxy,
    load: Load,
    upstream: Hosts,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Load {
    #[serde(rename = "arrival")]
    _arrival: Arrival,
    rate_rps: f64,
    duration_s: f64,
    seed: u64,
    #[serde(default)]
    bursts: Vec<Burst>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Arrival {
    Poisson,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Burst {
    from_s: f64,
    to_s: f64,
    rate_rps: f64,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Hosts {
    hosts: BTreeMap<String, SampledHost>,
}

/// Hosts that draw their answers.
#[derive(Clone)]
pub(crate) struct Sampled {
    pub(super) hosts: BTreeMap<String, SampledHost>,
    draws: Draws,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SampledHost {
    latency: Latency,
    fail: Fail,
    #[serde(default)]
    pub(super) health_schedule: Vec<HealthFrom>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(tag = "dist", rename_all = "snake_case", deny_unknown_fields)]
enum Latency {
    Exponential { mean_ms: f64 },
    Bimodal { fast_ms: f64, slow_ms: f64, slow_probability: f64 },
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Fail {
    probability: f64,
    status: u16,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HealthFrom {
    pub(super) from_s: u64,
    pub(super) status: u16,
}

impl Experiment {
    /// One replication, as a case whose requests come at random times.
    pub(crate) fn replication(self, number: u64) -> Case {
        let Self { id, config, load, upstream, .. } = self;
        let draws = Draws::new(&id, load.seed, number);
        let requests = load.arrivals(draws).into_iter().map(Request::get_at).collect();
        let sampled = Sampled { hosts: upstream.hosts, draws };
        Case {
            id,
            _area: String::new(),
            kind: Kind::Exact,
            _note: None,
            config,
            requests,
            upstream: Upstream::sampled(sampled),
            _hosts_mode: None,
            settle_ms: settle(),
            _fraction_tol: None,
            _anonymous_hosts: None,
        }
    }
}

impl Load {
    fn arrivals(&self, draws: Draws) -> Vec<Millis> {
        let mut times = Vec::new();
        let mut at = 0.0;
        loop {
            let burst = self.bursts.iter().find(|burst| (burst.from_s..burst.to_s).contains(&at));
            let rate = burst.map_or(self.rate_rps, |burst| burst.rate_rps);
            at += draws.exponential("arrival", times.len() as u64, 1.0 / rate);
            if at >= self.duration_s {
                return times;
            }
            times.push(Millis::from_f64(at * 1000.0));
        }
    }
}

impl Sampled {
    /// A host's answer to the request that is its `arrival`th.
    pub(super) fn action(&self, host: &str, arrival: usize) -> Action {
        let Some(SampledHost { latency, fail, .. }) = self.hosts.get(host) else { return Action::default() };
        let arrival = arrival as u64;
        let delay = match *latency {
            Latency::Exponential { mean_ms } => self.draws.exponential(host, arrival, mean_ms),
            Latency::Bimodal { fast_ms, slow_ms, slow_probability } => {
                if self.draws.uniform(host, arrival) < slow_probability { slow_ms } else { fast_ms }
            }
        };
        let fails = self.draws.uniform(&format!("{host} fails"), arrival) < fail.probability;
        Action {
            status: Some(if fails { fail.status } else { 200 }),
            delay_ms: Millis::from_f64(delay),
            ..Action::default()
        }
    }
}
