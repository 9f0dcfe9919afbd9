//! Argo Rollouts: what a canary's steps do in a run (`AR-1` to `AR-6`).

use super::{super::StepAction, ArgoCourse, Course, Measured, Release, ReleaseStep, Stage};
use crate::{
    Build, Located, Mesh,
    delivery::{AnalysisTemplate, CanaryStrategy, Condition, NEW_PODS, OLD_PODS, Query, Rollout, RolloutStrategy},
};

/// The label by which Argo tells old and new pods apart; it adds it to the selectors of both services and to subsets
/// (`AR-4`).
const HASH: &str = "rollouts-pod-template-hash";

/// Adds the pods of the new version, and says what happens with them.
pub(super) fn release(
    mesh: &mut Mesh,
    rollout: &Rollout,
    build: &Build,
    mut release: Release,
) -> Result<Release, String> {
    let RolloutStrategy::Canary(canary) = &rollout.strategy else {
        return Err(format!("`{}` has no canary steps: other strategies are not modelled in a run", release.name));
    };
    let (namespace, name) = (rollout.meta.namespace().to_owned(), rollout.meta.name().to_owned());
    let old = mesh
        .find_workload(&namespace, &name)
        .ok_or_else(|| format!("the pods of Rollout `{}` are not among the manifests", release.name))?;
    let shares = match &canary.traffic {
        None => Vec::new(),
        Some(traffic) if traffic.kind == "istio" && traffic.routes.iter().all(|it| it.kind == "VirtualService") => {
            mesh.managed(rollout, canary)
        }
        Some(traffic) => {
            return Err(format!("traffic routing by `{}` is not modelled in a run", traffic.kind));
        }
    };
    if canary.traffic.is_some() && shares.is_empty() {
        return Err(format!("no VirtualService of Rollout `{}` is among the manifests", release.name));
    }
    let replicas = mesh.workload(old).replicas.value;
    let new = mesh.add_version(old, format!("{name}-canary"), [(HASH.to_owned(), NEW_PODS.to_owned())])?;
    mesh.workloads[old.index()].labels.insert(HASH.to_owned(), OLD_PODS.to_owned());
    mesh.behave_as(new, &release.name, build);
    select(mesh, &namespace, canary);
    release.workloads = vec![old, new];
    release.called = vec![(new, name)];
    release.shares = shares.into_iter().map(|(route, old, new)| super::Shares { route, old, new }).collect();
    release.stages = canary
        .weights()
        .into_iter()
        .map(|weight| {
            let counts = canary.counts(replicas, weight);
            Stage { weight, is_promoted: false, pods: vec![counts.stable, counts.canary] }
        })
        .collect();
    let most = |number: usize| release.stages.iter().map(|stage| stage.pods[number]).max().unwrap_or(0);
    let pods = [most(0), most(1)];
    mesh.set_pods(old, pods[0]);
    mesh.set_pods(new, pods[1]);
    release.course = Course::Steps(course(mesh, &namespace, canary, &mut release.warnings)?);
    Ok(release)
}

/// The controller makes its two services and subsets select the old and the new pods (`AR-4`).
fn select(mesh: &mut Mesh, namespace: &str, canary: &CanaryStrategy) {
    for (service, hash) in [(&canary.stable_service, OLD_PODS), (&canary.canary_service, NEW_PODS)] {
        let found = service.as_ref().and_then(|service| mesh.find_service(namespace, &service.value));
        if let Some(found) = found {
            mesh.services[found.index()].selector.insert(HASH.to_owned(), hash.to_owned());
        }
    }
    let Some((rule, new, old)) = canary.traffic.as_ref().and_then(|traffic| traffic.subsets.as_ref()) else { return };
    let is_meant = |known: &&mut crate::istio::DestinationRule| {
        known.meta.name() == rule.value && known.meta.namespace() == namespace
    };
    if let Some(rule) = mesh.destination_rules.iter_mut().find(is_meant) {
        for subset in &mut rule.subsets {
            for (name, hash) in [(new, NEW_PODS), (old, OLD_PODS)] {
                if subset.name.value == *name {
                    subset.labels.insert(HASH.to_owned(), hash.to_owned());
                }
            }
        }
    }
}

