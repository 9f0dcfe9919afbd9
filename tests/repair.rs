//! `verify --fix`: what it changes, that what it changes is mended, and that it touches nothing else.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use common::{meshproof, meshproof_with_input, scratch};
use meshproof::pages::{Page, page};
use meshproof_model::RULES;
use serde_json::Value as Json;

/// Something that no fix may touch.
const BYSTANDER: &str = "# as it was\napiVersion: v1\nkind: ConfigMap\nmetadata:   {name: bystander}   # odd blanks\n";

/// The bad example of a rule as a folder.
fn folder_of(page: &Page, name: &str) -> PathBuf {
    let folder = scratch(name);
    let mut parts = page.bad.split("# file: ");
    fs::write(folder.join("mesh.yaml"), parts.next().unwrap()).unwrap();
    fs::write(folder.join("bystander.yaml"), BYSTANDER).unwrap();
    for (name, text) in parts.map(|part| part.split_once('\n').unwrap()) {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    folder
}

fn verify(page: &Page, folder: &Path, flags: &[&str]) -> Json {
    let path = folder.display().to_string();
    let mut args = vec!["verify", path.as_str(), "--no-timing", "--format", "json"];
    args.extend(page.flags.split_whitespace().chain(flags.iter().copied()));
    meshproof(&args).json()
}

/// How often each rule finds fault, worse than news.
fn counts(report: &Json) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let findings = report["findings"].as_array().unwrap().iter().filter(|finding| finding["severity"] != "info");
    for finding in findings {
        *counts.entry(finding["code"].as_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    counts
}

/// Every rule whose bad example an edit mends, with the edit. `MESHPROOF_BLESS=1` writes the file.
#[test]
fn examples_of_rules_are_mended() {
    let mut shown = String::new();
    for rule in RULES {
        let Some(page) = page(rule.code).filter(|page| !page.flags.contains("--profile")) else { continue };
        let folder = folder_of(&page, &format!("repair-{}", rule.code));
        let suggested = verify(&page, &folder, &["--suggest"]);
        let fixes = suggested["repair"]["fixes"].as_array().unwrap().clone();
        if fixes.is_empty() {
            continue;
        }
        let before = verify(&page, &folder, &[]);
        assert_eq!(suggested["findings"], before["findings"], "{}: a suggestion changes nothing", rule.code);
        // As the patch says, so do the files become; and `git apply` reads the patch.
        let relative = suggested["repair"]["patch"].as_str().unwrap().replace(&format!("{}/", folder.display()), "");
        let patched = folder_of(&page, &format!("repair-patched-{}", rule.code));
        fs::write(patched.join("fix.patch"), relative.replace("--- ", "--- a/").replace("+++ ", "+++ b/")).unwrap();
        let git = Command::new("git").args(["apply", "fix.patch"]).current_dir(&patched).output().unwrap();
        assert!(git.status.success(), "{}: {}", rule.code, String::from_utf8_lossy(&git.stderr));
        let mended = verify(&page, &folder, &["--fix"]);
        assert_eq!(mended["repair"]["fixes"], suggested["repair"]["fixes"], "{}", rule.code);
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
            let [own, theirs] = [&folder, &patched].map(|folder| fs::read(folder.join(entry.file_name())).unwrap());
            assert_eq!(own, theirs, "{}: {:?}", rule.code, entry.file_name());
        }
        assert_eq!(fs::read_to_string(folder.join("bystander.yaml")).unwrap(), BYSTANDER);
        // Judged anew, it is as the report said, each rule finds no more than before, and what was mended is gone.
        let after = verify(&page, &folder, &[]);
        assert_eq!(after["findings"], mended["findings"], "{}", rule.code);
        let (before, after) = (counts(&before), counts(&after));
        assert!(after.iter().all(|(code, count)| count <= &before[code]), "{}: {before:?} {after:?}", rule.code);
        for fix in &fixes {
            let code = fix["code"].as_str().unwrap();
            assert!(after.get(code).unwrap_or(&0) < &before[code], "{}: {before:?} {after:?}", rule.code);
            let changes: Vec<&str> = fix["changes"].as_array().unwrap().iter().map(|c| c.as_str().unwrap()).collect();
            writeln!(shown, "{}: {code} {}: {}", rule.code, fix["subject"].as_str().unwrap(), changes.join("; "))
                .unwrap();
        }
        // There is nothing to mend twice.
        let again = verify(&page, &folder, &["--suggest"]);
        assert_eq!(again["repair"]["fixes"], Json::Array(Vec::new()), "{}", rule.code);
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/repair/rules.txt");
    if std::env::var_os("MESHPROOF_BLESS").is_some() {
        fs::write(path, &shown).unwrap();
    }
    assert_eq!(fs::read_to_string(path).unwrap(), shown, "write it anew with MESHPROOF_BLESS=1");
}

/// Services that call each other in a line, each with a Deployment.
fn line(names: &[&str]) -> String {
    let mut out = String::new();
    for name in names {
        write!(
            out,
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  selector: {{app: {name}}}\n  \
             ports: [{{name: http, port: 80, targetPort: 8080}}]\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: \
             {{name: {name}, namespace: shop}}\nspec:\n  replicas: 3\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
             metadata: {{labels: {{app: {name}}}}}\n    spec: {{containers: [{{name: app, image: {name}, ports: [{{containerPort: \
             8080}}]}}]}}\n---\n"
        )
        .unwrap();
    }
    out
}

fn calls(pairs: &[(&str, &str)]) -> String {
    let call = |(from, to): &(&str, &str)| format!("\"shop/{from}\": (calls: [[(to: \"{to}:80\")]])");
    format!("Mesh(version: 1, workloads: {{{}}})\n", pairs.iter().map(call).collect::<Vec<_>>().join(", "))
}

fn service(name: &str, http: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  hosts: \
         [{name}]\n  http:\n{http}---\n"
    )
}

/// The lines of a patch that say something.
fn lines(patch: &str) -> Vec<&str> {
    let is_header = |line: &str| ["--- ", "+++ ", "@@ "].iter().any(|mark| line.starts_with(mark));
    patch.split_terminator('\n').filter(|line| line.starts_with(['+', '-']) && !is_header(line)).collect()
}

/// Each mesh with the lines that mend it: the fewest fields, then the least change; layout and comments stay.
#[test]
fn the_smallest_edit_is_chosen() {
    let four = ["a", "b", "c", "d"];
    let row = [("a", "b"), ("b", "c"), ("c", "d")];
    let tries = |name: &str, attempts: u64| {
        let retries = format!("    retries: {{attempts: {attempts}, retryOn: 5xx}} # of {name}\n");
        service(name, &format!("  - route: [{{destination: {{host: {name}}}}}]\n{retries}"))
    };
    let cases: Vec<(&str, String, String, Vec<&str>)> = vec![
        (
            "one hop is enough",
            line(&four) + &tries("c", 1) + &tries("d", 3),
            calls(&row),
            vec![
                "-    retries: {attempts: 3, retryOn: 5xx} # of d",
                "+    retries: {attempts: 1, retryOn: 5xx} # of d",
            ],
        ),
        (
            "two hops must change, and the third stays",
            line(&four) + &tries("b", 3) + &tries("c", 3) + &tries("d", 3),
            calls(&row),
            vec![
                "-    retries: {attempts: 3, retryOn: 5xx} # of c",
                "+    retries: {attempts: 0} # of c",
                "-    retries: {attempts: 3, retryOn: 5xx} # of d",
                "+    retries: {attempts: 0} # of d",
            ],
        ),
        (
            "a rule goes before the one that shadows it, with its comment",
            line(&["a"])
                + &service(
                    "a",
                    "  # everything\n  - match:\n    - uri: {prefix: /}\n    route: [{destination: {host: a}}]\n  # the \
                     new one\n  - match:\n    - uri: {prefix: /v2}   # exactly so\n    route: [{destination: {host: a}}]\n    \
                     timeout: 5s\n",
                ),
            calls(&[]),
            vec![
                "-  # everything",
                "-  - match:",
                "-    - uri: {prefix: /}",
                "-    route: [{destination: {host: a}}]",
                "+  # everything",
                "+  - match:",
                "+    - uri: {prefix: /}",
                "+    route: [{destination: {host: a}}]",
            ],
        ),
    ];
    for (number, (what, manifests, behaviour, expected)) in cases.iter().enumerate() {
        let folder = scratch(&format!("repair-case-{number}"));
        fs::write(folder.join("mesh.yaml"), manifests).unwrap();
        fs::write(folder.join("mesh.ron"), behaviour).unwrap();
        let path = folder.display().to_string();
        let fixed = meshproof(&["verify", &path, "--fix", "--format", "json"]).json();
        let changes = fixed["repair"]["patch"].as_str().unwrap();
        assert_eq!(&lines(changes), expected, "{what}: {fixed:#}");
    }
}

const INERT: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\nspec:\n  \
                     host: a\n  trafficPolicy:\n    outlierDetection:\n      consecutive5xxErrors: 5 # so many\n      \
                     baseEjectionTime: 30s\n";

#[test]
fn an_absent_field_is_added_where_its_neighbours_stand() {
    for (detection, expected) in [
        (INERT.to_owned(), vec!["+      maxEjectionPercent: 34"]),
        (INERT.replace('\n', "\r\n"), vec!["+      maxEjectionPercent: 34\r"]),
        (
            INERT.replace("      baseE", "      maxEjectionPercent: '20'\n      baseE"),
            vec!["-      maxEjectionPercent: '20'", "+      maxEjectionPercent: '34'"],
        ),
        (
            INERT.replace(
                "outlierDetection:\n      consecutive5xxErrors: 5 # so many\n      baseEjectionTime: 30s\n",
                "outlierDetection: {consecutive5xxErrors: 5}",
            ),
            vec![
                "-    outlierDetection: {consecutive5xxErrors: 5}",
                "\\ No newline at end of file",
                "+    outlierDetection: {consecutive5xxErrors: 5, maxEjectionPercent: 34}",
                "\\ No newline at end of file",
            ],
        ),
    ] {
        let answer = meshproof_with_input(
            &["verify", "-", "--suggest", "--format", "json"],
            &(line(&["a"]) + detection.as_str()),
        );
        let report = answer.json();
        let patch = report["repair"]["patch"].as_str().unwrap();
        let expected: Vec<&str> = expected.into_iter().filter(|line| !line.starts_with('\\')).collect();
        assert_eq!(lines(patch), expected, "{report:#}");
    }
}

#[test]
fn what_cannot_be_written_is_told() {
    let mesh = line(&["a"]) + INERT;
    let refused = meshproof_with_input(&["verify", "-", "--fix"], &mesh);
    assert_eq!((refused.code, refused.out.as_str()), (2, ""));
    assert!(refused.err.contains("`--fix` cannot write `-`"), "{}", refused.err);

    let folder = scratch("repair-read-only");
    let file = folder.join("mesh.yaml");
    fs::write(&file, &mesh).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
    let path = folder.display().to_string();
    let refused = meshproof(&["verify", &path, "--fix"]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("mesh.yaml`: it is read-only"), "{}", refused.err);
    assert_eq!(fs::read_to_string(&file).unwrap(), mesh);
}

#[test]
fn a_link_leads_to_the_file_that_changes_and_its_mode_stays() {
    let folder = scratch("repair-link");
    let (real, linked) = (folder.join("real.txt"), folder.join("mesh.yaml"));
    fs::write(&real, line(&["a"]) + INERT).unwrap();
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&real, &linked).unwrap();
    let answer = meshproof(&["verify", &folder.display().to_string(), "--fix"]);
    assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
    assert!(answer.out.contains("maxEjectionPercent"), "{}", answer.out);
    assert!(fs::symlink_metadata(&linked).unwrap().is_symlink());
    assert!(fs::read_to_string(&real).unwrap().ends_with("baseEjectionTime: 30s\n      maxEjectionPercent: 34\n"));
    assert_eq!(fs::metadata(&real).unwrap().permissions().mode() & 0o777, 0o640);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 2, "nothing is left beside");
}

