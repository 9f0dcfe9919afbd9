//! Cases whose every request is judged.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{entries, list, number};

/// Fields that must be equal where the recording has them.
const PLAIN: [&str; 20] = [
    "status",
    "client_aborted",
    "client_saw_reset",
    "attempts",
    "route",
    "cluster",
    "hosts",
    "upstream_path",
    "upstream_method",
    "upstream_headers",
    "upstream_headers_each_attempt",
    "response_headers",
    "body",
    "transport_failure",
    "response_trailers",
    "body_bytes",
    "client_reset_code",
    "upstream_connections",
    "upstream_reset_by_proxy",
    "grpc_status_logged",
];
/// Fields for which a recording may allow several values.
const ALTERNATIVES: [&str; 6] = ["status", "attempts", "hosts", "cluster", "route", "details"];

pub(super) fn judge(case: &Value, observed: &Value) -> Vec<String> {
    let expected = &case["expected"];
    let (want, got) = (list(&expected["requests"]), list(&observed["requests"]));
    if want.len() != got.len() {
        return vec![format!("{} request observations, expected {}", got.len(), want.len())];
    }
    let mut differences = Vec::new();
    for (index, (want, got)) in want.iter().zip(got).enumerate() {
        let mut say = |text: String| differences.push(format!("req {index}: {text}"));
        request(want, got, &mut say);
        times(want, got, &mut say);
        proxies(&want["proxies"], &got["proxies"], &mut say);
    }
    hosts(case, want, got, &mut differences);
    totals(&expected["totals"], got, &mut differences);
    for (name, want) in entries(&expected["stats"]) {
        let zero = json!(0);
        let got = observed["stats"].get(name).unwrap_or(&zero);
        if !allows(want, got) {
            differences.push(format!("stat {name}: expected {want}, got {got}"));
        }
    }
    differences
}

/// A recorded value, or one of several.
fn allows(want: &Value, got: &Value) -> bool {
    match want.get("any_of") {
        Some(any) => list(any).contains(got),
        None => want == got,
    }
}

fn request(want: &Value, got: &Value, say: &mut impl FnMut(String)) {
    for field in PLAIN {
        let seen = got.get(field).cloned();
        match want.get(field) {
            Some(want) => {
                let seen = seen.unwrap_or(if want.is_boolean() { json!(false) } else { Value::Null });
                if seen != *want {
                    say(format!("{field}: expected {want}, got {seen}"));
                }
            }
            None if matches!(field, "client_aborted" | "client_saw_reset") && seen == Some(json!(true)) => {
                say(format!("{field}: expected false, got true"));
            }
            None => {}
        }
    }
    for field in ALTERNATIVES {
        if let Some(any) = want.get(format!("{field}_any_of"))
            && !list(any).contains(&got[field])
        {
            say(format!("{field}: expected one of {any}, got {}", got[field]));
        }
    }
    if let Some(want) = want.get("details")
        && *want != got["details"]
    {
        say(format!("details: expected {want}, got {}", got["details"]));
    }
    let flags = sorted(&got["flags"]);
    if let Some(want) = want.get("flags")
        && *want != flags
    {
        say(format!("flags: expected {want}, got {flags}"));
    }
    if let Some(any) = want.get("flags_any_of")
        && !list(any).contains(&flags)
    {
        say(format!("flags: expected one of {any}, got {flags}"));
    }
    if let Some(want) = want.get("host_attempts")
        && *want != json!(list(&got["hosts"]).len())
    {
        say(format!("number of attempts seen upstream: expected {want}, got {}", got["hosts"]));
    }
}

fn sorted(values: &Value) -> Value {
    let mut values: Vec<_> = list(values).to_vec();
    values.sort_by_key(Value::to_string);
    Value::Array(values)
}

/// Whether a time lies in `lo..=hi`.
fn is_within(bounds: &Value, time: &Value) -> bool {
    time.is_number() && (number(&bounds["lo"])..=number(&bounds["hi"])).contains(&number(time))
}