fn course(
    mesh: &Mesh,
    namespace: &str,
    canary: &CanaryStrategy,
    warnings: &mut Vec<String>,
) -> Result<ArgoCourse, String> {
    let mut steps = Vec::new();
    // Steps that are passed over keep the number of the first step of the background analysis in place.
    let mut starting = canary.starting_step.as_ref().map_or(0, |step| step.value as usize);
    for (number, step) in canary.steps.iter().enumerate() {
        steps.push(match &step.action {
            StepAction::Weight(weight) => ReleaseStep::Weight((*weight).min(100)),
            StepAction::Pause(time) => ReleaseStep::Pause(*time),
            StepAction::Analysis(templates) => {
                ReleaseStep::Analysis(analysis(mesh, namespace, templates.iter(), &step.args)?)
            }
            StepAction::Other(name) => {
                warnings.push(format!("step {} (`{name}`) of a Rollout in `{namespace}` is passed over", number + 1));
                starting -= usize::from(number < starting);
                continue;
            }
        });
    }
    let background = match canary.background.as_slice() {
        [] => None,
        templates => {
            let templates = templates.iter().map(|template| &template.value);
            Some((starting, analysis(mesh, namespace, templates, &canary.background_args)?))
        }
    };
    Ok(ArgoCourse { steps, background, dynamic_stable_scale: canary.dynamic_stable_scale })
}

/// The metrics of some templates.
fn analysis<'t>(
    mesh: &Mesh,
    namespace: &str,
    templates: impl Iterator<Item = &'t String>,
    args: &[(String, String)],
) -> Result<Vec<Measured>, String> {
    let mut metrics = Vec::new();
    for name in templates {
        let is_meant = |template: &&AnalysisTemplate| {
            let meta = &template.meta;
            let is_here = meta.resource.kind == "ClusterAnalysisTemplate" || meta.namespace() == namespace;
            meta.name() == *name && is_here
        };
        let template = mesh.delivery.analyses.iter().find(is_meant);
        let template = template.ok_or_else(|| format!("there is no AnalysisTemplate `{name}`"))?;
        for number in 0..template.metrics.len() {
            let metric = measured(template, number, args).map_err(|message| {
                format!("metric `{}` of AnalysisTemplate `{name}`: {message}", template.metrics[number].name)
            })?;
            metrics.push(metric);
        }
    }
    Ok(metrics)
}

fn measured(template: &AnalysisTemplate, number: usize, args: &[(String, String)]) -> Result<Measured, String> {
    let metric = template.metrics[number].clone();
    if let Some(field) = metric.arguments.first() {
        return Err(format!("`{field}` is an argument, which is not modelled"));
    }
    let Some(query) = &metric.query else { return Err("what is not asked of Prometheus is not modelled".to_owned()) };
    let value = |name: &str| {
        let given = args.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone());
        given.or_else(|| template.args.iter().find(|(known, _)| known == name)?.1.clone())
    };
    let condition = |written: &Option<Located<String>>| match written {
        Some(text) => Condition::parse(&filled(&text.value, value)?).map(Some),
        None => Ok(None),
    };
    let is_dry = template.dry_run.iter().any(|name| *name == metric.name || name == ".*");
    Ok(Measured {
        query: Query::parse(&filled(&query.value, value)?)?,
        success: condition(&metric.success_condition)?,
        failure: condition(&metric.failure_condition)?,
        metric,
        is_dry,
    })
}

/// A text with its `{{args.name}}` replaced.
fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    super::filled(text, |inner| inner.strip_prefix("args.").and_then(&value))
}
