//! What each test asks, answered by the same code as the commands, and compared.

use std::{collections::BTreeMap, fmt::Debug};

use meshproof_model::{FindingVerdict, RULES};
use meshproof_sim::SimOptions;
use serde_json::{Value, json};

use super::{
    Coverage, Outcome, coverage,
    file::{Expected, ExpectedBackend, Test, VerdictName},
};
use crate::{
    Choice, InternalError, Project, Verified, bounds_of_run,
    decide::{Answer, Backend, Decider, Prepared, Question},
    verify,
};

/// Runs all tests of a mesh.
pub(super) fn all(
    project: &Project,
    tests: &[(String, Test)],
    threads: usize,
) -> Result<(Vec<Outcome>, Coverage), InternalError> {
    let answers = ask(project, tests);
    let mut outcomes = Vec::new();
    let mut verified = None;
    for ((file, test), answer) in tests.iter().zip(&answers) {
        let (name, failures) = match test {
            Test::Request { name, expect, .. } => {
                let failures = match answer {
                    Some(Ok(answer)) => differences(expect, answer),
                    Some(Err(why)) => vec![format!("the request cannot be read: {why}")],
                    None => Vec::new(),
                };
                (name, failures)
            }
            Test::Property { name, .. } => {
                let known = match verified.take() {
                    Some(known) => known,
                    None => verify(project, &Choice { threads, ..Choice::default() })?,
                };
                let failures = property(&known, test);
                verified = Some(known);
                (name, failures)
            }
            Test::Objective { name, .. } => (name, objective(project, test, threads)?),
        };
        outcomes.push(Outcome { file: file.clone(), name: name.clone(), failures });
    }
    Ok((outcomes, coverage::of(&project.imported.mesh, answers.iter().flatten().flatten())))
}

/// The answer to each test that asks, or why it cannot be asked.
pub(super) fn ask(project: &Project, tests: &[(String, Test)]) -> Vec<Option<Result<Answer, String>>> {
    let questions: Vec<Option<Result<Question, String>>> = tests.iter().map(|(_, test)| question(test)).collect();
    let prepared = Prepared::with_questions(&project.imported.mesh, questions.iter().flatten().flatten());
    let decider = Decider::new(&prepared);
    let answer = |question: Result<Question, String>| question.map(|question| decider.answer(&question));
    questions.into_iter().map(|question| question.map(answer)).collect()
}

/// The question of a test of a request, in the form of `meshproof decide`.
fn question(test: &Test) -> Option<Result<Question, String>> {
    let Test::Request { name, from, to, request, .. } = test else { return None };
    let mut request = json!(request);
    // Without a claim there is no token.
    if let Some(object) = request.as_object_mut()
        && object.get("claims").is_some_and(|claims| claims.as_object().is_some_and(serde_json::Map::is_empty))
    {
        object.remove("claims");
    }
    let question = json!({"id": name, "from": from, "to": to, "request": request});
    Some(serde_json::from_value(question).map_err(|error| error.to_string()))
}

/// What differs from what is expected.
fn differences(expect: &Expected, answer: &Answer) -> Vec<String> {
    let mut out = Vec::new();
    if *expect == Expected::default() {
        out.push("nothing is expected: `expect` has no member".to_owned());
    }
    compare(&mut out, "allowed", expect.allowed.as_ref(), answer.allowed.as_ref());
    let outcome = json!(answer.outcome);
    compare(&mut out, "outcome", expect.outcome.as_deref(), outcome.as_str());
    compare(&mut out, "status", expect.status.as_ref(), answer.status.as_ref());
    if let Some(wanted) = &expect.route {
        let route = answer.route.as_ref().map(|route| {
            let object = format!("{} {}/{}", route.kind, route.namespace, route.name);
            let label = route.label.as_ref().map(|label| format!("{object}/{label}"));
            (format!("{object}/{}", route.rule), label, object)
        });
        let is_it = route
            .as_ref()
            .is_some_and(|(rule, label, object)| [Some(rule), label.as_ref(), Some(object)].contains(&Some(wanted)));
        if !is_it {
            out.push(differs("route", &wanted, route.as_ref().map(|(rule, ..)| rule)));
        }
    }
    if let Some(wanted) = &expect.backends {
        let mut left: Vec<&Backend> = answer.backends.iter().collect();
        let found = wanted.iter().all(|one| {
            left.iter().position(|backend| is_backend(one, backend)).map(|index| left.remove(index)).is_some()
        });
        if !found || !left.is_empty() {
            let wanted =
                wanted.iter().map(|one| shown_backend(Some(&one.host), one.port, one.subset.as_deref(), one.weight));
            let got = answer
                .backends
                .iter()
                .map(|one| shown_backend(one.host.as_deref(), one.port, one.subset.as_deref(), Some(one.weight)));
            let list = |each: Vec<String>| if each.is_empty() { "none".to_owned() } else { each.join(", ") };
            out.push(format!("backends: expected {}, got {}", list(wanted.collect()), list(got.collect())));
        }
    }
    let redirect = answer.redirect.as_ref().map(|redirect| redirect.location.as_str());
    compare(&mut out, "redirect", expect.redirect.as_deref(), redirect);
    let path = answer.rewrite.as_ref().and_then(|rewrite| rewrite.path.as_deref());
    compare(&mut out, "path", expect.path.as_deref(), path);
    let timeout = expect.timeout.map(meshproof_model::Nanos::as_millis);
    compare(&mut out, "timeout in ms", timeout.as_ref(), answer.timeout_ms.as_ref());
    let retries = answer.retries.as_ref().map(|retries| retries.attempts);
    compare(&mut out, "retries", expect.retries.as_ref(), retries.as_ref());
    compare(&mut out, "mtls", expect.mtls.as_ref(), answer.mtls.as_ref());
    if let (false, why) = (out.is_empty(), &answer.why) {
        out.push(format!("because: {why}"));
    }
    out
}

