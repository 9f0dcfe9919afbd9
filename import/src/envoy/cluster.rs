//! Clusters and endpoints of a dump.

use meshproof_model::{Located, proxy::config};

use super::{count, duration, socket};
use crate::field::Field;

/// Reads a cluster; without a name it is none.
pub(super) fn read(field: &Field<'_>) -> Option<Located<config::Cluster>> {
    let mut cluster = config::Cluster::new(field.text_at("name")?, Vec::new());
    cluster.connect_timeout = duration(field, "connect_timeout");
    cluster.lb_policy = match field.text_at("lb_policy").as_deref() {
        Some("LEAST_REQUEST") => config::LbPolicy::LeastRequest(config::LeastRequest::default()),
        Some("RANDOM") => config::LbPolicy::Random,
        Some("RING_HASH") => config::LbPolicy::RingHash { minimum_ring_size: None, maximum_ring_size: None },
        Some("MAGLEV") => config::LbPolicy::Maglev { table_size: None },
        Some("CLUSTER_PROVIDED") => config::LbPolicy::OriginalDst,
        _ => config::LbPolicy::RoundRobin,
    };
    let breakers = field.get("circuit_breakers");
    cluster.thresholds = breakers.into_iter().flat_map(|b| b.list("thresholds")).map(|t| thresholds(&t)).collect();
    cluster.outlier_detection = field.get("outlier_detection").map(|outlier| outlier_detection(&outlier));
    cluster.hosts = field.get("load_assignment").map(|endpoints| hosts(&endpoints)).unwrap_or_default();
    Some(field.located(cluster))
}

fn thresholds(field: &Field<'_>) -> config::Thresholds {
    let is_high = field.text_at("priority").is_some_and(|priority| priority == "HIGH");
    config::Thresholds {
        priority: if is_high { config::RoutingPriority::High } else { config::RoutingPriority::Default },
        max_connections: count(field, "max_connections"),
        max_pending_requests: count(field, "max_pending_requests"),
        max_requests: count(field, "max_requests"),
        max_retries: count(field, "max_retries"),
        ..config::Thresholds::default()
    }
}

fn outlier_detection(field: &Field<'_>) -> config::OutlierDetection {
    config::OutlierDetection {
        consecutive_5xx: count(field, "consecutive_5xx"),
        enforcing_consecutive_5xx: count(field, "enforcing_consecutive_5xx"),
        consecutive_gateway_failure: count(field, "consecutive_gateway_failure"),
        enforcing_consecutive_gateway_failure: count(field, "enforcing_consecutive_gateway_failure"),
        interval: duration(field, "interval"),
        base_ejection_time: duration(field, "base_ejection_time"),
        max_ejection_percent: count(field, "max_ejection_percent"),
        ..config::OutlierDetection::default()
    }
}

/// The endpoints of a cluster, in order.
pub(super) fn hosts(field: &Field<'_>) -> Vec<config::Host> {
    let mut hosts = Vec::new();
    for locality in field.list("endpoints") {
        let priority = count(&locality, "priority").unwrap_or(0);
        for entry in locality.list("lb_endpoints") {
            let Some(address) = entry.get("endpoint").and_then(|end| end.get("address")) else { continue };
            let address = socket(&address);
            let mut host = config::Host::new(address.clone(), address);
            host.priority = priority;
            host.weight = count(&entry, "load_balancing_weight").unwrap_or(1).max(1);
            host.health = match entry.text_at("health_status").as_deref() {
                Some("UNHEALTHY" | "DRAINING" | "TIMEOUT") => config::HostHealth::Unhealthy,
                Some("DEGRADED") => config::HostHealth::Degraded,
                _ => config::HostHealth::Healthy,
            };
            hosts.push(host);
        }
    }
    hosts
}
