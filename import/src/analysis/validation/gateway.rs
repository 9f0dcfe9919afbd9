//! Gateways. Istio: `ValidateGateway`.

use std::collections::BTreeSet;

use super::{Found, names};
use crate::analysis::{services::is_protocol, tree::Tree, world::Resource};

const CIPHERS: &[&str] = &[
    "ECDHE-ECDSA-AES128-GCM-SHA256",
    "ECDHE-RSA-AES128-GCM-SHA256",
    "ECDHE-ECDSA-AES256-GCM-SHA384",
    "ECDHE-RSA-AES256-GCM-SHA384",
    "ECDHE-ECDSA-CHACHA20-POLY1305",
    "ECDHE-RSA-CHACHA20-POLY1305",
    "ECDHE-ECDSA-AES128-SHA",
    "ECDHE-RSA-AES128-SHA",
    "ECDHE-ECDSA-AES256-SHA",
    "ECDHE-RSA-AES256-SHA",
    "AES128-GCM-SHA256",
    "AES256-GCM-SHA384",
    "AES128-SHA",
    "AES256-SHA",
    "DES-CBC3-SHA",
];

pub(super) fn check(gateway: &Resource<'_>, found: &mut Found) {
    let name = gateway.name();
    found.error_if(!names::is_label(name), "metadata.name", format_args!("`{name}` is not the name of a Gateway"));
    found.error_if(gateway.spec.count("servers") == 0, "spec", "a Gateway needs at least one server");
    for (i, server) in gateway.spec.list("servers").enumerate() {
        let path = format!("spec.servers[{i}]");
        if server.is_set() {
            check_server(server, &path, found);
        } else {
            found.error(path, "a server may not be null");
        }
    }
    let mut ports = Vec::new();
    for (i, server) in gateway.spec.list("servers").enumerate().filter(|(_, server)| server.get("port").is_set()) {
        let (path, port) = (format!("spec.servers[{i}].port"), server.get("port"));
        let name = port.get("name").text();
        found.error_if(ports.contains(&name), &path, format_args!("several servers have a port named `{name}`"));
        ports.push(name);
        if !names::is_http(port.get("protocol").text()) && server.at("tls.httpsRedirect").bool() {
            found.warning(path, "`httpsRedirect` is for HTTP servers");
        }
    }
}

fn check_server(server: Tree<'_>, path: &str, found: &mut Found) {
    found.error_if(server.count("hosts") == 0, path, "a server needs at least one host");
    for (i, host) in server.texts("hosts").into_iter().enumerate() {
        for text in names::scoped_host(host, true) {
            found.error(format!("{path}.hosts[{i}]"), text);
        }
    }
    let before = found.errors.len();
    port(server, path, found);
    let port_holds = found.errors.len() == before;
    bind(server, path, found);
    let tls = server.get("tls");
    server_tls(tls, &format!("{path}.tls"), found);
    if !port_holds {
        return;
    }
    let protocol = server.at("port.protocol").text();
    if names::is_tls(protocol) {
        found.error_if(!tls.is_set(), path, format_args!("a server of {protocol} needs `tls`"));
    } else if tls.is_set() && names::is_http(protocol) {
        let passes = matches!(tls.get("mode").text(), "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH");
        let files = ["caCertificates", "privateKey", "serverCertificate"];
        let has_files = files.iter().any(|key| !tls.get(key).text().is_empty());
        found.error_if(!passes || has_files, path, "a server of plain HTTP cannot have `tls`");
    } else if tls.is_set() {
        found.error(path, "`tls` is for servers of HTTPS and TLS");
    }
}

fn port(server: Tree<'_>, path: &str, found: &mut Found) {
    let port = server.get("port");
    if !port.is_set() {
        return found.error(path, "a server needs a port");
    }
    let protocol = port.get("protocol").text();
    let text = format!("`{protocol}` is not a protocol that Istio knows");
    found.error_if(!is_protocol(protocol), path, text);
    let number = port.get("number").int();
    if number > 0 || !server.get("bind").text().starts_with("unix://") {
        found.check(path, names::port(number));
    }
    found.error_if(port.get("targetPort").int() > 0, path, "`targetPort` does nothing in a Gateway");
    found.error_if(port.get("name").text().is_empty(), path, format_args!("the port {number} needs a name"));
}

fn bind(server: Tree<'_>, path: &str, found: &mut Found) {
    let bind = server.get("bind").text();
    if let Some(socket) = bind.strip_prefix("unix://") {
        found.check(path, names::unix(socket));
        let number = server.at("port.number").int();
        found.error_if(number != 0, path, "the port of a socket is 0");
    } else if !bind.is_empty() {
        found.check(path, names::ip(bind));
    }
}

/// TLS of a server. Istio: validateTLSOptions.
pub(super) fn server_tls(tls: Tree<'_>, path: &str, found: &mut Found) {
    if !tls.is_set() {
        return;
    }
    let set = |key: &str| !tls.get(key).text().is_empty();
    let old = matches!(tls.get("minProtocolVersion").text(), "TLSV1_0" | "TLSV1_1");
    if old && tls.count("cipherSuites") == 0 {
        found.warning(path, "TLS below 1.2 needs `cipherSuites` that it can use");
    }
    ciphers(tls, path, found);
    let mode = tls.get("mode").text();
    if mode == "ISTIO_MUTUAL" {
        for key in ["serverCertificate", "privateKey", "caCertificates", "credentialName"] {
            found.error_if(set(key), path, format_args!("mode ISTIO_MUTUAL excludes `{key}`"));
        }
        return;
    }
    let passes = matches!(mode, "" | "PASSTHROUGH" | "AUTO_PASSTHROUGH");
    let any = ["caCrl", "serverCertificate", "privateKey", "caCertificates", "credentialName"].into_iter().any(set);
    if passes && any {
        let mode = if mode.is_empty() { "PASSTHROUGH" } else { mode };
        found.warning(path, format!("mode {mode} uses no certificates: they are ignored"));
    }
    let terminates = matches!(mode, "SIMPLE" | "MUTUAL" | "OPTIONAL_MUTUAL");
    if terminates && set("credentialName") {
        return;
    }
    if terminates {
        found.error_if(!set("serverCertificate"), path, format_args!("mode {mode} needs a server certificate"));
        found.error_if(!set("privateKey"), path, format_args!("mode {mode} needs a private key"));
        let clients = mode != "SIMPLE" && !set("caCertificates");
        found.error_if(clients, path, format_args!("mode {mode} needs the CA of clients"));
    }
    if set("caCrl") {
        found.error_if(set("credentialName"), path, "`caCrl` excludes `credentialName`");
        found.error_if(mode == "SIMPLE", path, "`caCrl` is not for mode SIMPLE");
    }
}

fn ciphers(tls: Tree<'_>, path: &str, found: &mut Found) {
    let (mut valid, mut invalid, mut twice) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for suite in tls.texts("cipherSuites") {
        let operator = suite.chars().next().is_some_and(|first| !first.is_alphanumeric());
        if !(suite.is_empty() || suite == "ALL" || operator || CIPHERS.contains(&suite)) {
            invalid.insert(suite);
        } else if !valid.insert(suite) {
            twice.insert(suite);
        }
    }
    let list = |names: BTreeSet<&str>| names.into_iter().collect::<Vec<_>>().join("`, `");
    if !invalid.is_empty() {
        found.warning(path, format!("the cipher suites `{}` are not known, and ignored", list(invalid)));
    }
    if !twice.is_empty() {
        found.warning(path, format!("the cipher suites `{}` are named twice", list(twice)));
    }
}
