//! The cases of the semantics chapter: manifests in, effective facts out.
//!
//! Each row is a case by its number (`T07`) or a rule by its id. Facts are shown as short lines; `~` stands for
//! `.svc.cluster.local`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod aliases;
mod authorization;
mod calls;
mod clusters;
mod delivery;
mod endpoints;
mod fixture;
mod gateway_api;
mod gateways;
mod inbound;
mod ingress;
mod intents;
mod linkerd;
mod mtls;
mod names;
mod network;
mod provenance;
mod routes;
mod scenarios;
mod tokens;
mod waypoints;
