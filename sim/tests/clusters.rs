//! Clusters: what lies between them, what runs where, and their loss.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod support;

use meshproof_model::read_behaviour;
use meshproof_sim::{Number, Run, SimOptions};
use support::{INJECTED, mesh, run, scenario, service};

/// Callers in the east, two servers in the west, and what else is said of the network and of placement.
fn behaviour(network: &str, only: &str) -> String {
    format!(
        r#"Mesh(
            version: 1,
            clients: {{"web": (from: Workload("default/web"), to: "default/api:80", requests: [(name: "r")])}},
            workloads: {{"default/web": (calls: []), "default/api": (service_time: Constant("5ms"))}},
            network: (cross_zone: Constant("1ms"), {network}),
            placement: (
                zones: ["east/a", "west/a", "west/b"],
                clusters: {{"e": ["east/a"], "w": ["west/a", "west/b"]}},
                only: {{"default/web": ["east/a"], {only}}},
            ),
        )"#
    )
}

fn ran(behaviour: &str, faults: &str) -> Run {
    let mesh = mesh(&(INJECTED.to_owned() + &service("web", 1) + &service("api", 2)), behaviour);
    assert_eq!(mesh.check_behaviour(), []);
    let scenario = scenario(&format!(
        r#"horizon: "10s", faults: [{faults}],
        load: [Open(client: "web", arrivals: Constant, rate: [Hold(rate: "10rps", during: "10s")])]"#
    ));
    run(&mesh, &scenario, &SimOptions::default())
}

const WEST: &str = r#""default/api": ["west/a", "west/b"]"#;

#[test]
fn the_way_between_clusters_is_its_own() {
    let median =
        |network: &str, only: &str| ran(&behaviour(network, only), "").clients[0].latency_ms.p50.value().unwrap();
    let far = r#"cross_cluster: Constant("15ms")"#;
    // Two ways, and two proxies on each.
    let expect = |way: f64| 5.0 + 2.0 * way + 4.0 * 0.3;
    for (network, only, way) in [("", WEST, 1.0), (far, WEST, 15.0), (far, r#""default/api": ["east/a"]"#, 0.2)] {
        let found = median(network, only);
        // A bucket of the histogram is 1/128 wide.
        assert!((found / expect(way) - 1.0).abs() < 1.0 / 128.0, "{network} {only}: {found}, not {}", expect(way));
    }
}

#[test]
fn a_cluster_is_lost_with_all_that_runs_there() {
    let lost = r#"ClusterLoss(cluster: "w", at: "2s", during: "4s")"#;
    let run = ran(&behaviour("", WEST), lost);
    let failed = run.clients[0].failed.value().unwrap();
    // Four seconds, and five until the servers have started.
    assert!((78.0..=82.0).contains(&failed), "{failed}");
    let other = ran(&behaviour("", WEST), r#"Partition(from: Cluster("e"), to: Cluster("e"), at: "2s", during: "4s")"#);
    assert_eq!(other.clients[0].failed, Number::Count(0), "nothing goes from the east to the east");
}

#[test]
fn placements_that_cannot_be_are_named() {
    let mut mesh = mesh(&(INJECTED.to_owned() + &service("web", 1)), "Mesh(version: 1)");
    for (placement, expect) in [
        ("clusters: {\"e\": [\"b\"]}", "placement.clusters.e: no zone named `b`"),
        ("clusters: {\"e\": []}", "placement.clusters.e: at least one zone is needed"),
        ("clusters: {\"e\": [\"a\"], \"w\": [\"a\"]}", "placement.clusters: zone `a` belongs to several clusters"),
        (
            "only: {\"default/wep\": [\"a\"]}",
            "placement.only.default/wep: unknown workload `default/wep`; did you mean `default/web`?",
        ),
    ] {
        mesh.behaviour = read_behaviour(&format!("Mesh(version: 1, placement: ({placement}))")).unwrap();
        let errors: Vec<String> = mesh.check_behaviour().iter().map(ToString::to_string).collect();
        assert_eq!(errors, [expect]);
    }
}
