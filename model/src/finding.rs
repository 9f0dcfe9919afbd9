//! What is wrong, where, why it matters and what helps: plain data that the reports render.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{Location, Rule};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Likely a mistake.
    Warning,
    /// A mistake, or a property that does not hold.
    Error,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Which rule it breaks.
    pub rule: &'static Rule,
    /// How bad it is here.
    pub severity: Severity,
    /// What the finding rests on.
    pub verdict: FindingVerdict,
    /// What, in one sentence: lower case, no full stop, user text in backticks.
    pub message: String,
    /// What helps, in one sentence.
    pub help: Option<String>,
    /// What it is about.
    pub subject: Subject,
    /// The equivalent code of Istio's analysis.
    pub istio: Option<&'static str>,
    /// Where.
    pub location: Option<Location>,
    /// Further places, with what is to be seen there.
    pub related: Vec<(Location, String)>,
    /// The numbers of the verdict, with units in the keys.
    pub values: BTreeMap<&'static str, Value>,
    /// What shows it.
    pub witness: Option<Witness>,
}

impl Finding {
    /// A finding of the rule's own severity, without places, numbers or help.
    pub fn new(rule: &'static Rule, subject: Subject, message: impl Into<String>) -> Self {
        Self {
            rule,
            severity: rule.severity,
            verdict: FindingVerdict::Lint,
            message: message.into(),
            help: None,
            subject,
            istio: rule.istio,
            location: None,
            related: Vec::new(),
            values: BTreeMap::new(),
            witness: None,
        }
    }

    /// The same at this place.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.location = Some(location);
        self
    }

    /// The same with this advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The same with a further place.
    #[must_use]
    pub fn related(mut self, location: Location, message: impl Into<String>) -> Self {
        self.related.push((location, message.into()));
        self
    }

    /// The same with a number; its key ends in the unit.
    #[must_use]
    pub fn value(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.values.insert(key, value.into());
        self
    }
}

/// What a finding rests on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingVerdict {
    /// A property is violated, and a witness shows it.
    Violated,
    /// A property could not be decided within its limits.
    Unknown,
    /// A property holds only because nothing matches it.
    Vacuous,
    /// A pattern in the text.
    Lint,
}

/// A number or text of a verdict.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Value {
    /// A whole number.
    Int(u64),
    /// A number that need not be whole.
    Float(f64),
    /// Yes or no.
    Bool(bool),
    /// A text.
    Text(String),
}

impl From<u64> for Value {
    fn from(value: u64) -> Self {
        Self::Int(value)
    }
}
impl From<u32> for Value {
    fn from(value: u32) -> Self {
        Self::Int(value.into())
    }
}
impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<String> for Value {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<&str> for Value {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// What a finding or proof is about.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// An object of the manifests.
    Resource(ResourceRef),
    /// A service, as `namespace/name`.
    Service(String),
    /// A workload, as `namespace/name`.
    Workload(String),
    /// A call between two of them.
    Call {
        /// Who calls, as `namespace/name`.
        from: String,
        /// Who is called, as `namespace/name`.
        to: String,
    },
    /// A route of an object.
    Route {
        /// The object.
        resource: ResourceRef,
        /// Its name or number.
        route: String,
    },
    /// A namespace.
    Namespace(String),
    /// A file as a whole.
    File(String),
    /// The whole mesh.
    Mesh,
}

impl std::fmt::Display for Subject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Resource(resource) => write!(f, "{resource}"),
            Self::Service(name) => write!(f, "service {name}"),
            Self::Workload(name) => write!(f, "workload {name}"),
            Self::Call { from, to } => write!(f, "call {from} -> {to}"),
            Self::Route { resource, route } => write!(f, "route {resource}/{route}"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::File(path) => write!(f, "file {path}"),
            Self::Mesh => f.write_str("mesh"),
        }
    }
}

/// The name of an object of the manifests.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct ResourceRef {
    /// Such as `VirtualService`.
    pub kind: String,
    /// Empty for objects without a namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

