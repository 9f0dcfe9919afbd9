//! The shipped scenarios: their outcome, their bytes, and that no run exceeds what was proved.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::meshproof;
use meshproof::{Project, proved_bounds};
use meshproof_import::ImportOptions;
use meshproof_model::{Load, Phase, Rate};
use meshproof_sim::{SimOptions, simulate};

/// Every mesh of `topologies/`.
fn topologies() -> Vec<Project> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/topologies");
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: &std::path::PathBuf| Project::read(&[path.display().to_string()], &ImportOptions::default());
    paths.iter().map(|path| read(path).unwrap()).collect()
}

/// The same load with a twentieth of the requests, so that a long scenario takes seconds.
fn thinned(load: &mut Load) {
    let Load::Open { rate, .. } = load else { return };
    for phase in rate {
        let (Phase::Hold { rate, .. } | Phase::Ramp { to: rate, .. }) = phase;
        *rate = Rate::from_milli(rate.milli() / 20);
    }
}

/// The simulator refuses a run that exceeds its bounds; all of them are handed in. With `MESHPROOF_SLOW` set, loads are
/// not thinned.
#[test]
fn no_run_exceeds_what_was_proved() {
    let mut runs = 0;
    for project in topologies() {
        let bounds = proved_bounds(&project.imported.mesh, 0).unwrap();
        assert!(!bounds.requests.is_empty() && !bounds.connects.is_empty(), "{:?} has no bounds", project.paths);
        for (name, mut scenario) in project.scenarios.clone() {
            if std::env::var_os("MESHPROOF_SLOW").is_none() {
                scenario.load.iter_mut().for_each(thinned);
            }
            let (_, mut options) = project.ready(&name, SimOptions::default()).unwrap();
            // What is proved of manifests is not proved of those that a rollout makes of them.
            options.bounds = options.stages.is_empty().then(|| bounds.clone());
            let run = simulate(&project.imported.mesh, &scenario, &options).unwrap();
            assert_eq!(run.internal_errors, [""; 0], "{:?} {}", project.paths, options.name);
            assert!(run.client_requests > 1000, "{:?} {}", project.paths, options.name);
            runs += 1;
        }
    }
    assert!(runs >= 4, "only {runs} scenarios were run");
}

