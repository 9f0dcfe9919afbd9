//! Changes of configuration on the way, compiled: what each step of the rollout makes of every proxy's configuration.

use std::sync::Arc;

use meshproof_model::{
    Lowering as Index, Mesh, ResourceRef, RolloutStep, Scenario, ScenarioError, ScenarioProblem, WorkloadId,
};
use meshproof_proxy::config::Config;

use super::{Change, Direction, Spec, Target, build::Build, link::link};
use crate::{SetupError, Stages};

impl Build<'_> {
    /// The specs that each step of the rollout changes, in the order of time.
    pub(super) fn changes(&mut self, scenario: &Scenario, stages: &Stages) -> Result<Vec<Change>, SetupError> {
        let mut manifests: &Mesh = self.mesh;
        let mut weights: Vec<&RolloutStep> = Vec::new();
        let mut current = self.plan.specs.clone();
        let mut changes = Vec::new();
        for (number, step) in scenario.steps() {
            match step {
                RolloutStep::Weight { .. } => weights.push(step),
                RolloutStep::Apply { .. } | RolloutStep::Delete { .. } | RolloutStep::Set { .. } => {
                    let stage = stages.get(&number).ok_or_else(|| SetupError::NoStage(step.to_string()))?;
                    manifests = &stage.mesh;
                    weights.retain(|step| !is_replaced(step, &stage.objects));
                }
                // These change pods, and no configuration but the endpoints in it; releases are done by their controllers.
                RolloutStep::Restart { .. } | RolloutStep::Drain { .. } | RolloutStep::Release { .. } => continue,
            }
            let mesh = weights.iter().try_fold(manifests.clone(), |mesh, step| mesh.apply(step));
            let mesh = mesh.map_err(|message| refused(number, message))?;
            changes.push(self.change(step, &mesh, &mut current)?);
        }
        Ok(changes)
    }

    /// What a step changes of the configurations that are current before it.
    fn change(&mut self, step: &RolloutStep, mesh: &Mesh, current: &mut [Arc<Spec>]) -> Result<Change, SetupError> {
        let (weights, reason) = match step {
            RolloutStep::Weight { weights, .. } => {
                (weights.iter().map(|(name, weight)| (name.clone(), *weight)).collect(), None)
            }
            _ => (Vec::new(), Some(step.to_string())),
        };
        let reason = reason.unwrap_or_else(|| "as the scenario says".to_owned());
        let mut change = Change { at: step.at().get(), specs: Vec::new(), weights, reason };
        let lowering = Index::new(mesh);
        let mut different = Vec::new();
        for (index, spec) in current.iter().enumerate() {
            // Weights are nothing to a server's own proxy.
            if spec.direction == Direction::Inbound && !step.changes_manifests() {
                continue;
            }
            let dialled = self.dialled(WorkloadId(spec.workload));
            if self.lowering.replace(&lowering, index, &dialled) {
                different.push(index);
            }
        }
        for index in different {
            let spec = Arc::new(self.lowering.compile(&self.plan, mesh, index)?);
            if let Some(place) = current.get_mut(index) {
                *place = Arc::clone(&spec);
            }
            change.specs.push((u32::try_from(index).unwrap_or(u32::MAX), spec));
        }
        Ok(change)
    }

    /// Names every identity that a client may show to a server while old and new configurations stand side by side.
    pub(super) fn name_identities(&mut self, changes: &[Change]) {
        if !self.plan.mixes {
            return;
        }
        let changed = changes.iter().flat_map(|change| &change.specs).map(|(_, spec)| spec);
        let all: Vec<&Arc<Spec>> = self.plan.specs.iter().chain(changed).collect();
        let servers: Vec<(u32, &Config)> = all
            .iter()
            .filter(|spec| spec.direction != Direction::Outbound)
            .filter_map(|spec| Some((spec.workload, &**spec.config.as_ref()?)))
            .collect();
        let identities = &mut self.lowering.identities;
        for client in all.iter().filter(|spec| spec.direction != Direction::Inbound) {
            let Some(config) = &client.config else { continue };
            for (cluster, ends) in config.clusters.iter().zip(&client.clusters) {
                for (host, end) in cluster.hosts.iter().zip(&ends.hosts) {
                    let Target::Proxy { node, listener } = end.target else { continue };
                    let workload = self.plan.nodes[node as usize].workload;
                    for (_, server) in servers.iter().filter(|(of, _)| *of == workload) {
                        let tls = server.listeners.get(listener.index()).map(|listener| &listener.tls);
                        link(cluster, host, tls, |identity| identities.id(identity));
                    }
                }
            }
        }
    }
}

/// Whether manifests that were applied say anew what a step of weights had said.
fn is_replaced(step: &RolloutStep, objects: &[ResourceRef]) -> bool {
    let RolloutStep::Weight { route, .. } = step else { return false };
    objects.iter().any(|object| {
        object.kind == "VirtualService" && route.split_once('/') == Some((&*object.namespace, &*object.name))
    })
}

fn refused(step: usize, message: String) -> SetupError {
    let problem = ScenarioProblem::Rollout { message };
    SetupError::Invalid(vec![ScenarioError { path: format!("rollout[{step}]"), problem }])
}
