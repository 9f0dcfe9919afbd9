//! What the scenario says of load.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{Arrivals, Load as ModelLoad, Scenario};

use super::{Load, LoadKind, Plan, build::sampler};
use crate::{
    SetupError,
    load::{Curve, Spacing},
};

impl Plan {
    pub(super) fn loads(
        &self,
        scenario: &Scenario,
        recorded: &BTreeMap<String, Arc<[u64]>>,
    ) -> Result<Vec<Load>, SetupError> {
        let mut loads = Vec::new();
        for load in &scenario.load {
            let (ModelLoad::Open { client, .. } | ModelLoad::Closed { client, .. } | ModelLoad::Burst { client, .. }) =
                load;
            let Some(client) = self.clients.iter().position(|known| known.name == *client) else { continue };
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
}
