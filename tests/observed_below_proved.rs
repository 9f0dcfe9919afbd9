//! No run exceeds what was proved: requests and attempts for one of a client, the length of calls, plaintext, who
//! reaches whom. Random meshes under random scenarios: a few always, ten thousand where `MESHPROOF_SLOW` is set.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test stops where something is missing, and prints"
)]

use std::fmt::Write as _;

use meshproof::proved_bounds;
use meshproof_import::{ImportOptions, import};
use meshproof_model::{Bounds, Mesh, Sources, read_behaviour, read_scenario};
use meshproof_sim::{SimOptions, simulate};

const QUICK: u64 = 60;
const SLOW: u64 = 10_000;

/// Numbers that follow from a seed (`SplitMix64`).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }

    /// True in so many of a hundred.
    fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }
}

/// A mesh and what happens to it, as text.
struct Case {
    manifests: String,
    behaviour: String,
    scenario: String,
}

fn case(seed: u64) -> Case {
    let mut draws = Draws(seed.wrapping_mul(0x2545_f491_4f6c_dd1d));
    let services = 2 + draws.below(4);
    let mut manifests =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n".to_owned();
    let mut workloads = String::new();
    manifests.push_str(&workload("front", 1, true));
    for number in 0..services {
        let (replicas, injected) = (1 + draws.below(3), draws.chance(75));
        manifests.push_str(&workload(&format!("s{number}"), replicas, injected));
        policies(&mut draws, number, services, &mut manifests);
        behaviour(&mut draws, number, services, &mut workloads);
    }
    if draws.chance(60) {
        let mode = draws.pick(&["STRICT", "PERMISSIVE", "DISABLE"]);
        manifests.push_str(&authentication("default", "", mode));
    }
    let retries = match draws.below(3) {
        0 => String::new(),
        max => format!(", retries: (max: {max}, back_off: Exponential(mean: \"{}ms\"))", 1 + draws.below(20)),
    };
    let patience =
        if draws.chance(40) { format!(", patience: Constant(\"{}ms\")", 10 + draws.below(200)) } else { String::new() };
    let from = if draws.chance(70) { "Workload(\"default/front\")" } else { "Outside" };
    let second = draws.below(services);
    Case {
        manifests,
        behaviour: format!(
            "Mesh(version: 1, clients: {{
                \"a\": (from: {from}, to: \"default/s0:80\", requests: [(name: \"r\"), (name: \"p\", method: \"POST\", path: \"/admin\")]{retries}{patience}),
                \"b\": (from: Workload(\"default/front\"), to: \"default/s{second}:80\", requests: [(name: \"r\")]),
            }}, workloads: {{{workloads}}})"
        ),
        scenario: scenario(&mut draws, seed, services),
    }
}

fn workload(name: &str, replicas: u64, injected: bool) -> String {
    let label = if injected { "" } else { ", sidecar.istio.io/inject: \"false\"" };
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}{label}}}}}
    spec: {{serviceAccountName: {name}, containers: [{{name: app, image: x, ports: [{{containerPort: 8080}}]}}]}}\n"
    )
}

fn authentication(name: &str, selector: &str, mode: &str) -> String {
    format!(
        "---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: default}}
spec: {{{selector}mtls: {{mode: {mode}}}}}\n"
    )
}

