//! Kubernetes: `discovery.v1.EndpointSlice` and `v1.Endpoints` (`K-1`).

use meshproof_model::{
    Located,
    kubernetes::{EndpointAddress, Endpoints},
};

use crate::{cx::Cx, field::Field, object::Object};

/// Reads an `EndpointSlice`; one that no Service owns is nobody's.
pub(super) fn slice(object: &Object<'_>, cx: &mut Cx) -> Option<Endpoints> {
    let root = Field::root(object.file, object.root, object.path.clone());
    let service = object.meta.labels.get("kubernetes.io/service-name")?.clone();
    let mut addresses = Vec::new();
    for entry in root.list("endpoints") {
        let conditions = entry.get("conditions");
        let is_ready = conditions.and_then(|conditions| conditions.bool_at("ready")).unwrap_or(true);
        let zone = entry.text_at("zone");
        let address = |address: Located<String>| EndpointAddress {
            at: address.at,
            address: address.value,
            is_ready,
            zone: zone.clone(),
        };
        addresses.extend(entry.texts("addresses").into_iter().map(address));
    }
    Some(Endpoints { meta: object.meta.clone(), service, addresses, ports: ports(&root, cx) })
}

/// Reads Endpoints, whose name is the Service's.
pub(super) fn of_service(object: &Object<'_>, cx: &mut Cx) -> Endpoints {
    let root = Field::root(object.file, object.root, object.path.clone());
    let mut addresses = Vec::new();
    let mut numbers = Vec::new();
    for subset in root.list("subsets") {
        for (key, is_ready) in [("addresses", true), ("notReadyAddresses", false)] {
            let address = |entry: Field<'_>| {
                let address = entry.text_at("ip").or_else(|| entry.text_at("hostname"))?;
                Some(EndpointAddress { at: entry.at(), address, is_ready, zone: None })
            };
            addresses.extend(subset.list(key).filter_map(address));
        }
        numbers.extend(ports(&subset, cx));
    }
    let service = object.meta.name().to_owned();
    Endpoints { meta: object.meta.clone(), service, addresses, ports: numbers }
}

fn ports(field: &Field<'_>, cx: &mut Cx) -> Vec<(String, Located<u16>)> {
    let port = |entry: Field<'_>| Some((entry.text_at("name").unwrap_or_default(), cx.port(&entry, "port")?));
    field.list("ports").filter_map(port).collect()
}
