//! Istio: networking.v1.Gateway.

use meshproof_model::istio::{Gateway, Server, ServerTls};

use crate::{cx::Cx, field::Field, object::Object};

/// Reads one.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<Gateway> {
    let spec = object.get("spec")?;
    Some(Gateway {
        meta: object.meta.clone(),
        selector: spec.labels_at("selector"),
        servers: spec.read_list("servers", |entry| server(&entry, cx)),
    })
}

fn server(field: &Field<'_>, cx: &mut Cx) -> Option<Server> {
    const PROTOCOLS: &[&str] =
        &["HTTP", "HTTPS", "GRPC", "GRPC-WEB", "HTTP2", "HTTP_PROXY", "MONGO", "MYSQL", "REDIS", "TCP", "TLS"];
    let port = field.get("port")?;
    let number = cx.port(&port, "number")?;
    let protocol = port.located_text("protocol")?;
    if !PROTOCOLS.contains(&protocol.value.to_uppercase().as_str())
        && let Some(written) = port.get("protocol")
    {
        let message = format!("`{}` is not a protocol of a gateway's port", protocol.value);
        cx.invalid(&written, message, "it takes `HTTP`, `HTTPS`, `GRPC`, `HTTP2`, `MONGO`, `TCP` or `TLS`");
    }
    Some(Server {
        at: field.at(),
        port: number,
        port_name: port.text_at("name").unwrap_or_default(),
        protocol,
        hosts: field.texts("hosts"),
        tls: field.get("tls").map(|tls| ServerTls {
            at: tls.at(),
            mode: tls.located_text("mode"),
            credential_name: tls.located_text("credentialName"),
            https_redirect: tls.bool_at("httpsRedirect").unwrap_or(false),
        }),
    })
}
