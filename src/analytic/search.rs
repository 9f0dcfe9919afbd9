//! Thresholds by bisection, and how runs with a trigger come out.

use meshproof_sim::{Run, SimOptions, simulate};
use serde_json::{Map, Value, json};

use super::{
    Answer, Effort,
    files::CLIENT,
    parameters::Parameters,
    reading::last_first_tries,
    system::{Freeze, System},
};

/// What the runs of a case may say of their outcome; everything else in them is a parameter.
pub(super) const OUTCOMES: [&str; 3] = ["expect", "recovery_s", "smallest_tipping_freeze_ms"];

/// The timeout of a case that leaves it open, in service times.
const TIMEOUT_SERVICES: f64 = 80.0;
/// A trigger that is long against every timeout.
const LONG_TRIGGER_TIMEOUTS: f64 = 10.0;
/// When a trigger comes, in seconds.
const TRIGGER_AT_S: f64 = 1.0;
/// What has not recovered so long after a trigger, in seconds, does not recover.
const GIVE_UP_S: f64 = 20.0;
/// Replications of a random system.
const REPLICATIONS: u32 = 8;
/// BOUND: halvings of an interval.
const HALVINGS: u32 = 40;

/// The least rate at which an overload sustains itself, after a trigger that is long against the timeout.
pub(super) fn lowest_sustained(parameters: &Parameters, effort: Effort) -> Result<Answer, String> {
    let capacity = parameters.capacity_rps.ok_or("a threshold of the load needs `capacity_rps`")?;
    let timeout_ms = parameters.timeout_ms.unwrap_or(TIMEOUT_SERVICES * 1e3 / capacity);
    let sustains = |rate: f64| -> Result<bool, String> {
        let case = Parameters {
            lambda_rps: Some(rate),
            arrivals: Some("constant".to_owned()),
            timeout_ms: Some(timeout_ms),
            freeze_s: Some(LONG_TRIGGER_TIMEOUTS * timeout_ms / 1e3),
            pause_at_s: Some(TRIGGER_AT_S),
            ..parameters.clone()
        };
        let mut system = System::new(&case)?;
        shorten(&mut system);
        Ok(!recovers(&once(&system, 1, effort)?))
    };
    let lowest = bisect(0.0, capacity, capacity / 1000.0, sustains)?;
    Ok(Answer { observed: lowest, ..Answer::default() })
}

/// How one run comes out: the outcome, the time to recover, the share of good first tries at the end; or, where no
/// trigger is given, the least freeze that tips it.
pub(super) fn run(parameters: &Parameters, effort: Effort) -> Result<Map<String, Value>, String> {
    let mut observed = Map::new();
    if parameters.freeze_s.is_none() && parameters.outage_s.is_none() {
        let tips = |freeze_ms: f64| -> Result<bool, String> {
            let case = Parameters {
                freeze_s: Some(freeze_ms / 1e3),
                pause_at_s: Some(parameters.pause_at_s.unwrap_or(TRIGGER_AT_S)),
                ..parameters.clone()
            };
            let mut system = System::new(&case)?;
            shorten(&mut system);
            Ok(!recovers(&once(&system, 1, effort)?))
        };
        let timeout = parameters.timeout_ms.ok_or("a threshold of the trigger needs `timeout_ms`")?;
        let least = bisect(0.0, LONG_TRIGGER_TIMEOUTS * timeout, timeout / 1000.0, tips)?;
        observed.insert("smallest_tipping_freeze_ms".to_owned(), json!(least));
        return Ok(observed);
    }
    let system = System::new(parameters)?;
    let replications = if system.is_constant { 1 } else { REPLICATIONS };
    let run = once(&system, replications, effort)?;
    let last = last_first_tries(&run);
    let served = run.recovery.first().and_then(|after| after.served.get(CLIENT));
    let share = served.map_or(0.0, |after| after.share);
    observed.insert("outcome".to_owned(), json!(if recovers(&run) { "recover" } else { "metastable" }));
    let recovery = served.filter(|_| share >= 0.5).and_then(|after| after.seconds.value());
    observed.insert("recovery_s".to_owned(), json!(recovery));
    observed.insert("recovered_share".to_owned(), json!(share));
    observed.insert("first_try_share".to_owned(), json!(last));
    Ok(observed)
}

/// A run of a search ends when it is clear how it comes out.
fn shorten(system: &mut System) {
    if let Some(Freeze { at_s, during_s }) = system.freeze {
        system.horizon_s = system.horizon_s.min(at_s + during_s + GIVE_UP_S);
    }
}

/// Whether most of the last requests were answered well by their first try.
fn recovers(run: &Run) -> bool {
    last_first_tries(run).is_some_and(|share| share > 0.5)
}

fn once(system: &System, replications: u32, effort: Effort) -> Result<Run, String> {
    let requests = system.requests() * f64::from(replications);
    if requests.is_nan() || requests > effort.requests {
        return Err(format!("a run of {requests} requests is longer than the {} that are allowed", effort.requests));
    }
    let (mesh, scenario) = system.build(&[])?;
    let options = SimOptions {
        name: "case".to_owned(),
        replications: Some(replications),
        threads: effort.threads,
        ..SimOptions::default()
    };
    let run = simulate(&mesh, &scenario, &options).map_err(|error| error.to_string())?;
    match run.internal_errors.first() {
        Some(fault) => Err(format!("internal fault: {fault}")),
        None => Ok(run),
    }
}

/// The least value between two at which something holds, to a resolution; `None` if it does not hold at the upper one.
fn bisect(
    mut low: f64,
    mut high: f64,
    resolution: f64,
    holds: impl Fn(f64) -> Result<bool, String>,
) -> Result<Option<f64>, String> {
    if !holds(high)? {
        return Ok(None);
    }
    for _ in 0..HALVINGS {
        if high - low <= resolution {
            break;
        }
        let middle = f64::midpoint(low, high);
        if holds(middle)? {
            high = middle;
        } else {
            low = middle;
        }
    }
    Ok(Some(f64::midpoint(low, high)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn bisection_finds_where_a_claim_begins_to_hold() {
        let found = bisect(0.0, 100.0, 0.01, |value| Ok(value >= 31.4)).unwrap().unwrap();
        assert!((found - 31.4).abs() < 0.01, "{found}");
        assert_eq!(bisect(0.0, 1.0, 0.01, |_| Ok(false)).unwrap(), None);
    }
}
