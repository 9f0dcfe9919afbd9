//! Istio: networking.v1.VirtualService.

use meshproof_model::{
    Located,
    istio::{
        AbortStatus, Delegate, Destination, DirectResponse, HeaderOperations, Headers, HttpFault, HttpMatch,
        HttpRedirect, HttpRewrite, HttpRoute, L4Match, L4Route, Mirror, StringMatch, VirtualService,
    },
};

use super::retries;
use crate::{cx::Cx, field::Field, object::Object};

/// Everything, in parts per million.
const ALL: u32 = 1_000_000;

/// Names of gRPC's statuses, by number.
pub(crate) const GRPC_STATUSES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];

/// Reads one.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<VirtualService> {
    let spec = object.get("spec")?;
    Some(VirtualService {
        meta: object.meta.clone(),
        hosts: spec.texts("hosts"),
        gateways: spec.texts("gateways"),
        export_to: spec.texts("exportTo"),
        http: spec.list("http").map(|route| http_route(&route, cx)).collect(),
        tls: spec.list("tls").map(|route| l4_route(&route, cx)).collect(),
        tcp: spec.list("tcp").map(|route| l4_route(&route, cx)).collect(),
    })
}

/// Reads one of `http`.
pub(crate) fn http_route(rule: &Field<'_>, cx: &mut Cx) -> HttpRoute {
    let route: Vec<Destination> = rule.read_list("route", |d| weighted(&d, cx));
    let zero = |d: &Destination| d.weight.as_ref().is_none_or(|w| w.value == 0);
    if route.len() > 1
        && route.iter().all(zero)
        && let Some(field) = rule.get("route")
    {
        cx.invalid(&field, "all weights are 0, so no destination gets a request", "give a destination a weight");
    }
    HttpRoute {
        at: rule.at(),
        name: rule.located_text("name"),
        matches: rule.list("match").map(|m| http_match(&m, cx)).collect(),
        route,
        redirect: rule.get("redirect").map(|field| redirect(&field, cx)),
        direct_response: rule.get("directResponse").and_then(|field| direct_response(&field, cx)),
        delegate: rule.get("delegate").and_then(|field| {
            Some(Delegate { name: field.located_text("name")?, namespace: field.located_text("namespace") })
        }),
        rewrite: rule.get("rewrite").map(|field| rewrite(&field)),
        timeout: cx.duration(rule, "timeout"),
        retries: rule.get("retries").map(|field| retries::read(&field, cx)),
        fault: rule.get("fault").map(|field| fault(&field, cx)),
        mirrors: mirrors(rule, cx),
        headers: headers(rule),
    }
}

/// An entry of `route`: a destination with its weight.
fn weighted(field: &Field<'_>, cx: &mut Cx) -> Option<Destination> {
    let mut destination = destination(&field.get("destination")?, cx)?;
    destination.at = field.at();
    destination.weight = cx.count(field, "weight");
    destination.headers = headers(field);
    Some(destination)
}

fn destination(field: &Field<'_>, cx: &mut Cx) -> Option<Destination> {
    Some(Destination {
        at: field.at(),
        host: field.located_text("host")?,
        subset: field.located_text("subset"),
        port: field.get("port").and_then(|port| cx.port(&port, "number")),
        weight: None,
        headers: Headers::default(),
    })
}

fn http_match(field: &Field<'_>, cx: &mut Cx) -> HttpMatch {
    let one = |key: &'static str| field.get(key).map(|f| f.located(string_match(&f)));
    let many = |key: &'static str| {
        let fields = field.get(key).into_iter().flat_map(|map| map.fields());
        fields.map(|(name, f)| (name.to_owned(), f.located(string_match(&f)))).collect()
    };
    HttpMatch {
        at: Some(field.at()),
        name: field.text_at("name"),
        uri: one("uri"),
        ignore_uri_case: field.bool_at("ignoreUriCase").unwrap_or(false),
        scheme: one("scheme"),
        method: one("method"),
        authority: one("authority"),
        headers: many("headers"),
        without_headers: many("withoutHeaders"),
        query_params: many("queryParams"),
        port: cx.port(field, "port"),
        source_labels: field.labels_at("sourceLabels"),
        source_namespace: field.located_text("sourceNamespace"),
        gateways: field.texts("gateways"),
    }
}

fn string_match(field: &Field<'_>) -> StringMatch {
    let text = |key| field.text_at(key);
    text("exact")
        .map(StringMatch::Exact)
        .or_else(|| text("prefix").map(StringMatch::Prefix))
        .or_else(|| text("regex").map(StringMatch::Regex))
        .unwrap_or(StringMatch::Present)
}

fn redirect(field: &Field<'_>, cx: &mut Cx) -> HttpRedirect {
    HttpRedirect {
        at: field.at(),
        uri: field.text_at("uri"),
        authority: field.text_at("authority"),
        port: cx.port(field, "port").map(|port| port.value),
        derive_port: field.text_at("derivePort"),
        scheme: field.text_at("scheme"),
        redirect_code: field.get("redirectCode").and_then(|code| status(&code, cx)),
    }
}

fn direct_response(field: &Field<'_>, cx: &mut Cx) -> Option<DirectResponse> {
    let body = field.get("body");
    let text = body.as_ref().and_then(|body| body.text_at("string").or_else(|| body.text_at("bytes")));
    let status = field.get("status").and_then(|code| status(&code, cx))?;
    Some(DirectResponse { at: field.at(), status, body: text.unwrap_or_default() })
}

