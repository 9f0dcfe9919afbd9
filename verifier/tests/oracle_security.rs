//! Mutual TLS and the rules of access control, judged on random small meshes of manifests, against the tables of Istio's
//! documentation and every request of a small alphabet.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use common::{
    draws::{Draws, Shares, cases},
    yaml::{namespace, service},
};
use meshproof_model::{Severity, Subject};
use meshproof_verifier::{Report, VerifyOptions, verify};

mod common;

/// `a` calls `b`.
#[derive(Debug)]
struct Drawn {
    /// Whether they have sidecars.
    sidecars: [bool; 2],
    /// Of the mesh, the namespace, the workload `b`, and its port; `None`: not written.
    modes: [Option<&'static str>; 4],
    is_http: bool,
    /// Of a `DestinationRule` for `b`.
    client: Option<&'static str>,
    policy: Policy,
}

/// An `AuthorizationPolicy` of `b` with one rule: lists of each field, of which one value must match.
#[derive(Debug)]
struct Policy {
    allows: bool,
    fields: Vec<(&'static str, Vec<&'static str>)>,
}

const MODES: [&str; 4] = ["UNSET", "PERMISSIVE", "STRICT", "DISABLE"];
const FIELDS: [(&str, &[&str]); 8] = [
    ("principals", &["cluster.local/ns/n/sa/a", "cluster.local/ns/m/*", "*/sa/b"]),
    ("notPrincipals", &["cluster.local/ns/n/sa/a", "cluster.local/*", "*"]),
    ("namespaces", &["n", "m"]),
    ("notNamespaces", &["n", "m"]),
    ("methods", &["GET", "PUT"]),
    ("notMethods", &["GET", "PUT", "*"]),
    ("paths", &["/a", "/a/*", "*/b", "/"]),
    ("notPaths", &["/a", "/*", "*/b"]),
];

fn drawn(random: &mut Draws) -> Drawn {
    let mut mode =
        |percent| random.chance(percent).then(|| if random.chance(50) { "STRICT" } else { random.of(&MODES) });
    let modes = [mode(60), mode(50), mode(50), mode(40)];
    let mut fields: Vec<(&str, Vec<&str>)> = Vec::new();
    for (name, values) in FIELDS {
        // Half of them with one that may exclude it.
        if random.chance(if name.starts_with("not") { 30 } else { 35 }) {
            let mut some: Vec<&str> = values.iter().copied().filter(|_| random.chance(45)).collect();
            some.extend(some.is_empty().then(|| random.of(values)));
            fields.push((name, some));
        }
    }
    if fields.is_empty() {
        fields.push(("namespaces", vec!["n"]));
    }
    Drawn {
        sidecars: [random.chance(85), random.chance(90)],
        modes,
        is_http: random.chance(75),
        client: random.chance(65).then(|| random.of(&["DISABLE", "DISABLE", "SIMPLE", "ISTIO_MUTUAL"])),
        policy: Policy { allows: random.chance(50), fields },
    }
}

fn manifests(drawn: &Drawn) -> String {
    let mut yaml = namespace(true);
    for (name, has_sidecar) in ["a", "b"].iter().zip(drawn.sidecars) {
        let port = if drawn.is_http { "http" } else { "tcp" };
        let made = service(name, port, 1, if *name == "a" { &["b"] } else { &[] });
        let label = format!("labels: {{app: {name}}}}}\n    spec");
        let without = format!("labels: {{app: {name}, sidecar.istio.io/inject: \"false\"}}}}\n    spec");
        yaml += &if has_sidecar { made } else { made.replace(&label, &without) };
    }
    let peers = |name: &str, namespace: &str, rest: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: \
             {namespace}}}\nspec:\n{rest}---\n"
        )
    };
    let [mesh, own, workload, port] = drawn.modes;
    for (namespace, mode) in [("istio-system", mesh), ("default", own)] {
        if let Some(mode) = mode {
            yaml += &peers("all", namespace, &format!("  mtls: {{mode: {mode}}}\n"));
        }
    }
    if workload.is_some() || port.is_some() {
        let mut rest = "  selector: {matchLabels: {app: b}}\n".to_owned();
        if let Some(mode) = workload {
            writeln!(rest, "  mtls: {{mode: {mode}}}").unwrap();
        }
        if let Some(mode) = port {
            writeln!(rest, "  portLevelMtls: {{8080: {{mode: {mode}}}}}").unwrap();
        }
        yaml += &peers("b", "default", &rest);
    }
    if let Some(mode) = drawn.client {
        yaml += &common::yaml::rule("b", &format!("{{tls: {{mode: {mode}}}}}"));
    }
    let clause = |outer: &str, inner: &str, names: &[&str]| {
        let of = drawn.policy.fields.iter().filter(|(field, _)| names.contains(field));
        let all: Vec<String> = of.map(written).collect();
        if all.is_empty() { String::new() } else { format!("{outer}: [{{{inner}: {{{}}}}}], ", all.join(", ")) }
    };
    let from = clause("from", "source", &["principals", "notPrincipals", "namespaces", "notNamespaces"]);
    let to = clause("to", "operation", &["methods", "notMethods", "paths", "notPaths"]);
    write!(
        yaml,
        "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: b}}\nspec: {{selector: \
         {{matchLabels: {{app: b}}}}, action: {}, rules: [{{{from}{to}}}]}}\n---\n",
        if drawn.policy.allows { "ALLOW" } else { "DENY" },
    )
    .unwrap();
    yaml
}

