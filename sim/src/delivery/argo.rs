//! Argo Rollouts: the steps of a canary (`AR-1` to `AR-6`).

use meshproof_model::delivery::{AnalysisPhase, ArgoCourse, Release, ReleaseStep};

use super::{Ask, Decision, End, Entry, analysis::Analysis};

/// A time that does not come.
const NEVER: u64 = u64::MAX;

/// A canary on its way through its steps.
#[derive(Clone, Debug)]
pub(crate) struct Steps<'p> {
    release: &'p Release,
    course: &'p ArgoCourse,
    /// The step that it is at; as many as there are: all are done.
    step: usize,
    weight: u32,
    state: State<'p>,
    background: Option<Analysis<'p>>,
    has_background: bool,
    /// Somebody has to let it go on, then; [`NEVER`]: nobody will.
    halted: Option<u64>,
    has_ended: bool,
}

/// What it waits for.
#[derive(Clone, Debug)]
enum State<'p> {
    /// Nothing: the step begins.
    Begins,
    /// Pods that start, for this weight.
    Pods { until: u64, weight: u32 },
    /// Time, or somebody.
    Pause { until: Option<u64> },
    /// An analysis.
    Analysis(Analysis<'p>),
    /// Old pods, until which the new ones keep their weight.
    Abort { until: u64, gate: String },
}

/// Whether a wake-up goes on to the next state.
enum Move {
    On,
    Wait,
}

impl<'p> Steps<'p> {
    pub(super) fn new(release: &'p Release, course: &'p ArgoCourse) -> Self {
        Self {
            release,
            course,
            step: 0,
            weight: 0,
            state: State::Begins,
            background: None,
            has_background: false,
            halted: None,
            has_ended: false,
        }
    }

    pub(super) fn wake(&mut self, now: u64, ask: &mut Ask<'_>) -> Decision {
        let mut decision = Decision::default();
        while !self.has_ended {
            if let Some(until) = self.halted {
                if until > now {
                    break;
                }
                self.halted = None;
                self.tell(&mut decision, now, None, "somebody lets it go on".to_owned());
            }
            self.beside(now, ask, &mut decision);
            if self.halted.is_none() && matches!(self.go(now, ask, &mut decision), Move::Wait) {
                break;
            }
        }
        decision.next = self.next().map(|next| next.max(now + 1));
        decision
    }

    fn next(&self) -> Option<u64> {
        if self.has_ended {
            return None;
        }
        if let Some(until) = self.halted {
            return Some(until).filter(|until| *until != NEVER);
        }
        let own = match &self.state {
            State::Begins => None,
            State::Pods { until, .. } | State::Abort { until, .. } => Some(*until),
            State::Pause { until } => *until,
            State::Analysis(analysis) => analysis.next(),
        };
        let beside = self.background.as_ref().and_then(Analysis::next);
        own.into_iter().chain(beside).min()
    }

    /// The analysis beside the steps.
    fn beside(&mut self, now: u64, ask: &mut Ask<'_>, decision: &mut Decision) {
        if let Some((from, metrics)) = &self.course.background
            && !self.has_background
            && self.step >= *from
        {
            self.has_background = true;
            self.background = Some(Analysis::new(metrics, now));
        }
        if matches!(self.state, State::Abort { .. }) {
            return;
        }
        let Some(mut analysis) = self.background.take() else { return };
        self.measure(&mut analysis, now, ask, decision);
        match analysis.phase() {
            (AnalysisPhase::Failed | AnalysisPhase::Error, gate) => self.abort(now, gate, decision),
            (AnalysisPhase::Inconclusive, gate) => self.halt(now, gate, decision),
            // Without a count it runs as long as the release; with one its end changes nothing.
            (AnalysisPhase::Running | AnalysisPhase::Successful, _) => self.background = Some(analysis),
        }
    }

