//! The format of `*.test.ron`. Unknown fields are refused, and `Some` is not written.

use std::{collections::BTreeMap, net::IpAddr};

use meshproof_model::{Nanos, RonError, RonKind, RonWriteError, read_ron, write_ron};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::decide::Spoken;

/// A file of tests.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Tests {
    /// The version of the format: 1.
    pub version: u32,
    /// The mesh, from the file's folder; absent: the folder itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mesh: Option<String>,
    /// What is tested.
    pub tests: Vec<Test>,
}

/// One test.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(clippy::large_enum_variant, reason = "a file has a few")]
pub enum Test {
    /// What becomes of a request.
    Request {
        /// For people.
        name: String,
        /// The client; absent: one outside the mesh.
        #[serde(default, skip_serializing_if = "is_default")]
        from: Client,
        /// What is called.
        to: Target,
        /// The request; absent: `GET /`.
        #[serde(default, skip_serializing_if = "is_default")]
        request: Asked,
        /// What is expected; at least one member.
        expect: Expected,
    },
    /// Whether a property holds.
    Property {
        /// For people.
        name: String,
        /// The rule, such as `MP0401`.
        code: String,
        /// Of what, as reports name it, such as `service default/ratings`; absent: of everything.
        #[serde(default)]
        subject: Option<String>,
        /// What is expected.
        verdict: VerdictName,
        /// Numbers of the verdict that are expected, by their keys.
        #[serde(default)]
        values: BTreeMap<String, Value>,
        /// Numbers of the verdict, by their keys, that no verdict about the subject may exceed.
        #[serde(default)]
        at_most: BTreeMap<String, f64>,
    },
    /// Whether a scenario meets objectives.
    Objective {
        /// For people.
        name: String,
        /// The scenario: its name in the mesh, or a file.
        scenario: String,
        /// In place of the scenario's own.
        #[serde(default)]
        objectives: Vec<String>,
        /// In place of the scenario's own.
        #[serde(default)]
        seed: Option<u64>,
        /// In place of the scenario's own.
        #[serde(default)]
        replications: Option<u32>,
    },
}

/// What a property's verdict should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub enum VerdictName {
    /// It is proved, and nothing is found.
    Holds,
    /// It is found.
    Violated,
    /// It is not decided.
    Unknown,
    /// It holds because nothing matches it.
    Vacuous,
}

/// Who asks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Client {
    /// `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// `namespace/name` of a gateway through which the request has come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The peer's identity, without `spiffe://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub principal: Option<String>,
    /// The peer's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
    /// The original client's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote_ip: Option<IpAddr>,
}

/// What is called: a host, a workload's inbound side, or a gateway.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Target {
    /// An address that the client calls.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub workload: Option<String>,
    /// `namespace/name`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// The address that is dialled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ip: Option<IpAddr>,
}

/// The request.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Asked {
    /// `http`, `grpc`, `tcp` or `tls`; absent: what the port declares.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub protocol: Option<Spoken>,
    /// Absent: `GET`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// With its query; absent: `/`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The authority; absent: the host that is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// Absent: what the connection is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheme: Option<String>,
    /// By name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Of a verified token.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub claims: BTreeMap<String, Value>,
    /// The name that is asked for over TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sni: Option<String>,
}

/// What is expected of a request; what is absent is not looked at.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Expected {
    /// Whether access control lets it pass.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<bool>,
    /// `route`, `redirect`, `direct`, `not-found`, `no-backend` or `denied`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<String>,
    /// The status that a proxy itself answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// `KIND NAMESPACE/NAME`, with `/RULE` behind it if that matters: its number from 0, or its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// All backends with traffic, in any order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backends: Option<Vec<ExpectedBackend>>,
    /// Where a redirect leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect: Option<String>,
    /// The path that the upstream sees.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The tightest limit that is configured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Nanos>,
    /// Tries after the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retries: Option<u32>,
    /// Whether the hop to the backend is mutual TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtls: Option<bool>,
}

/// A backend; what is absent is not looked at.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ExpectedBackend {
    /// Its whole host, or the first labels of it.
    pub host: String,
    /// Its port.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
    /// Its subset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<String>,
    /// Its weight; a single one has 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u32>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Reads a file of tests.
pub(super) fn read(text: &str) -> Result<Tests, RonError> {
    read_ron(text, RonKind::Tests, |tests: &Tests| tests.version)
}

/// Writes a file of tests so that [`read`] gives the same again.
pub(super) fn write(tests: &Tests) -> Result<String, RonWriteError> {
    write_ron("Tests", tests)
}
