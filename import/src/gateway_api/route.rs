//! Gateway API: HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute.

use meshproof_model::{
    Located,
    gateway_api::{ConnectionRoute, ConnectionRule, HttpRoute, HttpRule, PathMatch, Retry, RouteMatch, RpcMatch},
    istio::StringMatch,
};

use super::{duration, filter, refs};
use crate::{cx::Cx, field::Field, object::Object};

/// Reads an HTTPRoute or a GRPCRoute.
pub(crate) fn http(object: &Object<'_>, cx: &mut Cx) -> Option<HttpRoute> {
    let spec = object.get("spec")?;
    Some(HttpRoute {
        meta: object.meta.clone(),
        parents: refs::parents(&spec, cx),
        hostnames: spec.texts("hostnames"),
        rules: spec.list("rules").map(|rule| http_rule(&rule, object.meta.resource.kind == "GRPCRoute", cx)).collect(),
    })
}

/// Reads a TLSRoute, TCPRoute or UDPRoute.
pub(crate) fn connection(object: &Object<'_>, cx: &mut Cx) -> Option<ConnectionRoute> {
    let spec = object.get("spec")?;
    let rule = |field: Field<'_>| ConnectionRule {
        at: field.at(),
        name: field.located_text("name"),
        backends: refs::backends(&field, cx),
    };
    Some(ConnectionRoute {
        meta: object.meta.clone(),
        hostnames: spec.texts("hostnames"),
        rules: spec.list("rules").map(rule).collect(),
        parents: refs::parents(&spec, cx),
    })
}

fn http_rule(field: &Field<'_>, is_grpc: bool, cx: &mut Cx) -> HttpRule {
    let timeouts = field.get("timeouts");
    let mut timeout = |key: &'static str| timeouts.as_ref().and_then(|timeouts| duration::read(timeouts, key, cx));
    let (request_timeout, backend_timeout) = (timeout("request"), timeout("backendRequest"));
    if let (Some(request), Some(backend)) = (&request_timeout, &backend_timeout)
        && !request.value.is_zero()
        && backend.value > request.value
        && let Some(written) = timeouts.as_ref().and_then(|timeouts| timeouts.get("backendRequest"))
    {
        cx.invalid(&written, "`backendRequest` is longer than `request`", "make it at most as long");
    }
    HttpRule {
        at: field.at(),
        name: field.located_text("name"),
        matches: field.list("matches").map(|m| route_match(&m, is_grpc, cx)).collect(),
        filters: field.list("filters").map(|f| filter::read(&f, cx)).collect(),
        backends: refs::backends(field, cx),
        request_timeout,
        backend_timeout,
        retry: field.get("retry").map(|retry| read_retry(&retry, cx)),
    }
}

fn route_match(field: &Field<'_>, is_grpc: bool, cx: &mut Cx) -> RouteMatch {
    let method = field.get("method");
    RouteMatch {
        at: field.at(),
        path: field.get("path").map(|path| path_match(&path, cx)),
        method: field.located_text("method").filter(|_| !is_grpc),
        rpc: method.filter(|_| is_grpc).map(|method| rpc_match(&method)),
        headers: conditions(field, "headers", true),
        query: conditions(field, "queryParams", false),
    }
}

/// `G-4`: a prefix of `/` where nothing else is said.
fn path_match(field: &Field<'_>, cx: &mut Cx) -> Located<PathMatch> {
    let value = field.text_at("value").unwrap_or_else(|| "/".to_owned());
    let kind = field.text_at("type");
    if kind.as_deref() != Some("RegularExpression") && !value.starts_with('/') {
        cx.invalid(field, format!("`{value}` is no path"), "paths begin with `/`");
    }
    field.located(match kind.as_deref() {
        Some("Exact") => PathMatch::Exact(value),
        Some("RegularExpression") => PathMatch::Regex(value),
        _ => PathMatch::Prefix(value),
    })
}

fn rpc_match(field: &Field<'_>) -> Located<RpcMatch> {
    field.located(RpcMatch {
        service: field.text_at("service"),
        method: field.text_at("method"),
        regex: field.text_at("type").as_deref() == Some("RegularExpression"),
    })
}

/// Conditions on headers or query parameters: of those with one name the first counts.
fn conditions(field: &Field<'_>, key: &'static str, ignore_case: bool) -> Vec<(String, Located<StringMatch>)> {
    let mut conditions: Vec<(String, Located<StringMatch>)> = Vec::new();
    for entry in field.list(key) {
        let value = entry.text_at("value").unwrap_or_default();
        let matcher = match entry.text_at("type").as_deref() {
            Some("RegularExpression") => StringMatch::Regex(value),
            _ => StringMatch::Exact(value),
        };
        let Some(name) = entry.text_at("name") else { continue };
        let same = |known: &str| if ignore_case { known.eq_ignore_ascii_case(&name) } else { known == name };
        if !conditions.iter().any(|(known, _)| same(known)) {
            conditions.push((name, entry.located(matcher)));
        }
    }
    conditions
}

/// `G-7`.
fn read_retry(field: &Field<'_>, cx: &mut Cx) -> Retry {
    let codes = field.list("codes").filter_map(|code| {
        let number = code.int()?;
        let status = u16::try_from(number).ok().filter(|status| (400..=599).contains(status));
        if status.is_none() {
            cx.invalid(&code, format!("`{number}` is no status of an error"), "codes are 400 to 599");
        }
        status.map(|status| code.located(status))
    });
    let codes = codes.collect();
    Retry {
        at: field.at(),
        codes,
        attempts: field.get("attempts").and_then(|attempts| attempts.int().map(|number| attempts.located(number))),
        backoff: duration::read(field, "backoff", cx),
    }
}
