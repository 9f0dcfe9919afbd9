//! Linkerd: `linkerd.io/v1alpha2.ServiceProfile` (`L-6`).

use meshproof_proxy::Nanos;

use crate::{Located, Location, Meta};

/// Routes, retries and splits of a service; its name is the service's full host name.
#[derive(Clone, Debug, PartialEq)]
pub struct ServiceProfile {
    /// Its name and place.
    pub meta: Meta,
    /// Routes; the first that matches decides.
    pub routes: Vec<ProfileRoute>,
    /// `retryBudget`; absent: 20 %, 10 a second, 10 s.
    pub retry_budget: Option<RetryBudget>,
    /// `dstOverrides`: authorities, `host:port`, and their weights in thousandths.
    pub dst_overrides: Vec<(Located<String>, Located<u64>)>,
    /// `opaquePorts`.
    pub opaque_ports: Vec<u16>,
}

impl ServiceProfile {
    /// Whether it decides about requests: an empty one does not (`L-4`).
    pub fn decides(&self) -> bool {
        !self.routes.is_empty() || !self.dst_overrides.is_empty()
    }
}

/// A route of a profile.
#[derive(Clone, Debug, PartialEq)]
pub struct ProfileRoute {
    /// Where it begins.
    pub at: Location,
    /// Its name.
    pub name: Located<String>,
    /// Which requests.
    pub condition: RequestMatch,
    /// `isRetryable`; absent: no.
    pub is_retryable: Option<Located<bool>>,
    /// `timeout`; absent: none.
    pub timeout: Option<Located<Nanos>>,
    /// `responseClasses`: the first whose statuses match says whether a response is a failure.
    pub response_classes: Vec<ResponseClass>,
}

impl ProfileRoute {
    /// Statuses that count as failures: those of its classes, else 5xx.
    pub fn failures(&self) -> Vec<u16> {
        let is_failure = |status: u16| {
            let class = self.response_classes.iter().find(|class| class.matches.admits(status));
            class.map_or(status >= 500, |class| class.is_failure)
        };
        (100..600).filter(|status| is_failure(*status)).collect()
    }
}

/// Which requests a route takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestMatch {
    /// All of these; none: every request.
    All(Vec<RequestMatch>),
    /// Any of these; none: no request.
    Any(Vec<RequestMatch>),
    /// Not this.
    Not(Box<RequestMatch>),
    /// The whole path, without its query, is of this regular expression.
    Path(String),
    /// The method.
    Method(String),
}

/// A condition on a path or a method.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestTerm {
    /// [`RequestMatch::Path`] if so, else [`RequestMatch::Method`].
    pub is_path: bool,
    /// The expression or method.
    pub value: String,
    /// Whether it must not hold.
    pub negated: bool,
}

impl RequestMatch {
    /// The same as alternatives of which each asks for all of its terms; `None` if there are more than `most`.
    pub fn alternatives(&self, most: usize) -> Option<Vec<Vec<RequestTerm>>> {
        self.expand(false, most)
    }

    fn expand(&self, negated: bool, most: usize) -> Option<Vec<Vec<RequestTerm>>> {
        let term = |is_path, value: &String| vec![vec![RequestTerm { is_path, value: value.clone(), negated }]];
        match (self, negated) {
            (Self::Path(regex), _) => Some(term(true, regex)),
            (Self::Method(method), _) => Some(term(false, method)),
            (Self::Not(inner), _) => inner.expand(!negated, most),
            (Self::Any(list), false) | (Self::All(list), true) => {
                let mut union = Vec::new();
                for part in list {
                    union.extend(part.expand(negated, most)?);
                    if union.len() > most {
                        return None;
                    }
                }
                Some(union)
            }
            (Self::All(list), false) | (Self::Any(list), true) => {
                let mut product: Vec<Vec<RequestTerm>> = vec![Vec::new()];
                for part in list {
                    let part = part.expand(negated, most)?;
                    if product.len() * part.len() > most {
                        return None;
                    }
                    let pairs = product.iter().flat_map(|left| part.iter().map(move |right| (left, right)));
                    product = pairs.map(|(left, right)| left.iter().chain(right).cloned().collect()).collect();
                }
                Some(product)
            }
        }
    }
}

/// Responses that are failures, or are not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseClass {
    /// Which responses.
    pub matches: ResponseMatch,
    /// `isFailure`; absent: no.
    pub is_failure: bool,
}

/// Which responses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseMatch {
    /// All of these.
    All(Vec<ResponseMatch>),
    /// Any of these.
    Any(Vec<ResponseMatch>),
    /// Not this.
    Not(Box<ResponseMatch>),
    /// A status from the first to the second.
    Status(u16, u16),
}

impl ResponseMatch {
    fn admits(&self, status: u16) -> bool {
        match self {
            Self::All(list) => list.iter().all(|part| part.admits(status)),
            Self::Any(list) => list.iter().any(|part| part.admits(status)),
            Self::Not(inner) => !inner.admits(status),
            Self::Status(from, to) => (*from..=*to).contains(&status),
        }
    }
}

/// `retryBudget`; where it is written, numbers that are missing are 0.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryBudget {
    /// Where it begins.
    pub at: Location,
    /// `retryRatio` in parts per million.
    pub retry_ratio: Option<Located<u32>>,
    /// `minRetriesPerSecond`.
    pub min_retries_per_second: Option<Located<u32>>,
    /// `ttl`, which is mandatory.
    pub ttl: Option<Located<Nanos>>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn l6_conditions_become_alternatives() {
        let path = |path: &str| RequestMatch::Path(path.to_owned());
        let get = RequestMatch::Method("GET".to_owned());
        let both = RequestMatch::All(vec![RequestMatch::Any(vec![path("/a"), path("/b")]), get.clone()]);
        let shown = |condition: &RequestMatch| {
            let terms = condition.alternatives(16).unwrap_or_default();
            let term = |t: &RequestTerm| format!("{}{}", if t.negated { "!" } else { "" }, t.value);
            terms.iter().map(|all| all.iter().map(term).collect::<Vec<_>>().join("+")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(shown(&both), "/a+GET /b+GET");
        assert_eq!(shown(&RequestMatch::Not(Box::new(both))), "!/a+!/b !GET");
        assert_eq!(shown(&RequestMatch::All(Vec::new())), "");
        assert_eq!(RequestMatch::All(Vec::new()).alternatives(1).map(|all| all.len()), Some(1), "every request");
        let many = RequestMatch::All(vec![RequestMatch::Any(vec![get; 9]); 9]);
        assert_eq!(many.alternatives(256), None);
    }

    #[test]
    fn l6_the_first_class_decides_and_5xx_fails_by_default() {
        let class = |from, to, is_failure| ResponseClass { matches: ResponseMatch::Status(from, to), is_failure };
        let at = Location {
            file: crate::Sources::default().add("", ""),
            line: 1,
            column: 1,
            offset: 0,
            length: 1,
            path: "".into(),
        };
        let mut route = ProfileRoute {
            name: Located::new(String::new(), at.clone()),
            at,
            condition: RequestMatch::All(Vec::new()),
            is_retryable: None,
            timeout: None,
            response_classes: Vec::new(),
        };
        assert_eq!(route.failures(), (500..600).collect::<Vec<_>>());
        route.response_classes = vec![class(500, 599, false), class(429, 599, true)];
        assert_eq!(route.failures(), (429..500).collect::<Vec<_>>());
    }
}
