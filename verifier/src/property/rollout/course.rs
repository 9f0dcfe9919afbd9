//! What becomes of a new version that fails some share of its requests from its first one on, for intents about
//! `rollouts`: the shares that it gets, as the controller's checks see what they can see of failures.

use std::ops::RangeInclusive;

use meshproof_model::{
    Location, Mesh, Nanos, ResourceRef,
    delivery::{Canary, Rollout, RolloutStrategy},
};

use super::{
    Ending, Fate,
    argo::{Gate, Plan},
    flagger,
    sight::{Sight, of_check, of_metric},
};

/// Shares of the requests in percent, each from a moment on, the last for ever.
pub(crate) type Line = Vec<(Nanos, u32)>;

/// What becomes of a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Course {
    /// Where every check lets it pass that may.
    pub worst: Line,
    /// Where those checks fail that do not follow from failures.
    pub best: Line,
    /// Whether some check may also fail, at any time.
    pub may_end: bool,
    /// Whether some check may ask a person, at any time.
    pub may_halt: bool,
    /// A check that does not follow from failures.
    pub unknown: Option<String>,
    /// Checks that let it pass.
    pub passing: Vec<(Location, String)>,
    /// Where weights are written.
    weights: Vec<(u32, Location)>,
}

/// A check: where it stands, its name, and what it says.
type Seen = (Location, String, Sight);

/// Of a Rollout or a Canary.
///
/// # Errors
/// Why it is not known.
pub(crate) fn course(mesh: &Mesh, of: &ResourceRef, failing: &RangeInclusive<f64>) -> Result<Course, String> {
    let delivery = &mesh.delivery;
    if let Some(rollout) = delivery.rollouts.iter().find(|rollout| rollout.meta.resource == *of) {
        return of_rollout(mesh, rollout, failing);
    }
    let canary = delivery.canaries.iter().find(|canary| canary.meta.resource == *of);
    of_canary(mesh, canary.ok_or_else(|| format!("there is no {of}"))?, failing)
}

fn of_rollout(mesh: &Mesh, rollout: &Rollout, failing: &RangeInclusive<f64>) -> Result<Course, String> {
    let RolloutStrategy::Canary(canary) = &rollout.strategy else {
        return Err(format!("{} gives a new version everything at once", rollout.meta.resource));
    };
    let plan = Plan::of(rollout, canary, &mesh.delivery.analyses).ok_or_else(|| {
        format!("an analysis of {} is not among the manifests, or is an argument", rollout.meta.resource)
    })?;
    let sight = |gate: &Gate<'_>| of_metric(gate.metric, &gate.args, failing);
    let seen: Vec<Seen> = plan.gates().iter().map(|g| (g.metric.at.clone(), g.metric.name.clone(), sight(g))).collect();
    let line =
        |fails: &dyn Fn(Sight) -> bool| line(&plan.clone().failing(|gate| fails(sight(gate))).bad_from_the_start());
    let course = Course::of(line(&|sight| sight == Sight::Fails), line(&fails_at_best), seen);
    let weights = canary.weighted_steps().into_iter().map(|(step, weight)| (weight, step.at.clone()));
    Ok(Course { weights: weights.collect(), ..course })
}

fn of_canary(mesh: &Mesh, canary: &Canary, failing: &RangeInclusive<f64>) -> Result<Course, String> {
    let (analysis, resource) = (&canary.analysis, &canary.meta.resource);
    let weights = analysis.weights();
    if !canary.skip_analysis && (analysis.iterations.is_some() || analysis.mirror || weights.is_empty()) {
        return Err(format!("{resource} gives a new version no growing share"));
    }
    let query = |metric: &meshproof_model::delivery::CanaryMetric| {
        let of_template = metric.template.as_ref().and_then(|(namespace, name)| {
            let namespace = namespace.as_deref().unwrap_or(canary.meta.namespace());
            let is_meant = |template: &&meshproof_model::delivery::MetricTemplate| {
                template.meta.name() == name && template.meta.namespace() == namespace
            };
            mesh.delivery.templates.iter().find(is_meant).map(|template| template.query.value.clone())
        });
        metric.query.clone().or(of_template)
    };
    let checks = analysis.metrics.iter().filter(|_| !canary.skip_analysis);
    let seen: Vec<Seen> = checks
        .map(|metric| {
            let sight = of_check(metric, query(metric).as_deref(), failing);
            (metric.name.at.clone(), metric.name.value.clone(), sight)
        })
        .collect();
    let ends_up = |fails: &dyn Fn(Sight) -> bool| match flagger::fates(analysis).next() {
        Some(fate) if seen.iter().any(|(_, _, sight)| fails(*sight)) => line(&fate),
        _ => flagger::promoted(canary),
    };
    let course = Course::of(ends_up(&|sight| sight == Sight::Fails), ends_up(&fails_at_best), seen.clone());
    let at = analysis.at.as_ref().unwrap_or(&canary.meta.at);
    Ok(Course { weights: weights.into_iter().map(|weight| (weight, at.clone())).collect(), ..course })
}

/// What may fail is the version's choice, unless it does not follow from failures.
fn fails_at_best(sight: Sight) -> bool {
    matches!(sight, Sight::Fails | Sight::Unknown | Sight::Asks)
}

impl Course {
    fn of(worst: Line, best: Line, seen: Vec<Seen>) -> Self {
        let any = |kinds: &[Sight]| seen.iter().any(|(_, _, sight)| kinds.contains(sight));
        let unknown = seen.iter().find(|(_, _, sight)| matches!(sight, Sight::Unknown | Sight::Asks));
        Self {
            worst,
            best,
            may_end: any(&[Sight::Either, Sight::Unknown, Sight::Asks]),
            may_halt: any(&[Sight::Asks, Sight::Unknown]),
            unknown: unknown.map(|(_, name, _)| name.clone()),
            passing: seen
                .into_iter()
                .filter(|(_, _, sight)| matches!(sight, Sight::Passes | Sight::Either))
                .map(|(at, name, _)| (at, format!("`{name}` lets it pass")))
                .collect(),
            weights: Vec::new(),
        }
    }

    /// Where it is written that the version gets a weight, and the checks that let it.
    pub(crate) fn places(&self, weight: u32) -> Vec<(Location, String)> {
        let written = self.weights.iter().find(|(written, _)| *written == weight);
        let written = written.map(|(_, at)| (at.clone(), "the weight is written here".to_owned()));
        self.passing.iter().cloned().chain(written).collect()
    }

    /// When the version gets its first request; `None`: it gets none.
    pub(crate) fn begins(&self) -> Option<Nanos> {
        let until = self.worst.iter().skip(1).map(|(from, _)| *from).chain([Nanos::new(u64::MAX)]);
        // A weight that lasts no time gets no request.
        let mut lasting = self.worst.iter().zip(until).filter(|((from, _), until)| from < until);
        lasting.find(|((_, share), _)| *share > 0).map(|((from, _), _)| *from)
    }
}

/// The line of a fate with what comes after its end.
fn line(fate: &Fate) -> Line {
    let (end, last) = match fate.ending {
        Ending::Aborted(at) => (at, Some(0)),
        Ending::Promoted(at) => (at, Some(100)),
        Ending::Waits => (Nanos::new(u64::MAX), None),
    };
    let before = fate.line.iter().copied().filter(|(from, _)| *from < end);
    before.chain(last.map(|share| (end, share))).collect()
}
