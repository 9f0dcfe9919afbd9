//! What a few numbers say about the many that they were drawn from: floats, in reports only.

mod batch;
mod mean;
mod mser;
mod poisson;
mod quantile;
mod trend;

pub(crate) use batch::{BATCHES, batch_means};
pub(crate) use mean::Mean;
pub(crate) use mser::mser5;
pub(crate) use poisson::poisson_interval;
pub(crate) use quantile::{quantile_interval, wilson};
pub(crate) use trend::{Trend, trend};
