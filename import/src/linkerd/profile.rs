//! Linkerd: `linkerd.io/v1alpha2.ServiceProfile` (`L-6`).

use meshproof_model::{
    Located, Nanos,
    linkerd::{ProfileRoute, RequestMatch, ResponseClass, ResponseMatch, RetryBudget, ServiceProfile},
};

use crate::{cx::Cx, duration::go_duration, field::Field, object::Object};

/// A route's condition may not mean more alternatives than this.
const MOST: usize = 256;

pub(super) fn read(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> ServiceProfile {
    let authority = |entry: Field<'_>| {
        let weight = entry.get("weight")?;
        let milli = weight.text().and_then(|text| super::quantity_milli(&text));
        Some((entry.located_text("authority")?, weight.located(milli?)))
    };
    ServiceProfile {
        meta: object.meta.clone(),
        routes: spec.read_list("routes", |entry| route(&entry, cx)),
        retry_budget: spec.get("retryBudget").map(|budget| retry_budget(&budget, cx)),
        dst_overrides: spec.read_list("dstOverrides", authority),
        opaque_ports: spec.texts("opaquePorts").iter().filter_map(|port| port.value.parse().ok()).collect(),
    }
}

fn route(field: &Field<'_>, cx: &mut Cx) -> Option<ProfileRoute> {
    let condition = field.get("condition")?;
    let read = request_match(&condition, cx);
    if read.alternatives(MOST).is_none() {
        let message = format!("this condition means more than {MOST} alternatives, which are not judged");
        cx.invalid(&condition, message, "split the route");
        return None;
    }
    Some(ProfileRoute {
        at: field.at(),
        name: field.located_text("name").unwrap_or_else(|| field.located(String::new())),
        condition: read,
        is_retryable: field.get("isRetryable").and_then(|retry| retry.bool().map(|on| retry.located(on))),
        timeout: timeout(field, "timeout", cx),
        response_classes: field.read_list("responseClasses", |class| response_class(&class)),
    })
}

/// An invalid duration is none, and Linkerd only logs it.
fn timeout(object: &Field<'_>, key: &'static str, cx: &mut Cx) -> Option<Located<Nanos>> {
    let field = object.get(key)?;
    let text = field.text()?;
    let Some(nanos) = go_duration(&text) else {
        let help = "write a number with a unit, such as `500ms` or `2s`";
        cx.invalid(&field, format!("`{key}` is a duration, and `{text}` is none: Linkerd goes on without it"), help);
        return None;
    };
    (!nanos.is_zero()).then(|| field.located(nanos))
}

/// All of an object's conditions hold.
fn request_match(field: &Field<'_>, cx: &mut Cx) -> RequestMatch {
    let mut all = Vec::new();
    if let Some(path) = field.text_at("pathRegex") {
        all.push(RequestMatch::Path(path));
    }
    if let Some(method) = field.text_at("method") {
        all.push(RequestMatch::Method(method));
    }
    if let Some(list) = field.get("all") {
        all.push(RequestMatch::All(list.items().map(|part| request_match(&part, cx)).collect()));
    }
    if let Some(list) = field.get("any") {
        all.push(RequestMatch::Any(list.items().map(|part| request_match(&part, cx)).collect()));
    }
    if let Some(not) = field.get("not") {
        // The API's type is one condition; its schema says a list.
        let mut listed: Vec<_> = not.items().map(|part| request_match(&part, cx)).collect();
        if listed.is_empty() {
            listed.push(request_match(&not, cx));
        }
        all.extend(listed.into_iter().map(|part| RequestMatch::Not(Box::new(part))));
    }
    match all.pop() {
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            RequestMatch::All(all)
        }
        None => {
            cx.invalid(field, "a condition without `pathRegex`, `method`, `all`, `any` or `not`", "say which requests");
            RequestMatch::All(Vec::new())
        }
    }
}

fn response_class(field: &Field<'_>) -> Option<ResponseClass> {
    let matches = response_match(&field.get("condition")?);
    Some(ResponseClass { matches, is_failure: field.bool_at("isFailure").unwrap_or(false) })
}

fn response_match(field: &Field<'_>) -> ResponseMatch {
    let mut all = Vec::new();
    if let Some(status) = field.get("status") {
        let bound =
            |key: &'static str| status.get(key).and_then(|field| field.int()).and_then(|n| u16::try_from(n).ok());
        // A missing end is the same as the other one.
        let (min, max) = (bound("min"), bound("max"));
        let (min, max) = (min.or(max).unwrap_or(0), max.or(min).unwrap_or(u16::MAX));
        all.push(ResponseMatch::Status(min, max));
    }
    if let Some(list) = field.get("all") {
        all.push(ResponseMatch::All(list.items().map(|part| response_match(&part)).collect()));
    }
    if let Some(list) = field.get("any") {
        all.push(ResponseMatch::Any(list.items().map(|part| response_match(&part)).collect()));
    }
    if let Some(not) = field.get("not") {
        all.push(ResponseMatch::Not(Box::new(response_match(&not))));
    }
    ResponseMatch::All(all)
}

fn retry_budget(field: &Field<'_>, cx: &mut Cx) -> RetryBudget {
    let ttl = timeout(field, "ttl", cx);
    if ttl.is_none() {
        cx.invalid(field, "a `retryBudget` needs a `ttl`: without one Linkerd takes no budget", "add `ttl: 10s`");
    }
    let ratio = field.get("retryRatio");
    let ppm = ratio.as_ref().and_then(|ratio| {
        let value = ratio.scaled(1_000_000.0).filter(|ppm| (0.0..=1.0e9).contains(ppm));
        if value.is_none() {
            cx.invalid(ratio, "`retryRatio` is a number of 0 or more", "write `0.2` for 20 %");
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1,000,000,000")]
        value.map(|ppm| ratio.located(ppm as u32))
    });
    RetryBudget {
        at: field.at(),
        retry_ratio: ppm,
        min_retries_per_second: cx.count(field, "minRetriesPerSecond"),
        ttl,
    }
}
