#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, sync::Arc};

use super::*;
use crate::{
    Token,
    config::{ClaimMatcher, HeaderMatcher, HeaderValueMatcher, RbacPolicy, RbacRules, StringMatcher},
};

fn policy(name: &str, permission: Permission, principal: Principal) -> RbacPolicy {
    RbacPolicy { name: name.to_owned(), permissions: vec![permission], principals: vec![principal] }
}

fn compile(action: RbacAction, policies: Vec<RbacPolicy>) -> Rules {
    let mut faults = Faults::default();
    let rules = Rules::new(&RbacRules { action, policies }, &mut faults);
    assert!(faults.into_found().is_empty());
    rules
}

fn request(path: &str, headers: &[(&str, &str)]) -> Request {
    let mut request = Request::default();
    request.set_method("GET");
    request.set_authority("svc.test:80");
    request.set_path(path);
    for (name, value) in headers {
        request.headers.push(name, value);
    }
    request
}

fn header(name: &str, value: HeaderValueMatcher) -> HeaderMatcher {
    HeaderMatcher { name: name.to_owned(), value, invert: false, treat_missing_as_empty: false }
}

fn exact(name: &str, value: &str) -> HeaderMatcher {
    header(name, HeaderValueMatcher::Text(StringMatcher::exact(value)))
}

#[test]
fn the_action_says_what_a_match_means() {
    use RbacAction::{Allow, Deny, Log};
    let ok = || policy("ok", Permission::Path(StringMatcher::prefix("/ok")), Principal::Any);
    let first = || policy("first one", Permission::Any, Principal::Any);
    let table = [
        (Allow, vec![], "/ok", false, "none"),
        (Deny, vec![], "/ok", true, "none"),
        (Allow, vec![ok()], "/okay?x", true, "ok"),
        (Allow, vec![ok()], "/no?x=/ok", false, "none"),
        (Deny, vec![ok()], "/ok", false, "ok"),
        (Deny, vec![ok()], "/no", true, "none"),
        (Log, vec![ok()], "/ok", true, "ok"),
        (Deny, vec![ok(), first()], "/ok", false, "first_one"),
    ];
    for (action, policies, path, is_allowed, policy) in table {
        let rules = compile(action, policies);
        let verdict = rules.decide(&request(path, &[]));
        let details = format!("rbac_access_denied_matched_policy[{policy}]");
        assert_eq!((verdict.is_allowed, verdict.details()), (is_allowed, details), "{action:?} {path}");
    }
}

#[test]
fn permissions_ask_of_the_request() {
    let path = |prefix: &str| Permission::Path(StringMatcher::prefix(prefix));
    let table = [
        (Permission::Path(StringMatcher::exact("/a")), true),
        (Permission::Path(StringMatcher::exact("/a?q")), false),
        (Permission::PathTemplate("/{*}".to_owned()), true),
        (Permission::PathTemplate("/{*}/b".to_owned()), false),
        (Permission::Header(exact(":method", "GET")), true),
        (Permission::Header(exact(":authority", "svc.test:80")), true),
        (Permission::Header(exact(":authority", "SVC.test:80")), false),
        (Permission::DestinationPort(80), true),
        (Permission::DestinationPort(81), false),
        (Permission::DestinationIp("10.0.0.0/8".to_owned()), true),
        (Permission::RequestedServerName(StringMatcher::exact("sni")), true),
        (Permission::AllOf(vec![Permission::Any, path("/a")]), true),
        (Permission::AllOf(vec![Permission::Any, path("/b")]), false),
        (Permission::AnyOf(vec![path("/b"), path("/a")]), true),
        (Permission::AnyOf(vec![]), false),
        (Permission::Not(Box::new(path("/a"))), false),
    ];
    let mut request = request("/a?q", &[]);
    request.peer.destination = Some("10.0.0.1:80".parse().unwrap());
    request.peer.server_name = "sni".to_owned();
    for (permission, expect) in table {
        let rules = compile(RbacAction::Allow, vec![policy("p", permission.clone(), Principal::Any)]);
        assert_eq!(rules.decide(&request).is_allowed, expect, "{permission:?}");
    }
}

