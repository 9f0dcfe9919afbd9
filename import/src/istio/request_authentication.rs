//! Istio: security.v1.RequestAuthentication.

use meshproof_model::{
    Labels, Located,
    istio::{JwtRule, RequestAuthentication},
};

use super::authorization_policy::target_refs;
use crate::{cx::Cx, field::Field, object::Object};

/// Reads one; without a `spec` it accepts no token.
pub(crate) fn read(object: &Object<'_>) -> RequestAuthentication {
    let meta = object.meta.clone();
    let mut policy =
        RequestAuthentication { meta, selector: Labels::new(), target_refs: Vec::new(), rules: Vec::new() };
    let Some(spec) = object.get("spec") else { return policy };
    policy.selector = Cx::match_labels(&spec, "selector");
    policy.target_refs = target_refs(&spec);
    policy.rules = spec.list("jwtRules").map(|entry| rule(&entry)).collect();
    policy
}

fn rule(field: &Field<'_>) -> JwtRule {
    // Keys are no part of a decision: whoever holds a token of the issuer is taken to hold a valid one.
    let _ = (field.get("jwks"), field.get("jwks_uri"), field.get("jwksUri"), field.get("timeout"));
    let texts = |key: &'static str| field.texts(key).into_iter().map(|text| text.value).collect::<Vec<String>>();
    let pairs = |key: &'static str, first: &'static str, second: &'static str| {
        let pair = |entry: Field<'_>| Some((entry.text_at(first)?, entry.text_at(second).unwrap_or_default()));
        field.list(key).filter_map(pair).collect::<Vec<_>>()
    };
    JwtRule {
        at: field.at(),
        issuer: field.located_text("issuer").unwrap_or_else(|| Located::new(String::new(), field.at())),
        audiences: texts("audiences"),
        from_headers: pairs("fromHeaders", "name", "prefix"),
        from_params: texts("fromParams"),
        from_cookies: texts("fromCookies"),
        forward_original_token: field.bool_at("forwardOriginalToken").unwrap_or(false),
        claim_to_headers: pairs("outputClaimToHeaders", "header", "claim"),
    }
}
