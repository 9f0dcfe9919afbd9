//! Argo Rollouts: AnalysisTemplate, and how its measurements are judged (`AR-5`, `AR-6`).

use crate::{Located, Location, Meta, Nanos};

/// Measurements that judge a new version.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysisTemplate {
    /// Its name and place; a `ClusterAnalysisTemplate` has no namespace.
    pub meta: Meta,
    /// What is measured.
    pub metrics: Vec<AnalysisMetric>,
    /// `dryRun`: metrics that never decide.
    pub dry_run: Vec<String>,
    /// `args`, with their values where they have one.
    pub args: Vec<(String, Option<String>)>,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct AnalysisMetric {
    /// Where it begins.
    pub at: Location,
    /// Its name.
    pub name: String,
    /// `interval`; absent: one measurement.
    pub interval: Option<Located<Nanos>>,
    /// `initialDelay`.
    pub initial_delay: Option<Located<Nanos>>,
    /// `count`; absent with an interval: until it is ended.
    pub count: Option<Located<u32>>,
    /// `failureLimit`; absent: 0; negative: off.
    pub failure_limit: Option<Located<i64>>,
    /// `inconclusiveLimit`; absent: 0; negative: off.
    pub inconclusive_limit: Option<Located<i64>>,
    /// `consecutiveErrorLimit`; absent: 4; negative: off.
    pub consecutive_error_limit: Option<Located<i64>>,
    /// `consecutiveSuccessLimit`; absent: 0, off.
    pub consecutive_success_limit: Option<Located<i64>>,
    /// `successCondition`.
    pub success_condition: Option<Located<String>>,
    /// `failureCondition`.
    pub failure_condition: Option<Located<String>>,
    /// `provider.prometheus.query`.
    pub query: Option<Located<String>>,
    /// Fields beside the query and the conditions whose values are arguments, such as `{{args.count}}`.
    pub arguments: Vec<String>,
}

/// What one measurement says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measurement {
    /// Good.
    Success,
    /// Bad.
    Failure,
    /// Neither.
    Inconclusive,
    /// It could not be made.
    Error,
}

/// What an analysis has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AnalysisPhase {
    /// Not yet.
    Running,
    /// The next step.
    Successful,
    /// Abort.
    Failed,
    /// A person decides.
    Inconclusive,
    /// Abort.
    Error,
}

impl AnalysisMetric {
    /// What a measured value says, of which each condition holds or not; `None`: there is none (`AR-5`).
    pub fn judge(&self, success: bool, failure: bool) -> Measurement {
        match (self.success_condition.is_some(), self.failure_condition.is_some()) {
            (_, true) if failure => Measurement::Failure,
            (true, _) if success => Measurement::Success,
            (true, false) => Measurement::Failure,
            (true, true) => Measurement::Inconclusive,
            (false, _) => Measurement::Success,
        }
    }

    /// What its measurements have come to, the oldest first (`AR-5`).
    pub fn phase(&self, measurements: &[Measurement]) -> AnalysisPhase {
        let limit =
            |written: &Option<Located<i64>>, default: i64| written.as_ref().map_or(default, |limit| limit.value);
        let count = |kind: Measurement| measurements.iter().filter(|measured| **measured == kind).count();
        let last = |kind: Measurement| measurements.iter().rev().take_while(|measured| **measured == kind).count();
        let exceeds = |number: usize, limit: i64| limit >= 0 && i64::try_from(number).unwrap_or(i64::MAX) > limit;
        if exceeds(last(Measurement::Error), limit(&self.consecutive_error_limit, 4)) {
            return AnalysisPhase::Error;
        }
        if exceeds(count(Measurement::Inconclusive), limit(&self.inconclusive_limit, 0)) {
            return AnalysisPhase::Inconclusive;
        }
        if exceeds(count(Measurement::Failure), limit(&self.failure_limit, 0)) {
            return AnalysisPhase::Failed;
        }
        let successes = limit(&self.consecutive_success_limit, 0);
        if successes > 0 && i64::try_from(last(Measurement::Success)).unwrap_or(i64::MAX) >= successes {
            return AnalysisPhase::Successful;
        }
        // Measurements that could not be made do not count towards the number.
        let made = measurements.len() - count(Measurement::Error);
        let wanted = match (&self.count, &self.interval) {
            (Some(count), _) if count.value > 0 => Some(count.value as usize),
            (_, None) => Some(1),
            _ => None,
        };
        match wanted {
            Some(wanted) if made >= wanted => AnalysisPhase::Successful,
            _ => AnalysisPhase::Running,
        }
    }