fn compare<T: PartialEq + Debug + ?Sized>(out: &mut Vec<String>, what: &str, wanted: Option<&T>, got: Option<&T>) {
    if let Some(wanted) = wanted.filter(|wanted| got != Some(wanted)) {
        out.push(differs(what, &wanted, got));
    }
}

fn differs<W: Debug, G: Debug + ?Sized>(what: &str, wanted: &W, got: Option<&G>) -> String {
    let got = got.map_or_else(|| "none".to_owned(), |got| format!("{got:?}"));
    format!("{what}: expected {wanted:?}, got {got}")
}

fn is_backend(wanted: &ExpectedBackend, backend: &Backend) -> bool {
    let is_host = backend.host.as_ref().is_some_and(|host| {
        host.strip_prefix(&wanted.host).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    });
    is_host
        && wanted.port.is_none_or(|port| backend.port == Some(port))
        && wanted.subset.as_ref().is_none_or(|subset| backend.subset.as_ref() == Some(subset))
        && wanted.weight.is_none_or(|weight| backend.weight == weight)
}

/// What is `None` was not said; a host that is `None` does not exist.
fn shown_backend(host: Option<&str>, port: Option<u16>, subset: Option<&str>, weight: Option<u32>) -> String {
    let port = port.map(|port| format!(":{port}")).unwrap_or_default();
    let subset = subset.map(|subset| format!(" subset {subset}")).unwrap_or_default();
    let weight = weight.map(|weight| format!(" weight {weight}")).unwrap_or_default();
    format!("{}{port}{subset}{weight}", host.unwrap_or("nothing"))
}

fn property(verified: &Verified, test: &Test) -> Vec<String> {
    let Test::Property { code, subject, verdict, values, at_most, .. } = test else { return Vec::new() };
    if !RULES.iter().any(|rule| rule.code == code) {
        return vec![format!("no rule has the code `{code}`: see `meshproof rules`")];
    }
    let is_meant = |about: String| subject.as_ref().is_none_or(|wanted| *wanted == about);
    let found = verified.findings.iter().filter(|f| f.rule.code == code && is_meant(f.subject.to_string()));
    let proofs = verified.proofs.iter().filter(|p| p.rule.code == code && is_meant(p.subject.to_string()));
    let of = |finding: &meshproof_model::Finding| match finding.verdict {
        FindingVerdict::Violated | FindingVerdict::Lint => VerdictName::Violated,
        FindingVerdict::Unknown => VerdictName::Unknown,
        FindingVerdict::Vacuous => VerdictName::Vacuous,
    };
    let numbers: Vec<Value> = if *verdict == VerdictName::Holds {
        if let Some(first) = found.clone().next() {
            return vec![format!("expected Holds, got {:?}: {}", of(first), first.message)];
        }
        proofs.map(|proof| json!(proof.values)).collect()
    } else {
        found.clone().filter(|finding| of(finding) == *verdict).map(|finding| json!(finding.values)).collect()
    };
    if numbers.is_empty() {
        let got: Vec<String> = found.map(|finding| format!("{:?}: {}", of(finding), finding.message)).collect();
        let got = if got.is_empty() { "no such verdict".to_owned() } else { got.join("; ") };
        return vec![format!("expected {verdict:?}, got {got}")];
    }
    let fits = |numbers: &Value| values.iter().all(|(key, wanted)| numbers.get(key) == Some(wanted));
    if numbers.iter().any(fits) {
        return exceeded(at_most, &numbers);
    }
    let got = numbers.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ");
    vec![format!("values: expected {}, got {got}", json!(values))]
}

/// The numbers that are too high, or that a verdict does not have.
fn exceeded(at_most: &BTreeMap<String, f64>, numbers: &[Value]) -> Vec<String> {
    let mut out = Vec::new();
    for (key, limit) in at_most {
        for got in numbers.iter().map(|values| &values[key]) {
            if got.as_f64().is_none_or(|got| got > *limit) {
                out.push(format!("{key}: expected at most {limit}, got {got}"));
            }
        }
    }
    out
}

fn objective(project: &Project, test: &Test, threads: usize) -> Result<Vec<String>, InternalError> {
    let Test::Objective { scenario: asked, objectives, seed, replications, .. } = test else { return Ok(Vec::new()) };
    let options = SimOptions { seed: *seed, replications: *replications, threads, ..SimOptions::default() };
    let (mut scenario, mut options) = match project.ready(asked, options) {
        Ok(found) => found,
        Err(error) => return Ok(vec![error.to_string()]),
    };
    if !objectives.is_empty() {
        scenario.objectives.clone_from(objectives);
    }
    if scenario.objectives.is_empty() {
        return Ok(vec![format!("neither the test nor the scenario `{}` has an objective", options.name)]);
    }
    options.bounds = bounds_of_run(&project.imported.mesh, &scenario, &options)?;
    let run = match meshproof_sim::simulate(&project.imported.mesh, &scenario, &options) {
        Ok(run) => run,
        Err(error) => return Ok(vec![project.why_not(asked, &error)]),
    };
    if !run.internal_errors.is_empty() {
        return Err(InternalError::CheckerViolated(run.internal_errors));
    }
    let run = json!(run);
    let judged = run["objectives"].as_array().into_iter().flatten();
    let missed = judged.filter(|objective| objective["met"] != true);
    Ok(missed.map(|one| format!("missed: {}, observed {}", one["expression"], one["observed"])).collect())
}
