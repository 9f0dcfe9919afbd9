//! Annotations of Linkerd (`L-1`, `L-5`, `L-7`), on namespaces, pods, services and routes.

use meshproof_model::{
    Finding, INVALID_VALUE, Located, MISPLACED_FIELD, Nanos, Rule, Severity, UNKNOWN_FIELD,
    linkerd::{
        AnnotatedPolicy, FailureAccrual, InboundPolicy, Inject, Ports, ProxyOptions, Retry, RoutePolicy, Timeouts,
    },
};

use crate::{cx::Cx, duration::go_duration, field::Field, object::Object, schema};

/// Names behind a prefix, and whether there are no others.
type Names = (&'static str, &'static [&'static str], bool);

const INJECT: &str = "linkerd.io/inject";
const KNOWN: &[Names] = &[
    ("retry.linkerd.io/", &["http", "grpc", "limit", "timeout"], true),
    ("timeout.linkerd.io/", &["request", "response", "idle"], true),
    (
        "balancer.linkerd.io/",
        &[
            "failure-accrual",
            "failure-accrual-consecutive-max-failures",
            "failure-accrual-consecutive-min-penalty",
            "failure-accrual-consecutive-max-penalty",
            "failure-accrual-consecutive-jitter-ratio",
        ],
        false,
    ),
    (
        "config.linkerd.io/",
        &[
            "opaque-ports",
            "skip-inbound-ports",
            "skip-outbound-ports",
            "default-inbound-policy",
            "proxy-outbound-connect-timeout",
            "proxy-inbound-connect-timeout",
        ],
        false,
    ),
];

/// The annotations of an object or a template that are Linkerd's.
struct Annotations {
    all: Vec<(String, Located<String>)>,
}

impl Annotations {
    fn of(metadata: Option<&Field<'_>>) -> Self {
        let annotations = metadata.and_then(|metadata| metadata.get("annotations"));
        let fields = annotations.into_iter().flat_map(|annotations| annotations.fields());
        let ours = fields.filter(|(name, _)| name.contains("linkerd.io/"));
        let text = |(name, field): (&str, Field<'_>)| Some((name.to_owned(), field.located(field.text()?)));
        Self { all: ours.filter_map(text).collect() }
    }

    fn get(&self, name: &str) -> Option<&Located<String>> {
        self.all.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The value of an annotation, read; a finding if it cannot be.
    fn read<T>(&self, cx: &mut Cx, name: &str, help: &str, read: impl Fn(&str) -> Option<T>) -> Option<Located<T>> {
        let written = self.get(name)?;
        let value = read(written.value.trim());
        if value.is_none() {
            let message = format!("`{name}` does not take `{}`", written.value);
            push(cx, &INVALID_VALUE, message, written, help);
        }
        value.map(|value| Located::new(value, written.at.clone()))
    }

    fn duration(&self, cx: &mut Cx, name: &str) -> Option<Located<Nanos>> {
        self.read(cx, name, "write a number with a unit, such as `500ms` or `2s`", go_duration)
    }
}

fn push(cx: &mut Cx, rule: &'static Rule, message: String, at: &Located<String>, help: &str) {
    let finding = Finding::new(rule, cx.subject().clone(), message).at(at.at.clone()).help(help);
    cx.findings.push(finding);
}

/// What the annotations of a namespace, a service or a template of pods say about proxies.
pub(crate) fn options(metadata: Option<&Field<'_>>, cx: &mut Cx) -> ProxyOptions {
    let all = Annotations::of(metadata);
    let inject = |text: &str| match text {
        "enabled" | "ingress" => Some(Inject::Enabled),
        "disabled" => Some(Inject::Disabled),
        _ => None,
    };
    let policy = |text: &str| InboundPolicy::NAMES.iter().find(|(name, _)| *name == text).map(|(_, policy)| *policy);
    let ports = "list ports and ranges, such as `25,587,4000-5000`";
    ProxyOptions {
        inject: all.read(cx, INJECT, "it takes `enabled`, `ingress` and `disabled`", inject),
        opaque_ports: all.read(cx, "config.linkerd.io/opaque-ports", ports, Ports::parse),
        skip_inbound_ports: all.read(cx, "config.linkerd.io/skip-inbound-ports", ports, Ports::parse),
        skip_outbound_ports: all.read(cx, "config.linkerd.io/skip-outbound-ports", ports, Ports::parse),
        default_inbound_policy: all.read(
            cx,
            "config.linkerd.io/default-inbound-policy",
            "it takes `all-unauthenticated`, `cluster-unauthenticated`, `all-authenticated`, `cluster-authenticated`, \
             `deny` and `audit`",
            policy,
        ),
        outbound_connect_timeout: all.duration(cx, "config.linkerd.io/proxy-outbound-connect-timeout"),
        inbound_connect_timeout: all.duration(cx, "config.linkerd.io/proxy-inbound-connect-timeout"),
    }
}

/// What the annotations of an object ask of requests; only those of services and routes are read.
pub(crate) fn policy(object: &Object<'_>, cx: &mut Cx) -> Option<AnnotatedPolicy> {
    let all = Annotations::of(object.get("metadata").as_ref());
    names(&all, cx);
    let kind = object.meta.resource.kind.as_str();
    let is_service = kind == "Service" && object.group.is_empty();
    let is_route = matches!(kind, "HTTPRoute" | "GRPCRoute");
    let policy = RoutePolicy {
        retry: retry(&all, cx),
        timeouts: Timeouts {
            request: all.duration(cx, "timeout.linkerd.io/request").filter(|limit| !limit.value.is_zero()),
            response: all.duration(cx, "timeout.linkerd.io/response").filter(|limit| !limit.value.is_zero()),
            idle: all.duration(cx, "timeout.linkerd.io/idle").filter(|limit| !limit.value.is_zero()),
        },
        failure_accrual: failure_accrual(&all, cx),
    };
    misplaced(&all, is_service, is_route, kind, cx);
    if policy.is_empty() || !(is_service || is_route || kind == "EgressNetwork") {
        return None;
    }
    Some(AnnotatedPolicy { resource: object.meta.resource.clone(), group: object.group.clone(), policy })
}

/// Names that are one slip away from a real one, or that a complete list does not have.
fn names(all: &Annotations, cx: &mut Cx) {
    for (name, written) in &all.all {
        let Some((prefix, known, complete)) = KNOWN.iter().find(|(prefix, ..)| name.starts_with(prefix)) else {
            continue;
        };
        let rest = &name[prefix.len()..];
        if known.contains(&rest) {
            continue;
        }
        let message = format!("`{name}` is no annotation of Linkerd");
        match schema::slip(rest, known.iter().copied()) {
            Some(meant) => push(cx, &MISPLACED_FIELD, message, written, &format!("did you mean `{prefix}{meant}`?")),
            None if *complete => {
                let list = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
                push(cx, &UNKNOWN_FIELD, message, written, &format!("after `{prefix}` it knows {list}"));
            }
            None => {}
        }
    }
}

/// Annotations on kinds where nobody reads them (`L-5`, `L-7`).
fn misplaced(all: &Annotations, is_service: bool, is_route: bool, kind: &str, cx: &mut Cx) {
    for (name, written) in &all.all {
        let of_requests = name.starts_with("retry.linkerd.io/") || name.starts_with("timeout.linkerd.io/");
        let of_hosts = name.starts_with("balancer.linkerd.io/");
        let belongs = match (of_requests, of_hosts) {
            (true, _) if !is_service && !is_route && kind != "EgressNetwork" => "a Service, HTTPRoute or GRPCRoute",
            (_, true) if !is_service => "a Service",
            _ => continue,
        };
        let message = format!("`{name}` on a {kind} has no effect");
        push(cx, &MISPLACED_FIELD, message, written, &format!("put it on {belongs}"));
        if let Some(finding) = cx.findings.last_mut() {
            finding.severity = Severity::Warning;
        }
    }
}

fn retry(all: &Annotations, cx: &mut Cx) -> Option<Retry> {
    let at = all.all.iter().find(|(name, _)| name.starts_with("retry.linkerd.io/"))?.1.at.clone();
    let statuses = "list `5xx`, `gateway-error`, statuses and ranges, such as `500,502-504`";
    let conditions = "list `cancelled`, `deadline-exceeded`, `internal`, `resource-exhausted`, `unavailable`";
    let limit = |text: &str| text.parse::<u16>().ok().map(u32::from);
    let retry = Retry {
        at,
        http: all.read(cx, "retry.linkerd.io/http", statuses, http_statuses),
        grpc: all.read(cx, "retry.linkerd.io/grpc", conditions, grpc_conditions),
        limit: all.read(cx, "retry.linkerd.io/limit", "write a number", limit).filter(|limit| limit.value > 0),
        timeout: all.duration(cx, "retry.linkerd.io/timeout").filter(|limit| !limit.value.is_zero()),
    };
    let asks = retry.http.is_some() || retry.grpc.is_some() || retry.limit.is_some() || retry.timeout.is_some();
    asks.then_some(retry)
}

fn http_statuses(text: &str) -> Option<Vec<(u16, u16)>> {
    let status = |text: &str| text.trim().parse::<u16>().ok().filter(|status| (100..600).contains(status));
    let part = |part: &str| match part.trim() {
        "5xx" => Some((500, 599)),
        "gateway-error" => Some((502, 504)),
        part => match part.split_once('-') {
            Some((from, to)) => Some((status(from)?, status(to)?)).filter(|(from, to)| from <= to),
            None => status(part).map(|status| (status, status)),
        },
    };
    text.split(',').map(part).collect()
}

fn grpc_conditions(text: &str) -> Option<Vec<String>> {
    const KNOWN: &[&str] = &["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"];
    let known = |part: &str| KNOWN.contains(&part.trim()).then(|| part.trim().to_owned());
    text.split(',').map(known).collect()
}

fn failure_accrual(all: &Annotations, cx: &mut Cx) -> Option<FailureAccrual> {
    const MODE: &str = "balancer.linkerd.io/failure-accrual";
    let count = |text: &str| text.parse::<u32>().ok();
    let jitter = |text: &str| {
        let ratio: f64 = text.parse().ok().filter(|ratio| (0.0..=100.0).contains(ratio))?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100,000")]
        Some((ratio * 1000.0).round() as u32)
    };
    let name = |part: &str| format!("{MODE}-consecutive-{part}");
    let accrual = FailureAccrual {
        at: all.get(MODE)?.at.clone(),
        max_failures: all.read(cx, &name("max-failures"), "write a number", count),
        min_penalty: all.duration(cx, &name("min-penalty")),
        max_penalty: all.duration(cx, &name("max-penalty")),
        jitter_ratio_milli: all.read(cx, &name("jitter-ratio"), "write a ratio, such as `0.5`", jitter),
    };
    let mode = all.read(cx, MODE, "it takes `consecutive`", |text| (text == "consecutive").then_some(()));
    mode.map(|_| accrual)
}
