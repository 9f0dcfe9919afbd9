//! What one issuer's tokens must say (Envoy: `Authenticator`, `JwksData`).

use std::sync::Arc;

use super::{Status, claim};
use crate::{
    Token, TokenAlgorithm,
    config::{self, JwtProvider},
    request::Request,
};

/// Envoy's default clock skew, in seconds.
const CLOCK_SKEW_S: i64 = 60;

/// A compiled provider.
#[derive(Debug)]
pub(super) struct Provider {
    pub(super) issuer: Box<str>,
    audiences: Audiences,
    keys: Box<[Box<str>]>,
    forward: bool,
    clock_skew_s: i64,
    max_lifetime_s: Option<i64>,
    require_expiration: bool,
    claim_to_headers: Box<[ClaimHeader]>,
    pub(super) metadata_key: Option<Arc<str>>,
}

/// A claim that becomes a header.
#[derive(Debug)]
struct ClaimHeader {
    header: Box<str>,
    /// The way to the claim.
    path: Box<[String]>,
}

/// Audiences without scheme and trailing slash; empty: any.
#[derive(Debug)]
pub(super) struct Audiences(Box<[Box<str>]>);

impl Audiences {
    pub(super) fn new(audiences: &[String]) -> Self {
        Self(audiences.iter().map(|audience| plain(audience).into()).collect())
    }

    fn allow(&self, token: &Token) -> bool {
        self.0.is_empty() || token.audiences.iter().any(|audience| self.0.iter().any(|own| **own == *plain(audience)))
    }
}

fn plain(audience: &str) -> &str {
    let audience = audience.strip_prefix("https://").or(audience.strip_prefix("http://")).unwrap_or(audience);
    audience.strip_suffix('/').unwrap_or(audience)
}

impl Provider {
    pub(super) fn new(provider: &JwtProvider) -> Self {
        let seconds = |time: crate::Nanos| i64::try_from(time.as_millis() / 1000).unwrap_or(i64::MAX);
        let config::JwtProvider { issuer, audiences, keys, claim_to_headers, .. } = provider;
        Self {
            issuer: issuer.as_str().into(),
            audiences: Audiences::new(audiences),
            keys: keys.iter().map(|key| key.as_str().into()).collect(),
            forward: provider.forward,
            clock_skew_s: provider.clock_skew.map(seconds).filter(|skew| *skew > 0).unwrap_or(CLOCK_SKEW_S),
            max_lifetime_s: provider.max_lifetime.map(seconds),
            require_expiration: provider.require_expiration,
            claim_to_headers: claim_to_headers
                .iter()
                .map(|(header, claim)| {
                    let path = claim.split('.').map(str::to_owned).collect();
                    ClaimHeader { header: header.to_ascii_lowercase().into(), path }
                })
                .collect(),
            metadata_key: provider.payload_in_metadata.as_deref().map(Into::into),
        }
    }

    /// Time, lifetime, audience, then the key. An issue time is not looked at.
    pub(super) fn verify(&self, token: &Token, audiences: Option<&Audiences>) -> Status {
        let skew = self.clock_skew_s;
        if token.not_before_in_s.is_some_and(|start| start > skew) {
            return Status::NotYetValid;
        }
        if token.expires_in_s.is_some_and(|end| end.saturating_add(skew) < 0) {
            return Status::Expired;
        }
        let is_lifetime_allowed = match (self.max_lifetime_s, token.expires_in_s) {
            (Some(max), Some(left)) => left <= max,
            (Some(_), None) => false,
            (None, end) => end.is_some() || !self.require_expiration,
        };
        if !is_lifetime_allowed {
            return Status::VerificationFails;
        }
        if !audiences.unwrap_or(&self.audiences).allow(token) {
            return Status::AudienceNotAllowed;
        }
        self.verify_key(token)
    }

    /// A key identifier chooses among the published keys, which all sign with ES256.
    fn verify_key(&self, token: &Token) -> Status {
        let is_named = |key: &str| token.key_id.as_deref().is_none_or(|id| id.is_empty() || key == id);
        let mut candidates = self.keys.iter().map(|key| &**key).filter(|key| is_named(key)).peekable();
        if token.algorithm != TokenAlgorithm::Es256 || candidates.peek().is_none() {
            return Status::NoSuchKey;
        }
        let is_signed = !token.is_tampered && candidates.any(|key| key == token.signed_by);
        if is_signed { Status::Ok } else { Status::VerificationFails }
    }

    /// What a good token changes in its request.
    pub(super) fn accept(&self, token: &Token, request: &mut Request, remove: impl FnOnce(&mut Request)) {
        for ClaimHeader { header, path } in &self.claim_to_headers {
            let text = claim::claim(token, path).map(|value| claim::header_text(&value)).unwrap_or_default();
            if !text.is_empty() {
                request.headers_mut().push(header, &text);
            }
        }
        if !self.forward {
            remove(request);
        }
    }
}
