//! KEDA: `ScaledObject` (`KD-1`, `KD-2`).

use meshproof_model::{
    Located, Nanos,
    delivery::{ScaledObject, Trigger},
};

use crate::{cx::Cx, field::Field, linkerd::quantity_milli, object::Object};

/// Types of triggers: the keys of their value for each pod and of their activation, and the default of the first.
const TRIGGERS: &[(&str, &str, &str, Option<u64>)] = &[
    ("aws-sqs-queue", "queueLength", "activationQueueLength", Some(5)),
    ("azure-queue", "queueLength", "activationQueueLength", Some(5)),
    ("kafka", "lagThreshold", "activationLagThreshold", Some(10)),
    ("apache-kafka", "lagThreshold", "activationLagThreshold", Some(10)),
    ("prometheus", "threshold", "activationThreshold", None),
    ("rabbitmq", "value", "activationValue", None),
    ("redis", "listLength", "activationListLength", Some(5)),
    ("nats-jetstream", "lagThreshold", "activationLagThreshold", Some(10)),
    ("cron", "desiredReplicas", "", None),
    ("cpu", "value", "", None),
    ("memory", "value", "", None),
];

pub(super) fn read(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Option<ScaledObject> {
    let target = spec.get("scaleTargetRef")?;
    let kind = target.text_at("kind").unwrap_or_else(|| "Deployment".to_owned());
    let name = target.text_at("name")?;
    let seconds = |key: &'static str, cx: &mut Cx| -> Option<Located<Nanos>> {
        cx.count(spec, key).map(|count| count.map(|n| Nanos::from_secs(n.into())))
    };
    let fallback = spec
        .get("fallback")
        .and_then(|fallback| Some((cx.count(&fallback, "failureThreshold")?, cx.count(&fallback, "replicas")?)));
    Some(ScaledObject {
        meta: object.meta.clone(),
        target: target.located((kind, name)),
        min_replicas: cx.count(spec, "minReplicaCount"),
        max_replicas: cx.count(spec, "maxReplicaCount"),
        idle_replicas: cx.count(spec, "idleReplicaCount"),
        polling_interval: seconds("pollingInterval", cx),
        cooldown: seconds("cooldownPeriod", cx),
        fallback,
        triggers: spec.read_list("triggers", |entry| trigger(&entry)),
    })
}

fn trigger(field: &Field<'_>) -> Option<Trigger> {
    let kind = field.text_at("type")?;
    let metadata = field.get("metadata");
    let milli = |key: &'static str| -> Option<Located<u64>> {
        let written = metadata.as_ref()?.get(key)?;
        Some(written.located(quantity_milli(&written.text()?)?))
    };
    let known = TRIGGERS.iter().find(|(name, ..)| *name == kind);
    let default = known.and_then(|(.., default)| *default).map(|value| field.located(value * 1000));
    Some(Trigger {
        at: field.at(),
        target_milli: known.and_then(|(_, key, ..)| milli(key)).or(default),
        activation_milli: known.and_then(|(_, _, key, _)| milli(key)),
        kind,
    })
}
