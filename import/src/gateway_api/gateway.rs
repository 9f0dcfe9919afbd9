//! Gateway API: Gateway, GatewayClass, ListenerSet.

use meshproof_model::{
    Located,
    gateway_api::{Address, FromNamespaces, Gateway, GatewayClass, LabelSelector, Listener, ListenerSet, ListenerTls},
};

use super::refs;
use crate::{cx::Cx, field::Field, object::Object};

/// Reads a Gateway.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<Gateway> {
    let spec = object.get("spec")?;
    let labels = spec.get("infrastructure").map(|f| f.labels_at("labels")).unwrap_or_default();
    Some(Gateway {
        meta: object.meta.clone(),
        class: spec.located_text("gatewayClassName")?,
        listeners: listeners(&spec, cx),
        addresses: spec.read_list("addresses", |field| address(&field)),
        infrastructure_labels: labels,
        allowed_listeners: spec.get("allowedListeners").and_then(|field| from(&field)),
    })
}

/// Reads a GatewayClass.
pub(crate) fn class(object: &Object<'_>) -> GatewayClass {
    let controller = object.get("spec").and_then(|spec| spec.located_text("controllerName"));
    GatewayClass { meta: object.meta.clone(), controller }
}

/// Reads a ListenerSet.
pub(crate) fn listener_set(object: &Object<'_>, cx: &mut Cx) -> Option<ListenerSet> {
    let spec = object.get("spec")?;
    let parent = refs::parent(&spec.get("parentRef")?, cx)?;
    Some(ListenerSet { meta: object.meta.clone(), parent, listeners: listeners(&spec, cx) })
}

fn address(field: &Field<'_>) -> Option<Located<Address>> {
    let value = field.text_at("value")?;
    let address = match field.text_at("type").as_deref() {
        Some("Hostname") => Address::Hostname(value),
        None | Some("IPAddress") => Address::Ip(value),
        Some(other) => Address::Other(other.to_owned(), value),
    };
    Some(field.located(address))
}

fn listeners(spec: &Field<'_>, cx: &mut Cx) -> Vec<Listener> {
    spec.list("listeners").filter_map(|field| listener(&field, cx)).collect()
}

fn listener(field: &Field<'_>, cx: &mut Cx) -> Option<Listener> {
    let allowed = field.get("allowedRoutes");
    let kinds = allowed.iter().flat_map(|allowed| allowed.list("kinds")).filter_map(|kind| {
        let group = kind.text_at("group").unwrap_or_else(|| meshproof_model::gateway_api::GROUP.to_owned());
        Some(kind.located((group, kind.text_at("kind")?)))
    });
    let kinds = kinds.collect();
    Some(Listener {
        at: field.at(),
        name: field.located_text("name")?,
        hostname: field.located_text("hostname").filter(|host| !host.value.is_empty()),
        port: cx.port(field, "port")?,
        protocol: field.located_text("protocol")?,
        tls: field.get("tls").map(|tls| listener_tls(&tls)),
        from: allowed.and_then(|allowed| from(&allowed)),
        kinds,
    })
}

fn listener_tls(field: &Field<'_>) -> ListenerTls {
    let options = field.labels_at("options");
    let certificate = |f: Field<'_>| Some(f.located((f.text_at("namespace"), f.text_at("name")?)));
    let istio_mode = options.get("gateway.istio.io/tls-terminate-mode").map(String::as_str);
    ListenerTls {
        at: field.at(),
        mode: field.located_text("mode"),
        certificates: field.read_list("certificateRefs", certificate),
        verifies_clients: matches!(istio_mode, Some("MUTUAL")) || field.get("frontendValidation").is_some(),
        istio_mutual: istio_mode == Some("ISTIO_MUTUAL"),
    }
}

/// `namespaces` of `allowedRoutes` and `allowedListeners`; another word is the schema's finding.
fn from(allowed: &Field<'_>) -> Option<Located<FromNamespaces>> {
    let field = allowed.get("namespaces")?;
    let selected = field.get("selector").map(|selector| label_selector(&selector));
    let from = match field.text_at("from").as_deref() {
        Some("All") => FromNamespaces::All,
        Some("None") => FromNamespaces::None,
        Some("Selector") => selected.map_or(FromNamespaces::None, FromNamespaces::Selector),
        _ => FromNamespaces::Same,
    };
    Some(field.located(from))
}

fn label_selector(field: &Field<'_>) -> LabelSelector {
    let expression = |f: Field<'_>| {
        let values = f.texts("values").into_iter().map(|value| value.value).collect();
        Some((f.text_at("key")?, f.text_at("operator")?, values))
    };
    LabelSelector {
        labels: field.labels_at("matchLabels"),
        expressions: field.read_list("matchExpressions", expression),
    }
}
