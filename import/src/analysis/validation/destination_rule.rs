//! `DestinationRules`. Istio: `ValidateDestinationRule`.

use super::{
    Found,
    common::{duration, export_to, match_labels, percent, subset_name},
    names,
};
use crate::analysis::{tree::Tree, world::Resource};

const BLOCKS: &[&str] = &["outlierDetection", "connectionPool", "loadBalancer", "tls"];

pub(super) fn check(rule: &Resource<'_>, found: &mut Found) {
    let spec = rule.spec;
    found.check("spec.host", names::wildcard_domain(spec.get("host").text()));
    policy(spec.get("trafficPolicy"), "spec.trafficPolicy", found);
    let mut seen = Vec::new();
    for (i, subset) in spec.list("subsets").enumerate() {
        let path = format!("spec.subsets[{i}]");
        if !subset.is_set() {
            found.error(path, "a subset may not be null");
            continue;
        }
        let name = subset.get("name").text();
        found.error_if(seen.contains(&name), &path, format_args!("the subset `{name}` is defined twice"));
        seen.push(name);
        found.check(&path, subset_name(name));
        for text in names::object_labels(&subset.get("labels").labels()) {
            found.error(path.clone(), text);
        }
        found.without_warnings(|found| policy(subset.get("trafficPolicy"), &format!("{path}.trafficPolicy"), found));
    }
    export_to(rule, false, spec.get("workloadSelector").is_set(), found);
    match_labels(spec.get("workloadSelector"), "spec.workloadSelector", found);
}

fn policy(policy: Tree<'_>, path: &str, found: &mut Found) {
    if !policy.is_set() {
        return;
    }
    let others = ["portLevelSettings", "tunnel", "proxyProtocol", "retryBudget"];
    if !BLOCKS.iter().chain(&others).any(|block| policy.get(block).is_set()) {
        return found.error(path, "a traffic policy needs at least one field");
    }
    if policy.get("tunnel").is_set() && policy.get("proxyProtocol").is_set() {
        return found.error(path, "`tunnel` and `proxyProtocol` must not be set together");
    }
    blocks(policy, path, found);
    found.without_warnings(|found| {
        for (i, level) in policy.list("portLevelSettings").enumerate() {
            let path = format!("{path}.portLevelSettings[{i}]");
            found.error_if(!level.get("port").is_set(), &path, "settings of a port need the port");
            if BLOCKS.iter().any(|block| level.get(block).is_set()) {
                blocks(level, &path, found);
            } else {
                found.error(path, "settings of a port need at least one field");
            }
        }
    });
    tunnel(policy.get("tunnel"), &format!("{path}.tunnel"), found);
}

fn blocks(policy: Tree<'_>, path: &str, found: &mut Found) {
    let outlier = policy.get("outlierDetection");
    outlier_detection(outlier, &format!("{path}.outlierDetection"), found);
    connection_pool(policy.get("connectionPool"), &format!("{path}.connectionPool"), found);
    load_balancer(policy.get("loadBalancer"), outlier, &format!("{path}.loadBalancer"), found);
    client_tls(policy.get("tls"), &format!("{path}.tls"), found);
}

fn outlier_detection(outlier: Tree<'_>, path: &str, found: &mut Found) {
    duration(outlier.get("baseEjectionTime"), path, found);
    if outlier.get("consecutiveErrors").int() != 0 {
        let text = "`consecutiveErrors` is deprecated: use `consecutiveGatewayErrors` or `consecutive5xxErrors`";
        found.warning(path, text);
    }
    let local = outlier.get("consecutiveLocalOriginFailures").int() > 0;
    let split = outlier.get("splitExternalLocalOriginErrors").bool();
    let text = "`consecutiveLocalOriginFailures` needs `splitExternalLocalOriginErrors: true`";
    found.error_if(local && !split, path, text);
    duration(outlier.get("interval"), path, found);
    percent(outlier.get("maxEjectionPercent"), path, found);
    percent(outlier.get("minHealthPercent"), path, found);
}

