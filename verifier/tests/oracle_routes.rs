//! Retries and limits on time of a chain of calls, judged on random small meshes of manifests, against tries that are
//! made one by one and runs that are gone through.
#![allow(clippy::unwrap_used)]

use std::{collections::BTreeMap, fmt::Write as _};

use common::{
    draws::{Draws, Shares, cases},
    yaml::{namespace, route, service},
};
use meshproof_model::{Nanos, Subject};
use meshproof_verifier::{Limits, Report, VerifyOptions, verify};

mod common;

/// Times are in units of so many milliseconds.
const UNIT: u64 = 50;

/// A server's own proxy tries twice more, before any work, after at most 24 and 49 ms (`RT-17`).
const OWN_PAUSES: u64 = 24 + 49;

/// What a route says.
#[derive(Debug)]
struct Route {
    timeout: Option<u64>,
    per_try: Option<u64>,
    attempts: u64,
    conditions: Option<&'static str>,
}

/// A user calls `a`, which calls `b`, which calls `c`.
#[derive(Debug)]
struct Drawn {
    routes: [Route; 2],
    /// The least and the longest own time of each.
    own: [(u64, u64); 3],
    times: [u64; 2],
    objective: u64,
    most: u64,
}

/// Conditions, whether they retry a try that met its limit, and whether they retry after the callee has worked.
const CONDITIONS: [(&str, bool, bool); 5] = [
    ("5xx", true, true),
    ("connect-failure,refused-stream", false, false),
    ("gateway-error,connect-failure", true, true),
    ("retriable-4xx", false, true),
    ("reset", true, true),
];

fn route_drawn(random: &mut Draws) -> Route {
    Route {
        timeout: random.chance(70).then(|| 1 + random.below(12)),
        per_try: random.chance(75).then(|| 1 + random.below(6)),
        attempts: random.of(&[0, 1, 1, 2, 2, 3, 4]),
        conditions: random.chance(80).then(|| random.of(&CONDITIONS).0),
    }
}

fn drawn(random: &mut Draws) -> Drawn {
    let mut own = || {
        let least = random.below(4);
        (least, least + random.below(3))
    };
    let own = [own(), own(), own()];
    Drawn {
        routes: [route_drawn(random), route_drawn(random)],
        own,
        times: [1, 1 + random.below(2)],
        objective: if random.chance(40) { 1 + random.below(5) } else { 1 + random.below(40) },
        most: random.of(&[2, 4, 8, 16]),
    }
}

fn judged(drawn: &Drawn) -> Report {
    let mut yaml = namespace(true) + &["a", "b", "c"].map(|name| service(name, "http", 1, &[])).concat();
    for (host, of) in ["b", "c"].iter().zip(&drawn.routes) {
        let mut policy = String::new();
        if let Some(timeout) = of.timeout {
            writeln!(policy, "    timeout: {}ms", timeout * UNIT).unwrap();
        }
        write!(policy, "    retries: {{attempts: {}", of.attempts).unwrap();
        if let Some(per_try) = of.per_try {
            write!(policy, ", perTryTimeout: {}ms", per_try * UNIT).unwrap();
        }
        if let Some(conditions) = of.conditions {
            write!(policy, ", retryOn: \"{conditions}\"").unwrap();
        }
        policy.push_str("}\n");
        yaml += &route(host, &policy);
    }
    let [a, b, c] = drawn.own.map(|(least, longest)| {
        format!("service_time: Uniform(min: \"{}ms\", max: \"{}ms\")", least * UNIT, longest * UNIT)
    });
    let calls = |to: &str, times: u64| format!("calls: [[(to: \"{to}:80\", times: {times})]]");
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Outside, to: \"default/a:80\", requests: [(name: \"r\")])}}, \
         workloads: {{\"default/a\": ({a}, {}), \"default/b\": ({b}, {}), \"default/c\": ({c})}})",
        calls("b", drawn.times[0]),
        calls("c", drawn.times[1]),
    );
    let (_, mesh) = common::mesh(&yaml, &behaviour);
    let select = ["MP0401", "MP0402", "MP0403", "MP0404", "MP0405", "MP0406"];
    let options = VerifyOptions {
        objectives: BTreeMap::from([("user".to_owned(), Nanos::from_millis(drawn.objective * UNIT))]),
        limits: Limits { retry_amplification: drawn.most },
        select: Some(select.map(str::to_owned).to_vec()),
        ..VerifyOptions::default()
    };
    let report = verify(&mesh, &options);
    assert_eq!(report.disagreements, [""; 0], "{drawn:?}");
    report
}

impl Route {
    /// What its conditions retry: a try that met its limit, and what fails after work.
    fn retried(&self) -> (bool, bool) {
        let known = CONDITIONS.iter().find(|(name, _, _)| Some(*name) == self.conditions);
        known.map_or((false, false), |(_, timeouts, work)| (*timeouts, *work))
    }

    /// The limit on one try; without retries there is only one (`RT-13`).
    fn of_try(&self) -> Option<u64> {
        self.timeout.into_iter().chain(self.per_try.filter(|_| self.attempts > 0)).min()
    }

    /// Tries that the callee works on.
    fn tries(&self) -> u64 {
        if self.retried().1 { self.attempts + 1 } else { 1 }
    }

