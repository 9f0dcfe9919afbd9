//! What faults do, and that it is over when they are.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test may stop")]

mod support;

use meshproof_model::Mesh;
use meshproof_sim::{Run, SimOptions};
use support::{INJECTED, chain, mesh, run, scenario, service};

const STEADY: &str = "horizon: \"10s\", load: [Open(client: \"load\", arrivals: Constant, rate: [Hold(rate: \"100rps\", during: \"1s\")])]";

/// Two services in a row, two replicas each, over mutual TLS.
fn row() -> Mesh {
    chain(2, 2, "{attempts: 0}", "Constant(\"5ms\")")
}

fn under(mesh: &Mesh, fault: &str) -> Run {
    run(mesh, &scenario(&format!("{STEADY}, faults: [{fault}]")), &SimOptions::default())
}

fn failed(run: &Run) -> f64 {
    run.clients[0].failed.value().unwrap()
}

fn max_ms(run: &Run) -> f64 {
    run.clients[0].latency_ms.max.value().unwrap()
}

#[test]
fn less_capacity_makes_a_queue() {
    let mut mesh = row();
    mesh.behaviour.workloads["default/s2"].concurrency = 10;
    let calm = under(&mesh, "");
    let cut = under(
        &mesh,
        "Capacity(workload: \"default/s2\", at: \"2s\", during: \"2s\", share: \"0%\"), Slow(workload: \"default/s2\", at: \"2s\", during: \"2s\", factor: 5)",
    );
    assert_eq!(calm.services[1].queue_max.value(), Some(0.0));
    let queue = cut.services[1].queue_max.value().unwrap();
    // Each replica gets 50 requests per second for 2 s and works on 40 per second.
    assert!((15.0..=25.0).contains(&queue), "{queue}");
}

#[test]
fn what_is_sent_into_a_partition_arrives_when_it_is_over() {
    let fault = "Partition(from: Workload(\"default/s1\"), to: Workload(\"default/s2\"), at: \"2s\", during: \"1s\")";
    let run = under(&row(), fault);
    assert_eq!(failed(&run), 0.0);
    assert!((1000.0..1100.0).contains(&max_ms(&run)), "{}", max_ms(&run));
    // Nobody talks over this link.
    let elsewhere = under(&row(), "Partition(from: Outside, to: Workload(\"default/s2\"), at: \"2s\", during: \"1s\")");
    assert!(max_ms(&elsewhere) < 50.0);
}

#[test]
fn a_bad_link_delays_and_loses() {
    let fault =
        "Link(from: Anywhere, to: Workload(\"default/s2\"), at: \"0s\", during: \"10s\", delay: Constant(\"30ms\"))";
    let (calm, slow) = (under(&row(), ""), under(&row(), fault));
    let mean = |run: &Run| run.clients[0].latency_ms.mean.value().unwrap();
    // There and back; connecting costs a few requests more.
    assert!((60.0..64.0).contains(&(mean(&slow) - mean(&calm))), "{} {}", mean(&slow), mean(&calm));
    let fault = "Link(from: Anywhere, to: Workload(\"default/s2\"), at: \"0s\", during: \"10s\", loss: \"5%\")";
    let lossy = under(&row(), fault);
    // Two ways, each lost with 5 % and then sent again after 200 ms: 20 ms on average, and a little for second losses.
    assert!((17.0..28.0).contains(&(mean(&lossy) - mean(&calm))), "{}", mean(&lossy) - mean(&calm));
}

#[test]
fn without_names_calls_fail_at_once() {
    let run = under(&row(), "Dns(service: \"default/s2\", at: \"2s\", during: \"1s\")");
    assert!((99.0..=101.0).contains(&failed(&run)), "{}", failed(&run));
    assert!(max_ms(&run) < 50.0);
    let all = under(&row(), "Dns(at: \"2s\", during: \"1s\")");
    assert!((99.0..=101.0).contains(&failed(&all)));
    assert_eq!(all.services[0].requests.value().unwrap(), 1000.0 - failed(&all));
}

