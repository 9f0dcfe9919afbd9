//! What is asserted of a mesh.

use meshproof_model::{FindingVerdict, Scenario, Severity};
use meshproof_sim::SimOptions;
use proptest::test_runner::TestCaseError;
use serde_json::json;

use super::MeshSpec;
use crate::{
    Choice, Project,
    decide::{Answer, Decider, Prepared, Question},
    verify,
};

fn fail(reason: impl std::fmt::Display) -> TestCaseError {
    TestCaseError::fail(reason.to_string())
}

fn project(mesh: &MeshSpec) -> Result<Project, TestCaseError> {
    let project = mesh.project().map_err(fail)?;
    match project.faults.first() {
        Some(fault) => Err(fail(fault)),
        None => Ok(project),
    }
}

/// Whether a rule finds nothing worse than an info in the mesh.
///
/// # Errors
/// With the first finding, or a fault of the tool.
pub fn holds(mesh: &MeshSpec, code: &str) -> Result<(), TestCaseError> {
    let choice = Choice { select: vec![code.to_owned()], threads: 1, ..Choice::default() };
    let verified = verify(&project(mesh)?, &choice).map_err(fail)?;
    let is_bad = |finding: &&meshproof_model::Finding| {
        finding.severity > Severity::Info || finding.verdict == FindingVerdict::Unknown
    };
    match verified.findings.iter().find(is_bad) {
        Some(finding) => Err(fail(format!("{}: {}", finding.rule.code, finding.message))),
        None => Ok(()),
    }
}

/// Whether the mesh meets an objective under a scenario.
///
/// # Errors
/// With what was observed, or why the scenario cannot be run.
pub fn meets(mesh: &MeshSpec, scenario: &Scenario, objective: &str) -> Result<(), TestCaseError> {
    let scenario = Scenario { objectives: vec![objective.to_owned()], ..scenario.clone() };
    let options = SimOptions { threads: 1, ..SimOptions::default() };
    let run = meshproof_sim::simulate(&project(mesh)?.imported.mesh, &scenario, &options).map_err(fail)?;
    if let Some(broken) = run.internal_errors.first() {
        return Err(fail(broken));
    }
    let run = json!(run);
    match run["objectives"].as_array().into_iter().flatten().find(|one| one["met"] != true) {
        Some(missed) => {
            let seed = scenario.seed;
            Err(fail(format!("{objective} is missed: observed {} with seed {seed}", missed["observed"])))
        }
        None => Ok(()),
    }
}

/// Whether two meshes decide alike what every workload may ask of every service.
///
/// # Errors
/// With the first request that they decide differently.
pub fn decides_the_same(before: &MeshSpec, after: &MeshSpec) -> Result<(), TestCaseError> {
    let (old, new) = (project(before)?, project(after)?);
    let (old, new) = (Prepared::new(&old.imported.mesh), Prepared::new(&new.imported.mesh));
    let (old, new) = (Decider::new(&old), Decider::new(&new));
    let count = before.services.len().max(after.services.len());
    for from in 0..count {
        for to in 0..count {
            for path in ["/", "/special"] {
                let question = json!({
                    "from": {"workload": format!("shop/s{from}")},
                    "to": {"host": format!("s{to}"), "port": 80},
                    "request": {"path": path},
                });
                let asked: Question = serde_json::from_value(question).map_err(fail)?;
                let (was, is) = (decision(&old.answer(&asked)), decision(&new.answer(&asked)));
                if was != is {
                    return Err(fail(format!("s{from} asks s{to} for {path}: {was} before, {is} after")));
                }
            }
        }
    }
    Ok(())
}

/// What an answer decides; the reasons beside it do not count.
fn decision(answer: &Answer) -> serde_json::Value {
    json!({
        "allowed": answer.allowed, "outcome": answer.outcome, "status": answer.status, "backends": answer.backends,
        "redirect": answer.redirect, "rewrite": answer.rewrite, "timeout_ms": answer.timeout_ms,
        "retries": answer.retries, "mtls": answer.mtls,
    })
}