pub(super) fn connection_pool(pool: Tree<'_>, path: &str, found: &mut Found) {
    if !pool.is_set() {
        return;
    }
    let (http, tcp) = (pool.get("http"), pool.get("tcp"));
    if !http.is_set() && !tcp.is_set() {
        return found.error(path, "a connection pool needs at least one field");
    }
    let mut count = |tree: Tree<'_>, key: &str| {
        found.error_if(tree.get(key).int() < 0, path, format_args!("`{key}` must not be negative"));
    };
    for key in [
        "http1MaxPendingRequests",
        "http2MaxRequests",
        "maxRequestsPerConnection",
        "maxRetries",
        "maxConcurrentStreams",
    ] {
        count(http, key);
    }
    count(tcp, "maxConnections");
    duration(http.get("idleTimeout"), path, found);
    let both = http.get("h2UpgradePolicy").text() == "UPGRADE" && http.get("useClientProtocol").bool();
    found.error_if(both, path, "`useClientProtocol` and `h2UpgradePolicy: UPGRADE` contradict each other");
    for key in ["connectTimeout", "maxConnectionDuration"] {
        duration(tcp.get(key), path, found);
    }
    let idle = tcp.get("idleTimeout");
    // 0 switches the timeout off.
    if idle.duration() != Some(0) {
        duration(idle, path, found);
    }
    duration(tcp.at("tcpKeepalive.time"), path, found);
    duration(tcp.at("tcpKeepalive.interval"), path, found);
}

fn load_balancer(balancer: Tree<'_>, outlier: Tree<'_>, path: &str, found: &mut Found) {
    let hash = balancer.get("consistentHash");
    let cookie = hash.get("httpCookie");
    let unnamed = cookie.is_set() && cookie.get("name").text().is_empty();
    found.error_if(unnamed, path, "`httpCookie` needs a name");
    if hash.get("minimumRingSize").int() != 0 {
        found.warning(path, "`minimumRingSize` is deprecated: use `ringHash`");
        let both = hash.get("ringHash").is_set() || hash.get("maglev").is_set();
        found.error_if(both, path, "`minimumRingSize` excludes `ringHash` and `maglev`");
    }
    if hash.get("maglev").is_set() {
        let size = hash.at("maglev.tableSize").int();
        found.error_if(size == 0, path, "`maglev` needs `tableSize`");
        found.error_if(size >= 5_000_011, path, "`tableSize` is less than 5000011");
        found.error_if(!is_prime(size), path, "`tableSize` is a prime number");
    }
    locality(balancer.get("localityLbSetting"), outlier, &format!("{path}.localityLbSetting"), found);
    duration(balancer.get("warmupDurationSecs"), path, found);
}

/// As Envoy decides it.
fn is_prime(size: i64) -> bool {
    match size {
        1..=3 => true,
        _ if size % 2 == 0 => false,
        _ => (3..).step_by(2).take_while(|factor| factor * factor <= size).all(|factor| size % factor != 0),
    }
}

const TOPOLOGY: &[&str] =
    &["topology.kubernetes.io/region", "topology.kubernetes.io/zone", "topology.istio.io/subzone"];

