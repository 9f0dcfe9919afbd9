//! What handlers do beside working on requests: caches, pauses, deadlines, slow starts, messages.
#![allow(clippy::unwrap_used, clippy::float_cmp, reason = "a test may stop")]

mod support;

use meshproof_model::Mesh;
use meshproof_sim::{Run, SimOptions};
use support::{chain, mesh, run, scenario, service};

/// No time on links and in proxies, so that what is left is the handlers'.
const NO_NETWORK: &str =
    "network: (same_zone: Constant(\"0ms\"), proxy: Constant(\"0ms\"), connect: \"0ms\", tls_handshake: \"0ms\")";

/// A client outside, and one workload of one replica without a proxy, that behaves like this.
fn one(behaviour: &str) -> Mesh {
    let text = format!(
        "Mesh(version: 1, clients: {{\"c\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\")])}},
            workloads: {{\"default/q\": ({behaviour})}}, {NO_NETWORK})"
    );
    mesh(&service("q", 1), &text)
}

fn go(mesh: &Mesh, text: &str) -> Run {
    run(mesh, &scenario(text), &SimOptions::default())
}

fn status(run: &Run, service: usize, status: &str) -> f64 {
    run.services[service].responses.get(status).and_then(|count| count.value()).unwrap_or(0.0)
}

#[test]
fn a_cache_answers_without_calls_and_a_lost_one_grows_again() {
    let mut mesh = chain(2, 1, "{attempts: 0}", "Constant(\"5ms\")");
    let cached = "(hits: \"90%\", time: Constant(\"1ms\"), warm_after: 1000)";
    let cache =
        meshproof_model::read_behaviour(&format!("Mesh(version: 1, workloads: {{\"default/s1\": (cache: {cached})}})"));
    mesh.behaviour.workloads["default/s1"].cache = cache.unwrap().workloads["default/s1"].cache.clone();
    let load = "load: [Open(client: \"load\", arrivals: Constant, rate: [Hold(rate: \"1krps\", during: \"1s\")])]";
    let warm = go(&mesh, &format!("horizon: \"10s\", {load}"));
    let share = warm.services[1].requests.value().unwrap() / warm.services[0].requests.value().unwrap();
    assert!((share - 0.1).abs() < 0.02, "{share}");
    // Of ten thousand requests, the first thousand after the loss find 45 % on average.
    let lost = go(
        &mesh,
        &format!(
            "horizon: \"10s\", {load}, faults: [CacheLoss(workload: \"default/s1\", at: \"0s\", share: \"100%\")]"
        ),
    );
    let more = lost.services[1].requests.value().unwrap() - warm.services[1].requests.value().unwrap();
    assert!((more / 450.0 - 1.0).abs() < 0.1, "{more}");
}

#[test]
fn a_pause_stops_everything_and_longer_the_more_there_is() {
    let busy = "load: [Open(client: \"c\", arrivals: Constant, rate: [Hold(rate: \"100rps\", during: \"1s\")])]";
    for (per_request, longest) in [("0ms", 205.0), ("10ms", 215.0)] {
        let pauses = format!(
            "service_time: Constant(\"5ms\"),
             pauses: (every: Constant(\"1s\"), length: Constant(\"200ms\"), per_request: \"{per_request}\")"
        );
        let run = go(&one(&pauses), &format!("horizon: \"5s\", {busy}"));
        // A pause begins as a request comes, every 1.2 s or a little later, and requests begin every 10 ms.
        let max = run.clients[0].latency_ms.max.value().unwrap();
        assert!((longest - 10.0..=longest + 10.0).contains(&max), "{per_request}: {max}");
        assert_eq!(run.clients[0].failed.value(), Some(0.0));
    }
}

#[test]
fn work_for_which_nobody_waits_is_given_up_where_deadlines_are_obeyed() {
    let utilisation = |obeys: bool| {
        let behaviour = format!("concurrency: 1, service_time: Constant(\"100ms\"), obeys_deadlines: {obeys}");
        let mut mesh = one(&behaviour);
        mesh.behaviour.clients["c"].patience =
            Some(meshproof_model::Distribution::Constant(meshproof_model::Nanos::from_millis(150)));
        let run = go(&mesh, "horizon: \"2s\", load: [Burst(client: \"c\", requests: 10, at: \"0s\")]");
        assert_eq!(run.clients[0].ok.value(), Some(1.0));
        run.services[0].utilisation.value().unwrap()
    };
    // Ten times 100 ms; with deadlines 100 ms for the first and 50 ms for the second, which is too late then.
    assert!((utilisation(false) - 0.5).abs() < 0.001, "{}", utilisation(false));
    assert!((utilisation(true) - 0.075).abs() < 0.001, "{}", utilisation(true));
}

#[test]
fn a_replica_that_has_just_started_is_slow() {
    let behaviour = "service_time: Constant(\"10ms\"), start_up: \"1s\", warm_up: (factor: 11, during: \"10s\")";
    let load = "horizon: \"20s\", load: [Open(client: \"c\", arrivals: Constant, rate: [Hold(rate: \"10rps\", during: \"1s\")])]";
    let calm = go(&one(behaviour), load);
    assert_eq!(calm.clients[0].latency_ms.max.value(), Some(10.0), "it was there from the start");
    let crash = format!("{load}, faults: [Crash(workload: \"default/q\", at: \"1s\", during: \"1s\")]");
    let run = go(&one(behaviour), &crash);
    let max = run.clients[0].latency_ms.max.value().unwrap();
    assert!((max - 110.0).abs() < 2.0, "right after its start: {max}");
    // 10 ms for the 170 or so before and after, and 60 ms on average for the hundred in between.
    let mean = run.clients[0].latency_ms.mean.value().unwrap();
    assert!((30.0..40.0).contains(&mean), "{mean}");
}

/// A service that sends a message for each request, and consumers that fail as they are told.
fn queue(queue: &str, consumer: &str) -> Mesh {
    let text = format!(
        "Mesh(version: 1, clients: {{\"c\": (from: Outside, to: \"default/shop:80\", requests: [(name: \"r\")])}},
            queues: {{\"orders\": ({queue}), \"dead\": ()}},
            workloads: {{
                \"default/shop\": (service_time: Constant(\"1ms\"), publishes: [(queue: \"orders\")]),
                \"default/packer\": (service_time: Constant(\"100ms\"), {consumer}),
            }}, {NO_NETWORK})"
    );
    mesh(&(service("shop", 1) + &service("packer", 2)), &text)
}

#[test]
fn messages_are_worked_on_in_batches() {
    let mesh = queue("", "concurrency: 1, consumes: (queue: \"orders\", batch: 5)");
    let run = go(&mesh, "horizon: \"20s\", load: [Burst(client: \"c\", requests: 101, at: \"0s\")]");
    let orders = &run.queues[0];
    assert_eq!((orders.published.value(), orders.done.value()), (Some(101.0), Some(101.0)));
    assert_eq!((orders.received.value(), orders.dead_letters.value()), (Some(101.0), Some(0.0)));
    // The first message of each of the two replicas goes alone, the other 99 in twenty batches: eleven rounds of two. The
    // last messages are sent a millisecond after the first.
    assert_eq!(orders.latency_ms.max.value(), Some(1099.0));
    assert_eq!(orders.depth_max.value(), Some(99.0));
}

#[test]
fn a_message_that_always_fails_is_put_aside_after_its_pauses() {
    let policy = "max_receives: 4, dead_letters: \"dead\", back_off: (base: \"1s\", max: \"2s\")";
    let fails = "consumes: (queue: \"orders\"), errors: [(status: 500, share: \"100%\")]";
    let run = go(&queue(policy, fails), "horizon: \"60s\", load: [Burst(client: \"c\", requests: 10, at: \"0s\")]");
    let (orders, dead) = (&run.queues[0], &run.queues[1]);
    assert_eq!((orders.received.value(), orders.dead_letters.value()), (Some(40.0), Some(10.0)));
    assert_eq!((orders.done.value(), dead.depth_max.value()), (Some(0.0), Some(10.0)));
}

#[test]
fn a_message_whose_consumer_is_too_slow_is_delivered_twice() {
    let run = go(
        &queue("visibility_timeout: \"60ms\"", "consumes: (queue: \"orders\")"),
        "horizon: \"10s\", load: [Burst(client: \"c\", requests: 1, at: \"0s\")]",
    );
    // Each delivery takes 100 ms and is given up after 60 ms, so it goes on for ever: the run ends with the horizon.
    let received = run.queues[0].received.value().unwrap();
    assert!(received > 100.0 && run.queues[0].done.value() == Some(0.0), "{received}");
}

#[test]
fn a_full_queue_refuses_and_the_handler_says_so() {
    let run = go(
        &queue("limit: 5", "concurrency: 1, consumes: (queue: \"orders\")"),
        "horizon: \"20s\", load: [Burst(client: \"c\", requests: 20, at: \"0s\")]",
    );
    // Two are taken at once, five wait.
    assert_eq!((run.queues[0].published.value(), run.queues[0].refused.value()), (Some(7.0), Some(13.0)));
    assert_eq!(status(&run, 0, "503"), 13.0);
}

#[test]
fn a_crash_gives_messages_back() {
    let run = go(
        &queue("visibility_timeout: \"5s\"", "consumes: (queue: \"orders\"), start_up: \"0s\""),
        "horizon: \"30s\", load: [Burst(client: \"c\", requests: 10, at: \"0s\")],
         faults: [Crash(workload: \"default/packer\", at: \"50ms\", during: \"1s\")]",
    );
    assert_eq!(run.queues[0].done.value(), Some(10.0));
    assert_eq!(run.queues[0].received.value(), Some(20.0));
    let max = run.queues[0].latency_ms.max.value().unwrap();
    assert!((max - 5100.0).abs() < 1.0, "{max}");
}

#[test]
fn bodies_take_their_time_on_links() {
    let text = format!(
        "Mesh(version: 1,
            clients: {{\"c\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\", method: \"POST\", body: \"1MiB\")])}},
            workloads: {{\"default/q\": (service_time: Constant(\"10ms\"), response: \"2MiB\")}},
            {})",
        NO_NETWORK.replace("network: (", "network: (bandwidth: \"100MiB\", ")
    );
    let run =
        go(&mesh(&service("q", 1), &text), "horizon: \"1s\", load: [Burst(client: \"c\", requests: 1, at: \"0s\")]");
    assert_eq!(run.clients[0].latency_ms.max.value(), Some(40.0));
}
