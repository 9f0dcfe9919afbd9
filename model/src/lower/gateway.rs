//! The configuration of a gateway: a listener for each port of the Gateways that it serves (`GW-1`, `VS-8` to `VS-10`).

use std::collections::BTreeMap;

use indexmap::IndexMap;
use meshproof_proxy::config::{
    Config, ConnectionManager, DownstreamTls, Fault, Filter, ForwardClientCert, Identity, Listener, RequireTls,
    RouteConfiguration, TlsMode, Validity,
};

use super::{
    ListenerOrigin, Lowered, Lowering, Provenance,
    attachment::Attachment,
    client::Client,
    delegate::Resolved,
    index::age,
    mtls::MESH_CA,
    outbound::{Routing, manager},
    rbac,
    route::Made,
    route_match::{Scope, is_catch_all},
    tcp,
    wanted::Wanted,
};
use crate::{
    Protocol, WorkloadId, host_intersection,
    istio::{Gateway, Server, ServerTls},
};

/// One server of a Gateway that the workload serves.
#[derive(Clone)]
struct Served<'m> {
    /// What routes bind to.
    name: String,
    /// The Gateway's.
    namespace: &'m str,
    server: &'m Server,
    /// Whether requests for its hosts go to no other server, also where it has no route for them (`G-2`).
    is_isolated: bool,
}

impl Lowering<'_> {
    /// A gateway's configuration, seen from one of its replicas: all servers of the Gateways that select it.
    ///
    /// A port has one listener for the servers that read HTTP, one for those that pass connections on, and, where
    /// several servers end TLS, one more for each of these: a client that names a host gets the server of that name
    /// and no other ([`Provenance::gateway_listener`] finds it). In the first listener, which is for clients of whom no
    /// name is known, the first server's TLS counts.
    pub fn gateway(&self, gateway: WorkloadId, replica: u32) -> Lowered {
        let client = Client::new(self.mesh, gateway, replica);
        let mut wanted = Wanted::new(self, &client);
        let mut gateways: Vec<&Gateway> =
            self.mesh.gateways.iter().filter(|candidate| self.mesh.selects(candidate, gateway)).collect();
        gateways.sort_by_key(|gateway| age(&gateway.meta));
        let mut ports: BTreeMap<u16, Vec<Served<'_>>> = BTreeMap::new();
        for gateway in gateways {
            let namespace = gateway.meta.namespace();
            for server in &gateway.servers {
                let name = format!("{namespace}/{}", gateway.meta.name());
                let served = Served { name, namespace, server, is_isolated: false };
                ports.entry(server.port.value).or_default().push(served);
            }
        }
        for entry in self.entries.iter().filter(|entry| entry.owner.is_served_by(self.mesh, gateway)) {
            let (namespace, server) = (entry.owner.meta().namespace(), &entry.server);
            let on_port = ports.entry(server.port.value).or_default();
            on_port.push(Served { name: entry.name.clone(), namespace, server, is_isolated: entry.owner.is_gateway() });
        }
        let (listeners, origins) = ports
            .into_iter()
            .flat_map(|(port, servers)| chains(servers).into_iter().map(move |chain| (port, chain)))
            .map(|(port, chain)| wanted.gateway_listener(gateway, port, &chain))
            .unzip();
        let (clusters, cluster_origins) = wanted.finish();
        Lowered {
            config: Config { listeners, clusters, zone: None },
            provenance: Provenance { listeners: origins, clusters: cluster_origins },
        }
    }
}

/// Servers that share a listener.
struct Chain<'m> {
    servers: Vec<Served<'m>>,
    is_http: bool,
    /// The names of clients for whom it is; empty: all others.
    sni: Vec<String>,
}