#[test]
fn principals_ask_of_the_sender() {
    let named = |prefix: &str| Principal::Authenticated(Some(StringMatcher::prefix(prefix)));
    let user = |value: &str| Principal::Header(exact("x-user", value));
    let missing = header("x-none", HeaderValueMatcher::Present(true));
    let table = [
        (user("bob"), true),
        (user("eve"), true),
        (user("bob,eve"), false),
        (Principal::Header(HeaderMatcher { invert: true, ..exact("x-none", "eve") }), false),
        (Principal::Not(Box::new(Principal::Header(missing))), true),
        (Principal::DirectRemoteIp("127.0.0.0/8".to_owned()), true),
        (Principal::RemoteIp("127.0.0.0/8".to_owned()), false),
        (Principal::RemoteIp("10.0.0.0/8".to_owned()), true),
        (Principal::Authenticated(None), true),
        (named("spiffe://b/"), true),
        (named("web.test"), true),
        (named("spiffe://c/"), false),
        (named("SPIFFE://b/"), false),
    ];
    let mut request = request("/", &[("x-user", "bob"), ("x-user", "eve")]);
    request.peer.address = Some("127.0.0.1".parse().unwrap());
    request.trusted_address = Some("10.1.1.1".parse().unwrap());
    request.peer.is_tls = true;
    for (kind, name) in [("uri", "spiffe://a/x"), ("uri", "spiffe://b/x"), ("dns", "web.test")] {
        request.peer.sans.push(kind, name);
    }
    for (principal, expect) in table {
        let rules = compile(RbacAction::Allow, vec![policy("p", Permission::Any, principal.clone())]);
        assert_eq!(rules.decide(&request).is_allowed, expect, "{principal:?}");
    }
    request.peer.is_tls = false;
    request.peer.sans.clear();
    for principal in [Principal::Authenticated(None), named("")] {
        let rules = compile(RbacAction::Allow, vec![policy("p", Permission::Any, principal)]);
        assert!(!rules.decide(&request).is_allowed);
    }
}

#[test]
fn claims_are_those_of_verified_tokens() {
    let text = |text: &str| Claim::Text(text.to_owned());
    let claims = BTreeMap::from([
        ("role".to_owned(), text("admin")),
        ("groups".to_owned(), Claim::List(vec![text("a"), text("b")])),
        ("org".to_owned(), Claim::Object([("team".to_owned(), text("x"))].into())),
        ("beta".to_owned(), Claim::Bool(true)),
    ]);
    let token = Token { subject: Some("amy".to_owned()), claims, ..Token::default() };
    let mut request = request("/", &[]);
    request.payloads.push(("main".into(), Arc::new(token)));
    let text = |value: &str| ClaimValueMatcher::Text(StringMatcher::exact(value));
    let one_of = |value: &str| ClaimValueMatcher::OneOf(StringMatcher::exact(value));
    let table = [
        (&["main", "role"][..], text("admin"), true),
        (&["main", "role"], text("user"), false),
        (&["main", "role"], one_of("admin"), false),
        (&["main", "groups"], one_of("b"), true),
        (&["main", "groups"], one_of("c"), false),
        (&["main", "groups"], text("b"), false),
        (&["main", "org", "team"], text("x"), true),
        (&["main", "org"], text("x"), false),
        (&["main", "beta"], ClaimValueMatcher::Bool(true), true),
        (&["main", "beta"], ClaimValueMatcher::Bool(false), false),
        (&["main", "sub"], text("amy"), true),
        (&["other", "role"], text("admin"), false),
    ];
    for (path, value, expect) in table {
        let path = path.iter().map(|&name| name.to_owned()).collect();
        let principal = Principal::Claim(ClaimMatcher { path, value });
        let rules = compile(RbacAction::Allow, vec![policy("p", Permission::Any, principal.clone())]);
        assert_eq!(rules.decide(&request).is_allowed, expect, "{principal:?}");
    }
}
