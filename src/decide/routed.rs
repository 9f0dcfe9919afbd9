//! What a client's or gateway's routes make of a request.

use std::borrow::Cow;

use meshproof_model::{DestinationOrigin, Origin, RouteOrigin};
use meshproof_proxy::{
    RouteDoes, RouteId, Routed,
    config::{
        AbortWith, Action, AppendAction, ClusterSpecifier, FilterOverride, HeaderMutations, HeaderToAdd, Listener,
        RouteAction,
    },
};

use super::{
    Answer, Backend, Changes, Decider, Headers, Mirror, Outcome, Redirect, Retries, Rewrite, Route,
    compiled::{Compiled, listener_id},
    head::{Arrival, Head},
};

impl Decider<'_> {
    /// Puts a request to a listener's routes. Nothing has arrived yet: of a request that is sent on, the server's
    /// access control is still to be asked.
    pub(super) fn routed(
        &self,
        compiled: &Compiled,
        listener: usize,
        head: &Head<'_>,
        arrival: &Arrival<'_>,
    ) -> Result<Answer, Cow<'static, str>> {
        let table = compiled.table()?;
        let allowed = Some(true);
        let answered = |outcome, status, why: String| Answer { allowed, outcome, status, why, ..Answer::default() };
        let found = head.ask(arrival, |question| table.routed(listener_id(listener), question));
        let (route, location, path, authority) = match found {
            Routed::Route { route, location, path, authority } => (route, location, path, authority),
            Routed::NotFound => {
                let why = "no route takes it".to_owned();
                return Ok(answered(Outcome::NotFound, Some(404), why));
            }
            Routed::RequireTls(location) => {
                let why = "the server sends clients to https (VS-10)".to_owned();
                let location = without_default_port(&location);
                let redirect = Some(Redirect { status: 301, location });
                return Ok(Answer { redirect, ..answered(Outcome::Redirect, Some(301), why) });
            }
            Routed::Early { status: 307, location: Some(location), .. } => {
                let why = "the proxy asks for a normalised path".to_owned();
                let redirect = Some(Redirect { status: 307, location });
                return Ok(Answer { redirect, ..answered(Outcome::Redirect, Some(307), why) });
            }
            Routed::Early { status, details, .. } => {
                let why = format!("the proxy refuses the request as it is ({details})");
                return Ok(answered(Outcome::Direct, Some(status), why));
            }
        };
        let origin = &compiled.lowered.provenance.listeners[listener].routes[route.id.index()];
        let config = route_of(&compiled.lowered.config.listeners[listener], route.id);
        let config = config.ok_or("the configuration has no such route")?;
        let mut answer = answered(Outcome::Route, None, told(origin));
        answer.route = object(origin);
        match (&config.action, route.does) {
            (Action::Redirect(_), RouteDoes::Redirect(status)) => {
                let location = without_default_port(&location.unwrap_or_default());
                answer.redirect = Some(Redirect { status, location });
                (answer.outcome, answer.status) = (Outcome::Redirect, Some(status));
            }
            (Action::DirectResponse(_), RouteDoes::DirectResponse(status)) => {
                // A rule without a backend, or with a filter that nobody knows, is answered for want of one.
                let outcome = if origin.invalid.is_some() { Outcome::NoBackend } else { Outcome::Direct };
                (answer.outcome, answer.status) = (outcome, Some(status));
            }
            (Action::Forward(action), _) => {
                if path.is_some() || authority.is_some() {
                    answer.rewrite = Some(Rewrite { path, host: authority });
                }
                self.forwarded(action, origin, &mut answer);
                if let Some(status) = always_aborts(&config.filter_overrides) {
                    (answer.outcome, answer.status) = (Outcome::Direct, Some(status));
                    answer.backends.clear();
                    answer.why.push_str("; a fault answers every request");
                }
            }
            (Action::Redirect(_) | Action::DirectResponse(_), _) => {}
        }
        answer.headers = headers(&config.headers);
        Ok(answer)
    }

    fn forwarded(&self, action: &RouteAction, origin: &RouteOrigin, answer: &mut Answer) {
        let mut backends: Vec<Backend> = match &action.cluster {
            ClusterSpecifier::Cluster(name) => match origin.destinations.first() {
                Some(destination) => vec![self.backend(destination, 100)],
                None => vec![Backend {
                    host: None,
                    port: None,
                    subset: None,
                    weight: 100,
                    cluster: name.split('|').next().unwrap_or(name).to_owned(),
                }],
            },
            ClusterSpecifier::Weighted(several) => {
                let pairs = origin.destinations.iter().zip(several);
                let only = several.len() == 1;
                pairs.map(|(end, cluster)| self.backend(end, if only { 100 } else { cluster.weight })).collect()
            }
            ClusterSpecifier::Header(_) => Vec::new(),
        };
        backends.sort();
        answer.backends = backends;
        let missing = !origin.destinations.is_empty() && origin.destinations.iter().all(|end| end.missing.is_some());
        if missing {
            (answer.outcome, answer.status) = (Outcome::NoBackend, Some(action.cluster_not_found_status));
            answer.why.push_str("; what it names does not exist (RT-8)");
        }
        let written = |origin: &Origin| matches!(origin, Origin::Written(_));
        let per_try = action.retry.as_ref().and_then(|retry| retry.per_try_timeout);
        let limits = [
            action.timeout.filter(|limit| !limit.is_zero() && written(&origin.timeout)),
            per_try.filter(|limit| !limit.is_zero() && written(&origin.per_try_timeout)),
        ];
        answer.timeout_ms = limits.into_iter().flatten().min().map(|limit| limit.get() / 1_000_000);
        answer.retries = written(&origin.retries).then(|| retries(action, origin));
        answer.mirrors = action.mirrors.iter().map(|mirror| self.mirror(mirror)).collect();
    }

    fn backend(&self, destination: &DestinationOrigin, weight: u32) -> Backend {
        let service = destination.service.filter(|_| destination.missing.is_none());
        Backend {
            host: service.map(|id| self.prepared.mesh.service(id).host.clone()),
            port: service.map(|_| destination.port),
            subset: destination.subset.clone(),
            weight,
            cluster: destination.cluster.clone(),
        }
    }

    fn mirror(&self, mirror: &meshproof_proxy::config::Mirror) -> Mirror {
        let mut parts = mirror.cluster.split('|').skip(1);
        let port = parts.next().and_then(|port| port.parse().ok());
        let host = parts.nth(1).filter(|host| self.lowering.service_of(host).is_some()).map(str::to_owned);
        let fraction = mirror.fraction;
        let percent = f64::from(fraction.numerator) * 100.0 / f64::from(fraction.denominator);
        Mirror { port: port.filter(|_| host.is_some()), host, percent }
    }
}

