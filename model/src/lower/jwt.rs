//! RequestAuthentications as a filter for tokens (`RA-1` to `RA-3`).

use meshproof_proxy::config::{Jwt, JwtProvider, JwtRequirement, JwtRule as Rule};

use super::{
    Lowering,
    attachment::{Attachment, Reach},
};
use crate::istio::JwtRule;

/// The metadata key under which policies find a verified token.
pub const TOKEN_KEY: &str = "payload";

/// The rules of every policy that holds, by issuer; `None`: no policy holds, and tokens are not looked at.
pub(super) fn lower(lowering: &Lowering<'_>, attachment: &Attachment<'_>) -> Option<Jwt> {
    let mut rules: Vec<&JwtRule> = attachment
        .namespaces()
        .into_iter()
        .flat_map(|namespace| lowering.request_authentications(namespace))
        .filter(|policy| {
            let (selector, target_refs) = (&policy.selector, policy.target_refs.as_slice());
            attachment.admits(&Reach { meta: &policy.meta, selector, target_refs })
        })
        .flat_map(|policy| &policy.rules)
        .collect();
    if rules.is_empty() {
        return None;
    }
    rules.sort_by(|a, b| a.issuer.value.cmp(&b.issuer.value));
    let providers = rules.iter().enumerate().map(|(number, rule)| (format!("origins-{number}"), provider(rule)));
    let requires = requirement(rules.len());
    Some(Jwt {
        providers: providers.collect(),
        rules: vec![Rule { prefix: "/".to_owned(), requires: Some(requires) }],
        requirement_map: Vec::new(),
        bypass_cors_preflight: true,
    })
}

/// A request without a token passes; with several rules one that any of them verifies, or each verifies or misses its
/// own (`RA-2`).
fn requirement(rules: usize) -> JwtRequirement {
    let of = |number: usize| JwtRequirement::Provider { name: format!("origins-{number}"), audiences: Vec::new() };
    let optional = |number: usize| JwtRequirement::AnyOf(vec![of(number), JwtRequirement::AllowMissing]);
    if rules == 1 {
        return optional(0);
    }
    let mut any: Vec<JwtRequirement> = (0..rules).map(of).collect();
    any.push(JwtRequirement::AllOf((0..rules).map(optional).collect()));
    JwtRequirement::AnyOf(any)
}

fn provider(rule: &JwtRule) -> JwtProvider {
    JwtProvider {
        issuer: rule.issuer.value.clone(),
        audiences: rule.audiences.clone(),
        // Keys are no part of the manifests; an issuer's key goes by its name.
        keys: vec![rule.issuer.value.clone()],
        forward: rule.forward_original_token,
        from_headers: rule.from_headers.clone(),
        from_params: rule.from_params.clone(),
        from_cookies: rule.from_cookies.clone(),
        claim_to_headers: rule.claim_to_headers.clone(),
        payload_in_metadata: Some(TOKEN_KEY.to_owned()),
        ..JwtProvider::default()
    }
}
