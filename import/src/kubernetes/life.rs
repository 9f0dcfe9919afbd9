//! Kubernetes: probes, hooks and strategies (`K-2`, `K-3`, `K-4`). Verdicts do not see them yet: what is read here stays
//! among what is not modelled.

use meshproof_model::{
    Located, Nanos,
    kubernetes::{ContainerLife, Hook, IntOrPercent, PodLife, Probe, ProbeAction, Strategy},
};

use crate::{cx::Cx, field::Field};

/// The life of the pods of a template; `owner` is the `spec` of what runs them.
pub(crate) fn read(owner: Option<&Field<'_>>, pod: &Field<'_>, cx: &mut Cx) -> PodLife {
    let (owner, pod) = (owner.map(Field::quietly), pod.quietly());
    let written = owner.as_ref().and_then(|owner| owner.get("strategy").or_else(|| owner.get("updateStrategy")));
    let seconds = |field: Option<&Field<'_>>, key: &'static str, cx: &mut Cx| {
        field.and_then(|field| cx.count(field, key)).map(|count| count.map(|n| Nanos::from_secs(n.into())))
    };
    PodLife {
        strategy: written.map(|written| strategy(&written, cx)).unwrap_or_default(),
        min_ready: seconds(owner.as_ref(), "minReadySeconds", cx),
        progress_deadline: seconds(owner.as_ref(), "progressDeadlineSeconds", cx),
        termination_grace: seconds(Some(&pod), "terminationGracePeriodSeconds", cx),
        containers: pod.list("containers").map(|container| self::container(&container, cx)).collect(),
    }
}

fn strategy(field: &Field<'_>, cx: &mut Cx) -> Strategy {
    let kind = field.text_at("type");
    let rolling = field.get("rollingUpdate");
    let mut bound = |key: &'static str| rolling.as_ref().and_then(|rolling| int_or_percent(rolling, key, cx));
    Strategy {
        at: Some(field.at()),
        recreates: kind.is_some_and(|kind| kind == "Recreate" || kind == "OnDelete"),
        max_surge: bound("maxSurge"),
        max_unavailable: bound("maxUnavailable"),
    }
}

/// A number or a percentage.
pub(crate) fn int_or_percent(object: &Field<'_>, key: &'static str, cx: &mut Cx) -> Option<Located<IntOrPercent>> {
    let field = object.get(key)?;
    let value = field.text().and_then(|text| IntOrPercent::parse(&text));
    if value.is_none() {
        cx.invalid(&field, format!("`{key}` is a number or a percentage"), "write `2` or `25%`");
    }
    value.map(|value| field.located(value))
}

fn container(field: &Field<'_>, cx: &mut Cx) -> ContainerLife {
    let lifecycle = field.get("lifecycle");
    let hook =
        |key: &'static str| lifecycle.as_ref().and_then(|lifecycle| lifecycle.get(key)).map(|hook| self::hook(&hook));
    let resources = field.get("resources");
    let cpu = |key: &'static str| {
        let cpu = resources.as_ref()?.get(key)?.get("cpu")?;
        Some(cpu.located(cpu_milli(&cpu.text()?)?))
    };
    ContainerLife {
        name: field.text_at("name").unwrap_or_default(),
        readiness: field.get("readinessProbe").map(|probe| self::probe(&probe, cx)),
        liveness: field.get("livenessProbe").map(|probe| self::probe(&probe, cx)),
        startup: field.get("startupProbe").map(|probe| self::probe(&probe, cx)),
        pre_stop: hook("preStop"),
        post_start: hook("postStart"),
        cpu_request_milli: cpu("requests"),
        cpu_limit_milli: cpu("limits"),
    }
}

/// A hook that sleeps says how long: by `sleep.seconds`, or by the last word of a command that is a `sleep`.
fn hook(field: &Field<'_>) -> Hook {
    let native = || field.get("sleep")?.get("seconds")?.int().and_then(|n| u64::try_from(n).ok());
    let command = || {
        let words: Vec<String> = field.get("exec")?.texts("command").into_iter().map(|word| word.value).collect();
        let words = words.join(" ");
        let (_, after) = words.rsplit_once("sleep ")?;
        after.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
    };
    Hook { at: field.at(), sleep: native().or_else(command).map(Nanos::from_secs) }
}

fn probe(field: &Field<'_>, cx: &mut Cx) -> Probe {
    let port = |action: &Field<'_>| action.text_at("port").unwrap_or_default();
    let action = if let Some(get) = field.get("httpGet") {
        ProbeAction::HttpGet { path: get.text_at("path").unwrap_or_else(|| "/".to_owned()), port: port(&get) }
    } else if let Some(socket) = field.get("tcpSocket") {
        ProbeAction::TcpSocket(port(&socket))
    } else if let Some(number) = field.get("grpc").and_then(|grpc| cx.port(&grpc, "port")) {
        ProbeAction::Grpc(number.value)
    } else {
        ProbeAction::Exec
    };
    Probe {
        at: field.at(),
        action,
        initial_delay: cx.count(field, "initialDelaySeconds"),
        period: cx.count(field, "periodSeconds"),
        timeout: cx.count(field, "timeoutSeconds"),
        success_threshold: cx.count(field, "successThreshold"),
        failure_threshold: cx.count(field, "failureThreshold"),
    }
}

/// A quantity of processors in thousandths: `500m`, `2`, `0.5`.
fn cpu_milli(text: &str) -> Option<u32> {
    crate::linkerd::quantity_milli(text).and_then(|milli| u32::try_from(milli).ok())
}