#[test]
fn a_bound_that_is_too_low_is_noticed() {
    let all = topologies();
    let project = all.iter().find(|project| project.paths[0].ends_with("/bookinfo")).unwrap();
    let mut bounds = proved_bounds(&project.imported.mesh, 0).unwrap();
    bounds.requests.values_mut().for_each(|bound| *bound = 0);
    let (name, mut scenario) = project.scenario("steady").unwrap();
    scenario.load.iter_mut().for_each(thinned);
    let options = SimOptions { name, bounds: Some(bounds), ..SimOptions::default() };
    let run = simulate(&project.imported.mesh, &scenario, &options).unwrap();
    assert!(!run.internal_errors.is_empty());
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_seed_others() {
    let run = |args: &[&str]| {
        let fixed = ["simulate", "topologies/bookinfo", "--scenario", "steady", "--format", "json", "--no-timing"];
        let answer = meshproof(&[&fixed[..], args].concat());
        assert_eq!(answer.code, 0, "{}{}", answer.out, answer.err);
        answer
    };
    let one = run(&["--threads", "1"]);
    assert_eq!(one.out, run(&["--threads", "2"]).out);
    assert_ne!(one.json()["digest"], run(&["--seed", "8"]).json()["digest"]);
    // Debug and release builds agree on this digest.
    insta::assert_snapshot!(one.json()["digest"].as_str().unwrap(), @"3c64975595fb4bea3217dfdf1c864274");
}

#[test]
fn a_comparison_shows_what_other_retries_do() {
    let changes = [("routing.yaml", "retryOn: \"connect-failure,reset,gateway-error\"", "retryOn: 5xx")];
    let head = common::copy_of("bookinfo", "other-retries", &changes);
    let scenario = "topologies/bookinfo/scenarios/ratings-down.ron";
    let args = ["compare", "topologies/bookinfo", head.to_str().unwrap(), "--scenario", scenario, "--format", "json"];
    let json = meshproof(&args).json();
    assert_ne!(json["base_digest"], json["head_digest"]);
    let figures = json["figures"].as_array().unwrap();
    let attempts = figures.iter().find(|f| f["name"] == "default/reviews.attempts").unwrap();
    assert!(attempts["difference"].as_f64().unwrap() > 0.0, "{attempts}");
}

/// A mesh with a scenario that applies manifests of its own.
#[test]
fn a_scenario_applies_manifests_that_stand_beside_it() {
    let folder = common::scratch("applies");
    std::fs::create_dir_all(folder.join("scenarios")).unwrap();
    for (name, text) in [
        (
            "mesh.yaml",
            "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n---\n\
            apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {selector: {app: s}, ports: [{name: http, port: 80}]}\n---\n\
            apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: s}\nspec: {selector: {matchLabels: {app: s}}, template: \
            {metadata: {labels: {app: s}}, spec: {containers: [{name: a, image: x, ports: [{containerPort: 80}]}]}}}\n",
        ),
        (
            "mesh.ron",
            "Mesh(version: 1, clients: {\"user\": (from: Outside, to: \"default/s:80\", requests: [(name: \"r\")])})",
        ),
        (
            "scenarios/strict.yaml",
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\n\
            metadata: {name: default}\nspec: {mtls: {mode: STRICT}}\n",
        ),
        ("scenarios/more.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: t}\nspec: {ports: [{port: 80}]}\n"),
        ("scenarios/broken.yaml", "kind: [\n"),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let load = "load: [Open(client: \"user\", arrivals: Constant, rate: [Hold(rate: \"10rps\", during: \"1s\")])]";
    let run = |rollout: &str, objective: &str| {
        let text = format!(
            "Scenario(version: 1, horizon: \"10s\", {load},\n  rollout: [{rollout}],\n  objectives: [\"{objective}\"])"
        );
        std::fs::write(folder.join("scenarios/x.ron"), text).unwrap();
        meshproof(&["simulate", folder.to_str().unwrap(), "--scenario", "x"])
    };
    let strict = "Apply(files: [\"strict.yaml\"], at: \"2s\")";
    let delete = "Delete(objects: [\"PeerAuthentication/default/default\"], at: \"5s\")";
    let set = "Set(value: \"PeerAuthentication/default/default spec.mtls.mode=PERMISSIVE\", at: \"6s\")";
    for (rollout, failed) in [
        (String::new(), 0),
        (strict.to_owned(), 80),
        (format!("{delete}, {strict}"), 30),
        (format!("{strict}, {set}"), 40),
    ] {
        let answer = run(&rollout, &format!("user.failed <= {}", failed + 1));
        assert_eq!(answer.code, 0, "{rollout}: {}{}", answer.out, answer.err);
        if failed > 0 {
            assert_eq!(run(&rollout, &format!("user.failed < {}", failed - 1)).code, 1, "{rollout}");
        }
    }
    for (rollout, expect) in [
        ("Apply(files: [\"none.yaml\"], at: \"2s\")", "x.ron:2:13: rollout[0]: cannot read `"),
        ("Apply(files: [\"more.yaml\"], at: \"2s\")", "scenarios/more.yaml:1:1: Service default/t would come"),
        ("Apply(files: [\"broken.yaml\"], at: \"2s\")", "scenarios/broken.yaml"),
        ("Delete(objects: [\"Service/default/x\"], at: \"2s\")", "there is no object `Service/default/x`"),
        ("Set(value: \"Service/default/s spec\", at: \"2s\")", "write `KIND/NAMESPACE/NAME PATH=VALUE`"),
        ("Apply(files: [], at: \"2s\")", "x.ron:2:13: rollout[0]: nothing is named that changes"),
    ] {
        let answer = run(rollout, "user.failed <= 0");
        assert_eq!(answer.code, 2, "{rollout}: {}", answer.out);
        assert!(answer.err.contains(expect), "{rollout}: {}", answer.err);
    }
}