    /// One move of the steps.
    fn go(&mut self, now: u64, ask: &mut Ask<'_>, decision: &mut Decision) -> Move {
        match std::mem::replace(&mut self.state, State::Begins) {
            State::Begins => {
                self.begin(now, decision);
                return Move::On;
            }
            State::Pods { until, weight } if until <= now => {
                self.weight = weight;
                decision.shift = Some((weight, false));
                let gate = self.step_name();
                self.step += 1;
                self.tell(decision, now, Some(gate), format!("the new version gets {weight} %"));
                return Move::On;
            }
            State::Pause { until: Some(until) } if until <= now => {
                self.step += 1;
                return Move::On;
            }
            State::Analysis(mut analysis) => {
                self.measure(&mut analysis, now, ask, decision);
                match analysis.phase() {
                    (AnalysisPhase::Running, _) => self.state = State::Analysis(analysis),
                    (AnalysisPhase::Successful, _) => {
                        self.step += 1;
                        return Move::On;
                    }
                    (AnalysisPhase::Inconclusive, gate) => {
                        self.step += 1;
                        self.halt(now, gate, decision);
                        return Move::On;
                    }
                    (AnalysisPhase::Failed | AnalysisPhase::Error, gate) => {
                        self.abort(now, gate, decision);
                        return Move::On;
                    }
                }
            }
            State::Abort { until, gate } if until <= now => {
                self.weight = 0;
                decision.shift = Some((0, false));
                decision.end = Some(End::RolledBack);
                self.has_ended = true;
                self.tell(decision, now, Some(gate), "rolled back: the new version gets nothing".to_owned());
                return Move::On;
            }
            waiting => self.state = waiting,
        }
        Move::Wait
    }

    /// The step begins that it has come to.
    fn begin(&mut self, now: u64, decision: &mut Decision) {
        match self.course.steps.get(self.step) {
            Some(ReleaseStep::Weight(weight)) => self.scale(now, *weight),
            Some(ReleaseStep::Pause(Some(time))) => {
                self.state = State::Pause { until: Some(now.saturating_add(time.get())) };
            }
            Some(ReleaseStep::Pause(None)) => {
                self.state = State::Pause { until: self.resumed(now) };
                self.tell(decision, now, Some(self.step_name()), "it waits for somebody".to_owned());
            }
            Some(ReleaseStep::Analysis(metrics)) => self.state = State::Analysis(Analysis::new(metrics, now)),
            // After the last step everything goes to the new version, which is the stable one then (`AR-3`).
            None if self.weight < 100 && self.step == self.course.steps.len() => self.scale(now, 100),
            None => {
                decision.end = Some(End::Promoted);
                self.has_ended = true;
                self.tell(decision, now, None, "promoted".to_owned());
            }
        }
    }

    /// Requests are sent to pods that are ready only (`AR-2`).
    fn scale(&mut self, now: u64, weight: u32) {
        let pods = |weight: u32, number: usize| {
            let stage = self.release.stage(weight, false).and_then(|stage| self.release.stages.get(stage));
            stage.map_or(0, |stage| stage.pods[number])
        };
        let grows = |number: usize| pods(weight, number) > pods(self.weight, number);
        let new = if grows(1) { self.release.start_up.get() } else { 0 };
        let old = if grows(0) { self.release.old_start_up.get() } else { 0 };
        self.state = State::Pods { until: now.saturating_add(new.max(old)), weight };
    }

    /// The weight goes back at once (`AR-6`); where old pods were taken away, once they are back (Argo:
    /// `dynamicStableScale`).
    fn abort(&mut self, now: u64, gate: Option<&str>, decision: &mut Decision) {
        let gate = gate.unwrap_or_default().to_owned();
        self.background = None;
        let until = if self.course.dynamic_stable_scale && self.weight > 0 {
            self.tell(decision, now, Some(gate.clone()), "aborted: old pods start again".to_owned());
            now.saturating_add(self.release.old_start_up.get())
        } else {
            now
        };
        self.state = State::Abort { until, gate };
    }

    /// An analysis that says nothing is for a person to judge (`AR-6`).
    fn halt(&mut self, now: u64, gate: Option<&str>, decision: &mut Decision) {
        self.background = None;
        self.halted = Some(self.resumed(now).unwrap_or(NEVER));
        self.tell(decision, now, gate.map(str::to_owned), "inconclusive: it waits for somebody".to_owned());
    }

    /// When somebody lets it go on next.
    fn resumed(&self, now: u64) -> Option<u64> {
        self.release.resume.iter().map(|at| at.get()).filter(|at| *at > now).min()
    }

    fn measure(&self, analysis: &mut Analysis<'p>, now: u64, ask: &mut Ask<'_>, decision: &mut Decision) {
        for (metric, _, words) in analysis.measure(now, ask) {
            self.tell(decision, now, Some(metric), words);
        }
    }

    fn step_name(&self) -> String {
        if self.step < self.course.steps.len() { format!("step {}", self.step + 1) } else { "last step".to_owned() }
    }

    fn tell(&self, decision: &mut Decision, at: u64, gate: Option<String>, reason: String) {
        decision.entries.push(Entry { at, weight: self.weight, gate, reason });
    }
}
