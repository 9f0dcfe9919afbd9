//! Questions to a table outside of a running proxy: which route takes a request, and whether it may pass.

use super::{Action, FilterTable, Resolution, RouteEntry, Table};
use crate::{ClusterId, ListenerId, RequestHead, RouteId, request::Request};

/// The route of a request, and what it does with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RouteRef<'t> {
    /// Which of the listener's routes, counted over its virtual hosts.
    pub id: RouteId,
    /// Its name.
    pub name: &'t str,
    /// The virtual host that it belongs to.
    pub virtual_host: &'t str,
    /// What it does.
    pub does: RouteDoes<'t>,
}

/// What a route does with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RouteDoes<'t> {
    /// Sends it to this cluster.
    Forward {
        /// Which.
        cluster: ClusterId,
        /// Its name.
        name: &'t str,
        /// Its place among the route's weighted clusters, if there are several.
        weighted: Option<u16>,
    },
    /// Would send it to a cluster that does not exist, and answers with this status.
    NoCluster(u16),
    /// Answers with a redirect of this status.
    Redirect(u16),
    /// Answers with this status.
    DirectResponse(u16),
}

/// Whether a request may pass a listener's tokens and access control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// It may.
    Allowed,
    /// It may not.
    Denied {
        /// What the client gets: 400, 401, 403, 404, or 307 for a path that must be rewritten.
        status: u16,
        /// Envoy's `%RESPONSE_CODE_DETAILS%`, which names the policy.
        details: String,
    },
}

impl Table {
    /// The route that takes a request; `None`: none does, or the request is answered before routes are looked at (a
    /// malformed head, or a virtual host that requires TLS). `stream_draw` stands for the stream's random number, which
    /// decides runtime fractions and weighted clusters. Filters are not asked.
    ///
    /// Envoy: `RouteMatcher::route`, first match in order.
    pub fn route(&self, listener: ListenerId, head: &RequestHead<'_>, stream_draw: u64) -> Option<RouteRef<'_>> {
        let table = self.listener(listener);
        let mut request = Request::default();
        request.load(table, head).ok()?;
        let id = table.routes.route(&request, stream_draw).route()?;
        let entry = table.routes.entry(id);
        Some(RouteRef {
            id,
            name: &entry.name,
            virtual_host: &entry.virtual_host,
            does: self.does(entry, &request, stream_draw),
        })
    }

    fn does(&self, entry: &RouteEntry, request: &Request, stream_draw: u64) -> RouteDoes<'_> {
        match &entry.action {
            Action::Redirect(redirect) => RouteDoes::Redirect(redirect.status),
            Action::DirectResponse(direct) => RouteDoes::DirectResponse(direct.status),
            Action::Forward(forward) => {
                let choice = entry.cluster(request, stream_draw);
                let weighted = choice.and_then(|choice| choice.weighted);
                match choice.and_then(|choice| choice.cluster) {
                    Some(cluster) => {
                        RouteDoes::Forward { cluster, name: &self.clusters[cluster.index()].name, weighted }
                    }
                    None => RouteDoes::NoCluster(forward.cluster_not_found_status),
                }
            }
        }
    }

    /// Whether a request passes the listener's filters for tokens and access control, in their order and as its route
    /// configures them. Other filters are not asked: what they decide depends on more than the request.
    ///
    /// Envoy: `extensions.filters.http.jwt_authn.v3`, `extensions.filters.http.rbac.v3`.
    pub fn authorize(&self, listener: ListenerId, head: &RequestHead<'_>, stream_draw: u64) -> Access {
        let table = self.listener(listener);
        let mut request = Request::default();
        if let Err(early) = request.load(table, head) {
            return Access::Denied { status: early.status, details: early.details.to_owned() };
        }
        let route = match table.routes.route(&request, stream_draw) {
            Resolution::Route(route) => Some(table.routes.entry(route)),
            Resolution::NotFound | Resolution::RequireTls => None,
        };
        for place in 0..table.chain_len {
            let Some(filter) = table.filter(place, route) else { continue };
            let denied = match &table.filters[filter as usize] {
                FilterTable::Rbac(rbac) => {
                    let verdict = rbac.decide(&request).filter(|verdict| !verdict.is_allowed);
                    verdict.map(|verdict| (403, verdict.details()))
                }
                FilterTable::Jwt(jwt) => {
                    let named = route.and_then(|route| route.overrides.jwt_requirement.as_deref());
                    jwt.authenticate(&mut request, named).denial.map(|denial| (denial.status, denial.details))
                }
                _ => None,
            };
            if let Some((status, details)) = denied {
                return Access::Denied { status, details };
            }
        }
        Access::Allowed
    }
}
