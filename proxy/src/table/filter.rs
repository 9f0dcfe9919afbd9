//! HTTP filters, compiled. What changes while requests pass lies elsewhere, one state for each of these.

use super::HeaderMatch;
use crate::{
    config::{self, Filter},
    error::Faults,
    headers::Mutations,
    jwt::JwtTable,
    rbac::{RbacTable, Rules},
};

/// One filter of a chain, or of a route.
#[derive(Debug)]
pub(crate) enum FilterTable {
    Fault(FaultTable),
    LocalRateLimit(LocalRateLimitTable),
    Rbac(RbacTable),
    Jwt(JwtTable),
    AdmissionControl(config::AdmissionControl),
    AdaptiveConcurrency(config::AdaptiveConcurrency),
    ExtAuthz(ExtAuthzTable),
    RateLimit(config::RateLimit),
}

/// Delays and aborts.
#[derive(Debug)]
pub(crate) struct FaultTable {
    pub(crate) config: config::Fault,
    /// All of them hold.
    pub(crate) headers: Box<[HeaderMatch]>,
}

/// A token bucket in this proxy.
#[derive(Debug)]
pub(crate) struct LocalRateLimitTable {
    pub(crate) config: config::LocalRateLimit,
    /// Changes to refusals.
    pub(crate) response: Mutations,
}

/// An external authorizer.
#[derive(Debug)]
pub(crate) struct ExtAuthzTable {
    pub(crate) config: config::ExtAuthz,
    /// Only requests that these rules match are asked about; `None`: all.
    pub(crate) enabled: Option<Rules>,
}

impl FilterTable {
    pub(crate) fn new(filter: &Filter, faults: &mut Faults) -> Option<Self> {
        match filter {
            Filter::Fault(fault) => Some(Self::fault(fault, faults)),
            Filter::LocalRateLimit(limit) => Self::local_rate_limit(limit, faults),
            Filter::Rbac(rbac) => Some(Self::Rbac(RbacTable::new(rbac, faults))),
            Filter::Jwt(jwt) => Some(Self::Jwt(JwtTable::new(jwt, faults))),
            Filter::AdmissionControl(control) => Some(Self::AdmissionControl(control.clone())),
            Filter::AdaptiveConcurrency(concurrency) => Some(Self::AdaptiveConcurrency(concurrency.clone())),
            Filter::ExtAuthz(authz) => Some(Self::ExtAuthz(ExtAuthzTable {
                enabled: authz.filter_enabled.as_ref().map(|rules| Rules::new(rules, faults)),
                config: authz.clone(),
            })),
            Filter::RateLimit(limit) => Some(Self::RateLimit(limit.clone())),
        }
    }

    pub(crate) fn fault(fault: &config::Fault, faults: &mut Faults) -> Self {
        let headers = faults.all(&fault.headers, HeaderMatch::new);
        Self::Fault(FaultTable { config: fault.clone(), headers })
    }

    pub(crate) fn local_rate_limit(limit: &config::LocalRateLimit, faults: &mut Faults) -> Option<Self> {
        let response = faults.note(Mutations::new(&limit.response_headers_to_add, &[]))?;
        Some(Self::LocalRateLimit(LocalRateLimitTable { config: limit.clone(), response }))
    }
}
