//! What gateways do: T07 and T10 at a gateway, VS-8 to VS-10, GW-1.

use meshproof_model::Lowered;
use meshproof_proxy::config::{RequireTls, TlsMode};

use crate::fixture::{DEFAULT_RETRIES, checked, mesh, routes, workload};

fn gateway(servers: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {{name: edge, namespace: istio-system}}\nspec: {{selector: {{istio: ingressgateway}}, servers: {servers}}}\n---\n"
    )
}

fn vs(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn lower(manifests: &str) -> Lowered {
    let mesh = mesh(manifests);
    checked(mesh.gateway(workload(&mesh, "istio-system/istio-ingressgateway")))
}

const HTTP: &str = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]";
const REVIEWS: &str = "outbound|9080||reviews.shop~";

fn to(matches: &str, cluster: &str) -> String {
    format!("{matches} -> {cluster} timeout=0s {DEFAULT_RETRIES}")
}

#[test]
fn t07_routes_that_are_bound_to_the_gateway() {
    let bound = "{hosts: [shop.example], gateways: [istio-system/edge], http: [{route: [{destination: {host: reviews}}], timeout: 1s}]}";
    let mesh_only = bound.replace("gateways: [istio-system/edge], ", "");
    let lowered = lower(&format!("{}{}", gateway(HTTP), vs("shop", "r", bound)));
    assert_eq!(routes(&lowered, "shop.example"), [to("prefix /", REVIEWS).replace("timeout=0s", "timeout=1s")]);
    let lowered = lower(&format!("{}{}", gateway(HTTP), vs("shop", "r", &mesh_only)));
    assert!(lowered.config.listeners[0].route_config.virtual_hosts.is_empty(), "VS-1 VS-10: answered 404");
}

#[test]
fn t10_vs8_routes_of_all_with_catch_alls_last() {
    let rule = |prefix: &str, host: &str| {
        format!(
            "{{hosts: [shop.example], gateways: [istio-system/edge], http: [{{match: [{{uri: {{prefix: {prefix}}}}}], route: [{{destination: {{host: {host}}}}}]}}, {{route: [{{destination: {{host: {host}}}}}]}}]}}"
        )
    };
    let lowered = lower(&format!(
        "{}{}{}",
        gateway(HTTP),
        vs("shop", "b", &rule("/b", "ratings")),
        vs("shop", "a", &rule("/a", "reviews"))
    ));
    let ratings = "outbound|9080||ratings.shop~";
    let expect = [to("prefix /a", REVIEWS), to("prefix /b", ratings), to("prefix /", REVIEWS), to("prefix /", ratings)];
    assert_eq!(routes(&lowered, "shop.example"), expect);
    let names: Vec<&str> = lowered.provenance.listeners[0]
        .routes
        .iter()
        .map(|origin| origin.resource.as_ref().unwrap().name.as_str())
        .collect();
    assert_eq!(names, ["a", "b", "a", "b"], "origins move with their routes");
}

#[test]
fn vs9_hosts_that_both_sides_have() {
    for (case, server, hosts, expect) in [
        ("wider server", "'*.example'", "shop.example", Some("shop.example")),
        ("wider service", "shop.example", "'*.example'", Some("shop.example")),
        ("nothing in common", "shop.example", "pay.example", None),
        ("the namespace", "shop/shop.example", "shop.example", Some("shop.example")),
        ("another namespace", "pay/shop.example", "shop.example", None),
        ("the gateway's own", "./shop.example", "shop.example", None),
    ] {
        let servers = format!("[{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: [{server}]}}]");
        let spec = format!(
            "{{hosts: [{hosts}], gateways: [istio-system/edge], http: [{{route: [{{destination: {{host: reviews}}}}]}}]}}"
        );
        let lowered = lower(&format!("{}{}", gateway(&servers), vs("shop", "r", &spec)));
        let found = lowered.config.listeners[0].route_config.virtual_hosts.first();
        assert_eq!(found.map(|host| host.domains[0].as_str()), expect, "{case}");
    }
}

#[test]
fn servers_say_what_they_accept() {
    let servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*'], tls: {httpsRedirect: true}}, {port: {number: 443, name: https, protocol: HTTPS}, hosts: [shop.example], tls: {mode: SIMPLE, credentialName: cert}}]";
    let spec = "{hosts: [shop.example], gateways: [istio-system/edge], http: [{match: [{port: 443}], route: [{destination: {host: reviews}}]}, {route: [{destination: {host: ratings}}]}]}";
    let lowered = lower(&format!("{}{}", gateway(servers), vs("shop", "r", spec)));
    let [http, https] = lowered.config.listeners.as_slice() else { panic!("{:?}", lowered.config.listeners) };
    assert_eq!((http.tls.mode, https.tls.mode), (TlsMode::Plaintext, TlsMode::Simple));
    let required = |listener: &meshproof_proxy::config::Listener| listener.route_config.virtual_hosts[0].require_tls;
    assert_eq!((required(http), required(https)), (RequireTls::All, RequireTls::None), "VS-10");
    assert_eq!(lowered.provenance.listeners.iter().map(|listener| listener.port).collect::<Vec<_>>(), [80, 443]);
    let route = |listener: usize| lowered.provenance.listeners[listener].routes[0].destinations[0].cluster.clone();
    assert!(route(0).contains("ratings") && route(1).contains("reviews"), "RT-5 by port");
}

#[test]
fn gw1_a_gateway_serves_those_that_select_it() {
    let other = gateway(HTTP).replace("istio: ingressgateway", "istio: egressgateway");
    let mesh = mesh(&other);
    let lowered = mesh.gateway(workload(&mesh, "istio-system/istio-ingressgateway"));
    assert!(lowered.config.listeners.is_empty());
}

