//! Questions to a table outside of a running proxy: which route takes a request, and whether it may pass.

use std::{net::IpAddr, sync::Arc};

use super::{Action, FilterTable, ListenerTable, Resolution, RouteEntry, Table};
use crate::{
    ClusterId, ListenerId, Metadata, RequestHead, RouteId, Token, config::RbacAction, course::Course, redirect,
    request::Request,
};

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

/// A request with what is known of it beyond its head.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The request.
    pub head: RequestHead<'a>,
    /// The client's address, whatever the headers say. `None`: as the headers say.
    pub client: Option<IpAddr>,
    /// The scheme, whatever the connection is. `None`: as the connection says.
    pub scheme: Option<&'a str>,
    /// A token that has been verified, under its metadata key.
    pub token: Option<(&'a str, &'a Arc<Token>)>,
    /// What filters outside of the chain have left behind.
    pub metadata: Option<&'a Arc<Metadata>>,
    /// Stands for the stream's random number.
    pub stream_draw: u64,
}

/// What a listener's routes make of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Routed<'t> {
    /// It is answered before routes are looked at.
    Early {
        /// 307, 400 or 404.
        status: u16,
        /// Envoy's `%RESPONSE_CODE_DETAILS%`.
        details: &'static str,
        /// Where a redirect leads.
        location: Option<String>,
    },
    /// No virtual host has its authority, or no route of it takes the request: 404.
    NotFound,
    /// The virtual host sends clients to https: 301 to this address.
    RequireTls(String),
    /// A route takes it.
    Route {
        /// Which.
        route: RouteRef<'t>,
        /// Where its redirect leads.
        location: Option<String>,
        /// The new path, with its query, if it is another one.
        path: Option<String>,
        /// The new authority, if it is another one.
        authority: Option<String>,
    },
}

/// What one filter of a chain says of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'t> {
    /// Access control.
    Rbac {
        /// What a match means.
        action: RbacAction,
        /// Every policy that matches, by name.
        matching: Vec<&'t str>,
    },
    /// An external authorizer is asked.
    Asks {
        /// Its name.
        provider: &'t str,
        /// The policies because of which it is asked, by name.
        matching: Vec<&'t str>,
    },
}

impl Table {
    /// The route that takes a request; `None`: none does, or the request is answered before routes are looked at (a
    /// malformed head, or a virtual host that requires TLS). `stream_draw` stands for the stream's random number, which
    /// decides runtime fractions and weighted clusters. Filters are not asked.
    ///
    /// Envoy: `RouteMatcher::route`, first match in order.
    pub fn route(&self, listener: ListenerId, head: &RequestHead<'_>, stream_draw: u64) -> Option<RouteRef<'_>> {
        match self.routed(listener, &Question::of(*head, stream_draw)) {
            Routed::Route { route, .. } => Some(route),
            Routed::Early { .. } | Routed::NotFound | Routed::RequireTls(_) => None,
        }
    }

    /// What the routes make of a request, with the address that a redirect leads to and what the upstream would see.
    /// Filters are not asked.
    pub fn routed(&self, listener: ListenerId, question: &Question<'_>) -> Routed<'_> {
        let table = self.listener(listener);
        let mut request = match question.load(table) {
            Ok(request) => request,
            Err(early) => {
                let (status, details, location) = (early.status, early.details, early.location);
                return Routed::Early { status, details, location };
            }
        };
        let id = match table.routes.route(&request, question.stream_draw) {
            Resolution::NotFound => return Routed::NotFound,
            Resolution::RequireTls => return Routed::RequireTls(redirect::https_location(&request)),
            Resolution::Route(id) => id,
        };
        let entry = table.routes.entry(id);
        let does = self.does(entry, &request, question.stream_draw);
        let route = RouteRef { id, name: &entry.name, virtual_host: &entry.virtual_host, does };
        let location = match &entry.action {
            Action::Redirect(redirect) => Some(redirect.location(&request)),
            Action::Forward(_) | Action::DirectResponse(_) => None,
        };
        let (path, authority) = (request.path().to_owned(), request.authority().to_owned());
        let weighted = entry.cluster(&request, question.stream_draw).and_then(|choice| choice.weighted);
        entry.finalize_request(&mut request, weighted, &table.router, Course::default());
        let other = |new: &str, old: &str| (new != old).then(|| new.to_owned());
        let (path, authority) = (other(request.path(), &path), other(request.authority(), &authority));
        Routed::Route { route, location, path, authority }
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
        let route = table.route_of(&request, stream_draw);
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

    /// What every filter of the chain that decides about access says of a request, in the order of the chain, whether
    /// or not an earlier one has refused it. The question's token counts as verified from the first filter for tokens
    /// on, or from the beginning if there is none; tokens in the request itself are not looked at.
    ///
    /// # Errors
    /// The status and details of the answer that the request gets before any filter.
    pub fn verdicts(
        &self,
        listener: ListenerId,
        question: &Question<'_>,
    ) -> Result<Vec<Verdict<'_>>, (u16, &'static str)> {
        let table = self.listener(listener);
        let mut request = question.load(table).map_err(|early| (early.status, early.details))?;
        let route = table.route_of(&request, question.stream_draw);
        let chain: Vec<&FilterTable> = (0..table.chain_len)
            .filter_map(|place| Some(&table.filters[table.filter(place, route)? as usize]))
            .collect();
        let payload = question.token.map(|(key, token)| (Arc::from(key), token.clone()));
        if !chain.iter().any(|filter| matches!(filter, FilterTable::Jwt(_))) {
            request.payloads.extend(payload.clone());
        }
        let mut verdicts = Vec::new();
        for filter in chain {
            match filter {
                FilterTable::Rbac(rbac) => verdicts.extend(
                    rbac.rules()
                        .map(|rules| Verdict::Rbac { action: rules.action(), matching: rules.matching(&request) }),
                ),
                FilterTable::Jwt(_) => request.payloads.extend(payload.clone()),
                FilterTable::ExtAuthz(authorizer) => {
                    let matching = authorizer.enabled.as_ref().map(|rules| rules.matching(&request));
                    if matching.as_ref().is_none_or(|matching: &Vec<&str>| !matching.is_empty()) {
                        let provider = authorizer.config.provider.as_str();
                        verdicts.push(Verdict::Asks { provider, matching: matching.unwrap_or_default() });
                    }
                }
                _ => {}
            }
        }
        Ok(verdicts)
    }
}

impl<'a> Question<'a> {
    /// A request of which nothing more is known.
    pub const fn of(head: RequestHead<'a>, stream_draw: u64) -> Self {
        Self { head, client: None, scheme: None, token: None, metadata: None, stream_draw }
    }

    fn load(&self, table: &ListenerTable) -> Result<Request, crate::request::EarlyReply> {
        let mut request = Request::default();
        request.load(table, &self.head)?;
        if let Some(scheme) = self.scheme {
            request.set_scheme(scheme);
        }
        request.trusted_address = self.client.or(request.trusted_address);
        request.metadata = self.metadata.cloned();
        Ok(request)
    }
}

impl ListenerTable {
    fn route_of(&self, request: &Request, stream_draw: u64) -> Option<&RouteEntry> {
        match self.routes.route(request, stream_draw) {
            Resolution::Route(route) => Some(self.routes.entry(route)),
            Resolution::NotFound | Resolution::RequireTls => None,
        }
    }
}
