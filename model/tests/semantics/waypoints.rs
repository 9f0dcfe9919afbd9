//! What waypoints make of requests: AB-1, AB-4, AB-5.

use meshproof_model::Lowered;

use crate::fixture::{DEFAULT_RETRIES, checked, mesh, service, show_route, workload};

const INBOUND_RETRIES: &str = "retries=2 on reset-before-request []";

fn pods(name: &str, labels: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: mesh}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}, version: v1}}}}, spec: {{serviceAccountName: {name}, containers: [{{name: app, image: app}}]}}}}}}\n---\n\
         apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: mesh, labels: {{{labels}}}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}, {{name: tcp, port: 81}}]}}\n---\n"
    )
}

fn object(api: &str, kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: {api}/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn vs(name: &str, spec: &str) -> String {
    object("networking.istio.io", "VirtualService", name, spec)
}

fn dr(name: &str, spec: &str) -> String {
    object("networking.istio.io", "DestinationRule", name, spec)
}

/// Ambient pods `a`, `b` behind the waypoint `wp`, and `c` without one.
fn ambient(more: &str, purpose: &str) -> String {
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: mesh, labels: {istio.io/dataplane-mode: ambient}}\n---\n"
        .to_owned()
        + &pods("a", "")
        + &pods("b", "istio.io/use-waypoint: wp")
        + &pods("c", "")
        + &format!(
            "apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {{name: wp, namespace: mesh, labels: {{{purpose}}}}}\nspec: {{gatewayClassName: istio-waypoint, listeners: [{{name: mesh, port: 15008, protocol: HBONE}}]}}\n---\n"
        )
        + more
}

fn lower(manifests: &str, client: &str, to: &[(&str, u16)]) -> Lowered {
    let mesh = mesh(manifests);
    let to: Vec<_> = to.iter().map(|(name, port)| (service(&mesh, name), *port)).collect();
    checked(mesh.outbound(workload(&mesh, client), &to))
}

/// All routes of the first listener.
fn routes(lowered: &Lowered) -> Vec<String> {
    let hosts = lowered.config.listeners[0].route_config.virtual_hosts.iter();
    hosts.flat_map(|host| host.routes.iter().map(show_route)).collect()
}

#[test]
fn ab5_routes_of_the_service_hold_at_its_waypoint() {
    let to = |host: &str, port: u16| format!("inbound-vip|{port}|http@mesh/wp|{host}.mesh~");
    let rule = "{hosts: [b], http: [{match: [{uri: {prefix: /x}, sourceLabels: {app: nobody}}], route: [{destination: {host: c, port: {number: 80}}}], timeout: 2s}, {route: [{destination: {host: b}}], retries: {attempts: 1, retryOn: 5xx}}]}";
    let http_route = "{parentRefs: [{kind: Service, group: '', name: b}], rules: [{backendRefs: [{name: c, port: 80}], timeouts: {request: 3s}}]}";
    for (case, manifests, expect) in [
        (
            "AB-5 the default is the one of servers",
            String::new(),
            vec![format!("prefix / -> {} timeout=0s {INBOUND_RETRIES}", to("b", 80))],
        ),
        // Labels of clients are not compared: the waypoint is everybody's.
        (
            "AB-5 of the service's namespace",
            vs("mesh/b", rule),
            vec![
                format!("prefix /x -> {} timeout=2s {DEFAULT_RETRIES}", to("c", 80)),
                format!("prefix / -> {} timeout=0s retries=1 on 5xx []", to("b", 80)),
            ],
        ),
        (
            "AB-5 of another namespace",
            vs("ops/b", &rule.replace("hosts: [b]", "hosts: [b.mesh.svc.cluster.local]")),
            vec![format!("prefix / -> {} timeout=0s {INBOUND_RETRIES}", to("b", 80))],
        ),
        (
            "AB-5 G-10 a mesh route",
            object("gateway.networking.k8s.io", "HTTPRoute", "mesh/b", http_route),
            vec![format!("prefix / -> {} timeout=3s {DEFAULT_RETRIES}", to("c", 80))],
        ),
    ] {
        let lowered = lower(&ambient(&manifests, ""), "mesh/a", &[("mesh/b", 80)]);
        assert_eq!(routes(&lowered), expect, "{case}");
    }
}

#[test]
fn ab5_rules_of_the_waypoints_namespace_and_its_name() {
    let rules = dr("mesh/b", "{host: b, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 7}}}}")
        + &dr(
            "ops/b",
            "{host: b.mesh.svc.cluster.local, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 9}}}}",
        );
    let lowered = lower(&ambient(&rules, ""), "mesh/a", &[("mesh/b", 80), ("mesh/c", 80)]);
    let clusters = lowered.config.clusters.iter().zip(&lowered.provenance.clusters);
    let shown: Vec<(String, Option<u32>, Vec<String>)> = clusters
        .map(|(cluster, _)| {
            let tls = cluster.transport_matches[0].tls.as_ref().unwrap();
            let names = tls.identity.as_ref().unwrap().uri_sans.clone();
            (crate::fixture::short(&cluster.name), cluster.thresholds[0].max_pending_requests, names)
        })
        .collect();
    let name = |account: &str| vec![format!("spiffe://cluster.local/ns/mesh/sa/{account}")];
    assert_eq!(
        shown,
        [
            ("outbound|80||c.mesh~".to_owned(), Some(u32::MAX), name("a")),
            ("inbound-vip|80|http@mesh/wp|b.mesh~".to_owned(), Some(7), name("wp")),
        ],
        "AB-5 DR-1: the waypoint's namespace looks rules up, and servers see its certificate"
    );
}

#[test]
fn ab1_ab4_who_passes_a_waypoint() {
    let timeout = vs("mesh/b", "{hosts: [b], http: [{route: [{destination: {host: b}}], timeout: 2s}]}");
    for (case, purpose, client, to, passes) in [
        ("an ambient pod", "", "mesh/a", ("mesh/b", 80), true),
        ("for services and workloads", "istio.io/waypoint-for: all", "mesh/a", ("mesh/b", 80), true),
        ("AB-1 for workloads only", "istio.io/waypoint-for: workload", "mesh/a", ("mesh/b", 80), false),
        ("a service without one", "", "mesh/b", ("mesh/c", 80), false),
        ("connections that are no HTTP", "", "mesh/a", ("mesh/b", 81), false),
        ("AB-4 a sidecar", "", "shop/web", ("mesh/b", 80), false),
        ("a client outside of the mesh", "", "legacy/client", ("mesh/b", 80), false),
    ] {
        let lowered = lower(&ambient(&timeout, purpose), client, &[to]);
        let through = lowered.config.clusters.iter().any(|cluster| cluster.name.starts_with("inbound-vip|"));
        assert_eq!(through, passes, "{case}");
    }
}
