#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use meshproof_model::{
    Located,
    delivery::{AnalysisPhase, CanaryAnalysis},
};

use super::{
    argo::{Bad, Gate, Plan, Step},
    *,
};
use crate::{graph::Graph, testing::Draws};

fn at<T>(value: T) -> Located<T> {
    Located::new(value, Graph::place(1))
}

fn seconds(count: u64) -> Nanos {
    Nanos::from_secs(count)
}

fn metric(draws: &mut Draws) -> AnalysisMetric {
    let mut some = |percent: u64, most: u64| draws.chance(percent).then(|| draws.below(most));
    let count = some(60, 4).map(|count| count as u32 + 1);
    // A measurement that is made more than once has an interval.
    let interval = if count.is_some_and(|count| count > 1) { Some(some(100, 3).unwrap() + 1) } else { some(60, 3) };
    let interval = interval.map(|interval| interval.max(1));
    AnalysisMetric {
        at: Graph::place(1),
        name: "m".into(),
        interval: interval.map(|time| at(seconds(time))),
        initial_delay: some(30, 3).map(|time| at(seconds(time))),
        count: count.map(at),
        failure_limit: some(50, 4).map(|limit| at(limit.cast_signed() - 1)),
        inconclusive_limit: None,
        consecutive_error_limit: None,
        consecutive_success_limit: some(15, 3).map(|limit| at(limit.cast_signed())),
        success_condition: some(80, 1).map(|_| at(String::new())),
        failure_condition: some(30, 1).map(|_| at(String::new())),
        query: None,
        arguments: Vec::new(),
    }
}

/// Plays a plan second by second: what is measured is put to `AnalysisMetric::phase` each time.
struct Player<'a> {
    plan: &'a Plan<'a>,
    bad: Bad,
    now: u64,
    step: usize,
    entered: u64,
    share: u32,
    line: Vec<u32>,
    background: Option<u64>,
    measured: Vec<Vec<Measurement>>,
    inline: Vec<Vec<Measurement>>,
}

const HORIZON: u64 = 120;

impl<'a> Player<'a> {
    fn play(plan: &'a Plan<'a>, bad: Bad) -> (Ending, Vec<u32>) {
        let mut player = Player {
            plan,
            bad,
            now: 0,
            step: 0,
            entered: 0,
            share: 0,
            line: Vec::new(),
            background: None,
            measured: vec![Vec::new(); plan.background.len()],
            inline: Vec::new(),
        };
        while player.now < HORIZON {
            if let Some(ending) = player.second() {
                return (ending, player.line);
            }
            player.line.push(player.share);
            player.now += 1;
        }
        (Ending::Waits, player.line)
    }

    fn is_bad(&self) -> bool {
        match self.bad {
            Bad::From(from) => seconds(self.now) >= from,
            Bad::After(after) => seconds(self.now) > after,
        }
    }

    /// What happens at the beginning of a second.
    fn second(&mut self) -> Option<Ending> {
        let before = self.share;
        let mut ending = None;
        loop {
            if self.step == self.plan.starting_step && self.background.is_none() {
                self.background = Some(self.now);
            }
            match self.plan.steps.get(self.step) {
                None => {
                    ending = Some(Ending::Promoted(seconds(self.now)));
                    break;
                }
                Some(Step::Share(share)) => self.share = *share,
                Some(Step::Pause(None)) => break,
                Some(Step::Pause(Some(time))) => {
                    if seconds(self.now - self.entered) < *time {
                        break;
                    }
                }
                Some(Step::Analysis(metrics)) => {
                    let bad = self.is_bad() && self.share > 0;
                    self.inline.resize(metrics.len(), Vec::new());
                    let mut all = true;
                    for (metric, made) in metrics.iter().map(|gate| gate.metric).zip(&mut self.inline) {
                        measure(metric, made, self.now, self.entered, bad);
                        match metric.phase(made) {
                            AnalysisPhase::Failed => ending = Some(Ending::Aborted(seconds(self.now))),
                            phase => all &= phase == AnalysisPhase::Successful,
                        }
                    }
                    if ending.is_some() || !all {
                        break;
                    }
                    self.inline.clear();
                }
            }
            self.step += 1;
            self.entered = self.now;
        }
        if let Some(begins) = self.background {
            let bad = self.is_bad() && before > 0;
            for (metric, made) in self.plan.background.iter().map(|gate| gate.metric).zip(&mut self.measured) {
                measure(metric, made, self.now, begins, bad);
                if metric.phase(made) == AnalysisPhase::Failed {
                    ending = Some(Ending::Aborted(seconds(self.now)));
                }
            }
        }
        ending
    }
}

/// Adds a measurement if one is due and the metric still runs.
fn measure(metric: &AnalysisMetric, made: &mut Vec<Measurement>, now: u64, begins: u64, bad: bool) {
    let time = |time: &Option<Located<Nanos>>| time.as_ref().map_or(0, |time| time.value.as_millis() / 1000);
    let since = (now - begins).checked_sub(time(&metric.initial_delay));
    let due = match (since, time(&metric.interval)) {
        (None, _) => false,
        (Some(since), 0) => since == 0,
        (Some(since), interval) => since % interval == 0,
    };
    // An empty list has no phase yet but Running, unless nothing is wanted.
    if due && (made.is_empty() || metric.phase(made) == AnalysisPhase::Running) {
        made.push(metric.judge(!bad, bad));
    }
}

