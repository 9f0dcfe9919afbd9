//! Which rules of a `VirtualService` take requests: the verdicts against the proxy core on every request of a set that
//! tells all patterns of these tables apart, and each example of a verdict given to the core.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use common::yaml::{namespace, service};
use meshproof_model::{Lowering, Mesh, Value};
use meshproof_proxy::{Peer, RequestHead, RequestKey, Table};
use meshproof_verifier::{VerifyOptions, verify};
use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

mod common;

const TEXTS: [&str; 4] = ["/", "/a", "/a/b", "/A"];
const REGEXES: [&str; 5] = ["/a.*", "/(a|b)", "/[^a].*", ".*b", "/a/b"];

/// What a request has, as far as these tables ask.
#[derive(Clone, Debug, Default)]
struct Request {
    method: String,
    path: String,
    query: Option<String>,
    header: Option<String>,
}

fn requests() -> Vec<Request> {
    let mut paths = BTreeSet::new();
    for text in TEXTS.iter().chain(&["/b", "/A/b", "/a/B", "/c", "/cb", "/ab", "/aab"]) {
        paths.extend([
            (*text).to_owned(),
            format!("{text}~"),
            format!("{text}~b"),
            format!("{text}/~"),
            format!("{text}/b"),
        ]);
    }
    let paths = paths.into_iter().filter(|path| !path.contains("//"));
    let values = [None, Some(""), Some("/"), Some("/a"), Some("/a/b"), Some("/b"), Some("/a~"), Some("/~"), Some("~")];
    let headers =
        values.into_iter().chain([Some("~b"), Some("/a~b"), Some("/~b"), Some("/A"), Some("/A~"), Some("/Ab")]);
    let headers: Vec<Option<&str>> = headers.chain([Some("/a/b~"), Some("/a/b~b")]).collect();
    let mut all = Vec::new();
    for path in paths {
        for method in ["GET", "PUT", "POST"] {
            for query in [None, Some("1"), Some("2")] {
                for header in &headers {
                    all.push(Request {
                        method: method.to_owned(),
                        path: path.clone(),
                        query: query.map(str::to_owned),
                        header: header.map(str::to_owned),
                    });
                }
            }
        }
    }
    all
}

/// A rule's match blocks in YAML; without any, it takes everything.
fn some_rule() -> impl Strategy<Value = String> {
    let text = prop::sample::select(TEXTS.to_vec());
    let pattern = prop_oneof![
        3 => text.clone().prop_map(|text| format!("{{exact: \"{text}\"}}")),
        3 => text.prop_map(|text| format!("{{prefix: \"{text}\"}}")),
        2 => prop::sample::select(REGEXES.to_vec()).prop_map(|regex| format!("{{regex: \"{regex}\"}}")),
    ];
    let header = prop_oneof![4 => pattern.clone(), 1 => Just("{}".to_owned())];
    let block = (
        prop::option::weighted(0.7, (pattern, any::<bool>())),
        prop::option::weighted(0.3, prop::sample::select(vec!["GET", "PUT"])),
        prop::option::weighted(0.3, (header, any::<bool>())),
        prop::option::weighted(0.15, prop::sample::select(vec!["1", "2"])),
    );
    let block = block.prop_map(|(path, method, header, query)| {
        let mut yaml = String::new();
        if let Some((path, folds)) = path {
            let _ = write!(yaml, "uri: {path}, ignoreUriCase: {folds}, ");
        }
        if let Some(method) = method {
            let _ = write!(yaml, "method: {{exact: {method}}}, ");
        }
        if let Some((header, without)) = header {
            let _ = write!(yaml, "{}: {{x: {header}}}, ", if without { "withoutHeaders" } else { "headers" });
        }
        if let Some(query) = query {
            let _ = write!(yaml, "queryParams: {{q: {{exact: \"{query}\"}}}}, ");
        }
        format!("{{{yaml}}}")
    });
    prop::collection::vec(block, 0..3).prop_map(|blocks| format!("[{}]", blocks.join(", ")))
}

