//! What one set of manifests leaves open: what an implementation decides for itself (`G-13`), and weights that a
//! controller sets on the way (`AR-4`). Each is judged too; what is worse there is told with its condition.

use std::collections::BTreeSet;

use meshproof_model::{Finding, FindingVerdict, Mesh, Severity, Subject, gateway_api::Implementation};
use meshproof_verifier::Report;

use super::{InternalError, prove};
use crate::Project;

/// Adds what holds in a variant only, and takes away proofs that do not hold in all of them.
pub(super) fn judge(project: &Project, report: &mut Report, threads: usize) -> Result<(), InternalError> {
    let mesh = &project.imported.mesh;
    let mut variants = mesh.rollout_variants();
    variants.extend(
        other_end(mesh).map(|end| ("where the implementation retries twice and gives a response 15 s".to_owned(), end)),
    );
    let mut known: BTreeSet<(&str, Subject)> = worse(report).map(key).collect();
    for (when, variant) in variants {
        let other = prove(&variant, &project.settings, threads)?;
        let mut refuted = BTreeSet::new();
        for finding in worse(&other) {
            refuted.insert(key(finding));
            if known.insert(key(finding)) {
                report.findings.push(under(finding, &when));
            }
        }
        report.proofs.retain(|proof| !refuted.contains(&(proof.rule.code, proof.subject.clone())));
    }
    Ok(())
}

fn key(finding: &Finding) -> (&'static str, Subject) {
    (finding.rule.code, finding.subject.clone())
}

/// What is worse than news.
fn worse(report: &Report) -> impl Iterator<Item = &Finding> {
    report.findings.iter().filter(|finding| finding.severity > Severity::Info)
}

/// A finding with the condition under which it holds. Its witness is one of the variant, not of the manifests as they
/// are, so that it is none here.
fn under(finding: &Finding, when: &str) -> Finding {
    let mut finding = finding.clone();
    finding.message = format!("{when}: {}", finding.message);
    finding.verdict = FindingVerdict::Lint;
    finding.witness = None;
    finding
}

/// The other end of what Gateway API leaves to its implementation; `None`: nothing is left.
fn other_end(mesh: &Mesh) -> Option<Mesh> {
    let is_open = mesh.gateway_api.implementation == Implementation::Generic
        && mesh.gateway_api.http_routes.iter().any(meshproof_model::gateway_api::HttpRoute::leaves_open);
    is_open.then(|| {
        let mut end = mesh.clone();
        end.gateway_api.implementation = Implementation::GenericMost;
        end
    })
}
