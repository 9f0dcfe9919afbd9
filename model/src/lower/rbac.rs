//! AuthorizationPolicies as access control filters (`AZ-1` to `AZ-11`).

use meshproof_proxy::config::{ExtAuthz, Filter, Permission, Principal, Rbac, RbacAction, RbacPolicy, RbacRules};

use super::{Lowering, rbac_match::Terms};
use crate::{
    Location, ResourceRef, WorkloadId, is_subset,
    istio::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule},
};

/// Access control of one listener.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// In the order in which they decide: CUSTOM, AUDIT, DENY, ALLOW (`AZ-2`).
    pub(super) filters: Vec<Filter>,
    /// The policies, in the same order.
    pub(super) policies: Vec<(ResourceRef, Location)>,
}

/// The filters of a workload's listener; on TCP only what connections show can be asked for (`AZ-8`).
pub(super) fn lower(lowering: &Lowering<'_>, workload: WorkloadId, is_tcp: bool) -> Access {
    let policies = attached(lowering, workload);
    let mut access = Access::default();
    let of = |action| policies.iter().copied().filter(move |policy| policy.action.value == action);
    for policy in of(AuthorizationAction::Custom) {
        let rules = rules(lowering, RbacAction::Deny, std::iter::once(policy), is_tcp);
        access.policies.push((policy.meta.resource.clone(), policy.meta.at.clone()));
        access.filters.push(Filter::ExtAuthz(ExtAuthz {
            provider: policy.provider.as_ref().map(|provider| provider.value.clone()).unwrap_or_default(),
            filter_enabled: Some(rules),
            // The provider's own timeout is not part of the mesh; Istio's default is ten minutes (`AZ-10`).
            timeout: Some(meshproof_proxy::Nanos::from_secs(600)),
            ..ExtAuthz::default()
        }));
    }
    for (action, effect) in [
        (AuthorizationAction::Audit, RbacAction::Log),
        (AuthorizationAction::Deny, RbacAction::Deny),
        (AuthorizationAction::Allow, RbacAction::Allow),
    ] {
        if of(action).next().is_none() {
            continue;
        }
        access.policies.extend(of(action).map(|policy| (policy.meta.resource.clone(), policy.meta.at.clone())));
        let rules = rules(lowering, effect, of(action), is_tcp);
        access.filters.push(Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }));
    }
    access
}

/// Policies that hold for a workload (`AZ-1`): of its own namespace and of the root namespace, those without a selector
/// or with one that its pods have. Those that name targets are for waypoints, those on trial decide nothing (`AZ-9`).
fn attached<'m>(lowering: &Lowering<'m>, workload: WorkloadId) -> Vec<&'m AuthorizationPolicy> {
    let workload = lowering.mesh.workload(workload);
    let root = lowering.mesh.settings.root_namespace.value.as_str();
    let own = workload.meta.namespace();
    let mut namespaces = vec![root];
    if own != root {
        namespaces.push(own);
    }
    namespaces
        .into_iter()
        .flat_map(|namespace| lowering.authorization_policies(namespace))
        .filter(|policy| !policy.has_target_refs && !policy.dry_run)
        .filter(|policy| is_subset(&policy.selector, &workload.labels))
        .collect()
}

/// The rules of policies with one action. Without rules a policy matches nothing: an ALLOW then refuses all, a DENY has
/// no effect (`AZ-3`).
fn rules<'m>(
    lowering: &Lowering<'_>,
    action: RbacAction,
    policies: impl Iterator<Item = &'m AuthorizationPolicy>,
    is_tcp: bool,
) -> RbacRules {
    let mut lowered = Vec::new();
    for policy in policies {
        for (number, rule) in policy.rules.iter().enumerate() {
            let name = format!("ns[{}]-policy[{}]-rule[{number}]", policy.meta.namespace(), policy.meta.name());
            let terms = Terms {
                settings: &lowering.mesh.settings,
                namespace: policy.meta.namespace(),
                is_tcp,
                // What cannot be asked for makes an ALLOW rule match nothing, and other rules match more (`AZ-8`).
                drops_rule: action == RbacAction::Allow,
            };
            if let Some((permissions, principals)) = rule_terms(&terms, rule) {
                lowered.push(RbacPolicy { name, permissions, principals });
            }
        }
    }
    RbacRules { action, policies: lowered }
}

/// A rule: some of `from`, some of `to`, and all of `when` (`AZ-4`); `None`: it can match nothing.
fn rule_terms(terms: &Terms<'_>, rule: &AuthorizationRule) -> Option<(Vec<Permission>, Vec<Principal>)> {
    let mut shared_permissions = Vec::new();
    let mut shared_principals = Vec::new();
    for condition in &rule.when {
        terms.condition(condition, &mut shared_permissions, &mut shared_principals)?;
    }
    let mut principals = Vec::new();
    for source in &rule.from {
        let mut all = terms.source(source)?;
        all.extend(shared_principals.iter().cloned());
        principals.push(and(all, Principal::Any, Principal::AllOf));
    }
    if rule.from.is_empty() {
        principals.push(and(shared_principals, Principal::Any, Principal::AllOf));
    }
    let mut permissions = Vec::new();
    for operation in &rule.to {
        let mut all = terms.operation(operation)?;
        all.extend(shared_permissions.iter().cloned());
        permissions.push(and(all, Permission::Any, Permission::AllOf));
    }
    if rule.to.is_empty() {
        permissions.push(and(shared_permissions, Permission::Any, Permission::AllOf));
    }
    Some((permissions, principals))
}

fn and<T>(mut all: Vec<T>, any: T, join: fn(Vec<T>) -> T) -> T {
    match (all.len(), all.pop()) {
        (1, Some(only)) => only,
        (_, None) => any,
        (_, Some(last)) => {
            all.push(last);
            join(all)
        }
    }
}
