//! Counters of one cluster's hosts, under Envoy's names.

macro_rules! counters {
    ($($name:ident = $envoy:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Counter { $($name,)* }

        impl Counter {
            /// Every counter.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name behind `cluster.<name>.`.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Self::$name => $envoy,)* }
            }
        }
    };
}

counters! {
    LbHealthyPanic = "lb_healthy_panic",
    LbRecalculateZoneStructures = "lb_recalculate_zone_structures",
    LbZoneClusterTooSmall = "lb_zone_cluster_too_small",
    LbZoneNoCapacityLeft = "lb_zone_no_capacity_left",
    LbZoneRoutingAllDirectly = "lb_zone_routing_all_directly",
    LbZoneRoutingSampled = "lb_zone_routing_sampled",
    LbZoneRoutingCrossZone = "lb_zone_routing_cross_zone",
    LbLocalClusterNotOk = "lb_local_cluster_not_ok",
    LbSubsetsSelected = "lb_subsets_selected",
    LbSubsetsFallback = "lb_subsets_fallback",
    LbSubsetsFallbackPanic = "lb_subsets_fallback_panic",
    MembershipChange = "membership_change",
    EjectionsEnforcedTotal = "outlier_detection.ejections_enforced_total",
    EjectionsOverflow = "outlier_detection.ejections_overflow",
    EjectionsTotal = "outlier_detection.ejections_total",
    EjectionsConsecutive5xx = "outlier_detection.ejections_consecutive_5xx",
    EjectionsSuccessRate = "outlier_detection.ejections_success_rate",
    DetectedConsecutive5xx = "outlier_detection.ejections_detected_consecutive_5xx",
    DetectedConsecutiveGatewayFailure = "outlier_detection.ejections_detected_consecutive_gateway_failure",
    DetectedConsecutiveLocalOriginFailure = "outlier_detection.ejections_detected_consecutive_local_origin_failure",
    DetectedSuccessRate = "outlier_detection.ejections_detected_success_rate",
    DetectedLocalOriginSuccessRate = "outlier_detection.ejections_detected_local_origin_success_rate",
    DetectedFailurePercentage = "outlier_detection.ejections_detected_failure_percentage",
    DetectedLocalOriginFailurePercentage = "outlier_detection.ejections_detected_local_origin_failure_percentage",
    EnforcedConsecutive5xx = "outlier_detection.ejections_enforced_consecutive_5xx",
    EnforcedConsecutiveGatewayFailure = "outlier_detection.ejections_enforced_consecutive_gateway_failure",
    EnforcedConsecutiveLocalOriginFailure = "outlier_detection.ejections_enforced_consecutive_local_origin_failure",
    EnforcedSuccessRate = "outlier_detection.ejections_enforced_success_rate",
    EnforcedLocalOriginSuccessRate = "outlier_detection.ejections_enforced_local_origin_success_rate",
    EnforcedFailurePercentage = "outlier_detection.ejections_enforced_failure_percentage",
    EnforcedLocalOriginFailurePercentage = "outlier_detection.ejections_enforced_local_origin_failure_percentage",
    HealthCheckAttempt = "health_check.attempt",
    HealthCheckSuccess = "health_check.success",
    HealthCheckFailure = "health_check.failure",
    HealthCheckNetworkFailure = "health_check.network_failure",
}

/// Counts since the cluster began.
#[derive(Clone, Debug)]
pub(crate) struct HostStats {
    counts: [u64; Counter::ALL.len()],
}

impl Default for HostStats {
    fn default() -> Self {
        Self { counts: [0; Counter::ALL.len()] }
    }
}

impl HostStats {
    pub(super) fn add(&mut self, counter: Counter) {
        self.counts[counter as usize] += 1;
    }

    /// The value of one counter.
    pub(crate) fn get(&self, counter: Counter) -> u64 {
        self.counts[counter as usize]
    }

    /// Envoy's names behind `cluster.<name>.` with their values.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        Counter::ALL.iter().map(|counter| (counter.name(), self.get(*counter)))
    }
}
