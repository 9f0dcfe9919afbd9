//! Intents on meshes in YAML: what holds, what does not and because of which line, what is refused.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use common::yaml::{namespace, peers, route, rule, service};
use insta::assert_snapshot;
use meshproof_model::{Finding, FindingVerdict, Sources};
use meshproof_verifier::{Intents, Report, VerifyOptions, verify};

mod common;

/// The report on intents alone, which stand in `shop.intent`.
fn judge(yaml: &str, behaviour: &str, intents: &str) -> (Sources, Report) {
    let (mut sources, mesh) = common::mesh(yaml, behaviour);
    sources.add("shop.intent", intents);
    let select = ["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec();
    let options = VerifyOptions { intents: Intents::read(&sources), select: Some(select), ..VerifyOptions::default() };
    let report = verify(&mesh, &options);
    assert_eq!(report.disagreements, [""; 0]);
    (sources, report)
}

fn shown(yaml: &str, behaviour: &str, intents: &str) -> String {
    let (sources, report) = judge(yaml, behaviour, intents);
    let mut text = common::findings(&sources, &report, &[]);
    for proof in &report.proofs {
        let _ = writeln!(text, "holds: {} {:?}", proof.subject, proof.values);
    }
    text
}

/// a calls b, b calls c; all have sidecars and speak mutual TLS only.
fn shop() -> String {
    let services = service("a", "http", 2, &["b"]) + &service("b", "http", 2, &["c"]) + &service("c", "http", 2, &[]);
    let accounts = services.replace(
        "    spec:\n      containers:\n      - {name: ",
        "    spec:\n      serviceAccountName: ACCOUNT\n      containers:\n      - {name: ",
    );
    // Each workload has an account of its own name.
    let mut named = String::new();
    for document in accounts.split_inclusive("---\n") {
        let name = document.split("{name: ").nth(1).map_or("", |rest| &rest[..1]);
        named.push_str(&document.replace("ACCOUNT", name));
    }
    namespace(true) + &named + &peers("istio-system", "STRICT")
}

fn allow(name: &str, rules: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}}}\nspec:\n  selector: \
         {{matchLabels: {{app: {name}}}}}\n  rules: {rules}\n---\n"
    )
}

