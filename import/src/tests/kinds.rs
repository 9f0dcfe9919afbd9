//! Each kind's fields, with their places.

use meshproof_model::{
    Protocol, Resolution, TargetPort,
    istio::{AbortStatus, AuthorizationAction, ClientTlsMode, HashKey, MtlsMode, SimpleLb, StringMatch},
};

use super::{VIRTUAL_SERVICE, place, read_clean, show};

#[test]
fn a_virtual_service_is_read_to_its_leaves() {
    let text = format!(
        "{VIRTUAL_SERVICE}  hosts: [reviews, reviews.example.com]
  gateways: [mesh]
  exportTo: [.]
  http:
  - name: first
    match:
    - uri: {{prefix: /a}}
      ignoreUriCase: true
      headers: {{x-user: {{exact: jason}}, x-any: {{}}}}
      withoutHeaders: {{x-no: {{regex: .*}}}}
      queryParams: {{q: {{exact: '1'}}}}
      method: {{exact: GET}}
      port: 9080
      sourceLabels: {{app: web}}
    route:
    - destination: {{host: reviews, subset: v1, port: {{number: 80}}}}
      weight: 90
      headers: {{request: {{set: {{x: v}}, remove: [z]}}}}
    - destination: {{host: reviews}}
      weight: 10
    timeout: 1m30s
    retries: {{attempts: 3, perTryTimeout: 2s, retryOn: '5xx,reset', backoff: 50ms, retryRemoteLocalities: true}}
    fault:
      delay: {{fixedDelay: 5s, percentage: {{value: 0.5}}}}
      abort: {{httpStatus: 503}}
    mirror: {{host: shadow}}
    mirrorPercentage: {{value: 25}}
    rewrite: {{uri: /b}}
  - redirect: {{uri: /x, redirectCode: 302}}
  - directResponse: {{status: 404, body: {{string: gone}}}}
  - delegate: {{name: d, namespace: other}}
  tls:
  - match: [{{port: 443, sniHosts: [a.example]}}]
    route: [{{destination: {{host: a}}}}]
  tcp:
  - route: [{{destination: {{host: b, port: {{number: 5432}}}}}}]
"
    );
    let mesh = super::read(&text).mesh;
    assert_eq!(mesh.unmodelled, []);
    let vs = &mesh.virtual_services[0];
    assert_eq!((vs.meta.resource.to_string(), place(&vs.meta.at)), ("VirtualService shop/r".into(), "1:1 ".into()));
    assert_eq!(show(vs.hosts.first()), "\"reviews\" @ 5:11 spec.hosts[0]");
    assert_eq!((vs.gateways.len(), vs.export_to.len()), (1, 1));
    let rule = &vs.http[0];
    assert_eq!(place(&rule.at), "9:5 spec.http[0]");
    let block = &rule.matches[0];
    assert_eq!(show(block.uri.as_ref()), "Prefix(\"/a\") @ 11:7 spec.http[0].match[0].uri");
    assert_eq!(block.headers[1].1.value, StringMatch::Present);
    assert_eq!(block.without_headers[0].1.value, StringMatch::Regex(".*".into()));
    assert_eq!(block.query_params[0].1.value, StringMatch::Exact("1".into()));
    assert_eq!(
        (show(block.port.as_ref()), block.ignore_uri_case),
        ("9080 @ 17:7 spec.http[0].match[0].port".into(), true)
    );
    assert_eq!(block.source_labels["app"], "web");
    let to = &rule.route[0];
    assert_eq!(show(to.weight.as_ref()), "90 @ 21:7 spec.http[0].route[0].weight");
    assert_eq!(show(to.subset.as_ref()), "\"v1\" @ 20:36 spec.http[0].route[0].destination.subset");
    assert_eq!(show(to.port.as_ref()), "80 @ 20:55 spec.http[0].route[0].destination.port.number");
    assert_eq!(to.headers.request.set, [("x".to_owned(), "v".to_owned())]);
    assert_eq!(to.headers.request.remove, ["z"]);
    assert_eq!(show(rule.timeout.as_ref()), "Nanos(90000000000) @ 25:5 spec.http[0].timeout");
    let retries = rule.retries.as_ref().unwrap();
    assert_eq!(show(retries.attempts.as_ref()), "3 @ 26:15 spec.http[0].retries.attempts");
    assert_eq!(show(retries.per_try_timeout.as_ref()), "Nanos(2000000000) @ 26:28 spec.http[0].retries.perTryTimeout");
    assert_eq!(retries.retry_remote_localities.as_ref().map(|r| r.value), Some(true));
    assert_eq!(retries.backoff.as_ref().map(|b| b.value.as_millis()), Some(50));
    let fault = rule.fault.as_ref().unwrap();
    assert_eq!(fault.delay.map(|(delay, ppm)| (delay.as_millis(), ppm)), Some((5000, 5000)));
    assert_eq!(fault.abort, Some((AbortStatus::Http(503), 0)), "RT-18: no percentage is never");
    assert_eq!((rule.mirrors[0].destination.host.value.as_str(), rule.mirrors[0].percentage), ("shadow", 250_000));
    assert_eq!(rule.rewrite.as_ref().and_then(|r| r.uri.as_deref()), Some("/b"));
    assert_eq!(vs.http[1].redirect.as_ref().and_then(|r| r.redirect_code), Some(302));
    assert_eq!(vs.http[2].direct_response.as_ref().map(|d| (d.status, d.body.as_str())), Some((404, "gone")));
    assert_eq!(vs.http[3].delegate.as_ref().map(|d| d.name.value.as_str()), Some("d"));
    assert_eq!(vs.tls[0].matches[0].sni_hosts[0].value, "a.example");
    assert_eq!(vs.tcp[0].route[0].port.as_ref().map(|p| p.value), Some(5432));
}

