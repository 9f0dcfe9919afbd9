//! Kubernetes: networking.v1.Ingress.

use crate::{Located, Location, Meta};

/// Routes of Kubernetes' own entry (`IN-1`).
#[derive(Clone, Debug, PartialEq)]
pub struct Ingress {
    /// Its name and place.
    pub meta: Meta,
    /// Whose: `spec.ingressClassName`, else the annotation `kubernetes.io/ingress.class`.
    pub class: Option<Located<String>>,
    /// Where requests go that no rule takes.
    pub default_backend: Option<IngressBackend>,
    /// Its rules.
    pub rules: Vec<IngressRule>,
    /// Hosts with certificates.
    pub tls: Vec<IngressTls>,
}

impl Ingress {
    /// The name of its class; empty: it names none.
    pub fn class_name(&self) -> &str {
        self.class.as_ref().map_or("", |class| class.value.as_str())
    }
}

/// Paths of a host.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressRule {
    /// Where it begins.
    pub at: Location,
    /// The host; absent: every host.
    pub host: Option<Located<String>>,
    /// Its paths.
    pub paths: Vec<IngressPath>,
}

/// One path.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressPath {
    /// Where it begins.
    pub at: Location,
    /// The path; absent: `/`.
    pub path: Option<Located<String>>,
    /// `Exact`, `Prefix` or `ImplementationSpecific`.
    pub path_type: Option<Located<String>>,
    /// Where to.
    pub backend: IngressBackend,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressBackend {
    /// Where it begins.
    pub at: Location,
    /// The Service; absent: the backend is another resource.
    pub service: Option<Located<String>>,
    /// Its port.
    pub port: Option<Located<IngressPort>>,
}

/// A port of a Service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IngressPort {
    /// By number.
    Number(u16),
    /// By name.
    Name(String),
}

/// Hosts with a certificate.
#[derive(Clone, Debug, PartialEq)]
pub struct IngressTls {
    /// Where it begins.
    pub at: Location,
    /// The hosts; empty: all.
    pub hosts: Vec<Located<String>>,
    /// The secret with the certificate.
    pub secret: Option<Located<String>>,
}
