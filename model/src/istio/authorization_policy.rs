//! Istio: security.v1.AuthorizationPolicy.

use crate::{Labels, Located, Location, Meta};

/// Who may call what.
#[derive(Clone, Debug, PartialEq)]
pub struct AuthorizationPolicy {
    /// Its name and place.
    pub meta: Meta,
    /// Only pods with all of them; empty: the namespace or the mesh (`AZ-1`).
    pub selector: Labels,
    /// What it is attached to in place of pods; sidecars ignore a policy with any (`AZ-1`).
    pub target_refs: Vec<TargetRef>,
    /// What a match means.
    pub action: Located<AuthorizationAction>,
    /// The provider of a `CUSTOM` policy.
    pub provider: Option<Located<String>>,
    /// Rules; without any the policy matches nothing (`AZ-3`).
    pub rules: Vec<AuthorizationRule>,
    /// Whether it is only counted (annotation `istio.io/dry-run`).
    pub dry_run: bool,
}

/// An object that a policy is attached to (`AZ-1`); it is in the policy's own namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetRef {
    /// Where it is written.
    pub at: Location,
    /// Its API's group; empty or `core` for Kubernetes' own.
    pub group: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its namespace; a policy never attaches to another one than its own.
    pub namespace: Option<String>,
}

impl TargetRef {
    /// Whether it names that object of the policy's own namespace.
    pub fn names(&self, group: &str, kind: &str, name: &str, own: &str) -> bool {
        let same_group = self.group == group || (group.is_empty() && self.group == "core");
        same_group && self.kind == kind && self.name == name && self.namespace.as_deref().is_none_or(|ns| ns == own)
    }
}

/// What a match of a policy means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AuthorizationAction {
    /// Only requests that match are allowed.
    Allow,
    /// Requests that match are refused.
    Deny,
    /// Requests that match are logged.
    Audit,
    /// Requests that match are put to a provider.
    Custom,
}

/// One rule: some `from`, some `to` and every `when` match (`AZ-4`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthorizationRule {
    /// Where it begins.
    pub at: Option<Location>,
    /// Who: any of these; empty: anyone.
    pub from: Vec<Source>,
    /// What: any of these; empty: anything.
    pub to: Vec<Operation>,
    /// Further conditions: all of these.
    pub when: Vec<Condition>,
}

/// Values of a field and their negation; any value matches, and none of the negated ones.
pub type Values = Vec<Located<String>>;

/// Who calls: all fields that are written hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source {
    /// `principals`.
    pub principals: Values,
    /// `notPrincipals`.
    pub not_principals: Values,
    /// `requestPrincipals`.
    pub request_principals: Values,
    /// `notRequestPrincipals`.
    pub not_request_principals: Values,
    /// `namespaces`.
    pub namespaces: Values,
    /// `notNamespaces`.
    pub not_namespaces: Values,
    /// `serviceAccounts`.
    pub service_accounts: Values,
    /// `notServiceAccounts`.
    pub not_service_accounts: Values,
    /// `ipBlocks`.
    pub ip_blocks: Values,
    /// `notIpBlocks`.
    pub not_ip_blocks: Values,
    /// `remoteIpBlocks`.
    pub remote_ip_blocks: Values,
    /// `notRemoteIpBlocks`.
    pub not_remote_ip_blocks: Values,
}

/// What is called: all fields that are written hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Operation {
    /// `hosts`.
    pub hosts: Values,
    /// `notHosts`.
    pub not_hosts: Values,
    /// `ports`.
    pub ports: Values,
    /// `notPorts`.
    pub not_ports: Values,
    /// `methods`.
    pub methods: Values,
    /// `notMethods`.
    pub not_methods: Values,
    /// `paths`.
    pub paths: Values,
    /// `notPaths`.
    pub not_paths: Values,
}

/// A further condition.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    /// Such as `request.headers[x-token]`.
    pub key: Located<String>,
    /// `values`.
    pub values: Values,
    /// `notValues`.
    pub not_values: Values,
}
