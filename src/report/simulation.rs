//! What `simulate` and `compare` print. The tables are views of the JSON, so that both say the same.

use std::fmt::Write as _;

use serde_json::Value as Json;
use tabled::{
    builder::Builder,
    settings::{Alignment, Style, object::Columns},
};

/// Columns of a table: the heading, and the way to the figure in the JSON.
type Figures = &'static [(&'static str, &'static str, Unit)];

/// How a figure is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unit {
    /// As it is.
    Plain,
    /// A share of one, as a percentage.
    Share,
    /// Milliseconds.
    Millis,
    /// Milliseconds, as seconds.
    Seconds,
    /// A name.
    Text,
    /// A map of counts.
    Counts,
}

const CLIENTS: Figures = &[
    ("client", "name", Unit::Text),
    ("requests", "requests", Unit::Plain),
    ("success", "success_ratio", Unit::Share),
    ("p50", "latency_ms.p50", Unit::Millis),
    ("p90", "latency_ms.p90", Unit::Millis),
    ("p99", "latency_ms.p99", Unit::Millis),
    ("p99.9", "latency_ms.p999", Unit::Millis),
    ("goodput rps", "goodput_rps", Unit::Plain),
];

const SERVICES: Figures = &[
    ("service", "name", Unit::Text),
    ("requests", "requests", Unit::Plain),
    ("attempts", "attempts", Unit::Plain),
    ("per request", "attempts_per_request", Unit::Plain),
    ("ok", "ok_ratio", Unit::Share),
    ("p50", "latency_ms.p50", Unit::Millis),
    ("p99", "latency_ms.p99", Unit::Millis),
    ("busy", "utilisation", Unit::Share),
    ("queue", "queue_max", Unit::Plain),
    ("retries", "retries", Unit::Plain),
    ("retry overflow", "retry_overflow", Unit::Plain),
    ("breaker", "breaker_overflow", Unit::Plain),
    ("ejected", "ejections", Unit::Plain),
    ("flags", "flags", Unit::Counts),
];

const DIFFERENCES: Figures = &[
    ("figure", "name", Unit::Text),
    ("base", "base", Unit::Plain),
    ("head", "head", Unit::Plain),
    ("difference", "difference", Unit::Plain),
    ("95 % interval", "interval", Unit::Plain),
];

/// The run for people: clients, services, objectives, warnings, the digest.
pub fn run_table(run: &Json) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "{}", table(CLIENTS, &run["clients"]));
    let _ = writeln!(out, "{}", table(SERVICES, &run["services"]));
    for release in list(&run["releases"]) {
        let _ = writeln!(out, "{}", course(release, &run["rollout"]));
    }
    for objective in list(&run["objectives"]) {
        let mark = if objective["met"] == true { "met   " } else { "MISSED" };
        let observed = match &objective["observed"] {
            // What a witness must show is shown or not: there is no figure to it.
            _ if !is_compared(text(&objective["expression"])) => String::new(),
            Json::Null => String::new(),
            Json::String(text) => format!(" (observed {text})"),
            value => format!(" (observed {})", in_unit_of(text(&objective["expression"]), value)),
        };
        let _ = writeln!(out, "{mark} {}{observed}", text(&objective["expression"]));
    }
    for warning in list(&run["warnings"]) {
        let _ = writeln!(out, "warning: {}", text(warning));
    }
    let _ = write!(
        out,
        "scenario {}, seed {}, {} simulated s, {} events, {} client requests",
        text(&run["scenario"]),
        run["seed"],
        shown(&run["simulated_s"], Unit::Plain),
        shown(&run["events"], Unit::Plain),
        shown(&run["client_requests"], Unit::Plain),
    );
    if !run["wall_s"].is_null() {
        let _ = write!(out, ", {} s", shown(&run["wall_s"], Unit::Plain));
    }
    let _ = writeln!(out, "\ndigest {}", text(&run["digest"]));
    out
}

/// Whether an objective is about a figure: `browser.p99 < 300ms`, `recovers within 10s`.
fn is_compared(expression: &str) -> bool {
    expression.contains(['<', '>']) || expression.starts_with("recovers")
}

/// What was observed, in the unit of the objective's quantity: `< 300ms` is a time, `> 99.9%` a share.
fn in_unit_of(expression: &str, observed: &Json) -> String {
    // How long a recovery took is told in seconds, all other times in milliseconds.
    if expression.starts_with("recovers") {
        return format!("{} s", shown(observed, Unit::Plain));
    }
    let unit = match expression.rsplit(|c: char| c.is_ascii_digit() || c == '.').next() {
        Some("%") => Unit::Share,
        Some("ns" | "us" | "ms" | "s" | "m" | "h") => Unit::Millis,
        _ => Unit::Plain,
    };
    shown(observed, unit)
}

