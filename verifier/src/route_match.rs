//! Which routes a request takes, and which it may take if part of it is not known.

use meshproof_proxy::config::{
    HeaderMatcher, HeaderValueMatcher, PathMatcher, QueryMatcher, QueryValueMatcher, RouteConfiguration, RouteMatch,
    StringMatcher, StringPattern, VirtualHost,
};
use regex_automata::meta::Regex;

/// A request as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KnownRequest {
    /// The authority; `None`: any.
    pub authority: Option<String>,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Whether method and path are mere examples: it may have any.
    pub open: bool,
    /// Headers that it has; it may have others, as applications pass headers on.
    pub headers: Vec<(String, String)>,
}

/// A route and whether the request takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// Which virtual host, and which of its routes.
    pub place: (usize, usize),
    /// Its number over all virtual hosts.
    pub number: usize,
    /// Whether a request that is no more than what is known takes it.
    pub taken: bool,
}

/// The routes that a request may take, in order.
pub(crate) fn candidates(routes: &RouteConfiguration, request: &KnownRequest) -> Vec<Candidate> {
    let mut found = Vec::new();
    let mut first = 0;
    let best = request.authority.as_deref().map(|authority| best_host(routes, authority));
    for (host, virtual_host) in routes.virtual_hosts.iter().enumerate() {
        if best.is_none_or(|best| best == Some(host)) {
            let mut taken = best.is_some();
            for (index, route) in virtual_host.routes.iter().enumerate() {
                let answer = matches(&route.matches, request);
                if answer.may {
                    found.push(Candidate { place: (host, index), number: first + index, taken: taken && answer.bare });
                    taken &= !answer.bare;
                }
                if answer.must {
                    break;
                }
            }
        }
        first += virtual_host.routes.len();
    }
    // Of requests about which nothing is known, the first route stands for all.
    if best.is_none() {
        found.first_mut().iter_mut().for_each(|candidate| candidate.taken = true);
    }
    found
}

/// The virtual host of an authority: an exact domain, else the longest suffix, else the longest prefix, else `*`.
fn best_host(routes: &RouteConfiguration, authority: &str) -> Option<usize> {
    let authority = authority.to_ascii_lowercase();
    let bare = authority.rsplit_once(':').map_or(authority.as_str(), |(name, port)| {
        if port.bytes().all(|byte| byte.is_ascii_digit()) { name } else { authority.as_str() }
    });
    let names = if routes.ignore_port_in_host_matching { vec![bare] } else { vec![authority.as_str(), bare] };
    let rank =
        |host: &VirtualHost, name: &str| host.domains.iter().filter_map(|domain| domain_rank(domain, name)).max();
    names.iter().find_map(|name| {
        let ranked =
            routes.virtual_hosts.iter().enumerate().filter_map(|(index, host)| Some((rank(host, name)?, index)));
        ranked.max_by_key(|(rank, index)| (*rank, std::cmp::Reverse(*index))).map(|(_, index)| index)
    })
}

/// How specific a domain is for a name, if it covers it.
fn domain_rank(domain: &str, name: &str) -> Option<(u8, usize)> {
    let domain = domain.to_ascii_lowercase();
    if domain == "*" {
        return Some((0, 0));
    }
    if let Some(suffix) = domain.strip_prefix('*') {
        return (name.len() > suffix.len() && name.ends_with(suffix)).then_some((2, suffix.len()));
    }
    if let Some(prefix) = domain.strip_suffix('*') {
        return (name.len() > prefix.len() && name.starts_with(prefix)).then_some((1, prefix.len()));
    }
    (domain == name).then_some((3, 0))
}

/// Whether a match takes a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Answer {
    /// Some request of which that is known.
    may: bool,
    /// Every one.
    must: bool,
    /// The one that is no more than that.
    bare: bool,
}

impl Answer {
    const fn sure(holds: bool) -> Self {
        Self { may: holds, must: holds, bare: holds }
    }