#[test]
fn sni_and_tcp_routes_have_no_retries() {
    let servers = "[{port: {number: 443, name: tls, protocol: TLS}, hosts: ['*'], tls: {mode: PASSTHROUGH}}]";
    let spec = "{hosts: [pay.example], gateways: [istio-system/edge], tls: [{match: [{sniHosts: [pay.example]}], route: [{destination: {host: payments.pay.svc.cluster.local, port: {number: 80}}}]}]}";
    let lowered = lower(&format!("{}{}", gateway(servers), vs("pay", "t", spec)));
    assert_eq!(
        routes(&lowered, "pay.example"),
        ["prefix  -> outbound|80||payments.pay~ timeout=0s no-retries"],
        "RT-22"
    );
}

#[test]
fn servers_of_one_port_are_told_apart_by_name() {
    let server = |protocol: &str, hosts: &str, tls: &str| {
        format!("{{port: {{number: 443, name: {}, protocol: {protocol}}}, hosts: [{hosts}], tls: {tls}}}", hosts.len())
    };
    let simple = "{mode: SIMPLE, credentialName: c}";
    let servers = [
        server("HTTPS", "a.example", simple),
        server("HTTPS", "'*.example'", "{mode: MUTUAL, credentialName: d}"),
        server("TLS", "pass.example", "{mode: PASSTHROUGH}"),
    ];
    let http = |name: &str, host: &str, to: &str| {
        vs(
            "shop",
            name,
            &format!(
                "{{hosts: ['{host}'], gateways: [istio-system/edge], http: [{{route: [{{destination: {{host: {to}}}}}]}}]}}"
            ),
        )
    };
    let tls = |name: &str, host: &str, sni: &str| {
        vs(
            "shop",
            name,
            &format!(
                "{{hosts: [{host}], gateways: [istio-system/edge], tls: [{{match: [{{sniHosts: [{sni}]}}], route: [{{destination: {{host: payments.pay.svc.cluster.local}}}}]}}]}}"
            ),
        )
    };
    let lowered = lower(&format!(
        "{}{}{}{}{}",
        gateway(&format!("[{}]", servers.join(", "))),
        http("a", "a.example", "reviews"),
        http("b", "b.example", "ratings"),
        tls("p", "pass.example", "pass.example"),
        // No server passes connections for it on.
        tls("q", "a.example", "a.example"),
    ));
    let shown = |sni: Option<&str>, is_connection: bool| {
        let place = lowered.provenance.gateway_listener(443, sni, is_connection).unwrap();
        let listener = &lowered.config.listeners[place];
        let hosts: Vec<&str> =
            listener.route_config.virtual_hosts.iter().flat_map(|host| &host.domains).map(String::as_str).collect();
        format!("{:?} {}", listener.tls.mode, hosts.join(" "))
    };
    for (case, sni, is_connection, expect) in [
        ("no name", None, false, "Simple a.example b.example"),
        ("the exact name", Some("a.example"), false, "Simple a.example"),
        ("the wildcard", Some("b.example"), false, "Strict a.example b.example"),
        ("no server of that name", Some("c.other"), false, "Simple a.example b.example"),
        ("passed on", Some("pass.example"), true, "Plaintext pass.example"),
    ] {
        assert_eq!(shown(sni, is_connection), expect, "GW-1 {case}");
    }
}

#[test]
fn in2_traffic_out_through_a_gateway_needs_both_rules() {
    let entry = "apiVersion: networking.istio.io/v1\nkind: ServiceEntry\nmetadata: {name: api, namespace: shop}\nspec: {hosts: [api.example], resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}\n---\n";
    let servers = "[{port: {number: 80, name: http, protocol: HTTP}, hosts: [api.example]}]";
    let through = "{match: [{gateways: [mesh], port: 80}], route: [{destination: {host: istio-ingressgateway.istio-system.svc.cluster.local, port: {number: 80}}}]}";
    let out = "{match: [{gateways: [istio-system/edge], port: 80}], route: [{destination: {host: api.example}}]}";
    for (case, rules, of_client, of_gateway) in [
        (
            "both",
            format!("{through}, {out}"),
            Some("outbound|80||istio-ingressgateway.istio-system~"),
            Some("outbound|80||api.example"),
        ),
        (
            "only out of the gateway: clients go past it",
            out.to_owned(),
            Some("outbound|80||api.example"),
            Some("outbound|80||api.example"),
        ),
        (
            "only to the gateway: it answers 404",
            through.to_owned(),
            Some("outbound|80||istio-ingressgateway.istio-system~"),
            None,
        ),
    ] {
        let spec = format!("{{hosts: [api.example], gateways: [mesh, istio-system/edge], http: [{rules}]}}");
        let manifests = format!("{entry}{}{}", gateway(servers), vs("shop", "egress", &spec));
        let mesh = mesh(&manifests);
        let first = |lowered: &Lowered, domain: &str| {
            let hosts = lowered.config.listeners.iter().flat_map(|listener| &listener.route_config.virtual_hosts);
            let mut own = hosts.filter(|host| host.domains.iter().any(|known| known == domain));
            let route = own.find_map(|host| host.routes.first()).map(crate::fixture::show_route);
            route.map(|route| route.split_whitespace().nth(3).unwrap().to_owned())
        };
        let client = crate::fixture::outbound(&mesh, "shop/web", "shop/api", 80);
        assert_eq!(first(&client, "api.example").as_deref(), of_client, "IN-2 {case}");
        let edge = checked(mesh.gateway(workload(&mesh, "istio-system/istio-ingressgateway")));
        assert_eq!(first(&edge, "api.example").as_deref(), of_gateway, "IN-2 {case}");
    }
}
