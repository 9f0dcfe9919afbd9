//! Istio: security.v1.PeerAuthentication.

use crate::{Labels, Located, Meta};

/// What servers accept.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerAuthentication {
    /// Its name and place.
    pub meta: Meta,
    /// Only pods with all of them; empty: the namespace or the mesh (`PA-1`).
    pub selector: Labels,
    /// `mtls.mode`; absent or `UNSET`: inherited (`PA-3`).
    pub mode: Option<Located<MtlsMode>>,
    /// `portLevelMtls` by container port (`PA-4`); `None`: `UNSET`.
    pub port_level: Vec<(Located<u16>, Option<MtlsMode>)>,
}

/// `mtls.mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MtlsMode {
    /// Plaintext only.
    Disable,
    /// Both.
    Permissive,
    /// Mutual TLS only.
    Strict,
}
