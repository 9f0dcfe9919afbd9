//! What filters remember from one request to the next.

use super::{
    admission::AdmissionState,
    concurrency::ConcurrencyState,
    local_rate_limit::{LocalRateLimitState, RateLimitStats},
};
use crate::{
    Cx, Effect, ListenerId, TimerId,
    table::{FilterTable, ListenerTable, Table},
};

/// The state of one filter, or of one route's configuration of it.
#[derive(Clone, Debug)]
pub(crate) enum FilterState {
    /// Nothing is remembered.
    None,
    /// Delays in progress.
    Fault {
        active: u32,
    },
    LocalRateLimit(LocalRateLimitState),
    Admission(AdmissionState),
    Concurrency(ConcurrencyState),
}

/// The states of all filters of all tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct FilterStates {
    states: Vec<FilterState>,
    /// Where they are: by table, listener and filter.
    places: Vec<Vec<Vec<u32>>>,
}

impl FilterStates {
    /// Takes over a further table; arms the timers of adaptive concurrency.
    ///
    /// Like Envoy, an update that leaves a listener's chain as it was keeps the states of its filters, whatever becomes
    /// of its routes (RDS); those of routes' own filters are kept if the routes are the same too. Any other update of the
    /// listener begins anew (`FilterChainManagerImpl::findExistingFilterChain`, `RdsRouteConfigProviderImpl`).
    pub(crate) fn install(&mut self, cx: &mut Cx<'_>, table: &Table, before: Option<&Table>) {
        let version = self.places.len();
        let mut listeners = Vec::with_capacity(table.listeners().len());
        for (index, listener) in table.listeners().iter().enumerate() {
            let kept = before.and_then(|before| self.kept(listener, before)).unwrap_or_default();
            let mut places = kept.to_vec();
            for (filter, compiled) in listener.filters.iter().enumerate().skip(places.len()) {
                places.push(u32::try_from(self.states.len()).unwrap_or(u32::MAX));
                self.states.push(FilterState::new(cx, compiled, timer_number(version, index, filter)));
            }
            listeners.push(places);
        }
        self.places.push(listeners);
    }

    /// The places of the states that a listener keeps from the table before.
    fn kept(&self, listener: &ListenerTable, before: &Table) -> Option<&[u32]> {
        let index = before.listeners().iter().position(|other| other.name == listener.name)?;
        let other = &before.listeners()[index];
        let places = self.places.last()?.get(index)?;
        let has_same_routes = other.routes_print == listener.routes_print;
        let len = if has_same_routes { places.len() } else { listener.chain_len };
        (other.chain_print == listener.chain_print).then(|| places.get(..len))?
    }

    /// What a listener's local rate limits have counted: the first `chain_len` filters, then those of routes.
    pub(crate) fn rate_limits(&self, listener: ListenerId, chain_len: usize) -> [RateLimitStats; 2] {
        let mut sums = [RateLimitStats::default(); 2];
        let places = self.places.last().and_then(|places| places.get(listener.index()));
        for (filter, place) in places.into_iter().flatten().enumerate() {
            if let FilterState::LocalRateLimit(state) = &self.states[*place as usize] {
                sums[usize::from(filter >= chain_len)].add(state.stats);
            }
        }
        sums
    }

    pub(crate) fn get_mut(&mut self, version: usize, listener: ListenerId, filter: usize) -> Option<&mut FilterState> {
        let place = *self.places.get(version)?.get(listener.index())?.get(filter)?;
        self.states.get_mut(place as usize)
    }
}

impl FilterState {
    fn new(cx: &mut Cx<'_>, filter: &FilterTable, timer: u32) -> Self {
        match filter {
            FilterTable::Fault(_) => Self::Fault { active: 0 },
            FilterTable::LocalRateLimit(_) => Self::LocalRateLimit(LocalRateLimitState::default()),
            FilterTable::AdmissionControl(_) => Self::Admission(AdmissionState::default()),
            FilterTable::AdaptiveConcurrency(config) => {
                let state = ConcurrencyState::new(config, cx.now);
                cx.effects.push(Effect::SetTimer { timer: TimerId::Concurrency(timer), at: state.next_tick() });
                Self::Concurrency(state)
            }
            FilterTable::Rbac(_) | FilterTable::Jwt(_) | FilterTable::ExtAuthz(_) | FilterTable::RateLimit(_) => {
                Self::None
            }
        }
    }
}

/// Names a filter to the driver: 8 bits for the filter, 12 for the listener, 12 for the table.
fn timer_number(version: usize, listener: usize, filter: usize) -> u32 {
    u32::try_from((version & 0xfff) << 20 | (listener & 0xfff) << 8 | filter & 0xff).unwrap_or(0)
}

/// The reverse of [`timer_number`].
pub(crate) fn filter_of_timer(number: u32) -> (usize, ListenerId, usize) {
    ((number >> 20) as usize, ListenerId::new(number >> 8 & 0xfff), (number & 0xff) as usize)
}
