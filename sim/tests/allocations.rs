//! Once warm, a run allocates nothing for its events.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use std::alloc::System;

use meshproof_sim::SimOptions;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{chain, run, scenario};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Allocations of a run of so many seconds, and its client requests.
fn allocations(seconds: u32) -> (usize, u64) {
    let mesh = chain(4, 3, "{attempts: 1, perTryTimeout: 1s, retryOn: 5xx}", "Constant(\"1ms\")");
    let load = format!(
        "seed: 1, horizon: \"{seconds}s\",
        load: [Open(client: \"load\", arrivals: Constant, rate: [Hold(rate: \"1krps\", during: \"1s\")])]"
    );
    let scenario = scenario(&load);
    let region = Region::new(ALLOCATOR);
    let requests = run(&mesh, &scenario, &SimOptions::default()).client_requests;
    let change = region.change();
    (change.allocations + change.reallocations, requests)
}

#[test]
fn a_longer_run_allocates_no_more() {
    // The first run of a process pays for what is set up once.
    allocations(1);
    let (short, few) = allocations(2);
    let (long, many) = allocations(6);
    assert!(many - few >= 4000, "{few} {many}");
    // Bins of the timeline grow with the horizon, requests do not cost anything.
    let more = long.saturating_sub(short);
    assert!(more < 100, "{more} allocations for {} more requests", many - few);
}
