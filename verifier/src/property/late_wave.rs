//! `MP0804` late-wave (`P7`, `GO-2`).
//!
//! **Statement.** Argo CD applies what a route leads to no later than the route: the Service that a destination names, a
//! `DestinationRule` with its subset, and some of the pods. Between two waves a route that comes first sends requests to
//! what is not there, and they are answered 503. Within a wave Argo CD takes the kinds in an order in which all of these
//! come before a `VirtualService`.
//!
//! **Decided by** comparing phases and waves. Its oracle in the tests goes through the waves of
//! `meshproof_model::delivery::waves` one after the other.

use std::collections::BTreeMap;

use meshproof_model::{
    Finding, LATE_WAVE, Location, Mesh, ResourceRef, Subject, complete_host,
    delivery::{SyncPhase, waves},
    host_covers, is_subset,
    istio::{Destination, VirtualService},
};

use super::Judge;
use crate::{Engine, Proof, Report, assumption::APPLIED};

/// When something is applied, and where that is written.
type Point = (SyncPhase, i64);

/// Something that a destination needs: any one of these objects will do.
struct Need<'a> {
    what: String,
    objects: Vec<(&'a ResourceRef, &'a Location)>,
}

/// Judges every route of a mesh that Argo CD applies in waves.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mesh = judge.mesh;
    let mut report = Report::default();
    let points = points(mesh);
    let first = points.values().next();
    if points.values().all(|point| Some(point) == first) {
        return report;
    }
    for service in &mesh.virtual_services {
        let Some(own) = points.get(&service.meta.resource) else { continue };
        let late = late(mesh, &points, service, *own);
        if late.is_empty() {
            let subject = Subject::Resource(service.meta.resource.clone());
            if judge.options.paranoid && misses_something(mesh, service) {
                report.disagree(&LATE_WAVE, &subject, "wave after wave, something is missing when the route is there");
                continue;
            }
            let proof = Proof::new(&LATE_WAVE, subject, Engine::Fixpoint, judge.second(Engine::Fixpoint));
            let proof = proof.assuming([APPLIED]);
            report.proofs.push(proof.value("wave", own.1.to_string()));
        }
        report.findings.extend(late);
    }
    report
}

/// Whether something that a route needs is not there yet after the wave that brings the route, wave after wave.
fn misses_something(mesh: &Mesh, service: &VirtualService) -> bool {
    let all = waves(&mesh.delivery.waves);
    let Some(own) = all.iter().position(|wave| wave.resources.contains(&&service.meta.resource)) else { return false };
    let is_there = |object: &ResourceRef| all[..=own].iter().any(|wave| wave.resources.contains(&object));
    let comes = |object: &ResourceRef| all.iter().any(|wave| wave.resources.contains(&object));
    let gets_some = |to: &&Destination| to.weight.as_ref().is_none_or(|weight| weight.value > 0);
    let needed = service.http.iter().flat_map(|rule| &rule.route).filter(gets_some);
    // Of what nobody applies with the rest, nothing is known.
    let known = needed.flat_map(|to| needs(mesh, service, to));
    known
        .filter(|need| need.objects.iter().all(|(object, _)| comes(object)))
        .any(|need| !need.objects.iter().any(|(object, _)| is_there(object)))
}

/// When each object is applied; those that are not are left out.
fn points(mesh: &Mesh) -> BTreeMap<&ResourceRef, Point> {
    let applied = mesh.delivery.waves.iter();
    let applied = applied.filter(|point| !matches!(point.phase, SyncPhase::SyncFail | SyncPhase::Skip));
    applied
        .map(|point| (&point.meta.resource, (point.phase, point.wave.as_ref().map_or(0, |wave| wave.value))))
        .collect()
}

/// What of a route's needs comes later than the route; one finding for each need.
fn late(mesh: &Mesh, points: &BTreeMap<&ResourceRef, Point>, service: &VirtualService, own: Point) -> Vec<Finding> {
    let mut found: BTreeMap<String, Finding> = BTreeMap::new();
    let gets_some = |to: &&Destination| to.weight.as_ref().is_none_or(|weight| weight.value > 0);
    for to in service.http.iter().flat_map(|rule| &rule.route).filter(gets_some) {
        for need in needs(mesh, service, to) {
            let when = |(object, at): &(&ResourceRef, &Location)| Some((*points.get(object)?, (*at).clone()));
            let Some(known) = need.objects.iter().map(when).collect::<Option<Vec<_>>>() else { continue };
            let Some((first, at)) = known.into_iter().min_by_key(|(point, _)| *point) else { continue };
            if first > own {
                found.entry(need.what.clone()).or_insert_with(|| finding(service, to, &need.what, (own, first), at));
            }
        }
    }
    found.into_values().collect()
}

/// What a destination needs.
fn needs<'a>(mesh: &'a Mesh, route: &VirtualService, to: &Destination) -> Vec<Need<'a>> {
    let host = complete_host(&to.host.value, route.meta.namespace(), mesh.domain());
    let Some(id) = mesh.find_host(&host) else { return Vec::new() };
    let service = mesh.service(id);
    let mut needs = vec![Need {
        what: format!("`{}`", service.meta.resource),
        objects: vec![(&service.meta.resource, &service.meta.at)],
    }];
    let mut labels = None;
    if let Some(subset) = &to.subset {
        let rules = mesh.destination_rules.iter().filter(|rule| {
            let own = complete_host(&rule.host.value, rule.meta.namespace(), mesh.domain());
            host_covers(&own, &host)
        });
        let defined = rules.filter_map(|rule| {
            let known = rule.subsets.iter().find(|known| known.name.value == subset.value)?;
            labels = labels.or(Some(&known.labels));
            Some((&rule.meta.resource, &known.name.at))
        });
        let objects: Vec<_> = defined.collect();
        if let Some((resource, _)) = objects.first() {
            needs.push(Need { what: format!("subset `{}` of `{resource}`", subset.value), objects });
        }
    }
    let pods = mesh.workloads_of(id).map(|id| mesh.workload(id));
    let chosen = pods.filter(|workload| labels.is_none_or(|labels| is_subset(labels, &workload.labels)));
    let objects: Vec<_> = chosen.map(|workload| (&workload.meta.resource, &workload.meta.at)).collect();
    if let Some((resource, _)) = objects.first() {
        needs.push(Need { what: format!("pods of `{resource}`"), objects });
    }
    needs
}

fn finding(
    service: &VirtualService,
    to: &Destination,
    what: &str,
    (own, late): (Point, Point),
    at: Location,
) -> Finding {
    let name = |(phase, wave): Point| match phase {
        SyncPhase::Sync => format!("wave {wave}"),
        other => format!("wave {wave} of {other:?}"),
    };
    let message = format!(
        "the route is applied in {} and {what} in {}: between them its requests are answered 503",
        name(own),
        name(late)
    );
    Finding::new(&LATE_WAVE, Subject::Resource(service.meta.resource.clone()), message)
        .at(to.at.clone())
        .related(at, format!("applied in {}", name(late)))
        .help("give the route a later `argocd.argoproj.io/sync-wave`, or the same one")
        .value("wave", own.1.to_string())
        .value("late_wave", late.1.to_string())
}
