//! The driver: scripted client, proxies and scripted hosts in one virtual time.

mod client;
mod entropy;
mod flow;
mod framing;
mod leg;
mod link;
mod queue;
mod script;
mod token;
mod transport;
mod world;

pub(crate) use client::{Exchange, Log};
pub(crate) use entropy::{Draws, seed};
pub(crate) use flow::{Flow, Origin};
pub(crate) use leg::Arrival;
pub(crate) use world::{LISTENER, World};