fn written((name, values): &(&str, Vec<&str>)) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("\"{value}\"")).collect();
    format!("{name}: [{}]", values.join(", "))
}

fn judged(drawn: &Drawn) -> Report {
    let (_, mesh) = common::mesh(&manifests(drawn), "");
    let select = ["MP0601", "MP0602", "MP0609", "MP0610"].map(str::to_owned).to_vec();
    let report = verify(&mesh, &VerifyOptions { select: Some(select), ..VerifyOptions::default() });
    assert_eq!(report.disagreements, [""; 0], "{drawn:?}");
    report
}

/// What `b`'s port accepts (`PA-3`, `PA-4`): the narrowest that is written.
fn mode(drawn: &Drawn) -> &'static str {
    let written = drawn.modes.iter().rev().flatten();
    written.copied().find(|mode| *mode != "UNSET").unwrap_or("PERMISSIVE")
}

/// Whether `a`'s connections to `b` fail: the table of clients and servers.
fn fails(drawn: &Drawn) -> bool {
    let server = if drawn.sidecars[1] { mode(drawn) } else { "none" };
    // Without policies of workloads and ports (11.5).
    let of_namespace = drawn.modes[..2].iter().rev().flatten().copied().find(|mode| *mode != "UNSET");
    let client = match (drawn.sidecars[0], drawn.client) {
        (false, _) => "plain",
        (true, None) if of_namespace == Some("DISABLE") => "plain",
        (true, None) => "auto",
        (true, Some(mode)) => mode,
    };
    let columns = ["none", "PERMISSIVE", "STRICT", "DISABLE"];
    let column = columns.iter().position(|name| *name == server).unwrap();
    let row = match client {
        "plain" | "DISABLE" => [false, false, true, false],
        "auto" => [false; 4],
        "ISTIO_MUTUAL" => [true, false, false, true],
        _ if drawn.is_http => [true; 4],
        _ => [false, false, true, false],
    };
    row[column]
}

/// Istio's patterns: `*`, a prefix, a suffix or all of it.
fn is_like(pattern: &str, value: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => !value.is_empty(),
        (Some(suffix), _) => value.ends_with(suffix),
        (None, Some(prefix)) => value.starts_with(prefix),
        (None, None) => value == pattern,
    }
}

