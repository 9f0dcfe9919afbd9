//! Whom a port accepts (`L-9`): its Server's authorizations, or the default policy.

use meshproof_proxy::{
    FractionalPercent, Nanos,
    config::{
        Filter, LocalRateLimit, Permission, Principal, Rbac, RbacAction, RbacPolicy, RbacRules, StringMatcher,
        TokenBucket,
    },
};

use super::super::Lowering;
use crate::{
    Located, Location, Origin, ResourceRef, WorkloadId,
    gateway_api::HttpRoute,
    is_subset,
    linkerd::{
        AuthenticationRef, AuthorizationPolicy, ClientRef, InboundPolicy, Network, Server, ServerAuthorization,
        ServerRef,
    },
};

/// Networks of pods and services where the installation does not say otherwise.
const CLUSTER_NETWORKS: [&str; 5] = ["10.0.0.0/8", "100.64.0.0/10", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"];

/// Some clients that a port accepts.
#[derive(Clone, Debug)]
pub(super) struct Grant {
    pub(super) name: String,
    /// The policy behind it; `None`: the default policy of the port.
    pub(super) policy: Option<(ResourceRef, Location)>,
    pub(super) clients: Clients,
    /// Any of these; empty: every address.
    pub(super) networks: Vec<Network>,
}

/// Clients by what they show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Clients {
    /// Anyone.
    Anyone,
    /// Anyone over the mesh's TLS, with or without an identity.
    AnyTls,
    /// Any of these names, `*` any.
    Names(Vec<String>),
}

/// Whom a port accepts.
#[derive(Clone, Debug)]
pub(super) struct Access {
    pub(super) grants: Vec<Grant>,
    /// Why: the Server, the annotation, or the default.
    pub(super) origin: Origin,
}

impl Access {
    /// Whether a client without an identity may come in, and where that is said.
    pub(super) fn admits_unauthenticated(&self) -> Option<Origin> {
        let grant = self.grants.iter().find(|grant| grant.clients == Clients::Anyone)?;
        Some(grant.policy.as_ref().map_or(self.origin.clone(), |(_, at)| Origin::Written(at.clone())))
    }
}

impl Lowering<'_> {
    /// Whom a port accepts.
    pub(super) fn linkerd_access(&self, id: WorkloadId, port: u16) -> Access {
        let workload = self.mesh.workload(id);
        let Some(server) = self.server_of(workload, port) else {
            let written = workload.linkerd.default_inbound_policy.as_ref();
            let policy = written.map_or(InboundPolicy::default(), |policy| policy.value);
            let origin = written.map_or(Origin::Default("L-9"), |policy| Origin::Written(policy.at.clone()));
            return Access { grants: default_grant(policy), origin };
        };
        // What a Server does not authorize is denied, unless its own policy adds somebody.
        let policy = server.access_policy.as_ref().map_or(InboundPolicy::Deny, |policy| policy.value);
        let mut grants = default_grant(policy);
        let own = server.meta.namespace();
        let authorizations = self.mesh.linkerd.server_authorizations.iter();
        let authorizations = authorizations.filter(|policy| policy.meta.namespace() == own && names(policy, server));
        grants.extend(authorizations.filter_map(|policy| self.of_server_authorization(policy)));
        let policies = self.mesh.linkerd.authorization_policies.iter();
        let policies = policies.filter(|policy| policy.meta.namespace() == own && targets(policy, server));
        grants.extend(policies.filter_map(|policy| self.of_policy(policy)));
        let at = server.access_policy.as_ref().map_or(&server.meta.at, |policy| &policy.at);
        Access { grants, origin: Origin::Written(at.clone()) }
    }

    /// What a route of a Server grants beside the Server's own authorizations.
    pub(super) fn route_grants(&self, route: &HttpRoute) -> Vec<Grant> {
        let policies = self.mesh.linkerd.authorization_policies.iter();
        let of_route = policies.filter(|policy| {
            policy.meta.namespace() == route.meta.namespace()
                && policy.target.value.kind == route.meta.resource.kind
                && policy.target.value.name == route.meta.name()
        });
        of_route.filter_map(|policy| self.of_policy(policy)).collect()
    }

    /// What a policy grants; `None` if it names something that does not exist, which makes Linkerd ignore it.
    fn of_policy(&self, policy: &AuthorizationPolicy) -> Option<Grant> {
        let mut clients = Clients::Anyone;
        let mut networks = Vec::new();
        for required in &policy.required {
            let namespace = required.value.namespace.as_deref().unwrap_or(policy.meta.namespace());
            match required.value.kind.as_str() {
                "MeshTLSAuthentication" | "ServiceAccount" => {
                    clients = Clients::Names(self.identities(&required.value, namespace)?);
                }
                _ => {
                    let known = &self.mesh.linkerd.network_authentications;
                    let found = known.iter().find(|known| {
                        known.meta.name() == required.value.name && known.meta.namespace() == namespace
                    })?;
                    networks.clone_from(&found.networks);
                }
            }
        }
        Some(grant(&policy.meta.resource, &policy.meta.at, clients, networks))
    }

    fn identities(&self, required: &AuthenticationRef, namespace: &str) -> Option<Vec<String>> {
        let domain = self.mesh.domain();
        if required.kind == "ServiceAccount" {
            return Some(vec![super::account_name(&required.name, namespace, domain)]);
        }
        let known = &self.mesh.linkerd.mesh_tls_authentications;
        let found =
            known.iter().find(|known| known.meta.name() == required.name && known.meta.namespace() == namespace)?;
        let mut names: Vec<String> = found.identities.iter().map(|identity| identity.value.clone()).collect();
        names.extend(found.accounts.iter().map(|(namespace, account)| match account.as_str() {
            "" => format!("*.{namespace}.serviceaccount.identity.linkerd.{domain}"),
            account => super::account_name(account, namespace, domain),
        }));
        Some(names)
    }

    fn of_server_authorization(&self, policy: &ServerAuthorization) -> Option<Grant> {
        let ClientRef { networks, unauthenticated, unauthenticated_tls, identities, accounts, .. } = &policy.client;
        let domain = self.mesh.domain();
        let accounts = accounts.iter().map(|(namespace, account)| super::account_name(account, namespace, domain));
        let names: Vec<String> = identities.iter().cloned().chain(accounts).collect();
        let clients = match (unauthenticated, unauthenticated_tls) {
            (true, _) => Clients::Anyone,
            (false, true) => Clients::AnyTls,
            (false, false) if names.is_empty() => return None,
            (false, false) => Clients::Names(names),
        };
        Some(grant(&policy.meta.resource, &policy.meta.at, clients, networks.clone()))
    }

    /// Limits of a Server on its requests: those of all clients together. Limits of single clients are not part of
    /// the proxy core; the import names them.
    pub(super) fn rate_limit(&self, server: &Server) -> Option<(Filter, ResourceRef, Location)> {
        let of_server = |limit: &&crate::linkerd::HttpLocalRateLimitPolicy| {
            limit.meta.namespace() == server.meta.namespace() && limit.server.value == server.meta.name()
        };
        let limit = self.mesh.linkerd.rate_limits.iter().find(of_server)?;
        let total: &Located<u32> = limit.total.as_ref()?;
        let always = FractionalPercent::million(1_000_000);
        let filter = Filter::LocalRateLimit(LocalRateLimit {
            bucket: TokenBucket {
                max_tokens: total.value,
                tokens_per_fill: total.value,
                fill_interval: Nanos::from_secs(1),
            },
            enabled: always,
            enforced: always,
            status: None,
            response_headers_to_add: Vec::new(),
            x_ratelimit_headers: false,
            per_connection: false,
            descriptors: Vec::new(),
        });
        Some((filter, limit.meta.resource.clone(), total.at.clone()))
    }
}

