//! From a project to findings and proofs: the importer's, the verifier's, each violation replayed.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_import::Profile;
use meshproof_model::{
    Bound, Bounds, Comparison, Expectation, Fault, Figure, Finding, FindingVerdict, Load, Mesh, Nanos, Objective,
    Phase, Scenario, Severity, Subject, UNKNOWN_FIELD, UNMODELLED, WitnessKind,
};
use meshproof_sim::{Replayer, SimOptions};
use meshproof_verifier::{Assumption, Intents, Limits, Proof, Report, VerifyOptions};

use crate::{Project, Settings, decide::Replays, suppression};

mod order;
mod storm;
mod variant;

/// Which findings are wanted, beside what `meshproof.toml` says.
#[derive(Clone, Debug, Default)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub struct Choice {
    /// Only these codes or families; empty: all.
    pub select: Vec<String>,
    /// Not these codes or families.
    pub ignore: Vec<String>,
    /// Whether unknown fields and what is not modelled are errors.
    pub strict: bool,
    /// Threads; 0: as many as there are cores.
    pub threads: usize,
    /// Whose findings are wanted, as the project was read for.
    pub profile: Profile,
    /// Whether both orders of objects are judged of which only the older one counts.
    pub any_order: bool,
    /// Other meshes that intents name, and the one that objects change from.
    pub bases: BTreeMap<String, Arc<Mesh>>,
    /// Whether the queries to Z3 are kept as SMT-LIB.
    pub keep_queries: bool,
    /// Whether a second engine decides every verdict again, and runs under random failures are held to what is proved.
    pub paranoid: bool,
    /// The day that suppressions are judged by, as `YYYY-MM-DD`; absent: none has expired.
    pub today: Option<String>,
}

/// What was found.
#[derive(Debug)]
pub struct Verified {
    /// By file, line, column and code.
    pub findings: Vec<Finding>,
    /// By code and subject.
    pub proofs: Vec<Proof>,
    /// What the proofs rest on.
    pub assumptions: Vec<Assumption>,
    /// What a suppression covers, with its reason.
    pub suppressed: Vec<(Finding, String)>,
    /// Queries to Z3 as SMT-LIB, where they are wanted.
    pub queries: Vec<String>,
}

/// A fault of meshproof itself, never reported as a verdict.
#[derive(Debug, thiserror::Error)]
pub enum InternalError {
    /// The simulator did not see what the verifier claims.
    #[error("the witness of {code} for {subject} does not show the violation when it is replayed: {observed}")]
    WitnessNotReplayed {
        /// The rule.
        code: &'static str,
        /// What it is about.
        subject: String,
        /// What the replay showed.
        observed: String,
    },
    /// The verifier contradicts itself.
    #[error("two engines disagree: {}", .0.join("; "))]
    EnginesDisagree(Vec<String>),
    /// A simulated run broke what must always hold.
    #[error("a run broke what must always hold: {}", .0.join("; "))]
    CheckerViolated(Vec<String>),
}