fn manifests(rules: &[String]) -> String {
    let mut yaml = namespace(true) + &service("a", "http", 1, &[]);
    yaml +=
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a]\n  http:\n";
    for (number, rule) in rules.iter().enumerate() {
        let _ = writeln!(yaml, "  - {{name: r{number}, match: {rule}, route: [{{destination: {{host: a}}}}]}}");
    }
    yaml
}

/// The client's own table for the service.
struct Core {
    table: Arc<Table>,
}

impl Core {
    fn new(mesh: &Mesh) -> Self {
        let lowering = Lowering::new(mesh);
        let client = mesh.find_workload("default", "a").unwrap();
        let lowered = lowering.outbound(client, 0, &[(mesh.find_service("default", "a").unwrap(), 80)]);
        Self { table: Arc::new(Table::compile(&lowered.config).unwrap()) }
    }

    /// The name of the rule that takes a request.
    fn rule(&self, request: &Request) -> Option<String> {
        let headers: Vec<(&str, &str)> = request.header.iter().map(|value| ("x", value.as_str())).collect();
        let path = match &request.query {
            Some(query) => format!("{}?q={query}", request.path),
            None => request.path.clone(),
        };
        let head = RequestHead {
            key: RequestKey::default(),
            method: &request.method,
            authority: "a.default.svc.cluster.local",
            path: &path,
            headers: &headers,
            tokens: &[],
            peer: Peer::default(),
            http2: false,
        };
        self.table.route(self.table.listener_named("0.0.0.0_80")?, &head, 0).map(|route| route.name.to_owned())
    }
}

/// Reads `GET /a?q=1 x: /b` as a proof shows it.
fn example(text: &str) -> Request {
    let mut words = text.splitn(3, ' ');
    let (method, path) = (words.next().unwrap(), words.next().unwrap());
    let header = words.next().map(|header| header.strip_prefix("x: ").unwrap().to_owned());
    let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, query.strip_prefix("q=")));
    Request { method: method.to_owned(), path: path.to_owned(), query: query.map(str::to_owned), header }
}

#[test]
fn verdicts_are_those_of_the_proxy_core() {
    let tables = if std::env::var_os("MESHPROOF_SLOW").is_some() { 2_500 } else { 60 };
    let mut runner = TestRunner::deterministic();
    let strategy = prop::collection::vec(some_rule(), 2..6);
    let requests = requests();
    let (mut live, mut dead) = (0, 0);
    for _ in 0..tables {
        let rules = strategy.new_tree(&mut runner).unwrap().current();
        let (_, mesh) = common::mesh(&manifests(&rules), "");
        let options = VerifyOptions { select: Some(vec!["MP0301".to_owned()]), ..VerifyOptions::default() };
        let report = verify(&mesh, &options);
        assert_eq!(report.disagreements, [""; 0]);
        let core = Core::new(&mesh);
        let taken: BTreeSet<String> = requests.iter().filter_map(|request| core.rule(request)).collect();
        for number in 0..rules.len() {
            let name = format!("r{number}");
            let is_it = |subject: &meshproof_model::Subject| subject.to_string().ends_with(&format!("/{name}"));
            let proof = report.proofs.iter().find(|proof| is_it(&proof.subject));
            let finding = report.findings.iter().find(|finding| is_it(&finding.subject));
            match (proof, finding) {
                (Some(proof), None) => {
                    let Some(Value::Text(request)) = proof.values.get("request") else { panic!("{name}: {rules:#?}") };
                    assert_eq!(core.rule(&example(request)), Some(name), "{request}: {rules:#?}");
                    live += 1;
                }
                (None, Some(finding)) => {
                    assert!(!taken.contains(&name), "{}: {rules:#?}", finding.message);
                    dead += 1;
                }
                _ => panic!("{name} has not one verdict: {rules:#?}"),
            }
        }
    }
    assert!(live >= tables && dead >= tables, "both verdicts occur in {tables} tables: {live} {dead}");
}