/// Whether some request meets the rule: who asks, how and for what, one after the other.
fn matches(policy: &Policy, is_http: bool) -> bool {
    let is_of_http = |name: &str| name.to_lowercase().ends_with("methods") || name.to_lowercase().ends_with("paths");
    if !is_http && policy.allows && policy.fields.iter().any(|(name, _)| is_of_http(name)) {
        return false;
    }
    let mut identities = vec![None];
    for (namespace, account) in ["n", "m", "o"].iter().flat_map(|n| ["a", "b", "c"].map(|a| (*n, a))) {
        identities.extend(["cluster.local", "other"].map(|domain| Some((domain, namespace, account))));
    }
    let requests = ["GET", "PUT", "POST"].iter().flat_map(|method| {
        let paths = ["/", "/a", "/b", "/a/b", "/a/c", "/c", "/c/b", "/bb"];
        paths.map(|path| (*method, path))
    });
    let requests: Vec<(&str, &str)> = requests.collect();
    let meets = |identity: &Option<(&str, &str, &str)>, (method, path): (&str, &str)| {
        policy.fields.iter().all(|(name, patterns)| {
            let value = match *name {
                "methods" | "notMethods" => Some(method.to_owned()),
                "paths" | "notPaths" => Some(path.to_owned()),
                "namespaces" | "notNamespaces" => identity.map(|(_, namespace, _)| namespace.to_owned()),
                _ => identity.map(|(domain, namespace, account)| format!("{domain}/ns/{namespace}/sa/{account}")),
            };
            if !is_http && is_of_http(name) {
                return true;
            }
            let is_met = value.is_some_and(|value| patterns.iter().any(|pattern| is_like(pattern, &value)));
            is_met != name.starts_with("not")
        })
    };
    identities.iter().any(|identity| requests.iter().any(|request| meets(identity, *request)))
}

/// Whether each rule must be violated of `b`.
fn expected(drawn: &Drawn) -> Vec<(&'static str, bool)> {
    let is_open = !drawn.sidecars[1] || mode(drawn) != "STRICT";
    let mut all = vec![("MP0601", is_open), ("MP0602", fails(drawn))];
    // Without a proxy nobody asks.
    if drawn.sidecars[1] {
        let of_identity = ["rincipals", "amespaces"];
        let asks = |name: &str| of_identity.iter().any(|part| name.contains(part));
        if drawn.policy.fields.iter().any(|(name, _)| asks(name)) {
            all.push(("MP0609", is_open));
        }
        all.push(("MP0610", !matches(&drawn.policy, drawn.is_http)));
    }
    all
}

fn is_of_b(subject: &Subject, rule: &str) -> bool {
    match subject {
        Subject::Workload(name) => name == "default/b",
        Subject::Resource(resource) => resource.name == "b",
        // Nobody asks for STRICT: one remark for all of them.
        Subject::Namespace(_) => rule == "MP0601",
        _ => false,
    }
}

#[test]
fn links_and_rules_are_as_the_tables_and_an_alphabet_say() {
    let cases = cases(150);
    let (mut random, mut shares) = (Draws::new(47), Shares::default());
    for _ in 0..cases {
        let drawn = drawn(&mut random);
        let report = judged(&drawn);
        for (rule, is_violated) in expected(&drawn) {
            // A connection that might be made is no outage; a client without a sidecar is at fault itself.
            let counts = |f: &&meshproof_model::Finding| {
                let is_a_client =
                    rule == "MP0602" && matches!(&f.subject, Subject::Workload(name) if name == "default/a");
                f.rule.code == rule
                    && (rule != "MP0602" || f.severity != Severity::Info)
                    && (is_of_b(&f.subject, rule) || is_a_client)
            };
            let found = report.findings.iter().filter(counts).count() > 0;
            let proved = report.proofs.iter().any(|p| p.rule.code == rule && is_of_b(&p.subject, rule));
            assert_eq!((found, proved), (is_violated, !is_violated), "{rule} {drawn:?} {report:#?}");
            shares.add(rule, is_violated);
        }
    }
    shares.check(cases);
}
