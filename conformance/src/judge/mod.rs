//! Whether an observation agrees with what was recorded, by the rules of the schema.
//!
//! The rules are those of `tests/envoy/rig/compare.py`; each difference is one line for people.

mod distribution;
mod exact;

use serde_json::Value;

/// Every difference between a case's recording and an observation; none: it passes.
pub fn judge(case: &Value, observed: &Value) -> Vec<String> {
    if case["kind"] == "distribution" { distribution::judge(case, observed) } else { exact::judge(case, observed) }
}

/// The elements of a list; of anything else, none.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The entries of an object; of anything else, none.
fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}