#[test]
fn retries_without_attempts_and_a_timeout_of_zero_are_kept_apart_from_absence() {
    let rule = "  hosts: [a]\n  http:\n  - route: [{destination: {host: a}}]\n";
    let text = format!("{VIRTUAL_SERVICE}{rule}    retries: {{perTryTimeout: 2s}}\n");
    let mesh = super::read(&text).mesh;
    let retries = mesh.virtual_services[0].http[0].retries.clone().unwrap();
    assert_eq!((retries.attempts, retries.per_try_timeout.map(|t| t.value.as_millis())), (None, Some(2000)));
    let imported = super::read(&format!("{VIRTUAL_SERVICE}{rule}    timeout: 0s\n"));
    assert!(imported.mesh.virtual_services[0].http[0].timeout.as_ref().unwrap().value.is_zero());
    let [finding] = imported.findings.as_slice() else { panic!("the admission refuses it") };
    assert_eq!((finding.rule.code, finding.severity), ("MP0105", meshproof_model::Severity::Warning));
}

#[test]
fn a_destination_rule_is_read_to_its_leaves() {
    let text = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d}
spec:
  host: reviews
  exportTo: ['*']
  workloadSelector: {matchLabels: {app: web}}
  trafficPolicy:
    loadBalancer:
      consistentHash: {httpHeaderName: x-user, ringHash: {minimumRingSize: 64}}
      localityLbSetting: {enabled: true, failover: [{from: a, to: b}]}
    connectionPool:
      tcp: {maxConnections: 10, connectTimeout: 30ms, idleTimeout: 0s}
      http: {http1MaxPendingRequests: 1, http2MaxRequests: 2, maxRetries: 3, maxRequestsPerConnection: 4, h2UpgradePolicy: UPGRADE}
    outlierDetection: {consecutive5xxErrors: 0, interval: 5s, maxEjectionPercent: 50, splitExternalLocalOriginErrors: true}
    tls: {mode: ISTIO_MUTUAL}
    portLevelSettings:
    - port: {number: 9080}
      loadBalancer: {simple: ROUND_ROBIN, warmup: {duration: 10s}}
    retryBudget: {percent: 12.5, minRetryConcurrency: 5}
  subsets:
  - name: v1
    labels: {version: v1}
    trafficPolicy: {loadBalancer: {simple: LEAST_CONN}}
  - name: v2
    labels: {version: v2}
