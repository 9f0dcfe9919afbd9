//! Limits on ordinary load, judged on random small meshes of manifests, against what is counted one by one: hosts that
//! are ejected, requests that are let through, tokens, pods that are evicted.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fmt::Write as _};

use common::{
    draws::{Draws, Shares, cases},
    yaml::{namespace, service},
};
use meshproof_verifier::{Report, VerifyOptions, verify};

mod common;

/// What a mesh of two workloads says: `a` calls `b`.
#[derive(Debug)]
struct Drawn {
    clients: u64,
    hosts: u64,
    max_requests: Option<u64>,
    ejection_percent: Option<u64>,
    min_health: u64,
    consecutive_5xx: Option<u64>,
    gateway_errors: Option<u64>,
    tokens: u64,
    fill: u64,
    fill_ms: u64,
    concurrency: u64,
    queue: u64,
    time_ms: u64,
    rps: u64,
    budget: Option<(bool, u64, bool)>,
}

fn drawn(random: &mut Draws) -> Drawn {
    let hosts = 1 + random.below(8);
    let clients = 1 + random.below(3);
    let (concurrency, time_ms) = (1 + random.below(8), random.of(&[5, 10, 20, 40, 100]));
    let able = 1000 * concurrency / time_ms;
    Drawn {
        clients,
        hosts,
        max_requests: random.chance(90).then(|| 1 + random.below(2 * (concurrency * hosts).div_ceil(clients))),
        ejection_percent: random.chance(85).then(|| random.of(&[0, 10, 20, 34, 100, 100, 100, 100])),
        min_health: random.of(&[0, 0, 0, 0, 50]),
        consecutive_5xx: random.chance(30).then(|| random.below(9)),
        gateway_errors: random.chance(20).then(|| random.below(7)),
        tokens: 1 + random.below(25),
        fill: 1 + random.below(able.div_ceil(5)),
        fill_ms: random.of(&[100, 125, 200]),
        concurrency,
        queue: random.below(40),
        time_ms,
        rps: 1 + random.below(2 * able * hosts),
        budget: random.chance(95).then(|| {
            let (is_percent, is_least) = (random.chance(50), random.chance(50));
            // Often none, or all.
            let most = if is_percent { 100 } else { hosts };
            let number = if random.chance(70) { random.of(&[0, most]) } else { random.below(most + 2) };
            (is_least, number, is_percent)
        }),
    }
}

fn manifests(drawn: &Drawn) -> String {
    let mut yaml = namespace(true)
        + &service("a", "http", u32::try_from(drawn.clients).unwrap(), &[])
        + &service("b", "http", u32::try_from(drawn.hosts).unwrap(), &[]);
    let mut outlier = format!("minHealthPercent: {}, interval: 10s", drawn.min_health);
    for (name, value) in [
        ("maxEjectionPercent", drawn.ejection_percent),
        ("consecutive5xxErrors", drawn.consecutive_5xx),
        ("consecutiveGatewayErrors", drawn.gateway_errors),
    ] {
        if let Some(value) = value {
            write!(outlier, ", {name}: {value}").unwrap();
        }
    }
    let pool = drawn
        .max_requests
        .map_or(String::new(), |most| format!("connectionPool: {{http: {{http2MaxRequests: {most}}}}}, "));
    yaml += &common::yaml::rule("b", &format!("{{{pool}outlierDetection: {{{outlier}}}}}"));
    yaml += &common::yaml::bucket("b", drawn.tokens, drawn.fill, &format!("{}ms", drawn.fill_ms));
    if let Some((is_least, number, is_percent)) = drawn.budget {
        let field = if is_least { "minAvailable" } else { "maxUnavailable" };
        let value = if is_percent { format!("\"{number}%\"") } else { number.to_string() };
        write!(
            yaml,
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: b}}\nspec: {{selector: {{matchLabels: \
             {{app: b}}}}, {field}: {value}}}\n---\n"
        )
        .unwrap();
    }
    yaml
}

fn judged(drawn: &Drawn) -> Report {
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Workload(\"default/a\"), to: \"default/b:80\", requests: [(name: \
         \"r\")])}}, workloads: {{\"default/a\": (calls: []), \"default/b\": (concurrency: {}, queue: (limit: {}), \
         service_time: Constant(\"{}ms\"))}})",
        drawn.concurrency, drawn.queue, drawn.time_ms
    );
    let (_, mesh) = common::mesh(&manifests(drawn), &behaviour);
    let select = ["MP0501", "MP0502", "MP0503", "MP0504", "MP0505", "MP0506", "MP0703", "MP0704"];
    let options = VerifyOptions {
        demand: BTreeMap::from([("user".to_owned(), drawn.rps * 1000)]),
        select: Some(select.map(str::to_owned).to_vec()),
        ..VerifyOptions::default()
    };
    let report = verify(&mesh, &options);
    assert_eq!(report.disagreements, [""; 0], "{drawn:?}");
    report
}

