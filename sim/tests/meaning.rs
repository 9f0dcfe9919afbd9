//! What runs show is what theory, Envoy and Istio say.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::format_push_string,
    clippy::float_cmp,
    reason = "a test may stop"
)]

mod support;

use meshproof_model::{Bounds, Expectation, Scenario, Witness, WitnessKind};
use meshproof_sim::{SetupError, SimOptions, compare, replay, simulate};
use support::{INJECTED, chain, mesh, run, scenario, service};

fn witness(scenario: Scenario, expectation: Expectation) -> Witness {
    Witness {
        kind: WitnessKind::Scenario,
        path: Vec::new(),
        steps: Vec::new(),
        scenario: Some(scenario),
        expectation: Some(expectation),
        replayed: None,
        request: None,
    }
}

/// M/M/8 at a load of 0.7: the mean time in the system is 1.1126 times the service time (Erlang C: 0.27).
#[test]
fn a_queue_behaves_as_erlang_says() {
    let behaviour = "Mesh(version: 1,
        clients: {\"c\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\")])},
        workloads: {\"default/q\": (concurrency: 8, queue: (limit: 100000), service_time: Exponential(mean: \"10ms\"))},
        network: (same_zone: Constant(\"0ms\"), proxy: Constant(\"0ms\")))";
    let mesh = mesh(&service("q", 1), behaviour);
    let load = "seed: 3, horizon: \"220s\", warm_up: Fixed(\"20s\"),
        load: [Open(client: \"c\", rate: [Hold(rate: \"560rps\", during: \"1s\")])]";
    let run = run(&mesh, &scenario(load), &SimOptions::default());
    let offered = 5.6_f64;
    let term = |n: u32| (1..=n).fold(1.0, |product, k| product * offered / f64::from(k));
    let waiting = term(8) / (1.0 - 0.7);
    let erlang_c = waiting / ((0..8).map(term).sum::<f64>() + waiting);
    let expected = 10.0 * (1.0 + erlang_c / (8.0 * 0.3));
    let mean = run.clients[0].latency_ms.mean.value().unwrap();
    assert!((mean / expected - 1.0).abs() < 0.03, "{mean} {expected}");
    let utilisation = run.services[0].utilisation.value().unwrap();
    assert!((utilisation / 0.7 - 1.0).abs() < 0.02, "{utilisation}");
}

/// Three hops with two retries each, and every try of the last one fails: 3 * 3 * 3 requests at the end of the chain.
#[test]
fn retries_multiply_exactly() {
    let mesh = chain(3, 2, "{attempts: 2, retryOn: 5xx}", "Constant(\"1ms\")");
    let forced = "horizon: \"10s\", load: [Burst(client: \"load\", requests: 1, at: \"0s\")],
        script: [
            (at: \"default/s1\", fail_attempts: 9, status: 503),
            (at: \"default/s2\", fail_attempts: 9, status: 503),
            (at: \"default/s3\", fail_attempts: 9, status: 503),
        ]";
    for (service, count) in [("default/s1", 3), ("default/s2", 9), ("default/s3", 27)] {
        let claim = Expectation::RequestsAt { service: service.to_owned(), count };
        let outcome = replay(&mesh, &witness(scenario(forced), claim)).expect("a replay");
        assert!(outcome.shown, "{service}: {}", outcome.observed);
    }
    let bounds = |bound| {
        let key = ("load".to_owned(), "default/s3".to_owned());
        Some(Bounds { requests: [(key, bound)].into(), ..Bounds::default() })
    };
    for (bound, is_broken) in [(27, false), (26, true)] {
        let options = SimOptions { bounds: bounds(bound), ..SimOptions::default() };
        let run = simulate(&mesh, &scenario(forced), &options).expect("a run");
        assert_eq!(!run.internal_errors.is_empty(), is_broken, "{:?}", run.internal_errors);
    }
}

#[test]
fn a_caller_that_gives_up_leaves_work_behind() {
    let mut manifests = INJECTED.to_owned() + &service("front", 1) + &service("slow", 1);
    manifests.push_str(
        "---\napiVersion: networking.istio.io/v1\nkind: VirtualService
metadata: {name: slow, namespace: default}
spec: {hosts: [slow], http: [{timeout: 50ms, route: [{destination: {host: slow}}]}]}\n",
    );
    let behaviour = "Mesh(version: 1,
        clients: {\"c\": (from: Workload(\"default/front\"), to: \"default/slow:80\", requests: [(name: \"r\")])},
        workloads: {\"default/slow\": (service_time: Constant(\"200ms\"))})";
    let mesh = mesh(&manifests, behaviour);
    let once = "horizon: \"5s\", load: [Burst(client: \"c\", requests: 1, at: \"0s\")]";
    let claim =
        Expectation::CallerLeavesFirst { caller: "default/front".to_owned(), callee: "default/slow".to_owned() };
    let outcome = replay(&mesh, &witness(scenario(once), claim)).expect("a replay");
    assert!(outcome.shown, "{}", outcome.observed);
    let run = run(&mesh, &scenario(once), &SimOptions::default());
    assert_eq!(run.services[0].responses.keys().collect::<Vec<_>>(), ["504"]);
    assert_eq!(run.services[0].flags.keys().collect::<Vec<_>>(), ["UT"]);
}

#[test]
fn strict_servers_refuse_clients_without_a_proxy() {
    let strict = "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication
metadata: {name: default, namespace: default}\nspec: {mtls: {mode: STRICT}}\n";
    let manifests = INJECTED.to_owned() + &service("front", 1) + &service("s", 2) + strict;
    let behaviour = "Mesh(version: 1, clients: {
        \"inside\": (from: Workload(\"default/front\"), to: \"default/s:80\", requests: [(name: \"r\")]),
        \"outside\": (from: Outside, to: \"default/s:80\", requests: [(name: \"r\")]),
    })";
    let mesh = mesh(&manifests, behaviour);
    let both = "horizon: \"5s\", load: [
        Burst(client: \"inside\", requests: 20, at: \"0s\"), Burst(client: \"outside\", requests: 20, at: \"0s\")]";
    let run = run(&mesh, &scenario(both), &SimOptions::default());
    assert_eq!(run.clients[0].ok.value(), Some(20.0));
    assert_eq!(run.clients[1].failed.value(), Some(20.0));
    let inside = run.calls.iter().find(|call| call.from == "default/front").unwrap();
    assert_eq!(inside.mtls_ratio.value(), Some(1.0));
    let claim = Expectation::HandshakeFails { from: String::new(), to: "default/s".to_owned() };
    assert!(replay(&mesh, &witness(scenario(both), claim)).expect("a replay").shown);
}

#[test]
fn a_crash_is_felt_and_over() {
    let mesh = chain(1, 2, "{attempts: 2, retryOn: \"connect-failure,reset\"}", "Exponential(mean: \"2ms\")");
    let crash = "seed: 5, horizon: \"60s\",
        load: [Open(client: \"load\", rate: [Hold(rate: \"300rps\", during: \"1s\")])],
        faults: [Crash(workload: \"default/s1\", replicas: All, at: \"10s\", during: \"5s\")],
        objectives: [\"load.success > 99%\", \"load.p99 < 100ms\", \"recovers within 10s\", \"recovers within 2s\"]";
    let run = run(&mesh, &scenario(crash), &SimOptions::default());
    let met: Vec<bool> = run.objectives.iter().map(|objective| objective.met).collect();
    // The replicas take five more seconds to start: the objectives hold again after these, and not after two.
    assert_eq!(met, [false, true, true, false], "{:?}", run.objectives);
    let failed = run.clients[0].failed.value().unwrap();
    // Ten seconds of 300 requests fail, and those that were in flight.
    assert!((2800.0..3300.0).contains(&failed), "{failed}");
}

#[test]
fn weights_change_on_the_way() {
    let subset = |version: &str| format!("{{name: {version}, labels: {{version: {version}}}}}");
    let mut manifests = INJECTED.to_owned() + &service("front", 1) + &service("s", 1).replace("app: s", "app: t");
    for version in ["v1", "v2"] {
        let deployment = service("s", 1).split("---").last().unwrap().to_owned();
        let labels = format!("labels: {{app: t, version: {version}}}");
        let deployment =
            deployment.replace("name: s,", &format!("name: s-{version},")).replace("labels: {app: s}", &labels);
        manifests.push_str(&format!("---{}", deployment.replace("matchLabels: {app: s}", "matchLabels: {app: t}")));
    }
    manifests.push_str(&format!(
        "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: s, namespace: default}}
spec: {{host: s, subsets: [{}, {}]}}
---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: s, namespace: default}}
spec: {{hosts: [s], http: [{{route: [{{destination: {{host: s, subset: v1}}, weight: 100}}, {{destination: {{host: s, subset: v2}}, weight: 0}}]}}]}}\n",
        subset("v1"),
        subset("v2")
    ));
    let behaviour = "Mesh(version: 1,
        clients: {\"c\": (from: Workload(\"default/front\"), to: \"default/s:80\", requests: [(name: \"r\")])})";
    let mesh = mesh(&manifests, behaviour);
    let canary = "horizon: \"20s\", load: [Open(client: \"c\", rate: [Hold(rate: \"500rps\", during: \"1s\")])],
        rollout: [Weight(route: \"default/s\", at: \"10s\", weights: {\"v1\": 50, \"v2\": 50})]";
    let run = run(&mesh, &scenario(canary), &SimOptions::default());
    let share = run.calls[0].split.get("default/s-v2").and_then(|share| share.value()).unwrap();
    assert!((share - 0.25).abs() < 0.02, "{:?}", run.calls);
    assert_eq!(run.clients[0].failed.value(), Some(0.0));
}

#[test]
fn a_mesh_compared_with_itself_does_not_differ() {
    let base = chain(2, 2, "{attempts: 2, retryOn: 5xx}", "Exponential(mean: \"3ms\")");
    let head = chain(2, 2, "{attempts: 0}", "Exponential(mean: \"3ms\")");
    let failing = "horizon: \"5s\", load: [Open(client: \"load\", rate: [Hold(rate: \"100rps\", during: \"1s\")])],
        faults: [Errors(workload: \"default/s2\", at: \"0s\", during: \"5s\", status: 503, share: \"10%\")]";
    let options = SimOptions { replications: Some(4), ..SimOptions::default() };
    let same = compare(&base, &base, &scenario(failing), &options).expect("a comparison");
    assert_eq!(same.base_digest, same.head_digest);
    assert!(same.figures.iter().all(|figure| figure.difference == 0.0 && figure.significant == Some(false)));
    let changed = compare(&base, &head, &scenario(failing), &options).expect("a comparison");
    let success = changed.figures.iter().find(|figure| figure.name == "load.success_ratio").unwrap();
    assert!(success.difference < -0.05 && success.significant == Some(true), "{success:?}");
}

#[test]
fn what_cannot_be_is_refused() {
    let mesh = chain(1, 1, "{attempts: 1}", "Constant(\"1ms\")");
    let table = [
        "horizon: \"1s\", load: [Burst(client: \"nobody\", requests: 1, at: \"0s\")]",
        "horizon: \"1s\", faults: [Crash(workload: \"default/nobody\", at: \"0s\", during: \"1s\")]",
        "horizon: \"1000s\", load: [Open(client: \"load\", rate: [Hold(rate: \"1000000krps\", during: \"1s\")])]",
    ];
    for text in table {
        let outcome = simulate(&mesh, &scenario(text), &SimOptions::default());
        assert!(matches!(outcome, Err(SetupError::Invalid(_))), "{text}");
    }
}

#[test]
fn clients_leave_and_try_again() {
    let behaviour = "Mesh(version: 1,
        clients: {\"c\": (from: Outside, to: \"default/s:80\", requests: [(name: \"r\")], patience: Constant(\"50ms\"),
            retries: (max: 1, back_off: Constant(\"10ms\")))},
        workloads: {\"default/s\": (service_time: Constant(\"200ms\"), concurrency: 1, queue: (limit: 8))})";
    let mesh = mesh(&service("s", 1), behaviour);
    let once = "horizon: \"5s\", load: [Burst(client: \"c\", requests: 1, at: \"0s\")]";
    let run = run(&mesh, &scenario(once), &SimOptions::default());
    assert_eq!(run.services[0].requests.value(), Some(2.0));
    assert_eq!(run.clients[0].failed.value(), Some(1.0));
    assert_eq!(run.clients[0].latency_ms.max.value(), Some(110.0));
    let service = &run.services[0];
    assert_eq!((service.requests.value(), service.latency_ms.max.value()), (Some(2.0), Some(50.0)));
    // The second try waits behind the first, which nobody cancels.
    assert_eq!(service.queue_max.value(), Some(1.0));
}
