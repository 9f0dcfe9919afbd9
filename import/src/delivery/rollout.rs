//! Argo Rollouts: Rollout (`AR-1` to `AR-4`).

use meshproof_model::{
    Located,
    delivery::{
        CanaryStep, CanaryStrategy, ManagedRoute, NEW_PODS, OLD_PODS, Rollout, RolloutStrategy, StepAction,
        TrafficRouting,
    },
};

use crate::{cx::Cx, field::Field, kubernetes::int_or_percent, object::Object};

pub(super) fn read(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Rollout {
    let strategy = spec.get("strategy");
    let of = |key: &'static str| strategy.as_ref().and_then(|strategy| strategy.get(key));
    let strategy = if let Some(canary) = of("canary") {
        RolloutStrategy::Canary(Box::new(self::canary(&canary, cx)))
    } else if let Some(blue_green) = of("blueGreen") {
        RolloutStrategy::BlueGreen {
            active: blue_green.located_text("activeService"),
            preview: blue_green.located_text("previewService"),
            auto_promotion: blue_green.bool_at("autoPromotionEnabled").unwrap_or(true),
        }
    } else {
        RolloutStrategy::None
    };
    Rollout { meta: object.meta.clone(), replicas: cx.count(spec, "replicas"), strategy }
}

fn canary(field: &Field<'_>, cx: &mut Cx) -> CanaryStrategy {
    let analysis = field.get("analysis");
    CanaryStrategy {
        canary_service: field.located_text("canaryService"),
        stable_service: field.located_text("stableService"),
        steps: field.list("steps").map(|entry| step(&entry, cx)).collect(),
        traffic: field.get("trafficRouting").and_then(|traffic| traffic_routing(&traffic)),
        max_surge: int_or_percent(field, "maxSurge", cx),
        max_unavailable: int_or_percent(field, "maxUnavailable", cx),
        dynamic_stable_scale: field.bool_at("dynamicStableScale").unwrap_or(false),
        background: analysis.as_ref().map(templates).unwrap_or_default(),
        starting_step: analysis.as_ref().and_then(|analysis| cx.count(analysis, "startingStep")),
        background_args: analysis.as_ref().map(args).unwrap_or_default(),
    }
}

fn templates(analysis: &Field<'_>) -> Vec<Located<String>> {
    analysis.list("templates").filter_map(|entry| entry.located_text("templateName")).collect()
}

/// Arguments with the values that they have in a run; those from fields and secrets have none.
fn args(analysis: &Field<'_>) -> Vec<(String, String)> {
    let value = |arg: &Field<'_>| {
        let hash = || match arg.get("valueFrom")?.text_at("podTemplateHashValue")?.as_str() {
            "Latest" => Some(NEW_PODS.to_owned()),
            "Stable" => Some(OLD_PODS.to_owned()),
            _ => None,
        };
        arg.text_at("value").or_else(hash)
    };
    analysis.list("args").filter_map(|arg| Some((arg.text_at("name")?, value(&arg)?))).collect()
}

fn step(field: &Field<'_>, cx: &mut Cx) -> CanaryStep {
    let mut own = Vec::new();
    let action = if let Some(weight) = cx.percent(field, "setWeight") {
        StepAction::Weight(weight.value)
    } else if field.has("pause") {
        let pause = field.get("pause");
        StepAction::Pause(pause.and_then(|pause| super::duration(&pause, "duration", cx)).map(|time| time.value))
    } else if let Some(analysis) = field.get("analysis") {
        own = args(&analysis);
        StepAction::Analysis(templates(&analysis).into_iter().map(|template| template.value).collect())
    } else {
        StepAction::Other(field.fields().map(|(key, _)| key.to_owned()).next().unwrap_or_default())
    };
    CanaryStep { at: field.at(), action, args: own }
}

fn traffic_routing(field: &Field<'_>) -> Option<TrafficRouting> {
    const SETTINGS: &[&str] = &["managedRoutes", "maxTrafficWeight"];
    let (kind, inner) = field.fields().find(|(key, _)| !SETTINGS.contains(key))?;
    let mut routes = Vec::new();
    for service in inner.get("virtualService").into_iter().chain(inner.list("virtualServices")) {
        let rules = service.texts("routes");
        routes.extend(service.located_text("name").map(|name| managed("VirtualService", name, rules)));
    }
    if kind == "plugins" {
        for (_, plugin) in inner.fields() {
            routes.extend(plugin.located_text("httpRoute").map(|name| managed("HTTPRoute", name, Vec::new())));
            let listed = plugin.list("httpRoutes").filter_map(|route| route.located_text("name"));
            routes.extend(listed.map(|name| managed("HTTPRoute", name, Vec::new())));
        }
    }
    let subsets = inner.get("destinationRule").and_then(|rule| {
        Some((rule.located_text("name")?, rule.text_at("canarySubsetName")?, rule.text_at("stableSubsetName")?))
    });
    Some(TrafficRouting { at: field.at(), kind: kind.to_owned(), routes, subsets })
}

fn managed(kind: &str, name: Located<String>, rules: Vec<Located<String>>) -> ManagedRoute {
    ManagedRoute { kind: kind.to_owned(), name, rules }
}
