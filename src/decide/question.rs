//! A question, as one line of JSON asks it.

use std::{collections::BTreeMap, net::IpAddr};

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// Who asks for what.
#[derive(Clone, Debug, Deserialize)]
pub struct Question {
    /// Echoed.
    #[serde(default)]
    pub id: Value,
    /// The client; absent: one outside the mesh.
    #[serde(default)]
    pub from: From,
    /// What is called.
    pub to: To,
    /// The request; absent: `GET /`.
    #[serde(default)]
    pub request: Request,
}

/// The client.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct From {
    /// `namespace/name`.
    #[serde(default)]
    pub workload: Option<String>,
    /// `namespace/name` of a gateway through which the request has come.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The peer's identity.
    #[serde(default)]
    pub principal: Principal,
    /// The peer's address.
    #[serde(default)]
    pub ip: Option<IpAddr>,
    /// The original client's address; absent: the peer's.
    #[serde(default)]
    pub remote_ip: Option<IpAddr>,
}

/// Whom the server sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Principal {
    /// Absent: whom workload and policy make of it.
    #[default]
    Derived,
    /// Null: nobody, the link is plaintext.
    Plaintext,
    /// This identity, without `spiffe://`.
    Named(String),
}

impl<'de> Deserialize<'de> for Principal {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Plaintext, Self::Named))
    }
}

/// What is called: a host, a workload's inbound side, or a gateway.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct To {
    /// An address that the client calls.
    #[serde(default)]
    pub host: Option<String>,
    /// `namespace/name`.
    #[serde(default)]
    pub workload: Option<String>,
    /// `namespace/name`.
    #[serde(default)]
    pub gateway: Option<String>,
    /// The port; absent: the only one, or the usual one.
    #[serde(default)]
    pub port: Option<u16>,
    /// The address that is dialled.
    #[serde(default)]
    pub ip: Option<IpAddr>,
}

/// The request.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Request {
    /// What is spoken; absent: what the port declares.
    #[serde(default)]
    pub protocol: Option<Spoken>,
    /// Absent: `GET`, of gRPC `POST`.
    #[serde(default)]
    pub method: Option<String>,
    /// With its query; absent: `/`.
    #[serde(default)]
    pub path: Option<String>,
    /// The authority; absent: the host that is called.
    #[serde(default)]
    pub host: Option<String>,
    /// Absent: what the connection is.
    #[serde(default)]
    pub scheme: Option<String>,
    /// Texts, or lists of texts for headers with several lines.
    #[serde(default)]
    pub headers: BTreeMap<String, Value>,
    /// Of a verified token; absent: there is none.
    #[serde(default)]
    pub claims: Option<BTreeMap<String, Value>>,
    /// The name that is asked for over TLS.
    #[serde(default)]
    pub sni: Option<String>,
    /// What other filters have left behind, by filter and key.
    #[serde(default)]
    pub metadata: BTreeMap<String, BTreeMap<String, Value>>,
}

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Spoken {
    /// Requests.
    Http,
    /// Requests of gRPC.
    Grpc,
    /// Bytes.
    Tcp,
    /// TLS that is passed on.
    Tls,
}

impl Request {
    /// Whether only the connection is seen.
    pub fn is_connection(&self) -> bool {
        matches!(self.protocol, Some(Spoken::Tcp | Spoken::Tls))
    }
}