/// Whether a host can be ejected so that it gets no requests, and whether all can: hosts are ejected one by one as
/// long as Envoy lets one more go, and count for nothing once too few are left.
fn ejections(drawn: &Drawn) -> (bool, bool) {
    let most = match drawn.ejection_percent {
        None | Some(0) => 10,
        Some(percent) => percent,
    };
    let mut gone = 0;
    while gone < drawn.hosts && 100 * (gone + 1) <= most * drawn.hosts {
        gone += 1;
    }
    let panics = |gone: u64| 100 * (drawn.hosts - gone) < drawn.min_health * drawn.hosts;
    (gone >= 1 && !panics(1), gone == drawn.hosts && !panics(gone))
}

/// Whether gateway errors are the first to eject, if they are counted, and whether anything is counted.
fn counters(drawn: &Drawn) -> (bool, bool) {
    let all = drawn.consecutive_5xx.unwrap_or(5);
    let gateway = drawn.gateway_errors.unwrap_or(0);
    // Failures in a row, all of them gateway errors: which count is full first?
    let first = (1..=10).find(|failures| *failures == gateway || *failures == all);
    (gateway == 0 || (first == Some(gateway) && gateway != all), first.is_some())
}

/// Requests that a bucket lets through in 1,000 fills, in which requests never cease.
fn let_through(drawn: &Drawn) -> u64 {
    (0..1_000).map(|_| drawn.fill).sum()
}

/// Evictions, one after the other, that a budget allows of so many pods.
fn evictions((is_least, number, is_percent): (bool, u64, bool), pods: u64) -> u64 {
    let share = if is_percent { (0..=2 * pods).find(|count| count * 100 >= number * pods).unwrap() } else { number };
    let allowed = |gone: &u64| if is_least { pods - gone >= share } else { *gone <= share };
    (1..=pods).take_while(allowed).count() as u64
}

/// Whether each rule must be violated; those that say nothing are left out.
fn expected(drawn: &Drawn) -> Vec<(&'static str, bool)> {
    let mut all = Vec::new();
    let (acts, empties) = ejections(drawn);
    let (gateway_acts, counted) = counters(drawn);
    all.push(("MP0501", !counted || !acts || !gateway_acts));
    if counted {
        all.push(("MP0504", empties));
    }
    let room = drawn.hosts * drawn.concurrency;
    if let Some(most) = drawn.max_requests {
        // One request after the other is let in by one proxy after the other.
        let admitted: u64 = (0..drawn.clients).map(|_| most).sum();
        if most <= room {
            all.push(("MP0502", admitted > room));
        }
        // Milliseconds of work that come in a second, and that fit into one.
        let (work, fits) = ((0..drawn.rps).map(|_| drawn.time_ms).sum::<u64>(), admitted * 1000);
        all.push(("MP0503", work > fits));
    }
    // In the time of 1,000 fills: what the bucket lets through, and what a pod answers, place by place.
    let time_ms = 1_000 * drawn.fill_ms;
    let answers: u64 = (0..drawn.concurrency).map(|_| time_ms / drawn.time_ms).sum();
    all.push(("MP0505", let_through(drawn) > answers || drawn.tokens > drawn.concurrency + drawn.queue));
    all.push(("MP0506", drawn.rps * time_ms / 1000 > drawn.hosts * let_through(drawn)));
    if let Some(budget) = drawn.budget {
        let gone = evictions(budget, drawn.hosts);
        all.push(("MP0703", gone == 0));
        if drawn.hosts > 1 {
            all.push(("MP0704", gone == drawn.hosts));
        }
    }
    all
}

#[test]
fn limits_are_as_if_counted_one_by_one() {
    let cases = cases(150);
    let (mut random, mut shares) = (Draws::new(41), Shares::default());
    for _ in 0..cases {
        let drawn = drawn(&mut random);
        let report = judged(&drawn);
        for (rule, is_violated) in expected(&drawn) {
            let found = report.findings.iter().any(|finding| finding.rule.code == rule);
            assert_eq!(found, is_violated, "{rule} {drawn:?} {:?}", report.findings);
            // One rule's proof stands for both of budgets; a rule may be proved of one fact and violated by another.
            let proved = report.proofs.iter().any(|proof| proof.rule.code == rule);
            assert!(found || proved || rule == "MP0704", "{rule} {drawn:?}");
            assert!(!found || !proved || rule == "MP0501", "{rule} {drawn:?}");
            shares.add(rule, is_violated);
        }
    }
    shares.check(cases);
}
