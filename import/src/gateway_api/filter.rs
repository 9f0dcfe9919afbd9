//! Gateway API: filters of routes and backends (`G-8`).

use meshproof_model::{
    gateway_api::{Filter, FilterAction, PathModifier, Redirect, Rewrite},
    istio::HeaderOperations,
};

use super::refs;
use crate::{cx::Cx, field::Field};

const ALL: u32 = 1_000_000;

/// Reads one. What its type does not use is not read, so that it is named.
pub(crate) fn read(field: &Field<'_>, cx: &mut Cx) -> Filter {
    let kind = field.text_at("type").unwrap_or_default();
    let body = |key: &'static str| field.get(key);
    let known = match kind.as_str() {
        "RequestHeaderModifier" => body("requestHeaderModifier").map(|f| FilterAction::RequestHeaders(headers(&f))),
        "ResponseHeaderModifier" => body("responseHeaderModifier").map(|f| FilterAction::ResponseHeaders(headers(&f))),
        "RequestMirror" => body("requestMirror").and_then(|f| mirror(&f, cx)),
        "RequestRedirect" => body("requestRedirect").map(|f| FilterAction::Redirect(redirect(&f, cx))),
        "URLRewrite" => body("urlRewrite").map(|f| {
            let path = path_modifier(&f, cx);
            FilterAction::Rewrite(Rewrite { hostname: f.text_at("hostname"), path })
        }),
        "CORS" => Some(FilterAction::Cors),
        "ExtensionRef" => body("extensionRef").map(|f| {
            let text = |key| f.text_at(key).unwrap_or_default();
            FilterAction::Extension(text("group"), text("kind"), text("name"))
        }),
        _ => None,
    };
    Filter { at: field.at(), action: known.unwrap_or(FilterAction::Unknown(kind)) }
}

/// Of headers with one name, the first counts.
fn headers(field: &Field<'_>) -> HeaderOperations {
    let pairs = |key: &'static str| {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for entry in field.list(key) {
            let Some(name) = entry.text_at("name") else { continue };
            let value = entry.text_at("value").unwrap_or_default();
            if !pairs.iter().any(|(known, _)| known.eq_ignore_ascii_case(&name)) {
                pairs.push((name, value));
            }
        }
        pairs
    };
    let (set, add) = (pairs("set"), pairs("add"));
    HeaderOperations { set, add, remove: field.texts("remove").into_iter().map(|name| name.value).collect() }
}

/// A percentage or a fraction; absent: all.
fn mirror(field: &Field<'_>, cx: &mut Cx) -> Option<FilterAction> {
    let backend = refs::backend(&field.get("backendRef")?, cx)?;
    let ppm = match (field.get("fraction"), field.get("percent")) {
        (Some(fraction), _) => {
            let part = cx.count(&fraction, "numerator").map_or(0, |part| part.value);
            let whole = cx.count(&fraction, "denominator").map_or(100, |whole| whole.value);
            let ppm = (u64::from(part) * u64::from(ALL)).checked_div(u64::from(whole));
            let ppm = ppm.and_then(|ppm| u32::try_from(ppm).ok()).filter(|ppm| *ppm <= ALL);
            if ppm.is_none() {
                cx.invalid(&fraction, format!("{part}/{whole} is no fraction"), "write 0 to 1");
            }
            ppm.unwrap_or(ALL)
        }
        (None, Some(percent)) => cx.share(&percent).map_or(ALL, |share| share.value),
        (None, None) => ALL,
    };
    Some(FilterAction::Mirror(Box::new(backend), ppm))
}

fn redirect(field: &Field<'_>, cx: &mut Cx) -> Redirect {
    let status = field.get("statusCode").and_then(|code| {
        let number = code.int()?;
        let known = u16::try_from(number).ok().filter(|number| matches!(number, 301 | 302 | 303 | 307 | 308));
        if known.is_none() {
            cx.invalid(&code, format!("`{number}` is no redirect"), "it takes 301, 302, 303, 307 and 308");
        }
        known
    });
    Redirect {
        scheme: field.text_at("scheme"),
        hostname: field.text_at("hostname"),
        path: path_modifier(field, cx),
        port: cx.port(field, "port").map(|port| port.value),
        status,
    }
}

fn path_modifier(field: &Field<'_>, cx: &mut Cx) -> Option<PathModifier> {
    let path = field.get("path")?;
    let modifier = match path.text_at("type").as_deref() {
        Some("ReplaceFullPath") => path.text_at("replaceFullPath").map(PathModifier::Full),
        Some("ReplacePrefixMatch") => path.text_at("replacePrefixMatch").map(PathModifier::Prefix),
        // Another word is the schema's finding.
        _ => return None,
    };
    if modifier.is_none() {
        cx.invalid(&path, "the path lacks the field that its `type` names", "write that field beside `type`");
    }
    modifier
}
