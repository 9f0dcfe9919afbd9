//! Argo Rollouts: an analysis while it is made (`AR-5`).

use meshproof_model::delivery::{AnalysisPhase, Measured, Measurement};

use super::{Ask, shown};

/// Where a measurement could not be made and no interval is written, it is made again after this (Argo:
/// `DefaultErrorRetryInterval`).
const RETRY: u64 = 10_000_000_000;
/// BOUND: measurements of one metric are not nearer to each other.
const LEAST: u64 = 100_000_000;

/// An analysis that has begun.
#[derive(Clone, Debug)]
pub(super) struct Analysis<'p> {
    metrics: Vec<Progress<'p>>,
}

/// One metric of it.
#[derive(Clone, Debug)]
struct Progress<'p> {
    measured: &'p Measured,
    measurements: Vec<Measurement>,
    phase: AnalysisPhase,
    due: u64,
}

/// A measurement that was made: the metric, what it came to, and in words.
pub(super) type Made = (String, Measurement, String);

impl<'p> Analysis<'p> {
    pub(super) fn new(metrics: &'p [Measured], now: u64) -> Self {
        let begin = |measured: &'p Measured| Progress {
            measured,
            measurements: Vec::new(),
            phase: AnalysisPhase::Running,
            due: now.saturating_add(measured.metric.initial_delay.as_ref().map_or(0, |delay| delay.value.get())),
        };
        Self { metrics: metrics.iter().map(begin).collect() }
    }

    /// Makes what measurements are due.
    pub(super) fn measure(&mut self, now: u64, ask: &mut Ask<'_>) -> Vec<Made> {
        let mut made = Vec::new();
        for progress in self.metrics.iter_mut().filter(|progress| progress.is_due(now)) {
            made.push(progress.measure(now, ask));
        }
        made
    }

    /// What it has come to, and the metric that says so: as soon as one fails that counts, the others end; else when all
    /// have ended (Argo: `asssessRunStatus`, `IsTerminating`).
    pub(super) fn phase(&self) -> (AnalysisPhase, Option<&str>) {
        let judging = || self.metrics.iter().filter(|progress| !progress.measured.is_dry);
        let worst = judging().max_by_key(|progress| badness(progress.phase));
        match worst {
            Some(progress) if badness(progress.phase) > 1 => {
                (progress.phase, Some(progress.measured.metric.name.as_str()))
            }
            _ if self.metrics.iter().all(|progress| progress.phase != AnalysisPhase::Running) => {
                (AnalysisPhase::Successful, None)
            }
            _ => (AnalysisPhase::Running, None),
        }
    }

    /// When the next measurement is due.
    pub(super) fn next(&self) -> Option<u64> {
        let running = self.metrics.iter().filter(|progress| progress.phase == AnalysisPhase::Running);
        running.map(|progress| progress.due).min()
    }
}

/// Order of phases (Argo: `IsWorse`).
const fn badness(phase: AnalysisPhase) -> u8 {
    match phase {
        AnalysisPhase::Running => 0,
        AnalysisPhase::Successful => 1,
        AnalysisPhase::Inconclusive => 2,
        AnalysisPhase::Error => 3,
        AnalysisPhase::Failed => 4,
    }
}

impl Progress<'_> {
    fn is_due(&self, now: u64) -> bool {
        self.phase == AnalysisPhase::Running && self.due <= now
    }

    fn measure(&mut self, now: u64, ask: &mut Ask<'_>) -> Made {
        let Measured { metric, query, success, failure, .. } = self.measured;
        let value = ask(query);
        let holds = |condition: &Option<meshproof_model::delivery::Condition>| match condition {
            Some(condition) => condition.holds(value),
            None => Some(false),
        };
        let measurement = match (holds(success), holds(failure)) {
            (Some(success), Some(failure)) => metric.judge(success, failure),
            _ => Measurement::Error,
        };
        self.measurements.push(measurement);
        self.phase = metric.phase(&self.measurements);
        let pause = metric.interval.as_ref().map_or(RETRY, |interval| interval.value.get());
        self.due = now.saturating_add(pause.max(LEAST));
        let word = match measurement {
            Measurement::Success => "good",
            Measurement::Failure => "bad",
            Measurement::Inconclusive => "inconclusive",
            Measurement::Error => "an error",
        };
        (metric.name.clone(), measurement, format!("{} is {word}", shown(value)))
    }
}
