//! What is wrong with a behaviour or a scenario is named, each with its field.

use meshproof_model::{Mesh, Objective, read_behaviour, read_scenario};

use crate::fixture::mesh;

const CLIENT: &str = r#"clients: {"user": (from: Outside, to: "shop/reviews:9080", requests: [(name: "a")])}"#;

#[test]
fn behaviours_are_checked_against_the_mesh() {
    for (text, expect) in [
        (
            r#"clients: {"u": (from: Workload("shop/wbe"), to: "shop/reviws:9080", requests: [])}"#,
            &[
                "clients.u.from: unknown workload `shop/wbe`; did you mean `shop/web`?",
                "clients.u.to: unknown service `shop/reviws`; did you mean `shop/reviews`?",
                "clients.u.requests: no kind of request has a share above zero",
            ][..],
        ),
        (
            r#"workloads: {"shop/web": (concurrency: 0, service_time: Uniform(min: "2s", max: "1s"), calls: [[(to: "reviews:1"), (to: "payments:80")]])}"#,
            &[
                "workloads.shop/web.concurrency: the capacity is zero: nothing is ever worked on",
                "workloads.shop/web.service_time: `min` is greater than `max`",
                "workloads.shop/web.calls[0][0].to: service `shop/reviews` has no port 1; it has 9080",
                "workloads.shop/web.calls[0][1].to: unknown service `payments`; did you mean `pay/payments`?",
            ],
        ),
        (
            r#"workloads: {"shop/reviews-v1": (calls: [[(to: "ratings:9080")]]), "shop/ratings": (calls: [[(to: "reviews:9080")]])}"#,
            &["workloads: calls go round in a circle: shop/reviews-v1 -> shop/ratings -> shop/reviews-v1"],
        ),
        (
            r#"workloads: {"shop/web": (errors: [(status: 500, share: "60%"), (status: 42, share: "50%")], service_time: Quantiles([("50%", "3ms")]))}"#,
            &[
                "workloads.shop/web.service_time: the last quantile is that of 100%",
                "workloads.shop/web.errors: shares of errors add up to more than 100%",
                "workloads.shop/web.errors[1].status: 42 is no status of a response",
            ],
        ),
        (CLIENT, &[]),
    ] {
        let behaviour = read_behaviour(&format!("Mesh(version: 1, {text})")).unwrap();
        let mesh = Mesh { behaviour, ..mesh("") };
        let found: Vec<String> = mesh.check_behaviour().iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{text}");
    }
}

#[test]
fn scenarios_are_checked_against_the_mesh() {
    let behaviour = read_behaviour(&format!("Mesh(version: 1, {CLIENT})")).unwrap();
    let mesh = Mesh { behaviour, ..mesh("") };
    for (text, expect) in [
        (
            r#"load: [Open(client: "usr", rate: [Hold(rate: "1rps", during: "1s")])]"#,
            &["load[0].client: no client named `usr`; did you mean `user`?"][..],
        ),
        (
            r#"load: [Burst(client: "user", requests: 1000000000000, at: "0s")]"#,
            &["load: 1000000000000 requests are more than the 1000000000 that one run may start"],
        ),
        (
            r#"faults: [Crash(workload: "shop/reviews", at: "1s", during: "1s"), Crash(workload: "shop/reviews-v1", replicas: Count(3), at: "1s", during: "0s")]"#,
            &[
                "faults[0].workload: unknown workload `shop/reviews`; did you mean `shop/reviews-v1`?",
                "faults[1].replicas: `shop/reviews-v1` has only 2 replicas",
                "faults[1].during: a fault lasts longer than no time",
            ],
        ),
        (
            r#"rollout: [Weight(route: "shop/reviews", at: "1s", weights: {"v1": 1})]"#,
            &["rollout[0]: unknown VirtualService `shop/reviews`"],
        ),
        (
            r#"objectives: ["user.success > 99.9%", "user.sucess > 1%", "nobody.p99 < 1s", "user.retries < 1", "svc/reviews.p99 < 2", "reviews.p99"]"#,
            &[
                "objectives[1]: there is no figure `sucess`; did you mean `success`?",
                "objectives[2]: there is no client, service or queue `nobody`",
                "objectives[3]: the client `user` has no figure `retries`; clients have success_ratio, success, ok_ratio, requests, ok, failed, p50, p90, p95, p99, p999, mean, max, goodput_rps, goodput, tries_per_request, first_try_ratio, backing_off",
                "objectives[4]: `p99` is compared with a time such as `300ms`, not with `2`",
                "objectives[5]: `reviews.p99` compares nothing; write `subject.figure < quantity`, or `recovers within 60s`",
            ],
        ),
        (
            r#"warm_up: Fixed("2m"), replications: 0"#,
            &["replications: at least one replication is needed", "warm_up: the warm-up ends before the horizon"],
        ),
    ] {
        let scenario = read_scenario(&format!("Scenario(version: 1, horizon: \"1m\", {text})")).unwrap();
        let found: Vec<String> = mesh.check_scenario(&scenario).iter().map(ToString::to_string).collect();
        assert_eq!(found, expect, "{text}");
    }
}

#[test]
fn objectives_read_and_print() {
    for (text, expect) in [
        ("browser.success > 99.9%", Ok("browser.success_ratio > 99.9%")),
        ("browser.success >= 0.999", Ok("browser.success_ratio >= 99.9%")),
        ("browser.p99 < 300ms", Ok("browser.p99 < 300ms")),
        ("browser.latency_ms.p99 < 300ms", Ok("browser.p99 < 300ms")),
        ("ratings.attempts_per_request <= 2", Ok("ratings.attempts_per_request <= 2")),
        ("svc/shop/ratings.attempts_per_request <= 1.5", Ok("svc/shop/ratings.attempts_per_request <= 1.5")),
        ("ratings.responses.503 <= 10", Ok("ratings.responses.503 <= 10")),
        ("ratings.flags.UO < 1", Ok("ratings.flags.UO < 1")),
        ("page.goodput_rps > 100rps", Ok("page.goodput_rps > 100rps")),
        ("recovers within 60s", Ok("recovers within 60s")),
        ("recovers in 60s", Err("`recovers in 60s`: write `recovers within 60s`")),
        ("a.p99 == 1s", Err("`==` is no comparison; use `<`, `<=`, `>` or `>=`")),
        ("p99 < 1s", Err("`p99` names no figure; write `subject.figure`, such as `browser.success`")),
        ("a.success > 101%", Err("`success_ratio` is compared with a share such as `99.9%`, not with `101%`")),
    ] {
        let shown = text.parse::<Objective>().map(|objective| objective.to_string()).map_err(|error| error.to_string());
        assert_eq!(shown, expect.map(str::to_owned).map_err(str::to_owned), "{text}");
    }
}
