//! Deprecated fields and kinds (`IST0002`), and definitions of kinds that Istio is too new for (`IST0176`). Istio:
//! `analyzers/deprecation`, `analyzers/k8sgateway/crdversion.go`.

use super::{
    message::{DEPRECATED, OLD_DEFINITION},
    report::Report,
    world::{CUSTOM_RESOURCE_DEFINITION, Resource, SIDECAR, VIRTUAL_SERVICE, World},
};

const REMOVED: &[&str] = &["ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"];

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for service in world.all(VIRTUAL_SERVICE) {
        let uses = |rule: super::tree::Tree<'_>| rule.at("fault.delay.percent").int() > 0;
        if let Some(rule) = service.spec.list("http").position(uses) {
            let text = "`percent` of a delay is deprecated";
            let path = format!("spec.http[{rule}].fault.delay");
            report.advise(&DEPRECATED, service, &path, text, "write `percentage: {value: ...}`");
        }
    }
    for sidecar in world.all(SIDECAR) {
        if sidecar.spec.at("outboundTrafficPolicy.egressProxy").is_set() {
            let path = "spec.outboundTrafficPolicy.egressProxy";
            report.say(&DEPRECATED, sidecar, path, "`outboundTrafficPolicy.egressProxy` is ignored");
        }
    }
    for definition in world.all(CUSTOM_RESOURCE_DEFINITION) {
        let kind = definition.spec.at("names.kind").text();
        if definition.spec.get("group").text() == "rbac.istio.io" && REMOVED.contains(&kind) {
            let text = format!("the kind `{kind}` of rbac.istio.io was removed from Istio");
            report.say(&DEPRECATED, definition, "spec.names.kind", text);
        }
        bundle(definition, report);
    }
}

const BUNDLE_VERSION: &str = "gateway.networking.k8s.io/bundle-version";

/// The oldest bundle of Gateway API whose definition Istio takes. Istio: `pkg/config/schema/gatewayapi`.
const OLDEST: &[(&str, [u64; 3])] = &[
    ("grpcroutes.gateway.networking.k8s.io", [1, 1, 0]),
    ("backendtlspolicies.gateway.networking.k8s.io", [1, 4, 0]),
    ("tlsroutes.gateway.networking.k8s.io", [1, 5, 0]),
];

fn bundle(definition: &Resource<'_>, report: &mut Report) {
    let Some((_, oldest)) = OLDEST.iter().find(|(name, _)| *name == definition.name()) else { return };
    let Some(written) = definition.annotation(BUNDLE_VERSION) else { return };
    if version(written).is_some_and(|own| own < *oldest) {
        let [major, minor, patch] = oldest;
        let text =
            format!("bundle {written} of Gateway API is older than {major}.{minor}.{patch}: Istio ignores the kind");
        report.say(&OLD_DEFINITION, definition, "metadata.annotations", text);
    }
}

/// `v1.4.0-rc.1` without what comes after the numbers; parts that are left out are 0.
fn version(text: &str) -> Option<[u64; 3]> {
    let numbers = text.trim_start_matches('v').split(['-', '+']).next()?;
    let mut own = [0; 3];
    for (i, part) in numbers.split('.').enumerate() {
        *own.get_mut(i)? = part.parse().ok()?;
    }
    Some(own)
}
