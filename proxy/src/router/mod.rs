//! The router filter: sends a request on and judges what comes back (Envoy: `source/common/router`).

mod attempt;
mod control;
mod mirror;
mod redirect;
mod request;
mod reset;
mod response;
mod retry;
mod timeout;

pub(crate) use control::ControlHeaders;
pub(crate) use retry::Verdict;