";
    let mesh = super::read(text).mesh;
    assert_eq!(mesh.unmodelled, []);
    let rule = &mesh.destination_rules[0];
    assert_eq!(show(Some(&rule.host)), "\"reviews\" @ 5:3 spec.host");
    assert_eq!(rule.workload_selector["app"], "web");
    let policy = rule.traffic_policy.as_ref().unwrap();
    let balancer = policy.load_balancer.as_ref().unwrap();
    let hash = balancer.consistent_hash.as_ref().unwrap();
    assert_eq!(
        (hash.key.clone(), hash.minimum_ring_size, hash.maglev),
        (HashKey::Header("x-user".into()), Some(64), None)
    );
    assert_eq!(balancer.locality.as_ref().unwrap().failover, [("a".to_owned(), "b".to_owned())]);
    let pool = policy.connection_pool.as_ref().unwrap();
    assert_eq!(show(pool.max_connections.as_ref()), "10 @ 13:13 spec.trafficPolicy.connectionPool.tcp.maxConnections");
    assert_eq!(pool.connect_timeout.as_ref().map(|t| t.value.as_millis()), Some(30));
    assert_eq!(pool.max_retries.as_ref().map(|r| r.value), Some(3));
    assert_eq!(pool.h2_upgrade.as_ref().map(|u| u.value), Some(true));
    let outlier = policy.outlier_detection.as_ref().unwrap();
    assert_eq!(outlier.consecutive_5xx_errors.as_ref().map(|e| e.value), Some(0));
    assert_eq!(outlier.max_ejection_percent.as_ref().map(|e| e.value), Some(50));
    assert_eq!(policy.tls.as_ref().map(|tls| tls.mode.value), Some(ClientTlsMode::IstioMutual));
    let (port, level) = &policy.port_level[0];
    assert_eq!(port.value, 9080);
    let level = level.load_balancer.as_ref().unwrap();
    assert_eq!(level.simple.as_ref().map(|s| s.value), Some(SimpleLb::RoundRobin));
    assert_eq!(level.warmup.as_ref().map(|w| w.value.as_millis()), Some(10_000));
    let budget = policy.retry_budget.as_ref().unwrap();
    assert_eq!(budget.percent.as_ref().map(|p| p.value), Some(125_000));
    let subset = &rule.subsets[0];
    assert_eq!(
        (show(Some(&subset.name)).as_str(), &*subset.labels["version"]),
        ("\"v1\" @ 22:5 spec.subsets[0].name", "v1")
    );
    let subset = subset.traffic_policy.as_ref().unwrap().load_balancer.as_ref().unwrap();
    assert_eq!(subset.simple.as_ref().map(|s| s.value), Some(SimpleLb::LeastRequest));
}

