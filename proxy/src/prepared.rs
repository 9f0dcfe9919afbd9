//! Requests that come again and again: what the connection manager and the routes make of them, found once.

use std::sync::Arc;

use crate::{
    ListenerId, RequestHead,
    config::RoutingPriority,
    hosts::ClusterTable,
    request::Request,
    table::{ClusterSource, FilterTable, ForwardAction, ListenerTable, Resolution, RouteEntry, Table},
    timeout::{HeaderTimeouts, Timeouts},
};

/// A request's head at a listener of a table, loaded and routed. Requests that differ in nothing but their keys share it.
#[derive(Clone, Debug)]
pub struct PreparedRequest {
    pub(crate) table: Arc<Table>,
    pub(crate) listener: ListenerId,
    pub(crate) request: Arc<Request>,
    /// `None`: a draw of each request decides.
    pub(crate) resolution: Option<Resolution>,
    /// Whether no filter of the chain acts on it.
    pub(crate) is_unfiltered: bool,
}

impl PreparedRequest {
    /// Prepares a head; its key does not count. `None`: the connection manager answers such a request itself.
    pub fn new(table: &Arc<Table>, listener: ListenerId, head: &RequestHead<'_>) -> Option<Self> {
        let entry = table.listener(listener);
        let mut request = Request::default();
        request.load(entry, head).ok()?;
        let is_fixed = !entry.routes.draws();
        let resolution = is_fixed.then(|| entry.routes.route(&request, 0));
        let route = resolution.and_then(Resolution::route).map(|route| entry.routes.entry(route));
        let is_unfiltered = route.is_some_and(|route| (0..entry.chain_len).all(|place| is_idle(entry, place, route)));
        Some(Self { table: Arc::clone(table), listener, request: Arc::new(request), resolution, is_unfiltered })
    }

    /// Whether the proxy decides nothing about such a request: it sends it to the only host of one cluster, and passes
    /// the answer back, whatever its status is. It holds as long as the host takes connections and answers completely:
    /// no filter acts, no limit holds, nothing is drawn, and no status is tried again.
    pub fn passes_through(&self) -> bool {
        let listener = self.table.listener(self.listener);
        let Some(Resolution::Route(route)) = self.resolution else { return false };
        let route = listener.routes.entry(route);
        let Some(forward) = route.forward() else { return false };
        let ClusterSource::Cluster(Some(cluster)) = forward.cluster else { return false };
        !self.request.may_control()
            && !self.request.framing.is_upgrade
            && self.request.method() != "CONNECT"
            && is_unlimited(listener)
            && self.is_unfiltered
            && is_plain(forward)
            && is_one_free_host(&self.table.clusters()[cluster.index()], forward.high_priority)
    }
}

/// No limit on how long requests take.
fn is_unlimited(listener: &ListenerTable) -> bool {
    let manager = &listener.manager;
    manager.stream_idle_timeout.is_zero() && manager.request_timeout.is_zero() && manager.max_stream_duration.is_none()
}

/// A filter that lets every request of a route pass, and counts nothing that it acts on later.
fn is_idle(listener: &ListenerTable, place: usize, route: &RouteEntry) -> bool {
    match listener.filter(place, Some(route)).map(|filter| &listener.filters[filter as usize]) {
        Some(FilterTable::Fault(fault)) => fault.config.delay.is_none() && fault.config.abort.is_none(),
        Some(_) => false,
        None => !matches!(listener.filters[place], FilterTable::Jwt(_)),
    }
}

/// No limits, no copies, no redirects, and no retries of what was answered.
fn is_plain(forward: &ForwardAction) -> bool {
    let timeouts = Timeouts::resolve(&forward.timeouts, &HeaderTimeouts::default());
    timeouts.global.is_zero()
        && timeouts.per_try.is_zero()
        && timeouts.per_try_idle.is_zero()
        && forward.idle_timeout.is_none_or(crate::Nanos::is_zero)
        && forward.max_stream_duration.is_none()
        && forward.mirrors.is_empty()
        && forward.internal_redirect.is_none()
        && forward.metadata_match.is_empty()
        && forward.retry.as_ref().is_none_or(|policy| policy.on.is_of_resets())
}

/// One host, to which every request goes at once.
fn is_one_free_host(cluster: &ClusterTable, high_priority: bool) -> bool {
    /// What nobody reaches.
    const MANY: u32 = 1 << 31;
    let limits = cluster.limits(if high_priority { RoutingPriority::High } else { RoutingPriority::Default });
    let is_wide = |max: u32| max >= MANY;
    cluster.hosts.len() == 1
        && is_wide(limits.max_connections)
        && is_wide(limits.max_pending_requests)
        && is_wide(limits.max_requests)
        && limits.max_connections_per_host.is_none_or(is_wide)
        && cluster.max_stream_duration.is_none()
        && cluster.outlier.is_none()
        && cluster.health_check.is_none()
        && cluster.failure_accrual.is_none()
        && cluster.queue.is_none()
        && cluster.balancing.subsets.is_none()
}
