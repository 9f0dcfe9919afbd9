//! What filters remember from one request to the next.

use super::{
    admission::AdmissionState,
    concurrency::ConcurrencyState,
    local_rate_limit::{LocalRateLimitState, RateLimitStats},
};
use crate::{
    Cx, Effect, ListenerId, TimerId,
    table::{FilterTable, Table},
};

/// The state of one filter, or of one route's configuration of it.
#[derive(Debug)]
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

/// The states of all filters of one table.
#[derive(Debug, Default)]
pub(crate) struct FilterStates {
    /// By listener, then by filter.
    listeners: Vec<Vec<FilterState>>,
}

impl FilterStates {
    /// Fresh states for the `version`-th table; arms the timers of adaptive concurrency.
    pub(crate) fn new(cx: &mut Cx<'_>, version: usize, table: &Table) -> Self {
        let mut listeners = Vec::with_capacity(table.listeners().len());
        for (listener, entry) in table.listeners().iter().enumerate() {
            let states = entry.filters.iter().enumerate().map(|(filter, compiled)| match compiled {
                FilterTable::Fault(_) => FilterState::Fault { active: 0 },
                FilterTable::LocalRateLimit(_) => FilterState::LocalRateLimit(LocalRateLimitState::default()),
                FilterTable::AdmissionControl(_) => FilterState::Admission(AdmissionState::default()),
                FilterTable::AdaptiveConcurrency(config) => {
                    let state = ConcurrencyState::new(config, cx.now);
                    let timer = TimerId::Concurrency(timer_number(version, listener, filter));
                    cx.effects.push(Effect::SetTimer { timer, at: state.next_tick() });
                    FilterState::Concurrency(state)
                }
                _ => FilterState::None,
            });
            listeners.push(states.collect());
        }
        Self { listeners }
    }

    /// Takes over the states of listeners whose filters are the same as before.
    pub(crate) fn inherit(&mut self, new: &Table, old: &Table, states: &mut Self) {
        for (index, listener) in new.listeners().iter().enumerate() {
            let before =
                old.listeners().get(index).filter(|before| before.filters.is_empty() && listener.filters.is_empty());
            if before.is_some() {
                std::mem::swap(&mut self.listeners[index], &mut states.listeners[index]);
            }
        }
    }

    /// What a listener's local rate limits have counted: the first `chain_len` filters, then those of routes.
    pub(crate) fn rate_limits(&self, listener: ListenerId, chain_len: usize) -> [RateLimitStats; 2] {
        let mut sums = [RateLimitStats::default(); 2];
        for (place, state) in self.listeners.get(listener.index()).into_iter().flatten().enumerate() {
            if let FilterState::LocalRateLimit(state) = state {
                sums[usize::from(place >= chain_len)].add(state.stats);
            }
        }
        sums
    }

    pub(crate) fn get_mut(&mut self, listener: ListenerId, filter: usize) -> Option<&mut FilterState> {
        self.listeners.get_mut(listener.index())?.get_mut(filter)
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
