//! Observations in the form that the schema asks for.

use std::collections::BTreeMap;

use meshproof_proxy::{ClusterCounter, ClusterId, HttpCounter, Nanos, Time};
use serde_json::{Map, Value, json};

use crate::{
    case::{Kind, Protocol, Request},
    drive::{Arrival, Exchange, Flow, LISTENER, Log, Origin, World},
};

/// Counters of a cluster's hosts and balancer, and a gauge.
const HOST_COUNTERS: [&str; 22] = [
    "upstream_cx_none_healthy",
    "lb_healthy_panic",
    "lb_subsets_selected",
    "lb_subsets_fallback",
    "outlier_detection.ejections_active",
    "outlier_detection.ejections_total",
    "outlier_detection.ejections_overflow",
    "outlier_detection.ejections_enforced_total",
    "outlier_detection.ejections_consecutive_5xx",
    "outlier_detection.ejections_detected_consecutive_5xx",
    "outlier_detection.ejections_enforced_consecutive_5xx",
    "outlier_detection.ejections_detected_consecutive_gateway_failure",
    "outlier_detection.ejections_enforced_consecutive_gateway_failure",
    "outlier_detection.ejections_detected_consecutive_local_origin_failure",
    "outlier_detection.ejections_enforced_consecutive_local_origin_failure",
    "outlier_detection.ejections_success_rate",
    "outlier_detection.ejections_detected_success_rate",
    "outlier_detection.ejections_enforced_success_rate",
    "outlier_detection.ejections_detected_failure_percentage",
    "outlier_detection.ejections_enforced_failure_percentage",
    "outlier_detection.ejections_detected_local_origin_success_rate",
    "outlier_detection.ejections_enforced_local_origin_success_rate",
];

/// What the requests of a finished case look like.
pub(crate) fn requests(world: &World<'_>) -> Value {
    let list = world.case.requests.iter().enumerate().map(|(index, request)| {
        if request.repeat.is_some() && world.case.kind == Kind::Distribution {
            distribution(world, index)
        } else {
            exact(world, index, request)
        }
    });
    Value::Array(list.collect())
}

fn exact(world: &World<'_>, index: usize, request: &Request) -> Value {
    let Some(exchange) = world.exchanges.iter().find(|exchange| exchange.request == index) else {
        return json!({ "status": null });
    };
    let mut seen = Map::new();
    let mut put = |name: &str, value: Value| seen.insert(name.to_owned(), value);
    put("status", json!(exchange.status));
    if exchange.is_aborted {
        put("client_aborted", json!(true));
    }
    if exchange.is_cut {
        put("client_saw_reset", json!(true));
    }
    if let Some(code) = exchange.reset_code {
        put("client_reset_code", json!(code));
    }
    let flow = exchange.flow.map(|flow| &world.flows[flow]);
    if let Some(log) = flow.and_then(|flow| flow.log.as_ref()) {
        put("flags", json!(log.flags));
        put("details", json!(log.details));
        put("attempts", json!(log.attempts));
        put("route", json!(log.route));
        put("cluster", json!(log.cluster));
        put("log_status", json!(log.status));
        put("time_ms", json!(log.duration.as_millis()));
        if let Some(failure) = log.transport_failure {
            put("transport_failure", json!(failure));
        }
        if let Some(status) = log.grpc_status {
            put("grpc_status_logged", json!(status));
        }
    }
    let arrivals: Vec<_> = world.arrivals.iter().filter(|arrival| is_of(&arrival.request, index)).collect();
    upstream(world, exchange, request, &arrivals, &mut put);
    if !world.case.config.proxies.is_empty() {
        put("proxies", proxies(world, index));
    }
    downstream(exchange, request, &mut put);
    Value::Object(seen)
}

/// Whether a request is the one with this index, or one of its closed loop.
fn is_of(request: &str, index: usize) -> bool {
    request.split('.').next() == Some(index.to_string().as_str())
}

