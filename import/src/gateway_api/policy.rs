//! Gateway API: ReferenceGrant, BackendTLSPolicy, XBackendTrafficPolicy.

use meshproof_model::gateway_api::{BackendTlsPolicy, BackendTrafficPolicy, ReferenceGrant, RetryConstraint};

use super::{duration, refs};
use crate::{cx::Cx, field::Field, object::Object};

/// Reads a ReferenceGrant.
pub(crate) fn grant(object: &Object<'_>) -> ReferenceGrant {
    let spec = object.get("spec");
    let text = |field: &Field<'_>, key: &'static str| field.text_at(key).unwrap_or_default();
    let list = |key: &'static str| spec.iter().flat_map(move |spec| spec.list(key));
    let from = |f: Field<'_>| f.located((text(&f, "group"), text(&f, "kind"), text(&f, "namespace")));
    let to = |f: Field<'_>| f.located((text(&f, "group"), text(&f, "kind"), f.text_at("name")));
    ReferenceGrant {
        meta: object.meta.clone(),
        from: list("from").map(from).collect(),
        to: list("to").map(to).collect(),
    }
}

/// Reads a BackendTLSPolicy, of `v1` and of `v1alpha2`, which says `tls` and `caCertRefs`.
pub(crate) fn backend_tls(object: &Object<'_>) -> Option<BackendTlsPolicy> {
    let spec = object.get("spec")?;
    let validation = spec.get("validation").or_else(|| spec.get("tls"));
    let list = |key: &'static str| validation.iter().flat_map(move |validation| validation.list(key));
    let authority = |f: Field<'_>| Some(f.located((f.text_at("kind")?, f.text_at("name")?)));
    let text = |key: &'static str| validation.as_ref().and_then(|validation| validation.located_text(key));
    let san = |f: Field<'_>| f.located_text("hostname").or_else(|| f.located_text("uri"));
    let authorities = list("caCertificateRefs").chain(list("caCertRefs")).filter_map(authority).collect();
    Some(BackendTlsPolicy {
        meta: object.meta.clone(),
        targets: refs::targets(&spec),
        hostname: text("hostname"),
        sans: list("subjectAltNames").filter_map(san).collect(),
        authorities,
        well_known: text("wellKnownCACertificates").or_else(|| text("wellKnownCACerts")),
    })
}

/// Reads an XBackendTrafficPolicy, or the BackendLBPolicy that it comes from.
pub(crate) fn backend_traffic(object: &Object<'_>, cx: &mut Cx) -> Option<BackendTrafficPolicy> {
    let spec = object.get("spec")?;
    let budget = spec.get("retryConstraint").map(|field| {
        let (budget, rate) = (field.get("budget"), field.get("minRetryRate"));
        RetryConstraint {
            at: field.at(),
            percent: budget.as_ref().and_then(|budget| cx.percent(budget, "percent")),
            interval: budget.as_ref().and_then(|budget| duration::read(budget, "interval", cx)),
            min_count: rate.as_ref().and_then(|rate| cx.count(rate, "count")),
            min_interval: rate.as_ref().and_then(|rate| duration::read(rate, "interval", cx)),
        }
    });
    Some(BackendTrafficPolicy { meta: object.meta.clone(), targets: refs::targets(&spec), budget })
}
