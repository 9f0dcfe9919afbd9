//! Manifests that change while requests are under way: what may change, and in which order things then stand.

use crate::{Location, Mesh, ResourceRef, Service};

/// The mesh after a step that changes manifests.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its services and workloads stand in the order of the mesh at the start: an id means the same in both.
    pub mesh: Mesh,
    /// Objects that the step has set or taken away.
    pub objects: Vec<ResourceRef>,
}

/// What cannot change while requests are under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unchangeable {
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where the object stands, in the manifests that would come or in those that would go.
    pub at: Location,
}

impl Mesh {
    /// The mesh of other manifests as a stage of a run that begins with this one.
    ///
    /// # Errors
    /// If services or workloads come or go, or other pods would serve a service.
    pub fn stage(&self, mut next: Self, objects: Vec<ResourceRef>) -> Result<Stage, Vec<Unchangeable>> {
        let mut wrong = Vec::new();
        next.services = aligned(&self.services, next.services, |service| &service.meta, &mut wrong);
        next.workloads = aligned(&self.workloads, next.workloads, |workload| &workload.meta, &mut wrong);
        if !wrong.is_empty() {
            return Err(wrong);
        }
        wrong.extend(self.services.iter().zip(&next.services).filter_map(|(was, is)| changed_service(was, is)));
        next.behaviour = self.behaviour.clone();
        next.inferred_calls.clone_from(&self.inferred_calls);
        if wrong.is_empty() { Ok(Stage { mesh: next, objects }) } else { Err(wrong) }
    }
}

/// The same things in the order of those that were there before.
fn aligned<T>(
    before: &[T],
    mut after: Vec<T>,
    meta: impl Fn(&T) -> &crate::Meta,
    wrong: &mut Vec<Unchangeable>,
) -> Vec<T> {
    let mut out = Vec::with_capacity(before.len());
    for old in before {
        match after.iter().position(|new| meta(new).resource == meta(old).resource) {
            Some(at) => out.push(after.remove(at)),
            None => wrong.push(Unchangeable {
                message: format!("{} would go: services and workloads stay the same in a run", meta(old).resource),
                at: meta(old).at.clone(),
            }),
        }
    }
    wrong.extend(after.iter().map(|new| Unchangeable {
        message: format!("{} would come: services and workloads stay the same in a run", meta(new).resource),
        at: meta(new).at.clone(),
    }));
    out
}

fn changed_service(was: &Service, is: &Service) -> Option<Unchangeable> {
    let what = if was.selector != is.selector {
        "the selector"
    } else if was.host != is.host {
        "the host"
    } else {
        return None;
    };
    let message = format!("{what} of {} would change: which pods serve it stays the same in a run", is.meta.resource);
    Some(Unchangeable { message, at: is.meta.at.clone() })
}
