//! Linkerd's kinds and annotations.

pub(crate) mod annotations;
mod authorization;
pub(crate) mod lints;
mod profile;
mod server;

use meshproof_model::{
    Mesh,
    linkerd::{HttpLocalRateLimitPolicy, TrafficSplit},
};

use crate::{cx::Cx, field::Field, gateway_api, object::Object, unmodelled};

/// Reads an object of `linkerd.io`, `policy.linkerd.io` or `split.smi-spec.io` into the mesh.
pub(crate) fn read(object: &Object<'_>, mesh: &mut Mesh, cx: &mut Cx) {
    let Some(spec) = object.get("spec") else { return };
    let linkerd = &mut mesh.linkerd;
    match object.meta.resource.kind.as_str() {
        "ServiceProfile" => linkerd.profiles.push(profile::read(object, &spec, cx)),
        "Server" => linkerd.servers.extend(server::read(object, &spec, cx)),
        "HTTPLocalRateLimitPolicy" => linkerd.rate_limits.extend(server::rate_limit(object, &spec, cx)),
        "AuthorizationPolicy" => linkerd.authorization_policies.extend(authorization::policy(object, &spec)),
        "ServerAuthorization" => linkerd.server_authorizations.extend(authorization::of_server(object, &spec)),
        "MeshTLSAuthentication" => linkerd.mesh_tls_authentications.push(authorization::mesh_tls(object, &spec)),
        "NetworkAuthentication" => linkerd.network_authentications.push(authorization::network(object, &spec)),
        "HTTPRoute" => linkerd.http_routes.extend(gateway_api::route::http(object, cx)),
        "TrafficSplit" => linkerd.traffic_splits.extend(traffic_split(object, &spec, cx)),
        _ => {}
    }
    if let Some(reason) = gaps(object, mesh) {
        mesh.unmodelled.push(unmodelled::whole(object, reason));
    }
}

/// What an object says that verdicts do not see.
fn gaps(object: &Object<'_>, mesh: &Mesh) -> Option<&'static str> {
    let linkerd = &mesh.linkerd;
    match object.meta.resource.kind.as_str() {
        "HTTPLocalRateLimitPolicy" => {
            let single = |limit: &HttpLocalRateLimitPolicy| limit.identity.is_some() || !limit.overrides.is_empty();
            linkerd
                .rate_limits
                .last()
                .filter(|limit| single(limit))
                .map(|_| "limits of single clients are not modelled: only the limit of all clients together is judged")
        }
        "Server" => linkerd
            .servers
            .last()
            .filter(|server| server.pods.is_none())
            .map(|_| "workloads outside the cluster are not modelled"),
        "TrafficSplit" => linkerd
            .traffic_splits
            .last()
            .filter(|split| split.has_matches)
            .map(|_| "`matches` are not modelled: all requests are split"),
        _ => None,
    }
}

/// The weights of `v1alpha1` are quantities, such as `500m`.
fn traffic_split(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Option<TrafficSplit> {
    let backend = |entry: Field<'_>| {
        let weight = entry.get("weight")?;
        let Some(milli) = weight.text().and_then(|text| quantity_milli(&text)) else {
            cx.invalid(&weight, "a weight is a number of 0 or more", "write a whole number");
            return None;
        };
        let value = u32::try_from(milli).unwrap_or(u32::MAX);
        Some((entry.located_text("service")?, weight.located(value)))
    };
    Some(TrafficSplit {
        meta: object.meta.clone(),
        service: spec.located_text("service")?,
        backends: spec.read_list("backends", backend),
        has_matches: spec.get("matches").is_some_and(|matches| !matches.is_empty()),
    })
}

/// A quantity of Kubernetes in thousandths: `1`, `0.5`, `500m`; `None` for any other.
pub(crate) fn quantity_milli(text: &str) -> Option<u64> {
    if let Some(milli) = text.strip_suffix('m') {
        return milli.parse().ok();
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let whole: u64 = whole.parse().ok()?;
    let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
    whole.checked_mul(1000)?.checked_add(fraction)
}

#[cfg(test)]
mod tests {
    use super::quantity_milli;

    #[test]
    fn weights_are_quantities() {
        for (text, milli) in [("1", Some(1000)), ("500m", Some(500)), ("0.5", Some(500)), ("x", None), ("-1", None)] {
            assert_eq!(quantity_milli(text), milli, "{text}");
        }
    }
}
