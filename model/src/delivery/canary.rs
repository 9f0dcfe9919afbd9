//! Flagger: `flagger.app/v1beta1.Canary` and its clock (`FL-1` to `FL-4`).

use crate::{Located, Location, Meta, Nanos};

/// A Deployment that Flagger replaces step by step. It makes `NAME-primary` and the routes itself (`FL-1`).
#[derive(Clone, Debug, PartialEq)]
pub struct Canary {
    /// Its name and place.
    pub meta: Meta,
    /// Kind and name of what is replaced.
    pub target: Located<(String, String)>,
    /// `provider`, such as `istio`.
    pub provider: Option<Located<String>>,
    /// What its routes say.
    pub service: CanaryService,
    /// How it is judged.
    pub analysis: CanaryAnalysis,
    /// `progressDeadlineSeconds`; absent: 600.
    pub progress_deadline: Option<Located<u32>>,
    /// `skipAnalysis`.
    pub skip_analysis: bool,
}

/// `service`: what the routes that Flagger makes say.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanaryService {
    /// `name`; absent: the target's.
    pub name: Option<Located<String>>,
    /// `port`.
    pub port: Option<Located<u16>>,
    /// `portName`; absent: `http`.
    pub port_name: Option<String>,
    /// `hosts`.
    pub hosts: Vec<Located<String>>,
    /// `gateways`.
    pub gateways: Vec<Located<String>>,
    /// `timeout`.
    pub timeout: Option<Located<Nanos>>,
    /// `retries`.
    pub retries: Option<crate::istio::Retries>,
    /// `targetPort`; absent: the port.
    pub target_port: Option<crate::TargetPort>,
    /// `appProtocol`.
    pub app_protocol: Option<String>,
    /// The same fields as a VirtualService's rule, without destinations.
    pub rule: Option<crate::istio::HttpRoute>,
    /// `trafficPolicy`, of the primary and of the canary.
    pub traffic_policy: Option<crate::istio::TrafficPolicy>,
}

/// `analysis`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanaryAnalysis {
    /// Where it begins.
    pub at: Option<Location>,
    /// `interval`; absent: 60 s; at least 10 s.
    pub interval: Option<Located<Nanos>>,
    /// `threshold`: failed checks before it is rolled back; absent or 0: 1.
    pub threshold: Option<Located<u32>>,
    /// `maxWeight`; absent: 100.
    pub max_weight: Option<Located<u32>>,
    /// `stepWeight`.
    pub step_weight: Option<Located<u32>>,
    /// `stepWeights`; the last is the greatest.
    pub step_weights: Vec<u32>,
    /// `stepWeightPromotion`; absent: in one jump.
    pub step_weight_promotion: Option<Located<u32>>,
    /// `iterations`, for blue/green and A/B.
    pub iterations: Option<Located<u32>>,
    /// `mirror`.
    pub mirror: bool,
    /// What it is judged by.
    pub metrics: Vec<CanaryMetric>,
    /// `match`: whose requests go to it (A/B testing).
    pub has_match: bool,
}

/// What a canary is judged by.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryMetric {
    /// Its name; `request-success-rate` and `request-duration` are built in (`FL-4`).
    pub name: Located<String>,
    /// `interval`: the window; absent: 1 m.
    pub interval: Option<Located<Nanos>>,
    /// `thresholdRange.min`.
    pub min: Option<f64>,
    /// `thresholdRange.max`.
    pub max: Option<f64>,
    /// `threshold`, where there is no range: the least of the success rate, the most of anything else.
    pub threshold: Option<f64>,
    /// `templateRef`: namespace, where it is written, and name.
    pub template: Option<(Option<String>, String)>,
    /// `query`.
    pub query: Option<String>,
}

/// Flagger: a query of the user's own (`flagger.app/v1beta1.MetricTemplate`).
#[derive(Clone, Debug, PartialEq)]
pub struct MetricTemplate {
    /// Its name and place.
    pub meta: Meta,
    /// `provider.type`, such as `prometheus`.
    pub provider: String,
    /// `query`, with `{{ namespace }}`, `{{ target }}` and `{{ interval }}` in it.
    pub query: Located<String>,
}

/// What happens at a tick of a canary's clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tick {
    /// The new version is scaled up.
    ScaleUp,
    /// The canary gets this weight.
    Weight(u32),
    /// The same weight for another iteration.
    Iterate,
    /// The new version is copied to the primary.
    Copy,
    /// The primary gets this weight back.
    Promote(u32),
    /// The canary is scaled to nothing.
    Finish,
}

impl CanaryAnalysis {
    /// The time between two ticks.
    pub fn interval(&self) -> Nanos {
        let written = self.interval.as_ref().map_or(Nanos::from_secs(60), |interval| interval.value);
        written.max(Nanos::from_secs(10))
    }

    /// Failed checks before it is rolled back.
    pub fn threshold(&self) -> u32 {
        self.threshold.as_ref().map(|threshold| threshold.value).filter(|n| *n > 0).unwrap_or(1)
    }

