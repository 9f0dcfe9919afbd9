//! A proxy's configuration as Envoy itself shows it: `/config_dump`, `istioctl proxy-config all -o json`.

use meshproof_proxy::config::{Cluster, RouteConfiguration};

use crate::{Located, Location};

/// What a proxy had when it was asked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct EnvoyDump {
    /// Where it stands.
    pub at: Option<Location>,
    /// The proxy's own name (`node.id`).
    pub node: Option<Located<String>>,
    /// Its clusters, endpoints among them where the dump has them.
    pub clusters: Vec<Located<Cluster>>,
    /// Its route configurations by name.
    pub routes: Vec<(Located<String>, RouteConfiguration)>,
    /// Its listeners: name and `address:port`.
    pub listeners: Vec<(Located<String>, String)>,
}
