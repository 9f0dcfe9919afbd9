//! Istio: networking.v1.Sidecar.

use meshproof_model::{
    Labels,
    istio::{Egress, Sidecar},
};

use crate::{cx::Cx, field::Field, object::Object};

/// Reads one; without a `spec` it imports everything.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Sidecar {
    let meta = object.meta.clone();
    let mut sidecar = Sidecar { meta, selector: Labels::new(), egress: Vec::new(), outbound_allow_any: None };
    let Some(spec) = object.get("spec") else { return sidecar };
    sidecar.selector = spec.get("workloadSelector").map(|selector| selector.labels_at("labels")).unwrap_or_default();
    sidecar.egress = spec.list("egress").map(|entry| egress(&entry, cx)).collect();
    if let Some(policy) = spec.get("outboundTrafficPolicy") {
        sidecar.outbound_allow_any = Cx::word(&policy, "mode", &[("ALLOW_ANY", true), ("REGISTRY_ONLY", false)]);
    }
    sidecar
}

fn egress(field: &Field<'_>, cx: &mut Cx) -> Egress {
    let port = field.get("port").and_then(|port| {
        // Name and protocol of the port say nothing that the number does not.
        let _ = (port.get("name"), port.get("protocol"));
        cx.port(&port, "number")
    });
    Egress { at: field.at(), port: port.map(|port| port.value), hosts: field.texts("hosts") }
}
