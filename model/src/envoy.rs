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
    /// Its route configurations.
    pub routes: Vec<DumpedRoutes>,
    /// Its listeners: name and `address:port`.
    pub listeners: Vec<(Located<String>, String)>,
}

/// A route configuration of a dump.
#[derive(Clone, Debug, PartialEq)]
pub struct DumpedRoutes {
    /// Its name, such as the port.
    pub name: Located<String>,
    /// What it says.
    pub config: RouteConfiguration,
    /// Where each route stands, counted over all virtual hosts.
    pub places: Vec<Location>,
}
