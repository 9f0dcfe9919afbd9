//! Kubernetes: `apps.v1.DeploymentStrategy`, and what it lets happen (`K-3`).

use super::IntOrPercent;
use crate::{Located, Location};

/// How pods are replaced.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strategy {
    /// Where it is written.
    pub at: Option<Location>,
    /// `type: Recreate`: all old pods go first. Of a `StatefulSet` or `DaemonSet`: `OnDelete`.
    pub recreates: bool,
    /// `rollingUpdate.maxSurge`; absent: 25 %.
    pub max_surge: Option<Located<IntOrPercent>>,
    /// `rollingUpdate.maxUnavailable`; absent: 25 %.
    pub max_unavailable: Option<Located<IntOrPercent>>,
}

/// What a rolling update keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RolloutBounds {
    /// Pods above the wanted number.
    pub surge: u32,
    /// Pods that may be unavailable.
    pub unavailable: u32,
    /// Fewest available pods at any time.
    pub min_available: u32,
    /// Most pods at any time.
    pub max_total: u32,
}

impl Strategy {
    /// What an update of so many replicas keeps to (`K-3`): surges round up, absences down; both 0 from percentages
    /// makes one absence.
    pub fn bounds(&self, replicas: u32) -> RolloutBounds {
        if self.recreates {
            return RolloutBounds { surge: 0, unavailable: replicas, min_available: 0, max_total: replicas };
        }
        let quarter = IntOrPercent::Percent(25);
        let value = |written: &Option<Located<IntOrPercent>>| written.as_ref().map_or(quarter, |written| written.value);
        let surge = value(&self.max_surge).round_up(replicas);
        let unavailable = match value(&self.max_unavailable).round_down(replicas) {
            0 if surge == 0 => 1,
            unavailable => unavailable.min(replicas),
        };
        RolloutBounds {
            surge,
            unavailable,
            min_available: replicas.saturating_sub(unavailable),
            max_total: replicas.saturating_add(surge),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::tests::located;

    #[test]
    fn t49_k3_defaults_round_surges_up_and_absences_down() {
        for (replicas, surge, unavailable) in [(1, 1, 0), (4, 1, 1), (10, 3, 2), (2, 1, 0), (100, 25, 25)] {
            let bounds = Strategy::default().bounds(replicas);
            assert_eq!((bounds.surge, bounds.unavailable), (surge, unavailable), "K-3 {replicas}");
            assert_eq!(bounds.min_available, replicas - unavailable);
            assert_eq!(bounds.max_total, replicas + surge);
        }
        let of = |surge, unavailable| Strategy {
            max_surge: Some(located(surge)),
            max_unavailable: Some(located(unavailable)),
            ..Strategy::default()
        };
        let none = of(IntOrPercent::Percent(0), IntOrPercent::Percent(10)).bounds(5);
        assert_eq!((none.surge, none.unavailable), (0, 1), "K-3 both 0");
        assert_eq!(of(IntOrPercent::Count(0), IntOrPercent::Count(9)).bounds(5).min_available, 0);
        assert_eq!(Strategy { recreates: true, ..Strategy::default() }.bounds(3).min_available, 0);
    }
}
