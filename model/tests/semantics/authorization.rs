//! Who may call what: T40 to T42, and the rules of the chapter on AuthorizationPolicies. Filters are evaluated here by
//! a few plain lines.

use meshproof_proxy::config::{
    Filter, HeaderValueMatcher, Permission, Principal, RbacAction, RbacRules, StringMatcher, StringPattern,
};
use regex_automata::meta::Regex;

use crate::fixture::{checked, mesh, workload};

/// A request as a listener sees it.
#[derive(Clone, Copy)]
struct Request {
    /// Without `spiffe://`; `None`: plaintext.
    who: Option<&'static str>,
    method: &'static str,
    path: &'static str,
    host: &'static str,
    port: u16,
    header: Option<(&'static str, &'static str)>,
}

const WEB: Option<&str> = Some("cluster.local/ns/shop/sa/web");
const OPS: Option<&str> = Some("cluster.local/ns/ops/sa/ops");
const NOBODY: Option<&str> = None;

fn get(who: Option<&'static str>, path: &'static str) -> Request {
    Request { who, method: "GET", path, host: "payments.pay", port: 8080, header: None }
}

fn text(matcher: &StringMatcher, value: &str) -> bool {
    let fold = |text: &str| if matcher.ignore_case { text.to_lowercase() } else { text.to_owned() };
    let value = fold(value);
    match &matcher.pattern {
        StringPattern::Exact(text) => value == fold(text),
        StringPattern::Prefix(text) => value.starts_with(&fold(text)),
        StringPattern::Suffix(text) => value.ends_with(&fold(text)),
        StringPattern::Contains(text) => value.contains(&fold(text)),
        StringPattern::Regex(text) => Regex::new(&format!("^(?:{text})$")).unwrap().is_match(&value),
    }
}

fn header(request: &Request, matcher: &meshproof_proxy::config::HeaderMatcher) -> bool {
    let value = match matcher.name.as_str() {
        ":method" => Some(request.method),
        ":authority" => Some(request.host),
        name => request.header.filter(|(known, _)| *known == name).map(|(_, value)| value),
    };
    let HeaderValueMatcher::Text(wanted) = &matcher.value else { panic!("{matcher:?}") };
    value.is_some_and(|value| text(wanted, value))
}

fn permits(permission: &Permission, request: &Request) -> bool {
    match permission {
        Permission::Metadata { .. } => false,
        Permission::Any => true,
        Permission::Path(path) => text(path, request.path),
        Permission::Header(matcher) => header(request, matcher),
        Permission::DestinationPort(port) => *port == request.port,
        Permission::AllOf(all) => all.iter().all(|one| permits(one, request)),
        Permission::AnyOf(any) => any.iter().any(|one| permits(one, request)),
        Permission::Not(one) => !permits(one, request),
        Permission::PathTemplate(_) | Permission::DestinationIp(_) | Permission::RequestedServerName(_) => false,
    }
}

fn is(principal: &Principal, request: &Request) -> bool {
    match principal {
        Principal::Any => true,
        Principal::Authenticated(name) => {
            request.who.is_some_and(|who| name.as_ref().is_none_or(|name| text(name, &format!("spiffe://{who}"))))
        }
        Principal::Header(matcher) => header(request, matcher),
        Principal::AllOf(all) => all.iter().all(|one| is(one, request)),
        Principal::AnyOf(any) => any.iter().any(|one| is(one, request)),
        Principal::Not(one) => !is(one, request),
        Principal::DirectRemoteIp(_) | Principal::RemoteIp(_) | Principal::Claim(_) => false,
    }
}

fn matches(rules: &RbacRules, request: &Request) -> bool {
    rules.policies.iter().any(|policy| {
        policy.permissions.iter().any(|one| permits(one, request))
            && policy.principals.iter().any(|one| is(one, request))
    })
}

