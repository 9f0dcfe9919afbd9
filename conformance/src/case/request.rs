//! What the client sends.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::Millis;

/// One request, or a closed loop of them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    #[serde(default)]
    pub(crate) at_ms: Millis,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default = "authority")]
    pub(crate) authority: String,
    #[serde(default = "root")]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body_bytes: Option<u64>,
    #[serde(default)]
    pub(crate) body_chunks: Option<Vec<(Millis, u64)>>,
    pub(crate) abort_after_ms: Option<Millis>,
    pub(crate) http_version: Option<String>,
    #[serde(default)]
    pub(crate) no_host: bool,
    pub(crate) connection: Option<String>,
    #[serde(default)]
    pub(crate) observe: Observe,
    pub(crate) repeat: Option<u64>,
    pub(crate) concurrency: Option<u64>,
    #[serde(default)]
    pub(crate) protocol: Protocol,
    pub(crate) grpc_messages: Option<u64>,
    token: Option<Token>,
    #[serde(default)]
    tokens: Vec<Token>,
}

fn get() -> String {
    "GET".to_owned()
}

fn authority() -> String {
    "svc.test".to_owned()
}

fn root() -> String {
    "/".to_owned()
}

/// What the client speaks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    #[default]
    Http1,
    Http2,
}

/// What is to be reported of the exchange.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Observe {
    #[serde(default)]
    pub(crate) upstream_headers: Vec<String>,
    #[serde(default)]
    pub(crate) upstream_headers_each_attempt: Vec<String>,
    #[serde(default)]
    pub(crate) response_headers: Vec<String>,
    #[serde(default)]
    pub(crate) response_trailers: Vec<String>,
    #[serde(default)]
    pub(crate) body: bool,
    #[serde(default)]
    pub(crate) body_size: Option<bool>,
}

/// A token to be made at the time of sending.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Token {
    pub(crate) issuer: Option<Value>,
    pub(crate) subject: Option<Value>,
    pub(crate) audience: Option<Value>,
    pub(crate) exp_offset_s: Option<i64>,
    pub(crate) nbf_offset_s: Option<i64>,
    pub(crate) iat_offset_s: Option<i64>,
    pub(crate) signed_by: Option<String>,
    #[serde(default, deserialize_with = "present")]
    pub(crate) key_id: Option<Option<String>>,
    #[serde(default)]
    pub(crate) claims: BTreeMap<String, Value>,
    pub(crate) algorithm: Option<String>,
    #[serde(default)]
    pub(crate) tampered: bool,
    pub(crate) literal: Option<String>,
    #[serde(rename = "in")]
    pub(crate) place: Option<Place>,
}

/// Tells a `null` from an absent key.
fn present<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Where a token travels.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Place {
    pub(crate) header: Option<String>,
    #[serde(default)]
    pub(crate) prefix: String,
    pub(crate) param: Option<String>,
    pub(crate) cookie: Option<String>,
}

impl Request {
    /// A plain request at a time.
    pub(crate) fn get_at(at_ms: Millis) -> Self {
        Self {
            at_ms,
            method: get(),
            authority: authority(),
            path: root(),
            headers: Vec::new(),
            body_bytes: None,
            body_chunks: None,
            abort_after_ms: None,
            http_version: None,
            no_host: false,
            connection: None,
            observe: Observe::default(),
            repeat: None,
            concurrency: None,
            protocol: Protocol::Http1,
            grpc_messages: None,
            token: None,
            tokens: Vec::new(),
        }
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.token.iter().chain(&self.tokens)
    }
}