/// Greatest share and exposure while a build is bad.
fn bad_part(ending: Ending, line: &[u32], since: Nanos) -> (u32, u64) {
    let from = (since.as_millis() / 1000) as usize;
    let part = line.get(from..).unwrap_or_default();
    let most = if matches!(ending, Ending::Promoted(_)) { 100 } else { part.iter().copied().max().unwrap_or(0) };
    (most, part.iter().map(|share| u64::from(*share) * 1000).sum())
}

/// A metric that is measured each second, with that count and limit.
fn each_second(count: Option<u32>, failure_limit: Option<i64>) -> AnalysisMetric {
    AnalysisMetric {
        interval: Some(at(seconds(1))),
        count: count.map(at),
        failure_limit: failure_limit.map(at),
        success_condition: Some(at(String::new())),
        failure_condition: None,
        initial_delay: None,
        consecutive_success_limit: None,
        ..metric(&mut Draws::new(1))
    }
}

#[test]
fn a_build_without_requests_is_not_found_bad() {
    let pause = |time: u64| Step::Pause(Some(seconds(time)));
    let (one, two) = (each_second(Some(2), None), each_second(Some(4), Some(2)));
    let endless = each_second(None, Some(2));
    let row = AnalysisMetric { consecutive_success_limit: Some(at(2)), ..each_second(Some(9), Some(5)) };
    for (steps, background, expected) in [
        // The share is gone before anything is measured.
        (vec![Step::Share(16), Step::Share(42), Step::Share(0), Step::Pause(None)], vec![&one, &two], Ending::Waits),
        (vec![Step::Share(16), Step::Pause(None)], vec![&one, &two], Ending::Aborted(seconds(1))),
        // Two measurements are bad, three good, then the third is bad.
        (
            vec![Step::Share(9), pause(2), Step::Share(0), pause(3), Step::Share(9), Step::Pause(None)],
            vec![&endless],
            Ending::Aborted(seconds(6)),
        ),
        // Good ones in a row between bad ones are enough.
        (
            vec![Step::Share(9), pause(2), Step::Share(0), pause(3), Step::Share(9), Step::Pause(None)],
            vec![&row],
            Ending::Waits,
        ),
    ] {
        let plan = Plan { steps, background: background.into_iter().map(Gate::of).collect(), starting_step: 0 };
        assert_eq!(Player::play(&plan, Bad::From(Nanos::ZERO)).0, expected, "{plan:?}");
        assert_eq!(plan.bad_from_the_start().ending, expected, "{plan:?}");
    }
}

#[test]
fn no_second_to_go_bad_at_is_worse_than_the_moments_that_are_gone_through() {
    let cases = crate::testing::cases(600);
    let mut draws = Draws::new(7);
    let (mut caught, mut blind) = (0, 0);
    for _ in 0..cases {
        let metrics: Vec<AnalysisMetric> = (0..3).map(|_| metric(&mut draws)).collect();
        let some = |draws: &mut Draws| -> Vec<Gate<'_>> {
            metrics.iter().filter(|_| draws.chance(40)).map(Gate::of).collect()
        };
        let mut steps = vec![Step::Share(1 + draws.below(50) as u32)];
        for _ in 0..draws.below(5) {
            steps.push(match draws.below(10) {
                0 => Step::Pause(None),
                1..4 if draws.chance(25) => Step::Share(0),
                1..4 => Step::Share(draws.below(101) as u32),
                4..7 => Step::Pause(Some(seconds(draws.below(6)))),
                _ => Step::Analysis(some(&mut draws)),
            });
        }
        let background = if draws.chance(60) { some(&mut draws) } else { Vec::new() };
        let plan = Plan { steps, background, starting_step: draws.below(3) as usize };
        let start = plan.bad_from_the_start();
        let soon = |fate: &Fate| fate.since < seconds(HORIZON / 2);
        for fate in plan.fates().filter(soon) {
            let bad = if fate == start { Bad::From(fate.since) } else { Bad::After(fate.since) };
            let (ending, line) = Player::play(&plan, bad);
            assert_eq!(fate.ending, ending, "{bad:?} {plan:?}");
            if fate == start || fate.since == start.since {
                assert_eq!(played::ending(&plan, bad).unwrap_or(ending), ending, "{bad:?} {plan:?}");
            }
            if ending != Ending::Waits {
                assert_eq!((fate.weight, fate.exposure), bad_part(ending, &line, fate.since), "{bad:?} {plan:?}");
            }
        }
        let naive = (start.since.as_millis() / 1000..HORIZON / 2).filter_map(|second| {
            let (ending, line) = Player::play(&plan, Bad::After(seconds(second)));
            matches!(ending, Ending::Aborted(_)).then(|| bad_part(ending, &line, seconds(second)).1)
        });
        let worst = plan.worst_caught().map_or(0, |fate| fate.exposure);
        assert!(naive.max().unwrap_or(0) <= worst, "{worst} {plan:?}");
        match start.ending {
            Ending::Aborted(_) => caught += 1,
            Ending::Promoted(_) => blind += 1,
            Ending::Waits => {}
        }
    }
    assert!(caught * 4 >= cases && blind * 4 >= cases, "both occur: {caught} {blind} of {cases}");
}

