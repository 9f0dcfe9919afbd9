//! One listener, compiled: its connection manager, its filters and its routes.

use std::net::IpAddr;

use super::{FilterTable, Override, RouteEntry, RouterOptions, domain::Domains, index::PathIndex};
use crate::{
    Nanos, RouteId,
    cidr::Cidr,
    config::{EscapedSlashes, RequireTls},
    request::{Request, without_port},
    xfcc::ClientCertificates,
};

/// One listener.
#[derive(Debug)]
pub(crate) struct ListenerTable {
    pub(crate) name: Box<str>,
    pub(crate) manager: ManagerOptions,
    pub(crate) router: RouterOptions,
    /// The chain's filters in order, then those that only routes use.
    pub(crate) filters: Box<[FilterTable]>,
    /// How many filters the chain has.
    pub(crate) chain_len: usize,
    pub(crate) routes: RouteTable,
    /// What the chain was compiled of.
    pub(crate) chain_print: u64,
    /// What the routes were compiled of, if some have filters of their own.
    pub(crate) routes_print: u64,
}

/// Options of the connection manager with Envoy's defaults applied.
#[derive(Debug, Default)]
pub(crate) struct ManagerOptions {
    pub(crate) use_remote_address: bool,
    pub(crate) internal: Box<[Cidr]>,
    pub(crate) node_address: Option<Box<str>>,
    pub(crate) normalize_path: bool,
    pub(crate) merge_slashes: bool,
    pub(crate) escaped_slashes: EscapedSlashes,
    pub(crate) strip_any_host_port: bool,
    pub(crate) client_certificates: ClientCertificates,
    /// Zero: never.
    pub(crate) stream_idle_timeout: Nanos,
    /// Zero: no limit.
    pub(crate) request_timeout: Nanos,
    /// `None`: no limit.
    pub(crate) max_stream_duration: Option<Nanos>,
}

impl ManagerOptions {
    pub(crate) fn is_internal(&self, address: IpAddr) -> bool {
        self.internal.iter().any(|block| block.contains(address))
    }
}

impl ListenerTable {
    /// The filter that runs at a place of the chain for a request of this route; `None`: none does.
    pub(crate) fn filter(&self, place: usize, route: Option<&RouteEntry>) -> Option<u32> {
        let chain = u32::try_from(place).ok()?;
        let overrides = route.map(|route| &route.overrides);
        let of_route = overrides.map_or(Override::Inherit, |overrides| match self.filters[place] {
            FilterTable::Fault(_) => overrides.fault,
            FilterTable::LocalRateLimit(_) => overrides.local_rate_limit,
            FilterTable::Rbac(_) => overrides.rbac,
            FilterTable::Jwt(_) => overrides.jwt,
            _ => Override::Inherit,
        });
        match of_route {
            Override::Inherit => Some(chain),
            Override::Off => None,
            Override::Use(filter) => Some(filter),
        }
    }
}

/// The routes of one listener.
#[derive(Debug, Default)]
pub(crate) struct RouteTable {
    pub(super) domains: Domains,
    pub(super) virtual_hosts: Box<[VirtualHost]>,
    pub(super) entries: Box<[RouteEntry]>,
    pub(super) ignore_port: bool,
}

/// Routes for a set of domains.
#[derive(Debug)]
pub(crate) struct VirtualHost {
    pub(crate) require_tls: RequireTls,
    pub(super) index: PathIndex,
    /// Where its routes begin among all of the listener's.
    pub(super) first: u32,
}

/// What the routes say of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Resolution {
    /// No virtual host, or no route of it.
    #[default]
    NotFound,
    /// The virtual host redirects to https, whatever its routes say.
    RequireTls,
    /// This route.
    Route(RouteId),
}

impl Resolution {
    pub(crate) const fn route(self) -> Option<RouteId> {
        match self {
            Self::Route(route) => Some(route),
            Self::NotFound | Self::RequireTls => None,
        }
    }
}

impl RouteTable {
    /// The first route, in order, that takes the request, in the virtual host of its authority; none takes a request
    /// without a path (CONNECT) or with an empty `x-forwarded-proto`. Nothing is allocated.
    pub(crate) fn route(&self, request: &Request, stream_draw: u64) -> Resolution {
        let Some(host) = self.virtual_host(request) else { return Resolution::NotFound };
        if request.path().is_empty() || request.forwarded_proto().is_empty() {
            return Resolution::NotFound;
        }
        let is_plaintext = request.forwarded_proto() != "https";
        match host.require_tls {
            RequireTls::All if is_plaintext => return Resolution::RequireTls,
            RequireTls::ExternalOnly if is_plaintext && !request.is_internal => return Resolution::RequireTls,
            _ => {}
        }
        let accepts = |route: u32| self.entries[(host.first + route) as usize].conditions.hold(request, stream_draw);
        match host.index.first(request.path_only(), accepts) {
            Some(route) => Resolution::Route(RouteId::new(host.first + route)),
            None => Resolution::NotFound,
        }
    }

    /// Whether a draw may decide which route a request takes.
    pub(crate) fn draws(&self) -> bool {
        self.entries.iter().any(|entry| entry.conditions.runtime_fraction.is_some())
    }

    /// The virtual host of a request's authority.
    pub(crate) fn virtual_host(&self, request: &Request) -> Option<&VirtualHost> {
        let host = if self.ignore_port { without_port(request.host()) } else { request.host() };
        self.virtual_hosts.get(self.domains.find(host)? as usize)
    }

    pub(crate) fn entry(&self, route: RouteId) -> &RouteEntry {
        &self.entries[route.index()]
    }
}
