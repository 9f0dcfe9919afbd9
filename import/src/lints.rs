//! Settings that do nothing where they stand, and objects of which only one counts (`spec 9.4`).

mod authentication;
mod authorization;
mod destination_rule;
mod ports;
mod virtual_service;

use meshproof_model::{CONFLICTING_OBJECTS, Finding, INEFFECTIVE_SETTING, Location, Mesh, Meta, Subject};

/// Everything that does nothing.
pub(crate) fn check(mesh: &Mesh, cluster_domain: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    virtual_service::check(mesh, cluster_domain, &mut findings);
    destination_rule::check(mesh, cluster_domain, &mut findings);
    authentication::check(mesh, &mut findings);
    authorization::check(mesh, &mut findings);
    findings
}

/// A setting that does nothing.
fn ineffective(meta: &Meta, at: &Location, message: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding::new(&INEFFECTIVE_SETTING, Subject::Resource(meta.resource.clone()), message).at(at.clone()).help(help)
}

/// An object that does nothing because of another.
fn conflict(meta: &Meta, at: &Location, winner: &Meta, message: impl Into<String>) -> Finding {
    Finding::new(&CONFLICTING_OBJECTS, Subject::Resource(meta.resource.clone()), message)
        .at(at.clone())
        .related(winner.at.clone(), format!("`{}` counts", winner.resource))
        .help("put everything into one of them")
}

/// The order in which Istio takes objects: by age, then name, then namespace; manifests seldom say an age (`0.4`).
fn precedence(meta: &Meta) -> (Option<&str>, &str, &str) {
    (meta.created.as_deref(), meta.name(), meta.namespace())
}
