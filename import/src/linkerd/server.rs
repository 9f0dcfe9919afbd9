//! Linkerd: Server and `HTTPLocalRateLimitPolicy` (`L-9`).

use meshproof_model::{
    TargetPort,
    linkerd::{HttpLocalRateLimitPolicy, InboundPolicy, Server, ServerProtocol},
};

use crate::{cx::Cx, field::Field, kubernetes::selector, object::Object, yaml::Plain};

const PROTOCOLS: &[(&str, ServerProtocol)] = &[
    ("unknown", ServerProtocol::Unknown),
    ("HTTP/1", ServerProtocol::Http1),
    ("HTTP/2", ServerProtocol::Http2),
    ("gRPC", ServerProtocol::Grpc),
    ("opaque", ServerProtocol::Opaque),
    ("TLS", ServerProtocol::Tls),
];

pub(super) fn read(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Option<Server> {
    let port = spec.get("port")?;
    let target = match port.node().plain()? {
        Plain::Text(name) => TargetPort::Name(name.to_owned()),
        _ => TargetPort::Number(cx.port_value(&port)?.value),
    };
    let words = |names: &mut dyn Iterator<Item = &'static str>| names.map(|n| format!("`{n}`")).collect::<Vec<_>>();
    for (key, known) in [
        ("proxyProtocol", words(&mut PROTOCOLS.iter().map(|(name, _)| *name))),
        ("accessPolicy", words(&mut InboundPolicy::NAMES.iter().map(|(name, _)| *name))),
    ] {
        if let Some(field) = spec.get(key)
            && let Some(text) = field.text().filter(|text| !known.contains(&format!("`{text}`")))
        {
            cx.invalid(&field, format!("`{key}` does not take `{text}`"), format!("it takes {}", known.join(", ")));
        }
    }
    Some(Server {
        meta: object.meta.clone(),
        pods: spec.get("podSelector").map(|pods| selector::read(&pods)),
        port: port.located(target),
        protocol: Cx::word(spec, "proxyProtocol", PROTOCOLS),
        access_policy: Cx::word(spec, "accessPolicy", InboundPolicy::NAMES),
    })
}

pub(super) fn rate_limit(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Option<HttpLocalRateLimitPolicy> {
    let target = spec.get("targetRef")?;
    let kind = target.text_at("kind").unwrap_or_default();
    if kind != "Server" {
        cx.invalid(&target, format!("a rate limit is for a Server, not for a `{kind}`"), "name a Server");
        return None;
    }
    target.text_at("group");
    let mut of = |key: &'static str| spec.get(key).and_then(|limit| cx.count(&limit, "requestsPerSecond"));
    let (total, identity) = (of("total"), of("identity"));
    let mut overrides = Vec::new();
    for entry in spec.list("overrides") {
        let client = |client: Field<'_>| {
            let namespace = client.text_at("namespace").unwrap_or_else(|| object.meta.namespace().to_owned());
            client.text_at("group");
            client.text_at("kind");
            Some(format!("{namespace}/{}", client.text_at("name")?))
        };
        let clients = entry.read_list("clientRefs", client);
        if let Some(limit) = cx.count(&entry, "requestsPerSecond") {
            overrides.push((clients, limit));
        }
    }
    Some(HttpLocalRateLimitPolicy {
        meta: object.meta.clone(),
        server: target.located_text("name")?,
        total,
        identity,
        overrides,
    })
}
