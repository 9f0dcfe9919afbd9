//! Flagger: the ticks of a canary's clock (`FL-2`, `FL-3`; Flagger: `advanceCanary`).

use meshproof_model::delivery::{Check, FlaggerCourse, Release};

use super::{Ask, Decision, End, Entry, shown};

/// A canary on its way.
#[derive(Clone, Debug)]
pub(crate) struct Ticks<'p> {
    release: &'p Release,
    course: &'p FlaggerCourse,
    phase: Phase,
    weight: u32,
    /// How many of the weights it has had.
    steps: usize,
    failed: u32,
    /// Its pods are ready then, or those of the primary.
    ready_at: u64,
    /// When the clock ticks next.
    tick_at: u64,
}

/// Flagger's phases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    New,
    Progressing,
    /// The primary takes over the new version; `is_copied`: its pods do it already.
    Promoting {
        is_copied: bool,
    },
    Finalising,
    Ended,
}

impl<'p> Ticks<'p> {
    pub(super) const fn new(release: &'p Release, course: &'p FlaggerCourse) -> Self {
        Self { release, course, phase: Phase::New, weight: 0, steps: 0, failed: 0, ready_at: 0, tick_at: 0 }
    }

    pub(super) fn wake(&mut self, now: u64, ask: &mut Ask<'_>) -> Decision {
        let mut decision = Decision::default();
        if self.phase == (Phase::Promoting { is_copied: false }) && self.ready_at <= now {
            self.phase = Phase::Promoting { is_copied: true };
            decision.shift = Some((self.weight, true));
            self.tell(&mut decision, now, None, "the primary runs the new version".to_owned());
        }
        if self.tick_at <= now {
            self.tick_at = now.saturating_add(self.course.interval.get());
            self.tick(now, ask, &mut decision);
        }
        decision.next = (self.phase != Phase::Ended).then(|| match self.phase {
            Phase::Promoting { is_copied: false } => self.tick_at.min(self.ready_at),
            _ => self.tick_at,
        });
        decision
    }

    fn tick(&mut self, now: u64, ask: &mut Ask<'_>, decision: &mut Decision) {
        match self.phase {
            Phase::New => {
                self.phase = Phase::Progressing;
                self.ready_at = now.saturating_add(self.release.start_up.get());
                self.tell(decision, now, None, "the new version is scaled up".to_owned());
            }
            // It waits for pods without counting that as failed.
            Phase::Progressing | Phase::Promoting { .. } if now < self.ready_at => {}
            Phase::Progressing if self.course.skip_analysis => {
                decision.shift = Some((0, true));
                self.end(now, End::Promoted, "promoted without an analysis", decision);
            }
            Phase::Progressing if self.failed >= self.course.threshold => {
                self.weight = 0;
                decision.shift = Some((0, false));
                let reason = format!("rolled back: {} checks have failed", self.failed);
                self.end(now, End::RolledBack, &reason, decision);
            }
            Phase::Progressing => self.advance(now, ask, decision),
            Phase::Promoting { .. } => self.promote(now, decision),
            Phase::Finalising => self.end(now, End::Promoted, "promoted", decision),
            Phase::Ended => {}
        }
    }

    /// Checks, unless it has no requests yet; then the next weight, or the copy to the primary.
    fn advance(&mut self, now: u64, ask: &mut Ask<'_>, decision: &mut Decision) {
        if self.weight > 0 && !self.check(now, ask, decision) {
            self.failed += 1;
            return;
        }
        if let Some(weight) = self.course.weights.get(self.steps) {
            self.steps += 1;
            self.weight = *weight;
            decision.shift = Some((*weight, false));
            self.tell(decision, now, None, format!("the new version gets {weight} %"));
        } else if !self.course.weights.is_empty() {
            self.phase = Phase::Promoting { is_copied: false };
            self.ready_at = now.saturating_add(self.release.start_up.get());
            self.tell(decision, now, None, "the new version is copied to the primary".to_owned());
        }
    }

    /// The checks in order, up to the first that fails.
    fn check(&self, now: u64, ask: &mut Ask<'_>, decision: &mut Decision) -> bool {
        for check in &self.course.checks {
            let value = ask(&check.query).filter(|value| !value.is_nan());
            let is_good = value.is_some_and(|value| is_within(check, value));
            let word = if is_good { "good" } else { "bad" };
            self.tell(decision, now, Some(check.name.clone()), format!("{} is {word}", shown(value)));
            if !is_good {
                return false;
            }
        }
        true
    }

    /// Back to the primary, at once or in steps (Flagger: `runPromotionTrafficShift`).
    fn promote(&mut self, now: u64, decision: &mut Decision) {
        let next = self.course.promotion.iter().find(|weight| **weight < self.weight).copied().unwrap_or(0);
        self.weight = next;
        decision.shift = Some((next, true));
        if next == 0 {
            self.phase = Phase::Finalising;
        }
        self.tell(decision, now, None, format!("the primary gets {} %", 100 - next));
    }

    fn end(&mut self, now: u64, end: End, reason: &str, decision: &mut Decision) {
        self.phase = Phase::Ended;
        decision.end = Some(end);
        self.tell(decision, now, None, reason.to_owned());
    }

    fn tell(&self, decision: &mut Decision, at: u64, gate: Option<String>, reason: String) {
        decision.entries.push(Entry { at, weight: self.weight, gate, reason });
    }
}

/// Whether a value is in a check's range; lengths of time are whole milliseconds there.
fn is_within(check: &Check, value: f64) -> bool {
    let whole = |value: f64| if check.is_whole { libm::trunc(value) } else { value };
    let value = whole(value);
    check.min.is_none_or(|min| value >= whole(min)) && check.max.is_none_or(|max| value <= whole(max))
}
