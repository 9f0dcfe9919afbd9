//! Istio: networking.v1.DestinationRule.

use meshproof_model::{
    Located,
    istio::{
        ClientTls, ClientTlsMode, ConnectionPool, ConsistentHash, DestinationRule, HashKey, LoadBalancer, LocalityLb,
        OutlierDetection, RetryBudget, SimpleLb, Subset, TrafficPolicy,
    },
};

use crate::{cx::Cx, duration::go_duration, field::Field, object::Object};

/// Reads one; without a host it says nothing.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<DestinationRule> {
    let spec = object.get("spec")?;
    Some(DestinationRule {
        meta: object.meta.clone(),
        host: spec.located_text("host")?,
        traffic_policy: spec.get("trafficPolicy").map(|policy| traffic_policy(&policy, cx)),
        subsets: spec.read_list("subsets", |subset| self::subset(&subset, cx)),
        export_to: spec.texts("exportTo"),
        workload_selector: Cx::match_labels(&spec, "workloadSelector"),
    })
}

fn subset(field: &Field<'_>, cx: &mut Cx) -> Option<Subset> {
    Some(Subset {
        name: field.located_text("name")?,
        labels: field.labels_at("labels"),
        traffic_policy: field.get("trafficPolicy").map(|policy| Box::new(traffic_policy(&policy, cx))),
    })
}

/// Reads a `trafficPolicy`.
pub(crate) fn traffic_policy(field: &Field<'_>, cx: &mut Cx) -> TrafficPolicy {
    let mut port_level = Vec::new();
    for entry in field.list("portLevelSettings") {
        if let Some(port) = entry.get("port").and_then(|port| cx.port(&port, "number")) {
            port_level.push((port, blocks(&entry, cx)));
        }
    }
    TrafficPolicy {
        port_level,
        retry_budget: field.get("retryBudget").map(|budget| retry_budget(&budget, cx)),
        ..blocks(field, cx)
    }
}

/// The four blocks that a port's settings have too (`DR-6`).
fn blocks(field: &Field<'_>, cx: &mut Cx) -> TrafficPolicy {
    TrafficPolicy {
        at: Some(field.at()),
        load_balancer: field.get("loadBalancer").map(|lb| load_balancer(&lb, cx)),
        connection_pool: field.get("connectionPool").map(|pool| connection_pool(&pool, cx)),
        outlier_detection: field.get("outlierDetection").map(|outlier| outlier_detection(&outlier, cx)),
        tls: field.get("tls").and_then(|tls| client_tls(&tls)),
        port_level: Vec::new(),
        retry_budget: None,
    }
}

fn load_balancer(field: &Field<'_>, cx: &mut Cx) -> LoadBalancer {
    const SIMPLE: &[(&str, SimpleLb)] = &[
        ("LEAST_REQUEST", SimpleLb::LeastRequest),
        ("LEAST_CONN", SimpleLb::LeastRequest),
        ("UNSPECIFIED", SimpleLb::LeastRequest),
        ("ROUND_ROBIN", SimpleLb::RoundRobin),
        ("RANDOM", SimpleLb::Random),
        ("PASSTHROUGH", SimpleLb::Passthrough),
    ];
    let warmup = field.get("warmup").and_then(|warmup| cx.duration(&warmup, "duration"));
    LoadBalancer {
        at: field.at(),
        simple: Cx::word(field, "simple", SIMPLE),
        consistent_hash: field.get("consistentHash").and_then(|hash| consistent_hash(&hash)),
        locality: field.get("localityLbSetting").map(|locality| locality_lb(&locality)),
        warmup: warmup.or_else(|| cx.duration(field, "warmupDurationSecs")),
    }
}

fn consistent_hash(field: &Field<'_>) -> Option<ConsistentHash> {
    let size = |object: &'static str, key: &'static str| {
        let field = if object.is_empty() { Some(field.clone()) } else { field.get(object) };
        field.and_then(|f| f.get(key)?.int()).and_then(|n| u64::try_from(n).ok())
    };
    let cookie = || {
        let cookie = field.get("httpCookie")?;
        let ttl = cookie.text_at("ttl").and_then(|ttl| go_duration(&ttl));
        Some(HashKey::Cookie(cookie.text_at("name")?, ttl))
    };
    let key = (field.text_at("httpHeaderName").map(HashKey::Header))
        .or_else(cookie)
        .or_else(|| field.bool_at("useSourceIp").filter(|on| *on).map(|_| HashKey::SourceIp))
        .or_else(|| field.text_at("httpQueryParameterName").map(HashKey::QueryParameter))?;
    let maglev = field.has("maglev").then(|| size("maglev", "tableSize").unwrap_or(65_537));
    let minimum_ring_size = size("ringHash", "minimumRingSize").or_else(|| size("", "minimumRingSize"));
    Some(ConsistentHash { at: field.at(), key, maglev, minimum_ring_size })
}

