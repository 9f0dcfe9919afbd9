//! Kubernetes: `autoscaling.v2.HorizontalPodAutoscaler` (`K-5`), `policy.v1.PodDisruptionBudget` (`K-6`).

use meshproof_model::kubernetes::{
    HorizontalPodAutoscaler, Metric, MetricTarget, PodDisruptionBudget, ScalingPolicy, ScalingRules, SelectPolicy,
};

use super::{life::int_or_percent, selector};
use crate::{cx::Cx, field::Field, object::Object};

/// Reads an autoscaler; `v1` has one metric, the processors' utilization.
pub(super) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<HorizontalPodAutoscaler> {
    let spec = object.get("spec")?;
    let target = spec.get("scaleTargetRef")?;
    let name = (target.text_at("kind")?, target.text_at("name")?);
    let behavior = spec.get("behavior");
    let mut rules = |key: &'static str| {
        let written = behavior.as_ref().and_then(|behavior| behavior.get(key));
        written.map(|written| scaling_rules(&written, cx)).unwrap_or_default()
    };
    let (up, down) = (rules("scaleUp"), rules("scaleDown"));
    let mut metrics: Vec<Metric> = spec.read_list("metrics", |entry| metric(&entry));
    if let Some(utilization) = cx.count(&spec, "targetCPUUtilizationPercentage") {
        metrics.push(Metric {
            at: utilization.at,
            kind: "Resource".to_owned(),
            name: "cpu".to_owned(),
            target: MetricTarget::Utilization(utilization.value),
        });
    }
    let min_replicas = cx.count(&spec, "minReplicas");
    let max_replicas = cx.count(&spec, "maxReplicas")?;
    if let Some(least) = &min_replicas
        && least.value > max_replicas.value
        && let Some(field) = spec.get("minReplicas")
    {
        cx.invalid(&field, "`minReplicas` is above `maxReplicas`", "make it at most as large");
    }
    Some(HorizontalPodAutoscaler {
        meta: object.meta.clone(),
        target: target.located(name),
        min_replicas,
        max_replicas,
        metrics,
        up,
        down,
    })
}

fn metric(field: &Field<'_>) -> Option<Metric> {
    let kind = field.text_at("type")?;
    let source = field.get(match kind.as_str() {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return None,
    })?;
    let name = source.text_at("name").or_else(|| source.get("metric")?.text_at("name")).unwrap_or_default();
    let target = source.get("target")?;
    let utilization = target.get("averageUtilization").and_then(|field| field.int());
    let target = if let Some(percent) = utilization.and_then(|percent| u32::try_from(percent).ok()) {
        MetricTarget::Utilization(percent)
    } else if let Some(value) = target.text_at("averageValue") {
        MetricTarget::AverageValue(value)
    } else {
        MetricTarget::Value(target.text_at("value")?)
    };
    Some(Metric { at: field.at(), kind, name, target })
}

fn scaling_rules(field: &Field<'_>, cx: &mut Cx) -> ScalingRules {
    const SELECT: &[(&str, SelectPolicy)] =
        &[("Max", SelectPolicy::Max), ("Min", SelectPolicy::Min), ("Disabled", SelectPolicy::Disabled)];
    let mut policy = |entry: Field<'_>| {
        Some(ScalingPolicy {
            value: cx.count(&entry, "value")?.value,
            is_percent: entry.text_at("type")? == "Percent",
            period: cx.count(&entry, "periodSeconds")?.value,
        })
    };
    let policies = field.get("policies").map(|policies| policies.items().filter_map(&mut policy).collect());
    ScalingRules {
        policies,
        stabilization_window: cx.count(field, "stabilizationWindowSeconds"),
        select: Cx::word(field, "selectPolicy", SELECT),
    }
}

/// Reads a disruption budget.
pub(super) fn disruption_budget(object: &Object<'_>, cx: &mut Cx) -> Option<PodDisruptionBudget> {
    let spec = object.get("spec")?;
    Some(PodDisruptionBudget {
        meta: object.meta.clone(),
        pods: spec.get("selector").map(|pods| selector::read(&pods)),
        min_available: int_or_percent(&spec, "minAvailable", cx),
        max_unavailable: int_or_percent(&spec, "maxUnavailable", cx),
    })
}