#[test]
fn certificates_out_of_date_refuse_new_connections_only() {
    let expiry = "CertificateExpiry(workload: \"default/s2\", at: \"2s\", during: \"3s\")";
    assert_eq!(failed(&under(&row(), expiry)), 0.0, "connections that are open stay");
    // A crash closes them; what comes back at once cannot be reached.
    let mut mesh = row();
    mesh.behaviour.workloads["default/s2"].start_up = meshproof_model::Nanos::ZERO;
    let crash = "Crash(workload: \"default/s2\", at: \"2s\", during: \"100ms\")";
    let (short, long) = (failed(&under(&mesh, crash)), failed(&under(&mesh, &format!("{expiry}, {crash}"))));
    assert!((8.0..25.0).contains(&short), "{short}");
    assert!((290.0..320.0).contains(&long), "{long}");
}

#[test]
fn without_a_control_plane_certificates_run_out_and_replicas_do_not_start() {
    let mut mesh = row();
    mesh.behaviour.control_plane.certificates = Some(meshproof_model::Nanos::from_secs(4));
    mesh.behaviour.workloads["default/s2"].start_up = meshproof_model::Nanos::ZERO;
    // The crash closes all connections to s2, at the end of the run; half of a lifetime is between two renewals.
    let crash = "Crash(workload: \"default/s2\", at: \"7s\", during: \"100ms\")";
    let calm = failed(&under(&mesh, crash));
    assert!((8.0..25.0).contains(&calm), "{calm}");
    let outage = "ControlPlane(at: \"1s\", during: \"8s\")";
    assert_eq!(failed(&under(&mesh, outage)), 0.0, "what is open goes on");
    let both = failed(&under(&mesh, &format!("{crash}, {outage}")));
    assert!((190.0..220.0).contains(&both), "s2 is back when the control plane is: {both}");
}

#[test]
fn the_loss_of_a_zone_is_the_loss_of_its_replicas() {
    let zoned = INJECTED.to_owned() + &service("q", 4);
    let behaviour =
        "Mesh(version: 1, clients: {\"load\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\")])},
        workloads: {\"default/q\": (start_up: \"0s\")}, placement: (zones: [\"a\", \"b\"], spread: Even))";
    let run = under(&mesh(&zoned, behaviour), "ZoneLoss(zone: \"b\", at: \"2s\", during: \"2s\")");
    // Clients outside find a replica that is up.
    assert!(failed(&run) <= 2.0, "{}", failed(&run));
    let all = "ZoneLoss(zone: \"a\", at: \"2s\", during: \"2s\"), ZoneLoss(zone: \"b\", at: \"2s\", during: \"2s\")";
    let run = under(&mesh(&zoned, behaviour), all);
    assert!((199.0..=204.0).contains(&failed(&run)), "{}", failed(&run));
}

#[test]
fn old_and_new_configuration_stand_side_by_side_while_a_push_is_under_way() {
    let routes = "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: s, namespace: default}
spec:
  hosts: [s]
  http:
    - route:
        - {destination: {host: old}, weight: 100}
        - {destination: {host: new}, weight: 0}
";
    let manifests = INJECTED.to_owned()
        + &service("front", 8)
        + &service("s", 1)
        + &service("old", 1)
        + &service("new", 1)
        + routes;
    let behaviour = |push: &str| {
        format!(
            "Mesh(version: 1,
        clients: {{\"load\": (from: Workload(\"default/front\"), to: \"default/s:80\", requests: [(name: \"r\")])}},
        control_plane: (push: {push}))"
        )
    };
    let to_new = |push: &str, faults: &str| {
        let mesh = mesh(&manifests, &behaviour(push));
        let step = format!(
            "{STEADY}, rollout: [Weight(route: \"default/s\", at: \"2s\", weights: {{\"old\": 0, \"new\": 100}})], faults: [{faults}]"
        );
        let run = run(&mesh, &scenario(&step), &SimOptions::default());
        let new = run.services.iter().find(|service| service.name == "new").unwrap();
        new.requests.value().unwrap_or(0.0)
    };
    assert!((798.0..=802.0).contains(&to_new("Constant(\"0s\")", "")));
    assert!((598.0..=602.0).contains(&to_new("Constant(\"2s\")", "")));
    let spread = to_new("Uniform(min: \"0s\", max: \"4s\")", "");
    assert!((450.0..750.0).contains(&spread), "{spread}");
    let outage = to_new("Constant(\"0s\")", "ControlPlane(at: \"1s\", during: \"4s\")");
    assert!((498.0..=502.0).contains(&outage), "{outage}");
}
