//! Envoy's own configuration dumps: clusters, routes, listeners, endpoints in the words of the proxy core. Verdicts are
//! about manifests and do not see them; what is not read of a dump is named.

mod cluster;
mod route;

use meshproof_model::{FileId, Labels, Located, Mesh, Meta, Nanos, ResourceRef, Unmodelled, envoy::EnvoyDump};

use crate::{
    field::Field,
    object::{Object, head, locate},
    unmodelled,
    yaml::Node,
};

/// Whether a document is a dump: a list of configurations, each with its type.
pub(crate) fn is_dump(root: &Node<'_>) -> bool {
    let configs = root.entry("configs").map_or(&[][..], |configs| configs.value.items());
    !configs.is_empty() && configs.iter().all(|config| config.entry("@type").is_some())
}

/// Reads a dump into the mesh, and names what it holds and what was not read.
pub(crate) fn read(file: FileId, root: &Node<'_>, path: &str, mesh: &mut Mesh) {
    let at = locate(file, head(root), "");
    let resource = ResourceRef { kind: "EnvoyConfigDump".to_owned(), namespace: String::new(), name: path.to_owned() };
    let meta = Meta { resource, labels: Labels::new(), annotations: Labels::new(), created: None, at: at.clone() };
    let object =
        Object { file, root, path: "".into(), group: "envoy".to_owned(), version: String::new(), meta: meta.clone() };
    let mut dump = EnvoyDump { at: Some(at.clone()), ..EnvoyDump::default() };
    for config in Field::root(file, root, "".into()).list("configs") {
        match config.text_at("@type").unwrap_or_default().rsplit('.').next().unwrap_or_default() {
            "BootstrapConfigDump" => {
                let node = config.get("bootstrap").and_then(|bootstrap| bootstrap.get("node"));
                dump.node = node.and_then(|node| node.located_text("id"));
            }
            "ClustersConfigDump" => {
                for list in ["static_clusters", "dynamic_active_clusters"] {
                    let clusters = config.list(list).filter_map(|entry| entry.get("cluster"));
                    dump.clusters.extend(clusters.filter_map(|cluster| cluster::read(&cluster)));
                }
            }
            "RoutesConfigDump" => {
                for list in ["static_route_configs", "dynamic_route_configs"] {
                    let routes = config.list(list).filter_map(|entry| entry.get("route_config"));
                    dump.routes.extend(routes.filter_map(|routes| route::read(&routes)));
                }
            }
            "ListenersConfigDump" => {
                for entry in config.list("dynamic_listeners") {
                    let active = entry.get("active_state").and_then(|state| state.get("listener"));
                    dump.listeners.extend(active.and_then(|listener| self::listener(&listener)));
                }
                let fixed = config.list("static_listeners").filter_map(|entry| entry.get("listener"));
                dump.listeners.extend(fixed.filter_map(|listener| self::listener(&listener)));
            }
            "EndpointsConfigDump" => {
                for list in ["static_endpoint_configs", "dynamic_endpoint_configs"] {
                    for entry in config.list(list).filter_map(|entry| entry.get("endpoint_config")) {
                        let name = entry.text_at("cluster_name").unwrap_or_default();
                        let cluster = dump.clusters.iter_mut().find(|cluster| cluster.value.name == name);
                        let hosts = cluster::hosts(&entry);
                        if let Some(cluster) = cluster.filter(|cluster| cluster.value.hosts.is_empty()) {
                            cluster.value.hosts = hosts;
                        }
                    }
                }
            }
            _ => {}
        }
    }
    let reason = format!(
        "a proxy's own configuration: {} clusters, {} route configurations and {} listeners were read; verdicts are \
         about manifests, and not about it",
        dump.clusters.len(),
        dump.routes.len(),
        dump.listeners.len()
    );
    mesh.unmodelled.push(Unmodelled { resource: meta.resource, at, reason, matters: true });
    mesh.unmodelled.extend(unmodelled::fields(&object));
    mesh.envoy_dumps.push(dump);
}

fn listener(field: &Field<'_>) -> Option<(Located<String>, String)> {
    let address = field.get("address").map(|address| socket(&address)).unwrap_or_default();
    Some((field.located_text("name")?, address))
}

/// `address:port` of an address.
fn socket(field: &Field<'_>) -> String {
    let Some(socket) = field.get("socket_address") else { return String::new() };
    let port = socket.get("port_value").and_then(|port| port.int()).unwrap_or(0);
    format!("{}:{port}", socket.text_at("address").unwrap_or_default())
}

/// A duration as Protobuf's JSON writes it: `1.5s`.
fn duration(object: &Field<'_>, key: &'static str) -> Option<Nanos> {
    object.text_at(key).and_then(|text| crate::duration::go_duration(&text))
}

/// A number that is not negative, also in quotes.
fn count(object: &Field<'_>, key: &'static str) -> Option<u32> {
    object.get(key)?.int().and_then(|number| u32::try_from(number).ok())
}