    const fn open(bare: bool) -> Self {
        Self { may: true, must: false, bare }
    }

    const fn and(self, other: Self) -> Self {
        Self { may: self.may && other.may, must: self.must && other.must, bare: self.bare && other.bare }
    }
}

fn matches(route: &RouteMatch, request: &KnownRequest) -> Answer {
    let holds = path_matches(route, &request.path);
    let path = match (request.open, holds) {
        (true, _) if route.path == PathMatcher::Prefix("/".to_owned()) => Answer::sure(true),
        (false, Some(holds)) => Answer::sure(holds),
        (_, holds) => Answer::open(holds.unwrap_or(false)),
    };
    let answer = route.headers.iter().fold(path, |answer, header| answer.and(header_matches(header, request)));
    let answer = route.query.iter().fold(answer, |answer, query| answer.and(query_matches(query, request)));
    if route.grpc || route.runtime_fraction.is_some() { answer.and(Answer::open(!route.grpc)) } else { answer }
}

/// Whether a path is matched; `None`: the pattern is not understood.
fn path_matches(route: &RouteMatch, path: &str) -> Option<bool> {
    let fold = |text: &str| if route.case_sensitive { text.to_owned() } else { text.to_ascii_lowercase() };
    let bare = path.split(['?', '#']).next().unwrap_or("");
    let folded = fold(bare);
    match &route.path {
        PathMatcher::Prefix(prefix) => Some(folded.starts_with(&fold(prefix))),
        PathMatcher::Path(whole) => Some(folded == fold(whole)),
        PathMatcher::Regex(pattern) => regex_matches(pattern, bare),
        PathMatcher::PathSeparatedPrefix(prefix) => {
            let prefix = fold(prefix);
            Some(folded.strip_prefix(&prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
        }
        PathMatcher::UriTemplate(_) => None,
    }
}

fn header_matches(matcher: &HeaderMatcher, request: &KnownRequest) -> Answer {
    let known: Option<&str> = match matcher.name.as_str() {
        ":method" => Some(request.method.as_str()),
        ":path" => Some(request.path.as_str()),
        ":authority" => request.authority.as_deref(),
        name => request.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()),
    };
    let Some(value) = known else {
        // Whoever calls may pass such a header on, or not.
        let absent = match &matcher.value {
            HeaderValueMatcher::Present(wanted) => wanted == &matcher.invert,
            HeaderValueMatcher::Text(text) if matcher.treat_missing_as_empty => {
                string_matches(text, "").is_some_and(|holds| holds != matcher.invert)
            }
            HeaderValueMatcher::Text(_) | HeaderValueMatcher::Range { .. } => false,
        };
        return Answer::open(absent && !matcher.name.starts_with(':'));
    };
    let holds = match &matcher.value {
        HeaderValueMatcher::Present(wanted) => Some(*wanted),
        HeaderValueMatcher::Text(text) => string_matches(text, value),
        HeaderValueMatcher::Range { start, end } => {
            Some(value.parse::<i64>().is_ok_and(|number| (*start..*end).contains(&number)))
        }
    };
    let holds = holds.map(|holds| holds != matcher.invert);
    match holds {
        Some(holds) if !(request.open && matches!(matcher.name.as_str(), ":method" | ":path")) => Answer::sure(holds),
        holds => Answer::open(holds.unwrap_or(false)),
    }
}

fn query_matches(matcher: &QueryMatcher, request: &KnownRequest) -> Answer {
    let query = request.path.split_once('?').map_or("", |(_, query)| query);
    let value = query.split('&').find_map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name == matcher.name).then_some(value)
    });
    let holds = match (value, &matcher.value) {
        (value, QueryValueMatcher::Present(wanted)) => Some(value.is_some() == *wanted),
        (None, QueryValueMatcher::Text(_)) => Some(false),
        (Some(value), QueryValueMatcher::Text(text)) => string_matches(text, value),
    };
    match holds {
        Some(holds) if !request.open => Answer::sure(holds),
        holds => Answer::open(holds.unwrap_or(false)),
    }
}