fn grant(resource: &ResourceRef, at: &Location, clients: Clients, networks: Vec<Network>) -> Grant {
    Grant { name: resource.to_string(), policy: Some((resource.clone(), at.clone())), clients, networks }
}

fn default_grant(policy: InboundPolicy) -> Vec<Grant> {
    let anyone = || Clients::Names(vec!["*".to_owned()]);
    let cluster = || {
        let network = |cidr: &&str| Network { cidr: (*cidr).to_owned(), except: Vec::new() };
        CLUSTER_NETWORKS.iter().map(network).collect()
    };
    let (clients, networks) = match policy {
        InboundPolicy::AllUnauthenticated | InboundPolicy::Audit => (Clients::Anyone, Vec::new()),
        InboundPolicy::ClusterUnauthenticated => (Clients::Anyone, cluster()),
        InboundPolicy::AllAuthenticated => (anyone(), Vec::new()),
        InboundPolicy::ClusterAuthenticated => (anyone(), cluster()),
        InboundPolicy::Deny => return Vec::new(),
    };
    let name = InboundPolicy::NAMES.iter().find(|(_, known)| *known == policy).map_or("", |(name, _)| name);
    vec![Grant { name: format!("default:{name}"), policy: None, clients, networks }]
}

fn targets(policy: &AuthorizationPolicy, server: &Server) -> bool {
    let target = &policy.target.value;
    match target.kind.as_str() {
        "Server" => target.name == server.meta.name(),
        "Namespace" => target.name == server.meta.namespace(),
        _ => false,
    }
}

fn names(policy: &ServerAuthorization, server: &Server) -> bool {
    match &policy.server {
        ServerRef::Name(name) => name == server.meta.name(),
        ServerRef::Labels(labels) => is_subset(labels, &server.meta.labels),
    }
}

/// The access control filter of some grants; none where anyone may come in from anywhere.
pub(super) fn filter(grants: &[Grant]) -> Option<Filter> {
    if grants.iter().any(|grant| grant.clients == Clients::Anyone && grant.networks.is_empty()) {
        return None;
    }
    let policy = |grant: &Grant| RbacPolicy {
        name: grant.name.clone(),
        permissions: vec![Permission::Any],
        principals: vec![principal(grant)],
    };
    let rules = RbacRules { action: RbacAction::Allow, policies: grants.iter().map(policy).collect() };
    Some(Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }))
}

fn principal(grant: &Grant) -> Principal {
    let mut all = Vec::new();
    match &grant.clients {
        Clients::Anyone => {}
        Clients::AnyTls => all.push(Principal::Authenticated(None)),
        Clients::Names(names) => {
            let name = |name: &String| match name.strip_prefix('*') {
                Some("") => Principal::Authenticated(Some(StringMatcher::regex(".+"))),
                Some(suffix) => Principal::Authenticated(Some(StringMatcher::suffix(suffix))),
                None => Principal::Authenticated(Some(StringMatcher::exact(name))),
            };
            all.push(Principal::AnyOf(names.iter().map(name).collect()));
        }
    }
    if !grant.networks.is_empty() {
        let network = |network: &Network| {
            let mut parts = vec![Principal::DirectRemoteIp(network.cidr.clone())];
            let out = |block: &String| Principal::Not(Box::new(Principal::DirectRemoteIp(block.clone())));
            parts.extend(network.except.iter().map(out));
            Principal::AllOf(parts)
        };
        all.push(Principal::AnyOf(grant.networks.iter().map(network).collect()));
    }
    match all.pop() {
        None => Principal::Any,
        Some(only) if all.is_empty() => only,
        Some(last) => {
            all.push(last);
            Principal::AllOf(all)
        }
    }
}