    /// The weights of the canary, in order (`FL-3`).
    pub fn weights(&self) -> Vec<u32> {
        if !self.step_weights.is_empty() {
            return self.step_weights.iter().map(|weight| (*weight).min(100)).collect();
        }
        let most = self.max_weight.as_ref().map(|weight| weight.value).filter(|n| *n > 0).unwrap_or(100).min(100);
        let step = self.step_weight.as_ref().map_or(0, |step| step.value);
        if step == 0 {
            return Vec::new();
        }
        let mut weights = Vec::new();
        let mut weight: u32 = 0;
        // The last step may go beyond the greatest weight, but not beyond everything (F: `runCanary`).
        while weight < most {
            weight = weight.saturating_add(step).min(100);
            weights.push(weight);
        }
        weights
    }

    /// The ticks of a canary that never fails: scale-up, weights or iterations, copy, promotion, end (`FL-3`).
    pub fn ticks(&self) -> Vec<Tick> {
        let mut ticks = vec![Tick::ScaleUp];
        match self.iterations.as_ref().filter(|iterations| iterations.value > 0) {
            Some(iterations) => ticks.extend((0..iterations.value).map(|_| Tick::Iterate)),
            None => ticks.extend(self.weights().into_iter().map(Tick::Weight)),
        }
        ticks.push(Tick::Copy);
        match self.step_weight_promotion.as_ref().map(|step| step.value).filter(|step| *step > 0) {
            Some(step) => {
                // The primary goes on from what it has left (F: `runPromotionTrafficShift`).
                let mut weight = 100 - self.weights().last().copied().unwrap_or(0);
                while weight < 100 {
                    weight = weight.saturating_add(step).min(100);
                    ticks.push(Tick::Promote(weight));
                }
            }
            None => ticks.push(Tick::Promote(100)),
        }
        ticks.push(Tick::Finish);
        ticks
    }

    /// The least time from a new version to its end (`FL-4`).
    pub fn least_time(&self) -> Nanos {
        self.interval().times(self.ticks().len() as u64 - 1)
    }

    /// The longest time from the first failed check to the end of a canary that keeps failing: the threshold is
    /// looked at before the checks of a tick, so that it ends one tick later (`FL-3`, `FL-4`).
    pub fn rollback_time(&self) -> Nanos {
        self.interval().times(u64::from(self.threshold()) + 1)
    }

    /// Exposure to a canary that fails from its first weight on, as percent times seconds: it stays at that weight
    /// until it is rolled back (`FL-3`). The first weight is set without a check.
    pub fn exposure(&self) -> u64 {
        let first = self.weights().first().copied().unwrap_or(100);
        u64::from(first) * (self.rollback_time().get() / 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::located;

    fn analysis() -> CanaryAnalysis {
        CanaryAnalysis {
            step_weight: Some(located(10)),
            max_weight: Some(located(50)),
            threshold: Some(located(5)),
            ..CanaryAnalysis::default()
        }
    }

    #[test]
    fn t50_fl3_the_ticks_of_a_canary() {
        let analysis = analysis();
        assert_eq!(
            analysis.ticks(),
            [
                Tick::ScaleUp,
                Tick::Weight(10),
                Tick::Weight(20),
                Tick::Weight(30),
                Tick::Weight(40),
                Tick::Weight(50),
                Tick::Copy,
                Tick::Promote(100),
                Tick::Finish,
            ],
            "T50"
        );
        assert_eq!(analysis.least_time(), Nanos::from_secs(8 * 60), "T50 FL-4");
        assert_eq!(analysis.rollback_time(), Nanos::from_secs(6 * 60), "T50 FL-3");
        assert_eq!(analysis.exposure(), 10 * 360, "T50");
    }

    #[test]
    fn fl2_defaults() {
        let plain = CanaryAnalysis { step_weight: Some(located(30)), ..CanaryAnalysis::default() };
        assert_eq!((plain.interval(), plain.threshold()), (Nanos::from_secs(60), 1), "FL-2");
        assert_eq!(plain.weights(), [30, 60, 90, 100], "FL-2");
        let short = CanaryAnalysis { interval: Some(located(Nanos::from_secs(1))), ..analysis() };
        assert_eq!(short.interval(), Nanos::from_secs(10), "FL-2 ten seconds at least");
        let listed = CanaryAnalysis { step_weights: vec![1, 5, 80], ..analysis() };
        assert_eq!(listed.weights(), [1, 5, 80], "FL-2 the last is the greatest");
        let blue_green = CanaryAnalysis { iterations: Some(located(3)), ..analysis() };
        assert_eq!(blue_green.ticks().iter().filter(|tick| **tick == Tick::Iterate).count(), 3);
        let slow = CanaryAnalysis { step_weight_promotion: Some(located(40)), ..analysis() };
        assert_eq!(slow.ticks()[7..], [Tick::Promote(90), Tick::Promote(100), Tick::Finish]);
        let uneven = CanaryAnalysis { step_weight: Some(located(20)), ..analysis() };
        assert_eq!(uneven.weights(), [20, 40, 60], "FL-3 the last step may go beyond the greatest weight");
    }
}
