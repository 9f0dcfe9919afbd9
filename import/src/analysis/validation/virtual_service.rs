//! `VirtualServices`. Istio: `ValidateVirtualService`.

use super::{
    Found,
    common::{export_to, gateway_names},
    http_route, names,
};
use crate::analysis::{
    hosts::{is_within, overlap},
    tree::Tree,
    world::Resource,
};

pub(super) fn check(service: &Resource<'_>, found: &mut Found) {
    let spec = service.spec;
    let (hosts, gateways) = (spec.texts("hosts"), spec.texts("gateways"));
    let is_delegate = hosts.is_empty();
    if is_delegate {
        found.error_if(!gateways.is_empty(), "spec.gateways", "a delegate must have no gateways");
        found.error_if(spec.count("tls") > 0, "spec.tls", "a delegate must have no TLS routes");
        found.error_if(spec.count("tcp") > 0, "spec.tcp", "a delegate must have no TCP routes");
    }
    let to_gateway = !gateways.is_empty() && !gateways.contains(&"mesh");
    gateway_names(&gateways, "spec.gateways", found);
    if !to_gateway {
        claims(spec, found);
    }
    host_names(&hosts, to_gateway, spec, found);
    let rules = ["http", "tcp", "tls"].into_iter().map(|kind| spec.count(kind)).sum::<usize>();
    found.error_if(rules == 0, "spec", "a VirtualService needs `http`, `tcp` or `tls`");
    for (i, rule) in spec.list("http").enumerate() {
        http_route::check(rule, &format!("spec.http[{i}]"), is_delegate, found);
    }
    for (i, rule) in spec.list("tls").enumerate() {
        tls_route(rule, &format!("spec.tls[{i}]"), &hosts, to_gateway || gateways.is_empty(), found);
    }
    for (i, rule) in spec.list("tcp").enumerate() {
        let path = format!("spec.tcp[{i}]");
        for block in rule.list("match") {
            found.without_warnings(|found| layer_4(block, &path, found));
        }
        found.error_if(rule.count("route") == 0, &path, "a TCP route needs `route`");
        http_route::weighted(rule, &path, false, found);
    }
    export_to(service, false, false, found);
}

fn claims(spec: Tree<'_>, found: &mut Found) {
    for block in spec.list("http").flat_map(|rule| rule.list("match")) {
        for (name, _) in [block.get("headers"), block.get("withoutHeaders")].into_iter().flat_map(Tree::fields) {
            let text = format!("routing by claims (`{name}`) is for gateways only");
            found.error_if(http_route::is_claim(name), "spec.http", text);
        }
    }
}

fn host_names(hosts: &[&str], to_gateway: bool, spec: Tree<'_>, found: &mut Found) {
    let sni = spec.list("tls").flat_map(|rule| rule.list("match")).any(|block| block.count("sniHosts") > 0);
    let before = found.errors.len();
    for (i, host) in hosts.iter().enumerate() {
        let path = format!("spec.hosts[{i}]");
        let valid = if to_gateway { names::gateway_domain(host, sni) } else { names::wildcard_domain(host) };
        match valid {
            Err(text) if !names::is_ip(host) => found.error(path, text),
            Ok(()) if !to_gateway && *host == "*" => found.error(path, "`*` is not allowed for routes of the mesh"),
            _ => {}
        }
    }
    if found.errors.len() == before {
        for (i, host) in hosts.iter().enumerate() {
            for other in hosts[i + 1..].iter().filter(|other| overlap(host, other)) {
                found.error(format!("spec.hosts[{i}]"), format!("`{host}` and `{other}` have names in common"));
            }
        }
    }
}

fn tls_route(rule: Tree<'_>, path: &str, hosts: &[&str], to_gateway: bool, found: &mut Found) {
    found.error_if(rule.count("match") == 0, path, "a TLS route needs a match");
    for block in rule.list("match") {
        found.error_if(block.count("sniHosts") == 0, path, "a TLS match needs an SNI host");
        for sni in block.texts("sniHosts") {
            sni_host(sni, path, hosts, to_gateway, found);
        }
        layer_4(block, path, found);
    }
    found.error_if(rule.count("route") == 0, path, "a TLS route needs `route`");
    http_route::weighted(rule, path, false, found);
}

fn sni_host(sni: &str, path: &str, hosts: &[&str], to_gateway: bool, found: &mut Found) {
    let valid = if to_gateway { names::gateway_domain(sni, true) } else { names::wildcard_domain(sni) };
    match valid {
        Err(_) if names::is_ip(sni) => found.warning(path, format!("the IP address `{sni}` is no SNI host")),
        Err(text) => found.error(path, text),
        Ok(()) if hosts.iter().any(|host| is_within(sni, host)) => {}
        Ok(()) => found.error(path, format!("the SNI host `{sni}` is in none of the hosts `{}`", hosts.join("`, `"))),
    }
}

fn layer_4(block: Tree<'_>, path: &str, found: &mut Found) {
    for subnet in block.texts("destinationSubnets") {
        found.check(path, names::subnet(subnet));
    }
    let port = block.get("port").int();
    if port != 0 {
        found.check(path, names::port(port));
    }
    for text in names::object_labels(&block.get("sourceLabels").labels()) {
        found.error(path, text);
    }
    gateway_names(&block.texts("gateways"), path, found);
}
