//! The shipped meshes: the good one is proved, the broken one's mistakes are found at their lines.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is missing")]

mod common;

use common::{copy_of, line_of, meshproof};
use serde_json::Value;

/// A mistake in `topologies/bookinfo-broken`: its rule, its file, a text on its line, and what mends it.
struct Planted {
    code: &'static str,
    file: &'static str,
    on_line: &'static str,
    mend: &'static [(&'static str, &'static str, &'static str)],
}

const MISPLACED: (&str, &str, &str) = (
    "routing.yaml",
    "      maxEjectionPercent: 50\n    retries: {attempts: 2, retryOn: 5xx}\n",
    "      maxEjectionPercent: 50\n",
);

const PLANTED: &[Planted] = &[
    Planted {
        code: "MP0103",
        file: "routing.yaml",
        on_line: "    retries: {attempts: 2, retryOn: 5xx}",
        mend: &[MISPLACED],
    },
    Planted {
        code: "MP0402",
        file: "routing.yaml",
        on_line: "timeout: 1500ms",
        mend: &[(
            "routing.yaml",
            "timeout: 2s\n    retries: {attempts: 3, perTryTimeout: 600ms, retryOn: 5xx}",
            "timeout: 300ms",
        )],
    },
    Planted {
        code: "MP0401",
        file: "gateway.yaml",
        on_line: "retries: {attempts: 2, retryOn: 5xx}",
        mend: &[
            ("gateway.yaml", "    retries: {attempts: 2, retryOn: 5xx}\n", ""),
            ("routing.yaml", "    retries: {attempts: 3, retryOn: 5xx}\n", ""),
            ("routing.yaml", "    retries: {attempts: 3, perTryTimeout: 600ms, retryOn: 5xx}\n", ""),
        ],
    },
    Planted {
        code: "MP0602",
        file: "report.yaml",
        on_line: "sidecar.istio.io/inject",
        mend: &[("report.yaml", "sidecar.istio.io/inject: \"false\"", "sidecar.istio.io/inject: \"true\"")],
    },
];

fn findings(folder: &str) -> (i32, Vec<Value>) {
    let answer = meshproof(&["verify", folder, "--format", "json", "--no-timing"]);
    let json = answer.json();
    (answer.code, json["findings"].as_array().unwrap().clone())
}

/// The places that a finding names: its own, then the related ones.
fn places(finding: &Value) -> Vec<(&str, u64)> {
    let related = finding["related"].as_array().unwrap().iter().map(|r| &r["location"]);
    let all = std::iter::once(&finding["location"]).chain(related);
    all.filter_map(|at| Some((at["file"].as_str()?, at["line"].as_u64()?))).collect()
}

#[test]
fn the_good_mesh_is_proved() {
    let answer = meshproof(&["verify", "topologies/bookinfo", "--format", "json", "--no-timing"]);
    let json = answer.json();
    assert_eq!((answer.code, json["verdict"].as_str()), (0, Some("holds")), "{}", answer.out);
    for code in ["MP0401", "MP0402", "MP0601", "MP0602"] {
        let proofs = json["proofs"].as_array().unwrap();
        let of_code: Vec<_> = proofs.iter().filter(|proof| proof["code"] == code).collect();
        assert!(!of_code.is_empty(), "no proof of {code}");
        assert!(of_code.iter().any(|proof| proof["checked_by"] == "z3"), "Z3 checked no proof of {code}");
    }
}

#[test]
fn each_planted_mistake_is_named_at_its_line() {
    let (code, findings) = findings("topologies/bookinfo-broken");
    assert_eq!(code, 1);
    for planted in PLANTED {
        let line = line_of("bookinfo-broken", planted.file, planted.on_line);
        let file = format!("topologies/bookinfo-broken/{}", planted.file);
        let named = findings.iter().filter(|f| f["code"] == planted.code);
        assert!(
            named.flat_map(places).any(|place| place == (file.as_str(), line)),
            "{} is not reported at {file}:{line}: {findings:#?}",
            planted.code
        );
    }
}

#[test]
fn a_mended_mistake_is_gone() {
    let (_, before) = findings("topologies/bookinfo-broken");
    for planted in PLANTED {
        let folder = copy_of("bookinfo-broken", &format!("mended-{}", planted.code), planted.mend);
        let (_, after) = findings(folder.to_str().unwrap());
        let errors = |findings: &[Value]| {
            findings.iter().filter(|f| f["code"] == planted.code && f["severity"] == "error").count()
        };
        assert!(errors(&before) > 0 && errors(&after) == 0, "{}: {after:#?}", planted.code);
    }
}

#[test]
fn every_witness_that_is_a_scenario_was_replayed() {
    let (_, findings) = findings("topologies/bookinfo-broken");
    let scenarios: Vec<_> = findings.iter().filter(|f| f["witness"]["scenario"].is_string()).collect();
    for code in ["MP0401", "MP0402"] {
        assert!(scenarios.iter().any(|f| f["code"] == code), "no scenario shows {code}");
    }
    for finding in scenarios {
        assert_eq!(finding["witness"]["replayed"], true, "{finding:#}");
    }
}

#[test]
fn the_report_is_the_same_bytes_on_any_number_of_threads() {
    let run = |threads| {
        meshproof(&["verify", "topologies/bookinfo-broken", "--format", "json", "--no-timing", "--threads", threads])
            .out
    };
    assert_eq!(run("1"), run("2"));
}

#[test]
fn istios_defaults_alone_amplify_nothing() {
    let folder = common::scratch("defaults-only");
    let chain: String = ["a", "b", "c"].iter().zip(["b", "c", ""]).map(|(name, next)| app(name, next)).collect();
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n";
    std::fs::write(folder.join("mesh.yaml"), format!("{namespace}{chain}")).unwrap();
    let answer = meshproof(&["verify", folder.to_str().unwrap(), "--format", "json"]);
    let json = answer.json();
    assert_eq!(answer.code, 0, "{}", answer.out);
    let proofs = json["proofs"].as_array().unwrap();
    let c = proofs.iter().find(|p| p["code"] == "MP0401" && p["subject"] == "service default/c").unwrap();
    assert_eq!(c["values"]["bound"], 1, "{c:#}");
    assert!(c["values"]["connects"].as_u64().unwrap() > 1, "{c:#}");
}

/// A service with one workload that calls the next one.
fn app(name: &str, next: &str) -> String {
    let env = if next.is_empty() {
        String::new()
    } else {
        format!(", env: [{{name: NEXT_URL, value: \"http://{next}:80\"}}]")
    };
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}\n\
         ---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  \
         template:\n    metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: {name}, image: x{env}}}]}}\n"
    )
}
