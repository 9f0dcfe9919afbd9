//! The life of single requests: a script in, the trace of every effect out.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use meshproof_proxy::config::{Cluster, RetryPolicy, RouteAction, Thresholds};
use support::{Act, Call, Dial, World, config, hosts, ms, to_cluster};

const OPEN: &[Dial] = &[Dial::Open { after: 1 }];

const fn answer(status: u16, after: u64) -> Act {
    Act::Answer { status, after, body: None }
}

/// Runs these calls against one cluster and compares the trace, without the timers that every request sets and clears;
/// once more with heads that are prepared, which changes nothing.
#[track_caller]
fn check(action: RouteAction, cluster: Cluster, acts: &[Act], dials: &[Dial], calls: &[Call], expect: &str) {
    let config = config(action, cluster);
    for prepares in [false, true] {
        let mut world = World::new(&config, 0, acts, dials);
        world.prepares = prepares;
        for call in calls {
            world.call(call.clone());
        }
        world.run(60_000);
        world.at_rest();
        let is_shown =
            |line: &&str| !line.is_empty() && !["StreamIdle", "ConnectionIdle"].iter().any(|x| line.contains(x));
        let trim = |text: &str| text.lines().map(str::trim).filter(is_shown).collect::<Vec<_>>().join("\n");
        assert_eq!(trim(&world.trace), trim(expect), "prepared: {prepares}\n{}", trim(&world.trace));
    }
}

fn cluster() -> Cluster {
    Cluster::new("a", hosts(1))
}

fn retries(on: &str, num_retries: u32) -> RetryPolicy {
    RetryPolicy { retry_on: vec![on.to_owned()], num_retries: Some(num_retries), ..RetryPolicy::default() }
}