fn string_matches(matcher: &StringMatcher, value: &str) -> Option<bool> {
    let fold = |text: &str| if matcher.ignore_case { text.to_ascii_lowercase() } else { text.to_owned() };
    let folded = fold(value);
    Some(match &matcher.pattern {
        StringPattern::Exact(text) => folded == fold(text),
        StringPattern::Prefix(text) => folded.starts_with(&fold(text)),
        StringPattern::Suffix(text) => folded.ends_with(&fold(text)),
        StringPattern::Contains(text) => folded.contains(&fold(text)),
        StringPattern::Regex(pattern) => return regex_matches(pattern, value),
    })
}

fn regex_matches(pattern: &str, value: &str) -> Option<bool> {
    Some(Regex::new(&format!("^(?:{pattern})$")).ok()?.is_match(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use meshproof_proxy::config::{Action, DirectResponse, HeaderMutations, Route};

    use super::*;

    fn routes(matches: Vec<RouteMatch>) -> RouteConfiguration {
        let route = |matches| Route {
            name: String::new(),
            matches,
            action: Action::DirectResponse(DirectResponse { status: 200, body: String::new() }),
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        };
        let host = |name: &str, domain: &str, matches: Vec<RouteMatch>| VirtualHost {
            name: name.to_owned(),
            domains: vec![domain.to_owned()],
            routes: matches.into_iter().map(route).collect(),
            ..VirtualHost::default()
        };
        RouteConfiguration {
            virtual_hosts: vec![
                host("any", "*", vec![RouteMatch::prefix("/")]),
                host("reviews", "reviews:9080", matches),
            ],
            ..RouteConfiguration::default()
        }
    }

    fn numbers(routes: &RouteConfiguration, request: &KnownRequest) -> (Vec<usize>, Option<usize>) {
        let found = candidates(routes, request);
        (found.iter().map(|c| c.number).collect(), found.iter().find(|c| c.taken).map(|c| c.number))
    }

    #[test]
    fn headers_that_may_be_passed_on_leave_routes_open() {
        let jason = HeaderMatcher {
            name: "end-user".to_owned(),
            value: HeaderValueMatcher::Text(StringMatcher::exact("jason")),
            invert: false,
            treat_missing_as_empty: false,
        };
        let testers = RouteMatch { headers: vec![jason], ..RouteMatch::prefix("/") };
        let admin = RouteMatch { path: PathMatcher::Path("/admin".to_owned()), ..RouteMatch::prefix("/") };
        let routes = routes(vec![testers, admin, RouteMatch::prefix("/"), RouteMatch::prefix("/late")]);
        let request = |path: Option<&str>, headers: &[(&str, &str)]| KnownRequest {
            authority: Some("reviews:9080".to_owned()),
            method: "GET".to_owned(),
            path: path.unwrap_or("/").to_owned(),
            open: path.is_none(),
            headers: headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
        };
        assert_eq!(numbers(&routes, &request(Some("/reviews/0"), &[])), (vec![1, 3], Some(3)));
        assert_eq!(numbers(&routes, &request(Some("/reviews/0"), &[("end-user", "jason")])), (vec![1], Some(1)));
        assert_eq!(numbers(&routes, &request(Some("/reviews/0"), &[("end-user", "ann")])), (vec![3], Some(3)));
        assert_eq!(numbers(&routes, &request(Some("/admin?x"), &[])), (vec![1, 2], Some(2)));
        assert_eq!(numbers(&routes, &request(None, &[])), (vec![1, 2, 3], Some(3)), "any path");
        let anywhere = KnownRequest { authority: None, ..request(None, &[]) };
        assert_eq!(numbers(&routes, &anywhere), (vec![0, 1, 2, 3], Some(0)), "any host");
        let elsewhere = KnownRequest { authority: Some("other".to_owned()), ..request(None, &[]) };
        assert_eq!(numbers(&routes, &elsewhere), (vec![0], Some(0)));
    }
}
