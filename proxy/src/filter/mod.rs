//! The filter chain before the router: a cursor over the listener's filters, each with its configuration for the route
//! and its own state.

mod access;
mod admission;
mod bucket;
mod callout;
mod chain;
mod concurrency;
mod fault;
mod local_rate_limit;
mod state;

pub use callout::{Authorization, AuthorizationChanges, RateLimitAnswer};
pub(crate) use chain::Admitted;
pub use local_rate_limit::RateLimitStats;
pub(crate) use state::FilterStates;
