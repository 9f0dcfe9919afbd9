//! Manifests that change on the way: what was decided before holds until each proxy has heard of the change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp, reason = "a test may stop")]

mod support;

use std::sync::Arc;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Sources, Stage};
use meshproof_sim::{Run, SimOptions, Stages};
use support::{INJECTED, mesh, retries, run, scenario, service};

const LOAD: &str = "horizon: \"10s\", load: [Open(client: \"load\", arrivals: Constant, rate: [Hold(rate: \"100rps\", during: \"1s\")])]";

/// A front without a sidecar calls `s`, which has one.
fn half_meshed() -> String {
    let bare = service("front", 1).replace(
        "metadata: {labels: {app: front}}",
        "metadata: {labels: {app: front}, annotations: {sidecar.istio.io/inject: \"false\"}}",
    );
    INJECTED.to_owned() + &bare + &service("s", 2)
}

fn behaviour(push: &str) -> String {
    format!(
        "Mesh(version: 1, clients: {{\"load\": (from: Workload(\"default/front\"), to: \"default/s:80\", requests: [(name: \"r\")])}},
        control_plane: (push: Constant(\"{push}\")))"
    )
}

/// What a mesh becomes with other manifests.
fn stage(mesh: &Mesh, manifests: &str) -> Arc<Stage> {
    let mut sources = Sources::default();
    sources.add("mesh.yaml", manifests);
    Arc::new(mesh.stage(import(&sources, &ImportOptions::default()).mesh, Vec::new()).expect("a stage"))
}

/// Runs with manifests that are applied at these seconds.
fn with_stages(mesh: &Mesh, stages: &[(u32, &str)], faults: &str) -> Run {
    let steps: Vec<String> = stages.iter().map(|(at, _)| format!("Apply(files: [\"f\"], at: \"{at}s\")")).collect();
    let scenario = scenario(&format!("{LOAD}, rollout: [{}], faults: [{faults}]", steps.join(", ")));
    let stages: Stages = stages.iter().map(|(_, text)| stage(mesh, text)).enumerate().collect();
    run(mesh, &scenario, &SimOptions { stages, ..SimOptions::default() })
}

fn failed(run: &Run) -> f64 {
    run.clients[0].failed.value().unwrap()
}

const STRICT: &str = "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication
metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n";

#[test]
fn strict_shuts_out_who_has_no_certificate_and_permissive_lets_them_in_again() {
    let open = half_meshed();
    let strict = open.clone() + STRICT;
    for (push, stages, faults, expect) in [
        ("0s", vec![], "", 0.0),
        // From 2 s to 5 s at 100 requests per second.
        ("0s", vec![(2, &*strict), (5, &*open)], "", 300.0),
        // Pushes take a second each: the same, later.
        ("1s", vec![(2, &strict), (5, &open)], "", 300.0),
        ("1s", vec![(2, &strict)], "", 700.0),
        // Without a control plane nothing is pushed.
        ("0s", vec![(2, &strict)], "ControlPlane(at: \"1s\", during: \"5s\")", 400.0),
    ] {
        let mesh = mesh(&open, &behaviour(push));
        let failed = failed(&with_stages(&mesh, &stages, faults));
        assert!((failed - expect).abs() <= 2.0, "{push} {faults}: {failed}, not {expect}");
    }
}

#[test]
fn who_has_a_certificate_notices_nothing() {
    let open = INJECTED.to_owned() + &service("front", 1) + &service("s", 2);
    let run = with_stages(&mesh(&open, &behaviour("300ms")), &[(2, &(open.clone() + STRICT))], "");
    assert_eq!((failed(&run), run.rollout[0].reason.as_str()), (0.0, "apply f"));
}

/// A change of the clients' own mode: until the servers' side follows, the two cannot agree.
#[test]
fn a_connection_becomes_what_both_ends_say_when_it_is_opened() {
    let base = INJECTED.to_owned() + &service("front", 1) + &service("s", 1);
    let disabled = base.clone() + &STRICT.replace("STRICT", "DISABLE");
    let run = with_stages(&mesh(&base, &behaviour("0s")), &[(2, &disabled)], "");
    let call = &run.calls[0];
    // A fifth of the time over mutual TLS, then plaintext; nobody fails, because clients learn the servers' mode too.
    assert!((call.mtls_ratio.value().unwrap() - 0.2).abs() < 0.01, "{:?}", call.mtls_ratio);
    assert_eq!(failed(&run), 0.0);
}

#[test]
fn routes_and_subsets_come_and_go() {
    let base = INJECTED.to_owned() + &service("front", 1) + &service("s", 1) + &service("t", 1);
    let route = |to: &str| {
        format!(
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s, namespace: default}}
spec: {{hosts: [s], http: [{{route: [{{destination: {{host: {to}}}}}]}}]}}\n"
        )
    };
    let none = base.clone()
        + &route("t")
        + "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule
metadata: {name: t, namespace: default}\nspec: {host: t, subsets: [{name: v1, labels: {app: nobody}}]}\n";
    let none = none.replace("{host: t}}", "{host: t, subset: v1}}");
    let run = with_stages(
        &mesh(&base, &behaviour("0s")),
        &[(2, &(base.clone() + &route("t"))), (4, &none), (6, &(base.clone() + &retries("s", "{attempts: 1}")))],
        "",
    );
    let requests = |name: &str| {
        let service = run.services.iter().find(|service| service.name == name);
        service.map_or(0.0, |service| service.requests.value().unwrap())
    };
    assert!((failed(&run) - 200.0).abs() <= 1.0, "{}", failed(&run));
    // What leads nowhere counts where it was sent.
    assert!((requests("s") - 800.0).abs() <= 2.0, "{}", requests("s"));
    assert!((requests("t") - 200.0).abs() <= 2.0, "{}", requests("t"));
}

#[test]
fn what_cannot_change_in_a_run_is_told() {
    let base = half_meshed();
    let mesh = mesh(&base, &behaviour("0s"));
    let wrong = |manifests: &str| {
        let mut sources = Sources::default();
        sources.add("new.yaml", manifests);
        let wrong = mesh.stage(import(&sources, &ImportOptions::default()).mesh, Vec::new()).expect_err("a refusal");
        wrong.iter().map(|one| format!("{}: {}", one.at.display(&sources), one.message)).collect::<Vec<_>>().join("\n")
    };
    for (manifests, expect) in [
        (base.clone() + &service("new", 1), "Service default/new would come"),
        (INJECTED.to_owned() + &service("s", 2), "Deployment default/front would go"),
        (
            base.replace("selector: {app: s}", "selector: {app: front}"),
            "the selector of Service default/s would change",
        ),
    ] {
        let message = wrong(&manifests);
        assert!(message.starts_with("new.yaml:") || message.contains("would go"), "{message}");
        assert!(message.contains(expect), "{message}");
    }
}