#[test]
fn a_request_opens_a_connection_and_the_next_one_uses_it() {
    check(
        to_cluster("a"),
        cluster(),
        &[answer(200, 5)],
        OPEN,
        &[Call::at(0), Call::at(10)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        1ms clear Connect
        1ms send s0.1 over c0
        6ms respond s0 200
        6ms clear Route
        6ms end s0 Complete 200
        10ms send s0.1 over c0
        10ms set Route at 15010ms
        15ms respond s0 200
        15ms clear Route
        15ms end s0 Complete 200
    ",
    );
}

#[test]
fn a_failed_answer_is_tried_again_after_a_back_off() {
    let action = RouteAction { retry: Some(retries("5xx", 1)), ..to_cluster("a") };
    check(
        action,
        cluster(),
        &[answer(503, 5), answer(200, 5)],
        OPEN,
        &[Call::at(0)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        1ms clear Connect
        1ms send s0.1 over c0
        6ms set BackOff at 25ms
        25ms send s0.2 over c0
        30ms respond s0 200
        30ms clear Route
        30ms end s0 Complete 200
    ",
    );
}

#[test]
fn a_per_try_timeout_costs_the_connection_and_is_tried_again() {
    let policy = RetryPolicy { per_try_timeout: Some(ms(100)), ..retries("gateway-error", 1) };
    let action = RouteAction { retry: Some(policy), timeout: Some(ms(1_000)), ..to_cluster("a") };
    check(
        action,
        cluster(),
        &[Act::Silent],
        OPEN,
        &[Call::at(0)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 1000ms
        1ms clear Connect
        1ms send s0.1 over c0
        1ms set PerTry at 101ms
        101ms set BackOff at 120ms
        101ms reset s0.1
        101ms close c0
        120ms connect c0 to h0
        120ms set Connect at 5120ms
        121ms clear Connect
        121ms send s0.2 over c0
        121ms set PerTry at 221ms
        221ms reset s0.2
        221ms close c0
        221ms respond s0 504
        221ms body s0 24B
        221ms clear Route
        221ms end s0 Complete 504 URX,UT
    ",
    );
}

#[test]
fn the_route_timeout_covers_the_back_off() {
    let policy = RetryPolicy { base_interval: Some(ms(10_000)), ..retries("5xx", 1) };
    let action = RouteAction { retry: Some(policy), timeout: Some(ms(100)), ..to_cluster("a") };
    check(
        action,
        cluster(),
        &[answer(503, 5)],
        OPEN,
        &[Call::at(0)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 100ms
        1ms clear Connect
        1ms send s0.1 over c0
        6ms set BackOff at 150ms
        100ms respond s0 504
        100ms body s0 24B
        100ms clear BackOff
        100ms end s0 Complete 504 UT
    ",
    );
}

#[test]
fn a_refused_connection_fails_all_that_wait_for_one() {
    let dials = &[Dial::Refuse { after: 10 }, Dial::Open { after: 20 }];
    check(
        to_cluster("a"),
        cluster(),
        &[answer(200, 5)],
        dials,
        &[Call::at(0), Call::at(5)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        5ms connect c1 to h0
        5ms set Connect at 5005ms
        5ms set Route at 15005ms
        10ms clear Connect
        10ms respond s0 503
        10ms body s0 167B
        10ms clear Route
        10ms end s0 Complete 503 UF
        10ms respond s1 503
        10ms body s1 167B
        10ms clear Route
        10ms end s1 Complete 503 UF
        25ms clear Connect
    ",
    );
}

#[test]
fn a_full_connection_limit_makes_requests_wait_and_a_full_queue_refuses_them() {
    let limits = Thresholds { max_connections: Some(1), max_pending_requests: Some(1), ..Thresholds::default() };
    let cluster = Cluster { thresholds: vec![limits], ..cluster() };
    let calls = [Call::at(0), Call::at(10), Call::at(20)];
    check(
        to_cluster("a"),
        cluster,
        &[answer(200, 100)],
        OPEN,
        &calls,
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        1ms clear Connect
        1ms send s0.1 over c0
        10ms set Route at 15010ms
        20ms respond s2 503
        20ms body s2 81B
        20ms end s2 Complete 503 UO
        101ms respond s0 200
        101ms clear Route
        101ms end s0 Complete 200
        101ms send s1.1 over c0
        201ms respond s1 200
        201ms clear Route
        201ms end s1 Complete 200
    ",
    );
}

#[test]
fn a_hedged_try_goes_on_beside_the_next_one() {
    let policy = RetryPolicy { per_try_timeout: Some(ms(100)), base_interval: Some(ms(1)), ..retries("5xx", 1) };
    let action = RouteAction { retry: Some(policy), hedge_on_per_try_timeout: true, ..to_cluster("a") };
    check(
        action,
        cluster(),
        &[answer(200, 150), Act::Silent],
        OPEN,
        &[Call::at(0)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        1ms clear Connect
        1ms send s0.1 over c0
        1ms set PerTry at 101ms
        101ms set BackOff at 101ms
        101ms connect c1 to h0
        101ms set Connect at 5101ms
        102ms clear Connect
        102ms send s0.2 over c1
        102ms set PerTry at 202ms
        151ms clear PerTry
        151ms reset s0.2
        151ms close c1
        151ms respond s0 200
        151ms clear Route
        151ms end s0 Complete 200
    ",
    );
}

#[test]
fn a_client_that_leaves_takes_its_request_back() {
    let call = Call { leaves_after: Some(50), ..Call::at(0) };
    check(
        to_cluster("a"),
        cluster(),
        &[Act::Silent],
        OPEN,
        &[call],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        1ms clear Connect
        1ms send s0.1 over c0
        50ms reset s0.1
        50ms close c0
        50ms clear Route
        50ms end s0 ClientGone 0 DC
    ",
    );
}

#[test]
fn an_answer_that_breaks_off_is_cut_off_downstream_too() {
    check(
        to_cluster("a"),
        cluster(),
        &[Act::Cut { status: 200, after: 5, then: 50 }],
        OPEN,
        &[Call::at(0)],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        0ms set Route at 15000ms
        1ms clear Connect
        1ms send s0.1 over c0
        6ms respond s0 200
        56ms clear Route
        56ms end s0 Reset 200 UPE
    ",
    );
}

#[test]
fn limits_run_from_the_last_byte_of_the_request() {
    let action = RouteAction { timeout: Some(ms(300)), ..to_cluster("a") };
    let call = Call { body_after: Some(1_000), ..Call::at(0) };
    check(
        action,
        cluster(),
        &[Act::Silent],
        OPEN,
        &[call],
        "
        0ms connect c0 to h0
        0ms set Connect at 5000ms
        1ms clear Connect
        1ms send s0.1 over c0
        1000ms set Route at 1300ms
        1300ms reset s0.1
        1300ms close c0
        1300ms respond s0 504
        1300ms body s0 24B
        1300ms end s0 Complete 504 UT
    ",
    );
}
