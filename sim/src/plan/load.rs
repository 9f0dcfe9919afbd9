//! What the scenario says of load and changes.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{Arrivals, Load as ModelLoad, Lowering as Index, RolloutStep, Scenario};

use super::{
    Change, Direction, Load, LoadKind,
    build::{Build, sampler},
    spec::adopt_clusters,
};
use crate::{
    SetupError,
    load::{Curve, Spacing},
};

impl Build<'_> {
    pub(super) fn loads(
        &self,
        scenario: &Scenario,
        recorded: &BTreeMap<String, Arc<[u64]>>,
    ) -> Result<Vec<Load>, SetupError> {
        let mut loads = Vec::new();
        for load in &scenario.load {
            let (ModelLoad::Open { client, .. } | ModelLoad::Closed { client, .. } | ModelLoad::Burst { client, .. }) =
                load;
            let Some(client) = self.plan.clients.iter().position(|known| known.name == *client) else { continue };
            let kind = match load {
                ModelLoad::Open { arrivals: Arrivals::Recorded(name), .. } => {
                    let times = recorded.get(name).ok_or_else(|| SetupError::NoRecording(name.clone()))?;
                    LoadKind::Open(Spacing::Recorded(Arc::clone(times)))
                }
                ModelLoad::Open { arrivals, rate, .. } => {
                    let curve = Curve::new(rate, scenario.horizon.get());
                    let is_constant = *arrivals == Arrivals::Constant;
                    LoadKind::Open(if is_constant { Spacing::Constant(curve) } else { Spacing::Poisson(curve) })
                }
                ModelLoad::Closed { users, think, .. } => LoadKind::Closed { users: *users, think: sampler(think) },
                ModelLoad::Burst { requests, at, .. } => LoadKind::Burst { requests: *requests, at: at.get() },
            };
            loads.push(Load { client: u32::try_from(client).unwrap_or(u32::MAX), kind });
        }
        Ok(loads)
    }

    /// The specs that each step of the rollout changes, in the order of time.
    pub(super) fn changes(&mut self, scenario: &Scenario) -> Result<Vec<Change>, SetupError> {
        let mut steps: Vec<_> = scenario.rollout.iter().collect();
        steps.sort_by_key(|step| {
            let RolloutStep::Weight { at, .. } = step;
            *at
        });
        let mut mesh = self.mesh.clone();
        let mut current = self.plan.specs.clone();
        let mut changes = Vec::new();
        for step in steps {
            // `check_scenario` has tried every step on the mesh as it is at the start.
            let Ok(next) = mesh.apply(step) else { continue };
            mesh = next;
            let RolloutStep::Weight { at, weights, .. } = step;
            let mut change = Change { at: at.get(), specs: Vec::new(), weights: Vec::new() };
            let lowering = Index::new(&mesh);
            change.weights.extend(weights.iter().map(|(name, weight)| (name.clone(), *weight)));
            for (index, spec) in current.iter_mut().enumerate() {
                let (workload, direction) = (meshproof_model::WorkloadId(spec.workload), spec.direction);
                if direction == Direction::Inbound {
                    continue;
                }
                let dialled = self.dialled(workload);
                if self.lowering.replace(&lowering, index, &dialled) {
                    let mut next = self.lowering.compile(&self.plan, &mesh, index)?;
                    adopt_clusters(&mut next, spec);
                    *spec = Arc::new(next);
                    change.specs.push((u32::try_from(index).unwrap_or(u32::MAX), Arc::clone(spec)));
                }
            }
            changes.push(change);
        }
        Ok(changes)
    }
}