impl std::fmt::Display for ResourceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => write!(f, "{} {}", self.kind, self.name),
            namespace => write!(f, "{} {namespace}/{}", self.kind, self.name),
        }
    }
}

/// What shows a violation.
#[derive(Clone, Debug, PartialEq)]
pub struct Witness {
    /// What kind of thing it is.
    pub kind: WitnessKind,
    /// The way of the request, as `namespace/name` of services or workloads, the entry first.
    pub path: Vec<String>,
    /// What happens, step by step, for people.
    pub steps: Vec<String>,
    /// What the simulator replays.
    pub scenario: Option<crate::Scenario>,
    /// What the replay must show.
    pub expectation: Option<Expectation>,
    /// Whether it was replayed, and the replay showed it.
    pub replayed: Option<bool>,
    /// The request that shows it, where it is one at a server's proxy.
    pub request: Option<RequestExample>,
}

/// A request as a server's proxy sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestExample {
    /// Who sends it, as `namespace/name` of a workload; absent: somebody outside of the mesh.
    pub from: Option<String>,
    /// The name in the peer's certificate without `spiffe://`; absent: what the mesh makes of `from`.
    pub principal: Option<String>,
    /// The peer's address, where it matters.
    pub ip: Option<std::net::IpAddr>,
    /// The client's address, where it matters.
    pub remote_ip: Option<std::net::IpAddr>,
    /// Whose pods get it, as `namespace/name` of a workload.
    pub to: String,
    /// On which of their ports.
    pub port: u16,
    /// The address that was dialled, where it matters.
    pub to_ip: Option<std::net::IpAddr>,
    /// Whether only a connection is seen.
    pub is_connection: bool,
    /// Absent: `GET`.
    pub method: Option<String>,
    /// Absent: `/`.
    pub path: Option<String>,
    /// The authority, where it matters.
    pub host: Option<String>,
    /// The name that the connection asks for.
    pub sni: Option<String>,
    /// Lines of headers by name.
    pub headers: BTreeMap<String, Vec<String>>,
    /// Values of a verified token's claims; `a.b` leads into objects.
    pub claims: BTreeMap<String, Vec<String>>,
}

/// What kind of thing a witness is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WitnessKind {
    /// A scenario for the simulator.
    Scenario,
    /// A request.
    Request,
    /// An order of changes.
    Order,
    /// A set of failures.
    Failures,
}

/// What the replay of a witness must show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Expectation {
    /// Exactly so many requests reach this service (`namespace/name`).
    RequestsAt {
        /// Which service.
        service: String,
        /// How many.
        count: u64,
    },
    /// A caller has given up before its callee is done.
    CallerLeavesFirst {
        /// Who calls, as `namespace/name` of a service or workload.
        caller: String,
        /// Who is called.
        callee: String,
    },
    /// A request goes over a link in plaintext.
    Plaintext {
        /// Who calls, as `namespace/name` of a workload; empty for a client outside the mesh.
        from: String,
        /// Who is called, as `namespace/name` of a workload.
        to: String,
    },
    /// Whether the proxies let the witness's request pass.
    Allowed(bool),
    /// A connection is refused because the two sides cannot agree on TLS.
    HandshakeFails {
        /// Who calls, as `namespace/name` of a workload; empty for a client outside the mesh.
        from: String,
        /// Who is called, as `namespace/name` of a workload.
        to: String,
    },
}

/// As an objective: `3 requests reach default/ratings`.
impl fmt::Display for Expectation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |name: &str| if name.is_empty() { "a client outside the mesh".to_owned() } else { name.to_owned() };
        match self {
            Self::RequestsAt { service, count } => write!(f, "{count} requests reach {service}"),
            Self::CallerLeavesFirst { caller, callee } => write!(f, "{caller} leaves before {callee} is done"),
            Self::Plaintext { from, to } => write!(f, "plaintext goes from {} to {to}", name(from)),
            Self::HandshakeFails { from, to } => write!(f, "a handshake from {} to {to} fails", name(from)),
            Self::Allowed(true) => write!(f, "the request passes"),
            Self::Allowed(false) => write!(f, "the request is refused"),
        }
    }
}
