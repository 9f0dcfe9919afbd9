//! A canary of Argo Rollouts as a line of time: which share of the requests it gets from when on, when it is measured,
//! and what becomes of it if it goes bad at some moment (`AR-1` to `AR-7`).

use meshproof_model::{
    Nanos,
    delivery::{AnalysisMetric, AnalysisTemplate, CanaryStrategy, Measurement, Rollout, StepAction},
};

use regex_automata::meta::Regex;

use super::{Ending, Fate};

/// What a Rollout does with a new build, with all that judges it.
#[derive(Clone, Debug)]
pub(super) struct Plan<'a> {
    /// One after the other.
    pub steps: Vec<Step<'a>>,
    /// What is measured beside the steps.
    pub background: Vec<Gate<'a>>,
    /// The step with which that begins.
    pub starting_step: usize,
}

/// One step of a plan.
#[derive(Clone, Debug)]
pub(super) enum Step<'a> {
    /// The build gets this share, in percent.
    Share(u32),
    /// So long nothing changes; `None`: until somebody goes on.
    Pause(Option<Nanos>),
    /// Until all of these have succeeded.
    Analysis(Vec<Gate<'a>>),
}

/// A metric that decides.
#[derive(Clone, Debug)]
pub(super) struct Gate<'a> {
    /// It.
    pub metric: &'a AnalysisMetric,
    /// What its arguments are given, the nearest first.
    pub args: Vec<(String, String)>,
    /// Whether a measurement of a build that is bad fails.
    pub fails: bool,
}

impl<'a> Gate<'a> {
    /// Of a metric that sees what is bad, if anything can fail at all.
    pub(super) fn of(metric: &'a AnalysisMetric) -> Self {
        Self { metric, args: Vec::new(), fails: metric.judge(false, true) == Measurement::Failure }
    }
}

/// From when on a build fails every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bad {
    /// From this moment on: a measurement at it sees that already.
    From(Nanos),
    /// Right after a measurement at this moment.
    After(Nanos),
}

/// What one metric does with a build.
enum Verdict {
    Passed(Nanos),
    Aborted(Nanos),
    /// It goes on for as long as it may.
    Open,
}

