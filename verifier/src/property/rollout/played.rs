//! A rollout of Argo played event by event, as a second opinion on how it ends: every measurement that is made is put to
//! `AnalysisMetric::phase`, as the controller does it (`AR-5`, `AR-6`).

use meshproof_model::{
    Nanos,
    delivery::{AnalysisPhase, Measurement},
};

use super::{
    Ending,
    argo::{Bad, Gate, Plan, Step},
};

// BOUND: moments at which something happens; longer rollouts are not played.
const MOMENTS_MAX: usize = 500;

/// How a bad build ends; `None`: it takes too long to tell.
pub(super) fn ending(plan: &Plan<'_>, bad: Bad) -> Option<Ending> {
    let mut player =
        Player { plan, bad, now: Nanos::ZERO, step: 0, entered: Nanos::ZERO, share: 0, inline: None, background: None };
    for _ in 0..MOMENTS_MAX {
        if let Some(ending) = player.moment() {
            return Some(ending);
        }
        match player.next() {
            Some(next) => player.now = next,
            None => return Some(Ending::Waits),
        }
    }
    None
}

struct Player<'p, 'a> {
    plan: &'p Plan<'a>,
    bad: Bad,
    now: Nanos,
    step: usize,
    /// Since when it is at that step.
    entered: Nanos,
    share: u32,
    inline: Option<Analysis<'p, 'a>>,
    background: Option<Analysis<'p, 'a>>,
}

/// An analysis that has begun, with the measurements of each metric.
struct Analysis<'p, 'a> {
    begins: Nanos,
    gates: &'p [Gate<'a>],
    made: Vec<Vec<Measurement>>,
    /// Where each metric has come to.
    phases: Vec<AnalysisPhase>,
}

impl Player<'_, '_> {
    /// What happens at a moment.
    fn moment(&mut self) -> Option<Ending> {
        let before = self.share;
        let ending = self.steps();
        let is_bad = self.is_bad() && before > 0;
        if let Some(analysis) = &mut self.background {
            analysis.measure(self.now, is_bad);
            if analysis.phases.contains(&AnalysisPhase::Failed) {
                return Some(Ending::Aborted(self.now));
            }
        }
        ending
    }

    fn steps(&mut self) -> Option<Ending> {
        loop {
            if self.step == self.plan.starting_step && self.background.is_none() {
                self.background = Some(Analysis::new(&self.plan.background, self.now));
            }
            match self.plan.steps.get(self.step) {
                None => return Some(Ending::Promoted(self.now)),
                Some(Step::Share(share)) => self.share = *share,
                Some(Step::Pause(None)) => return None,
                Some(Step::Pause(Some(time))) if self.now < self.entered + *time => return None,
                Some(Step::Pause(Some(_))) => {}
                Some(Step::Analysis(gates)) => {
                    let is_bad = self.is_bad() && self.share > 0;
                    let analysis = self.inline.get_or_insert_with(|| Analysis::new(gates, self.now));
                    analysis.measure(self.now, is_bad);
                    if analysis.phases.contains(&AnalysisPhase::Failed) {
                        return Some(Ending::Aborted(self.now));
                    }
                    if analysis.phases.iter().any(|phase| *phase != AnalysisPhase::Successful) {
                        return None;
                    }
                    self.inline = None;
                }
            }
            self.step += 1;
            self.entered = self.now;
        }
    }

    fn is_bad(&self) -> bool {
        match self.bad {
            Bad::From(from) => self.now >= from,
            Bad::After(after) => self.now > after,
        }
    }

    /// When something happens next; `None`: nothing does.
    fn next(&self) -> Option<Nanos> {
        let pause = match self.plan.steps.get(self.step) {
            Some(Step::Pause(Some(time))) => Some(self.entered + *time),
            _ => None,
        };
        let due = self.inline.iter().chain(&self.background).filter_map(Analysis::due);
        pause.into_iter().chain(due).min()
    }
}

impl<'p, 'a> Analysis<'p, 'a> {
    fn new(gates: &'p [Gate<'a>], begins: Nanos) -> Self {
        let phases = vec![AnalysisPhase::Running; gates.len()];
        Self { begins, gates, made: vec![Vec::new(); gates.len()], phases }
    }

    /// When a metric that still runs is measured next.
    fn due(&self) -> Option<Nanos> {
        let running = self.gates.iter().zip(&self.made).zip(&self.phases);
        let running = running.filter(|(_, phase)| **phase == AnalysisPhase::Running);
        running.filter_map(|((gate, made), _)| self.moment(gate, made.len())).min()
    }

    /// When a metric is measured once more after so many times.
    fn moment(&self, gate: &Gate<'_>, made: usize) -> Option<Nanos> {
        let time =
            |time: &Option<meshproof_model::Located<Nanos>>| time.as_ref().map_or(Nanos::ZERO, |time| time.value);
        let interval = time(&gate.metric.interval);
        let pauses = interval.times(made as u64);
        (made == 0 || !interval.is_zero()).then(|| self.begins + time(&gate.metric.initial_delay) + pauses)
    }

    fn measure(&mut self, now: Nanos, is_bad: bool) {
        for (number, gate) in self.gates.iter().enumerate() {
            let is_due = self.moment(gate, self.made[number].len()).is_some_and(|due| due <= now);
            if is_due && self.phases[number] == AnalysisPhase::Running {
                let fails = is_bad && gate.fails;
                self.made[number].push(if fails { Measurement::Failure } else { Measurement::Success });
                self.phases[number] = gate.metric.phase(&self.made[number]);
            }
        }
    }
}