fn status(field: &Field<'_>, cx: &mut Cx) -> Option<u16> {
    let number = field.int()?;
    match u16::try_from(number) {
        Ok(code) if (200..=599).contains(&code) => Some(code),
        _ => {
            cx.invalid(field, format!("`{number}` is not an HTTP status"), "statuses are 200 to 599");
            None
        }
    }
}

fn rewrite(field: &Field<'_>) -> HttpRewrite {
    let regex = field.get("uriRegexRewrite");
    HttpRewrite {
        at: field.at(),
        uri: field.text_at("uri"),
        authority: field.text_at("authority"),
        uri_regex: regex.and_then(|r| Some((r.text_at("match")?, r.text_at("rewrite").unwrap_or_default()))),
    }
}

/// `RT-18`: a percentage that is absent is 0.
fn fault(field: &Field<'_>, cx: &mut Cx) -> HttpFault {
    let delay = field.get("delay").and_then(|delay| {
        let duration = cx.duration(&delay, "fixedDelay")?;
        Some((duration.value, percentage(&delay, cx).unwrap_or(0)))
    });
    let abort = field.get("abort").and_then(|abort| {
        let http = abort.get("httpStatus").and_then(|code| status(&code, cx)).map(AbortStatus::Http);
        let answer = http.or_else(|| grpc_status(&abort, cx).map(AbortStatus::Grpc))?;
        Some((answer, percentage(&abort, cx).unwrap_or(0)))
    });
    HttpFault { at: field.at(), delay, abort }
}

/// `grpcStatus`, by name or number.
fn grpc_status(abort: &Field<'_>, cx: &mut Cx) -> Option<u32> {
    let field = abort.get("grpcStatus")?;
    let text = field.text()?;
    let named = GRPC_STATUSES.iter().position(|name| *name == text).and_then(|i| u32::try_from(i).ok());
    let status = named.or_else(|| text.parse().ok().filter(|code| *code <= 16));
    if status.is_none() {
        cx.invalid(&field, format!("`{text}` is not a gRPC status"), "write a name such as `UNAVAILABLE`, or 0 to 16");
    }
    status
}

/// `percentage.value`, or the older `percent`.
fn percentage(field: &Field<'_>, cx: &mut Cx) -> Option<u32> {
    let value = field.get("percentage").and_then(|percentage| percentage.get("value"));
    let Some(value) = value.or_else(|| field.get("percent")) else {
        cx.ineffective(field, "a fault without `percentage` never happens", "add `percentage: {value: 100}`");
        return None;
    };
    cx.share(&value).map(|share| share.value)
}

/// `RT-19`: a percentage that is absent is 100.
fn mirrors(rule: &Field<'_>, cx: &mut Cx) -> Vec<Mirror> {
    let mut mirrors = Vec::new();
    if let Some(field) = rule.get("mirror")
        && let Some(destination) = destination(&field, cx)
    {
        let value = rule.get("mirrorPercentage").and_then(|p| p.get("value"));
        let value = value.or_else(|| rule.get("mirrorPercent")).or_else(|| rule.get("mirror_percent"));
        let percentage = value.and_then(|value| cx.share(&value)).map_or(ALL, |share| share.value);
        mirrors.push(Mirror { destination, percentage });
    }
    for field in rule.list("mirrors") {
        if let Some(destination) = field.get("destination").and_then(|d| destination(&d, cx)) {
            let value = field.get("percentage").and_then(|p| p.get("value"));
            let percentage = value.and_then(|value| cx.share(&value)).map_or(ALL, |share| share.value);
            mirrors.push(Mirror { destination, percentage });
        }
    }
    mirrors
}

fn headers(field: &Field<'_>) -> Headers {
    let Some(headers) = field.get("headers") else { return Headers::default() };
    let operations = |key: &'static str| headers.get(key).map(|h| header_operations(&h)).unwrap_or_default();
    Headers { request: operations("request"), response: operations("response") }
}

fn header_operations(field: &Field<'_>) -> HeaderOperations {
    let pairs = |key: &'static str| {
        let fields = field.get(key).into_iter().flat_map(|map| map.fields());
        fields.map(|(name, value)| (name.to_owned(), value.text().unwrap_or_default())).collect()
    };
    let remove = field.texts("remove").into_iter().map(|Located { value, .. }| value).collect();
    HeaderOperations { set: pairs("set"), add: pairs("add"), remove }
}

fn l4_route(rule: &Field<'_>, cx: &mut Cx) -> L4Route {
    L4Route {
        at: rule.at(),
        matches: rule.list("match").map(|m| l4_match(&m, cx)).collect(),
        route: rule.read_list("route", |d| weighted(&d, cx)),
    }
}

fn l4_match(field: &Field<'_>, cx: &mut Cx) -> L4Match {
    L4Match {
        sni_hosts: field.texts("sniHosts"),
        destination_subnets: field.texts("destinationSubnets").into_iter().map(|text| text.value).collect(),
        port: cx.port(field, "port"),
        source_labels: field.labels_at("sourceLabels"),
        source_namespace: field.text_at("sourceNamespace"),
        gateways: field.texts("gateways"),
    }
}