fn upstream(
    world: &World<'_>,
    exchange: &Exchange,
    request: &Request,
    arrivals: &[&Arrival],
    put: &mut impl FnMut(&str, Value) -> Option<Value>,
) {
    let each = |value: fn(&World<'_>, &Arrival) -> Value| {
        Value::Array(arrivals.iter().map(|arrival| value(world, arrival)).collect())
    };
    put("hosts", each(|world, arrival| json!(world.hosts[arrival.host].name)));
    put("upstream_connections", each(|_, arrival| json!(arrival.connection)));
    let times = arrivals.iter().map(|arrival| arrival.at.since(exchange.sent).as_millis());
    put("attempt_ms", json!(times.collect::<Vec<_>>()));
    if arrivals.iter().any(|arrival| arrival.reset_by_proxy) {
        put("upstream_reset_by_proxy", each(|_, arrival| json!(arrival.reset_by_proxy.then_some("internal_error"))));
    }
    if let Some(last) = arrivals.last() {
        if last.path != request.path {
            put("upstream_path", json!(last.path));
        }
        if last.method != request.method {
            put("upstream_method", json!(last.method));
        }
    }
    let observe = &request.observe;
    if !observe.upstream_headers.is_empty() {
        let last = arrivals.last().map_or(&[][..], |last| &last.headers);
        put("upstream_headers", observe.upstream_headers.iter().map(|name| values(last, name)).collect());
    }
    if !observe.upstream_headers_each_attempt.is_empty() {
        let each = observe.upstream_headers_each_attempt.iter().map(|name| {
            let attempts = arrivals.iter().map(|arrival| values(&arrival.headers, name).1);
            (name.clone(), Value::Array(attempts.collect()))
        });
        put("upstream_headers_each_attempt", each.collect());
    }
}

fn downstream(exchange: &Exchange, request: &Request, put: &mut impl FnMut(&str, Value) -> Option<Value>) {
    let observe = &request.observe;
    if !observe.response_headers.is_empty() {
        let headers = observe.response_headers.iter().map(|name| values(&exchange.headers, name));
        put("response_headers", headers.collect());
    }
    if !observe.response_trailers.is_empty() {
        let trailers = observe.response_trailers.iter().map(|name| values(&exchange.trailers, name));
        put("response_trailers", trailers.collect());
    }
    if observe.body_size.is_some() {
        // The rig's HTTP/1.1 client counts a body only when it has all of it.
        let counts = exchange.is_complete || request.protocol == Protocol::Http2;
        put("body_bytes", json!(if counts { exchange.body_bytes } else { 0 }));
    }
    if observe.body && exchange.is_complete {
        put("body", json!(exchange.body()));
    }
}

/// A header's name and its values, without what differs from run to run.
fn values(headers: &[(String, String)], name: &str) -> (String, Value) {
    let values = headers.iter().filter(|(other, _)| other == name).map(|(_, value)| scrub(value));
    (name.to_owned(), values.collect())
}

/// Shows a token as `<token>` and a certificate's hash as `<sha256>`.
fn scrub(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some(start) = rest.find("eyJ") {
        let length = rest[start..].find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)));
        text += &rest[..start];
        text += "<token>";
        rest = length.map_or("", |length| &rest[start + length..]);
    }
    text += rest;
    match text.split_once("Hash=") {
        Some((before, after)) if !after.starts_with('<') => {
            let hash = after.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(after.len());
            format!("{before}Hash=<sha256>{}", &after[hash..])
        }
        _ => text,
    }
}

/// What each further proxy logged of a request, in the order of arrival.
fn proxies(world: &World<'_>, index: usize) -> Value {
    let entries = world.nodes.iter().enumerate().skip(1).map(|(node, proxy)| {
        let flows = world.flows.iter().filter(|flow| flow.node == node && is_of(&flow.request, index));
        let list = flows.filter_map(|flow| Some(proxy_view(world, flow, flow.log.as_ref()?)));
        (proxy.name.clone(), Value::Array(list.collect()))
    });
    Value::Object(entries.collect())
}

fn proxy_view(world: &World<'_>, flow: &Flow, log: &Log) -> Value {
    let mut view = json!({
        "status": log.status,
        "flags": log.flags,
        "details": log.details,
        "attempts": log.attempts,
        "route": log.route,
        "cluster": log.cluster,
        "time_ms": log.duration.as_millis(),
        "protocol": if flow.http2 { "HTTP/2" } else { "HTTP/1.1" },
    });
    if let Origin::Leg(leg) = flow.origin {
        let facts = &world.links[world.legs[leg].link].facts;
        if let Some(version) = facts.tls_version {
            let sans = facts.identity.as_ref().map(|identity| identity.uri_sans.join(","));
            view["tls"] = json!({ "version": version, "peer_uri_san": sans.filter(|sans| !sans.is_empty()) });
        }
    }
    view
}