#[test]
fn gateways_and_policies_are_read_to_their_leaves() {
    let text = "apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: g, namespace: shop}
spec:
  selector: {app: edge}
  servers:
  - port: {number: 443, name: https, protocol: HTTPS}
    hosts: [shop/*.example.com]
    tls: {mode: SIMPLE, credentialName: cert}
  - port: {number: 80, name: http, protocol: HTTP}
    hosts: ['*']
    tls: {httpsRedirect: true}
---
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata: {name: p, namespace: shop}
spec:
  selector: {matchLabels: {app: pay}}
  mtls: {mode: STRICT}
  portLevelMtls:
    8080: {mode: DISABLE}
    9090: {mode: UNSET}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: a, namespace: shop, annotations: {istio.io/dry-run: 'true'}}
spec:
  action: DENY
  rules:
  - from: [{source: {principals: [x], notNamespaces: [default]}}]
    to: [{operation: {methods: [GET], notPaths: [/a], ports: ['80']}}]
    when: [{key: 'request.headers[x]', values: [v]}]
  - {}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: nothing, namespace: shop}
spec: {}
";
    let mesh = read_clean(text).mesh;
    let gateway = &mesh.gateways[0];
    let server = &gateway.servers[0];
    assert_eq!((server.port.value, server.protocol.value.as_str(), server.port_name.as_str()), (443, "HTTPS", "https"));
    assert_eq!(server.tls.as_ref().and_then(|tls| tls.mode.as_ref()).map(|mode| mode.value.as_str()), Some("SIMPLE"));
    assert!(gateway.servers[1].tls.as_ref().unwrap().https_redirect);
    let peer = &mesh.peer_authentications[0];
    assert_eq!(show(peer.mode.as_ref()), "Strict @ 19:10 spec.mtls.mode");
    let ports: Vec<_> = peer.port_level.iter().map(|(port, mode)| (port.value, *mode)).collect();
    assert_eq!(ports, [(8080, Some(MtlsMode::Disable)), (9090, None)]);
    let deny = &mesh.authorization_policies[0];
    assert_eq!((deny.action.value, deny.dry_run), (AuthorizationAction::Deny, true));
    assert_eq!(deny.rules[0].from[0].not_namespaces[0].value, "default");
    assert_eq!(deny.rules[0].to[0].ports[0].value, "80");
    assert_eq!(
        show(deny.rules[0].when.first().map(|w| &w.key)),
        "\"request.headers[x]\" @ 32:13 spec.rules[0].when[0].key"
    );
    assert_eq!(deny.rules[1].from.len() + deny.rules[1].to.len(), 0);
    let nothing = &mesh.authorization_policies[1];
    assert_eq!((nothing.action.value, nothing.rules.len()), (AuthorizationAction::Allow, 0), "AZ-3: allows nothing");
}

#[test]
fn services_and_entries_become_hosts() {
    let text = "apiVersion: v1
kind: Service
metadata: {name: a, namespace: shop}
spec:
  selector: {app: a}
  ports:
  - {port: 80, targetPort: web, name: http-web}
  - {port: 5432}
---
apiVersion: v1
kind: Service
metadata: {name: h, namespace: shop}
spec: {clusterIP: None, ports: [{port: 7, protocol: UDP}]}
---
apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: e, namespace: shop}
spec:
  hosts: [api.example.com, www.example.com]
  location: MESH_EXTERNAL
  resolution: DNS
  ports: [{number: 443, name: tls, protocol: TLS}, {number: 80, name: http, protocol: HTTP, targetPort: 8080}]
";
    let mesh = read_clean(text).mesh;
    let hosts: Vec<_> = mesh.services.iter().map(|s| (s.host.as_str(), s.external, s.resolution)).collect();
    assert_eq!(
        hosts,
        [
            ("a.shop.svc.cluster.local", false, Resolution::Balanced),
            ("h.shop.svc.cluster.local", false, Resolution::Passthrough),
            ("api.example.com", true, Resolution::Dns),
            ("www.example.com", true, Resolution::Dns),
        ]
    );
    let ports: Vec<_> = mesh.services[0].ports.iter().map(|p| (p.target.clone(), p.protocol)).collect();
    assert_eq!(ports, [(TargetPort::Name("web".into()), Protocol::Http), (TargetPort::Number(5432), Protocol::Auto)]);
    assert_eq!(mesh.services[1].ports[0].protocol, Protocol::Udp);
    assert_eq!(mesh.services[2].ports[0].protocol, Protocol::Tls);
    assert_eq!(mesh.services[2].ports[1].target, TargetPort::Number(8080));
}

#[test]
fn workloads_come_from_every_kind_with_pods() {
    let pod = "metadata: {labels: {app: x}}, spec: {serviceAccountName: sa, containers: [{name: c, \
               image: i, ports: [{name: p, containerPort: 8080}], env: [{name: A, value: b}]}]}";
    let rows = [
        ("apps/v1", "Deployment", format!("{{replicas: 3, template: {{{pod}}}}}"), 3),
        ("apps/v1", "StatefulSet", format!("{{replicas: 2, template: {{{pod}}}}}"), 2),
        ("apps/v1", "DaemonSet", format!("{{template: {{{pod}}}}}"), 1),
        ("batch/v1", "Job", format!("{{parallelism: 4, template: {{{pod}}}}}"), 4),
        ("batch/v1", "CronJob", format!("{{schedule: x, jobTemplate: {{spec: {{template: {{{pod}}}}}}}}}"), 1),
        ("argoproj.io/v1alpha1", "Rollout", format!("{{replicas: 5, template: {{{pod}}}}}"), 5),
    ];
    for (api, kind, spec, replicas) in rows {
        let text = format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: w, namespace: ns}}\nspec: {spec}\n");
        let mesh = read_clean(&text).mesh;
        let [workload] = mesh.workloads.as_slice() else { panic!("{kind}") };
        assert_eq!((workload.replicas.value, workload.service_account.value.as_str()), (replicas, "sa"), "{kind}");
        assert_eq!((&*workload.labels["app"], workload.ports[0].number), ("x", 8080), "{kind}");
        assert_eq!((workload.env[0].0.as_str(), workload.env[0].1.value.as_str()), ("A", "b"), "{kind}");
    }
    let text = "apiVersion: v1\nkind: Pod\nmetadata: {name: w, labels: {app: x}}\nspec: {containers: [{name: c}]}\n";
    let mesh = read_clean(text).mesh;
    let workload = &mesh.workloads[0];
    assert_eq!(
        (&*workload.labels["app"], workload.service_account.value.as_str(), workload.replicas.value),
        ("x", "default", 1)
    );
}

#[test]
fn the_mesh_config_is_read_where_it_stands() {
    let text = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  meshNetworks: 'networks: {}'
  mesh: |-
    trustDomain: example.org
    enableAutoMtls: false
    outboundTrafficPolicy:
      mode: REGISTRY_ONLY
    defaultHttpRetryPolicy: {attempts: 5}
    accessLogFile: /dev/stdout
";
    let mesh = read_clean(text).mesh;
    let origin = |o: &meshproof_model::Origin| o.location().map(place).unwrap_or_default();
    let settings = &mesh.settings;
    assert_eq!(settings.trust_domain.value, "example.org");
    assert_eq!(origin(&settings.trust_domain.origin), "7:5 data.mesh.trustDomain");
    assert_eq!((settings.enable_auto_mtls.value, settings.outbound_allow_any.value), (false, false));
    let retries = settings.default_http_retry_policy.as_ref().unwrap();
    assert_eq!(show(retries.attempts.as_ref()), "5 @ 11:30 data.mesh.defaultHttpRetryPolicy.attempts");
    let unmodelled: Vec<_> = mesh.unmodelled.iter().map(|u| place(&u.at)).collect();
    assert_eq!(unmodelled, ["1:1 ", "12:5 data.mesh.accessLogFile"]);
    let text =
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\nspec:\n  meshConfig:\n    rootNamespace: mesh\n";
    let mesh = read_clean(text).mesh;
    assert_eq!(mesh.settings.root_namespace.value, "mesh");
}

#[test]
fn the_mesh_config_is_checked_too() {
    let text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    \
                enableAutoMTLS: true\n    defaultHttpRetryPolicy: {attempt: 1}\n    connectTimeout: soon\n";
    assert_eq!(
        super::findings(&super::read(text)),
        [
            "MP0103 6:5 `enableAutoMTLS` is not a field of MeshConfig",
            "MP0103 7:30 `attempt` is not a field of MeshConfig `data.mesh.defaultHttpRetryPolicy`",
            "MP0105 8:5 `connectTimeout` is a duration, and `soon` is none",
        ]
    );
}