/// What differs between two meshes under the same draws, for people. Figures that are the same are left out.
pub fn comparison_table(comparison: &Json) -> String {
    let mut out = String::new();
    let differs = |figure: &&Json| figure["difference"].as_f64().is_none_or(|difference| difference != 0.0);
    let differing: Vec<Json> = list(&comparison["figures"]).filter(differs).cloned().collect();
    let same = list(&comparison["figures"]).count() - differing.len();
    if !differing.is_empty() {
        let _ = writeln!(out, "{}", table(DIFFERENCES, &Json::Array(differing)));
    }
    let _ = writeln!(out, "{same} figures are the same");
    let tipping = &comparison["tipping"];
    if tipping["base"]["value"] != 0.0 || tipping["head"]["value"] != 0.0 {
        let side = |name: &str| {
            let of = |end: &str| shown(&tipping[name][end], Unit::Share);
            format!("{} [{}, {}]", of("value"), of("lo"), of("hi"))
        };
        let _ = writeln!(out, "runs that end in a collapse: {} before, {} after", side("base"), side("head"));
    }
    for change in list(&comparison["configuration"]) {
        let value = |side: &str| change[side].as_str().map_or_else(|| "nothing".to_owned(), |text| format!("`{text}`"));
        let _ = writeln!(out, "changed: {}: {} -> {}", text(&change["leaf"]), value("before"), value("after"));
    }
    for warning in list(&comparison["warnings"]) {
        let _ = writeln!(out, "warning: {}", text(warning));
    }
    let _ = writeln!(
        out,
        "scenario {}, seed {}, {} paired runs\ndigests {} and {}",
        text(&comparison["scenario"]),
        comparison["seed"],
        comparison["replications"],
        text(&comparison["base_digest"]),
        text(&comparison["head_digest"]),
    );
    out
}

/// What has become of a release, and its course in the first run: checks that were good are left out.
fn course(release: &Json, rollout: &Json) -> String {
    let name = &release["name"];
    let figure = |name: &str, unit: Unit| shown(&release[name], unit);
    let mut out = format!(
        "release {}: promoted {}, rolled back {}, at most {}, exposed {}, took {}",
        text(name),
        figure("promoted", Unit::Plain),
        figure("rolled_back", Unit::Plain),
        figure("weight_max", Unit::Share),
        figure("exposed_ms", Unit::Seconds),
        figure("took_ms", Unit::Seconds),
    );
    for entry in
        list(rollout).filter(|entry| &entry["release"] == name && !text(&entry["reason"]).ends_with(" is good"))
    {
        let gate = entry["gate"].as_str().map_or_else(String::new, |gate| format!("{gate}: "));
        let at = entry["at_s"].as_f64().unwrap_or_default();
        let _ = write!(out, "\n{at:10.1} s  {gate}{}", text(&entry["reason"]));
    }
    out
}

fn table(columns: Figures, rows: &Json) -> String {
    let mut builder = Builder::default();
    builder.push_record(columns.iter().map(|(heading, _, _)| *heading));
    for row in list(rows) {
        builder.push_record(columns.iter().map(|(_, path, unit)| {
            let value = path.split('.').fold(row, |value, key| &value[key]);
            shown(value, *unit)
        }));
    }
    let mut table = builder.build();
    table.with(Style::sharp());
    for (index, (_, _, unit)) in columns.iter().enumerate() {
        if !matches!(unit, Unit::Text | Unit::Counts) {
            table.modify(Columns::one(index), Alignment::right());
        }
    }
    table.to_string()
}

/// A figure; of replicated runs its value with half the width of its interval.
fn shown(value: &Json, unit: Unit) -> String {
    match value {
        Json::Null => "-".to_owned(),
        Json::String(text) => text.clone(),
        Json::Object(map) if unit == Unit::Counts => {
            let counts = map.iter().map(|(name, count)| format!("{name} {}", shown(count, Unit::Plain)));
            counts.collect::<Vec<_>>().join(", ")
        }
        Json::Object(map) => match (map.get("value"), map.get("lo"), map.get("hi")) {
            (Some(value), Some(lo), Some(hi)) => {
                let half = (hi.as_f64().unwrap_or_default() - lo.as_f64().unwrap_or_default()) / 2.0;
                format!("{} ± {}", shown(value, unit), number(half, unit))
            }
            _ => value.to_string(),
        },
        Json::Array(pair) => {
            format!("[{}]", pair.iter().map(|end| shown(end, unit)).collect::<Vec<_>>().join(", "))
        }
        Json::Number(figure) => match (figure.as_u64(), figure.as_f64()) {
            (Some(whole), _) if unit == Unit::Plain => grouped(whole),
            (_, Some(x)) => number(x, unit),
            _ => figure.to_string(),
        },
        Json::Bool(_) => value.to_string(),
    }
}

fn number(value: f64, unit: Unit) -> String {
    match unit {
        Unit::Share => format!("{:.3} %", value * 100.0),
        Unit::Millis => format!("{value:.1} ms"),
        Unit::Seconds => format!("{:.1} s", value / 1000.0),
        _ => format!("{value:.3}"),
    }
}

/// `1234567` as `1,234,567`.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

fn list(value: &Json) -> impl Iterator<Item = &Json> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Json) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn figures_are_shown_in_their_units() {
        let table = [
            (json!(1_234_567), Unit::Plain, "1,234,567"),
            (json!(12), Unit::Plain, "12"),
            (json!(0.99912), Unit::Share, "99.912 %"),
            (json!(12.34), Unit::Millis, "12.3 ms"),
            (json!(null), Unit::Plain, "-"),
            (json!({"value": 0.5, "lo": 0.4, "hi": 0.6}), Unit::Share, "50.000 % ± 10.000 %"),
            (json!({"UO": 3, "UT": 1200}), Unit::Counts, "UO 3, UT 1,200"),
        ];
        for (value, unit, expect) in table {
            assert_eq!(shown(&value, unit), expect);
        }
    }
}