/// What a server's first listener decides: `+` allowed, `-` refused, `?` put to a provider.
fn decide(manifests: &str, server: &str, requests: &[Request]) -> String {
    let mesh = mesh(manifests);
    let lowered = checked(mesh.inbound(workload(&mesh, server)));
    let filters = &lowered.config.listeners[0].filters;
    let one = |request: &Request| {
        let mut asked = false;
        for filter in filters {
            match filter {
                Filter::ExtAuthz(authorizer) => asked |= matches(authorizer.filter_enabled.as_ref().unwrap(), request),
                Filter::Rbac(rbac) => {
                    let rules = rbac.rules.as_ref().unwrap();
                    let refused = match rules.action {
                        RbacAction::Allow => !matches(rules, request),
                        RbacAction::Deny => matches(rules, request),
                        RbacAction::Log => false,
                    };
                    if refused {
                        return '-';
                    }
                }
                // No request here carries a token.
                Filter::Jwt(_) => {}
                other => panic!("{other:?}"),
            }
        }
        if asked { '?' } else { '+' }
    };
    requests.iter().map(one).collect()
}

fn ap(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

#[test]
fn t40_to_t42_decisions() {
    let deny_all = ap("pay", "deny-all", "{}");
    let allow_web = ap(
        "pay",
        "a",
        "{action: ALLOW, rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}], to: [{operation: {methods: [GET], paths: [/v1/*]}}]}]}",
    );
    let everyone =
        [get(WEB, "/v1/x"), Request { method: "POST", ..get(WEB, "/v1/x") }, get(OPS, "/v1/x"), get(NOBODY, "/v1/x")];
    let admin = ap("pay", "d", "{action: DENY, rules: [{to: [{operation: {paths: [/admin*]}}]}]}");
    let paths = [get(WEB, "/admin/x"), get(NOBODY, "/admin"), get(WEB, "/v1"), get(NOBODY, "/v1")];
    let not_shop = |action: &str| {
        ap("pay", "n", &format!("{{action: {action}, rules: [{{from: [{{source: {{notNamespaces: [shop]}}}}]}}]}}"))
    };
    let clients = [get(WEB, "/"), get(OPS, "/"), get(NOBODY, "/")];
    for (case, manifests, server, requests, expect) in [
        ("no policy allows", String::new(), "pay/payments", &everyone[..], "++++"),
        ("T40 AZ-3 an empty policy refuses all", deny_all.clone(), "pay/payments", &everyone, "----"),
        ("T40", format!("{deny_all}{allow_web}"), "pay/payments", &everyone, "+---"),
        (
            "T40 AZ-8 an ALLOW rule with paths is dropped on TCP",
            format!("{deny_all}{allow_web}"),
            "pay/ledger",
            &everyone,
            "----",
        ),
        ("T41", admin.clone(), "pay/payments", &paths, "--++"),
        ("T41 AZ-8 a DENY with paths only refuses every connection", admin, "pay/ledger", &paths, "----"),
        ("T42 DENY catches plaintext", not_shop("DENY"), "pay/payments", &clients, "+--"),
        ("T42 ALLOW admits plaintext", not_shop("ALLOW"), "pay/payments", &clients, "-++"),
        ("AZ-3 DENY without rules", ap("pay", "e", "{action: DENY}"), "pay/payments", &clients, "+++"),
        ("AZ-3 an empty rule matches everything", ap("pay", "e", "{rules: [{}]}"), "pay/payments", &clients, "+++"),
        (
            "AZ-3 DENY with an empty rule",
            ap("pay", "e", "{action: DENY, rules: [{}]}"),
            "pay/payments",
            &clients,
            "---",
        ),
        (
            "AZ-1 another selector",
            ap("pay", "s", "{selector: {matchLabels: {app: other}}}"),
            "pay/payments",
            &clients,
            "+++",
        ),
        ("AZ-1 the root namespace is everywhere", ap("istio-system", "s", "{}"), "pay/payments", &clients, "---"),
        ("AZ-1 another namespace", ap("shop", "s", "{}"), "pay/payments", &clients, "+++"),
        ("no proxy, no policy", ap("legacy", "s", "{}"), "legacy/old", &clients, "+++"),
    ] {
        assert_eq!(decide(&manifests, server, requests), expect, "{case}");
    }
}

#[test]
fn az4_to_az8_fields() {
    let rule = |rule: &str| ap("pay", "r", &format!("{{rules: [{rule}]}}"));
    let clients = [get(WEB, "/a"), get(OPS, "/b"), get(NOBODY, "/a/")];
    let with_header = [Request { header: Some(("x-token", "abc")), ..get(NOBODY, "/") }, get(NOBODY, "/")];
    let hosts =
        [Request { host: "PAY.example", ..get(NOBODY, "/") }, Request { host: "pay.example:80", ..get(NOBODY, "/") }];
    for (case, manifests, requests, expect) in [
        ("AZ-6 namespaces", rule("{from: [{source: {namespaces: [shop]}}]}"), &clients[..], "+--"),
        ("AZ-6 any identity", rule("{from: [{source: {principals: ['*']}}]}"), &clients, "++-"),
        ("AZ-6 a prefix", rule("{from: [{source: {principals: ['cluster.local/ns/ops/*']}}]}"), &clients, "-+-"),
        ("AZ-6 a suffix", rule("{from: [{source: {principals: ['*/sa/web']}}]}"), &clients, "+--"),
        ("AZ-6 not these", rule("{from: [{source: {notPrincipals: ['*/sa/web']}}]}"), &clients, "-++"),
        (
            "AZ-6 an identity with its scheme never matches",
            rule("{from: [{source: {principals: ['spiffe://cluster.local/ns/shop/sa/web']}}]}"),
            &clients,
            "---",
        ),
        (
            "AZ-4 one of several sources",
            rule("{from: [{source: {namespaces: [shop]}}, {source: {namespaces: [ops]}}]}"),
            &clients,
            "++-",
        ),
        (
            "AZ-4 both fields",
            rule("{from: [{source: {namespaces: [shop], notPrincipals: ['*/sa/web']}}]}"),
            &clients,
            "---",
        ),
        ("AZ-5 ports of the pods", rule("{to: [{operation: {ports: ['8080']}}]}"), &clients, "+++"),
        ("AZ-5 not of the service", rule("{to: [{operation: {ports: ['80']}}]}"), &clients, "---"),
        ("AZ-5 not these paths", rule("{to: [{operation: {paths: ['/a*'], notPaths: [/a/]}}]}"), &clients, "+--"),
        ("AZ-5 hosts ignore case, not ports", rule("{to: [{operation: {hosts: [pay.example]}}]}"), &hosts, "+-"),
        ("AZ-7 headers", rule("{when: [{key: 'request.headers[x-token]', values: ['a*']}]}"), &with_header, "+-"),
        (
            "AZ-7 all of when",
            rule("{from: [{source: {namespaces: [shop, ops]}}], when: [{key: source.namespace, notValues: [ops]}]}"),
            &clients,
            "+--",
        ),
    ] {
        assert_eq!(decide(&manifests, "pay/payments", requests), expect, "{case}");
    }
}

#[test]
fn az2_order_and_trials() {
    let custom =
        ap("pay", "c", "{action: CUSTOM, provider: {name: oauth}, rules: [{to: [{operation: {paths: [/in*]}}]}]}");
    let requests = [get(WEB, "/in"), get(WEB, "/out")];
    assert_eq!(decide(&custom, "pay/payments", &requests), "?+", "a provider is asked only where a rule matches");
    let audit = ap("pay", "a", "{action: AUDIT, rules: [{}]}");
    assert_eq!(decide(&audit, "pay/payments", &requests), "++", "AUDIT never decides");
    let trial =
        ap("pay", "t", "{}").replace("namespace: pay}", "namespace: pay, annotations: {istio.io/dry-run: 'true'}}");
    assert_eq!(decide(&trial, "pay/payments", &requests), "++", "AZ-9 on trial");
    let deny = ap("pay", "d", "{action: DENY, rules: [{to: [{operation: {paths: [/in]}}]}]}");
    let allow = ap("pay", "e", "{rules: [{}]}");
    assert_eq!(decide(&format!("{allow}{deny}"), "pay/payments", &requests), "-+", "DENY before ALLOW");
}