impl<'a> Plan<'a> {
    /// Of a Rollout; `None`: a template is not among the manifests, or its interval is an argument.
    pub(super) fn of(rollout: &Rollout, canary: &'a CanaryStrategy, all: &'a [AnalysisTemplate]) -> Option<Self> {
        let namespace = rollout.meta.namespace();
        let replicas = rollout.replicas.as_ref().map_or(1, |replicas| replicas.value);
        let several = |names: &mut dyn Iterator<Item = &str>, args: &[(String, String)]| -> Option<Vec<Gate<'a>>> {
            let found: Option<Vec<_>> = names.map(|name| gates(all, namespace, name, args)).collect();
            Some(found?.into_iter().flatten().collect())
        };
        let mut steps = Vec::new();
        for step in &canary.steps {
            steps.push(match &step.action {
                StepAction::Weight(weight) => Step::Share(share(canary, replicas, *weight)),
                StepAction::Pause(time) => Step::Pause(*time),
                StepAction::Analysis(names) => {
                    Step::Analysis(several(&mut names.iter().map(String::as_str), &step.args)?)
                }
                // Changes nobody's share by itself.
                StepAction::Other(_) => Step::Pause(Some(Nanos::ZERO)),
            });
        }
        let names = &mut canary.background.iter().map(|name| name.value.as_str());
        let background = several(names, &canary.background_args)?;
        let starting_step = canary.starting_step.as_ref().map_or(0, |step| step.value as usize);
        Some(Self { steps, background, starting_step })
    }

    /// The same plan, where those metrics fail a bad build of which this is said.
    pub(super) fn failing(mut self, fails: impl Fn(&Gate<'a>) -> bool) -> Self {
        let inline = self.steps.iter_mut().flat_map(|step| match step {
            Step::Analysis(gates) => gates.as_mut_slice(),
            Step::Share(_) | Step::Pause(_) => &mut [],
        });
        for gate in self.background.iter_mut().chain(inline) {
            gate.fails = fails(gate);
        }
        self
    }

    /// Whether anything is measured.
    pub(super) fn is_measured(&self) -> bool {
        !self.gates().is_empty()
    }

    /// Everything that is measured.
    pub(super) fn gates(&self) -> Vec<&Gate<'a>> {
        let inline = self.steps.iter().flat_map(|step| match step {
            Step::Analysis(gates) => gates.as_slice(),
            Step::Share(_) | Step::Pause(_) => &[],
        });
        self.background.iter().chain(inline).collect()
    }

    /// Whether more is measured before the last change of its share than is gone through.
    pub(super) fn is_too_long(&self) -> bool {
        let (line, _) = self.steps_without(None);
        let last = line.last().map_or(Nanos::ZERO, |(from, _)| *from);
        self.gates().into_iter().map(|gate| gate.metric).any(|metric| {
            wanted(metric).is_none_or(|most| most > LOOKS_MAX as u64)
                && moment(metric, Nanos::ZERO, LOOKS_MAX as u64) < last
        })
    }

    /// What becomes of a build that is bad from its first request on.
    pub(super) fn bad_from_the_start(&self) -> Fate {
        self.fate(Bad::From(self.first_request()))
    }

    /// The greatest exposure to a build that goes bad at some moment and is taken back for it, over all moments; that
    /// is, right after some measurement, as a later moment leaves less. `None`: none is taken back.
    pub(super) fn worst_caught(&self) -> Option<Fate> {
        self.fates().filter(|fate| matches!(fate.ending, Ending::Aborted(_))).max_by_key(|fate| fate.exposure)
    }

    /// A build's fate for each moment to go bad at that could be the worst.
    pub(super) fn fates(&self) -> impl Iterator<Item = Fate> {
        let first = self.first_request();
        let after = self.looks().into_iter().filter(move |look| *look >= first).map(Bad::After);
        [Bad::From(first)].into_iter().chain(after).map(|bad| self.fate(bad))
    }

    /// When the first request goes to the build.
    fn first_request(&self) -> Nanos {
        let (line, _) = self.steps_without(None);
        line.iter().find(|(_, share)| *share > 0).map_or(Nanos::ZERO, |(from, _)| *from)
    }

    /// What becomes of a build that goes bad.
    fn fate(&self, bad: Bad) -> Fate {
        let (line, ending) = self.steps_without(Some(bad));
        let begins = self.background_begins(Some(bad));
        // What is measured at a moment has seen the share before it.
        let seen = |(from, share): &(Nanos, u32)| (after(*from).max(bad.begins()), *share > 0);
        let seen: Vec<(Nanos, bool)> = line.iter().map(seen).collect();
        let abort = self.background.iter().filter_map(|gate| match judge(gate, begins?, &seen) {
            Verdict::Aborted(at) => Some(at),
            Verdict::Passed(_) | Verdict::Open => None,
        });
        let ending = match (abort.min(), ending) {
            (Some(at), Ending::Aborted(step)) => Ending::Aborted(at.min(step)),
            (Some(at), Ending::Promoted(end)) if at <= end => Ending::Aborted(at),
            (Some(at), Ending::Waits) => Ending::Aborted(at),
            (_, ending) => ending,
        };
        Fate::of(&line, bad.moment(), ending)
    }

    /// The shares that the steps give, and how they end, without what is measured beside them. No build at all is one
    /// that never goes bad.
    fn steps_without(&self, bad: Option<Bad>) -> (Vec<(Nanos, u32)>, Ending) {
        let (mut clock, mut line) = (Nanos::ZERO, vec![(Nanos::ZERO, 0)]);
        for step in &self.steps {
            match step {
                Step::Share(share) => line.push((clock, *share)),
                Step::Pause(Some(time)) => clock = clock + *time,
                Step::Pause(None) => return (line, Ending::Waits),
                Step::Analysis(gates) => {
                    let is_exposed = line.last().is_some_and(|(_, share)| *share > 0);
                    let seen: Vec<(Nanos, bool)> = bad.iter().map(|bad| (bad.begins(), is_exposed)).collect();
                    match judge_all(gates, clock, &seen) {
                        Verdict::Passed(at) => clock = at,
                        Verdict::Aborted(at) => return (line, Ending::Aborted(at)),
                        Verdict::Open => return (line, Ending::Waits),
                    }
                }
            }
        }
        (line, Ending::Promoted(clock))
    }

    /// When what is measured beside the steps begins, if it does.
    fn background_begins(&self, bad: Option<Bad>) -> Option<Nanos> {
        let before = Self { steps: self.steps.iter().take(self.starting_step).cloned().collect(), ..self.clone() };
        match before.steps_without(bad).1 {
            Ending::Promoted(at) => Some(at),
            Ending::Aborted(_) | Ending::Waits => None,
        }
    }

    /// When a build is measured that never goes bad; of endless measurements the first ones, after which all are alike.
    fn looks(&self) -> Vec<Nanos> {
        let (mut clock, mut looks) = (Nanos::ZERO, Vec::new());
        for step in &self.steps {
            match step {
                Step::Share(_) => {}
                Step::Pause(Some(time)) => clock = clock + *time,
                Step::Pause(None) => break,
                Step::Analysis(gates) => {
                    looks.extend(gates.iter().flat_map(|gate| measured(gate.metric, clock).take(LOOKS_MAX)));
                    match judge_all(gates, clock, &[]) {
                        Verdict::Passed(at) => clock = at,
                        Verdict::Aborted(_) | Verdict::Open => break,
                    }
                }
            }
        }
        let ending = self.steps_without(None).1;
        let until = |look: &Nanos| ending == Ending::Waits || *look <= clock;
        let beside = self.background_begins(None).into_iter().flat_map(|begins| {
            self.background.iter().flat_map(move |gate| measured(gate.metric, begins).take(LOOKS_MAX).take_while(until))
        });
        looks.extend(beside);
        looks.sort_unstable();
        looks.dedup();
        looks
    }
}

