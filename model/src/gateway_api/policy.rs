//! Gateway API: ReferenceGrant, BackendTLSPolicy, XBackendTrafficPolicy.

use meshproof_proxy::Nanos;

use crate::{Located, Location, Meta};

/// What objects of other namespaces may refer to; it stands in the namespace of the target (`G-5`).
#[derive(Clone, Debug, PartialEq)]
pub struct ReferenceGrant {
    /// Its name and place.
    pub meta: Meta,
    /// Who may refer, any of these: group, kind, namespace.
    pub from: Vec<Located<(String, String, String)>>,
    /// To what, any of these: group, kind, name (absent: all).
    pub to: Vec<Located<(String, String, Option<String>)>>,
}

/// What a policy is about (Gateway API: `LocalPolicyTargetReferenceWithSectionName`): an object of its own namespace.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyTarget {
    /// Where it begins.
    pub at: Location,
    /// The group; empty: the core group.
    pub group: String,
    /// The kind.
    pub kind: String,
    /// The name.
    pub name: Located<String>,
    /// The name of the Service's port; absent: all ports.
    pub section: Option<Located<String>>,
}

/// TLS from a gateway to its backends (`G-11`).
#[derive(Clone, Debug, PartialEq)]
pub struct BackendTlsPolicy {
    /// Its name and place.
    pub meta: Meta,
    /// What it is about.
    pub targets: Vec<PolicyTarget>,
    /// The name that is asked for and must be in the certificate.
    pub hostname: Option<Located<String>>,
    /// Other names that the certificate may have instead.
    pub sans: Vec<Located<String>>,
    /// Who signs the certificates: kind and name.
    pub authorities: Vec<Located<(String, String)>>,
    /// `System`: the certificates of the proxy's own system.
    pub well_known: Option<Located<String>>,
}

/// A budget for the retries towards a backend (`G-12`).
#[derive(Clone, Debug, PartialEq)]
pub struct BackendTrafficPolicy {
    /// Its name and place.
    pub meta: Meta,
    /// What it is about.
    pub targets: Vec<PolicyTarget>,
    /// `retryConstraint`, where there is one.
    pub budget: Option<RetryConstraint>,
}

/// How many retries there may be (Gateway API: `RetryConstraint`).
#[derive(Clone, Debug, PartialEq)]
pub struct RetryConstraint {
    /// Where it begins.
    pub at: Location,
    /// Retries in percent of the requests; absent: 20.
    pub percent: Option<Located<u32>>,
    /// Over how long; absent: 10 s.
    pub interval: Option<Located<Nanos>>,
    /// So many retries are always allowed; absent: 10.
    pub min_count: Option<Located<u32>>,
    /// In so long; absent: 1 s.
    pub min_interval: Option<Located<Nanos>>,
}
