//! Controllers that bring out new versions: values in, decisions out. Neither time nor figures are looked up here: the
//! engine wakes a controller and answers its queries.

mod analysis;
mod argo;
mod counters;
mod flagger;
#[cfg(test)]
mod tests;

pub(crate) use counters::{Counters, Names, Side};
use meshproof_model::delivery::{Course, Query, Release};

use argo::Steps;
use flagger::Ticks;

/// Answers a query from what Prometheus has seen by now; `None`: there is no value.
pub(crate) type Ask<'a> = dyn FnMut(&Query) -> Option<f64> + 'a;

/// A controller at work on one release.
#[derive(Clone, Debug)]
pub(crate) enum Controller<'p> {
    Argo(Steps<'p>),
    Flagger(Ticks<'p>),
}

/// What a controller wants after it was woken.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Decision {
    /// The stage that the mesh goes to: the new version's weight, and whether the primary runs it.
    pub(crate) shift: Option<(u32, bool)>,
    /// What it did and saw.
    pub(crate) entries: Vec<Entry>,
    /// When it wants to be woken; `None`: never.
    pub(crate) next: Option<u64>,
    /// How it has ended.
    pub(crate) end: Option<End>,
}

/// How a release ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Promoted,
    RolledBack,
}

/// What has become of a release in one run. Times in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) entries: Vec<Entry>,
    /// How it has ended, and when.
    pub(crate) end: Option<(End, u64)>,
    /// In percent.
    pub(crate) weight_max: u32,
    /// How long the new version had requests before that.
    pub(crate) exposed: u64,
}

/// A line of a release's course.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// In nanoseconds.
    pub(crate) at: u64,
    /// The new version's weight from then on.
    pub(crate) weight: u32,
    /// What has decided: a metric, a step.
    pub(crate) gate: Option<String>,
    /// What it came to, for people.
    pub(crate) reason: String,
}

impl<'p> Controller<'p> {
    /// The controller of a release, before it begins.
    pub(crate) fn new(release: &'p Release) -> Self {
        match &release.course {
            Course::Steps(course) => Self::Argo(Steps::new(release, course)),
            Course::Ticks(course) => Self::Flagger(Ticks::new(release, course)),
        }
    }

    /// What it does now.
    pub(crate) fn wake(&mut self, now: u64, ask: &mut Ask<'_>) -> Decision {
        match self {
            Self::Argo(steps) => steps.wake(now, ask),
            Self::Flagger(ticks) => ticks.wake(now, ask),
        }
    }
}

/// A value for people.
fn shown(value: Option<f64>) -> String {
    match value {
        None => "no value".to_owned(),
        Some(value) if value.is_nan() => "NaN".to_owned(),
        Some(value) => {
            let text = format!("{value:.4}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    }
}
