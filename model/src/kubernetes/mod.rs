//! Kubernetes' objects beside services and workloads, as typed data, each leaf with its place; and what follows from
//! them by arithmetic.

mod autoscaler;
mod budget;
mod endpoints;
mod network_policy;
mod pod;
mod selector;
mod service;
mod strategy;

pub use autoscaler::*;
pub use budget::*;
pub use endpoints::*;
pub use network_policy::*;
pub use pod::*;
pub use selector::*;
pub use service::*;
pub use strategy::*;

/// Kubernetes' objects beside services and workloads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubernetes {
    /// Who may connect to whom (`K-7`).
    pub network_policies: Vec<NetworkPolicy>,
    /// What changes the number of pods (`K-5`).
    pub autoscalers: Vec<HorizontalPodAutoscaler>,
    /// How many pods may be away on purpose (`K-6`).
    pub disruption_budgets: Vec<PodDisruptionBudget>,
    /// Endpoints that are listed by hand.
    pub endpoints: Vec<Endpoints>,
}

/// A number, or a share of some number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum IntOrPercent {
    /// So many.
    Count(u32),
    /// So many percent.
    Percent(u32),
}

impl IntOrPercent {
    /// `3` or `25%`.
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        }
    }

    /// Of `whole`, shares rounded up.
    pub fn round_up(self, whole: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(u64::from(percent) * u64::from(whole) + 99),
        }
    }

    /// Of `whole`, shares rounded down.
    pub fn round_down(self, whole: u32) -> u32 {
        match self {
            Self::Count(count) => count,
            Self::Percent(percent) => share(u64::from(percent) * u64::from(whole)),
        }
    }
}

fn share(hundredths: u64) -> u32 {
    u32::try_from(hundredths / 100).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use crate::{Located, Location, Sources};

    /// A value that stands somewhere.
    pub(super) fn located<T>(value: T) -> Located<T> {
        let file = Sources::default().add("", "");
        Located::new(value, Location { file, line: 1, column: 1, offset: 0, length: 1, path: "".into() })
    }
}