pub(super) fn locality_lb(field: &Field<'_>) -> LocalityLb {
    let failover = |entry: Field<'_>| Some((entry.text_at("from")?, entry.text_at("to")?));
    LocalityLb {
        at: field.at(),
        enabled: field.bool_at("enabled"),
        distribute: field.read_list("distribute", |entry| distribution(&entry)),
        failover: field.read_list("failover", failover),
        failover_priority: field.texts("failoverPriority").into_iter().map(|label| label.value).collect(),
    }
}

/// Where requests from a locality go, in percent.
fn distribution(field: &Field<'_>) -> Option<(String, Vec<(String, u32)>)> {
    let to = field.get("to")?;
    let share = |(name, share): (&str, Field<'_>)| Some((name.to_owned(), u32::try_from(share.int()?).ok()?));
    Some((field.text_at("from")?, to.fields().filter_map(share).collect()))
}

pub(super) fn connection_pool(field: &Field<'_>, cx: &mut Cx) -> ConnectionPool {
    let mut pool = ConnectionPool { at: Some(field.at()), ..ConnectionPool::default() };
    if let Some(tcp) = field.get("tcp") {
        pool.max_connections = cx.count(&tcp, "maxConnections");
        pool.connect_timeout = cx.duration(&tcp, "connectTimeout");
        pool.tcp_idle_timeout = cx.duration(&tcp, "idleTimeout");
    }
    if let Some(http) = field.get("http") {
        pool.http1_max_pending_requests = cx.count(&http, "http1MaxPendingRequests");
        pool.http2_max_requests = cx.count(&http, "http2MaxRequests");
        pool.max_requests_per_connection = cx.count(&http, "maxRequestsPerConnection");
        pool.max_retries = cx.count(&http, "maxRetries");
        pool.idle_timeout = cx.duration(&http, "idleTimeout");
        pool.max_concurrent_streams = cx.count(&http, "maxConcurrentStreams");
        pool.h2_upgrade = Cx::word(&http, "h2UpgradePolicy", &[("UPGRADE", true), ("DO_NOT_UPGRADE", false)]);
    }
    pool
}

pub(super) fn outlier_detection(field: &Field<'_>, cx: &mut Cx) -> OutlierDetection {
    if let Some(errors) = field.get("consecutiveErrors") {
        let message = "`consecutiveErrors` has no effect";
        cx.ineffective(&errors, message, "use `consecutive5xxErrors` or `consecutiveGatewayErrors`");
    }
    let split = field.get("splitExternalLocalOriginErrors");
    OutlierDetection {
        at: field.at(),
        consecutive_5xx_errors: cx.count(field, "consecutive5xxErrors"),
        consecutive_gateway_errors: cx.count(field, "consecutiveGatewayErrors"),
        interval: cx.duration(field, "interval"),
        base_ejection_time: cx.duration(field, "baseEjectionTime"),
        max_ejection_percent: cx.percent(field, "maxEjectionPercent"),
        min_health_percent: cx.percent(field, "minHealthPercent"),
        split_external_local_origin_errors: split.and_then(|f| f.bool().map(|on| f.located(on))),
        consecutive_local_origin_failures: cx.count(field, "consecutiveLocalOriginFailures"),
    }
}

/// Without a mode the block is `DISABLE`, the enum's first word (`DR-17`).
fn client_tls(field: &Field<'_>) -> Option<ClientTls> {
    const MODES: &[(&str, ClientTlsMode)] = &[
        ("DISABLE", ClientTlsMode::Disable),
        ("SIMPLE", ClientTlsMode::Simple),
        ("MUTUAL", ClientTlsMode::Mutual),
        ("ISTIO_MUTUAL", ClientTlsMode::IstioMutual),
    ];
    let mode = match field.get("mode") {
        Some(_) => Cx::word(field, "mode", MODES)?,
        None => field.located(ClientTlsMode::Disable),
    };
    Some(ClientTls {
        at: field.at(),
        mode,
        sni: field.text_at("sni"),
        subject_alt_names: field.texts("subjectAltNames").into_iter().map(|name| name.value).collect(),
        credential_name: field.text_at("credentialName"),
    })
}

fn retry_budget(field: &Field<'_>, cx: &mut Cx) -> RetryBudget {
    let percent: Option<Located<u32>> = field.get("percent").and_then(|value| cx.share(&value));
    RetryBudget { at: field.at(), percent, min_retry_concurrency: cx.count(field, "minRetryConcurrency") }
}