    /// The longest call in milliseconds, try after try, if a try without a limit takes so long; with all back-offs.
    fn longest(&self, without_limit: u64) -> u64 {
        let end = self.timeout.map_or(u64::MAX, |timeout| timeout * UNIT);
        let (mut now, mut interval) = (0, 25);
        for number in 0..self.tries() {
            if number > 0 {
                now += interval - 1;
                interval = (interval * 2).min(250);
            }
            now += self.of_try().map_or(without_limit + OWN_PAUSES, |limit| limit * UNIT);
        }
        // Retries before work, on which nothing is worked, pause too.
        if self.tries() == 1 && self.conditions != Some("reset") {
            let retried_before = self.conditions.is_none_or(|list| list.contains("connect-failure"));
            for _ in 0..if retried_before { self.attempts } else { 0 } {
                now += interval - 1;
                interval = (interval * 2).min(250);
            }
        }
        now.min(end)
    }

    /// Whether a retry, after tries that all used up their limit, begins too late; `None`: nothing is asked.
    fn cuts_retries_off(&self) -> Option<bool> {
        let (timeout, per_try) = self.timeout.zip(self.per_try).filter(|_| self.attempts > 0)?;
        let mut now = 0;
        for _ in 0..self.attempts {
            now += per_try;
            if now >= timeout {
                return Some(true);
            }
        }
        Some(false)
    }

    /// Whether a slow try ends the call although retries are asked for; `None`: no limit of a try counts.
    fn never_retries_slow(&self) -> Option<bool> {
        let per_try = self.per_try.filter(|_| self.attempts > 0)?;
        self.timeout.is_none_or(|timeout| per_try < timeout).then(|| !self.retried().0)
    }
}

/// What must be said, by rule and by what it is said of; absent: nothing.
fn expected(drawn: &Drawn) -> Vec<(&'static str, String, bool)> {
    let mut all = Vec::new();
    let [to_b, to_c] = &drawn.routes;
    for (host, route) in ["b", "c"].iter().zip(&drawn.routes) {
        let subject = format!("route VirtualService default/{host} http[0]");
        all.extend(route.cuts_retries_off().map(|is| ("MP0403", subject.clone(), is)));
        all.extend(route.never_retries_slow().map(|is| ("MP0404", subject, is)));
    }
    // Requests at c for one of the user: every call of b, tried as often as it can be, in every try of a's.
    let mut requests = 0;
    for _ in 0..to_b.tries() {
        for _ in 0..drawn.times[1] {
            requests += to_c.tries();
        }
    }
    all.push(("MP0401", "service default/c".to_owned(), requests > drawn.most));
    // The least time of b and of a: `None` where a call that they need cannot succeed.
    let fits = |least: u64, route: &Route| route.of_try().is_none_or(|limit| least <= limit);
    let least_c = drawn.own[2].0;
    let least_b = fits(least_c, to_c).then(|| drawn.own[1].0 + drawn.times[1] * least_c);
    let least_a = least_b.filter(|least| fits(*least, to_b)).map(|least| drawn.own[0].0 + least);
    let calls = [("call default/a -> default/b", least_b, to_b), ("call default/b -> default/c", Some(least_c), to_c)];
    for (call, least, route) in calls {
        if let (Some(least), Some(limit)) = (least.filter(|least| *least > 0), route.of_try()) {
            all.push(("MP0405", call.to_owned(), least > limit));
        }
    }
    // In milliseconds from here on: c works, b works and calls c one time after the other, a does once.
    let busy_c = drawn.own[2].1 * UNIT;
    let call_c = to_c.longest(busy_c);
    let busy_b = drawn.own[1].1 * UNIT + drawn.times[1] * call_c;
    let busy_a = drawn.own[0].1 * UNIT + to_b.longest(busy_b) + OWN_PAUSES;
    let outlives = |limit: Option<u64>, busy: u64, call: Option<u64>| {
        let limit = limit.map(|limit| limit * UNIT)?;
        Some(busy > limit || call.is_some_and(|call| call >= limit))
    };
    let call_of_b = to_c.of_try().map(|_| call_c);
    all.extend(outlives(to_b.of_try(), busy_b, call_of_b).map(|is| ("MP0402", calls[0].0.to_owned(), is)));
    all.extend(outlives(to_c.of_try(), busy_c, None).map(|is| ("MP0402", calls[1].0.to_owned(), is)));
    let objective = drawn.objective * UNIT;
    match least_a.map(|least| least * UNIT) {
        Some(least) if least > objective => all.push(("MP0406", "workload user".to_owned(), true)),
        Some(_) if busy_a <= objective => all.push(("MP0406", "workload user".to_owned(), false)),
        _ => {}
    }
    all
}

/// As [`expected`] names it.
fn named(subject: &Subject) -> String {
    match subject {
        Subject::Route { resource, route } => format!("route {resource} {route}"),
        other => other.to_string(),
    }
}

#[test]
fn limits_and_retries_are_as_if_gone_through_one_by_one() {
    let cases = cases(150);
    let (mut random, mut shares) = (Draws::new(43), Shares::default());
    for _ in 0..cases {
        let drawn = drawn(&mut random);
        let report = judged(&drawn);
        let expected = expected(&drawn);
        for (rule, subject, is_violated) in &expected {
            let found = report.findings.iter().any(|f| f.rule.code == *rule && named(&f.subject) == *subject);
            let proved = report.proofs.iter().any(|p| p.rule.code == *rule && named(&p.subject) == *subject);
            assert_eq!((found, proved), (*is_violated, !is_violated), "{rule} {subject} {drawn:?} {report:#?}");
            shares.add(rule, *is_violated);
        }
        let is_told = |f: &&meshproof_model::Finding| f.rule.code != "MP0401" || named(&f.subject).ends_with("/c");
        for finding in report.findings.iter().filter(is_told) {
            let is_expected = |(rule, subject, is): &(&str, String, bool)| {
                *is && *rule == finding.rule.code && *subject == named(&finding.subject)
            };
            assert!(expected.iter().any(is_expected), "{finding:?} {drawn:?}");
        }
    }
    shares.check(cases);
}
