//! What one call of a mesh meets, from texts alone: `cargo run -p meshproof-model --example call`
//!
//! Manifests become a mesh, and the mesh the configuration of the client's proxy; each value says where it comes from.

#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for people")]

use meshproof_import::{ImportOptions, import};
use meshproof_model::Sources;

fn main() {
    let mut sources = Sources::default();
    sources.add("routing.yaml", include_str!("../../topologies/bookinfo/routing.yaml"));
    sources.add("reviews.yaml", include_str!("../../topologies/bookinfo/reviews.yaml"));
    sources.add("ratings.yaml", include_str!("../../topologies/bookinfo/ratings.yaml"));
    sources.add("namespaces.yaml", include_str!("../../topologies/bookinfo/namespaces.yaml"));
    let mesh = import(&sources, &ImportOptions::default()).mesh;
    let client = mesh.find_workload("default", "reviews-v3").expect("a workload of bookinfo");
    let ratings = mesh.find_service("default", "ratings").expect("a service of bookinfo");
    let lowered = mesh.outbound(client, &[(ratings, 9080)]);
    for cluster in &lowered.config.clusters {
        println!("{}: {} hosts, {:?}", cluster.name, cluster.hosts.len(), cluster.thresholds);
    }
}
