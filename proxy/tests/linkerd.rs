//! Linkerd's queue before the balancer: waiting, failfast, load shedding.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use meshproof_proxy::{
    Nanos,
    config::{Cluster, FailureAccrual, LbPolicy, RequestQueue, RetryPolicy, RouteAction},
};
use support::{Act, Call, Dial, World, config, hosts, ms, to_cluster};

/// One host, which rests for a second after a failure.
fn cluster(capacity: u32, failfast: u64) -> Cluster {
    let accrual = FailureAccrual {
        max_failures: 1,
        min_penalty: ms(1_000),
        max_penalty: Nanos::from_secs(60),
        jitter_ratio_milli: 0,
    };
    Cluster {
        lb_policy: LbPolicy::PeakEwma { default_rtt: ms(30), decay: Nanos::from_secs(10) },
        failure_accrual: Some(accrual),
        queue: Some(RequestQueue { capacity, failfast: ms(failfast) }),
        ..Cluster::new("a", hosts(1))
    }
}

/// The first request fails at 6 ms; gives for each request when it ended and how.
fn run(action: RouteAction, cluster: Cluster, calls: &[Call]) -> Vec<(u64, u16, String, String)> {
    let answer = |status| Act::Answer { status, after: 5, body: None };
    let mut world = World::new(&config(action, cluster), 0, &[answer(503), answer(200)], &[Dial::Open { after: 1 }]);
    for call in calls {
        world.call(call.clone());
    }
    world.run(60_000);
    world.at_rest();
    world.ended.iter().flatten().map(|end| (end.at, end.status, end.flags.clone(), end.details.clone())).collect()
}

#[track_caller]
fn check(action: RouteAction, cluster: Cluster, calls: &[Call], expect: &[(u64, u16, &str, &str)]) {
    let ended = run(action, cluster, calls);
    let ended: Vec<_> = ended.iter().map(|(at, status, flags, details)| (*at, *status, &**flags, &**details)).collect();
    assert_eq!(ended, expect);
}

#[test]
fn requests_wait_for_a_host_in_their_order() {
    // The first one probes the host at the end of its rest, at 1006 ms; the others follow its success,
    // one over its connection and one over a new one.
    check(
        to_cluster("a"),
        cluster(100, 3_000),
        &[Call::at(0), Call::at(10), Call::at(20), Call::at(30)],
        &[
            (6, 503, "", "via_upstream"),
            (1_011, 200, "", "via_upstream"),
            (1_016, 200, "", "via_upstream"),
            (1_017, 200, "", "via_upstream"),
        ],
    );
}

#[test]
fn a_full_queue_sheds() {
    check(
        to_cluster("a"),
        cluster(1, 3_000),
        &[Call::at(0), Call::at(10), Call::at(20)],
        &[(6, 503, "", "via_upstream"), (1_011, 200, "", "via_upstream"), (20, 503, "UO", "load_shed")],
    );
}

#[test]
fn all_fail_fast_until_a_host_is_ready() {
    check(
        to_cluster("a"),
        cluster(100, 500),
        &[Call::at(0), Call::at(10), Call::at(20), Call::at(600), Call::at(1_100), Call::at(1_200)],
        &[
            (6, 503, "", "via_upstream"),
            (510, 503, "UH", "failfast"),
            (510, 503, "UH", "failfast"),
            (600, 503, "UH", "failfast"),
            (1_105, 200, "", "via_upstream"),
            (1_205, 200, "", "via_upstream"),
        ],
    );
}

#[test]
fn failfast_is_tried_again_and_shedding_is_not() {
    let retry = RetryPolicy { retry_on: vec!["reset".to_owned()], num_retries: Some(1), ..RetryPolicy::default() };
    let action = RouteAction { retry: Some(retry), ..to_cluster("a") };
    // The retry of a request that failed fast fails fast too, after its back-off.
    let ended = run(action.clone(), cluster(1, 500), &[Call::at(0), Call::at(10), Call::at(20)]);
    assert_eq!(ended[2], (20, 503, "UO".to_owned(), "load_shed".to_owned()));
    let (at, status, flags, details) = &ended[1];
    assert!((510..=535).contains(at), "{at}");
    assert_eq!((*status, &**flags, &**details), (503, "UH,URX", "failfast"));
    // A host that is ready by then serves it.
    let patient = RetryPolicy { base_interval: Some(ms(2_000)), ..action.retry.clone().unwrap_or_default() };
    let ended = run(RouteAction { retry: Some(patient), ..action }, cluster(1, 500), &[Call::at(0), Call::at(10)]);
    assert_eq!(ended[1].1, 200, "{ended:?}");
}

#[test]
fn who_waits_may_leave() {
    let leaves = Call { leaves_after: Some(40), ..Call::at(10) };
    check(
        RouteAction { timeout: Some(ms(200)), ..to_cluster("a") },
        cluster(100, 3_000),
        &[Call::at(0), leaves, Call::at(20)],
        &[
            (6, 503, "", "via_upstream"),
            (50, 0, "DC", "downstream_remote_disconnect"),
            (220, 504, "UT", "response_timeout"),
        ],
    );
}
