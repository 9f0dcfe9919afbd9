//! Sidecars. Istio: `ValidateSidecar`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    Found,
    common::{destination, workload_selector},
    destination_rule::connection_pool,
    gateway::server_tls,
    names,
};
use crate::analysis::{tree::Tree, world::Resource};

pub(super) fn check(sidecar: &Resource<'_>, found: &mut Found) {
    let spec = sidecar.spec;
    if !workload_selector(spec, "sidecar", found) {
        return;
    }
    let settings = ["outboundTrafficPolicy", "inboundConnectionPool"];
    if spec.count("egress") == 0 && spec.count("ingress") == 0 && !settings.iter().any(|key| spec.get(key).is_set()) {
        // Nothing else is told of it.
        found.warnings.clear();
        return found.error("spec", "a Sidecar needs `egress`, `ingress` or a policy");
    }
    let mut ports = BTreeSet::new();
    for (i, listener) in spec.list("ingress").enumerate() {
        ingress(listener, &format!("spec.ingress[{i}]"), &mut ports, found);
    }
    connection_pool(spec.get("inboundConnectionPool"), "spec.inboundConnectionPool", found);
    egress(sidecar, found);
    outbound(spec.get("outboundTrafficPolicy"), "spec.outboundTrafficPolicy", found);
}

fn ingress(listener: Tree<'_>, path: &str, ports: &mut BTreeSet<i64>, found: &mut Found) {
    let port = listener.get("port");
    if !port.is_set() {
        return found.error(path, "an ingress listener needs a port");
    }
    let number = port.get("number").int();
    found.error_if(port.get("targetPort").int() > 0, path, "`targetPort` does nothing in a Sidecar");
    named_port(port, path, found);
    found.check(path, names::port(number));
    let bind = listener.get("bind").text();
    if !bind.is_empty() {
        found.check(path, names::ip(bind));
    }
    found.error_if(!ports.insert(number), path, "several listeners have the same port");
    endpoint(listener.get("defaultEndpoint").text(), path, found);
    let tls = listener.get("tls");
    if tls.is_set() {
        let mode = tls.get("mode").text();
        let names = tls.count("subjectAltNames") > 0;
        found.error_if(names, path, "`subjectAltNames` are not for ingress listeners");
        found.error_if(tls.get("httpsRedirect").bool(), path, "`httpsRedirect` is not for Sidecars");
        found.error_if(!tls.get("credentialName").text().is_empty(), path, "`credentialName` is not for Sidecars");
        let refused = matches!(mode, "ISTIO_MUTUAL" | "AUTO_PASSTHROUGH");
        found.error_if(refused, path, format_args!("mode {mode} is not for ingress listeners"));
        server_tls(tls, path, found);
    }
    connection_pool(listener.get("connectionPool"), path, found);
    let protocol = port.get("protocol").text();
    if listener.at("connectionPool.http").is_set() && !names::is_http(protocol) {
        let name = port.get("name").text();
        let text = format!("settings of HTTP do nothing for port {number} (`{name}`), which is {protocol}");
        found.warning(path, text);
    }
}

fn named_port(port: Tree<'_>, path: &str, found: &mut Found) {
    let name = port.get("name").text();
    if !name.is_empty() {
        found.check(path, names::port_name(name));
    }
    found.check(path, names::protocol(port.get("protocol").text()));
}

/// `127.0.0.1:8080`, `[::1]:8080`, `:8080` or a socket.
fn endpoint(text: &str, path: &str, found: &mut Found) {
    if text.is_empty() {
        return;
    }
    if let Some(socket) = text.strip_prefix("unix://") {
        return found.check(path, names::unix(socket));
    }
    let split = text.rsplit_once(':').map(|(host, port)| (host.trim_matches(['[', ']']), port));
    found.error_if(split.is_none(), path, format_args!("`{text}` has no port"));
    let (host, port) = split.unwrap_or_default();
    let local = matches!(host, "" | "127.0.0.1" | "0.0.0.0" | "::1" | "::");
    found.error_if(!local, path, "`defaultEndpoint` is of this machine");
    match port.parse::<i64>() {
        Ok(number) => found.check(path, names::port(number)),
        Err(_) => found.error(path, format!("the port `{port}` of `defaultEndpoint` is no number")),
    }
}

fn egress(sidecar: &Resource<'_>, found: &mut Found) {
    let listeners = sidecar.spec.list("egress");
    let last = listeners.len().saturating_sub(1);
    let (mut ports, mut sockets) = (BTreeSet::new(), BTreeSet::new());
    for (i, listener) in listeners.enumerate() {
        let path = format!("spec.egress[{i}]");
        let (port, bind) = (listener.get("port"), listener.get("bind").text());
        if port.is_set() {
            found.error_if(port.get("targetPort").int() > 0, &path, "`targetPort` does nothing in a Sidecar");
            egress_port(listener, &path, found);
            let number = port.get("number").int();
            if number == 0 {
                found.error_if(!sockets.insert(bind), &path, "several listeners have the same socket");
            } else {
                found.error_if(!ports.insert(number), &path, "several listeners have the same port");
            }
        } else {
            found.error_if(i != last, &path, "the listener without a port is the last one");
        }
        found.error_if(listener.count("hosts") == 0, &path, "an egress listener needs at least one host");
        egress_hosts(sidecar.namespace(), &listener.texts("hosts"), &path, found);
    }
}

fn egress_port(listener: Tree<'_>, path: &str, found: &mut Found) {
    let (port, bind) = (listener.get("port"), listener.get("bind").text());
    named_port(port, path, found);
    if port.get("number").int() == 0 {
        match bind.strip_prefix("unix://") {
            Some(socket) => found.check(path, names::unix(socket)),
            None => found.error(path, "the port 0 is for sockets"),
        }
        let mode = listener.get("captureMode").text();
        found.error_if(
            !matches!(mode, "" | "DEFAULT" | "NONE"),
            path,
            "the `captureMode` of a socket is DEFAULT or NONE",
        );
    } else {
        found.check(path, names::port(port.get("number").int()));
        if !bind.is_empty() {
            found.check(path, names::ip(bind));
        }
    }
}

fn egress_hosts(home: &str, hosts: &[&str], path: &str, found: &mut Found) {
    let mut seen: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (i, host) in hosts.iter().enumerate() {
        let path = format!("{path}.hosts[{i}]");
        if let Some((namespace, service)) = host.split_once('/') {
            let known = seen.entry(if namespace == "." { home } else { namespace }).or_default();
            let repeated =
                if service == "*" { !known.is_empty() } else { known.contains(service) || known.contains("*") };
            if repeated {
                found.warning(path.clone(), format!("the egress host `{host}` is covered by another"));
            }
            known.insert(service);
        }
        for text in names::scoped_host(host, false) {
            found.error(path.clone(), text);
        }
    }
    if seen.get("*").is_some_and(|services| services.contains("*")) && seen.len() != 1 {
        found.warning(path, "`*/*` selects everything: no other host is needed");
    }
}

fn outbound(policy: Tree<'_>, path: &str, found: &mut Found) {
    let proxy = policy.get("egressProxy");
    if !proxy.is_set() {
        return;
    }
    if policy.get("mode").text() != "ALLOW_ANY" {
        return found.error(path, "`egressProxy` is for mode ALLOW_ANY");
    }
    found.check(path, names::fqdn(proxy.get("host").text()));
    if !proxy.get("port").is_set() {
        return found.error(path, "`egressProxy` needs a port");
    }
    destination(proxy, path, found);
}
