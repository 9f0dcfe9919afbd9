//! Policies of Gateway API for a service, which hold where no DestinationRule says otherwise (`G-11`, `G-12`).

use crate::{
    Located, Mesh, Meta, ServiceId,
    gateway_api::{BackendTlsPolicy, BackendTrafficPolicy, PolicyTarget, age},
    istio::{ClientTls, ClientTlsMode, RetryBudget},
    lower::{client::Client, destination_rule::Policy},
};

/// What policies say of services, the oldest first: of several for one port the first counts.
#[derive(Debug, Default)]
pub(in crate::lower) struct Beneath {
    tls: Vec<(ServiceId, Option<String>, ClientTls)>,
    budgets: Vec<(ServiceId, RetryBudget)>,
}

impl Beneath {
    pub(in crate::lower) fn new(mesh: &Mesh) -> Self {
        let mut tls: Vec<&BackendTlsPolicy> = mesh.gateway_api.backend_tls.iter().collect();
        tls.sort_by_key(|policy| age(&policy.meta));
        let mut traffic: Vec<&BackendTrafficPolicy> = mesh.gateway_api.backend_traffic.iter().collect();
        traffic.sort_by_key(|policy| age(&policy.meta));
        let mut beneath = Self::default();
        for policy in tls {
            for (target, service) in targets(mesh, &policy.meta, &policy.targets) {
                let port = target.section.as_ref().map(|section| section.value.clone());
                beneath.tls.extend(originated(policy).map(|tls| (service, port, tls)));
            }
        }
        for policy in traffic {
            for (_, service) in targets(mesh, &policy.meta, &policy.targets) {
                beneath.budgets.extend(budget(policy).map(|budget| (service, budget)));
            }
        }
        beneath
    }

    /// A client's policy for a service's port, completed. TLS is for gateways only: between sidecars the mesh has its
    /// own.
    pub(in crate::lower) fn complete<'p>(
        &'p self,
        policy: Policy<'p>,
        client: &Client<'_>,
        service: ServiceId,
        port: &str,
    ) -> Policy<'p> {
        if !client.has_policy() {
            return policy;
        }
        let of_port = |section: &Option<String>| section.as_ref().is_none_or(|section| section == port);
        // A policy for the port itself comes before one for the whole service.
        let mut tls =
            self.tls.iter().filter(|(id, section, _)| client.is_gateway() && *id == service && of_port(section));
        let tls = tls.clone().find(|(_, section, _)| section.is_some()).or_else(|| tls.next()).map(|(.., tls)| tls);
        let budget = self.budgets.iter().find(|(id, _)| *id == service).map(|(_, budget)| budget);
        Policy { tls: policy.tls.or(tls), retry_budget: policy.retry_budget.or(budget), ..policy }
    }
}

/// The services that a policy is about; they are of its own namespace.
fn targets<'p>(
    mesh: &'p Mesh,
    meta: &'p Meta,
    targets: &'p [PolicyTarget],
) -> impl Iterator<Item = (&'p PolicyTarget, ServiceId)> {
    let services = targets.iter().filter(|target| target.kind == "Service" && target.group.is_empty());
    services.filter_map(|target| Some((target, mesh.find_service(meta.namespace(), &target.name.value)?)))
}

/// TLS to the name that the policy asks for; its certificate has that name, or one of the others.
fn originated(policy: &BackendTlsPolicy) -> Option<ClientTls> {
    let hostname = policy.hostname.as_ref()?;
    let names = if policy.sans.is_empty() { std::slice::from_ref(hostname) } else { policy.sans.as_slice() };
    Some(ClientTls {
        at: hostname.at.clone(),
        mode: Located::new(ClientTlsMode::Simple, hostname.at.clone()),
        sni: Some(hostname.value.clone()),
        subject_alt_names: names.iter().map(|name| name.value.clone()).collect(),
        credential_name: None,
    })
}

/// As Istio carries it out: the least rate of retries becomes the number of retries that may always run.
fn budget(policy: &BackendTrafficPolicy) -> Option<RetryBudget> {
    let written = policy.budget.as_ref()?;
    let or = |value: Option<&Located<u32>>, default: u32| match value {
        Some(value) => value.clone(),
        None => Located::new(default, written.at.clone()),
    };
    let percent = or(written.percent.as_ref(), 20).map(|percent| percent.saturating_mul(10_000));
    let least = or(written.min_count.as_ref(), 10);
    Some(RetryBudget { at: written.at.clone(), percent: Some(percent), min_retry_concurrency: Some(least) })
}