/// The listeners of a port.
fn chains(servers: Vec<Served<'_>>) -> Vec<Chain<'_>> {
    let (http, connections): (Vec<_>, Vec<_>) = servers.into_iter().partition(|served| terminates(served.server));
    let mut named: Vec<Chain<'_>> = Vec::new();
    for served in http.iter().filter(|served| ends_tls(served.server)) {
        let mut sni: Vec<String> =
            served.server.hosts.iter().map(|host| bare(&host.value).to_ascii_lowercase()).collect();
        sni.sort();
        match named.iter_mut().find(|chain| chain.sni == sni) {
            Some(chain) => chain.servers.push(served.clone()),
            None => named.push(Chain { servers: vec![served.clone()], is_http: true, sni }),
        }
    }
    if named.len() < 2 {
        named.clear();
    }
    let shared = [(http, true), (connections, false)].into_iter().filter(|(servers, _)| !servers.is_empty());
    shared.map(|(servers, is_http)| Chain { servers, is_http, sni: Vec::new() }).chain(named).collect()
}

impl Wanted<'_, '_> {
    fn gateway_listener(&mut self, workload: WorkloadId, port: u16, chain: &Chain<'_>) -> (Listener, ListenerOrigin) {
        let mut hosts = Routing::default();
        let Chain { servers, is_http, sni } = chain;
        let is_http = *is_http;
        if is_http {
            let redirected = self.http_hosts(port, servers, &mut hosts);
            for host in hosts.hosts.iter_mut().filter(|host| redirected.contains(&host.domains[0])) {
                host.require_tls = RequireTls::All;
            }
        } else {
            self.connection_hosts(port, servers, &mut hosts);
        }
        let protocol = if is_http { Protocol::Http } else { Protocol::Tcp };
        let access =
            rbac::lower(self.lowering, &Attachment::of(self.lowering, workload), rbac::Seen::by_proxy(!is_http));
        let mut filters = access.filters;
        filters.push(Filter::Fault(Fault::default()));
        let listener = Listener {
            name: if sni.is_empty() { format!("0.0.0.0_{port}") } else { format!("0.0.0.0_{port}_{}", sni.join("_")) },
            tls: self.server_tls(workload, servers),
            connection_manager: ConnectionManager { use_remote_address: true, ..manager(&self.lowering.mesh.settings) },
            filters,
            route_config: RouteConfiguration {
                virtual_hosts: hosts.hosts,
                ignore_port_in_host_matching: true,
                ..RouteConfiguration::default()
            },
            ..Listener::default()
        };
        let origin = ListenerOrigin {
            port,
            protocol: Some(protocol),
            sni: sni.clone(),
            routes: hosts.origins,
            policies: access.policies,
            ..ListenerOrigin::default()
        };
        (listener, origin)
    }

    /// Virtual hosts of a port: the routes of every VirtualService that is bound to a server, host by host, in their
    /// order; those that take every request come last (`VS-8`). Gives the hosts that redirect to https (`VS-10`).
    fn http_hosts(&mut self, port: u16, servers: &[Served<'_>], hosts: &mut Routing) -> Vec<String> {
        let namespace = self.client.namespace();
        let mut bound: Vec<(u8, &Resolved<'_>)> = self
            .lowering
            .routes
            .iter()
            .filter_map(|resolved| Some((resolved.visibility(namespace)?, resolved)))
            .collect();
        bound.sort_by_key(|(visibility, _)| *visibility);
        let mut by_host: IndexMap<String, Vec<Made>> = IndexMap::new();
        let mut redirected = Vec::new();
        for served in servers.iter().filter(|served| terminates(served.server)) {
            let name = served.name.as_str();
            let scope = Scope { client: self.client, port, gateway: name };
            for (_, resolved) in &bound {
                if !resolved.gateways.iter().any(|gateway| gateway == name) {
                    continue;
                }
                for host in common_hosts(served, resolved) {
                    let routes = self.routes(resolved, &scope, &host);
                    if redirects(served) {
                        redirected.push(host.clone());
                    }
                    if !routes.is_empty() {
                        by_host.entry(host).or_default().extend(routes);
                    }
                }
            }
        }
        // A server that redirects does so for its hosts without routes too (`VS-10`).
        for served in servers.iter().filter(|served| redirects(served)) {
            for host in served.server.hosts.iter().map(|host| bare(&host.value).to_ascii_lowercase()) {
                redirected.push(host.clone());
                by_host.entry(host).or_default();
            }
        }
        for served in servers.iter().filter(|served| served.is_isolated) {
            for host in served.server.hosts.iter().filter(|host| host.value != "*") {
                by_host.entry(host.value.clone()).or_default();
            }
        }
        for (host, routes) in by_host {
            let (last, mut first): (Vec<Made>, Vec<Made>) =
                routes.into_iter().partition(|(route, _)| is_catch_all(&route.matches));
            first.extend(last);
            hosts.add(format!("{host}:{port}"), vec![host], first);
        }
        redirected
    }

    /// Rules for connections: of `tls` by the name that is asked for, of `tcp` for all.
    fn connection_hosts(&mut self, port: u16, servers: &[Served<'_>], hosts: &mut Routing) {
        let namespace = self.client.namespace();
        for served in servers {
            let name = served.name.as_str();
            let scope = Scope { client: self.client, port, gateway: name };
            for resolved in &self.lowering.routes {
                if !resolved.gateways.iter().any(|gateway| gateway == name) || resolved.visibility(namespace).is_none()
                {
                    continue;
                }
                if common_hosts(served, resolved).is_empty() {
                    continue;
                }
                let own = resolved.meta.namespace();
                for rule in &resolved.tls {
                    for block in rule.written.matches.iter().filter(|block| tcp::admits(block, &scope, own)) {
                        let domains = block.sni_hosts.iter().map(|host| host.value.to_ascii_lowercase()).collect();
                        let made = self.connection_rule(rule, port, &resolved.hosts[0]);
                        hosts.add(format!("{name}:{port}"), domains, made.into_iter().collect());
                    }
                }
                let admitted = resolved.tcp.iter().find(|rule| {
                    let matches = &rule.written.matches;
                    matches.is_empty() || matches.iter().any(|block| tcp::admits(block, &scope, own))
                });
                let made = admitted.and_then(|rule| self.connection_rule(rule, port, "*"));
                hosts.add(
                    format!("{name}:{port}"),
                    made.iter().map(|_| "*".to_owned()).collect(),
                    made.into_iter().collect(),
                );
            }
        }
    }

    fn server_tls(&self, workload: WorkloadId, servers: &[Served<'_>]) -> DownstreamTls {
        let Some(tls) = servers.iter().find_map(|served| served.server.tls.as_ref()) else {
            return DownstreamTls::default();
        };
        let shown = |ca: &str| Identity {
            ca: ca.to_owned(),
            uri_sans: Vec::new(),
            dns_sans: servers
                .iter()
                .flat_map(|served| &served.server.hosts)
                .map(|host| bare(&host.value).to_owned())
                .collect(),
            validity: Validity::Valid,
        };
        let clients = credential(tls);
        let (mode, identity, trusted_ca) = match tls.mode.as_ref().map(|mode| mode.value.as_str()) {
            Some("SIMPLE") => (TlsMode::Simple, shown("public"), None),
            Some("MUTUAL") => (TlsMode::Strict, shown("public"), Some(clients)),
            Some("OPTIONAL_MUTUAL") => (TlsMode::Simple, shown("public"), Some(clients)),
            Some("ISTIO_MUTUAL") => (TlsMode::Strict, self.lowering.identity(workload), Some(MESH_CA.to_owned())),
            // Passed through as it comes, or only a redirect.
            _ => return DownstreamTls::default(),
        };
        DownstreamTls {
            mode,
            identity: Some(identity),
            trusted_ca,
            alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
            forward_client_cert: ForwardClientCert::SanitizeSet,
            ..DownstreamTls::default()
        }
    }
}

/// Who signs the certificates of a server's clients: known by the name of the secret only.
fn credential(tls: &ServerTls) -> String {
    tls.credential_name.as_ref().map_or_else(|| "custom".to_owned(), |name| name.value.clone())
}

/// Whether a server only sends its clients to https.
fn redirects(served: &Served<'_>) -> bool {
    served.server.tls.as_ref().is_some_and(|tls| tls.https_redirect)
}

/// Whether a server ends its clients' TLS.
fn ends_tls(server: &Server) -> bool {
    let mode = server.tls.as_ref().and_then(|tls| tls.mode.as_ref());
    mode.is_some_and(|mode| matches!(mode.value.as_str(), "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL" | "ISTIO_MUTUAL"))
}

/// Whether a server ends the connection and reads HTTP.
fn terminates(server: &Server) -> bool {
    let mode = server.tls.as_ref().and_then(|tls| tls.mode.as_ref()).map(|mode| mode.value.as_str());
    let passes = matches!(mode, Some("PASSTHROUGH" | "AUTO_PASSTHROUGH"));
    match server.protocol.value.to_ascii_uppercase().as_str() {
        "HTTP" | "HTTP2" | "GRPC" | "GRPC-WEB" => true,
        "HTTPS" => !passes,
        _ => false,
    }
}

/// Hosts that a server and a VirtualService have in common; a server's `namespace/host` admits VirtualServices of that
/// namespace only (`VS-9`).
fn common_hosts(served: &Served<'_>, resolved: &Resolved<'_>) -> Vec<String> {
    let owner = resolved.meta.namespace();
    let mut common = Vec::new();
    for written in &served.server.hosts {
        let written = written.value.to_ascii_lowercase();
        let (namespace, host) = written.split_once('/').unwrap_or(("*", &written));
        let admitted = match namespace {
            "*" => true,
            "." => owner == served.namespace,
            other => owner == other,
        };
        if admitted {
            let hosts = resolved.hosts.iter().filter_map(|own| host_intersection(host, own)).map(str::to_owned);
            common.extend(hosts);
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    common.retain(|host| seen.insert(host.clone()));
    common
}

/// A server's host without its namespace.
fn bare(host: &str) -> &str {
    host.split_once('/').map_or(host, |(_, host)| host)
}
