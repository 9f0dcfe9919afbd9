//! What a report says of the time after each fault.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::{measure::Measure, number::Number, plan::Plan, recovery::AfterFault, statistics::quantile_interval};

/// The time after one fault.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RecoveryReport {
    /// Which fault, such as `Freeze default/ratings-v1`.
    pub fault: String,
    /// When it began, in seconds.
    pub from_s: f64,
    /// When it ended, in seconds.
    pub until_s: f64,
    /// Seconds from its end until nobody waited in the workload that it hit.
    pub queue_empty: After,
    /// By client: seconds from its end until the first of a hundred requests in a row that were answered well by their
    /// first try.
    pub served: BTreeMap<String, After>,
}

/// A time after a fault, over all replications.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct After {
    /// The share of the runs in which it came at all before the run ended.
    pub share: f64,
    /// Seconds, of those runs.
    pub seconds: Number,
    /// The 95 % interval of the median over all runs, by order alone; absent where there are too few.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub median_interval: Option<[f64; 2]>,
}

/// The time after each fault that has ended.
pub(crate) fn report(plan: &Plan, runs: &[&Measure]) -> Vec<RecoveryReport> {
    let of_fault = |(number, fault): (usize, &crate::plan::Fault)| {
        let seconds = |pick: &dyn Fn(&AfterFault) -> Option<u64>| {
            let times = runs.iter().map(|run| {
                let after = &run.recovery.faults[number];
                Some(pick(after)?.saturating_sub(after.ended?) as f64 / 1e9)
            });
            after(&times.collect::<Vec<_>>())
        };
        let served = plan.clients.iter().enumerate();
        RecoveryReport {
            fault: fault.name.clone(),
            from_s: fault.from as f64 / 1e9,
            until_s: fault.until as f64 / 1e9,
            queue_empty: seconds(&|after| after.emptied),
            served: served.map(|(at, client)| (client.name.clone(), seconds(&move |after| after.served[at]))).collect(),
        }
    };
    plan.faults.iter().enumerate().filter(|(_, fault)| fault.until < plan.horizon).map(of_fault).collect()
}

fn after(times: &[Option<f64>]) -> After {
    let came: Vec<f64> = times.iter().copied().flatten().collect();
    let all: Vec<f64> = times.iter().map(|time| time.unwrap_or(f64::INFINITY)).collect();
    After {
        share: came.len() as f64 / times.len().max(1) as f64,
        seconds: Number::of(came.into_iter().map(Number::Real)),
        median_interval: quantile_interval(&all, 0.5).filter(|[_, hi]| hi.is_finite()),
    }
}
