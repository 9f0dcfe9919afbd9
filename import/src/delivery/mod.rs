//! What changes a mesh step by step: Argo Rollouts, Flagger, KEDA, Argo CD's waves. Verdicts about requests do not see
//! it, so that what is read here stays among what is not modelled.

mod analysis;
mod canary;
pub(crate) mod flagger;
mod keda;
mod rollout;

use meshproof_model::{
    Located, Mesh, Nanos,
    delivery::{SyncPhase, SyncPoint},
};

use crate::{cx::Cx, duration::go_duration, field::Field, object::Object};

/// Reads what an object says about changes, whatever its kind.
pub(crate) fn read(object: &Object<'_>, mesh: &mut Mesh, cx: &mut Cx) {
    let delivery = &mut mesh.delivery;
    delivery.waves.extend(sync_point(object, cx));
    let spec = object.get("spec").map(|spec| spec.quietly());
    let Some(spec) = spec else { return };
    match (object.group.as_str(), object.meta.resource.kind.as_str()) {
        ("argoproj.io", "Rollout") => delivery.rollouts.push(rollout::read(object, &spec, cx)),
        ("argoproj.io", "AnalysisTemplate" | "ClusterAnalysisTemplate") => {
            delivery.analyses.push(analysis::read(object, &spec, cx));
        }
        ("flagger.app", "Canary") => delivery.canaries.extend(canary::read(object, &spec, cx)),
        ("flagger.app", "MetricTemplate") => delivery.templates.extend(canary::template(object, &spec)),
        ("keda.sh", "ScaledObject") => delivery.scalers.extend(keda::read(object, &spec, cx)),
        _ => {}
    }
}

/// When Argo CD applies an object (`GO-2`); objects without its annotations count with the wave 0 once some have one.
fn sync_point(object: &Object<'_>, cx: &mut Cx) -> Option<SyncPoint> {
    let annotations = object.get("metadata")?.get("annotations");
    let annotations = annotations.map(|annotations| annotations.quietly());
    let get = |key: &'static str| annotations.as_ref().and_then(|annotations| annotations.get(key));
    let wave = get("argocd.argoproj.io/sync-wave").and_then(|field| {
        let wave = field.int();
        if wave.is_none() {
            cx.invalid(&field, "a sync wave is a whole number", "write a number in quotes, such as `\"1\"`");
        }
        wave.map(|wave| field.located(wave))
    });
    let hook = get("argocd.argoproj.io/hook").and_then(|field| field.text());
    let phase = hook.and_then(|hook| SyncPhase::of_hook(&hook)).unwrap_or_default();
    Some(SyncPoint { meta: object.meta.clone(), phase, wave })
}

/// A duration as Go writes it, or a number of seconds.
fn duration(object: &Field<'_>, key: &'static str, cx: &mut Cx) -> Option<Located<Nanos>> {
    let field = object.get(key)?;
    let text = field.text()?;
    let nanos = go_duration(&text).or_else(|| text.parse().ok().map(Nanos::from_secs));
    if nanos.is_none() {
        let message = format!("`{key}` is a duration, and `{text}` is none");
        cx.invalid(&field, message, "write a number with a unit, such as `30s` or `5m`");
    }
    nanos.map(|nanos| field.located(nanos))
}