/// Counts over a closed loop.
fn distribution(world: &World<'_>, index: usize) -> Value {
    let exchanges: Vec<_> = world.exchanges.iter().filter(|exchange| exchange.request == index).collect();
    let logs = || exchanges.iter().filter_map(|exchange| world.flows[exchange.flow?].log.as_ref());
    let arrivals = || world.arrivals.iter().filter(|arrival| is_of(&arrival.request, index));
    json!({
        "n": exchanges.len(),
        "status": counts(exchanges.iter().map(|exchange| exchange.status.unwrap_or(0).to_string())),
        "flags": counts(logs().map(|log| log.flags.join(","))),
        "details": counts(logs().map(|log| log.details.clone())),
        "attempts": counts(logs().map(|log| log.attempts.to_string())),
        "upstream_by_host": counts(arrivals().map(|arrival| world.hosts[arrival.host].name.clone())),
        "upstream_by_cluster": counts(arrivals().map(|arrival| world.hosts[arrival.host].cluster.clone())),
        "attempt_gap_ms": gaps(arrivals()),
    })
}

fn counts(values: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

/// The times between the attempts of each request, by the number of the gap.
fn gaps<'a>(arrivals: impl Iterator<Item = &'a Arrival>) -> Value {
    let mut last = BTreeMap::<&str, (usize, Time)>::new();
    let mut gaps = BTreeMap::<usize, Vec<Nanos>>::new();
    for arrival in arrivals {
        let entry = last.entry(&arrival.request).or_insert((0, arrival.at));
        if entry.0 > 0 {
            gaps.entry(entry.0).or_default().push(arrival.at.since(entry.1));
        }
        *entry = (entry.0 + 1, arrival.at);
    }
    let summary = gaps.into_iter().map(|(gap, mut times)| {
        times.sort_unstable();
        let at = |place: usize| tenths(times.get(place).copied().unwrap_or_default());
        let n = times.len();
        let sum: u64 = times.iter().map(|time| time.get()).sum();
        let mean = tenths(Nanos::new(sum / (n as u64).max(1)));
        let value = json!({
            "n": n, "min": at(0), "p10": at(n / 10), "p50": at(n / 2), "p90": at(n * 9 / 10), "max": at(n - 1),
            "mean": mean,
        });
        (gap.to_string(), value)
    });
    Value::Object(summary.collect())
}

/// Milliseconds with one decimal.
fn tenths(time: Nanos) -> f64 {
    let tenths = u32::try_from((time.get() + 50_000) / 100_000).unwrap_or(u32::MAX);
    f64::from(tenths) / 10.0
}

/// The counters of all proxies, zeros left out.
pub(crate) fn stats(world: &World<'_>) -> Map<String, Value> {
    let mut all = Map::new();
    for (node, proxy) in world.nodes.iter().enumerate() {
        let prefix = if node == 0 { String::new() } else { format!("{}/", proxy.name) };
        let mut put = |name: String, value: u64| {
            if value > 0 {
                all.insert(format!("{prefix}{name}"), json!(value));
            }
        };
        for (index, cluster) in proxy.config.clusters.iter().enumerate() {
            let id = ClusterId::new(u32::try_from(index).unwrap_or(u32::MAX));
            for name in ClusterCounter::ALL.iter().map(|counter| counter.name()).chain(HOST_COUNTERS) {
                put(format!("{}.{name}", cluster.name), proxy.proxy.counter(id, name).unwrap_or(0));
            }
        }
        let http = proxy.proxy.stats().http(LISTENER);
        for counter in HttpCounter::ALL {
            put(format!("http.{}", counter.name()), http.get(*counter));
        }
        for (owner, stats) in ["filter", "route_filter"].into_iter().zip(proxy.proxy.local_rate_limits(LISTENER)) {
            put(format!("{owner}.enabled"), stats.enabled);
            put(format!("{owner}.ok"), stats.ok);
            put(format!("{owner}.rate_limited"), stats.rate_limited);
            put(format!("{owner}.enforced"), stats.enforced);
        }
        for (prefix, limit) in ["filter", "route_filter"].into_iter().zip(proxy.proxy.local_rate_limits(LISTENER)) {
            put(format!("{prefix}.enabled"), limit.enabled);
            put(format!("{prefix}.enforced"), limit.enforced);
            put(format!("{prefix}.ok"), limit.ok);
            put(format!("{prefix}.rate_limited"), limit.rate_limited);
        }
        for (name, value) in &proxy.transport {
            put(name.clone(), *value);
        }
    }
    all
}
