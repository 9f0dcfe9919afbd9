//! Istio: security.v1.PeerAuthentication.

use meshproof_model::{
    Labels, Located,
    istio::{MtlsMode, PeerAuthentication},
};

use crate::{cx::Cx, field::Field, object::Object};

/// Reads one; without a `spec` it inherits everything.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> PeerAuthentication {
    let mut policy =
        PeerAuthentication { meta: object.meta.clone(), selector: Labels::new(), mode: None, port_level: Vec::new() };
    let Some(spec) = object.get("spec") else { return policy };
    policy.selector = Cx::match_labels(&spec, "selector");
    policy.mode = spec.get("mtls").and_then(|mtls| mode(&mtls));
    for (port, field) in spec.get("portLevelMtls").into_iter().flat_map(|ports| ports.fields()) {
        match port.parse::<u16>() {
            Ok(number) if number > 0 => {
                let mode = mode(&field).map(|mode| mode.value);
                policy.port_level.push((field.located(number), mode));
            }
            _ => cx.invalid(&field, format!("`{port}` is not a port"), "the keys are ports of the pods, 1 to 65535"),
        }
    }
    policy
}

/// `mode`; `UNSET` counts as absent.
fn mode(mtls: &Field<'_>) -> Option<Located<MtlsMode>> {
    const MODES: &[(&str, MtlsMode)] =
        &[("DISABLE", MtlsMode::Disable), ("PERMISSIVE", MtlsMode::Permissive), ("STRICT", MtlsMode::Strict)];
    Cx::word(mtls, "mode", MODES)
}
