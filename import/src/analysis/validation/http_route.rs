//! One HTTP rule of a `VirtualService`. Istio: `pkg/config/validation/virtualservice.go`.

use super::{
    Found,
    common::{self, destination, duration, gateway_names, header_changes},
    names,
};
use crate::{analysis::tree::Tree, istio::virtual_service::GRPC_STATUSES};

const RETRY_ON: &[&str] = &[
    "5xx",
    "gateway-error",
    "reset",
    "reset-before-request",
    "connect-failure",
    "retriable-4xx",
    "refused-stream",
    "retriable-status-codes",
    "retriable-headers",
    "envoy-ratelimited",
    "http3-post-connect-failure",
    "cancelled",
    "deadline-exceeded",
    "internal",
    "resource-exhausted",
    "unavailable",
];

const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "OPTIONS", "TRACE"];

/// `is_delegate`: the `VirtualService` has no hosts of its own.
pub(super) fn check(rule: Tree<'_>, path: &str, is_delegate: bool, found: &mut Found) {
    conflicts(rule, path, is_delegate, found);
    for (i, block) in rule.list("match").enumerate() {
        matches(block, &format!("{path}.match[{i}]"), found);
    }
    for (i, block) in rule.list("match").enumerate() {
        sources(block, &format!("{path}.match[{i}]"), found);
    }
    let part = |key: &str, check: fn(Tree<'_>, &str, &mut Found), found: &mut Found| {
        let part = rule.get(key);
        if part.is_set() {
            check(part, &format!("{path}.{key}"), found);
        }
    };
    part("headers", header_changes, found);
    part("corsPolicy", cors, found);
    part("fault", fault, found);
    mirrors(rule, path, found);
    part("redirect", redirect, found);
    part("directResponse", direct_response, found);
    part("retries", retries, found);
    part("rewrite", rewrite, found);
    authority(rule, path, found);
    destinations(rule, path, found);
    part("timeout", duration, found);
}

fn conflicts(rule: Tree<'_>, path: &str, is_delegate: bool, found: &mut Found) {
    let has = |key: &str| rule.get(key).is_set();
    let name = rule.get("name").text();
    if !is_delegate && has("delegate") {
        found.error_if(has("redirect"), path, format_args!("the root rule `{name}` must not have `redirect`"));
        found.error_if(has("route"), path, format_args!("the root rule `{name}` must not have `route`"));
        return;
    }
    found.error_if(is_delegate && has("delegate"), path, "a rule of a delegate cannot delegate again");
    let action = if has("redirect") {
        "redirect"
    } else if has("directResponse") {
        "directResponse"
    } else {
        found.error_if(rule.count("route") == 0, path, "a rule needs `route`, `redirect` or `directResponse`");
        ""
    };
    if !action.is_empty() {
        found.error_if(rule.count("route") > 0, path, format_args!("a rule cannot have both `route` and `{action}`"));
        for other in ["fault", "rewrite"] {
            found.error_if(has(other), path, format_args!("a rule cannot have both `{other}` and `{action}`"));
        }
        let both = action == "redirect" && has("directResponse");
        found.error_if(both, path, "a rule cannot have both `directResponse` and `redirect`");
    }
    let both = has("mirror") && rule.count("mirrors") > 0;
    found.error_if(both, path, "a rule cannot have both `mirror` and `mirrors`");
}

fn matches(block: Tree<'_>, path: &str, found: &mut Found) {
    let claim = |name: &str| is_claim(name) || names::header(name).is_ok();
    for (name, matcher) in block.get("headers").fields() {
        found.error_if(!claim(name), path, format_args!("`{name}` is not the name of a header"));
        string_match(matcher, "headers", path, found);
        found.error_if(!matcher.is_set(), path, format_args!("the match of the header `{name}` cannot be null"));
    }
    for (name, matcher) in block.get("withoutHeaders").fields() {
        found.error_if(!claim(name), path, format_args!("`{name}` is not the name of a header"));
        if matcher.get("regex").text() != "*" {
            string_match(matcher, "withoutHeaders", path, found);
        }
    }
    regex_match(block.get("uri"), "uri", path, found);
    for key in ["scheme", "method", "authority"] {
        string_match(block.get(key), key, path, found);
    }
    for (_, matcher) in block.get("queryParams").fields() {
        string_match(matcher, "queryParams", path, found);
    }
}

/// A header that stands for a claim of a token.
pub(super) fn is_claim(name: &str) -> bool {
    let rest = name.get(..20).filter(|start| start.eq_ignore_ascii_case("@request.auth.claims")).map(|_| &name[20..]);
    rest.is_some_and(|rest| rest.len() > 1 && rest.starts_with(['.', '[']))
}

fn string_match(matcher: Tree<'_>, what: &str, path: &str, found: &mut Found) {
    let empty = matcher.get("prefix").is_set() && matcher.get("prefix").text().is_empty();
    found.error_if(empty, path, format_args!("`{what}`: the prefix of a match must not be empty"));
    regex_match(matcher, what, path, found);
}

