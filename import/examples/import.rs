//! Prints what a folder of manifests says: `cargo run -p meshproof-import --example import -- PATH...`
#![allow(clippy::print_stdout, clippy::expect_used, reason = "a program for people")]

use std::path::Path;

use meshproof_import::{ImportOptions, import};
use meshproof_model::Sources;

fn main() {
    let mut paths = Vec::new();
    for path in std::env::args().skip(1) {
        collect(Path::new(&path), &mut paths);
    }
    paths.sort();
    let mut sources = Sources::default();
    for path in paths {
        let bytes = std::fs::read(&path).expect("a readable file");
        sources.add(path, String::from_utf8_lossy(&bytes).into_owned());
    }
    let start = std::time::Instant::now();
    let imported = import(&sources, &ImportOptions::default());
    let took = start.elapsed();
    let mesh = &imported.mesh;
    println!("settings   {:?}", mesh.settings.at.as_ref().map(|at| at.display(&sources).to_string()));
    for service in &mesh.services {
        let ports: Vec<String> = service.ports.iter().map(|p| format!("{}:{:?}", p.number.value, p.protocol)).collect();
        println!("service    {} {} external={}", service.host, ports.join(" "), service.external);
    }
    for workload in &mesh.workloads {
        let (kind, name) = (&workload.meta.resource.kind, workload.full_name());
        println!(
            "workload   {kind} {name} x{} {:?} sa={}",
            workload.replicas.value, workload.proxy, workload.service_account.value
        );
    }
    for call in &mesh.inferred_calls {
        let (from, to) = (mesh.workload(call.from).full_name(), mesh.service(call.to).full_name());
        println!("call       {from} -> {to}:{} ({})", call.port, call.because);
    }
    println!(
        "policies   {} VirtualServices, {} DestinationRules, {} Gateways, {} PeerAuthentications, {} AuthorizationPolicies",
        mesh.virtual_services.len(),
        mesh.destination_rules.len(),
        mesh.gateways.len(),
        mesh.peer_authentications.len(),
        mesh.authorization_policies.len(),
    );
    for item in &mesh.unmodelled {
        println!("unmodelled {} {} [{}] {}", item.at.display(&sources), item.resource, item.at.path, item.reason);
    }
    for finding in &imported.findings {
        let at = finding.location.as_ref().map(|at| at.display(&sources).to_string()).unwrap_or_default();
        let path = finding.location.as_ref().map(|at| at.path.to_string()).unwrap_or_default();
        println!(
            "{:?} {} {at} [{path}] {} ({})",
            finding.severity,
            finding.rule.code,
            finding.message,
            finding.help.as_deref().unwrap_or("")
        );
    }
    println!("{} findings, unreadable={}, {:.3}s", imported.findings.len(), imported.unreadable, took.as_secs_f64());
}

fn collect(path: &Path, into: &mut Vec<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).expect("a readable folder").flatten() {
            collect(&entry.path(), into);
        }
    } else if path.extension().is_some_and(|e| e == "yaml" || e == "yml" || e == "json") {
        into.push(path.display().to_string());
    }
}
