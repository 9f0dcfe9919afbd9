//! Argo Rollouts: `AnalysisTemplate`, `ClusterAnalysisTemplate` (`AR-5`).

use meshproof_model::{
    Located,
    delivery::{AnalysisMetric, AnalysisTemplate},
};

use crate::{cx::Cx, field::Field, object::Object};

pub(super) fn read(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> AnalysisTemplate {
    AnalysisTemplate {
        meta: object.meta.clone(),
        metrics: spec.list("metrics").map(|entry| metric(&entry, cx)).collect(),
        dry_run: spec.list("dryRun").filter_map(|entry| entry.text_at("metricName")).collect(),
        args: spec.list("args").filter_map(|arg| Some((arg.text_at("name")?, arg.text_at("value")))).collect(),
    }
}

/// Fields that may be arguments beside the query and the conditions.
const LIMITS: [&str; 7] = [
    "count",
    "interval",
    "initialDelay",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
];

fn metric(field: &Field<'_>, cx: &mut Cx) -> AnalysisMetric {
    // Limits may be arguments, `{{args.x}}`, which are not known.
    let limit = |key: &'static str| -> Option<Located<i64>> {
        let written = field.get(key)?;
        Some(written.located(written.int()?))
    };
    let count = limit("count").and_then(|count| Some(Located::new(u32::try_from(count.value).ok()?, count.at)));
    AnalysisMetric {
        at: field.at(),
        name: field.text_at("name").unwrap_or_default(),
        count,
        failure_limit: limit("failureLimit"),
        inconclusive_limit: limit("inconclusiveLimit"),
        consecutive_error_limit: limit("consecutiveErrorLimit"),
        consecutive_success_limit: limit("consecutiveSuccessLimit"),
        success_condition: field.located_text("successCondition"),
        failure_condition: field.located_text("failureCondition"),
        query: field
            .get("provider")
            .and_then(|provider| provider.get("prometheus"))
            .and_then(|prometheus| prometheus.located_text("query")),
        arguments: LIMITS
            .iter()
            .filter(|key| field.text_at(key).is_some_and(|text| text.contains("{{")))
            .map(|key| (*key).to_owned())
            .collect(),
        interval: time(field, "interval", cx),
        initial_delay: time(field, "initialDelay", cx),
    }
}

/// A duration; an argument, `{{args.x}}`, is not known.
fn time(field: &Field<'_>, key: &'static str, cx: &mut Cx) -> Option<Located<meshproof_model::Nanos>> {
    let is_argument = field.text_at(key).is_some_and(|text| text.contains("{{"));
    if is_argument { None } else { super::duration(field, key, cx) }
}