fn regex_match(matcher: Tree<'_>, what: &str, path: &str, found: &mut Found) {
    let pattern = matcher.get("regex");
    if pattern.is_set() {
        let empty = pattern.text().is_empty();
        found.error_if(empty, path, format_args!("`{what}`: the regular expression of a match must not be empty"));
        // `*` is no regular expression; Istio reads it as presence, and its admission refuses it.
        found.check(path, names::regex(pattern.text(), what));
    }
}

fn sources(block: Tree<'_>, path: &str, found: &mut Found) {
    let port = block.get("port").int();
    if port != 0 {
        found.check(path, names::port(port));
    }
    for text in names::object_labels(&block.get("sourceLabels").labels()) {
        found.error(path, text);
    }
    // Istio loses the warnings here.
    found.without_warnings(|found| gateway_names(&block.texts("gateways"), path, found));
    let namespace = block.get("sourceNamespace").text();
    let valid = namespace.is_empty() || names::is_label(namespace);
    found.error_if(!valid, path, format_args!("`{namespace}` is not the name of a namespace"));
}

fn cors(policy: Tree<'_>, path: &str, found: &mut Found) {
    for origin in policy.list("allowOrigins") {
        let text = ["exact", "prefix", "regex"].into_iter().map(|key| origin.get(key).text()).find(|t| !t.is_empty());
        if text.is_none() {
            found.error(path, "an allowed origin must not be empty");
        } else {
            regex_match(origin, "corsPolicy.allowOrigins", path, found);
        }
    }
    for method in policy.texts("allowMethods") {
        found.error_if(!METHODS.contains(&method), path, format_args!("`{method}` is not a method of HTTP"));
    }
    for name in policy.texts("allowHeaders").into_iter().chain(policy.texts("exposeHeaders")) {
        if name != "*" {
            found.check(path, names::header(name));
        }
    }
    let age = policy.get("maxAge");
    duration(age, path, found);
    let whole = age.duration().is_none_or(|nanos| nanos % 1_000_000_000 == 0);
    found.error_if(!whole, path, "`maxAge` is whole seconds");
}

fn fault(fault: Tree<'_>, path: &str, found: &mut Found) {
    let (abort, delay) = (fault.get("abort"), fault.get("delay"));
    let none = !abort.is_set() && !delay.is_set();
    found.error_if(none, path, "a fault needs `abort` or `delay`");
    if abort.is_set() {
        percentage(abort.get("percentage"), path, found);
        let grpc = abort.get("grpcStatus");
        if grpc.is_set() {
            let text = format!("`{}` is not a status of gRPC", grpc.text());
            found.error_if(!GRPC_STATUSES.contains(&grpc.text()), path, text);
        } else if abort.get("http2Error").is_set() {
            found.error(path, "aborts with an error of HTTP/2 are not supported");
        } else if abort.get("httpStatus").is_set() {
            status(abort.get("httpStatus").int(), path, found);
        }
    }
    if delay.is_set() {
        percentage(delay.get("percentage"), path, found);
        duration(delay.get("fixedDelay"), path, found);
        duration(delay.get("exponentialDelay"), path, found);
        let set = delay.get("exponentialDelay").is_set();
        found.error_if(set, path, "`exponentialDelay` is not supported");
    }
}

fn percentage(tree: Tree<'_>, path: &str, found: &mut Found) {
    let value = tree.get("value").number();
    let valid = (0.0..=100.0).contains(&value) && (value == 0.0 || value >= 0.0001);
    found.error_if(!valid, path, format_args!("the percentage {value} is neither 0 nor in the range [0.0001, 100]"));
}

fn status(code: i64, path: &str, found: &mut Found) {
    found.error_if(!(200..=600).contains(&code), path, format_args!("the status {code} is not in the range 200-599"));
}

fn mirrors(rule: Tree<'_>, path: &str, found: &mut Found) {
    let old = rule.get("mirrorPercent");
    if old.is_set() {
        let value = old.int();
        found.error_if(value > 100, path, format_args!("`mirrorPercent` is at most 100, not {value}"));
        found.warning(path, "`mirrorPercent` is deprecated: use `mirrorPercentage`");
    }
    let range = |value: f64, found: &mut Found| {
        found.error_if(value > 100.0, path, format_args!("the percentage of a mirror is at most 100, not {value}"));
        found.error_if(value < 0.0, path, format_args!("the percentage of a mirror is at least 0, not {value}"));
    };
    range(rule.at("mirrorPercentage.value").number(), found);
    destination(rule.get("mirror"), &format!("{path}.mirror"), found);
    for (i, mirror) in rule.list("mirrors").enumerate() {
        let path = format!("{path}.mirrors[{i}]");
        if !mirror.get("destination").is_set() {
            found.error(path, "a mirror needs a destination");
            continue;
        }
        destination(mirror.get("destination"), &path, found);
        range(mirror.at("percentage.value").number(), found);
    }
}

