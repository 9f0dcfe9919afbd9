//! Cases whose answer is known: closed forms of queueing theory, algebra of retries, published metastable failures.
//!
//! A case names parameters and a metric. The parameters become a mesh and a scenario (`system`, `files`), whatever
//! the case is called, and the metric is read from a run of the real engine (`reading`); what asks for a threshold
//! is searched for by bisection (`search`), and what hardly ever happens is made frequent and weighed (`rare`).

mod files;
mod parameters;
mod rare;
mod reading;
mod search;
mod system;

use std::io::{self, Read, Write};

use parameters::Parameters;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::analytic::system::System;

/// How much work an answer may cost.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// BOUND: requests of clients in all runs for one number.
    pub requests: f64,
    /// Threads; 0: as many as there are cores.
    pub threads: usize,
}

impl Default for Effort {
    /// Sixty million requests: enough for a tolerance of one percent.
    fn default() -> Self {
        Self { requests: 6e7, threads: 0 }
    }
}

/// One case with a closed form.
#[derive(Clone, Debug, Deserialize)]
struct Case {
    id: String,
    parameters: Parameters,
    metric: String,
    expected: Option<f64>,
    tolerance: Option<f64>,
    #[serde(default)]
    tolerance_kind: Tolerance,
}

/// How far from the truth an answer may lie.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Tolerance {
    #[default]
    Relative,
    Absolute,
    Exact,
}

/// A number that a case asks for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
struct Answer {
    observed: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    interval: Option<[f64; 2]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replications: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    requests: Option<u64>,
}

/// Answers a JSON array of cases, or an object with the arrays `cases` and `metastable_cases`: one JSON object a line.
///
/// # Errors
/// If the input is not such JSON, or reading or writing fails.
pub fn answer(mut input: impl Read, mut output: impl Write, effort: Effort) -> io::Result<()> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let document: Value = serde_json::from_str(&text)?;
    let lists = match &document {
        Value::Array(cases) => vec![cases],
        other => ["cases", "metastable_cases"].iter().filter_map(|name| other[name].as_array()).collect(),
    };
    for case in lists.into_iter().flatten() {
        serde_json::to_writer(&mut output, &answer_case(case, effort))?;
        output.write_all(b"\n")?;
        output.flush()?;
    }
    Ok(())
}

/// The answer to one case, of either kind: `{"id", "observed", ...}`, `{"id", "runs": [...]}` or
/// `{"id", "unsupported"}`.
pub fn answer_case(case: &Value, effort: Effort) -> Value {
    let answered = if case["runs"].is_array() { answer_runs(case, effort) } else { answer_one(case, effort) };
    let mut line = Map::new();
    line.insert("id".to_owned(), case["id"].clone());
    match answered {
        Ok(more) => line.extend(more),
        Err(reason) => {
            line.insert("unsupported".to_owned(), reason.into());
        }
    }
    Value::Object(line)
}

fn answer_one(case: &Value, effort: Effort) -> Result<Map<String, Value>, String> {
    let case: Case = serde_json::from_value(case.clone()).map_err(|error| error.to_string())?;
    let answer = number(&case, effort).map_err(|error| format!("{}: {error}", case.id))?;
    let mut line = as_map(&answer)?;
    line.insert("metric".to_owned(), case.metric.clone().into());
    if let (Some(expected), Some(observed)) = (case.expected, answer.observed) {
        line.insert("expected".to_owned(), expected.into());
        line.insert("within".to_owned(), case.accepts(expected, observed).into());
    }
    Ok(line)
}

fn number(case: &Case, effort: Effort) -> Result<Answer, String> {
    let parameters = &case.parameters;
    if let (Some(n), Some(k), Some(p)) = (parameters.n, parameters.k, parameters.p_up) {
        let observed = Some(meshproof_verifier::availability(n, k, p));
        return Ok(Answer { observed, ..Answer::default() });
    }
    let reading = reading::Reading::of(&case.metric, parameters)?;
    if reading == reading::Reading::LowestSustained {
        return search::lowest_sustained(parameters, effort);
    }
    let mut system = System::new(parameters)?;
    if case.tolerance_kind == Tolerance::Exact {
        system.count_all();
    }
    if reading == reading::Reading::RequestsPerEjection && rare::is_rare(&system, effort) {
        return rare::requests_per_ejection(&system, case.precision(), effort);
    }
    reading.answer(&system, case.precision(), effort)
}

impl Case {
    /// The half-width of the interval, as a part of the number, with which a run may stop: half of what is allowed.
    fn precision(&self) -> Option<f64> {
        match (self.tolerance_kind, self.tolerance) {
            (Tolerance::Relative, Some(tolerance)) if tolerance > 0.0 => Some(tolerance / 2.0),
            (Tolerance::Absolute, Some(tolerance)) => {
                self.expected.filter(|expected| *expected > 0.0).map(|expected| tolerance / 2.0 / expected)
            }
            _ => None,
        }
    }

    fn accepts(&self, expected: f64, observed: f64) -> bool {
        let tolerance = self.tolerance.unwrap_or(0.0);
        let allowed = match self.tolerance_kind {
            Tolerance::Relative => tolerance * expected.abs(),
            Tolerance::Absolute => tolerance,
            Tolerance::Exact => 0.0,
        };
        (observed - expected).abs() <= allowed
    }
}

/// The runs of a metastable failure: each with the parameters of the model and its own.
fn answer_runs(case: &Value, effort: Effort) -> Result<Map<String, Value>, String> {
    let mut runs = Vec::new();
    for run in case["runs"].as_array().into_iter().flatten() {
        let mut parameters = case["model"].as_object().cloned().unwrap_or_default();
        parameters.extend(run.as_object().cloned().unwrap_or_default());
        for outcome in search::OUTCOMES {
            parameters.remove(outcome);
        }
        let parameters: Parameters =
            serde_json::from_value(Value::Object(parameters)).map_err(|error| error.to_string())?;
        let mut line = run.as_object().cloned().unwrap_or_default();
        line.insert("observed".to_owned(), Value::Object(search::run(&parameters, effort)?));
        runs.push(Value::Object(line));
    }
    as_map(&json!({ "runs": runs }))
}

fn as_map(value: &impl Serialize) -> Result<Map<String, Value>, String> {
    match serde_json::to_value(value) {
        Ok(Value::Object(map)) => Ok(map),
        _ => Err("no object".to_owned()),
    }
}