#[test]
fn a_fence_holds_or_shows_who_gets_through() {
    let fence = "assert \"fence\": for all r in requests from services minus {b} to {c}: then not allowed(r);";
    let only_b = allow("c", "[{from: [{source: {principals: [cluster.local/ns/default/sa/b]}}]}]");
    assert_snapshot!(shown(&(shop() + &only_b), "", fence), @r#"holds: Intent fence {"example": Text("GET / between `default/a` and `default/c` on port 8080"), "instances": Int(1)}"#);
    let probes = "[{from: [{source: {principals: [cluster.local/ns/default/sa/b]}}]},\n    {to: [{operation: {paths: [\"/healthz*\"], methods: [GET]}}]}]";
    assert_snapshot!(shown(&(shop() + &allow("c", probes)), "", fence), @r#"
    MP1001 Error shop.intent:1 intent "fence" does not hold of requests from `default/a` to `default/c` on port 8080, such as `GET /healthz`
        mesh.yaml:77 this rule matches the request
        witness: default/a -> default/c [Allowed(true)]
    "#);
    assert_snapshot!(shown(&shop(), "", fence), @r#"
    MP1001 Error shop.intent:1 intent "fence" does not hold of requests from `default/a` to `default/c` on port 8080, such as `GET /`
        witness: default/a -> default/c [Allowed(true)]
    "#);
}

#[test]
fn requests_are_told_apart_by_what_is_in_them() {
    let admin = "[{to: [{operation: {paths: [\"/admin*\"]}}], when: [{key: \"request.auth.claims[role]\", values: [admin]}]},\n    {to: [{operation: {notPaths: [\"/admin*\"]}}]}]";
    let token = "assert \"admin needs a token\": for all r in requests to {c} where path(r) matches \"/admin*\":\n  when allowed(r) then claim(r, \"role\") = \"admin\";";
    assert!(shown(&(shop() + &allow("c", admin)), "", token).starts_with("holds"));
    // Case counts, so the rule for all other paths leaves one open.
    let any_case = token.replace("matches \"/admin*\"", "matches \"/Admin*\"");
    let found = shown(&(shop() + &allow("c", admin)), "", &any_case);
    assert!(found.contains("such as `GET /Admin"), "{found}");
}

#[test]
fn numbers_of_calls_are_compared_with_units() {
    let routes = route("b", "    timeout: 1s\n    retries: {attempts: 2, retryOn: 5xx}\n")
        + &route("c", "    timeout: 2s\n    retries: {attempts: 2, retryOn: 5xx}\n");
    let intents = "assert \"no zombie work\": for all e in edges: then limit(e) >= busy(callee(e));\n\
        assert \"storm\": for all s in services: then amplification(s) <= 4;\n\
        assert \"slack\" (severity = warning, owner = \"team a\"): for all e in edges from {a}: then 2 * timeout(e) + 1s <= 2.5s;\n\
        assert \"entry\": for all p in paths from {a} to {c}: then worst_latency(p) <= 2s;";
    assert_snapshot!(shown(&(shop() + &routes), "", intents), @r#"
    MP1001 Error shop.intent:1 intent "no zombie work" does not hold of call default/a -> default/b: `limit(e)` is 1s, `busy(callee(e))` is 2s
        mesh.yaml:78 `limit` is decided here
    MP1001 Error shop.intent:2 intent "storm" does not hold of service default/c: `amplification(s)` is 9
        mesh.yaml:45 this service
    MP1001 Warning shop.intent:3 intent "slack" does not hold of call default/a -> default/b: `2 * timeout(e) + 1s` is 3s
        mesh.yaml:78 `timeout` is decided here
    holds: Intent entry {"instances": Int(1)}
    "#);
}

#[test]
fn what_is_wrong_with_a_text_is_told_at_its_place() {
    for (intents, expected) in [
        ("asert \"x\": then 1 = 1;", "1:1 expected `assert` or `let`, and there is `asert` (did you mean `assert`?)"),
        ("assert \"x\": for all s in servces: then replicas(s) > 1;", "`servces` is no set (did you mean `services`?)"),
        (
            "assert \"x\": for all s in services: then replicsa(s) > 1;",
            "`replicsa` is no function (did you mean `replicas`?)",
        ),
        (
            "assert \"x\": for all s in {frontent}: then replicas(s) > 1;",
            "the mesh has no service or workload `frontent`",
        ),
        ("assert \"x\": for all s in {default/cc}: then replicas(s) > 1;", "did you mean `default/c`?"),
        ("assert \"x\": for all e in edges: then timeout(e) > 5;", "a length of time is compared with a plain number"),
        ("assert \"x\": for all e in edges: then timeout(e) > 5sec;", "`sec` is no unit"),
        ("assert \"x\": for all e in edges: then timeout(e) * limit(e) > 5s;", "this product is not linear"),
        ("assert \"x\": for all r in requests: then path(r) = host(r);", "two fields of a request are compared"),
        ("assert \"x\": for all r, q in requests: then path(r) = \"/\";", "two requests cannot vary at once"),
        ("assert \"x\": for all r in requests: then limit(r) > 1s;", "`limit` is asked of edges only"),
        ("assert \"x\" (severty = error): for all s in services: then injected(s);", "`severty` is no attribute"),
        ("assert \"x\": for all s in services: then replicas(s) > 1", "expected `;`, and there is the end of the text"),
        ("assert \"x: then 1 = 1;", "this text has no closing"),
        ("let x = {a};\nassert \"x\": for all s in y: then injected(s);", "2:26 `y` is no set"),
        ("assert \"x\": for all s in services: then within 5s injected(s);", "`within` a time is not decided"),
    ] {
        let (sources, report) = judge(&shop(), "", intents);
        let found = |finding: &Finding| {
            let at = finding.location.as_ref().unwrap();
            let help = finding.help.as_ref().map_or(String::new(), |help| format!(" ({help})"));
            assert_eq!((finding.rule.code, sources.path(at.file)), ("MP1002", "shop.intent"));
            format!("{}:{} {}{help}", at.line, at.column, finding.message)
        };
        let all: Vec<String> = report.findings.iter().map(found).collect();
        assert!(all.iter().any(|one| one.contains(expected)), "{intents}: {all:?}");
    }
}

#[test]
fn an_intent_about_nothing_is_vacuous_unless_it_may_be() {
    let intent = "assert \"none\" ATTRIBUTES: for all s in services where name(s) = \"zzz\": then injected(s);";
    let (_, report) = judge(&shop(), "", &intent.replace(" ATTRIBUTES", ""));
    assert_eq!(
        report.findings.iter().map(|f| (f.rule.code, f.verdict)).collect::<Vec<_>>(),
        [("MP1003", FindingVerdict::Vacuous)]
    );
    let (_, report) = judge(&shop(), "", &intent.replace("ATTRIBUTES", "(allow-vacuous)"));
    assert_eq!((report.findings.len(), report.proofs.len()), (0, 1));
    // Nothing is ever allowed, so nothing has to be shown.
    let never = "assert \"never\": for all r in requests to {c}: when allowed(r) then path(r) = \"/\";";
    let (_, report) = judge(&(shop() + &allow("c", "[]")), "", never);
    assert_eq!(report.findings.iter().map(|f| f.rule.code).collect::<Vec<_>>(), ["MP1003"]);
}

#[test]
fn rule_may_hold_of_some() {
    let some = |path: &str| {
        format!("assert \"x\": for some r in requests from {{a}} to {{c}}: then allowed(r) and path(r) = \"{path}\";")
    };
    let only = allow("c", "[{to: [{operation: {paths: [\"/a*\"]}}]}]");
    assert!(shown(&(shop() + &only), "", &some("/ab")).starts_with("holds"));
    assert!(shown(&(shop() + &only), "", &some("/b")).starts_with("MP1001"));
    let plaintext = rule("b", "{tls: {mode: DISABLE}}");
    let never = "assert \"x\": for all e in edges: then always not plaintext(e) and never outage(e);";
    let found = shown(&(shop() + &plaintext), "", never);
    assert!(found.contains("does not hold of call default/a -> default/b"), "{found}");
    assert!(shown(&shop(), "", never).starts_with("holds"));
}

/// A front that calls `width` services of a first layer, each of which calls two of the next, and so on.
fn layers(width: usize, depth: usize) -> String {
    let mut yaml = namespace(true);
    let name = |layer: usize, number: usize| format!("s{layer}x{number}");
    let first: Vec<String> = (0..width).map(|number| name(0, number)).collect();
    yaml += &service("front", "http", 2, &first.iter().map(String::as_str).collect::<Vec<_>>());
    for layer in 0..depth {
        for number in 0..width {
            let next = [name(layer + 1, number), name(layer + 1, (number + 1) % width)];
            let calls: Vec<&str> = next.iter().map(String::as_str).filter(|_| layer + 1 < depth).collect();
            yaml += &service(&name(layer, number), "http", 2, &calls);
        }
    }
    yaml
}

#[test]
fn two_failures_of_sixty_four_services_are_gone_through() {
    let optional = "Mesh(version: 1, clients: {\"user\": (from: Workload(\"default/front\"), to: \"front:80\", requests: [(name: \"x\")])}, \
        workloads: {\"default/front\": (calls: [[(to: \"s0x0:80\", optional: true), (to: \"s0x1:80\", optional: true)]])})";
    let started = std::time::Instant::now();
    let (_, report) = judge(
        &layers(9, 7),
        optional,
        "assert \"front stays\": for all f in failures up to 2 services: for all s in {s6x8}: then up(s, f);",
    );
    // Nobody calls on; only the service itself is a cut, and every pair with it is no smallest one.
    let cuts: Vec<&str> = report.findings.iter().map(|finding| finding.message.as_str()).collect();
    assert_eq!(cuts.len(), 1, "{cuts:?}");
    assert!(cuts[0].contains("the failure of service `default/s6x8`"), "{cuts:?}");
    assert!(started.elapsed().as_secs() < 10, "{:?}", started.elapsed());
    let (_, report) = judge(
        &layers(9, 7),
        optional,
        "assert \"front\": for all f in failures up to 2 services: for all s in {front}: then up(s, f);",
    );
    assert_eq!(report.findings.len(), 1, "only its own failure: its calls are optional");
    let (_, report) = judge(
        &layers(9, 7),
        "",
        "assert \"front\": for all f in failures up to 1 services: for all s in {front}: then up(s, f);",
    );
    assert_eq!(report.findings.len(), 64, "everything is needed");
}

#[test]
fn zones_and_pods_fail_and_what_is_left_must_carry_the_load() {
    let behaviour = "Mesh(version: 1, placement: (zones: [\"a\", \"b\"]), \
        clients: {\"user\": (from: Outside, to: \"default/a:80\", requests: [(name: \"x\")])}, \
        workloads: {\"default/a\": (calls: [[(to: \"b:80\")]]), \"default/b\": (concurrency: 10, service_time: Constant(\"100ms\"))})";
    let one = shop().replace("metadata: {name: b}\nspec:\n  replicas: 2", "metadata: {name: b}\nspec:\n  replicas: 1");
    let zones = "assert \"zone loss\": for all f in failures up to 1 zones: for all s in {a, b}: then up(s, f);";
    assert!(shown(&shop(), behaviour, zones).starts_with("holds"));
    let found = shown(&one, behaviour, zones);
    let broken: Vec<&str> = found.lines().filter(|line| line.starts_with("MP1001")).collect();
    assert!(broken.len() == 2 && broken.iter().all(|line| line.contains("the failure of zone `a`")), "{found}");
    let pods = "assert \"pods\": for all f in failures up to 1 pods and 1 zones: then up_b;"
        .replace("then up_b", "for all s in {b}: then up(s, f)");
    let found = shown(&shop(), behaviour, &pods);
    assert!(
        found.contains("the failure of zone `a` and a pod of `default/b`")
            || found.contains("a pod of `default/b` and zone `a`"),
        "{found}"
    );

    let (mut sources, mesh) = common::mesh(&shop(), behaviour);
    sources.add(
        "shop.intent",
        "assert \"carry\": for all f in failures up to 1 zones: for all s in {b}: then load(s, f) <= capacity(s, f);",
    );
    let demand = |milli: u64| {
        let options = VerifyOptions {
            intents: Intents::read(&sources),
            select: Some(vec!["MP1001".to_owned()]),
            demand: [("user".to_owned(), milli)].into(),
            ..VerifyOptions::default()
        };
        verify(&mesh, &options)
    };
    // Two pods answer 200 a second, one 100.
    assert_eq!((demand(100_000).findings.len(), demand(100_000).proofs.len()), (0, 1));
    let over = demand(100_001);
    assert_eq!(over.findings.len(), 2, "either zone");
    assert!(
        over.findings[0].message.contains("`load(s, f)` is 100.001rps, `capacity(s, f)` is 100rps"),
        "{}",
        over.findings[0].message
    );
    let unknown = demand(0);
    assert_eq!(unknown.findings.len(), 0);
}

/// The examples that the language was made for, on a shop of five.
#[test]
fn the_examples_of_the_language_are_judged_or_refused_with_a_reason() {
    let names = ["frontend", "checkout", "payments", "admin", "ingress"];
    let calls: [&[&str]; 5] = [&["checkout"], &["payments"], &[], &[], &["frontend"]];
    let mut yaml = namespace(true) + &peers("istio-system", "STRICT");
    for (name, calls) in names.iter().zip(calls) {
        yaml += &service(name, "http", 2, calls);
    }
    let yaml = yaml + &allow("admin", "[]") + &allow("payments", "[]");
    let behaviour = "Mesh(version: 1, placement: (zones: [\"a\", \"b\"]), \
        clients: {\"user\": (from: Workload(\"default/ingress\"), to: \"frontend:80\", requests: [(name: \"x\")])}, \
        workloads: {\"default/frontend\": (calls: [[(to: \"checkout:80\")]]), \"default/checkout\": (calls: [[(to: \"payments:80\")]]), \
        \"default/payments\": (), \"default/admin\": (), \"default/ingress\": ()})";
    for (number, (intent, expected)) in [
        ("for all e in edges: then limit(e) >= busy(callee(e));", "holds"),
        ("for all p in paths from {ingress} to {checkout}: then worst_latency(p) <= 2s;", "holds"),
        ("for all s in services: then amplification(s) <= 4;", "holds"),
        ("for all f in failures up to 2 services: for all s in services: then load(s, f) <= capacity(s);", "holds"),
        ("for all s in services: when surge <= 5x for 10s then within 60s goodput(s) >= 0.99 * demand(s);", "holds"),
        ("for all e in edges: then always not plaintext(e);", "holds"),
        ("for all v in changes: then never outage(v);", "holds"),
        ("for all r in requests from services minus {checkout} to {payments}: then not allowed(r);", "holds"),
        ("for all r in requests to {admin} where path(r) matches \"/admin*\": when allowed(r) then claim(r,\"role\") = \"admin\";", "MP1003"),
        ("for all x in routes: then reachable(x);", "MP1003"),
        ("for all f in failures up to 1 zones: for all s in {frontend, checkout}: then up(s, f) and load(s,f) <= capacity(s,f);", "holds"),
        ("for all r in rollouts: when error_rate(new) >= 5% then never weight(new) > 20% and within 10m weight(new) = 0;", "MP1003"),
        ("for all q in requests: then destination(q) unchanged since git(\"main\");", "holds"),
    ]
    .into_iter()
    .enumerate()
    {
        let (mut sources, mesh) = common::mesh(&yaml, behaviour);
        sources.add("x.intent", format!("assert \"example {number}\": {intent}"));
        let base = std::sync::Arc::new(common::mesh(&yaml.replace("replicas: 2", "replicas: 1"), behaviour).1);
        let options = VerifyOptions {
            intents: Intents::read(&sources),
            select: Some(["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec()),
            demand: [("user".to_owned(), 50_000)].into(),
            bases: [("git:main", base.clone()), (VerifyOptions::SINCE, base)].map(|(name, base)| (name.to_owned(), base)).into(),
            ..VerifyOptions::default()
        };
        let report = verify(&mesh, &options);
        let found = match report.findings.first() {
            None => "holds".to_owned(),
            Some(finding) => format!("{} {}", finding.rule.code, finding.message),
        };
        assert!(found.contains(expected), "example {}: {found}", number + 1);
    }
}

#[test]
fn a_surge_is_over_once_its_backlog_is_worked_off() {
    let behaviour = "Mesh(version: 1, clients: {\"user\": (from: Outside, to: \"default/b:80\", requests: [(name: \"x\")])}, \
        workloads: {\"default/b\": (concurrency: 10, service_time: Constant(\"100ms\"))})";
    let heals = |milli: u64, within: &str| {
        let (mut sources, mesh) = common::mesh(&shop(), behaviour);
        sources.add("x.intent", format!("assert \"heals\": for all s in {{b}}: when surge <= 5x for 10s then within {within} goodput(s) >= 0.99 * demand(s);"));
        let options = VerifyOptions {
            intents: Intents::read(&sources),
            select: Some(vec!["MP1001".to_owned(), "MP1002".to_owned()]),
            demand: [("user".to_owned(), milli)].into(),
            ..VerifyOptions::default()
        };
        let report = verify(&mesh, &options);
        assert!(report.findings.iter().all(|finding| finding.rule.code == "MP1001"), "{:?}", report.findings);
        report.findings.is_empty()
    };
    // Two pods answer 200 a second; 60 a second five times over leave 1000 waiting, gone in 1000 / 140 s.
    assert!(heals(60_000, "7200ms") && !heals(60_000, "7s"));
    assert!(heals(40_000, "0s"), "no backlog at all");
    assert!(!heals(200_000, "1000h"), "load that fills the pods never lets a backlog go");
}
