//! The gate of a pull request: the script that every CI snippet runs, on a sample repository and its changes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is missing")]

mod common;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use common::scratch;
use serde_json::Value;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const GOOD: &str = "destination: {host: reviews, subset: v1}";
/// The subset that the bad change routes to does not exist.
const BAD: &str = "destination: {host: reviews, subset: v2}";

/// A checkout of the sample repository.
fn repository(name: &str, change: &[(&str, &str)]) -> PathBuf {
    let folder = scratch(name);
    fs::create_dir_all(folder.join("manifests")).unwrap();
    fs::create_dir_all(folder.join("ci")).unwrap();
    fs::copy(Path::new(ROOT).join("ci/gate.sh"), folder.join("ci/gate.sh")).unwrap();
    let mut text = fs::read_to_string(Path::new(ROOT).join("tests/gate/reviews.yaml")).unwrap();
    for (from, to) in change {
        assert!(text.contains(from), "{from}");
        text = text.replace(from, to);
    }
    fs::write(folder.join("manifests/reviews.yaml"), text).unwrap();
    folder
}

/// Runs a script in the repository, as a CI system would; its exit code and what it printed.
fn script(folder: &Path, text: &str, env: &[(&str, &str)]) -> (i32, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_meshproof"));
    let path = format!("{}:{}", program.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh")
        .args(["-ec", text])
        .current_dir(folder)
        .env("PATH", path)
        .env("GITHUB_ACTION_PATH", ROOT)
        .env("GITHUB_STEP_SUMMARY", folder.join("step-summary.md"))
        .env("MESHPROOF_PATHS", "manifests")
        .env("MESHPROOF", program)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    (output.status.code().unwrap(), text.into_owned())
}

fn gate(folder: &Path, env: &[(&str, &str)]) -> (i32, String) {
    script(folder, "ci/gate.sh manifests", env)
}

fn results(folder: &Path) -> Vec<Value> {
    let text = fs::read_to_string(folder.join("meshproof-reports/meshproof.sarif")).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    document["runs"][0]["results"].as_array().unwrap().clone()
}

#[test]
fn a_bad_change_fails_at_its_line_and_the_fixed_one_passes() {
    let good = repository("gate-good", &[]);
    let (code, out) = gate(&good, &[]);
    assert_eq!(code, 0, "{out}");
    let bad = repository("gate-bad", &[(GOOD, BAD)]);
    let (code, out) = gate(&bad, &[]);
    assert_eq!(code, 1, "{out}");
    let text = fs::read_to_string(bad.join("manifests/reviews.yaml")).unwrap();
    let changed = text.lines().position(|line| line.contains(BAD)).unwrap() + 1;
    let at = |result: &Value| result["locations"][0]["physicalLocation"].clone();
    let found = results(&bad).into_iter().filter(|result| result["level"] == "error").map(|result| at(&result));
    let lines: Vec<(Value, Value)> =
        found.map(|at| (at["artifactLocation"]["uri"].clone(), at["region"]["startLine"].clone())).collect();
    assert!(lines.contains(&("manifests/reviews.yaml".into(), changed.into())), "{lines:?}");
    for report in ["junit.xml", "gl-code-quality-report.json", "summary.md"] {
        assert!(fs::metadata(bad.join("meshproof-reports").join(report)).unwrap().len() > 0, "{report}");
    }
}

#[test]
fn a_baseline_keeps_old_findings_quiet_and_no_others() {
    let folder = repository("gate-baseline", &[(GOOD, BAD)]);
    let (code, out) = script(&folder, "meshproof verify manifests --write-baseline known.json", &[]);
    assert_eq!(code, 1, "{out}");
    let known = [("MESHPROOF_BASELINE", "known.json")];
    let (code, out) = gate(&folder, &known);
    assert_eq!(code, 0, "{out}");
    let file = folder.join("manifests/reviews.yaml");
    let text = fs::read_to_string(&file).unwrap() + "  - route:\n    - destination: {host: reviews, subset: v3}\n";
    fs::write(file, text).unwrap();
    let (code, out) = gate(&folder, &known);
    assert_eq!(code, 1, "a new finding fails: {out}");
}

#[test]
fn an_expired_suppression_shows() {
    let with = |until: &str| format!("{BAD} # meshproof: ignore MP0202 until={until} reason=\"v2 comes next week\"");
    let covered = repository("gate-suppressed", &[(GOOD, &with("2999-01-01"))]);
    let (code, out) = gate(&covered, &[]);
    assert_eq!(code, 0, "{out}");
    let suppressed = results(&covered).iter().any(|result| result["suppressions"][0]["justification"].is_string());
    assert!(suppressed, "{:?}", results(&covered));
    let expired = repository("gate-expired", &[(GOOD, &with("2020-01-01"))]);
    let (code, out) = gate(&expired, &[]);
    assert_eq!(code, 1, "{out}");
    assert!(out.contains("MP0191"), "{out}");
}

/// The lines below a key, as deep as they are indented more than it.
fn block(text: &str, key: &str) -> String {
    let mut lines = text.lines().skip_while(|line| !line.trim_start().starts_with(key));
    let head = lines.next().unwrap_or_else(|| panic!("{key} is missing"));
    let depth = head.len() - head.trim_start().len();
    let deeper = |line: &&str| line.trim().is_empty() || line.len() - line.trim_start().len() > depth;
    lines.take_while(deeper).map(|line| line.trim().trim_start_matches("- ").to_owned() + "\n").collect()
}

#[test]
fn the_shell_of_each_snippet_gates() {
    let action = fs::read_to_string(Path::new(ROOT).join("action.yml")).unwrap();
    let verify = action.split("- name: Verify").nth(1).unwrap().to_owned();
    let read = |name: &str| fs::read_to_string(Path::new(ROOT).join(name)).unwrap();
    let hook = read(".pre-commit-hooks.yaml");
    let entry = hook.lines().find_map(|line| line.trim().strip_prefix("entry: ")).unwrap().to_owned();
    let snippets = [
        ("action.yml", block(&verify, "run: |")),
        ("ci/gitlab.yml", block(&read("ci/gitlab.yml"), "script:")),
        ("ci/Jenkinsfile", block(&read("ci/Jenkinsfile"), "sh '''")),
        ("ci/tekton.yaml", block(&read("ci/tekton.yaml"), "script: |")),
        ("ci/argocd-presync.yaml", block(&read("ci/argocd-presync.yaml"), "- |")),
        ("ci/argocd-plugin.yaml", block(&read("ci/argocd-plugin.yaml"), "- |")),
        (".pre-commit-hooks.yaml", entry),
        ("a rendered chart", "cat manifests/*.yaml | ci/gate.sh -".to_owned()),
    ];
    let (good, bad) = (repository("snippets-good", &[]), repository("snippets-bad", &[(GOOD, BAD)]));
    for (name, text) in snippets {
        assert!(!text.trim().is_empty(), "{name}");
        for (folder, expect) in [(&good, 0), (&bad, 1)] {
            let (code, out) = script(folder, &text, &[("ARGOCD_ENV_RENDER", "cat manifests/reviews.yaml")]);
            assert_eq!(code, expect, "{name}: {text}\n{out}");
            if name == "ci/argocd-plugin.yaml" {
                assert_eq!(out.contains("kind: VirtualService"), expect == 0, "{out}");
            }
        }
    }
    let summary = fs::read_to_string(bad.join("step-summary.md")).unwrap();
    assert!(summary.starts_with("## meshproof: violated"), "{summary}");
}

const ROUTE: &str = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: stock, namespace: shop}\n\
    spec:\n  hosts: [stock]\n  http:\n";
