//! What is spoken on a port (`PR-1`).

use meshproof_model::Protocol;

/// The protocol of a service's port.
pub(crate) fn select(transport: &str, app_protocol: Option<&str>, name: &str, number: u16) -> Protocol {
    if transport == "UDP" {
        return Protocol::Udp;
    }
    let named = match app_protocol {
        Some("kubernetes.io/h2c") => Some(Protocol::Http2),
        Some("kubernetes.io/ws" | "kubernetes.io/wss") => return wss(app_protocol),
        Some(written) => self::named(&written.to_lowercase()),
        None => prefixed(name),
    };
    named.unwrap_or(match number {
        25 | 53 | 3306 | 27017 => Protocol::Tcp,
        _ => Protocol::Auto,
    })
}

fn wss(app_protocol: Option<&str>) -> Protocol {
    if app_protocol == Some("kubernetes.io/wss") { Protocol::Https } else { Protocol::Http }
}

/// The protocol that a port's name begins with: what stands before the first dash.
fn prefixed(name: &str) -> Option<Protocol> {
    let name = name.to_lowercase();
    if name == "grpc-web" || name.starts_with("grpc-web-") {
        return Some(Protocol::GrpcWeb);
    }
    named(name.split('-').next().unwrap_or(""))
}

/// The protocol of a word, in lower case.
pub(crate) fn named(word: &str) -> Option<Protocol> {
    Some(match word {
        "http" | "http_proxy" => Protocol::Http,
        "http2" => Protocol::Http2,
        "grpc" => Protocol::Grpc,
        "grpc-web" => Protocol::GrpcWeb,
        "https" => Protocol::Https,
        "tls" => Protocol::Tls,
        "tcp" | "mongo" | "redis" | "mysql" => Protocol::Tcp,
        "udp" => Protocol::Udp,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_application_protocol_wins_then_the_name_then_the_number() {
        let rows = [
            ("TCP", None, "http", 80, Protocol::Http),
            ("TCP", None, "http-web", 80, Protocol::Http),
            ("TCP", None, "HTTP2-x", 80, Protocol::Http2),
            ("TCP", None, "grpc-web-x", 80, Protocol::GrpcWeb),
            ("TCP", None, "grpc-api", 80, Protocol::Grpc),
            ("TCP", None, "postgres", 5432, Protocol::Auto),
            ("TCP", None, "", 3306, Protocol::Tcp),
            ("TCP", None, "mysql", 1, Protocol::Tcp),
            ("TCP", None, "https-x", 443, Protocol::Https),
            ("TCP", Some("kubernetes.io/h2c"), "http", 80, Protocol::Http2),
            ("TCP", Some("kubernetes.io/wss"), "http", 80, Protocol::Https),
            ("TCP", Some("kubernetes.io/ws"), "tcp", 80, Protocol::Http),
            ("TCP", Some("grpc"), "http", 80, Protocol::Grpc),
            ("TCP", Some("acme/x"), "http", 80, Protocol::Auto),
            ("UDP", Some("http"), "http", 80, Protocol::Udp),
        ];
        for (transport, app, name, number, wanted) in rows {
            assert_eq!(select(transport, app, name, number), wanted, "{transport} {app:?} {name} {number}");
        }
    }
}
