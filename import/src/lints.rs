//! Settings that do nothing where they stand, and objects of which only one counts (`spec 9.4`).

mod authentication;
mod authorization;
mod callers;
mod destination_rule;
mod pods;
mod ports;
mod protocols;
mod retries;
mod virtual_service;

use meshproof_model::{CONFLICTING_OBJECTS, Finding, INEFFECTIVE_SETTING, Location, Mesh, Meta, Subject};

/// Everything that does nothing.
pub(crate) fn check(mesh: &Mesh, cluster_domain: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    virtual_service::check(mesh, cluster_domain, &mut findings);
    destination_rule::check(mesh, cluster_domain, &mut findings);
    authentication::check(mesh, &mut findings);
    authorization::check(mesh, &mut findings);
    callers::check(mesh, cluster_domain, &mut findings);
    protocols::check(mesh, cluster_domain, &mut findings);
    retries::check(mesh, &mut findings);
    pods::check(mesh, cluster_domain, &mut findings);
    findings
}

/// A setting that does nothing.
fn ineffective(meta: &Meta, at: &Location, message: impl Into<String>, help: impl Into<String>) -> Finding {
    Finding::new(&INEFFECTIVE_SETTING, Subject::Resource(meta.resource.clone()), message).at(at.clone()).help(help)
}

/// An object that does nothing because of another.
fn conflict(meta: &Meta, at: &Location, winner: &Meta, message: impl Into<String>) -> Finding {
    let subject = Subject::Resource(meta.resource.clone());
    let (mut message, mut counts) = (message.into(), format!("`{}` counts", winner.resource));
    // Which one is older is decided in the cluster (`0.4`).
    if meta.created.is_none() || winner.created.is_none() {
        message = format!("{message}; winner depends on creation time: `{}` or `{}`", winner.resource, meta.resource);
        counts += " if it is older";
    }
    Finding::new(&CONFLICTING_OBJECTS, subject, message)
        .at(at.clone())
        .related(winner.at.clone(), counts)
        .help("put everything into one of them")
}

/// The order in which Istio takes objects: by age, then name, then namespace; manifests seldom say an age (`0.4`).
fn precedence(meta: &Meta) -> (Option<&str>, &str, &str) {
    (meta.created.as_deref(), meta.name(), meta.namespace())
}
