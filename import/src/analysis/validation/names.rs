//! Names of hosts, labels and ports.

use std::net::IpAddr;

const LABEL_MAX: usize = 63;
const NAME_MAX: usize = 255;

/// A label of DNS; upper case counts too.
pub(super) fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    text.len() <= LABEL_MAX
        && text.bytes().all(inner)
        && text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric())
        && text.bytes().last().is_some_and(|byte| byte.is_ascii_alphanumeric())
}

/// A label that may begin with a wildcard.
fn is_wildcard_label(text: &str) -> bool {
    let rest = text.strip_prefix("*-").or_else(|| text.strip_prefix('*')).unwrap_or(text);
    text.len() <= LABEL_MAX && (text == "*" || is_label(rest))
}

fn preconditions(name: &str) -> Result<(), String> {
    match name.len() {
        0 => Err("an empty domain name is not allowed".to_owned()),
        length if length > NAME_MAX => Err(format!("the domain name `{name}` is longer than {NAME_MAX}")),
        _ => Ok(()),
    }
}

fn labels(domain: &str) -> Result<(), String> {
    let parts: Vec<&str> = domain.split('.').collect();
    let last = parts.last().copied().unwrap_or_default();
    if last.strip_prefix(['+', '-']).unwrap_or(last).parse::<u64>().is_ok() {
        return Err(format!("the domain name `{domain}` ends in a number"));
    }
    for (i, label) in parts.iter().enumerate() {
        if i + 1 == parts.len() && label.is_empty() {
            return Ok(());
        }
        if !is_label(label) {
            return Err(format!("the domain name `{domain}` has the label `{label}`, which is none"));
        }
    }
    Ok(())
}

/// A whole domain name.
pub(super) fn fqdn(name: &str) -> Result<(), String> {
    preconditions(name)?;
    labels(name)
}

/// A domain name whose first label may be a wildcard.
pub(super) fn wildcard_domain(name: &str) -> Result<(), String> {
    preconditions(name)?;
    let (first, rest) = name.split_once('.').map_or((name, None), |(first, rest)| (first, Some(rest)));
    if !is_wildcard_label(first) {
        return Err(format!("the domain name `{name}` has the label `{first}`, which is none"));
    }
    rest.map_or(Ok(()), labels)
}

/// The same for hosts of routes of gateways, which may be Istio's own SNI names.
pub(super) fn gateway_domain(name: &str, sni: bool) -> Result<(), String> {
    preconditions(name)?;
    if !(sni && name.starts_with("outbound_")) {
        return wildcard_domain(name);
    }
    let parts: Vec<&str> = name.split('_').collect();
    let [_, port, _, host, ..] = parts.as_slice() else {
        return Err(format!("the domain name `{name}` is not of the form `outbound_.PORT_._.HOST`"));
    };
    let valid = port.bytes().any(|b| b.is_ascii_digit()) && host.bytes().any(|b| b.is_ascii_alphabetic());
    if valid { Ok(()) } else { Err(format!("the domain name `{name}` is not of the form `outbound_.PORT_._.HOST`")) }
}

/// `*.x` is a wildcard; `*x.y` is half of one.
pub(super) fn partial_wildcard(host: &str) -> Result<(), String> {
    if host.contains('*') && host.len() != 1 && !host.starts_with("*.") {
        return Err(format!("the partial wildcard `{host}` is not allowed"));
    }
    Ok(())
}

pub(super) fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

pub(super) fn ip(text: &str) -> Result<(), String> {
    if is_ip(text) { Ok(()) } else { Err(format!("`{text}` is not an IP address")) }
}

/// An address or a range of them.
pub(super) fn subnet(text: &str) -> Result<(), String> {
    if text.contains('/') {
        let valid = crate::analysis::annotations::is_range(text);
        return if valid { Ok(()) } else { Err(format!("`{text}` is not an IP range")) };
    }
    ip(text)
}

pub(super) fn port(number: i64) -> Result<(), String> {
    if (1..=65535).contains(&number) { Ok(()) } else { Err(format!("the port {number} is not between 1 and 65535")) }
}

