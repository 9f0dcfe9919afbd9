//! Flagger: what a canary's clock does in a run (`FL-1` to `FL-4`).

use super::{Check, Course, FlaggerCourse, Release, Shares, Stage};
use crate::{
    Build, Mesh,
    delivery::{Canary, CanaryMetric, Query},
};

/// Flagger's own query for the share of good answers, in percent (F: `observers/istio.go`).
const SUCCESS_RATE: &str = r#"sum(rate(istio_requests_total{reporter="destination",
    destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}", response_code!~"5.*"
}[{{ interval }}])) / sum(rate(istio_requests_total{reporter="destination",
    destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}"
}[{{ interval }}])) * 100"#;

/// Flagger's own query for the 99th percentile of the latency, in milliseconds.
const DURATION: &str = r#"histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{
    reporter="destination", destination_workload_namespace="{{ namespace }}", destination_workload=~"{{ target }}"
}[{{ interval }}])) by (le))"#;

/// Adds the pods of the promoted version, and says what happens with them.
pub(super) fn release(
    mesh: &mut Mesh,
    canary: &Canary,
    build: &Build,
    mut release: Release,
) -> Result<Release, String> {
    let namespace = canary.meta.namespace().to_owned();
    let target = canary.target.value.1.clone();
    let (old, new) = mesh
        .find_workload(&namespace, &format!("{target}-primary"))
        .zip(mesh.find_workload(&namespace, &target))
        .ok_or_else(|| {
            format!("Flagger makes nothing of Canary `{}`: its target is not there, or not in Istio", release.name)
        })?;
    let analysis = &canary.analysis;
    if analysis.iterations.as_ref().is_some_and(|iterations| iterations.value > 0) || analysis.has_match {
        return Err("`iterations` and `match` (blue/green, A/B) are not modelled in a run".to_owned());
    }
    if analysis.mirror {
        return Err("`mirror` of a Canary is not modelled in a run".to_owned());
    }
    let (full, primary) = (mesh.workload(new).full_name(), mesh.workload(old).full_name());
    if !mesh.behaviour.workloads.contains_key(&primary) {
        mesh.behave_as(old, &full, &Build::default());
    }
    let like = if mesh.behaviour.workloads.contains_key(&full) { full } else { primary };
    mesh.behave_as(new, &like, build);
    let promoted = mesh.add_version(old, format!("{target}-primary-promoted"), [])?;
    let new_name = mesh.workload(new).full_name();
    mesh.behave_as(promoted, &new_name, &Build::default());
    let replicas = mesh.workload(old).replicas.value;
    mesh.set_pods(new, replicas);
    release.workloads = vec![old, new, promoted];
    release.called = vec![(promoted, format!("{target}-primary"))];
    let apex = canary.service.name.as_ref().map_or(target.as_str(), |name| name.value.as_str());
    release.shares = vec![Shares {
        route: format!("{namespace}/{apex}"),
        old: format!("{apex}-primary"),
        new: format!("{apex}-canary"),
    }];
    let weights = analysis.weights();
    let promotion = promotion(&weights, analysis.step_weight_promotion.as_ref().map_or(0, |step| step.value));
    release.stages = stages(&weights, &promotion, replicas);
    if weights.is_empty() && !canary.skip_analysis {
        release.warnings.push(format!("Canary `{}` has no steps: it waits for ever", release.name));
    }
    let checks = analysis.metrics.iter().map(|metric| {
        check(mesh, canary, metric).map_err(|message| format!("metric `{}`: {message}", metric.name.value))
    });
    release.course = Course::Ticks(FlaggerCourse {
        interval: analysis.interval(),
        threshold: analysis.threshold(),
        checks: checks.collect::<Result<_, _>>()?,
        weights,
        promotion,
        skip_analysis: canary.skip_analysis,
    });
    Ok(release)
}

/// The canary's weights on the way back (`FL-3`): at once, or in steps from what the primary has.
fn promotion(weights: &[u32], step: u32) -> Vec<u32> {
    let mut weight = weights.last().copied().unwrap_or(0);
    let mut back = Vec::new();
    while step > 0 && weight > step {
        weight -= step;
        back.push(weight);
    }
    back.push(0);
    back
}

fn stages(weights: &[u32], promotion: &[u32], replicas: u32) -> Vec<Stage> {
    let before = |weight: &u32| Stage { weight: *weight, is_promoted: false, pods: vec![replicas, replicas, 0] };
    let after = |weight: &u32| Stage { weight: *weight, is_promoted: true, pods: vec![0, replicas, replicas] };
    let last = weights.last().copied().unwrap_or(0);
    let mut stages: Vec<Stage> = std::iter::once(&0).chain(weights).map(before).collect();
    stages.push(after(&last));
    stages.extend(promotion.iter().filter(|weight| **weight != last).map(after));
    stages
}

fn check(mesh: &Mesh, canary: &Canary, metric: &CanaryMetric) -> Result<Check, String> {
    let name = metric.name.value.as_str();
    let (text, is_own) = match (name, &metric.query, &metric.template) {
        ("request-success-rate", ..) => (SUCCESS_RATE, false),
        ("request-duration", ..) => (DURATION, false),
        (_, Some(query), _) => (query.as_str(), true),
        (_, None, Some((namespace, template))) => {
            let namespace = namespace.as_deref().unwrap_or(canary.meta.namespace());
            let mut templates = mesh.delivery.templates.iter();
            let found = templates.find(|it| it.meta.name() == template && it.meta.namespace() == namespace);
            let found = found.ok_or_else(|| format!("there is no MetricTemplate `{namespace}/{template}`"))?;
            if found.provider != "prometheus" {
                return Err(format!("the provider `{}` is not modelled", found.provider));
            }
            (found.query.value.as_str(), true)
        }
        (_, None, None) => return Err("it is not built in, and has no query".to_owned()),
    };
    let target = canary.target.value.1.as_str();
    let apex = canary.service.name.as_ref().map_or(target, |name| name.value.as_str());
    let seconds = metric.interval.as_ref().map_or(60, |interval| interval.value.get() / 1_000_000_000);
    let filled = super::filled(text, |variable| match variable {
        "name" => Some(canary.meta.name().to_owned()),
        "namespace" => Some(canary.meta.namespace().to_owned()),
        "target" | "ingress" => Some(target.to_owned()),
        "service" => Some(apex.to_owned()),
        "interval" => Some(format!("{seconds}s")),
        _ => None,
    })?;
    // Without a range `threshold` is the least of the success rate and the most of everything else, absent zero.
    let has_range = metric.min.is_some() || metric.max.is_some();
    let threshold = Some(metric.threshold.unwrap_or(0.0)).filter(|_| !has_range);
    let is_rate = name == "request-success-rate";
    Ok(Check {
        name: name.to_owned(),
        query: Query::parse(&filled)?,
        min: metric.min.or(threshold.filter(|_| is_rate)),
        max: metric.max.or(threshold.filter(|_| !is_rate)),
        is_whole: !is_own && !is_rate,
    })
}
