//! Linkerd: `policy.linkerd.io` authorizations and what they ask of clients (`L-9`).

use crate::{Labels, Located, Location, Meta};

/// Who may call a Server, a namespace or a route.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationPolicy {
    /// Its name and place.
    pub meta: Meta,
    /// What it protects, in its own namespace.
    pub target: Located<TargetRef>,
    /// All of them must hold; none: anyone.
    pub required: Vec<Located<AuthenticationRef>>,
}

/// What an AuthorizationPolicy protects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRef {
    /// The API's group; empty for Kubernetes' core.
    pub group: String,
    /// `Server`, `Namespace`, `HTTPRoute` or `GRPCRoute`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// What an AuthorizationPolicy asks of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthenticationRef {
    /// `MeshTLSAuthentication`, `NetworkAuthentication` or `ServiceAccount`.
    pub kind: String,
    /// Its namespace; absent: the policy's.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

/// Clients by identity.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshTlsAuthentication {
    /// Its name and place.
    pub meta: Meta,
    /// `identities`: names of Linkerd's certificates, `*` any, `*.suffix`.
    pub identities: Vec<Located<String>>,
    /// `identityRefs`: accounts `namespace/name`; an empty name is all of the namespace.
    pub accounts: Vec<(String, String)>,
}

/// Clients by address.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkAuthentication {
    /// Its name and place.
    pub meta: Meta,
    /// Any of these.
    pub networks: Vec<Network>,
}

/// A network without some parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// A CIDR block.
    pub cidr: String,
    /// Blocks that are left out.
    pub except: Vec<String>,
}

/// Who may call Servers, in the older form.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerAuthorization {
    /// Its name and place.
    pub meta: Meta,
    /// Which Servers of its namespace.
    pub server: ServerRef,
    /// Who.
    pub client: ClientRef,
}

/// Which Servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerRef {
    /// That one.
    Name(String),
    /// Those with all these labels.
    Labels(Labels),
}

/// `client` of a ServerAuthorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientRef {
    /// Where it begins.
    pub at: Location,
    /// `networks`; empty: every address.
    pub networks: Vec<Network>,
    /// `unauthenticated`: without an identity too.
    pub unauthenticated: bool,
    /// `meshTLS.unauthenticatedTLS`: over TLS without an identity.
    pub unauthenticated_tls: bool,
    /// `meshTLS.identities`.
    pub identities: Vec<String>,
    /// `meshTLS.serviceAccounts` as `namespace/name`.
    pub accounts: Vec<(String, String)>,
}
