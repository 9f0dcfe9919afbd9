//! Intents about rollouts: what becomes of a version that fails, told and proved, against rollouts that are played
//! second by second.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use common::{
    draws::{Draws, Shares, cases},
    yaml::{namespace, service},
};
use insta::assert_snapshot;
use meshproof_verifier::{Intents, Report, VerifyOptions, verify};

mod common;

const CANARY: &str = "assert \"canary\": for all r in rollouts: when error_rate(new) >= 5% then never weight(new) > 20% \
                      and within 10m weight(new) = 0;";

fn judged(yaml: &str, intent: &str) -> (String, Report) {
    let (mut sources, mesh) = common::mesh(yaml, "");
    sources.add("shop.intent", intent);
    let select = Some(["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec());
    let options = VerifyOptions { intents: Intents::read(&sources), select, ..VerifyOptions::default() };
    let report = verify(&mesh, &options);
    assert_eq!(report.disagreements, [""; 0]);
    let mut text = common::findings(&sources, &report, &[]);
    for proof in &report.proofs {
        writeln!(text, "holds: {}", proof.subject).unwrap();
    }
    (text, report)
}

/// A Rollout of `a` with an analysis beside its steps.
fn rollout(steps: &str, metric: &str) -> String {
    format!(
        "{}{}apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {{name: w}}\nspec: {{replicas: 10, template: \
         {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}, strategy: {{canary: \
         {{trafficRouting: {{istio: {{virtualService: {{name: a}}}}}}, steps: [{steps}], analysis: {{templates: \
         [{{templateName: ok}}]}}}}}}}}\n---\napiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: {{name: \
         ok}}\nspec: {{metrics: [{{name: rate, {metric}}}]}}\n",
        namespace(true),
        service("a", "http", 2, &[]),
    )
}

/// The share of good answers, in percent or as a number up to 1.
fn good_share(factor: &str) -> String {
    let sum = |codes: &str| format!("sum(rate(istio_requests_total{{{codes}destination_app=\"a\"}}[1m]))");
    let query = format!("{} / {}{factor}", sum("response_code!~\"5.*\","), sum(""));
    format!("provider: {{prometheus: {{query: '{query}'}}}}")
}

const STEPS: &str = "{setWeight: 10}, {pause: {duration: 5m}}, {setWeight: 50}, {pause: {duration: 5m}}";

#[test]
fn a_version_that_fails_is_told_with_what_it_keeps() {
    let metric = |rest: &str| rollout(STEPS, &format!("{}, interval: 1m, {rest}", good_share("")));
    assert_snapshot!(judged(&metric("failureLimit: 2, successCondition: 'result[0] > 0.95'"), CANARY).0, @"holds: Intent canary");
    // Exactly 5 % pass the condition; so does whoever fails as many.
    assert_snapshot!(judged(&metric("failureLimit: 2, successCondition: 'result[0] >= 0.95'"), CANARY).0, @r#"
    MP1001 Error shop.intent:1 intent "canary" does not hold of Rollout default/w: 5m after its first request it has 50% of them, for 5m
        mesh.yaml:27 the weight is written here
        mesh.yaml:32 `rate` lets it pass
    "#);
    assert_snapshot!(judged(&metric("failureLimit: 9, successCondition: 'result[0] >= 0.99'"), CANARY).0, @r#"
    MP1001 Error shop.intent:1 intent "canary" does not hold of Rollout default/w: 5m after its first request it has 50% of them, for 5m
        mesh.yaml:27 the weight is written here
    "#);
    let template =
        |provider: &str| rollout(STEPS, &format!("{provider}, interval: 1m, successCondition: 'result[0] > 0.95'"));
    assert_snapshot!(judged(&template("provider: {web: {url: 'http://x'}}"), CANARY).0, @r#"MP1001 Warning shop.intent:1 intent "canary" is not decided: what `rate` says does not follow from the share of requests that fail"#);
}

#[test]
fn queries_are_read_as_shares_of_requests() {
    let bad = "sum(rate(istio_requests_total{response_code=~\"5.*\"}[1m])) / sum(rate(istio_requests_total[1m]))";
    let provider = |query: &str| format!("provider: {{prometheus: {{query: '{query}'}}}}");
    for (metric, expected) in [
        (format!("{}, successCondition: 'result[0] > 95'", good_share(" * 100")), "holds"),
        (format!("{}, successCondition: 'result[0] >= 95'", good_share(" * 100")), "does not hold"),
        (format!("{}, failureCondition: 'result[0] >= 0.05'", provider(bad)), "holds"),
        (format!("{}, failureCondition: 'result[0] > 0.05'", provider(bad)), "does not hold"),
        (format!("{}, successCondition: 'result[0] > 0.95'", provider(&format!("1 - {bad}"))), "holds"),
        (format!("{}, failureCondition: 'result[0] >= 1.5'", provider(&format!("{bad} * 30"))), "holds"),
        // Between both conditions a person is asked.
        (
            format!("{}, failureCondition: 'result[0] >= 0.5', successCondition: 'result[0] < 0.01'", provider(bad)),
            "is not decided: what `rate` says does not follow",
        ),
        (
            provider("histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket[1m])) by (le))")
                + ", successCondition: 'result[0] < 500'",
            "is not decided",
        ),
        (provider(bad), "does not hold"),
    ] {
        let found = judged(&rollout(STEPS, &format!("{metric}, interval: 1m")), CANARY).0;
        assert!(found.contains(expected), "{metric}: {found}");
    }
}

#[test]
fn a_good_version_gets_everything_in_time() {
    let intent = |time: &str| {
        format!(
            "assert \"goes on\": for all r in rollouts: when error_rate(new) <= 1% then within {time} weight(new) = 100%;"
        )
    };
    let yaml =
        |condition: &str| rollout(STEPS, &format!("{}, interval: 1m, successCondition: '{condition}'", good_share("")));
    for (condition, time, expected) in [
        ("result[0] >= 0.99", "10m", "holds"),
        ("result[0] >= 0.99", "9m", "does not hold"),
        // One that fails exactly 1 % of its requests is taken back.
        ("result[0] > 0.99", "10m", "does not hold"),
    ] {
        let found = judged(&yaml(condition), &intent(time)).0;
        assert!(found.contains(expected), "{condition} {time}: {found}");
    }
}

#[test]
fn flaggers_canaries_are_rollouts_too() {
    let canary = |rest: &str| {
        format!(
            "{}{}apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {{name: a}}\nspec: {{targetRef: {{apiVersion: \
             apps/v1, kind: Deployment, name: a}}, service: {{port: 80}}, analysis: {{interval: 1m, maxWeight: 50, \
             stepWeight: 10, {rest}}}}}\n",
            namespace(true),
            service("a", "http", 2, &[]),
        )
    };
    let rate =
        |min: u32| format!("threshold: 3, metrics: [{{name: request-success-rate, thresholdRange: {{min: {min}}}}}]");
    for (rest, expected) in [
        (rate(99), "holds"),
        (rate(95), "has 30% of them"),
        (rate(99).replace("threshold: 3", "threshold: 12"), "10m after its first request it has 10% of them"),
        ("metrics: [{name: request-duration, thresholdRange: {max: 500}}]".to_owned(), "is not decided"),
        ("threshold: 3".to_owned(), "does not hold"),
    ] {
        let found = judged(&canary(&rest), CANARY).0;
        assert!(found.contains(expected), "{rest}: {found}");
    }
}

#[test]
fn what_is_not_asked_like_that_is_refused() {
    let yaml = rollout(STEPS, "provider: {web: {url: x}}");
    for (intent, expected) in [
        ("for all r in rollouts: then weight(new) > 5%;", "`new` is no variable"),
        ("for all r in rollouts: when error_rate(new) >= 5 then never weight(new) > 5%;", "alone"),
        (
            "for all r in rollouts: when error_rate(new) >= 5% and name(r) = \"w\" then never weight(new) > 5%;",
            "`when` compares the error rate of `new` with a share, alone",
        ),
        (
            "for all r in rollouts: for all s in services: when error_rate(new) >= 5% then replicas(s) > 1;",
            "one rollout",
        ),
        ("for all r in rollouts: then within 5m name(r) = \"w\";", "`within` a time is not decided"),
        ("for all s in services: then weight(s) > 5%;", "`weight` is asked of `new`"),
    ] {
        let found = judged(&yaml, &format!("assert \"x\": {intent}")).0;
        assert!(found.contains("MP1002") && found.contains(expected), "{intent}: {found}");
    }
    let named = "assert \"x\": for all r in rollouts where namespace(r) = \"default\": then kind(r) = \"Rollout\";";
    assert!(judged(&yaml, named).0.contains("holds"));
    let nobody = service("a", "http", 1, &[]);
    assert!(judged(&nobody, CANARY).0.contains("MP1003"), "no rollout, nothing to hold");
}

/// A rollout of steps, in seconds, and of one metric.
#[derive(Debug)]
struct Drawn {
    /// Weight, and the pause after it; `None`: for ever.
    steps: Vec<(u64, Option<u64>)>,
    interval: u64,
    limit: u64,
    count: Option<u64>,
    /// In percent: what must succeed, and whether more than that.
    least: u64,
    is_strict: bool,
    /// In percent: failures at the least, weight at the most; seconds until it is gone.
    failing: u64,
    most: u64,
    within: u64,
}

fn drawn(random: &mut Draws) -> Drawn {
    let steps = 1 + random.below(4);
    Drawn {
        steps: (0..steps)
            .map(|_| (random.of(&[0, 5, 10, 20, 30, 60]), (!random.chance(8)).then(|| 5 * random.below(6))))
            .collect(),
        interval: random.of(&[5, 7, 10]),
        limit: random.of(&[0, 0, 1, 2]),
        count: random.chance(20).then(|| 1 + random.below(4)),
        least: random.of(&[90, 95, 99, 99]),
        is_strict: random.chance(50),
        failing: random.of(&[1, 5, 10, 10, 50]),
        most: random.of(&[10, 30, 60, 60, 100]),
        within: 10 * (2 + random.below(8)),
    }
}

/// Whether both goals hold of a version that fails so many percent: second after second, its weight and what is
/// measured of it.
fn holds(drawn: &Drawn, failing: u64) -> Option<bool> {
    let succeeds = 100 - failing;
    let is_good = if drawn.is_strict { succeeds > drawn.least } else { succeeds >= drawn.least };
    let (mut weight, mut step, mut entered) = (0, 0, 0);
    let (mut made, mut failed, mut has_ended) = (0, 0, false);
    let mut first = None;
    let mut holds = true;
    for now in 0..400_u64 {
        let before = weight;
        if !has_ended {
            // Every step that is over.
            while let Some((to, pause)) = drawn.steps.get(step) {
                weight = *to;
                match pause {
                    Some(pause) if now >= entered + pause => {
                        step += 1;
                        entered = now;
                    }
                    _ => break,
                }
            }
            if step == drawn.steps.len() {
                weight = 100;
                has_ended = true;
            }
            let wants = drawn.count.is_none_or(|count| made < count);
            if now % drawn.interval == 0 && wants {
                made += 1;
                failed += u64::from(before > 0 && !is_good);
                if failed > drawn.limit {
                    weight = 0;
                    has_ended = true;
                }
            }
        }
        if weight > 0 && first.is_none() {
            first = Some(now);
        }
        if let Some(first) = first {
            holds &= weight <= drawn.most && (now < first + drawn.within || weight == 0);
        }
    }
    first.map(|_| holds)
}

#[test]
fn a_weight_that_lasts_no_time_begins_nothing() {
    let steps = "{setWeight: 20}, {setWeight: 0}, {pause: {duration: 30s}}, {setWeight: 60}, {pause: {duration: 25s}}";
    let metric = format!("{}, interval: 7s, failureLimit: 1, successCondition: 'result[0] > 0.99'", good_share(""));
    let intent = |within: u32| {
        format!(
            "assert \"x\": for all r in rollouts: when error_rate(new) >= 5% then within {within}s weight(new) = 0;"
        )
    };
    // From 30 s on it is measured at 35 and at 42 s.
    for (within, expected) in [(12, "holds"), (11, "does not hold")] {
        let found = judged(&rollout(steps, &metric), &intent(within)).0;
        assert!(found.contains(expected), "{within}: {found}");
    }
}

#[test]
fn whatever_a_version_fails_is_as_if_played_second_by_second() {
    let cases = cases(120);
    let (mut random, mut shares) = (Draws::new(53), Shares::default());
    for _ in 0..cases {
        let drawn = drawn(&mut random);
        let steps: Vec<String> = drawn
            .steps
            .iter()
            .map(|(weight, pause)| {
                let pause = pause.map_or("{}".to_owned(), |time| format!("{{duration: {time}s}}"));
                format!("{{setWeight: {weight}}}, {{pause: {pause}}}")
            })
            .collect();
        let count = drawn.count.map_or(String::new(), |count| format!(", count: {count}"));
        let sign = if drawn.is_strict { ">" } else { ">=" };
        let metric = format!(
            "{}, interval: {}s, failureLimit: {}{count}, successCondition: 'result[0] {sign} {}'",
            good_share(" * 100"),
            drawn.interval,
            drawn.limit,
            drawn.least
        );
        let intent = format!(
            "assert \"x\": for all r in rollouts: when error_rate(new) >= {}% then never weight(new) > {}% and within {}s \
             weight(new) = 0;",
            drawn.failing, drawn.most, drawn.within
        );
        let (text, report) = judged(&rollout(&steps.join(", "), &metric), &intent);
        let all: Option<Vec<bool>> = (drawn.failing..=100).map(|failing| holds(&drawn, failing)).collect();
        match all {
            None => assert!(text.contains("MP1003"), "{drawn:?} {text}"),
            Some(all) => {
                let holds = all.into_iter().all(|holds| holds);
                assert_eq!(report.proofs.len() == 1, holds, "{drawn:?} {text}");
                assert_eq!(text.contains("does not hold"), !holds, "{drawn:?} {text}");
                shares.add("MP1001", !holds);
            }
        }
    }
    shares.check(cases);
}