pub(super) fn port_name(name: &str) -> Result<(), String> {
    if is_label(name) { Ok(()) } else { Err(format!("`{name}` is not the name of a port")) }
}

/// A protocol; none at all is found out at run time.
pub(super) fn protocol(name: &str) -> Result<(), String> {
    let known = name.is_empty() || super::super::services::is_protocol(name);
    if known { Ok(()) } else { Err(format!("the protocol `{name}` is not supported")) }
}

pub(super) fn is_http(protocol: &str) -> bool {
    matches!(protocol.to_ascii_lowercase().as_str(), "http" | "http2" | "http_proxy" | "grpc" | "grpc-web")
}

pub(super) fn is_tls(protocol: &str) -> bool {
    matches!(protocol.to_ascii_lowercase().as_str(), "https" | "tls")
}

pub(super) fn is_tcp(protocol: &str) -> bool {
    matches!(protocol.to_ascii_lowercase().as_str(), "tcp" | "https" | "tls" | "mongo" | "redis" | "mysql")
}

/// The path of a socket, after `unix://`.
pub(super) fn unix(path: &str) -> Result<(), String> {
    if path.is_empty() {
        return Err("the address of a socket must not be empty".to_owned());
    }
    if path.starts_with('@') || (path.starts_with('/') && !path.ends_with('/')) {
        return Ok(());
    }
    Err(format!("`{path}` is not the absolute path of a file"))
}

/// `namespace/host` of a Gateway or Sidecar.
pub(super) fn scoped_host(host: &str, gateway: bool) -> Vec<String> {
    let mut errors = Vec::new();
    let Some((namespace, name)) = host.split_once('/') else {
        if gateway {
            return host_part(host, true);
        }
        return vec!["a host must be of the form `namespace/name`".to_owned()];
    };
    if namespace.is_empty() || name.is_empty() {
        errors.push("namespace and name of a host must not be empty".to_owned());
    }
    let word = matches!(namespace, "*" | ".") || (!gateway && namespace == "~");
    if !word && !is_label(namespace.strip_prefix('~').filter(|_| !gateway).unwrap_or(namespace)) {
        errors.push(format!("`{namespace}` is not the name of a namespace"));
    }
    errors.extend(host_part(name, gateway));
    errors
}

fn host_part(host: &str, gateway: bool) -> Vec<String> {
    let mut errors = Vec::new();
    if host != "*" && !host.contains('.') {
        errors.push("short names are not allowed".to_owned());
    }
    if let Err(text) = wildcard_domain(host) {
        // Both of Istio's checks refuse it in a Sidecar.
        if !gateway {
            errors.push(text.clone());
        }
        if !is_ip(host) {
            errors.push(text);
        }
    }
    errors.extend(partial_wildcard(host).err());
    errors
}

/// Labels of Kubernetes.
pub(super) fn object_labels(labels: &meshproof_model::Labels) -> Vec<String> {
    let is_name = |text: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let end = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
        text.len() <= LABEL_MAX && text.bytes().all(inner) && end(text.bytes().next()) && end(text.bytes().last())
    };
    let is_key = |key: &str| match key.split_once('/') {
        Some((prefix, name)) => prefix.len() <= NAME_MAX && prefix.split('.').all(is_label) && is_name(name),
        None => is_name(key),
    };
    let mut errors = Vec::new();
    for (key, value) in labels {
        if !is_key(key) {
            errors.push(format!("`{key}` is not the key of a label"));
        }
        if !value.is_empty() && !is_name(value) {
            errors.push(format!("`{value}` is not the value of a label"));
        }
    }
    errors
}

/// The name of a header.
pub(super) fn header(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("the name of a header must not be empty".to_owned());
    }
    let valid = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    if valid { Ok(()) } else { Err(format!("`{name}` is not the name of a header")) }
}

/// A regular expression as the proxy takes it.
pub(super) fn regex(pattern: &str, what: &str) -> Result<(), String> {
    if pattern.len() > 1024 {
        return Err(format!("the regular expression of `{what}` is longer than 1024"));
    }
    match regex_automata::util::syntax::parse(pattern) {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("`{what}`: `{pattern}` is not a regular expression that RE2 takes")),
    }
}
