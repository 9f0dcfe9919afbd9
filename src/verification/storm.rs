//! `--paranoid`: runs in which much fails, held to what was proved of all runs.

use meshproof_model::{Bounds, Fault, Load, Mesh, Nanos, Replicas, Scenario, Share};
use meshproof_sim::{SetupError, SimOptions, simulate};

use super::InternalError;

/// BOUND: runs, and requests of each client in each.
const RUNS: u32 = 8;
const REQUESTS: u64 = 40;

/// Runs a mesh in bad weather: every handler fails for some of its requests, in each run for other ones. `bounds`: what
/// was proved.
///
/// # Errors
/// If a run exceeds a bound or breaks what must always hold.
pub(super) fn weather(mesh: &Mesh, mut bounds: Bounds) -> Result<(), InternalError> {
    if mesh.behaviour.clients.is_empty() {
        return Ok(());
    }
    meshproof_verifier::add_bounds(&mut bounds, mesh);
    let scenario = storm(mesh);
    let options = SimOptions { name: "storm".to_owned(), bounds: Some(bounds), ..SimOptions::default() };
    match simulate(mesh, &scenario, &options) {
        Ok(run) if run.internal_errors.is_empty() => Ok(()),
        Ok(run) => Err(InternalError::CheckerViolated(run.internal_errors)),
        // What cannot be run is told by the commands that run it.
        Err(SetupError::Invalid(_)) => Ok(()),
        Err(error) => Err(InternalError::CheckerViolated(vec![error.to_string()])),
    }
}

fn storm(mesh: &Mesh) -> Scenario {
    let (begin, length) = (Nanos::from_secs(1), Nanos::from_secs(60));
    let load = mesh.behaviour.clients.keys();
    let failing = mesh.workloads.iter().filter(|workload| workload.replicas.value > 0);
    Scenario {
        version: 1,
        summary: "every handler fails half of its requests".to_owned(),
        seed: 1,
        horizon: length,
        replications: RUNS,
        load: load.map(|client| Load::Burst { client: client.clone(), requests: REQUESTS, at: begin }).collect(),
        faults: failing
            .map(|workload| Fault::Errors {
                workload: workload.full_name(),
                replicas: Replicas::All,
                at: Nanos::ZERO,
                during: length,
                status: 503,
                share: Share::from_ppm(500_000),
            })
            .collect(),
        ..Scenario::default()
    }
}