/// The route of that number, counted over all virtual hosts.
fn route_of(listener: &Listener, id: RouteId) -> Option<&meshproof_proxy::config::Route> {
    listener.route_config.virtual_hosts.iter().flat_map(|host| &host.routes).nth(id.index())
}

/// The object that a route is written in; `None`: the default route.
fn object(origin: &RouteOrigin) -> Option<Route> {
    let resource = origin.resource.as_ref()?;
    Some(Route {
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone(),
        name: resource.name.clone(),
        rule: origin.rule,
        r#match: origin.match_block.unwrap_or(0),
        label: origin.name.clone(),
    })
}

fn told(origin: &RouteOrigin) -> String {
    match (&origin.resource, &origin.route) {
        (Some(resource), _) => match origin.match_block {
            Some(block) => format!("{resource} rule {} match {block} takes it", origin.rule),
            None => format!("{resource} rule {} takes it", origin.rule),
        },
        (None, Origin::Default(rule)) => format!("the default route of `{}` takes it ({rule})", origin.host),
        (None, Origin::Written(_)) => format!("the mesh's settings decide about `{}`", origin.host),
    }
}

fn retries(action: &RouteAction, origin: &RouteOrigin) -> Retries {
    let Some(policy) = &action.retry else { return Retries { attempts: 0, on: Vec::new() } };
    let codes = policy.retriable_status_codes.iter().map(u16::to_string);
    let is_marker =
        |condition: &str| condition == "retriable-status-codes" && !policy.retriable_status_codes.is_empty();
    let conditions: Vec<String> = match origin.retry_on {
        // Gateway API has codes only; what Istio adds to them is not written.
        Origin::Written(_) if origin.resource.as_ref().is_some_and(|of| of.kind != "VirtualService") => Vec::new(),
        Origin::Written(_) => policy.retry_on.iter().filter(|condition| !is_marker(condition)).cloned().collect(),
        Origin::Default(_) => Vec::new(),
    };
    Retries { attempts: policy.num_retries.unwrap_or(1), on: conditions.into_iter().chain(codes).collect() }
}

/// The status of a fault that every request meets.
fn always_aborts(overrides: &[FilterOverride]) -> Option<u16> {
    overrides.iter().find_map(|filter| match filter {
        FilterOverride::Fault(Some(fault)) => {
            let abort = fault.abort.as_ref()?;
            let always = abort.percentage.numerator == abort.percentage.denominator;
            match abort.with {
                AbortWith::HttpStatus(status) if always => Some(status),
                AbortWith::GrpcStatus(_) if always => Some(200),
                AbortWith::HttpStatus(_) | AbortWith::GrpcStatus(_) | AbortWith::Header => None,
            }
        }
        _ => None,
    })
}

fn headers(written: &HeaderMutations) -> Option<Headers> {
    let changes = |add: &[HeaderToAdd], remove: &[String]| {
        let mut changes = Changes { remove: remove.to_vec(), ..Changes::default() };
        for header in add {
            let into = match header.action {
                AppendAction::AppendIfExistsOrAdd => &mut changes.add,
                AppendAction::OverwriteIfExistsOrAdd | AppendAction::AddIfAbsent | AppendAction::OverwriteIfExists => {
                    &mut changes.set
                }
            };
            into.insert(header.name.clone(), header.value.clone());
        }
        changes.remove.sort();
        changes
    };
    let request = changes(&written.request_to_add, &written.request_to_remove);
    let response = changes(&written.response_to_add, &written.response_to_remove);
    let none = Changes::default();
    (request != none || response != none).then_some(Headers { request, response })
}

/// An address without the port that its scheme has anyway.
fn without_default_port(location: &str) -> String {
    for (scheme, port) in [("http://", ":80"), ("https://", ":443")] {
        if let Some(rest) = location.strip_prefix(scheme) {
            let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
            return format!("{scheme}{}{path}", authority.strip_suffix(port).unwrap_or(authority));
        }
    }
    location.to_owned()
}

#[cfg(test)]
mod tests {
    use super::without_default_port;

    #[test]
    fn default_ports_are_left_out() {
        for (location, expect) in [
            ("https://a.example:443/x?b=c", "https://a.example/x?b=c"),
            ("https://a.example:80/x", "https://a.example:80/x"),
            ("http://a.example:80", "http://a.example"),
            ("http://a.example:8080/x:80", "http://a.example:8080/x:80"),
            ("/x", "/x"),
        ] {
            assert_eq!(without_default_port(location), expect, "{location}");
        }
    }
}
