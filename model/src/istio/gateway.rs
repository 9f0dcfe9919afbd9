//! Istio: networking.v1.Gateway.

use crate::{Labels, Located, Location, Meta};

/// An entry into the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Its name and place.
    pub meta: Meta,
    /// Pods with all of them serve it, in any namespace (`GW-1`).
    pub selector: Labels,
    /// What they listen to.
    pub servers: Vec<Server>,
}

/// One port of a gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Where it begins.
    pub at: Location,
    /// The port's number.
    pub port: Located<u16>,
    /// The port's name.
    pub port_name: String,
    /// The port's protocol, as written.
    pub protocol: Located<String>,
    /// Hosts as written: `[namespace/]host` (`VS-9`).
    pub hosts: Vec<Located<String>>,
    /// TLS.
    pub tls: Option<ServerTls>,
}

/// TLS of a gateway's port.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerTls {
    /// Where it begins.
    pub at: Location,
    /// `mode` as written, such as `SIMPLE`.
    pub mode: Option<Located<String>>,
    /// `credentialName`.
    pub credential_name: Option<Located<String>>,
    /// `httpsRedirect`.
    pub https_redirect: bool,
}