    /// The longest time until a version that always fails is found out (`AR-7`); `None`: never.
    pub fn detection(&self) -> Option<Nanos> {
        let limit = self.failure_limit.as_ref().map_or(0, |limit| limit.value);
        let failures = u64::try_from(limit).ok()? + 1;
        let interval = self.interval.as_ref().map_or(Nanos::ZERO, |interval| interval.value);
        let delay = self.initial_delay.as_ref().map_or(Nanos::ZERO, |delay| delay.value);
        let made = match (&self.count, &self.interval) {
            (Some(count), _) if count.value > 0 => u64::from(count.value),
            (_, None) => 1,
            _ => u64::MAX,
        };
        (failures <= made).then(|| delay + interval.times(failures))
    }
}

#[cfg(test)]
mod tests {
    use super::{AnalysisPhase::*, Measurement as M, *};
    use crate::delivery::tests::{here, located};

    fn metric() -> AnalysisMetric {
        AnalysisMetric {
            at: here(),
            name: "m".into(),
            interval: Some(located(Nanos::from_secs(60))),
            initial_delay: None,
            count: None,
            failure_limit: None,
            inconclusive_limit: None,
            consecutive_error_limit: None,
            consecutive_success_limit: None,
            success_condition: None,
            failure_condition: None,
            query: None,
            arguments: Vec::new(),
        }
    }

    #[test]
    fn ar5_conditions_judge_values() {
        let of = |success: bool, failure: bool| AnalysisMetric {
            success_condition: success.then(|| located(String::new())),
            failure_condition: failure.then(|| located(String::new())),
            ..metric()
        };
        for (metric, success, failure, expect) in [
            (of(true, false), true, false, M::Success),
            (of(true, false), false, false, M::Failure),
            (of(false, true), false, false, M::Success),
            (of(false, true), false, true, M::Failure),
            (of(true, true), false, false, M::Inconclusive),
            (of(true, true), true, true, M::Failure),
            (of(false, false), false, false, M::Success),
        ] {
            assert_eq!(metric.judge(success, failure), expect, "AR-5");
        }
    }

    #[test]
    fn ar5_limits_and_counts_decide() {
        let counted = AnalysisMetric { count: Some(located(3)), failure_limit: Some(located(1)), ..metric() };
        let (s, f, i, e) = (M::Success, M::Failure, M::Inconclusive, M::Error);
        for (metric, measured, expect) in [
            (metric(), vec![s, s, s], Running),
            (metric(), vec![f], Failed),
            (metric(), vec![i], Inconclusive),
            (metric(), vec![e; 4], Running),
            (metric(), vec![e; 5], Error),
            (metric(), vec![f, i, e, e, e, e, e], Error),
            (metric(), vec![f, i], Inconclusive),
            (counted.clone(), vec![s, f, s], Successful),
            (counted.clone(), vec![s, f, f], Failed),
            (counted.clone(), vec![s, e, s], Running),
            (AnalysisMetric { interval: None, ..metric() }, vec![s], Successful),
            (AnalysisMetric { failure_limit: Some(located(-1)), ..metric() }, vec![f; 9], Running),
            (AnalysisMetric { consecutive_success_limit: Some(located(2)), ..metric() }, vec![s, s], Successful),
        ] {
            assert_eq!(metric.phase(&measured), expect, "AR-5 {measured:?}");
        }
    }

    #[test]
    fn ar7_the_time_until_a_bad_version_is_found_out() {
        assert_eq!(metric().detection(), Some(Nanos::from_secs(60)));
        let late = AnalysisMetric {
            initial_delay: Some(located(Nanos::from_secs(30))),
            failure_limit: Some(located(2)),
            ..metric()
        };
        assert_eq!(late.detection(), Some(Nanos::from_secs(210)), "AR-7");
        let few = AnalysisMetric { count: Some(located(2)), failure_limit: Some(located(2)), ..metric() };
        assert_eq!(few.detection(), None, "AR-7 it has ended before");
    }
}
