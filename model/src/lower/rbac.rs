//! AuthorizationPolicies as access control filters (`AZ-1` to `AZ-11`).

use meshproof_proxy::config::{ExtAuthz, Filter, Jwt, Permission, Principal, Rbac, RbacAction, RbacPolicy, RbacRules};

use super::{
    Lowering,
    attachment::{Attachment, Reach},
    jwt,
    rbac_match::Terms,
};
use crate::{
    Location, ResourceRef,
    istio::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Authorizes},
};

/// Access control of one listener.
#[derive(Debug, Default)]
pub(super) struct Access {
    /// In the order in which they decide: CUSTOM, tokens, AUDIT, DENY, ALLOW (`AZ-2`).
    pub(super) filters: Vec<Filter>,
    /// The policies, in the same order.
    pub(super) policies: Vec<(ResourceRef, Location)>,
}

/// A rule behind a policy of an access control filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RuleName<'a> {
    /// The AuthorizationPolicy's namespace.
    pub namespace: &'a str,
    /// The AuthorizationPolicy's name.
    pub name: &'a str,
    /// Which of its rules, from 0.
    pub rule: usize,
}

/// The rule that a policy of an access control filter stands for; `None`: for none.
pub fn rule_name(policy: &str) -> Option<RuleName<'_>> {
    let rest = policy.strip_prefix("ns[")?.strip_suffix(']')?;
    let (namespace, rest) = rest.split_once("]-policy[")?;
    let (name, rule) = rest.split_once("]-rule[")?;
    Some(RuleName { namespace, name, rule: rule.parse().ok()? })
}

/// What a proxy sees of what it judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// Requests.
    Requests,
    /// Connections only.
    Connections,
    /// Connections only, by a ztunnel.
    Ztunnel,
}

impl Seen {
    /// What a proxy with HTTP filters sees.
    pub(super) const fn by_proxy(is_tcp: bool) -> Self {
        if is_tcp { Self::Connections } else { Self::Requests }
    }
}

/// The filters of a proxy's listener; on TCP only what connections show can be asked for (`AZ-8`).
pub(super) fn lower(lowering: &Lowering<'_>, attachment: &Attachment<'_>, seen: Seen) -> Access {
    let is_tcp = seen != Seen::Requests;
    let policies = attached(lowering, attachment);
    let mut access = Access::default();
    let of = |action| policies.iter().copied().filter(move |policy| policy.action.value == action);
    let custom: Vec<&AuthorizationPolicy> = of(AuthorizationAction::Custom).collect();
    for policy in &custom {
        access.policies.push((policy.meta.resource.clone(), policy.meta.at.clone()));
        access.filters.extend(custom_filter(lowering, policy, &custom, seen));
    }
    let tokens = if is_tcp { None } else { jwt::lower(lowering, attachment) };
    // CUSTOM never sees a verified token (`AZ-2`); a filter that asks for none marks where tokens are known.
    let tokens = tokens.or_else(|| (!custom.is_empty() && !is_tcp).then(Jwt::default));
    access.filters.extend(tokens.map(Filter::Jwt));
    for (action, effect) in [
        (AuthorizationAction::Audit, RbacAction::Log),
        (AuthorizationAction::Deny, RbacAction::Deny),
        (AuthorizationAction::Allow, RbacAction::Allow),
    ] {
        if of(action).next().is_none() {
            continue;
        }
        access.policies.extend(of(action).map(|policy| (policy.meta.resource.clone(), policy.meta.at.clone())));
        let rules = rules(lowering, effect, of(action), seen);
        access.filters.push(Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }));
    }
    access
}

/// Asks the policy's provider. Where the mesh knows none of that name, or the policies of one workload name several,
/// what the rules match is refused instead; one that cannot judge connections is not asked about them (`AZ-10`).
fn custom_filter(
    lowering: &Lowering<'_>,
    policy: &AuthorizationPolicy,
    all: &[&AuthorizationPolicy],
    seen: Seen,
) -> Option<Filter> {
    let settings = &lowering.mesh.settings;
    let rules = rules(lowering, RbacAction::Deny, std::iter::once(policy), seen);
    let name = |policy: &AuthorizationPolicy| policy.provider.as_ref().map(|provider| provider.value.clone());
    let own = name(policy).unwrap_or_default();
    let known = settings.extension_providers.iter().find(|provider| provider.name == own);
    let authorizes = known.and_then(|provider| provider.authorizes);
    let several = all.iter().any(|other| name(other) != name(policy));
    // Without the mesh's settings it is not known which providers there are.
    if several || (settings.at.is_some() && authorizes.is_none()) {
        return Some(Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }));
    }
    if seen != Seen::Requests && authorizes == Some(Authorizes::Requests) {
        return None;
    }
    Some(Filter::ExtAuthz(ExtAuthz {
        provider: own,
        filter_enabled: Some(rules),
        // The provider's own timeout is not part of the mesh; Istio's default is ten minutes (`AZ-10`).
        timeout: Some(meshproof_proxy::Nanos::from_secs(600)),
        ..ExtAuthz::default()
    }))
}

/// Policies that hold for a proxy (`AZ-1`); those on trial decide nothing (`AZ-9`).
fn attached<'m>(lowering: &Lowering<'m>, attachment: &Attachment<'m>) -> Vec<&'m AuthorizationPolicy> {
    attachment
        .namespaces()
        .into_iter()
        .flat_map(|namespace| lowering.authorization_policies(namespace, attachment.labels()))
        .filter(|policy| {
            let (selector, target_refs) = (&policy.selector, policy.target_refs.as_slice());
            !policy.dry_run && attachment.admits(&Reach { meta: &policy.meta, selector, target_refs })
        })
        .collect()
}

/// The rules of policies with one action. Without rules a policy matches nothing: an ALLOW then refuses all, a DENY has
/// no effect (`AZ-3`).
fn rules<'m>(
    lowering: &Lowering<'_>,
    action: RbacAction,
    policies: impl Iterator<Item = &'m AuthorizationPolicy>,
    seen: Seen,
) -> RbacRules {
    let mut lowered = Vec::new();
    for policy in policies {
        for (number, rule) in policy.rules.iter().enumerate() {
            let name = format!("ns[{}]-policy[{}]-rule[{number}]", policy.meta.namespace(), policy.meta.name());
            let terms = Terms {
                settings: &lowering.mesh.settings,
                namespace: policy.meta.namespace(),
                is_tcp: seen != Seen::Requests,
                // What cannot be asked for makes an ALLOW rule match nothing, and other rules match more (`AZ-8`).
                drops_rule: action == RbacAction::Allow,
            };
            let asks = !(rule.from.is_empty() && rule.to.is_empty() && rule.when.is_empty());
            if let Some((permissions, principals)) = rule_terms(&terms, rule) {
                // A ztunnel drops a rule of which nothing is left (`AB-3`).
                let is_bare = permissions == [Permission::Any] && principals == [Principal::Any];
                if seen == Seen::Ztunnel && asks && is_bare {
                    continue;
                }
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
