//! The smallest change of blamed fields that does what is wanted: the fewest fields, then the least factor by which their
//! values change. What a value does is asked, not assumed, but for this: what a step does, further steps in its
//! direction do too.

use super::lever::{Domain, Lever, Way};

/// BOUND: fields that change together.
pub(super) const FIELDS_MAX: usize = 3;
/// BOUND: how far a value goes from what it was, as a factor.
const FACTOR_MAX: u64 = 64;

/// New values of levers, by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Setting {
    pub(super) values: Vec<(usize, String)>,
    cost: u64,
}

/// Every smallest change of so many levers that does what is wanted, the least first. `does` says whether values do it.
pub(super) fn settings(
    levers: &[Lever],
    fields: usize,
    does: &mut impl FnMut(&[(usize, String)]) -> bool,
) -> Vec<Setting> {
    let ladders: Vec<Ladder> = levers.iter().enumerate().flat_map(|(number, lever)| ladders(number, lever)).collect();
    let mut found: Vec<Setting> = Vec::new();
    for chosen in choices(&ladders, fields) {
        let mut steps: Vec<u64> = chosen.iter().map(|ladder| ladder.steps).collect();
        let mut holds = |steps: &[u64]| does(&values(&chosen, steps));
        if fields == 1 {
            let Some(step) = nearest(steps[0], |step| holds(&[step])) else { continue };
            steps[0] = step;
        } else {
            if !holds(&steps) {
                continue;
            }
            // The last fields first: what is blamed first may stay changed the most.
            for at in (0..fields).rev() {
                let mut with = steps.clone();
                steps[at] = nearest(steps[at], |step| {
                    with[at] = step;
                    holds(&with)
                })
                .unwrap_or(steps[at]);
            }
        }
        let cost = chosen.iter().zip(&steps).map(|(ladder, step)| ladder.cost(*step)).sum();
        found.push(Setting { values: values(&chosen, &steps), cost });
    }
    // Stable: among equals, what is blamed first.
    found.sort_by_key(|setting| setting.cost);
    found
}

fn values(chosen: &[&Ladder], steps: &[u64]) -> Vec<(usize, String)> {
    chosen.iter().zip(steps).map(|(ladder, step)| (ladder.lever, ladder.text(*step))).collect()
}

/// Sets of so many ladders of different levers, in order.
fn choices(ladders: &[Ladder], fields: usize) -> Vec<Vec<&Ladder>> {
    let mut sets: Vec<Vec<&Ladder>> = vec![Vec::new()];
    for _ in 0..fields {
        let mut longer = Vec::new();
        for set in &sets {
            let is_next = |ladder: &&Ladder| set.last().is_none_or(|last| ladder.lever > last.lever);
            longer.extend(ladders.iter().filter(is_next).map(|next| set.iter().copied().chain([next]).collect()));
        }
        sets = longer;
    }
    sets
}

/// The first of so many steps that does it, if later ones do when an earlier one does: by doubling, then by halving.
fn nearest(steps: u64, mut does: impl FnMut(u64) -> bool) -> Option<u64> {
    let (mut low, mut high) = (0, 1.min(steps));
    if steps == 0 {
        return None;
    }
    while !does(high) {
        if high == steps {
            return None;
        }
        (low, high) = (high, (high * 2).min(steps));
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if does(middle) { high = middle } else { low = middle }
    }
    Some(high)
}

/// The values of a lever in one direction, those nearest to what it is first.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Ladder {
    lever: usize,
    kind: Kind,
    steps: u64,
    /// For a word: it.
    word: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Word,
    Down { old: u64, grain: u64, is_time: bool },
    Up { old: u64, grain: u64, is_time: bool },
}

fn ladders(lever: usize, of: &Lever) -> Vec<Ladder> {
    let both = |old: u64, least: u64, most: u64, grain: u64, is_time: bool| {
        let down = old.div_ceil(grain).saturating_sub(least.div_ceil(grain));
        let up = (most.min(old.saturating_add(1).saturating_mul(FACTOR_MAX)) / grain).saturating_sub(old / grain);
        vec![
            Ladder { lever, kind: Kind::Down { old, grain, is_time }, steps: down, word: String::new() },
            Ladder { lever, kind: Kind::Up { old, grain, is_time }, steps: up, word: String::new() },
        ]
    };
    let all = match &of.domain {
        Domain::Word(word) => vec![Ladder { lever, kind: Kind::Word, steps: 1, word: word.clone() }],
        Domain::Count { old, least, most, way } => {
            let mut ladders = both(*old, *least, *most, 1, false);
            ladders.retain(|ladder| match ladder.kind {
                Kind::Down { .. } => *way != Way::Up,
                _ => *way != Way::Down,
            });
            ladders
        }
        Domain::Time { old } => both(*old, grain(*old), u64::MAX, grain(*old), true),
    };
    all.into_iter().filter(|ladder| ladder.steps > 0).collect()
}

/// Times change by round steps, some hundredths of what they are, in milliseconds.
const fn grain(old: u64) -> u64 {
    match old {
        0..100 => 1,
        100..1_000 => 10,
        1_000..10_000 => 100,
        _ => 1_000,
    }
}

impl Ladder {
    fn number(&self, step: u64) -> u64 {
        match self.kind {
            Kind::Word => 0,
            Kind::Down { old, grain, .. } => (old.div_ceil(grain).saturating_sub(step)) * grain,
            Kind::Up { old, grain, .. } => (old / grain + step) * grain,
        }
    }

    fn text(&self, step: u64) -> String {
        let number = self.number(step);
        match self.kind {
            Kind::Word => self.word.clone(),
            Kind::Down { is_time: true, .. } | Kind::Up { is_time: true, .. } if number.is_multiple_of(1_000) => {
                format!("{}s", number / 1_000)
            }
            Kind::Down { is_time: true, .. } | Kind::Up { is_time: true, .. } => format!("{number}ms"),
            _ => number.to_string(),
        }
    }

    /// The factor of the change, in thousandths; one more than each number, so that nothing is not infinitely far.
    fn cost(&self, step: u64) -> u64 {
        let number = self.number(step);
        match self.kind {
            Kind::Word => 0,
            Kind::Down { old, .. } | Kind::Up { old, .. } => {
                (old.max(number).saturating_add(1)).saturating_mul(1_000) / (old.min(number) + 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_nearest_step_is_found() {
        for (steps, first) in [(0, 1), (1, 1), (1, 2), (7, 7), (7, 3), (100, 65), (100, 101)] {
            let expected = (first <= steps).then_some(first);
            assert_eq!(nearest(steps, |step| step >= first), expected, "{first} of {steps}");
        }
    }

    proptest! {
        #[test]
        fn steps_lead_away_from_what_is_there(old in 1_u64..200_000, is_time: bool, step in 1_u64..50) {
            let domain = if is_time { Domain::Time { old } } else { Domain::Count { old, least: 0, most: 1 << 30, way: Way::Both } };
            for ladder in ladders(0, &crate::repair::lever::Lever::of_domain(domain)) {
                let step = step.min(ladder.steps);
                let (before, at) = (ladder.number(step - 1), ladder.number(step));
                match ladder.kind {
                    Kind::Down { .. } => prop_assert!(at < old && (step == 1 || at < before)),
                    _ => prop_assert!(at > old && (step == 1 || at > before)),
                }
                prop_assert!(!is_time || at > 0);
                prop_assert!(ladder.cost(step) >= 1_000);
            }
        }
    }
}
