//! The whole of `topologies/chain4`, scenario `spike`, with what it cost: `chain4 [SECONDS [SERVICES [REPLICATIONS]]]`.
//!
//! Time is that of the processor, so that other work on the machine does not count. More services than four stand
//! beside the chain in the same mesh, where they are called in turn: each client request takes four of them.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_types,
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "a measurement reads the clock, prints, and stops where something is missing"
)]

use std::fmt::Write;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Nanos, Scenario, Sources, WarmUp, read_behaviour, read_scenario};
use meshproof_sim::{SimOptions, simulate};

const MANIFESTS: &str = include_str!("../../topologies/chain4/chain.yaml");
const BEHAVIOUR: &str = include_str!("../../topologies/chain4/mesh.ron");
const SPIKE: &str = include_str!("../../topologies/chain4/scenarios/spike.ron");

/// As many chains of four as there are services, one client each; together they get the load of one.
fn mesh(services: usize) -> (Mesh, Scenario) {
    let chains = services.div_ceil(4).max(1);
    let mut scenario = read_scenario(SPIKE).unwrap();
    let mut sources = Sources::default();
    sources.add("chain.yaml", MANIFESTS);
    if chains == 1 {
        let mut mesh = import(&sources, &ImportOptions::default()).mesh;
        mesh.behaviour = read_behaviour(BEHAVIOUR).unwrap();
        return (mesh, scenario);
    }
    let namespace = |text: &str, number: usize| text.replace("default", &format!("n{number}"));
    let (mut manifests, mut behaviour) = (String::new(), "Mesh(version: 1, clients: {".to_owned());
    for number in 0..chains {
        write!(manifests, "---\n{}\n", namespace(MANIFESTS, number)).unwrap();
        write!(
            behaviour,
            "\"load{number}\": (from: Workload(\"n{number}/load\"), to: \"n{number}/a:80\", requests: [(name: \"get\")]),"
        )
        .unwrap();
    }
    behaviour.push_str("}, workloads: {");
    let workloads = BEHAVIOUR.split_once("workloads: {").unwrap().1.rsplit_once("},").unwrap().0;
    for number in 0..chains {
        behaviour.push_str(&namespace(workloads, number));
    }
    behaviour.push_str("})");
    let mut sources = Sources::default();
    sources.add("chain.yaml", manifests);
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(&behaviour).unwrap();
    let milli = 10_000_000 / chains as u64;
    scenario.load = (0..chains)
        .map(|number| meshproof_model::Load::Open {
            client: format!("load{number}"),
            arrivals: meshproof_model::Arrivals::Poisson,
            rate: vec![meshproof_model::Phase::Hold {
                rate: meshproof_model::Rate::from_milli(milli),
                during: Nanos::from_secs(300),
            }],
        })
        .collect();
    scenario.objectives.clear();
    (mesh, scenario)
}

/// Seconds of processor time of all threads so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn main() {
    let arguments: Vec<u64> = std::env::args().skip(1).map(|argument| argument.parse().unwrap()).collect();
    let argument = |at: usize, otherwise: u64| arguments.get(at).copied().unwrap_or(otherwise);
    let (mesh, mut scenario) = mesh(argument(1, 4) as usize);
    scenario.horizon = Nanos::from_secs(argument(0, 300));
    scenario.warm_up = WarmUp::Off;
    scenario.replications = argument(2, 1) as u32;
    let options = SimOptions::default();
    let empty = Scenario { load: Vec::new(), objectives: Vec::new(), ..scenario.clone() };
    simulate(&mesh, &empty, &options).unwrap();
    let before = cpu_seconds();
    simulate(&mesh, &empty, &options).unwrap();
    let between = cpu_seconds();
    let began = std::time::Instant::now();
    let run = simulate(&mesh, &scenario, &options).unwrap();
    let wall = began.elapsed().as_secs_f64();
    let compiling = between - before;
    let seconds = cpu_seconds() - between - compiling;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    let mean = run.clients.first().and_then(|client| client.latency_ms.mean.value()).unwrap_or_default();
    println!("requests {}, mean {mean:.3} ms, events {}, digest {}", run.client_requests, run.events, run.digest);
    println!("{seconds:.2} s of processor time, {wall:.2} s on the clock; {compiling:.2} s to compile the mesh");
    println!("{:.3} us per request; {peak}", seconds * 1e6 / run.client_requests as f64);
}
