//! What the releases of a scenario need: the mesh at each of their stages, compiled, and the names in their queries.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{Lowering as Index, Mesh, delivery::Release};

use super::{Direction, Spec, build::Build};
use crate::{
    SetupError,
    delivery::{Names, Side},
};

/// BOUND: so many different meshes on the way are compiled.
const STATES_MAX: usize = 256;

/// The releases of a scenario.
#[derive(Debug, Default)]
pub(crate) struct Releases {
    pub(crate) all: Vec<Release>,
    /// The configurations of all proxies, by the stages of the releases: the last one's counts up first.
    pub(crate) states: Vec<Vec<Arc<Spec>>>,
    pub(crate) names: Names,
    /// By workload: releases that ask for what is counted of it.
    pub(crate) watched: Vec<Vec<u32>>,
    /// Names of all that could be released.
    releasable: Vec<String>,
}

impl Releases {
    /// The state of these stages, by its index.
    pub(crate) fn state(&self, stages: &[usize]) -> usize {
        self.all.iter().zip(stages).fold(0, |state, (release, stage)| state * release.stages.len() + stage)
    }

    fn stages(&self, mut state: usize) -> Vec<usize> {
        let mut stages = vec![0; self.all.len()];
        for (stage, release) in stages.iter_mut().zip(&self.all).rev() {
            *stage = state % release.stages.len();
            state /= release.stages.len();
        }
        stages
    }

    /// A release by its number among all that the mesh could release.
    pub(crate) fn find(&self, number: usize) -> Option<usize> {
        let name = self.releasable.get(number)?;
        self.all.iter().position(|release| release.name == *name)
    }

    /// Releases whose queries may count what goes to a workload.
    pub(crate) fn watchers(&self, workload: u32) -> &[u32] {
        self.watched.get(workload as usize).map_or(&[], Vec::as_slice)
    }
}

impl Build<'_> {
    /// Compiles the mesh at every point of its releases. `widest`: with all pods that there can be.
    pub(super) fn releases(&mut self, widest: &Mesh, all: &[Release]) -> Result<Releases, SetupError> {
        let mut releases = Releases { all: all.to_vec(), ..Releases::default() };
        let count: usize = releases.all.iter().map(|release| release.stages.len()).product();
        if count > STATES_MAX {
            return Err(SetupError::TooManyStages(count));
        }
        // The first state is how the run begins.
        let mut current = self.plan.specs.clone();
        releases.states.push(current.clone());
        for state in 1..count {
            let mesh = widest.at_stages(&releases.all, &releases.stages(state));
            let lowering = Index::new(&mesh);
            let mut different = Vec::new();
            for (index, spec) in current.iter().enumerate() {
                let dialled = self.dialled(meshproof_model::WorkloadId(spec.workload));
                if spec.direction != Direction::Inbound && self.lowering.replace(&lowering, index, &dialled) {
                    different.push(index);
                }
            }
            for index in different {
                current[index] = Arc::new(self.lowering.compile(&self.plan, &mesh, index)?);
            }
            releases.states.push(current.clone());
        }
        releases.names = names(widest, &releases.all);
        releases.releasable = widest.releasable();
        releases.watched = watched(widest, &releases);
        for release in &releases.all {
            self.plan.warnings.extend(release.warnings.iter().cloned());
        }
        Ok(releases)
    }
}

/// What Istio's metrics call workloads and services.
fn names(mesh: &Mesh, releases: &[Release]) -> Names {
    let workloads = mesh.workload_ids().map(|id| {
        let workload = mesh.workload(id);
        let called = releases.iter().flat_map(|release| &release.called).find(|(known, _)| *known == id);
        let name = called.map_or(workload.meta.name(), |(_, name)| name).to_owned();
        let label = |key: &str| workload.labels.get(key).cloned();
        let canonical = label("service.istio.io/canonical-name").or_else(|| label("app.kubernetes.io/name"));
        let revision = label("service.istio.io/canonical-revision").or_else(|| label("app.kubernetes.io/version"));
        let labels = [
            ("destination_workload_namespace", Some(workload.meta.namespace().to_owned())),
            ("destination_app", label("app")),
            ("destination_version", label("version")),
            ("destination_canonical_service", canonical.or_else(|| label("app")).or(Some(name.clone()))),
            ("destination_canonical_revision", revision.or_else(|| label("version")).or(Some("latest".to_owned()))),
            ("rollouts_pod_template_hash", label("rollouts-pod-template-hash")),
            ("destination_workload", Some(name)),
        ];
        labels.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    });
    let services = mesh.services.iter().map(|service| {
        BTreeMap::from([
            ("destination_service", service.host.clone()),
            ("destination_service_name", service.meta.name().to_owned()),
            ("destination_service_namespace", service.meta.namespace().to_owned()),
        ])
    });
    Names { workloads: workloads.collect(), services: services.collect() }
}

fn watched(mesh: &Mesh, releases: &Releases) -> Vec<Vec<u32>> {
    let asks = |release: &Release, workload: u32| {
        release.queries().into_iter().flat_map(meshproof_model::delivery::Query::series).any(|series| {
            mesh.service_ids().any(|service| {
                [Side::Source, Side::Destination]
                    .iter()
                    .any(|side| releases.names.can_be_meant(series, *side, workload, service.0))
            })
        })
    };
    mesh.workload_ids()
        .map(|workload| {
            let by = (0..).zip(&releases.all).filter(|(_, release)| asks(release, workload.0));
            by.map(|(number, _)| number).collect()
        })
        .collect()
}
