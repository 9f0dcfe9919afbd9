//! Orders in which changed objects can be applied: the states that break something, and a safe way where there is one.
#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use common::yaml::{namespace, peers, route, rule, service};
use meshproof_model::Mesh;
use meshproof_verifier::{Intents, Orders, VerifyOptions, orders, verify};

mod common;

/// a calls b; both have sidecars.
fn pair() -> String {
    namespace(true) + &service("a", "http", 1, &["b"]) + &service("b", "http", 2, &[])
}

fn mesh(yaml: &str) -> Mesh {
    common::mesh(yaml, "").1
}

/// Kind and name of objects.
fn names(objects: &[meshproof_model::ResourceRef]) -> Vec<String> {
    objects.iter().map(|object| format!("{} {}", object.kind, object.name)).collect()
}

fn between(base: &str, head: &str) -> Orders {
    let found = orders(&mesh(base), &mesh(head));
    assert_eq!(found.undecided, None);
    found
}

const SUBSETS: &str = "{}\n  subsets: [{name: v2, labels: {app: b}}]";
const TO_V2: &str = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: b}\nspec:\n  hosts: [b]\n  http:\n  - route: [{destination: {host: b, subset: v2}}]\n---\n";

#[test]
fn a_subset_comes_before_the_route_that_names_it_and_goes_after_it() {
    let head = pair() + &rule("b", SUBSETS) + TO_V2;
    let found = between(&pair(), &head);
    assert_eq!(found.unsafe_states.len(), 1);
    let state = &found.unsafe_states[0];
    assert_eq!(names(&state.applied), ["VirtualService b"]);
    assert_eq!(names(&state.missing), ["DestinationRule b"]);
    assert!(state.breaks[0].contains("503"), "{:?}", state.breaks);
    assert_eq!(found.safe.as_deref().map(names).unwrap(), ["DestinationRule b", "VirtualService b"]);
    // Back again, the other way round.
    let back = between(&head, &pair());
    assert_eq!(names(&back.unsafe_states[0].applied), ["DestinationRule b"]);
    assert_eq!(back.safe.as_deref().map(names).unwrap(), ["VirtualService b", "DestinationRule b"]);
}

#[test]
fn argo_cds_waves_are_a_way_too() {
    let with = |rule: i64, route: i64| {
        let wave =
            |number: i64| format!("metadata: {{name: b, annotations: {{argocd.argoproj.io/sync-wave: \"{number}\"}}}}");
        let (rule_text, route_text) = (common::yaml::rule("b", SUBSETS), TO_V2);
        let rule_text = rule_text.replacen("metadata: {name: b}", &wave(rule), 1);
        between(&pair(), &(pair() + &rule_text + &route_text.replacen("metadata: {name: b}", &wave(route), 1))).by_waves
    };
    let late = with(2, 1).unwrap();
    assert_eq!(
        (names(&late.applied), names(&late.missing)),
        (vec!["VirtualService b".into()], vec!["DestinationRule b".into()])
    );
    assert_eq!(with(1, 2), None);
    assert_eq!(with(1, 1), None, "DestinationRules come first within a wave");
}

#[test]
fn who_waits_for_nothing_needs_an_order_in_which_no_two_states_clash() {
    // What a change of routes alone does, no proxy has to agree with another about.
    let found = between(&pair(), &(pair() + &rule("b", SUBSETS) + TO_V2));
    assert!(!found.needs_waiting && !found.lag_breaks && found.safe.is_some());
}

#[test]
fn lines_that_move_are_no_change() {
    let found = between(&(pair() + &rule("b", SUBSETS)), &(format!("# moved\n\n{}", pair()) + &rule("b", SUBSETS)));
    assert_eq!(found.objects, []);
}

#[test]
fn strict_servers_come_after_clients_that_speak_mutual_tls() {
    let base = pair() + &rule("b", "{tls: {mode: DISABLE}}");
    let head = pair() + &rule("b", "{tls: {mode: ISTIO_MUTUAL}}") + &peers("default", "STRICT");
    let found = between(&base, &head);
    assert_eq!(names(&found.unsafe_states[0].applied), ["PeerAuthentication default"]);
    assert_eq!(names(&found.unsafe_states[0].missing), ["DestinationRule b"]);
    assert_eq!(found.safe.as_deref().map(names).unwrap(), ["DestinationRule b", "PeerAuthentication default"]);
    assert!(!found.lag_breaks, "a server that is not strict yet takes both");
    assert!(found.needs_waiting, "a client that lags behind both steps meets a strict server in plaintext");
    // In one object there is no order: a client that lags behind meets a strict server.
    let plain = pair() + &rule("b", "{tls: {mode: DISABLE}}") + &peers("default", "DISABLE");
    let mutual = pair() + &rule("b", "{tls: {mode: ISTIO_MUTUAL}}") + &peers("default", "STRICT");
    let found = between(&plain, &mutual);
    assert_eq!(found.safe, None, "{:?}", found.unsafe_states);
}