/// Only the first thing that is wrong is told.
fn redirect(redirect: Tree<'_>, path: &str, found: &mut Found) {
    let text = |key: &str| redirect.get(key).text();
    let port = redirect.get("port");
    let has_port = port.is_set() || redirect.get("derivePort").is_set();
    let code = redirect.get("redirectCode").int();
    if text("uri").is_empty() && text("authority").is_empty() && text("scheme").is_empty() && !has_port {
        found.error(path, "a redirect needs `uri`, `authority`, `scheme` or a port");
    } else if code != 0 && !(300..=399).contains(&code) {
        found.error(path, format!("{code} is not the status of a redirect"));
    } else if !matches!(text("scheme"), "" | "http" | "https") {
        found.error(path, "the scheme of a redirect is `http` or `https`");
    } else if port.int() > 0 {
        found.check(path, names::port(port.int()));
    }
}

fn direct_response(response: Tree<'_>, path: &str, found: &mut Found) {
    let body = response.at("body.string").text();
    if body.len() > 1 << 20 {
        found.error(path, "a direct response is less than 1 MiB");
    } else if body.len() > 100 << 10 {
        found.warning(path, "a large direct response slows the control plane down");
    }
    status(response.get("status").int(), path, found);
}

fn retries(retries: Tree<'_>, path: &str, found: &mut Found) {
    let attempts = retries.get("attempts").int();
    found.error_if(attempts < 0, path, "`attempts` cannot be negative");
    let set = retries.get("perTryTimeout").is_set()
        || !retries.get("retryOn").text().is_empty()
        || retries.get("retryRemoteLocalities").is_set();
    found.error_if(retries.is_set() && attempts == 0 && set, path, "a retry policy with 0 `attempts` is switched off");
    duration(retries.get("perTryTimeout"), path, found);
    for word in retries.get("retryOn").text().split(',').filter(|_| !retries.get("retryOn").text().is_empty()) {
        let known = RETRY_ON.contains(&word) || is_status(word);
        found.error_if(!known, path, format_args!("`{word}` is not a condition of `retryOn`"));
    }
}

/// Whether a text is the number of a status with a name of its own.
fn is_status(word: &str) -> bool {
    matches!(
        word.parse::<u16>(),
        Ok(
            100..=103
            | 200..=208
            | 226
            | 300..=305
            | 307
            | 308
            | 400..=418
            | 421..=426
            | 428
            | 429
            | 431
            | 451
            | 500..=508
            | 510
            | 511,
        )
    )
}

fn rewrite(rewrite: Tree<'_>, path: &str, found: &mut Found) {
    let (uri, regex) = (!rewrite.get("uri").text().is_empty(), rewrite.get("uriRegexRewrite"));
    if uri && regex.is_set() {
        found.error(path, "a rewrite has only one of `uri` and `uriRegexRewrite`");
    } else if !uri && !regex.is_set() && rewrite.get("authority").text().is_empty() {
        found.error(path, "a rewrite needs `uri`, `uriRegexRewrite` or `authority`");
    } else if regex.is_set() {
        let (from, to) = (regex.get("match").text(), regex.get("rewrite").text());
        if from.is_empty() || to.is_empty() {
            found.error(path, "`uriRegexRewrite` needs `match` and `rewrite`");
        } else {
            found.check(path, names::regex(from, "uriRegexRewrite.match"));
        }
    }
}

/// The authority is set in one place only.
fn authority(rule: Tree<'_>, path: &str, found: &mut Found) {
    let request = rule.at("headers.request");
    let changes = ["set", "add"].into_iter().flat_map(|action| request.get(action).fields());
    let named =
        changes.filter(|(name, _)| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host"));
    let rewritten = rule.at("rewrite.authority").text();
    let all = std::iter::once(rewritten).chain(named.map(|(_, value)| value.text()));
    let times = all.filter(|authority| !authority.is_empty()).count();
    found.error_if(times > 1, path, "the authority is set more than once");
}

fn destinations(rule: Tree<'_>, path: &str, found: &mut Found) {
    weighted(rule, path, true, found);
}

/// Destinations with weights, of any protocol.
pub(super) fn weighted(rule: Tree<'_>, path: &str, headers: bool, found: &mut Found) {
    let mut total: i64 = 0;
    for (i, route) in rule.list("route").enumerate() {
        let path = format!("{path}.route[{i}]");
        found.error_if(!route.get("destination").is_set(), &path, "a route needs a destination");
        if headers {
            header_changes(route.get("headers"), &path, found);
        }
        common::destination(route.get("destination"), &path, found);
        let weight = route.get("weight").int();
        found.error_if(weight < 0, &path, format_args!("the weight {weight} is below 0"));
        total = total.saturating_add(weight);
    }
    found.error_if(rule.count("route") > 1 && total == 0, path, "the weights of a rule add up to 0");
}
