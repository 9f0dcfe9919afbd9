//! Intents about rollouts (`P7`): what becomes of a new version that fails some share of its requests.
//!
//! `when error_rate(new) >= 5%` means a version that fails so many of its requests from the first one on, as many as it
//! pleases within that. `always` and `never` speak of every moment from then on, `within 10m` of every moment from ten
//! minutes after the first request on. Where a check does not follow from failures, both that it passes and that it fails
//! are looked at, and what is left open is not decided.

use std::ops::RangeInclusive;

use meshproof_model::{Location, Nanos, ResourceRef};

use super::{
    ast::{Comparison, Goal, Pred, Term},
    element::Element,
    eval::{Maker, Undecided},
    judge::{Counter, Found, Judged},
    quantity::{Quantity, Unit},
    world::Env,
};
use crate::{
    property::rollout::{Course, course},
    term::Assignment,
};

/// A new version at some moment of its release.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version {
    /// What brings it.
    pub of: ResourceRef,
    /// Its share of the requests, in percent.
    pub weight: u32,
    /// In words.
    pub told: String,
    /// What lets it have that.
    pub places: Vec<(Location, String)>,
}

/// The shares of failures that `when` asks about, if that is all that it asks: `error_rate(new) >= 5%`.
pub(super) fn failing(when: Option<&Pred>) -> Option<RangeInclusive<f64>> {
    let Some(Pred::Compare(Term::Call(name, of, _), comparison, Term::Number(share, _), _)) = when else { return None };
    let is_of_new = matches!(of.as_slice(), [Term::Name(word)] if word.text == "new");
    if name.text != "error_rate" || !is_of_new || (share.unit != Unit::Share && share.micros() != 0) {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "a share is far below 2^52 millionths of a millionth")]
    let share = (share.micros() as f64 / 1e12).clamp(0.0, 1.0);
    Some(match comparison {
        Comparison::AtLeast => share..=1.0,
        Comparison::More => share.next_up().min(1.0)..=1.0,
        Comparison::Equal => share..=share,
        Comparison::AtMost => 0.0..=share,
        Comparison::Less => 0.0..=share.next_down().max(0.0),
        Comparison::Differs => return None,
    })
}

/// Whether a condition says something of failures.
pub(super) fn names_failures(pred: &Pred) -> bool {
    let names = |term: &Term| matches!(term, Term::Call(name, ..) if name.text == "error_rate");
    match pred {
        Pred::And(all) | Pred::Or(all) => all.iter().any(names_failures),
        Pred::Not(one) => names_failures(one),
        Pred::Compare(left, _, right, _) => names(left) || names(right),
        _ => false,
    }
}

/// A moment of a release that breaks a goal.
type Broken = (Nanos, u32);

impl Judged<'_, '_> {
    /// What becomes of the version of a rollout; `None`: the assertion does not ask that.
    pub(super) fn release(&self, env: &Env) -> Option<Found> {
        let failing = failing(self.assertion.when.as_ref())?;
        let of = env.elements().find_map(|(_, element)| match element {
            Element::Rollout(resource) => Some(resource.clone()),
            _ => None,
        })?;
        let undecided = |reason| Found { undecided: Some(reason), ..Found::default() };
        let course = match course(self.world.mesh, &of, &failing) {
            Ok(course) => course,
            Err(reason) => return Some(undecided(reason)),
        };
        let Some(begins) = course.begins() else { return Some(Found::default()) };
        let at = |weight: u32, told: String| {
            let version = Version { of: of.clone(), weight, told, places: course.places(weight) };
            env.with("new", Element::Version(version))
        };
        let mut found = Found { instances: 1, ..Found::default() };
        for goal in &self.assertion.goals {
            let holds = |weight: u32| self.holds_at(goal, &at(weight, String::new()));
            match verdict(&course, goal, begins, &holds) {
                Err(reason) => return Some(undecided(reason)),
                Ok(None) => {}
                Ok(Some((time, weight))) => {
                    let told = told(&course, (time, weight), begins);
                    found.counters.push(Counter { env: at(weight, told), fields: None });
                    break;
                }
            }
        }
        Some(found)
    }

    /// Whether what a goal says holds while the version has the weight of that environment.
    fn holds_at(&self, goal: &Goal, env: &Env) -> Result<bool, Undecided> {
        let (pred, expected) = match goal {
            Goal::Always(pred) | Goal::Within(_, pred) => (pred, true),
            Goal::Never(pred) => (pred, false),
            Goal::Unchanged { .. } => return Err("this goal is not decided".to_owned()),
        };
        let holds = Maker::new(self.world).pred(pred, env, true)?;
        Ok(holds.eval(&Assignment::default()) == expected)
    }
}

/// The first moment that breaks a goal; `None`: none does.
fn verdict(
    course: &Course,
    goal: &Goal,
    begins: Nanos,
    holds: &dyn Fn(u32) -> Result<bool, Undecided>,
) -> Result<Option<Broken>, Undecided> {
    let since = match goal {
        Goal::Within(time, _) => begins + Nanos::new(time.bases()),
        _ => begins,
    };
    let open = || {
        let name = course.unknown.clone().unwrap_or_default();
        Err(format!("what `{name}` says does not follow from the share of requests that fail"))
    };
    if let Some(found) = broken(&course.worst, since, holds)? {
        return match course.unknown {
            Some(_) if broken(&course.best, since, holds)?.is_none() => open(),
            _ => Ok(Some(found)),
        };
    }
    // A check that may fail ends the release; one that may ask leaves it where it is.
    if course.may_end && !holds(0)? {
        return if course.unknown.is_some() { open() } else { Ok(Some((since, 0))) };
    }
    if course.may_halt && broken(&course.worst, begins, holds)?.is_some() {
        return open();
    }
    Ok(None)
}

fn broken(
    line: &[(Nanos, u32)],
    since: Nanos,
    holds: &dyn Fn(u32) -> Result<bool, Undecided>,
) -> Result<Option<Broken>, Undecided> {
    let ends = line.iter().skip(1).map(|(from, _)| *from).chain([Nanos::new(u64::MAX)]);
    for ((from, weight), until) in line.iter().zip(ends) {
        if until > since.max(*from) && !holds(*weight)? {
            return Ok(Some((since.max(*from), *weight)));
        }
    }
    Ok(None)
}

/// What the version has when, and for how long.
fn told(course: &Course, (time, weight): Broken, begins: Nanos) -> String {
    let next = course.worst.iter().find(|(from, share)| *from > time && *share != weight).map(|(from, _)| *from);
    let after = Quantity::time(Some(Nanos::new(time.get().saturating_sub(begins.get()))));
    let length = next.map_or_else(
        || "for good".to_owned(),
        |next| format!("for {}", Quantity::time(Some(Nanos::new(next.get() - time.get())))),
    );
    format!("{after} after its first request it has {weight}% of them, {length}")
}