const SUBSET: &str = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: stock, namespace: shop}\n\
    spec:\n  host: stock\n  subsets: [{name: v1, labels: {app: stock}}]\n";
const ACCOUNT: &str = "        - cluster.local/ns/shop/sa/recommend\n";

#[test]
fn each_recipe_refuses_what_it_is_for_and_lets_the_rest_pass() {
    let retries = |attempts: u32| {
        format!("{ROUTE}  - retries: {{attempts: {attempts}}}\n    route: [{{destination: {{host: stock}}}}]\n")
    };
    let to_subset = format!("{ROUTE}  - route: [{{destination: {{host: stock, subset: v1}}}}]\n");
    let (few, many) = (retries(1), retries(9));
    let both = format!("{SUBSET}{to_subset}");
    let more_access = format!("{ACCOUNT}        - cluster.local/ns/shop/sa/users\n");
    for (recipe, good, bad) in [
        ("no-new-access", (ACCOUNT, ""), (ACCOUNT, more_access.as_str())),
        ("no-plaintext", ("", SUBSET), ("mode: STRICT", "mode: PERMISSIVE")),
        ("no-retry-storm", ("", few.as_str()), ("", many.as_str())),
        ("no-unsafe-order", ("", SUBSET), ("", both.as_str())),
    ] {
        for (change, expect) in [(good, 0), (bad, 1)] {
            let folder = scratch(&format!("recipe-{recipe}-{expect}"));
            common::copy(&Path::new(ROOT).join("topologies/locked-shop"), &folder.join("shop"));
            for entry in fs::read_dir(folder.join("shop")).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "intent") {
                    fs::remove_file(path).unwrap();
                }
            }
            common::copy(&Path::new(ROOT).join("ci"), &folder.join("ci"));
            let git =
                "git init -q -b main . && git add . && git -c user.name=a -c user.email=a@example.com commit -qm a";
            let (code, out) = script(&folder, git, &[]);
            assert_eq!(code, 0, "{out}");
            let file = folder.join("shop/security.yaml");
            let text = fs::read_to_string(&file).unwrap();
            let text = if change.0.is_empty() { text + change.1 } else { text.replacen(change.0, change.1, 1) };
            fs::write(&file, text).unwrap();
            let command = format!("meshproof verify shop ci/recipes/{recipe}.intent --since git:main --select MP10");
            let (code, out) = script(&folder, &command, &[]);
            assert_eq!(code, expect, "{recipe}: {}\n{out}", change.1);
        }
    }
}

#[test]
fn the_recipe_for_canaries_refuses_one_that_hurts_more_and_lets_a_quicker_one_pass() {
    let recipe = Path::new(ROOT).join("ci/recipes/canary-cannot-hurt.test.ron");
    for (name, from, to, expect) in [
        ("looks-oftener", "interval: 10s", "interval: 5s", 0),
        ("forgives-more", "failureLimit: 1", "failureLimit: 4", 1),
        ("begins-with-more", "setWeight: 30", "setWeight: 70", 1),
        ("forgives-all", "failureLimit: 1", "failureLimit: -1", 1),
    ] {
        let folder = common::copy_of("argo-canary", &format!("canary-{name}"), &[("mesh.yaml", from, to)]);
        fs::copy(&recipe, folder.join("canary.test.ron")).unwrap();
        let answer = common::meshproof(&["test", folder.to_str().unwrap()]);
        assert_eq!(answer.code, expect, "{name}: {}", answer.out);
    }
}
