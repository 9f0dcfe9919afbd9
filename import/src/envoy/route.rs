//! Route configurations of a dump.

use meshproof_model::{Nanos, envoy::DumpedRoutes, proxy::config};

use super::{count, duration};
use crate::field::Field;

/// Reads a route configuration.
pub(super) fn read(field: &Field<'_>) -> Option<DumpedRoutes> {
    let mut places = Vec::new();
    let host = |entry: Field<'_>| {
        let read = |route: Field<'_>| Some((self::route(&route)?, route.at()));
        let (routes, here): (Vec<_>, Vec<_>) = entry.list("routes").filter_map(read).unzip();
        places.extend(here);
        config::VirtualHost {
            name: entry.text_at("name").unwrap_or_default(),
            domains: entry.texts("domains").into_iter().map(|domain| domain.value).collect(),
            routes,
            ..config::VirtualHost::default()
        }
    };
    let routes = config::RouteConfiguration {
        virtual_hosts: field.list("virtual_hosts").map(host).collect(),
        ignore_port_in_host_matching: field.bool_at("ignore_port_in_host_matching").unwrap_or(false),
        ..config::RouteConfiguration::default()
    };
    Some(DumpedRoutes { name: field.located_text("name")?, config: routes, places })
}

/// A route; one whose action is of another kind is left out, and stays among what was not read.
fn route(field: &Field<'_>) -> Option<config::Route> {
    let action = if let Some(forward) = field.get("route") {
        config::Action::Forward(Box::new(self::forward(&forward)?))
    } else if let Some(redirect) = field.get("redirect") {
        let code = redirect.text_at("response_code");
        config::Action::Redirect(config::Redirect {
            https: redirect.bool_at("https_redirect").unwrap_or(false),
            host: redirect.text_at("host_redirect"),
            path: redirect.text_at("path_redirect"),
            prefix_rewrite: redirect.text_at("prefix_rewrite"),
            status: code.and_then(|code| status(&code)),
            ..config::Redirect::default()
        })
    } else {
        let direct = field.get("direct_response")?;
        let number = direct.get("status")?.int().and_then(|n| u16::try_from(n).ok())?;
        let body = direct.get("body").and_then(|body| body.text_at("inline_string")).unwrap_or_default();
        config::Action::DirectResponse(config::DirectResponse { status: number, body })
    };
    Some(config::Route {
        name: field.text_at("name").unwrap_or_default(),
        matches: field.get("match").map_or_else(|| config::RouteMatch::prefix("/"), |m| route_match(&m)),
        action,
        headers: config::HeaderMutations::default(),
        filter_overrides: Vec::new(),
    })
}

fn route_match(field: &Field<'_>) -> config::RouteMatch {
    let mut matches = config::RouteMatch::prefix("/");
    matches.path = if let Some(path) = field.text_at("path") {
        config::PathMatcher::Path(path)
    } else if let Some(prefix) = field.text_at("path_separated_prefix") {
        config::PathMatcher::PathSeparatedPrefix(prefix)
    } else if let Some(regex) = field.get("safe_regex").and_then(|regex| regex.text_at("regex")) {
        config::PathMatcher::Regex(regex)
    } else {
        config::PathMatcher::Prefix(field.text_at("prefix").unwrap_or_else(|| "/".to_owned()))
    };
    matches.case_sensitive = field.bool_at("case_sensitive").unwrap_or(true);
    matches.headers = field.read_list("headers", |header| self::header(&header));
    matches
}

fn header(field: &Field<'_>) -> Option<config::HeaderMatcher> {
    let value = match field.get("string_match") {
        Some(text) => config::HeaderValueMatcher::Text(string(&text)?),
        None => config::HeaderValueMatcher::Present(field.bool_at("present_match").unwrap_or(true)),
    };
    Some(config::HeaderMatcher {
        name: field.text_at("name")?.to_lowercase(),
        value,
        invert: field.bool_at("invert_match").unwrap_or(false),
        treat_missing_as_empty: field.bool_at("treat_missing_header_as_empty").unwrap_or(false),
    })
}

fn string(field: &Field<'_>) -> Option<config::StringMatcher> {
    let pattern = if let Some(text) = field.text_at("exact") {
        config::StringPattern::Exact(text)
    } else if let Some(text) = field.text_at("prefix") {
        config::StringPattern::Prefix(text)
    } else if let Some(text) = field.text_at("suffix") {
        config::StringPattern::Suffix(text)
    } else if let Some(text) = field.text_at("contains") {
        config::StringPattern::Contains(text)
    } else {
        config::StringPattern::Regex(field.get("safe_regex")?.text_at("regex")?)
    };
    Some(config::StringMatcher { pattern, ignore_case: field.bool_at("ignore_case").unwrap_or(false) })
}

fn forward(field: &Field<'_>) -> Option<config::RouteAction> {
    let cluster = if let Some(name) = field.text_at("cluster") {
        config::ClusterSpecifier::Cluster(name)
    } else if let Some(header) = field.text_at("cluster_header") {
        config::ClusterSpecifier::Header(header)
    } else {
        let weighted = |entry: Field<'_>| {
            let headers = config::HeaderMutations::default();
            Some(config::WeightedCluster { name: entry.text_at("name")?, weight: count(&entry, "weight")?, headers })
        };
        let clusters = field.get("weighted_clusters")?.list("clusters").filter_map(weighted).collect();
        config::ClusterSpecifier::Weighted(clusters)
    };
    let mut action = config::RouteAction::to(cluster);
    action.timeout = duration(field, "timeout");
    action.idle_timeout = duration(field, "idle_timeout");
    action.prefix_rewrite = field.text_at("prefix_rewrite");
    action.host_rewrite = field.text_at("host_rewrite_literal");
    action.retry = field.get("retry_policy").map(|retry| retry_policy(&retry));
    Some(action)
}

fn retry_policy(field: &Field<'_>) -> config::RetryPolicy {
    let on = field.text_at("retry_on").unwrap_or_default();
    let codes = field.list("retriable_status_codes").filter_map(|code| code.int());
    let back_off = field.get("retry_back_off");
    let of = |key: &'static str| -> Option<Nanos> { back_off.as_ref().and_then(|back_off| duration(back_off, key)) };
    config::RetryPolicy {
        retry_on: on.split(',').map(str::trim).filter(|on| !on.is_empty()).map(str::to_owned).collect(),
        num_retries: count(field, "num_retries"),
        per_try_timeout: duration(field, "per_try_timeout"),
        retriable_status_codes: codes.filter_map(|code| u16::try_from(code).ok()).collect(),
        base_interval: of("base_interval"),
        max_interval: of("max_interval"),
        host_selection_retry_max_attempts: count(field, "host_selection_retry_max_attempts"),
        ..config::RetryPolicy::default()
    }
}

/// Envoy's words for the statuses of redirects.
fn status(word: &str) -> Option<u16> {
    Some(match word {
        "MOVED_PERMANENTLY" => 301,
        "FOUND" => 302,
        "SEE_OTHER" => 303,
        "TEMPORARY_REDIRECT" => 307,
        "PERMANENT_REDIRECT" => 308,
        _ => return None,
    })
}
