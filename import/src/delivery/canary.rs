//! Flagger: Canary (`FL-1` to `FL-4`).

use meshproof_model::{
    TargetPort,
    delivery::{Canary, CanaryAnalysis, CanaryMetric, CanaryService, MetricTemplate},
};

use super::duration;
use crate::{
    cx::Cx,
    field::Field,
    istio::{destination_rule, retries, virtual_service},
    object::Object,
    yaml::Plain,
};

pub(super) fn read(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Option<Canary> {
    let target = spec.get("targetRef")?;
    let name = (target.text_at("kind")?, target.text_at("name")?);
    let analysis = spec.get("analysis").or_else(|| spec.get("canaryAnalysis"));
    Some(Canary {
        meta: object.meta.clone(),
        target: target.located(name),
        provider: spec.located_text("provider"),
        service: spec.get("service").map(|service| self::service(&service, cx)).unwrap_or_default(),
        analysis: analysis.map(|analysis| self::analysis(&analysis, cx)).unwrap_or_default(),
        progress_deadline: cx.count(spec, "progressDeadlineSeconds"),
        skip_analysis: spec.bool_at("skipAnalysis").unwrap_or(false),
    })
}

fn service(field: &Field<'_>, cx: &mut Cx) -> CanaryService {
    CanaryService {
        name: field.located_text("name"),
        port: cx.port(field, "port"),
        port_name: field.text_at("portName"),
        hosts: field.texts("hosts"),
        gateways: field.texts("gateways"),
        timeout: duration(field, "timeout", cx),
        retries: field.get("retries").map(|written| retries::read(&written, cx)),
        target_port: field.get("targetPort").and_then(|port| match port.node().plain()? {
            Plain::Text(name) => Some(TargetPort::Name(name.to_owned())),
            _ => cx.port_value(&port).map(|port| TargetPort::Number(port.value)),
        }),
        app_protocol: field.text_at("appProtocol"),
        rule: Some(virtual_service::http_route(field, &mut Cx::silent(cx))),
        traffic_policy: field.get("trafficPolicy").map(|policy| destination_rule::traffic_policy(&policy, cx)),
    }
}

fn analysis(field: &Field<'_>, cx: &mut Cx) -> CanaryAnalysis {
    let weights = field.list("stepWeights").filter_map(|weight| weight.int().and_then(|n| u32::try_from(n).ok()));
    CanaryAnalysis {
        at: Some(field.at()),
        interval: duration(field, "interval", cx),
        threshold: cx.count(field, "threshold"),
        max_weight: cx.count(field, "maxWeight"),
        step_weight: cx.count(field, "stepWeight"),
        step_weights: weights.collect(),
        step_weight_promotion: cx.count(field, "stepWeightPromotion"),
        iterations: cx.count(field, "iterations"),
        mirror: field.bool_at("mirror").unwrap_or(false),
        metrics: field.read_list("metrics", |entry| metric(&entry, cx)),
        has_match: field.has("match"),
    }
}

fn metric(field: &Field<'_>, cx: &mut Cx) -> Option<CanaryMetric> {
    let range = field.get("thresholdRange");
    let of = |key: &'static str| range.as_ref().and_then(|range| number(range, key));
    let template = field.get("templateRef");
    Some(CanaryMetric {
        name: field.located_text("name")?,
        interval: duration(field, "interval", cx),
        min: of("min"),
        max: of("max"),
        threshold: number(field, "threshold"),
        template: template.and_then(|template| Some((template.text_at("namespace"), template.text_at("name")?))),
        query: field.text_at("query"),
    })
}

fn number(field: &Field<'_>, key: &'static str) -> Option<f64> {
    field.text_at(key)?.parse().ok()
}

/// A query of the user's own.
pub(super) fn template(object: &Object<'_>, spec: &Field<'_>) -> Option<MetricTemplate> {
    Some(MetricTemplate {
        meta: object.meta.clone(),
        provider: spec.get("provider").and_then(|provider| provider.text_at("type")).unwrap_or_default(),
        query: spec.located_text("query")?,
    })
}
