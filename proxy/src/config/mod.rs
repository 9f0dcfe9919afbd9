//! A proxy's configuration as plain data: Envoy's names, public fields, no behaviour.
//!
//! Lengths of time are [`Nanos`](crate::Nanos), shares are integers. `None` means that the field is not set, and
//! the field's documentation says what Envoy does then; `Table::compile` applies those defaults in one place.

mod cluster;
mod filter;
mod health;
mod listener;
mod matcher;
mod retry;
mod route;
mod tls;

pub use cluster::*;
pub use filter::*;
pub use health::*;
pub use listener::*;
pub use matcher::*;
pub use retry::*;
pub use route::*;
use serde::{Deserialize, Serialize};
pub use tls::*;

/// Everything one proxy is told (Envoy: listeners with their route configurations, and clusters with endpoints).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Where downstream requests arrive.
    pub listeners: Vec<Listener>,
    /// Where upstream requests go; a [`ClusterId`](crate::ClusterId) indexes this list.
    pub clusters: Vec<Cluster>,
    /// Where the proxy itself runs, for zone-aware balancing.
    pub zone: Option<Zone>,
}

/// The zone of the proxy and how its own peers are spread (Envoy: `local_cluster_name`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Zone {
    /// The proxy's own zone.
    pub name: String,
    /// Number of proxies of the proxy's own cluster in each zone.
    pub own_cluster_hosts: Vec<(String, u32)>,
}
