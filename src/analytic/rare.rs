//! What hardly ever happens: an ejection by accident, once in millions of requests.
//!
//! A run of failures in a row begins anew after each success, whatever was before. So the requests to the first
//! ejection are those of one such cycle over the chance that a cycle ejects. The chance is measured where failures are
//! frequent, by the same engine with the same proxy, and weighed with how much less likely the same failures are at
//! their true rate (importance sampling; all ejecting cycles have the same weight). The length of a cycle is measured
//! at the true rate.

use meshproof_sim::{Run, SimOptions, simulate};

use super::{Answer, Effort, system::System};

/// So many ejections must be affordable for a plain measurement.
const ENOUGH: f64 = 1000.0;
/// Failures where ejections are frequent.
const FREQUENT: f64 = 0.5;

/// Whether ejections are so rare that a plain run sees too few of them.
pub(super) fn is_rare(system: &System, effort: Effort) -> bool {
    let expected =
        system.policy.consecutive_errors.map(|count| effort.requests * system.failures.powf(f64::from(count)));
    expected.is_some_and(|expected| expected < ENOUGH)
}

/// Requests to the first ejection.
pub(super) fn requests_per_ejection(system: &System, precision: Option<f64>, effort: Effort) -> Result<Answer, String> {
    let count = f64::from(system.policy.consecutive_errors.ok_or("an ejection needs `consecutive_5xx`")?);
    let mut frequent = system.clone();
    frequent.failures = FREQUENT;
    let (plain, tilted) =
        (cycles(system, "attempts", precision, effort)?, cycles(&frequent, "ejections", precision, effort)?);
    let chance = tilted.ejections / tilted.count * (system.failures / FREQUENT).powf(count);
    let observed = Some(plain.attempts / plain.count / chance);
    let requests = Some(plain.requests + tilted.requests);
    Ok(Answer { observed, requests, replications: Some(plain.replications + tilted.replications), ..Answer::default() })
}

/// Runs of failures with what ended them.
struct Cycles {
    attempts: f64,
    ejections: f64,
    /// Ended by a success or by an ejection.
    count: f64,
    requests: u64,
    replications: u32,
}

fn cycles(system: &System, judged: &str, precision: Option<f64>, effort: Effort) -> Result<Cycles, String> {
    let leaf = system.leaf();
    let (mesh, scenario) = system.build(&[format!("svc/{leaf}.{judged} >= 0")])?;
    let affordable = (effort.requests / system.requests()).clamp(1.0, f64::from(meshproof_sim::REPLICATIONS_MAX));
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a small number")]
    let replications = Some(affordable as u32);
    let options = SimOptions {
        name: "case".to_owned(),
        replications,
        // Two measurements make one number.
        precision: precision.map(|precision| precision / 2.0),
        threads: effort.threads,
        ..SimOptions::default()
    };
    let run: Run = simulate(&mesh, &scenario, &options).map_err(|error| error.to_string())?;
    let station = run.services.iter().find(|service| service.name == leaf).ok_or("the station is never called")?;
    let (attempts, ejections) = (station.attempts.value().unwrap_or(0.0), station.ejections.value().unwrap_or(0.0));
    let good = station.responses.get("200").and_then(|count| count.value()).unwrap_or(0.0);
    let (requests, replications) = (run.client_requests, run.replications);
    Ok(Cycles { attempts, ejections, count: good + ejections, requests, replications })
}
