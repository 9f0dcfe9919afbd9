//! `ServiceEntries`, `WorkloadEntries`, `WorkloadGroups`. Istio: `ValidateServiceEntry` and its neighbours.

use std::collections::BTreeSet;

use super::{
    Found,
    common::{export_to, workload_selector},
    names,
};
use crate::analysis::{tree::Tree, world::Resource};

pub(super) fn service_entry(entry: &Resource<'_>, found: &mut Found) {
    let spec = entry.spec;
    if !workload_selector(spec, "service entry", found) {
        return;
    }
    let resolution = match spec.get("resolution").text() {
        "" => "NONE",
        resolution => resolution,
    };
    let both = spec.get("workloadSelector").is_set() && spec.get("endpoints").is_set();
    found.error_if(both, "spec.endpoints", "only one of `workloadSelector` and `endpoints` is allowed");
    hosts(spec, found);
    let addresses = spec.texts("addresses");
    for address in &addresses {
        found.check("spec.addresses", names::subnet(address));
    }
    let ranges = addresses.iter().any(|address| address.contains('/'));
    let text = "IP ranges are for the resolutions NONE and STATIC";
    found.error_if(ranges && !matches!(resolution, "NONE" | "STATIC"), "spec.addresses", text);
    let names = ports(entry, resolution, found);
    endpoints(spec, resolution, &names, found);
    let shared = resolution != "NONE" && spec.count("hosts") > 1;
    let opaque = |port: &Tree<'_>| {
        let protocol = port.get("protocol").text();
        !names::is_http(protocol) && !names::is_tls(protocol)
    };
    let text = "several hosts share a port that is neither HTTP nor TLS";
    found.error_if(shared && spec.list("ports").any(|port| opaque(&port)), "spec.ports", text);
    export_to(entry, true, false, found);
}

fn hosts(spec: Tree<'_>, found: &mut Found) {
    found.error_if(spec.count("hosts") == 0, "spec", "a ServiceEntry needs at least one host");
    for (i, host) in spec.texts("hosts").into_iter().enumerate() {
        let path = format!("spec.hosts[{i}]");
        if host == "*" {
            found.error(path, "the host `*` is not allowed");
            continue;
        }
        found.check(&path, names::wildcard_domain(host));
        if let Err(text) = names::partial_wildcard(host) {
            found.warning(path, text);
        }
    }
}

fn ports<'a>(entry: &Resource<'a>, resolution: &str, found: &mut Found) -> BTreeSet<&'a str> {
    let spec = entry.spec;
    let opted_out =
        entry.label("networking.istio.io/enable-autoallocate-ip").is_some_and(|l| l.eq_ignore_ascii_case("false"));
    let allocated = resolution != "NONE" && !opted_out;
    let (mut port_names, mut numbers) = (BTreeSet::new(), BTreeSet::new());
    for (i, port) in spec.list("ports").enumerate() {
        let path = format!("spec.ports[{i}]");
        if !port.is_set() {
            found.error(path, "a port may not be null");
            continue;
        }
        let (name, number, protocol) = (port.get("name").text(), port.get("number").int(), port.get("protocol").text());
        found.error_if(!port_names.insert(name), &path, format_args!("the port `{name}` is defined twice"));
        found.error_if(!numbers.insert(number), &path, format_args!("the port {number} is defined twice"));
        let target = port.get("targetPort").int();
        if target != 0 {
            found.check(&path, names::port(target));
            if resolution == "NONE" {
                found.warning(path.clone(), "`targetPort` does nothing with resolution NONE");
            }
        }
        if spec.count("addresses") == 0 && !allocated && matches!(protocol, "" | "TCP") {
            found.warning(path.clone(), "a TCP port needs `addresses`, unless proxies allocate them");
        }
        found.check(&path, names::port_name(name));
        found.check(&path, names::protocol(protocol));
        found.check(&path, names::port(number));
    }
    port_names
}

fn endpoints(spec: Tree<'_>, resolution: &str, ports: &BTreeSet<&str>, found: &mut Found) {
    let selects = spec.get("workloadSelector").is_set();
    match resolution {
        "NONE" => {
            let some = spec.count("endpoints") > 0;
            found.error_if(some, "spec.endpoints", "resolution NONE has no endpoints");
            if selects {
                found.warning("spec.workloadSelector", "`workloadSelector` does nothing with resolution NONE");
            }
        }
        "STATIC" => {
            for (i, endpoint) in spec.list("endpoints").enumerate() {
                workload(endpoint, Some(ports), false, &format!("spec.endpoints[{i}]"), found);
            }
        }
        "DNS" | "DNS_ROUND_ROBIN" => by_name(spec, resolution, ports, found),
        _ if resolution.starts_with("DYNAMIC_DNS") => {}
        _ => found.error("spec.resolution", format!("the resolution `{resolution}` is not supported")),
    }
    if selects && resolution.starts_with("DNS") {
        found.warning("spec.workloadSelector", format!("`workloadSelector` does nothing with resolution {resolution}"));
    }
}

