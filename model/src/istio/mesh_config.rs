//! Istio: mesh.v1alpha1.MeshConfig, as far as it is modelled.

use meshproof_proxy::Nanos;

use super::{ConnectionPool, LocalityLb, OutlierDetection, Retries};
use crate::{IstioVersion, Location, Sourced};

/// Mesh-wide settings with their defaults (`MC-1`).
#[derive(Clone, Debug, PartialEq)]
pub struct MeshConfig {
    /// Where it is written; `None`: every setting is a default.
    pub at: Option<Location>,
    /// The namespace of mesh-wide policies.
    pub root_namespace: Sourced<String>,
    /// The domain that completes short host names (`H-1`).
    pub cluster_domain: Sourced<String>,
    /// The trust domain of identities.
    pub trust_domain: Sourced<String>,
    /// Other names of the trust domain.
    pub trust_domain_aliases: Vec<String>,
    /// Whether clients choose mutual TLS by themselves.
    pub enable_auto_mtls: Sourced<bool>,
    /// Whether hosts that nobody defines can be called.
    pub outbound_allow_any: Sourced<bool>,
    /// Limit on opening a connection.
    pub connect_timeout: Sourced<Nanos>,
    /// Retries of routes that have none (`RT-12`).
    pub default_http_retry_policy: Option<Retries>,
    /// Retries of servers' own proxies (`RT-17`).
    pub default_inbound_http_retry_policy: Option<Retries>,
    /// Limits of clients whose DestinationRules have none (`DR-9`).
    pub default_connection_pool: Option<ConnectionPool>,
    /// Outlier detection of clients whose DestinationRules have none (`DR-9`).
    pub default_outlier_detection: Option<OutlierDetection>,
    /// Where the nearest endpoints come first, and how (`DR-14`).
    pub locality_lb_setting: Option<LocalityLb>,
    /// Visibility of VirtualServices that say nothing.
    pub default_virtual_service_export_to: Vec<String>,
    /// Visibility of DestinationRules that say nothing.
    pub default_destination_rule_export_to: Vec<String>,
    /// The version whose defaults hold.
    pub istio_version: IstioVersion,
    /// Services that policies may name (`AZ-10`).
    pub extension_providers: Vec<ExtensionProvider>,
    /// What servers make of a path before policies read it (`AZ-5`).
    pub path_normalization: PathNormalization,
}

/// One of `extensionProviders`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtensionProvider {
    /// Where it is written.
    pub at: Location,
    /// Its name.
    pub name: String,
    /// Whether and for what it can decide about access; `None`: not at all.
    pub authorizes: Option<Authorizes>,
}

/// What an external authorizer can be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorizes {
    /// Requests only (`envoyExtAuthzHttp`).
    Requests,
    /// Requests and connections (`envoyExtAuthzGrpc`).
    All,
}

/// `pathNormalization.normalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathNormalization {
    /// Nothing.
    None,
    /// RFC 3986; `DEFAULT` is the same.
    #[default]
    Base,
    /// The same, and `//` is `/`.
    MergeSlashes,
    /// The same, and `%2F` and `%5C` are slashes.
    DecodeAndMergeSlashes,
}

impl Default for MeshConfig {
    fn default() -> Self {
        Self {
            at: None,
            root_namespace: Sourced::default("istio-system".to_owned(), "MC-1"),
            cluster_domain: Sourced::default("cluster.local".to_owned(), "H-1"),
            trust_domain: Sourced::default("cluster.local".to_owned(), "MC-1"),
            trust_domain_aliases: Vec::new(),
            enable_auto_mtls: Sourced::default(true, "MC-1"),
            outbound_allow_any: Sourced::default(true, "MC-1"),
            connect_timeout: Sourced::default(Nanos::from_secs(10), "MC-1"),
            default_http_retry_policy: None,
            default_inbound_http_retry_policy: None,
            default_connection_pool: None,
            default_outlier_detection: None,
            locality_lb_setting: None,
            default_virtual_service_export_to: vec!["*".to_owned()],
            default_destination_rule_export_to: vec!["*".to_owned()],
            istio_version: IstioVersion::NEWEST,
            extension_providers: Vec::new(),
            path_normalization: PathNormalization::Base,
        }
    }
}