fn times(want: &Value, got: &Value, say: &mut impl FnMut(String)) {
    if let Some(bounds) = want.get("time_ms")
        && !is_within(bounds, &got["time_ms"])
    {
        say(format!("time_ms: expected {}..{}, got {}", bounds["lo"], bounds["hi"], got["time_ms"]));
    }
    let Some(want) = want.get("attempt_ms") else { return };
    let (want, got) = (list(want), list(&got["attempt_ms"]));
    if want.len() != got.len() {
        return say(format!("attempt_ms: expected {} values, got {}", want.len(), json!(got)));
    }
    for (index, (bounds, got)) in want.iter().zip(got).enumerate() {
        if !is_within(bounds, got) {
            say(format!("attempt_ms[{index}]: expected {}..{}, got {got}", bounds["lo"], bounds["hi"]));
        }
    }
}

fn proxies(want: &Value, got: &Value, say: &mut impl FnMut(String)) {
    for (name, want) in entries(want) {
        let (want, seen) = (list(want), list(&got[name]));
        if want.len() != seen.len() || got.get(name).is_none() {
            say(format!("requests at proxy {name}: expected {}, got {}", want.len(), seen.len()));
            continue;
        }
        for (index, (want, got)) in want.iter().zip(seen).enumerate() {
            for (field, want) in entries(want) {
                let plain = field.strip_suffix("_any_of").unwrap_or(field);
                let seen = if plain == "flags" { sorted(&got[plain]) } else { got[plain].clone() };
                let holds = match field {
                    "time_ms" => is_within(want, &seen),
                    _ if plain != field => list(want).contains(&seen),
                    _ => *want == seen,
                };
                if !holds {
                    say(format!("proxies.{name}[{index}].{plain}: expected {want}, got {seen}"));
                }
            }
        }
    }
}

/// What is said of the hosts of all requests together.
fn hosts(case: &Value, want: &[Value], got: &[Value], differences: &mut Vec<String>) {
    let Some(first) = want.first() else { return };
    let seen: Vec<_> = got.iter().map(|request| list(&request["hosts"])).collect();
    let mut all: Vec<_> = seen.iter().copied().flatten().cloned().collect();
    if first.get("hosts_rotation").is_some() {
        let names: Vec<_> = list(&case["config"]["clusters"][0]["hosts"]).iter().map(|host| &host["name"]).collect();
        let place = |host: &Value| names.iter().position(|name| *name == host);
        let start = all.first().and_then(place).unwrap_or(0);
        let turn = |host: &Value| match place(host) {
            Some(index) => json!((index + names.len() - start) % names.len()),
            None => host.clone(),
        };
        let turned: Vec<_> = seen.iter().map(|hosts| hosts.iter().map(turn).collect()).map(Value::Array).collect();
        let wanted: Vec<_> = want.iter().map(|request| request["hosts_rotation"].clone()).collect();
        if turned != wanted {
            differences.push(format!("hosts up to rotation: expected {}, got {}", json!(wanted), json!(turned)));
        }
    }
    all.sort_by_key(Value::to_string);
    if let Some(want) = first.get("all_hosts_sorted")
        && *want != json!(all)
    {
        differences.push(format!("multiset of hosts: expected {want}, got {}", json!(all)));
    }
    all.dedup();
    if let Some(want) = first.get("host_set")
        && *want != json!(all)
    {
        differences.push(format!("set of hosts: expected {want}, got {}", json!(all)));
    }
    if first.get("hosts_constant") == Some(&json!(true)) && all.len() != 1 {
        differences.push(format!("expected one constant host, got {}", json!(all)));
    }
}

fn totals(want: &Value, got: &[Value], differences: &mut Vec<String>) {
    for (name, want) in entries(want) {
        let mut counts = BTreeMap::<String, u64>::new();
        for request in got {
            for value in total_values(name, request) {
                *counts.entry(value).or_default() += 1;
            }
        }
        let seen = if name == "host_counts_sorted" {
            let mut counts: Vec<_> = counts.into_values().collect();
            counts.sort_unstable();
            json!(counts)
        } else {
            json!(counts)
        };
        if !allows(want, &seen) {
            differences.push(format!("totals.{name}: expected {want}, got {seen}"));
        }
    }
}

fn total_values(name: &str, request: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match name {
        "status" => vec![request["status"].as_u64().unwrap_or(0).to_string()],
        "attempts" => vec![request["attempts"].as_u64().unwrap_or(0).to_string()],
        "flags" => vec![list(&sorted(&request["flags"])).iter().map(text).collect::<Vec<_>>().join(",")],
        _ => list(&request["hosts"]).iter().map(text).collect(),
    }
}
