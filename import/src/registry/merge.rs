//! What several readers read, put together in the order of the objects.

use meshproof_model::{Mesh, delivery::Delivery, gateway_api::GatewayApi, kubernetes::Kubernetes, linkerd::Linkerd};

use super::Reader;
use crate::Imported;

/// Adds the lists of one value to those of another; the fields after `not` are left as they are. All fields have to be
/// named, so that none is forgotten.
macro_rules! extend {
    ($into:expr, $from:expr, $kind:ident { $($list:ident),* $(; not $($other:ident),*)? }) => {
        let $kind { $($list,)* $($($other: _,)*)? } = $from;
        $($into.$list.extend($list);)*
    };
}

impl Reader<'_> {
    /// Adds what `part` read, all of which stands after what this one read.
    pub(super) fn absorb(&mut self, part: Self) {
        let Reader { sources: _, options: _, out, workloads, groups, namespaces, has_istio, has_linkerd, .. } = part;
        self.overruled.extend(part.overruled);
        self.workloads.extend(workloads);
        self.groups.extend(groups);
        self.namespaces.extend(namespaces);
        self.has_istio |= has_istio;
        self.has_linkerd |= has_linkerd;
        let Imported { mesh, findings, suppressions, unreadable, objects: _ } = out;
        self.out.findings.extend(findings);
        self.out.suppressions.extend(suppressions);
        self.out.unreadable |= unreadable;
        join(&mut self.out.mesh, mesh);
    }
}

/// Settings and behaviour come from elsewhere.
fn join(into: &mut Mesh, mut from: Mesh) {
    let (gateway_api, linkerd) = (std::mem::take(&mut from.gateway_api), std::mem::take(&mut from.linkerd));
    let (kubernetes, delivery) = (std::mem::take(&mut from.kubernetes), std::mem::take(&mut from.delivery));
    extend!(into, from, Mesh {
        namespaces, services, workloads, virtual_services, destination_rules, gateways, peer_authentications, sidecars,
        request_authentications, authorization_policies, envoy_filters, rate_limit_services, proxy_configs,
        telemetries, envoy_dumps, inferred_calls, unmodelled;
        not settings, behaviour, gateway_api, linkerd, kubernetes, delivery, pod_blocks
    });
    extend!(into.gateway_api, gateway_api, GatewayApi {
        classes, gateways, listener_sets, http_routes, connection_routes, grants, backend_tls, backend_traffic,
        ingresses; not implementation
    });
    extend!(
        into.linkerd,
        linkerd,
        Linkerd {
            namespaces,
            profiles,
            policies,
            http_routes,
            servers,
            server_authorizations,
            authorization_policies,
            mesh_tls_authentications,
            network_authentications,
            rate_limits,
            traffic_splits
        }
    );
    extend!(into.kubernetes, kubernetes, Kubernetes { network_policies, autoscalers, disruption_budgets, endpoints });
    extend!(into.delivery, delivery, Delivery { rollouts, analyses, canaries, templates, scalers, waves });
}