#[test]
fn a_slip_in_a_name_is_mended_and_a_missing_version_is_not() {
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: shop}\nspec:\n  host: \
                a\n  subsets: [{name: stable, labels: {app: a}}, {name: v1, labels: {app: a}}]\n---\n";
    for (subset, expected) in [
        (
            "stabel",
            vec![
                "-    route: [{destination: {host: a, subset: stabel}}]",
                "+    route: [{destination: {host: a, subset: stable}}]",
            ],
        ),
        ("v2", vec![]),
    ] {
        let route = format!("  - timeout: 5s\n    route: [{{destination: {{host: a, subset: {subset}}}}}]\n");
        let mesh = line(&["a"]) + rule + &service("a", &route);
        let report = meshproof_with_input(&["verify", "-", "--suggest", "--format", "json"], &mesh).json();
        assert!(report["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == "MP0202"), "{report:#}");
        assert_eq!(lines(report["repair"]["patch"].as_str().unwrap()), expected, "{report:#}");
    }
}

#[test]
fn nothing_is_made_less_safe() {
    // A client without a sidecar cannot speak to a STRICT server: to open the server is a decision and no repair.
    let outage = line(&["a", "b"]).replacen("app: b}}", "app: b, sidecar.istio.io/inject: \"false\"}}", 1)
        + "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: \
           shop}\nspec:\n  mtls: {mode: STRICT}\n";
    let report = meshproof_with_input(&["verify", "-", "--suggest", "--format", "json"], &outage).json();
    assert_eq!(report["repair"]["fixes"], Json::Array(Vec::new()), "{report:#}");
}

#[test]
fn formats_for_people_show_the_patch() {
    let mesh = line(&["a"]) + INERT;
    for format in ["full", "table", "markdown"] {
        let answer = meshproof_with_input(&["verify", "-", "--suggest", "--format", format], &mesh);
        assert!(answer.out.contains("\n+      maxEjectionPercent: 34\n"), "{format}: {}", answer.out);
    }
    let nothing = meshproof_with_input(&["verify", "-", "--suggest"], &line(&["a"]));
    assert!(nothing.out.contains("no edit of a blamed field mends a finding"), "{}", nothing.out);
}
