//! Cases whose shares are judged over many requests.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{entries, list, number};

/// Shares that are compared.
const SHARES: [&str; 5] = ["status", "flags", "attempts", "upstream_by_host", "upstream_by_cluster"];
/// The least margin of a share.
const MARGIN: f64 = 0.015;

pub(super) fn judge(case: &Value, observed: &Value) -> Vec<String> {
    let mut differences = Vec::new();
    for index in 0..list(&case["requests"]).len() {
        let runs: Vec<_> = list(&case["expected"]["runs"]).iter().map(|run| &run[index]).collect();
        let mut say = |text: String| differences.push(format!("req {index}: {text}"));
        request(case, &runs, &observed["requests"][index], &mut say);
    }
    differences
}

fn request(case: &Value, runs: &[&Value], got: &Value, say: &mut impl FnMut(String)) {
    let asked = runs.first().map_or(0.0, |run| number(&run["n"]));
    if number(&got["n"]) < 0.5 * asked {
        return say(format!("only {} requests, {asked} asked", got["n"]));
    }
    for field in SHARES {
        if got.get(field).is_none() {
            say(format!("{field} not reported"));
            continue;
        }
        shares(case, runs, got, field, say);
        chi_square(case, got, field, say);
    }
    gaps(&case["expected"], runs, &got["attempt_gap_ms"], say);
}

/// How often a value was counted.
fn count(counts: &Value, key: &str) -> f64 {
    counts.get(key).map_or(0.0, number)
}

fn total(counts: &Value) -> f64 {
    entries(counts).map(|(_, count)| number(count)).sum::<f64>().max(1.0)
}

fn shares(case: &Value, runs: &[&Value], got: &Value, field: &str, say: &mut impl FnMut(String)) {
    let tolerance = number(&case["fraction_tol"]);
    let (got, recorded) = (&got[field], runs.iter().map(|run| &run[field]).collect::<Vec<_>>());
    let keys: BTreeSet<_> =
        recorded.iter().copied().chain([got]).flat_map(|counts| entries(counts).map(|(key, _)| key)).collect();
    let all = total(got);
    let samples = f64::from(u32::try_from(recorded.len()).unwrap_or(1));
    for key in keys {
        let share = count(got, key) / all;
        let shares: Vec<_> = recorded.iter().map(|counts| count(counts, key) / total(counts)).collect();
        let mean = shares.iter().sum::<f64>() / samples;
        let variance = (mean * (1.0 - mean)).max(0.0) * (1.0 / all + 1.0 / (samples * all));
        let is_fixed = field == "upstream_by_host" && is_fixed_share(case);
        let margin = tolerance + if is_fixed { MARGIN } else { MARGIN.max(4.0 * variance.sqrt()) };
        let least = shares.iter().copied().fold(f64::INFINITY, f64::min);
        let most = shares.iter().copied().fold(0.0, f64::max);
        if !(least - margin..=most + margin).contains(&share) {
            say(format!("share of {field} {key:?}: expected {shares:.4?}, got {share:.4} (margin {margin:.3})"));
        }
    }
}

/// Whether shares by host are not a matter of chance: one cluster, one priority, round robin or a hash of a header.
fn is_fixed_share(case: &Value) -> bool {
    let [cluster] = list(&case["config"]["clusters"]) else { return false };
    if case["area"] == "slow_start_lb" || case["area"] == "admission" {
        return false;
    }
    let hosts = list(&cluster["hosts"]);
    let priorities: BTreeSet<_> = hosts.iter().map(|host| host["priority"].as_u64().unwrap_or(0)).collect();
    if priorities.len() > 1 || hosts.iter().any(|host| host["health"] == "degraded") {
        return false;
    }
    let is_hashed = || {
        let headers = list(&case["requests"]).iter().flat_map(|request| list(&request["headers"]));
        headers.into_iter().any(|header| header[1] == "k{i}")
    };
    match cluster["lb_policy"].as_str() {
        None | Some("round_robin") => true,
        Some("ring_hash" | "maglev") => is_hashed(),
        Some(_) => false,
    }
}

fn chi_square(case: &Value, got: &Value, field: &str, say: &mut impl FnMut(String)) {
    let fractions = &case["expected"]["fractions"];
    if fractions["field"] != field || case.get("fraction_tol").is_some() {
        return;
    }
    let got = &got[field];
    let all = total(got);
    let (mut sum, mut degrees) = (0.0, -1.0);
    for (key, share) in entries(&fractions["expected"]) {
        let expected = all * number(share);
        if expected > 0.0 {
            sum += (count(got, key) - expected).powi(2) / expected;
            degrees += 1.0;
        } else if count(got, key) > 0.0 {
            say(format!("{field} {key:?} must get nothing, got {}", count(got, key)));
        }
    }
    if degrees > 0.0 && sum > chi_square_limit(degrees) {
        say(format!("{field}: chi-square {sum:.1} > {:.1}", chi_square_limit(degrees)));
    }
}

/// The upper 0.1 % point of chi-square (Wilson and Hilferty's approximation).
fn chi_square_limit(degrees: f64) -> f64 {
    let part = 2.0 / (9.0 * degrees);
    degrees * (1.0 - part + 3.0902 * part.sqrt()).powi(3)
}

fn gaps(expected: &Value, runs: &[&Value], got: &Value, say: &mut impl FnMut(String)) {
    for (gap, bounds) in entries(&expected["attempt_gap_bounds_ms"]) {
        let Some(seen) = got.get(gap) else {
            say(format!("attempt_gap_ms[{gap}] not reported"));
            continue;
        };
        let (least, most) = (number(&bounds[0]), number(&bounds[1]));
        if number(&seen["min"]) < least || number(&seen["max"]) > most + 20.0 {
            say(format!("gap {gap} range {}..{} outside {least}..{most}", seen["min"], seen["max"]));
        }
        let means: Vec<_> = runs.iter().map(|run| number(&run["attempt_gap_ms"][gap]["mean"])).collect();
        let low = means.iter().copied().fold(f64::INFINITY, f64::min);
        let high = means.iter().copied().fold(0.0, f64::max);
        if !(0.8 * low - 5.0..=1.2 * high + 5.0).contains(&number(&seen["mean"])) {
            say(format!("gap {gap} mean {}, expected {means:?}", seen["mean"]));
        }
    }
}
