//! ServiceProfiles as routes (`L-6`).

use meshproof_proxy::config::{
    HeaderMatcher, HeaderValueMatcher, PathMatcher, RetryPolicy, RouteMatch, StringMatcher, TokenBudget,
};

use super::{
    super::{DestinationOrigin, retry::Lowered, route::Made, wanted::Wanted},
    outbound::made,
    retry::budget,
};
use crate::{
    Origin, ServiceId,
    linkerd::{ProfileRoute, RequestTerm, ServiceProfile, Timeouts},
};

/// The import refuses conditions with more alternatives.
const MOST: usize = 256;

impl Wanted<'_, '_> {
    /// The routes of a profile in order, and the one for all other requests, which has no policy.
    pub(super) fn profile_routes(&mut self, profile: &ServiceProfile, service: ServiceId, port: u16) -> Vec<Made> {
        let destinations = self.overrides(profile, service, port);
        let budget = budget(profile.retry_budget.as_ref());
        let budget_at = profile.retry_budget.as_ref().map_or(Origin::Default("L-6"), |b| Origin::Written(b.at.clone()));
        for (destination, _) in &destinations {
            self.with_cluster(&destination.cluster, |cluster, origin| {
                cluster.thresholds[0].token_budget = Some(budget);
                origin.retry_budget = Some(budget_at.clone());
            });
        }
        let mut routes = Vec::new();
        for (number, route) in profile.routes.iter().enumerate() {
            let timeouts = Timeouts { request: route.timeout.clone(), ..Timeouts::default() };
            for terms in route.condition.alternatives(MOST).unwrap_or_default() {
                let matches = route_match(&terms);
                let (mut lowered, mut origin) =
                    made(matches, destinations.clone(), &timeouts, retries(route, budget, &budget_at), "L-6");
                lowered.name.clone_from(&route.name.value);
                origin.resource = Some(profile.meta.resource.clone());
                origin.rule = number;
                origin.name = Some(route.name.value.clone());
                origin.route = Origin::Written(route.at.clone());
                routes.push((lowered, origin));
            }
        }
        routes.push(made(RouteMatch::prefix("/"), destinations, &Timeouts::default(), Lowered::none("L-6"), "L-6"));
        routes
    }

    /// The service itself, or the authorities of `dstOverrides` by weight.
    fn overrides(&mut self, profile: &ServiceProfile, service: ServiceId, port: u16) -> Vec<(DestinationOrigin, u32)> {
        let mut destinations = Vec::new();
        for (authority, weight) in profile.dst_overrides.iter().filter(|(_, weight)| weight.value > 0) {
            let (host, number) = match authority.value.rsplit_once(':') {
                Some((host, number)) => (host, number.parse().unwrap_or(port)),
                None => (authority.value.as_str(), port),
            };
            let host = host.trim_end_matches('.');
            let found = self.lowering.service_of(host);
            let (at, share) = (Origin::Written(authority.at.clone()), Origin::Written(weight.at.clone()));
            let destination = self.want(host, found, number, None, at, share);
            destinations.push((destination, u32::try_from(weight.value).unwrap_or(u32::MAX)));
        }
        if destinations.is_empty() {
            destinations.push((self.service(service, port), 1));
        }
        destinations
    }
}

/// Failures are tried again at once, as often as the budget has retries. A request alone finds those that the budget
/// always grants, which bounds it here.
fn retries(route: &ProfileRoute, budget: TokenBudget, budget_at: &Origin) -> Lowered {
    let Some(written) = route.is_retryable.as_ref().filter(|retryable| retryable.value) else {
        return Lowered::none("L-6");
    };
    let reserve = u64::from(budget.min_retries_per_second) * budget.ttl.get() / 1_000_000_000;
    let least = meshproof_proxy::Nanos::from_millis(1);
    let at = Origin::Written(written.at.clone());
    Lowered {
        policy: Some(RetryPolicy {
            retry_on: vec!["retriable-status-codes".to_owned()],
            num_retries: Some(u32::try_from(reserve).unwrap_or(u32::MAX).max(1)),
            retriable_status_codes: route.failures(),
            base_interval: Some(least),
            max_interval: Some(least),
            ..RetryPolicy::default()
        }),
        retries: at.clone(),
        attempts: if budget_at.location().is_some() { budget_at.clone() } else { at.clone() },
        retry_on: at,
        per_try_timeout: Origin::Default("L-6"),
        back_off: Origin::Default("L-6"),
    }
}

/// The first path that is asked for is the route's own matcher; all else is asked of the pseudo-headers, where the path
/// has its query.
fn route_match(terms: &[RequestTerm]) -> RouteMatch {
    let mut matches = RouteMatch::prefix("/");
    let mut has_path = false;
    for term in terms {
        if term.is_path && !term.negated && !has_path {
            has_path = true;
            matches.path = PathMatcher::Regex(term.value.clone());
            continue;
        }
        let (name, value) = if term.is_path {
            (":path", StringMatcher::regex(format!("(?:{})(?:\\?.*)?", term.value)))
        } else {
            (":method", StringMatcher::exact(&term.value))
        };
        matches.headers.push(HeaderMatcher {
            name: name.to_owned(),
            value: HeaderValueMatcher::Text(value),
            invert: term.negated,
            treat_missing_as_empty: false,
        });
    }
    matches
}
