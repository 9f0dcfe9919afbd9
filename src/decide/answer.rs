//! An answer, as one line of JSON gives it.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// What becomes of a request.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Answer {
    /// The question's.
    pub id: Value,
    /// `None`: an external authorizer decides, and all else allows; or it cannot be said.
    pub allowed: Option<bool>,
    /// The policies that decide; none: the default.
    pub by: Vec<Policy>,
    /// What happens.
    pub outcome: Outcome,
    /// The status that a proxy itself answers.
    pub status: Option<u16>,
    /// The route that takes it; `None`: none, or the default one.
    pub route: Option<Route>,
    /// Where it may be sent, by host, port and subset.
    pub backends: Vec<Backend>,
    /// The redirect that it is answered with.
    pub redirect: Option<Redirect>,
    /// What the upstream sees in place of path and authority.
    pub rewrite: Option<Rewrite>,
    /// Header changes.
    pub headers: Option<Headers>,
    /// The tightest limit that is configured.
    pub timeout_ms: Option<u64>,
    /// Retries that are configured.
    pub retries: Option<Retries>,
    /// Copies.
    pub mirrors: Vec<Mirror>,
    /// Whether the hop to the backend is mutual TLS; `None`: nothing is called.
    pub mtls: Option<bool>,
    /// For people.
    pub why: String,
    /// What could change this answer and is not modelled.
    pub not_modelled: Vec<String>,
}

/// What happens to a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It is sent on, or arrives.
    Route,
    /// It is answered with a redirect.
    Redirect,
    /// A proxy answers it itself.
    Direct,
    /// Nothing takes it.
    NotFound,
    /// Something takes it, and there is nothing to send it to.
    NoBackend,
    /// It is refused.
    Denied,
    /// It cannot be said.
    #[default]
    Unknown,
}

/// A policy that decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Policy {
    /// Its kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// `ALLOW`, `DENY` or `CUSTOM`.
    pub action: &'static str,
    /// The rule that matches; `None`: none does.
    pub rule: Option<usize>,
}

/// The route that takes a request.
#[derive(Clone, Debug, Serialize)]
pub struct Route {
    /// The object's kind.
    pub kind: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Which of its rules, from 0.
    pub rule: usize,
    /// Which match of the rule, from 0.
    pub r#match: usize,
    /// The rule's name.
    pub label: Option<String>,
}

/// A destination with traffic.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Backend {
    /// `None`: it does not exist, or may not be named from there.
    pub host: Option<String>,
    /// Likewise.
    pub port: Option<u16>,
    /// The subset.
    pub subset: Option<String>,
    /// As written; a single one has 100.
    pub weight: u32,
    /// The name of its cluster.
    pub cluster: String,
}

/// A redirect.
#[derive(Clone, Debug, Serialize)]
pub struct Redirect {
    /// Its status.
    pub status: u16,
    /// Where it leads, without a port that is the scheme's own.
    pub location: String,
}

/// What the upstream sees.
#[derive(Clone, Debug, Serialize)]
pub struct Rewrite {
    /// The new path with its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The new authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
}

/// Header changes.
#[derive(Clone, Debug, Serialize)]
pub struct Headers {
    /// Of the request.
    pub request: Changes,
    /// Of the response.
    pub response: Changes,
}

/// Changes of one message's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changes {
    /// Replaced or added.
    pub set: BTreeMap<String, String>,
    /// Added beside what is there.
    pub add: BTreeMap<String, String>,
    /// Removed.
    pub remove: Vec<String>,
}

/// Retries.
#[derive(Clone, Debug, Serialize)]
pub struct Retries {
    /// Tries after the first.
    pub attempts: u32,
    /// Conditions and codes that are written.
    pub on: Vec<String>,
}

/// A copy.
#[derive(Clone, Debug, Serialize)]
pub struct Mirror {
    /// `None`: it does not exist.
    pub host: Option<String>,
    /// Likewise.
    pub port: Option<u16>,
    /// Of how many.
    pub percent: f64,
}

impl Answer {
    /// The answer to a question that cannot be decided.
    pub fn unknown(why: impl Into<String>) -> Self {
        Self { why: why.into(), ..Self::default() }
    }
}
