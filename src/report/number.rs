//! Numbers in reports.

use serde_json::{Number, Value};

/// `value` with so many decimals, so that the last bits of a sum do not show; null for what is no number.
pub(crate) fn rounded(value: f64, decimals: i32) -> Value {
    let scale = 10_f64.powi(decimals);
    Number::from_f64((value * scale).round() / scale).map_or(Value::Null, Value::Number)
}
