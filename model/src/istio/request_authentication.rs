//! Istio: security.v1.RequestAuthentication.

use super::TargetRef;
use crate::{Labels, Located, Location, Meta};

/// Which tokens servers accept.
#[derive(Clone, Debug, PartialEq)]
pub struct RequestAuthentication {
    /// Its name and place.
    pub meta: Meta,
    /// Only pods with all of them; empty: the namespace or the mesh (`RA-1`).
    pub selector: Labels,
    /// What it is attached to in place of pods.
    pub target_refs: Vec<TargetRef>,
    /// Issuers, each with the places of its tokens.
    pub rules: Vec<JwtRule>,
}

/// One of `jwtRules`.
#[derive(Clone, Debug, PartialEq)]
pub struct JwtRule {
    /// Where it begins.
    pub at: Location,
    /// `issuer`.
    pub issuer: Located<String>,
    /// `audiences`; empty: any.
    pub audiences: Vec<String>,
    /// `fromHeaders`: names and prefixes. Nowhere written: `Authorization: Bearer` and `access_token` (`RA-2`).
    pub from_headers: Vec<(String, String)>,
    /// `fromParams`.
    pub from_params: Vec<String>,
    /// `fromCookies`.
    pub from_cookies: Vec<String>,
    /// `forwardOriginalToken`.
    pub forward_original_token: bool,
    /// `outputClaimToHeaders`: header and claim.
    pub claim_to_headers: Vec<(String, String)>,
}