#[test]
fn what_is_refused_before_and_after_is_not_let_in_in_between() {
    let policy = |name: &str, account: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}}}\nspec:\n  selector: \
             {{matchLabels: {{app: b}}}}\n  rules: [{{from: [{{source: {{principals: [\"cluster.local/ns/default/sa/{account}\"]}}}}]}}]\n---\n"
        )
    };
    let base = pair() + &policy("old", "default");
    let head = pair() + &policy("new", "default");
    let found = between(&base, &head);
    assert_eq!(
        names(&found.unsafe_states[0].applied),
        ["AuthorizationPolicy old"],
        "deleted before the new one is there"
    );
    assert!(
        found.unsafe_states[0].breaks[0].contains("clients outside of the mesh to `default/b` on port 8080 are let in")
    );
    assert_eq!(found.safe.as_deref().map(names).unwrap(), ["AuthorizationPolicy new", "AuthorizationPolicy old"]);
}

#[test]
fn an_intent_about_changes_asks_the_same() {
    let (mut sources, head) = common::mesh(&(pair() + &rule("b", SUBSETS) + TO_V2), "");
    sources.add("x.intent", "assert \"any order\": for all v in changes: then never outage(v);");
    let with = |base: Option<Mesh>| {
        let bases = base.map(|base| (VerifyOptions::SINCE.to_owned(), Arc::new(base))).into_iter().collect();
        let select = ["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec();
        let options =
            VerifyOptions { intents: Intents::read(&sources), select: Some(select), bases, ..VerifyOptions::default() };
        verify(&head, &options)
    };
    let report = with(Some(mesh(&pair())));
    let subjects: Vec<String> = report.findings.iter().map(|finding| finding.subject.to_string()).collect();
    assert_eq!(subjects, ["VirtualService default/b"]);
    assert_eq!(with(Some(head.clone())).findings[0].rule.code, "MP1003", "nothing changes");
    assert_eq!(with(None).findings[0].rule.code, "MP1003");
}

#[test]
fn requests_may_have_to_go_where_they_went() {
    let base = pair() + &route("b", "    timeout: 1s\n");
    let head = base.replace("  - route:", "  - match: [{uri: {prefix: /x}}]\n    redirect: {uri: /y}\n  - route:");
    let (mut sources, head) = common::mesh(&head, "");
    let with = |sources: &meshproof_model::Sources, base: &Mesh| {
        let bases = [("git:main".to_owned(), Arc::new(base.clone()))].into();
        let select = ["MP1001", "MP1002"].map(str::to_owned).to_vec();
        let options =
            VerifyOptions { intents: Intents::read(sources), select: Some(select), bases, ..VerifyOptions::default() };
        verify(&head, &options)
    };
    sources.add(
        "x.intent",
        "assert \"refactor\": for all q in requests: then destination(q) unchanged since git(\"main\");",
    );
    let report = with(&sources, &mesh(&base));
    assert_eq!(report.findings.len(), 1);
    assert!(report.findings[0].message.contains("`GET /x` to b"), "{}", report.findings[0].message);
    assert_eq!(with(&sources, &head).proofs.len(), 1);
    sources.add(
        "y.intent",
        "assert \"access\": for all q in requests to {b}: then allowed(q) unchanged since git(\"main\");",
    );
    assert_eq!(with(&sources, &mesh(&base)).proofs.len(), 1, "access is as it was");
}

#[test]
fn a_comparison_counts_what_it_is_asked_for_and_stands_alone() {
    let policy = |account: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: b}}\nspec:\n  selector: \
             {{matchLabels: {{app: b}}}}\n  rules: [{{from: [{{source: {{principals: [\"cluster.local/ns/default/sa/{account}\"]}}}}]}}]\n---\n"
        )
    };
    let strict = pair() + &peers("default", "STRICT");
    let (open, closed) = (strict.clone() + &policy("default"), strict + &policy("nobody"));
    let found = |base: &str, head: &str, intent: &str| {
        let (mut sources, head) = common::mesh(head, "");
        sources.add("x.intent", format!("assert \"x\": for all q in requests{intent} unchanged since git(\"main\");"));
        let options = VerifyOptions {
            intents: Intents::read(&sources),
            select: Some(["MP1001", "MP1002"].map(str::to_owned).to_vec()),
            bases: [("git:main".to_owned(), Arc::new(mesh(base)))].into(),
            ..VerifyOptions::default()
        };
        let codes: Vec<&str> = verify(&head, &options).findings.iter().map(|finding| finding.rule.code).collect();
        codes.first().copied().unwrap_or("holds")
    };
    for (intent, opened, shut) in [
        (": then allowed(q)", "MP1001", "MP1001"),
        (": when allowed(q) then allowed(q)", "MP1001", "holds"),
        (": when not allowed(q) then allowed(q)", "holds", "MP1001"),
        (": when plaintext(q) then allowed(q)", "MP1002", "MP1002"),
        (": when allowed(q) then destination(q)", "MP1002", "MP1002"),
        (" where path(q) matches \"/a*\": then allowed(q)", "MP1002", "MP1002"),
        (": then never plaintext(q) and allowed(q)", "MP1002", "MP1002"),
    ] {
        assert_eq!(found(&closed, &open, intent), opened, "{intent}");
        assert_eq!(found(&open, &closed, intent), shut, "{intent}");
    }
}

#[test]
fn a_server_that_turns_strict_with_its_clients_breaks_those_that_lag_behind() {
    // One object for both sides: the mode of the namespace decides what clients speak, too.
    let base = pair() + &peers("default", "DISABLE") + &rule("b", "{loadBalancer: {simple: RANDOM}}");
    let head = pair() + &peers("default", "STRICT") + &rule("b", "{loadBalancer: {simple: ROUND_ROBIN}}");
    let found = between(&base, &head);
    assert_eq!(found.unsafe_states, []);
    assert!(found.safe.is_some() && found.lag_breaks, "a client that still speaks plaintext meets a strict server");
    let through = pair() + &peers("default", "PERMISSIVE") + &rule("b", "{loadBalancer: {simple: ROUND_ROBIN}}");
    assert!(between(&base, &through).lag_breaks, "a server that still takes plaintext only meets mutual TLS");
    assert!(!between(&through, &head).lag_breaks);
}