/// Flagger's loop as its documentation tells it, with the outcome of every check given.
fn flagger_ticks(analysis: &CanaryAnalysis, outcomes: &[bool]) -> (Vec<u32>, bool, usize) {
    let weights = analysis.weights();
    let (mut place, mut failed, mut line) = (None, 0, Vec::new());
    let mut outcomes = outcomes.iter();
    loop {
        if failed >= analysis.threshold() {
            return (line, false, failed as usize);
        }
        place = match place {
            None => Some(0),
            Some(place) => match outcomes.next() {
                Some(true) if place + 1 == weights.len() => return (line, true, failed as usize),
                Some(true) => Some(place + 1),
                Some(false) | None => {
                    failed += 1;
                    Some(place)
                }
            },
        };
        line.push(weights[place.unwrap()]);
    }
}

#[test]
fn every_sequence_of_checks_leaves_flaggers_canary_at_most_what_is_said() {
    for (weights, threshold) in (1..4_u32).flat_map(|weights| (1..4_u32).map(move |threshold| (weights, threshold))) {
        let analysis = CanaryAnalysis {
            interval: Some(at(seconds(30))),
            threshold: Some(at(threshold)),
            step_weights: (1..=weights).map(|weight| weight * 20).collect(),
            ..CanaryAnalysis::default()
        };
        let length = weights + threshold;
        let (mut most_failed, mut seen) = (0, std::collections::BTreeMap::new());
        for bits in 0..1_u32 << length {
            let outcomes: Vec<bool> = (0..length).map(|place| bits >> place & 1 == 1).collect();
            let (line, promoted, failed) = flagger_ticks(&analysis, &outcomes);
            if promoted {
                most_failed = most_failed.max(failed);
            }
            let good = outcomes.iter().take_while(|good| **good).count();
            if !promoted && outcomes[good..].iter().all(|good| !good) {
                // The ticks from the last good check on; the first weight is set before any check.
                let ticks: u64 = line[good..].iter().map(|weight| u64::from(*weight) * 30_000).sum();
                seen.insert(good, ticks);
            }
        }
        let fates: Vec<u64> = flagger::fates(&analysis).map(|fate| fate.exposure).collect();
        assert_eq!(fates, seen.into_values().collect::<Vec<_>>(), "{analysis:?}");
        assert_eq!(flagger::tolerated(&analysis) as usize, most_failed, "{analysis:?}");
    }
}

#[test]
fn z3_agrees_with_the_line_and_refutes_a_smaller_sum() {
    let fate =
        Fate::of(&[(Nanos::ZERO, 0), (seconds(10), 20), (seconds(40), 50)], seconds(20), Ending::Aborted(seconds(60)));
    assert_eq!((fate.weight, fate.exposure), (50, 20 * 20_000 + 50 * 20_000));
    let answer = |claimed: u64| crate::z3::check_one(&exceeds(&fate, claimed), 1_000_000);
    assert_eq!(answer(fate.exposure), crate::z3::Answer::Unsat);
    assert!(matches!(answer(fate.exposure - 1), crate::z3::Answer::Sat(_)));
}

/// The share of pods that Argo's two ways of counting come to (`AR-2`), with everything tried: no pod too few, none of
/// either side gone, one pod more if that is nearer.
fn naive_share(replicas: u32, weight: u32) -> u32 {
    let off =
        |canary: u32, total: u32| (i64::from(canary * 100) - i64::from(weight * total)).abs() * 1000 / i64::from(total);
    let of = |total: u32| (1..total).map(move |canary| (canary, total));
    let all = of(replicas).chain(of(replicas + 1));
    let (canary, total) = all.min_by_key(|(canary, total)| (off(*canary, *total), *total)).unwrap();
    (canary * 100).div_ceil(total)
}

#[test]
fn pods_stand_for_the_nearest_share_that_there_is() {
    let (mut coarse, mut fine) = (0, 0);
    for (replicas, weight) in (1..=110).flat_map(|replicas| (1..100).map(move |weight| (replicas, weight))) {
        let counts = meshproof_model::delivery::approximate_counts(replicas, weight, true);
        let naive = naive_share(replicas, weight);
        assert!(counts.share().abs_diff(naive) <= 1, "{replicas} {weight}: {counts:?} {naive}");
        if replicas <= 4 && weight <= 25 {
            *(if counts.share() >= 2 * weight { &mut coarse } else { &mut fine }) += 1;
        }
    }
    assert!(coarse >= 25 && fine >= 25, "both occur where pods are few: {coarse} {fine}");
}
