//! Cases in, observations out.

use std::io::{self, Read, Write};

use serde_json::{Value, json};

use crate::{
    case::{Case, Ports},
    drive::{self, World},
    observe,
};

/// Why a replay could not be done as a whole.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The input is not a JSON array.
    #[error("the input is not a JSON array of cases")]
    NotCases(#[from] serde_json::Error),
    /// The cases could not be read or the observations could not be written.
    #[error("cannot read the cases or write the observations")]
    Io(#[from] io::Error),
}

/// Replays a JSON array of cases and writes one JSON object a line (`envoy/SCHEMA.md`, "CLI contract").
///
/// A case that cannot be replayed is answered with `{"id", "unsupported"}`. The same input gives the same bytes.
///
/// # Errors
/// If the input is not a JSON array, or reading or writing fails.
pub fn replay(mut input: impl Read, mut output: impl Write) -> Result<(), ReplayError> {
    let mut text = String::new();
    input.read_to_string(&mut text)?;
    let cases: Vec<Value> = serde_json::from_str(&text)?;
    for case in &cases {
        serde_json::to_writer(&mut output, &replay_case(case))?;
        output.write_all(b"\n")?;
    }
    Ok(())
}

/// Replays one case: `{"id", "observed"}`, or `{"id", "unsupported"}`.
pub fn replay_case(case: &Value) -> Value {
    match observe_case(case) {
        Ok(observed) => json!({ "id": case["id"], "observed": observed }),
        Err(reason) => json!({ "id": case["id"], "unsupported": reason }),
    }
}

fn observe_case(case: &Value) -> Result<Value, String> {
    let mut case = case.clone();
    if let Some(case) = case.as_object_mut() {
        case.remove("expected");
        case.remove("rig_notes");
    }
    let case: Case = serde_json::from_value(case).map_err(|error| error.to_string())?;
    case.bounded()?;
    let mut ports = Ports::new();
    let lowering = |error: crate::case::LowerError| error.to_string();
    let mut configs = vec![("main".to_owned(), case.config.lower(&mut ports).map_err(lowering)?)];
    for (name, proxy) in &case.config.proxies {
        configs.push((name.clone(), case.config.lower_further(name, proxy, &mut ports).map_err(lowering)?));
    }
    let mut world = World::new(&case, configs, drive::seed(&case.id))?;
    let mut stats = None;
    world.run(|world| stats = Some(observe::stats(world)))?;
    Ok(json!({ "requests": observe::requests(&world), "stats": stats.unwrap_or_default() }))
}