/// Judges a project.
///
/// # Errors
/// Only for faults of meshproof itself: a witness that does not replay, engines that disagree.
pub fn verify(project: &Project, choice: &Choice) -> Result<Verified, InternalError> {
    let mut report = match choice.profile {
        Profile::Full => {
            let report = prove_with(&project.imported.mesh, &options_of(project, choice))?;
            if choice.paranoid {
                storm::weather(&project.imported.mesh, report.bounds.clone())?;
            }
            report
        }
        // Istio's analysis proves nothing.
        Profile::IstioAnalyze => Report::default(),
    };
    let mut findings = project.imported.findings.clone();
    if choice.any_order && choice.profile == Profile::Full {
        findings.extend(order::differences(project, &report, choice.threads)?);
    }
    if choice.profile == Profile::Full {
        variant::judge(project, &mut report, choice.threads)?;
    }
    findings.append(&mut report.findings);
    let checks = &project.settings.checks;
    let (replays, mut runs) = (Replays::new(&project.imported.mesh), Replayer::new(&project.imported.mesh));
    findings.retain(|finding| checks.wants(finding.rule.code, &choice.select, &choice.ignore));
    for finding in &mut findings {
        if let Some(severity) = checks.severity.get(finding.rule.code) {
            finding.severity = (*severity).into();
        } else if choice.strict && finding.rule.code == UNKNOWN_FIELD.code {
            finding.severity = Severity::Error;
        }
        replay(&replays, &mut runs, finding)?;
    }
    if choice.strict && choice.profile == Profile::Full {
        findings.extend(unmodelled(project));
    }
    let suppressions = match choice.profile {
        Profile::Full => project.imported.suppressions.as_slice(),
        // Its codes are not ours; Istio has an annotation of its own.
        Profile::IstioAnalyze => &[],
    };
    let suppressed = suppression::apply(suppressions, &project.sources, choice.today.as_deref(), &mut findings);
    sort(&mut findings);
    let mut proofs = report.proofs;
    proofs.retain(|proof| checks.wants(proof.rule.code, &choice.select, &choice.ignore));
    let mut assumptions = report.assumptions;
    assumptions.retain(|assumption| proofs.iter().any(|proof| proof.assumptions.contains(&assumption.id)));
    Ok(Verified { findings, proofs, assumptions, suppressed, queries: report.queries })
}

/// What one rule finds, without replays and variants: quick, and for a search only.
pub(crate) fn findings_of(project: &Project, choice: &Choice, code: &'static str) -> Vec<Finding> {
    let mut findings = project.imported.findings.clone();
    if choice.profile == Profile::Full {
        let options = VerifyOptions { select: Some(vec![code.to_owned()]), ..options_of(project, choice) };
        findings.extend(meshproof_verifier::verify(&project.imported.mesh, &options).findings);
    }
    findings.retain(|finding| finding.rule.code == code);
    if choice.profile == Profile::Full {
        let suppressions = &project.imported.suppressions;
        suppression::apply(suppressions, &project.sources, choice.today.as_deref(), &mut findings);
        findings.retain(|finding| finding.rule.code == code);
    }
    findings
}

/// What no simulated run of a mesh may exceed.
///
/// # Errors
/// If two engines disagree.
pub fn proved_bounds(mesh: &Mesh, threads: usize) -> Result<Bounds, InternalError> {
    let mut bounds = prove(mesh, &Settings::default(), threads)?.bounds;
    meshproof_verifier::add_bounds(&mut bounds, mesh);
    Ok(bounds)
}

/// What no run of a scenario may exceed; `None` where its rollout changes the manifests, of which it was proved.
pub(crate) fn bounds_of_run(
    mesh: &Mesh,
    scenario: &Scenario,
    options: &SimOptions,
) -> Result<Option<Bounds>, InternalError> {
    if !options.stages.is_empty() {
        return Ok(None);
    }
    proved_bounds(&mesh.with_clients(&scenario.clients), options.threads).map(Some)
}

fn prove(mesh: &Mesh, settings: &Settings, threads: usize) -> Result<Report, InternalError> {
    prove_with(mesh, &options(settings, threads))
}

fn options_of(project: &Project, choice: &Choice) -> VerifyOptions {
    VerifyOptions {
        intents: Intents::read(&project.sources),
        demand: demand(project),
        objectives: objectives(project),
        outage: outage(project),
        bases: choice.bases.clone(),
        keep_queries: choice.keep_queries,
        paranoid: choice.paranoid,
        ..options(&project.settings, choice.threads)
    }
}

fn options(settings: &Settings, threads: usize) -> VerifyOptions {
    let limits = Limits { retry_amplification: settings.limits.retry_amplification };
    VerifyOptions { limits, threads, ..VerifyOptions::default() }
}

/// The highest rate at which each client sends requests in any scenario, in thousandths of a request per second.
fn demand(project: &Project) -> BTreeMap<String, u64> {
    let mut highest = BTreeMap::new();
    for load in project.scenarios.iter().flat_map(|(_, scenario)| &scenario.load) {
        let Load::Open { client, rate, .. } = load else { continue };
        let rates = rate.iter().map(|phase| match phase {
            Phase::Hold { rate, .. } | Phase::Ramp { to: rate, .. } => rate.milli(),
        });
        let most = highest.entry(client.clone()).or_insert(0);
        *most = rates.fold(*most, u64::max);
    }
    highest
}