fn by_name(spec: Tree<'_>, resolution: &str, ports: &BTreeSet<&str>, found: &mut Found) {
    if spec.count("endpoints") == 0 {
        for host in spec.texts("hosts") {
            let text = format!("hosts with resolution {resolution} and no endpoints are whole names");
            found.error_if(names::fqdn(host).is_err(), "spec.hosts", text);
        }
    }
    let several = resolution == "DNS_ROUND_ROBIN" && spec.count("endpoints") > 1;
    found.error_if(several, "spec.endpoints", format_args!("resolution {resolution} has one endpoint at most"));
    for (i, endpoint) in spec.list("endpoints").enumerate() {
        let (path, address) = (format!("spec.endpoints[{i}]"), endpoint.get("address").text());
        let valid = names::is_ip(address) || names::fqdn(address).is_ok();
        found.error_if(!valid, &path, format_args!("`{address}` is neither a host nor an IP address"));
        for text in names::object_labels(&endpoint.get("labels").labels()) {
            found.error(path.clone(), text);
        }
        endpoint_ports(endpoint, Some(ports), &path, found);
    }
    let tcp = spec.list("ports").any(|port| names::is_tcp(port.get("protocol").text()));
    if spec.count("addresses") > 0 && tcp && spec.count("hosts") > 1 {
        found.warning("spec.hosts", "a ServiceEntry with an address and a TCP port has one host");
    }
}

pub(super) fn workload_entry(entry: &Resource<'_>, found: &mut Found) {
    workload(entry.spec, None, true, "spec", found);
}

fn workload(entry: Tree<'_>, ports: Option<&BTreeSet<&str>>, names_too: bool, path: &str, found: &mut Found) {
    let address = entry.get("address").text();
    if address.is_empty() {
        let network = entry.get("network").text();
        if network.is_empty() {
            return found.error(path, "an endpoint needs an address");
        }
        found.warning(path, format!("an endpoint of the network `{network}` has no address"));
    }
    let socket = address.strip_prefix("unix://");
    if let Some(socket) = socket {
        found.check(path, names::unix(socket));
        let some = entry.get("ports").fields().next().is_some();
        found.error_if(some, path, format_args!("the socket `{address}` has no ports"));
    } else if !address.is_empty() && !names::is_ip(address) {
        if !names_too {
            found.error(path, format!("`{address}` is not an IP address"));
        } else if names::fqdn(address).is_err() {
            found.error(path, format!("`{address}` is neither a host nor an IP address"));
        }
    }
    endpoint_ports(entry, ports, path, found);
    for text in names::object_labels(&entry.get("labels").labels()) {
        found.error(path, text);
    }
    let one = socket.is_none() || ports.is_none_or(|ports| ports.len() == 1);
    found.error_if(!one, path, "a socket serves exactly one port");
}

fn endpoint_ports(entry: Tree<'_>, ports: Option<&BTreeSet<&str>>, path: &str, found: &mut Found) {
    for (name, number) in entry.get("ports").fields() {
        let number = number.int();
        let unknown = ports.is_some_and(|ports| !ports.contains(name));
        found.error_if(unknown, path, format_args!("the port {number} of an endpoint is none of the ServiceEntry"));
        found.check(path, names::port_name(name));
        found.check(path, names::port(number));
    }
}

pub(super) fn workload_group(group: &Resource<'_>, found: &mut Found) {
    let spec = group.spec;
    if !spec.get("template").is_set() {
        return found.error("spec", "a WorkloadGroup needs a template");
    }
    if let Some(text) = names::object_labels(&spec.at("metadata.labels").labels()).first() {
        return found.error("spec.metadata.labels", text.clone());
    }
    let (probe, path) = (spec.get("probe"), "spec.probe");
    if !probe.is_set() {
        return;
    }
    for key in ["periodSeconds", "initialDelaySeconds", "timeoutSeconds", "successThreshold", "failureThreshold"] {
        found.error_if(probe.get(key).int() < 0, path, format_args!("`{key}` must not be negative"));
    }
    let (http, tcp, exec) = (probe.get("httpGet"), probe.get("tcpSocket"), probe.get("exec"));
    if http.is_set() {
        found.check(path, names::port(http.get("port").int()));
        let scheme = http.get("scheme").text();
        found.error_if(!matches!(scheme, "" | "HTTP" | "HTTPS"), path, "the scheme of a probe is HTTP or HTTPS");
        for header in http.list("httpHeaders") {
            found.check(path, names::header(header.get("name").text()));
        }
    } else if tcp.is_set() {
        found.check(path, names::port(tcp.get("port").int()));
    } else if exec.is_set() {
        found.error_if(exec.count("command") == 0, path, "a probe that runs something needs a command");
    } else if !probe.get("grpc").is_set() {
        found.error(path, "a probe needs a method");
    }
}
