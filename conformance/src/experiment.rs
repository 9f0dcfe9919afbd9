//! System experiments: an open load and hosts that draw their answers, replicated and summed up.

use std::{
    collections::BTreeMap,
    io::{Read, Write},
};

use serde_json::{Map, Value, json};

use crate::{
    case::{Experiment, Ports},
    drive::{self, Log, World},
    replay::ReplayError,
};

/// Runs of each experiment: enough that their own noise is small beside the spread of the recordings.
const REPLICATIONS: u64 = 30;

/// Runs a JSON array of experiments and writes one JSON object a line: `{"id", "summary"}` with the names of the
/// recorded summaries, each figure the mean over the replications; or `{"id", "unsupported"}`.
///
/// # Errors
/// If the input is not a JSON array, or reading or writing fails.
pub fn experiment(mut input: impl Read, mut output: impl Write) -> Result<(), ReplayError> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let experiments: Vec<Value> = serde_json::from_str(&text)?;
    for experiment in &experiments {
        let answer = match summary(experiment) {
            Ok(summary) => json!({ "id": experiment["id"], "summary": summary }),
            Err(reason) => json!({ "id": experiment["id"], "unsupported": reason }),
        };
        serde_json::to_writer(&mut output, &answer)?;
        output.write_all(b"\n")?;
    }
    Ok(())
}

fn summary(experiment: &Value) -> Result<Value, String> {
    let mut experiment = experiment.clone();
    if let Some(entries) = experiment.as_object_mut() {
        for name in ["runs", "summary", "envoy"] {
            entries.remove(name);
        }
    }
    let mut figures = Figures::default();
    for number in 0..REPLICATIONS {
        let read: Experiment = serde_json::from_value(experiment.clone()).map_err(|error| error.to_string())?;
        replicate(read, number, &mut figures)?;
    }
    Ok(figures.mean())
}

fn replicate(experiment: Experiment, number: u64, figures: &mut Figures) -> Result<(), String> {
    let case = experiment.replication(number);
    let config = case.config.lower(&mut Ports::new()).map_err(|error| error.to_string())?;
    let seed = drive::seed(&format!("{} {number}", case.id));
    let mut world = World::new(&case, vec![("main".to_owned(), config)], seed)?;
    world.run(|_| ())?;
    figures.add(&world);
    Ok(())
}

/// Figures summed over replications.
#[derive(Default)]
struct Figures {
    sums: BTreeMap<String, f64>,
    /// Errors and requests by second.
    seconds: BTreeMap<u64, (f64, f64)>,
}

impl Figures {
    fn add(&mut self, world: &World<'_>) {
        let logs: Vec<_> = world.flows.iter().filter_map(|flow| flow.log.as_ref()).collect();
        let n = count(logs.len());
        self.put("success_fraction", logs.iter().filter(|log| log.status < 400).count(), n);
        self.put("upstream_requests_per_request", world.arrivals.len(), n);
        self.latency(&logs);
        for log in &logs {
            let flags = log.flags.join(",");
            self.put(&format!("flags_fraction.{}", if flags.is_empty() { "none" } else { &flags }), 1, n);
            self.put(&format!("status_fraction.{}", log.status), 1, n);
            self.put(&format!("cluster_share.{}", log.cluster.as_deref().unwrap_or_default()), 1, n);
        }
        for arrival in &world.arrivals {
            let host = &world.hosts[arrival.host].name;
            self.put(&format!("host_share.{host}"), 1, count(world.arrivals.len()));
        }
        for exchange in &world.exchanges {
            let second = exchange.sent.since(world.start).as_millis() / 1000;
            let (errors, requests) = self.seconds.entry(second).or_default();
            *errors += if exchange.status.is_none_or(|status| status >= 400) { 1.0 } else { 0.0 };
            *requests += 1.0;
        }
    }

    fn latency(&mut self, logs: &[&Log]) {
        let mut times: Vec<_> = logs.iter().map(|log| log.duration.as_millis()).collect();
        times.sort_unstable();
        let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len().saturating_sub(1)));
        for (name, percent) in [("p50", 50), ("p95", 95), ("p99", 99)] {
            let time = at(percent).copied().unwrap_or_default();
            self.put(&format!("latency_ms.{name}"), usize::try_from(time).unwrap_or(usize::MAX), 1.0);
        }
        let sum = usize::try_from(times.iter().sum::<u64>()).unwrap_or(usize::MAX);
        self.put("latency_ms.mean", sum, count(times.len()));
    }

    fn put(&mut self, name: &str, part: usize, whole: f64) {
        *self.sums.entry(name.to_owned()).or_default() += count(part) / whole.max(1.0);
    }

    #[expect(clippy::cast_precision_loss, reason = "a small number")]
    fn mean(self) -> Value {
        let runs = REPLICATIONS as f64;
        let mut summary: Map<_, _> = self.sums.into_iter().map(|(name, sum)| (name, json!(sum / runs))).collect();
        let seconds = self
            .seconds
            .into_iter()
            .map(|(second, (errors, requests))| json!({ "t_s": second, "error_fraction": errors / requests }));
        summary.insert("error_fraction_per_second".to_owned(), Value::Array(seconds.collect()));
        Value::Object(summary)
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}
