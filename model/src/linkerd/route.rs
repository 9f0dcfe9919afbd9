//! Annotations `retry.linkerd.io/*`, `timeout.linkerd.io/*` and `balancer.linkerd.io/*` (`L-5`, `L-7`).

use meshproof_proxy::Nanos;

use crate::{Located, Location, Meta, ResourceRef};

/// What the annotations of a Service or a route ask for.
#[derive(Clone, Debug, PartialEq)]
pub struct AnnotatedPolicy {
    /// The Service or route.
    pub resource: ResourceRef,
    /// Of a route's kinds the API's group; empty for a Service.
    pub group: String,
    /// What they ask for.
    pub policy: RoutePolicy,
}

/// What annotations ask for.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoutePolicy {
    /// `retry.linkerd.io/*`.
    pub retry: Option<Retry>,
    /// `timeout.linkerd.io/*`.
    pub timeouts: Timeouts,
    /// `balancer.linkerd.io/failure-accrual*`; of Services only.
    pub failure_accrual: Option<FailureAccrual>,
}

impl RoutePolicy {
    /// Whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// What counts for a route: of each kind its own values if it sets any, else all of the Service's (`L-5`).
    #[must_use]
    pub fn or(&self, service: &Self) -> Self {
        Self {
            retry: self.retry.clone().or_else(|| service.retry.clone()),
            timeouts: if self.timeouts == Timeouts::default() {
                service.timeouts.clone()
            } else {
                self.timeouts.clone()
            },
            failure_accrual: service.failure_accrual.clone(),
        }
    }
}

/// `retry.linkerd.io/*`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// The first of its annotations.
    pub at: Location,
    /// `http`: ranges of statuses, first and last.
    pub http: Option<Located<Vec<(u16, u16)>>>,
    /// `grpc`: conditions.
    pub grpc: Option<Located<Vec<String>>>,
    /// `limit`: tries after the first; absent or 0: 1.
    pub limit: Option<Located<u32>>,
    /// `timeout`: limit on the headers of one try.
    pub timeout: Option<Located<Nanos>>,
}

impl Retry {
    /// Tries after the first.
    pub fn attempts(&self) -> u32 {
        self.limit.as_ref().map(|limit| limit.value).filter(|limit| *limit > 0).unwrap_or(1)
    }
}

/// `timeout.linkerd.io/*`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeouts {
    /// `request`: the whole stream with its retries.
    pub request: Option<Located<Nanos>>,
    /// `response`: from the end of the request to the end of the response.
    pub response: Option<Located<Nanos>>,
    /// `idle`: a stream on which nothing moves.
    pub idle: Option<Located<Nanos>>,
}

/// `balancer.linkerd.io/failure-accrual: consecutive` (`L-7`).
#[derive(Clone, Debug, PartialEq)]
pub struct FailureAccrual {
    /// Where it is switched on.
    pub at: Location,
    /// `-consecutive-max-failures`; absent: 7.
    pub max_failures: Option<Located<u32>>,
    /// `-consecutive-min-penalty`; absent: 1 s.
    pub min_penalty: Option<Located<Nanos>>,
    /// `-consecutive-max-penalty`; absent: 60 s.
    pub max_penalty: Option<Located<Nanos>>,
    /// `-consecutive-jitter-ratio`, in thousandths; absent: 500.
    pub jitter_ratio_milli: Option<Located<u32>>,
}

/// `TrafficSplit` of the Service Mesh Interface: requests for one service go to several (`L-8`).
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficSplit {
    /// Its name and place.
    pub meta: Meta,
    /// The service that clients call.
    pub service: Located<String>,
    /// Services of the same namespace and their weights in thousandths.
    pub backends: Vec<(Located<String>, Located<u32>)>,
    /// Whether only some requests are meant (`matches`), which Linkerd does not read.
    pub has_matches: bool,
}
