//! Envoy's own dumps: what they hold, in the words of the proxy core.

use meshproof_model::proxy::{
    Table,
    config::{Action, ClusterSpecifier, Config, LbPolicy, Listener, PathMatcher},
};

use super::{place, read_clean};

const DUMP: &str = r#"{"configs": [
 {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {"node": {"id": "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local"}}},
 {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [
  {"cluster": {"@type": "x", "name": "outbound|80||a.shop.svc.cluster.local", "type": "EDS", "connect_timeout": "10s", "lb_policy": "LEAST_REQUEST",
   "circuit_breakers": {"thresholds": [{"max_connections": 4294967295, "max_retries": 3}]}, "outlier_detection": {"consecutive_5xx": 5, "interval": "10s"}}}]},
 {"@type": "type.googleapis.com/envoy.admin.v3.ListenersConfigDump", "dynamic_listeners": [
  {"active_state": {"listener": {"name": "0.0.0.0_80", "address": {"socket_address": {"address": "0.0.0.0", "port_value": 80}}}}}]},
 {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": [{"route_config": {"name": "80", "virtual_hosts": [
  {"name": "a", "domains": ["a", "a.shop"], "routes": [
   {"match": {"path_separated_prefix": "/x", "headers": [{"name": "X-User", "string_match": {"exact": "j"}}]}, "route": {"weighted_clusters": {"clusters": [
     {"name": "outbound|80||a.shop.svc.cluster.local", "weight": 9}, {"name": "outbound|80||a.shop.svc.cluster.local", "weight": 1}]}, "timeout": "2s",
     "retry_policy": {"retry_on": "connect-failure,retriable-status-codes", "num_retries": 2, "retriable_status_codes": [503]}}},
   {"match": {"prefix": "/old"}, "redirect": {"path_redirect": "/new", "response_code": "FOUND"}},
   {"match": {"prefix": "/"}, "direct_response": {"status": 404}}]}]}}]},
 {"@type": "type.googleapis.com/envoy.admin.v3.EndpointsConfigDump", "dynamic_endpoint_configs": [{"endpoint_config": {
  "cluster_name": "outbound|80||a.shop.svc.cluster.local", "endpoints": [{"lb_endpoints": [
   {"endpoint": {"address": {"socket_address": {"address": "10.0.0.7", "port_value": 8080}}}, "health_status": "HEALTHY", "load_balancing_weight": 2}]}]}}]}
]}"#;

#[test]
fn a_dump_is_read_into_the_proxys_words() {
    let mesh = read_clean(DUMP).mesh;
    let dump = &mesh.envoy_dumps[0];
    assert!(dump.node.as_ref().is_some_and(|node| node.value.starts_with("sidecar~")));
    let cluster = &dump.clusters[0];
    assert_eq!(place(&cluster.at), "4:4 configs[1].dynamic_active_clusters[0].cluster");
    assert_eq!((cluster.value.hosts[0].address.as_str(), cluster.value.hosts[0].weight), ("10.0.0.7:8080", 2));
    assert!(matches!(cluster.value.lb_policy, LbPolicy::LeastRequest(_)));
    assert_eq!(
        (cluster.value.thresholds[0].max_connections, cluster.value.thresholds[0].max_retries),
        (Some(u32::MAX), Some(3))
    );
    assert_eq!(dump.listeners[0].1, "0.0.0.0:80");
    let (name, routes) = (&dump.routes[0].name, &dump.routes[0].config);
    assert_eq!(place(&dump.routes[0].places[1]).split(' ').next(), Some("13:5"));
    assert_eq!((name.value.as_str(), routes.virtual_hosts[0].routes.len()), ("80", 3));
    let first = &routes.virtual_hosts[0].routes[0];
    assert_eq!(first.matches.path, PathMatcher::PathSeparatedPrefix("/x".into()));
    let Action::Forward(action) = &first.action else { panic!() };
    assert!(matches!(&action.cluster, ClusterSpecifier::Weighted(clusters) if clusters[0].weight == 9));
    assert_eq!(action.retry.as_ref().map(|retry| retry.retriable_status_codes.clone()), Some(vec![503]));
    let listener = Listener { route_config: routes.clone(), ..Listener::default() };
    let clusters = dump.clusters.iter().map(|cluster| cluster.value.clone()).collect();
    Table::compile(&Config { listeners: vec![listener], clusters, zone: None }).unwrap();
    let reasons: Vec<&str> = mesh.unmodelled.iter().map(|gap| &*gap.reason).collect();
    assert!(
        reasons.iter().any(|reason| reason.contains("1 clusters, 1 route configurations and 1 listeners")),
        "{reasons:?}"
    );
    assert!(reasons.iter().any(|reason| reason.contains("cluster.type")), "what is not read is named: {reasons:?}");
}
