//! Loads that a mesh bears, bears until it is pushed, and does not bear.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use meshproof_sim::{LoadClass, SimOptions, collapse};
use support::{mesh, scenario, service};

/// Clients that leave after 50 ms and try once more; the server, which can do 800 a second, works for those who left.
/// Two tries for each request sustain an overload from 400 a second on (Huang and others, OSDI 2022).
#[test]
fn retries_of_abandoned_work_make_a_load_vulnerable() {
    let behaviour = "Mesh(version: 1, clients: {\"c\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\")],
            patience: Constant(\"50ms\"), retries: (max: 1))},
        workloads: {\"default/q\": (concurrency: 1, queue: (limit: 10000000), service_time: Constant(\"1250us\"))},
        network: (same_zone: Constant(\"0ms\"), proxy: Constant(\"0ms\")))";
    let mesh = mesh(&service("q", 1), behaviour);
    let load = "seed: 2, horizon: \"30s\", load: [Open(client: \"c\", rate: [Hold(rate: \"560rps\", during: \"1s\")])]";
    let found =
        collapse(&mesh, &scenario(load), &SimOptions { replications: Some(4), ..SimOptions::default() }).unwrap();
    assert_eq!((found.trigger.as_str(), found.class), ("default/q", LoadClass::Vulnerable));
    for row in &found.map {
        let offered = row.load * 560.0;
        let expected = match offered {
            _ if offered < 400.0 => LoadClass::Stable,
            _ if offered < 800.0 => LoadClass::Vulnerable,
            _ => LoadClass::Overloaded,
        };
        // Close below the capacity it is a matter of luck how soon the queue alone is longer than clients wait.
        if !(650.0..800.0).contains(&offered) {
            assert_eq!(row.class, expected, "{row:?}");
        }
    }
    let falls = found.spontaneous;
    assert_eq!((falls.runs, falls.collapses), (4, 0));
    // No fall in 120 s: at most one in 120 / 3.689 s.
    assert!((falls.interval.0 - 120.0 / 3.689).abs() < 0.1 && falls.interval.1.is_none(), "{falls:?}");
    // Splitting sees how rare they are: the queue would have to hold forty at a load of 0.7.
    let split = found.splitting.unwrap();
    assert!(split.interval.0 > 1e5 && split.simulated_s < 1e5, "{split:?}");
}