// BOUND: measurements of one metric after which the build may go bad; a rollout with more is judged by the first.
const LOOKS_MAX: usize = 2_000;

impl Bad {
    /// The first moment at which a measurement finds the build bad.
    fn begins(self) -> Nanos {
        match self {
            Self::From(from) => from,
            Self::After(at) => after(at),
        }
    }

    fn moment(self) -> Nanos {
        match self {
            Self::From(at) | Self::After(at) => at,
        }
    }
}

/// The next moment.
fn after(at: Nanos) -> Nanos {
    Nanos::new(at.get().saturating_add(1))
}

/// The share that a weight means: without traffic routing, that of the pods.
fn share(canary: &CanaryStrategy, replicas: u32, weight: u32) -> u32 {
    if canary.traffic.is_some() { weight.min(100) } else { canary.counts(replicas, weight).share() }
}

/// The metrics of a template that decide; `None`: it is not there, or numbers of it are arguments.
fn gates<'a>(
    all: &'a [AnalysisTemplate],
    namespace: &str,
    name: &str,
    args: &[(String, String)],
) -> Option<Vec<Gate<'a>>> {
    let is_meant = |template: &&AnalysisTemplate| {
        let own = template.meta.namespace();
        template.meta.name() == name && (own.is_empty() || own == namespace)
    };
    let template = all.iter().find(is_meant)?;
    // Argo matches names of `dryRun` as regular expressions.
    let is_dry = |dry: &String, name: &str| {
        dry == "*" || dry == name || Regex::new(dry).is_ok_and(|pattern| pattern.is_match(name))
    };
    let decides = |metric: &&AnalysisMetric| !template.dry_run.iter().any(|dry| is_dry(dry, &metric.name));
    let found: Vec<_> = template.metrics.iter().filter(decides).collect();
    let is_known = |metric: &&AnalysisMetric| {
        let is_timed = metric.interval.is_some() || metric.count.as_ref().is_none_or(|count| count.value <= 1);
        is_timed && metric.arguments.is_empty()
    };
    let defaults = template.args.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?)));
    let args: Vec<(String, String)> = args.iter().cloned().chain(defaults).collect();
    let gate = |metric: &&'a AnalysisMetric| Gate { args: args.clone(), ..Gate::of(metric) };
    found.iter().all(is_known).then(|| found.iter().map(gate).collect())
}

