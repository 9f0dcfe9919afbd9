//! Istio: security.v1.AuthorizationPolicy.

use meshproof_model::{
    Labels, Located,
    istio::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule, Condition, Operation, Source, TargetRef},
};

use crate::{cx::Cx, field::Field, object::Object};

/// Reads one; an empty one allows nothing (`AZ-3`).
pub(crate) fn read(object: &Object<'_>) -> AuthorizationPolicy {
    const ACTIONS: &[(&str, AuthorizationAction)] = &[
        ("ALLOW", AuthorizationAction::Allow),
        ("DENY", AuthorizationAction::Deny),
        ("AUDIT", AuthorizationAction::Audit),
        ("CUSTOM", AuthorizationAction::Custom),
    ];
    let dry_run = object.meta.annotations.get("istio.io/dry-run").is_some_and(|value| value == "true");
    let mut policy = AuthorizationPolicy {
        meta: object.meta.clone(),
        selector: Labels::new(),
        target_refs: Vec::new(),
        action: Located::new(AuthorizationAction::Allow, object.meta.at.clone()),
        provider: None,
        rules: Vec::new(),
        dry_run,
    };
    let Some(spec) = object.get("spec") else { return policy };
    policy.selector = Cx::match_labels(&spec, "selector");
    policy.target_refs = target_refs(&spec);
    if let Some(action) = Cx::word(&spec, "action", ACTIONS) {
        policy.action = action;
    }
    policy.provider = spec.get("provider").and_then(|provider| provider.located_text("name"));
    policy.rules = spec.list("rules").map(|entry| rule(&entry)).collect();
    policy
}

/// `targetRefs`, or the one of the older `targetRef`.
pub(crate) fn target_refs(spec: &Field<'_>) -> Vec<TargetRef> {
    let read = |field: Field<'_>| TargetRef {
        at: field.at(),
        group: field.text_at("group").unwrap_or_default(),
        kind: field.text_at("kind").unwrap_or_default(),
        name: field.text_at("name").unwrap_or_default(),
        namespace: field.text_at("namespace"),
    };
    let several: Vec<TargetRef> = spec.list("targetRefs").map(read).collect();
    if several.is_empty() { spec.get("targetRef").into_iter().map(read).collect() } else { several }
}

fn rule(field: &Field<'_>) -> AuthorizationRule {
    AuthorizationRule {
        at: Some(field.at()),
        from: field.list("from").map(|from| from.get("source").map(|s| source(&s)).unwrap_or_default()).collect(),
        to: field.list("to").map(|to| to.get("operation").map(|o| operation(&o)).unwrap_or_default()).collect(),
        when: field.read_list("when", |when| condition(&when)),
    }
}

fn source(field: &Field<'_>) -> Source {
    Source {
        principals: field.texts("principals"),
        not_principals: field.texts("notPrincipals"),
        request_principals: field.texts("requestPrincipals"),
        not_request_principals: field.texts("notRequestPrincipals"),
        namespaces: field.texts("namespaces"),
        not_namespaces: field.texts("notNamespaces"),
        service_accounts: field.texts("serviceAccounts"),
        not_service_accounts: field.texts("notServiceAccounts"),
        ip_blocks: field.texts("ipBlocks"),
        not_ip_blocks: field.texts("notIpBlocks"),
        remote_ip_blocks: field.texts("remoteIpBlocks"),
        not_remote_ip_blocks: field.texts("notRemoteIpBlocks"),
    }
}

fn operation(field: &Field<'_>) -> Operation {
    Operation {
        hosts: field.texts("hosts"),
        not_hosts: field.texts("notHosts"),
        ports: field.texts("ports"),
        not_ports: field.texts("notPorts"),
        methods: field.texts("methods"),
        not_methods: field.texts("notMethods"),
        paths: field.texts("paths"),
        not_paths: field.texts("notPaths"),
    }
}

fn condition(field: &Field<'_>) -> Option<Condition> {
    Some(Condition {
        key: field.located_text("key")?,
        values: field.texts("values"),
        not_values: field.texts("notValues"),
    })
}