fn locality(setting: Tree<'_>, outlier: Tree<'_>, path: &str, found: &mut Found) {
    if !setting.is_set() {
        return;
    }
    let count = |key: &str| setting.count(key);
    if count("distribute") > 0 && count("failover") > 0 {
        return found.error(path, "`distribute` and `failover` exclude each other");
    }
    let priorities = setting.texts("failoverPriority");
    if let Some(label) = priorities.iter().find(|label| count("failover") > 0 && TOPOLOGY.contains(label)) {
        return found.error(path, format!("`failover` and `{label}` in `failoverPriority` exclude each other"));
    }
    for locality in setting.list("distribute") {
        let weights: Vec<(&str, i64)> =
            locality.get("to").fields().map(|(name, weight)| (name, weight.int())).collect();
        if weights.iter().any(|(_, weight)| !(1..=100).contains(weight)) {
            return found.error(path, "the weight of a locality is in the range [1, 100]");
        }
        let total: i64 = weights.iter().map(|(_, weight)| weight).sum();
        if total != 100 {
            return found.error(path, format!("the weights of localities add up to {total}, not 100"));
        }
        found.check(path, localities(weights.iter().map(|(name, _)| *name)));
    }
    found.check(path, localities(setting.list("distribute").map(|locality| locality.get("from").text())));
    if (count("failover") > 0 || count("failoverPriority") > 0) && !outlier.is_set() {
        found.warning(path, "failover needs `outlierDetection`");
    }
    for failover in setting.list("failover") {
        let (from, to) = (failover.get("from").text(), failover.get("to").text());
        found.error_if(from == to, path, "failover goes to another region");
        found.error_if(from.contains('/') || to.contains('/'), path, "failover names regions only");
        found.error_if(from.contains('*') || to.contains('*'), path, "failover names regions without wildcards");
    }
}

/// Localities that do not overlap.
fn localities<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let mut seen: Vec<&str> = Vec::new();
    for name in names {
        let wild = name.matches('*').count();
        if wild > 1 || (wild == 1 && !name.ends_with('*')) {
            return Err(format!("the locality `{name}` has one `*` at most, at its end"));
        }
        if name.split('/').any(str::is_empty) {
            return Err(format!("the locality `{name}` has an empty part"));
        }
        let base = |name: &'a str| name.strip_suffix("/*").unwrap_or(name);
        let covers = |wide: &str, narrow: &str| {
            wide == "*" || narrow == wide || narrow.strip_prefix(wide).is_some_and(|rest| rest.starts_with('/'))
        };
        let own = base(name);
        if seen.iter().any(|other| covers(other, own) || covers(own, other)) {
            return Err(format!("the locality `{name}` overlaps with another"));
        }
        seen.push(own);
    }
    Ok(())
}

fn client_tls(tls: Tree<'_>, path: &str, found: &mut Found) {
    let set = |key: &str| !tls.get(key).text().is_empty();
    let mode = tls.get("mode").text();
    let names = tls.get("subjectAltNames").is_set();
    if tls.get("insecureSkipVerify").bool() {
        let simple = mode == "SIMPLE" && (set("caCertificates") || set("credentialName") || names);
        let mutual = mode == "MUTUAL" && (set("caCertificates") || names);
        let text = "`insecureSkipVerify` excludes what the server is verified by";
        found.error_if(simple || mutual, path, text);
    }
    if matches!(mode, "SIMPLE" | "MUTUAL") && set("credentialName") {
        let files = ["clientCertificate", "caCertificates", "privateKey", "caCrl"].into_iter().any(set);
        return found.error_if(files, path, "`credentialName` excludes certificates in files");
    }
    if mode == "MUTUAL" {
        found.error_if(!set("clientCertificate"), path, "mode MUTUAL needs `clientCertificate`");
        found.error_if(!set("privateKey"), path, "mode MUTUAL needs `privateKey`");
    }
}

fn tunnel(tunnel: Tree<'_>, path: &str, found: &mut Found) {
    if tunnel.is_set() {
        let (protocol, host) = (tunnel.get("protocol").text(), tunnel.get("targetHost").text());
        found.error_if(!matches!(protocol, "" | "CONNECT" | "POST"), path, "a tunnel uses `CONNECT` or `POST`");
        let valid = names::fqdn(host).is_ok() || names::is_ip(host);
        found.error_if(!valid, path, format_args!("`{host}` is neither a host nor an IP address"));
        found.check(path, names::port(tunnel.get("targetPort").int()));
    }
}