/// When a metric is measured: at once or after its delay, then at its interval.
fn measured(metric: &AnalysisMetric, begins: Nanos) -> impl Iterator<Item = Nanos> {
    (1..=wanted(metric).unwrap_or(u64::MAX)).map(move |number| moment(metric, begins, number))
}

/// When a metric is measured for the first time, the second, ….
fn moment(metric: &AnalysisMetric, begins: Nanos, number: u64) -> Nanos {
    let delay = metric.initial_delay.as_ref().map_or(Nanos::ZERO, |delay| delay.value);
    let interval = metric.interval.as_ref().map_or(Nanos::ZERO, |interval| interval.value);
    begins + delay + interval.times(number.saturating_sub(1))
}

/// How often a metric is measured; `None`: for as long as it may.
fn wanted(metric: &AnalysisMetric) -> Option<u64> {
    match (&metric.count, &metric.interval) {
        (Some(count), _) if count.value > 0 => Some(count.value.into()),
        (_, Some(interval)) if !interval.value.is_zero() => None,
        _ => Some(1),
    }
}

/// All metrics of one analysis: the first that aborts does, else the last that passes.
fn judge_all(gates: &[Gate<'_>], begins: Nanos, seen: &[(Nanos, bool)]) -> Verdict {
    let verdicts: Vec<Verdict> = gates.iter().map(|gate| judge(gate, begins, seen)).collect();
    let abort = verdicts.iter().filter_map(|verdict| match verdict {
        Verdict::Aborted(at) => Some(*at),
        Verdict::Passed(_) | Verdict::Open => None,
    });
    if let Some(at) = abort.min() {
        return Verdict::Aborted(at);
    }
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Open)) {
        return Verdict::Open;
    }
    let passed = verdicts.iter().map(|verdict| match verdict {
        Verdict::Passed(at) => *at,
        Verdict::Aborted(_) | Verdict::Open => begins,
    });
    Verdict::Passed(passed.max().unwrap_or(begins))
}

/// One metric of a build whose measurements are good at first, then as `seen` says from each moment on: `true` is bad.
/// Where two have the same moment, the later one counts.
fn judge(gate: &Gate<'_>, begins: Nanos, seen: &[(Nanos, bool)]) -> Verdict {
    let metric = gate.metric;
    let limit = |written: &Option<meshproof_model::Located<i64>>| written.as_ref().map_or(0, |limit| limit.value);
    let failures = u64::try_from(limit(&metric.failure_limit)).ok().map(|limit| limit.saturating_add(1));
    let successes = u64::try_from(limit(&metric.consecutive_success_limit)).ok().filter(|limit| *limit > 0);
    let most = wanted(metric);
    let at = |number: u64| moment(metric, begins, number);
    let (mut made, mut failed, mut in_a_row) = (0, 0, 0);
    let findings = [false].into_iter().chain(seen.iter().map(|(_, is_bad)| *is_bad && gate.fails));
    let until = seen.iter().map(|(from, _)| *from).chain([Nanos::new(u64::MAX)]);
    for (is_bad, until) in findings.zip(until) {
        let run = measured_before(metric, begins, until).saturating_sub(made);
        if run == 0 {
            continue;
        }
        // The measurement of the run that is one too many, or the one that is enough.
        match (is_bad, failures, successes) {
            (true, Some(limit), _) if limit - failed <= run => return Verdict::Aborted(at(made + limit - failed)),
            (false, _, Some(limit)) if limit - in_a_row <= run => return Verdict::Passed(at(made + limit - in_a_row)),
            (true, ..) => (failed, in_a_row) = (failed + run, 0),
            (false, ..) => in_a_row += run,
        }
        made += run;
        if most == Some(made) {
            return Verdict::Passed(at(made));
        }
    }
    Verdict::Open
}

/// How many measurements of a metric are made before a moment.
fn measured_before(metric: &AnalysisMetric, begins: Nanos, until: Nanos) -> u64 {
    let interval = metric.interval.as_ref().map_or(0, |interval| interval.value.get());
    let time = until.get().saturating_sub(moment(metric, begins, 1).get());
    let made = if interval == 0 { time.saturating_mul(u64::MAX) } else { time.div_ceil(interval) };
    made.min(wanted(metric).unwrap_or(u64::MAX))
}