/// The tightest latency that any scenario wants of each client.
fn objectives(project: &Project) -> BTreeMap<String, Nanos> {
    let mut tightest: BTreeMap<String, Nanos> = BTreeMap::new();
    let written = project.scenarios.iter().flat_map(|(_, scenario)| &scenario.objectives);
    for objective in written.filter_map(|text| text.parse::<Objective>().ok()) {
        let Objective::Figure { subject, figure, comparison, bound: Bound::Time(time) } = objective else { continue };
        let is_latency = matches!(figure, Figure::Quantile(_) | Figure::Mean | Figure::Max);
        let is_limit = matches!(comparison, Comparison::Less | Comparison::AtMost);
        if is_latency && is_limit && project.imported.mesh.behaviour.clients.contains_key(&subject) {
            tightest.entry(subject).and_modify(|known| *known = time.min(*known)).or_insert(time);
        }
    }
    tightest
}

/// The longest outage of the control plane in any scenario.
fn outage(project: &Project) -> Option<Nanos> {
    let faults = project.scenarios.iter().flat_map(|(_, scenario)| &scenario.faults);
    let outages = faults.filter_map(|fault| match fault {
        Fault::ControlPlane { during, .. } => Some(*during),
        _ => None,
    });
    outages.max()
}

fn prove_with(mesh: &Mesh, options: &VerifyOptions) -> Result<Report, InternalError> {
    let report = meshproof_verifier::verify(mesh, options);
    if report.disagreements.is_empty() { Ok(report) } else { Err(InternalError::EnginesDisagree(report.disagreements)) }
}

/// Runs a violation's witness through the simulator, or puts its request to the proxy core, and notes that it showed
/// what it should.
fn replay(replays: &Replays<'_>, runs: &mut Replayer<'_>, finding: &mut Finding) -> Result<(), InternalError> {
    let Some(witness) = &mut finding.witness else { return Ok(()) };
    if finding.verdict != FindingVerdict::Violated {
        return Ok(());
    }
    let (shown, observed) = match (&witness.request, &witness.expectation) {
        (Some(request), Some(Expectation::Allowed(passes))) => replays.shows(request, *passes),
        _ if witness.scenario.is_none() || witness.expectation.is_none() => return Ok(()),
        _ => match runs.replay(witness) {
            Ok(outcome) if outcome.obstructed && !outcome.shown => {
                // Something else in the mesh keeps the request from going on, so that the worst is not reached this way.
                if let Some(exact) = finding.values.get_mut("exact") {
                    *exact = false.into();
                }
                (witness.scenario, witness.expectation) = (None, None);
                witness.kind = WitnessKind::Request;
                return Ok(());
            }
            Ok(outcome) => (outcome.shown, outcome.observed),
            Err(error) => (false, error.to_string()),
        },
    };
    if !shown {
        let (code, subject) = (finding.rule.code, finding.subject.to_string());
        return Err(InternalError::WitnessNotReplayed { code, subject, observed });
    }
    witness.replayed = Some(true);
    Ok(())
}

/// What is not modelled, as errors of `--strict`.
fn unmodelled(project: &Project) -> impl Iterator<Item = Finding> {
    project.imported.mesh.unmodelled.iter().map(|gap| {
        let message = format!("not modelled: {}", gap.reason);
        let mut finding = Finding::new(&UNMODELLED, Subject::Resource(gap.resource.clone()), message);
        finding.severity = Severity::Error;
        finding.at(gap.at.clone())
    })
}

/// By file, line, column, code and message; what has no place comes last.
fn sort(findings: &mut [Finding]) {
    findings.sort_by(|a, b| {
        let place = |f: &Finding| f.location.as_ref().map(|at| (at.file, at.line, at.column));
        let missing = |f: &Finding| f.location.is_none();
        (missing(a), place(a), a.rule.code, &a.message).cmp(&(missing(b), place(b), b.rule.code, &b.message))
    });
}