/// Routes, traffic policies and rules of access of one service.
fn policies(draws: &mut Draws, number: u64, services: u64, out: &mut String) {
    let name = format!("s{number}");
    if draws.chance(75) {
        let on = draws.pick(&[
            "5xx",
            "gateway-error,connect-failure",
            "reset",
            "connect-failure,refused-stream",
            "503",
            "5xx,retriable-4xx",
        ]);
        let mut route = format!("route: [{{destination: {{host: {name}}}}}]");
        if draws.chance(80) {
            let _ = write!(route, ", retries: {{attempts: {}, retryOn: \"{on}\"", draws.below(4));
            if draws.chance(60) {
                let _ = write!(route, ", perTryTimeout: {}ms", 2 + draws.below(40));
            }
            route.push('}');
        }
        if draws.chance(70) {
            let _ = write!(route, ", timeout: {}ms", 5 + draws.below(200));
        }
        let _ = writeln!(
            out,
            "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: default}}\nspec: {{hosts: [{name}], http: [{{{route}}}]}}"
        );
    }
    if draws.chance(50) {
        let mut traffic =
            vec![format!("loadBalancer: {{simple: {}}}", draws.pick(&["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]))];
        if draws.chance(50) {
            let (requests, pending) = (1 + draws.below(20), 1 + draws.below(20));
            traffic.push(format!(
                "connectionPool: {{http: {{http1MaxPendingRequests: {pending}, http2MaxRequests: {requests}}}}}"
            ));
        }
        if draws.chance(40) {
            traffic.push(
                "outlierDetection: {consecutive5xxErrors: 3, interval: 100ms, baseEjectionTime: 200ms}".to_owned(),
            );
        }
        if draws.chance(30) {
            traffic.push(format!("tls: {{mode: {}}}", draws.pick(&["DISABLE", "ISTIO_MUTUAL"])));
        }
        let _ = writeln!(
            out,
            "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: default}}\nspec: {{host: {name}, trafficPolicy: {{{}}}}}",
            traffic.join(", ")
        );
    }
    if draws.chance(20) {
        let mode = draws.pick(&["STRICT", "PERMISSIVE", "DISABLE"]);
        out.push_str(&authentication(&name, &format!("selector: {{matchLabels: {{app: {name}}}}}, "), mode));
    }
    if draws.chance(35) {
        let other = format!("cluster.local/ns/default/sa/s{}", draws.below(services));
        let rules = match draws.below(5) {
            0 => format!("rules: [{{from: [{{source: {{principals: [\"{other}\"]}}}}]}}]"),
            1 => "rules: [{to: [{operation: {methods: [GET]}}]}]".to_owned(),
            2 => format!("action: DENY, rules: [{{from: [{{source: {{notPrincipals: [\"{other}\"]}}}}]}}]"),
            3 => "action: DENY, rules: [{to: [{operation: {paths: [\"/admin*\"]}}]}]".to_owned(),
            _ => "{}".to_owned(),
        };
        let rules = if rules == "{}" { String::new() } else { format!(", {rules}") };
        let _ = writeln!(
            out,
            "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {{name: {name}, namespace: default}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}{rules}}}"
        );
    }
}

/// How one workload behaves: it calls only those that come after it.
fn behaviour(draws: &mut Draws, number: u64, services: u64, out: &mut String) {
    let mut stages = Vec::new();
    for callee in number + 1..services {
        if draws.chance(50) {
            let (times, optional, share) = (1 + draws.below(2), draws.chance(30), 50 + draws.below(51));
            let call = format!("(to: \"s{callee}:80\", times: {times}, optional: {optional}, share: \"{share}%\")");
            if draws.chance(40) && !stages.is_empty() {
                let last: &mut Vec<String> = stages.last_mut().unwrap();
                last.push(call);
            } else {
                stages.push(vec![call]);
            }
        }
    }
    let stages: Vec<_> = stages.iter().map(|stage| format!("[{}]", stage.join(", "))).collect();
    let discipline = draws.pick(&["Fifo", "Lifo", "Shared"]);
    let _ = write!(
        out,
        "\"default/s{number}\": (concurrency: {}, queue: (discipline: {discipline}, limit: {}), service_time: Exponential(mean: \"{}ms\"), calls: [{}], errors: [(status: {}, share: \"{}%\")], cancels_abandoned_work: {}),",
        1 + draws.below(8),
        draws.below(50),
        1 + draws.below(20),
        stages.join(", "),
        draws.pick(&[500, 503, 404]),
        draws.below(60),
        draws.chance(50),
    );
}

fn scenario(draws: &mut Draws, seed: u64, services: u64) -> String {
    let mut faults = String::new();
    for _ in 0..draws.below(3) {
        let workload = format!("workload: \"default/s{}\"", draws.below(services));
        let times = format!("at: \"{}ms\", during: \"{}ms\"", 100 + draws.below(400), 50 + draws.below(300));
        let _ = match draws.below(4) {
            0 => write!(faults, "Crash({workload}, replicas: Count(1), {times}),"),
            1 => write!(faults, "Slow({workload}, {times}, factor: {}),", 2 + draws.below(20)),
            2 => write!(faults, "Freeze({workload}, {times}),"),
            _ => write!(faults, "Errors({workload}, {times}, status: 503, share: \"{}%\"),", 1 + draws.below(100)),
        };
    }
    let second = if draws.chance(50) {
        format!("Burst(client: \"b\", requests: {}, at: \"{}ms\")", 1 + draws.below(60), draws.below(500))
    } else {
        format!("Closed(client: \"b\", users: {}, think: Exponential(mean: \"20ms\"))", 1 + draws.below(5))
    };
    format!(
        "Scenario(version: 1, seed: {seed}, horizon: \"800ms\",
            load: [Open(client: \"a\", rate: [Hold(rate: \"{}rps\", during: \"1s\")]), {second}], faults: [{faults}])",
        20 + draws.below(200)
    )
}

/// The mesh, its bounds, and what a run broke.
fn broken(seed: u64) -> (Mesh, Bounds, Vec<String>) {
    let case = case(seed);
    let mut sources = Sources::default();
    sources.add("case.yaml", case.manifests.clone());
    let imported = import(&sources, &ImportOptions::default());
    assert!(!imported.unreadable, "seed {seed}: {:?}", imported.findings);
    let mut mesh = imported.mesh;
    mesh.behaviour = read_behaviour(&case.behaviour).unwrap();
    let scenario = read_scenario(&case.scenario).unwrap();
    let bounds = proved_bounds(&mesh, 1).unwrap();
    let options = SimOptions { threads: 1, bounds: Some(bounds.clone()), ..SimOptions::default() };
    let run = simulate(&mesh, &scenario, &options).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    let errors = run.internal_errors;
    let told = errors
        .into_iter()
        .map(|error| format!("seed {seed}: {error}\n{}\n{}\n{}", case.manifests, case.behaviour, case.scenario));
    (mesh, bounds, told.collect())
}

#[test]
fn nothing_observed_exceeds_what_was_proved() {
    let cases = if std::env::var_os("MESHPROOF_SLOW").is_some() { SLOW } else { QUICK };
    // Plain threads: proving waits for threads of its own, and a thread of a shared pool would take another mesh
    // meanwhile, one inside the other.
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let of_worker = |worker: u64| {
        let seeds = (0..cases).filter(move |seed| seed % workers == worker);
        let one = |seed| {
            let (_, bounds, broken) = broken(seed);
            let sizes = [
                bounds.requests.len(),
                bounds.connects.len(),
                bounds.encrypted.len(),
                bounds.latency.len(),
                bounds.unreachable.len(),
            ];
            (sizes, broken)
        };
        seeds.map(one).collect::<Vec<_>>()
    };
    let results: Vec<([usize; 5], Vec<String>)> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|worker| scope.spawn(move || of_worker(worker))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let mut sizes = [0; 5];
    for (one, _) in &results {
        sizes.iter_mut().zip(one).for_each(|(sum, size)| *sum += size);
    }
    println!("{cases} meshes; bounds on requests, attempts, plaintext, latency, access: {sizes:?}");
    // A bound that is never proved is never tried.
    assert!(sizes.iter().all(|size| *size as u64 > cases / 10), "{sizes:?}");
    let broken: Vec<&String> = results.iter().flat_map(|(_, broken)| broken).collect();
    assert!(broken.is_empty(), "{} of {cases}:\n{}", broken.len(), broken[0]);
}

/// The test above would see it: bounds that are one too small are broken.
#[test]
fn bounds_that_are_too_small_are_seen() {
    let seen = (0..QUICK).any(|seed| {
        let (mesh, mut bounds, _) = broken(seed);
        for bound in bounds.requests.values_mut().chain(bounds.connects.values_mut()) {
            *bound = bound.saturating_sub(1);
        }
        let scenario = read_scenario(&case(seed).scenario).unwrap();
        let options = SimOptions { threads: 1, bounds: Some(bounds), ..SimOptions::default() };
        !simulate(&mesh, &scenario, &options).unwrap().internal_errors.is_empty()
    });
    assert!(seen);
}
