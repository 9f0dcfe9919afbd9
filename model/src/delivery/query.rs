//! The queries by which releases are judged: the part of `PromQL` in which Istio's metrics are asked for.

use regex_automata::meta::Regex;

use super::token::{Reader, Token};
use crate::Nanos;

/// A query that a run can answer: numbers and sums over series, and arithmetic on them.
#[derive(Clone, Debug)]
pub enum Query {
    /// A number.
    Number(f64),
    /// Both sides, and a sign: `+`, `-`, `*` or `/`.
    Arithmetic(Box<Self>, &'static str, Box<Self>),
    /// The first, or where it has no value the second.
    Or(Box<Self>, Box<Self>),
    /// The sum over all series.
    Sum(Series),
    /// `histogram_quantile`, of the sum over all series.
    Quantile(f64, Series),
}

/// How series of a metric changed over a window.
#[derive(Clone, Debug)]
pub struct Series {
    /// Of what.
    pub metric: Metric,
    /// Which series; all of these hold.
    pub matchers: Vec<Matcher>,
    /// The last so much time.
    pub window: Nanos,
    /// What of the change.
    pub change: Change,
}

/// What Istio counts of requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// `istio_requests_total`, `istio_request_duration_milliseconds_count`.
    Requests,
    /// `istio_request_duration_milliseconds_bucket`.
    DurationBuckets,
    /// `istio_request_duration_milliseconds_sum`.
    DurationSum,
}

/// What of a counter's change is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// `rate`: per second over the window.
    Rate,
    /// `irate`: per second between the last two samples.
    Last,
    /// `increase`: over the window.
    Increase,
}

/// A condition on a label.
#[derive(Clone, Debug)]
pub struct Matcher {
    /// The label.
    pub label: String,
    is_negated: bool,
    pattern: Pattern,
}

#[derive(Clone, Debug)]
enum Pattern {
    Text(String),
    Regex(Regex),
}

/// Labels of Istio's metrics that a run knows.
const LABELS: [&str; 13] = [
    "reporter",
    "response_code",
    "destination_workload",
    "destination_workload_namespace",
    "destination_service",
    "destination_service_name",
    "destination_service_namespace",
    "destination_app",
    "destination_version",
    "destination_canonical_service",
    "destination_canonical_revision",
    "rollouts_pod_template_hash",
    "request_protocol",
];

impl Matcher {
    /// Whether a label of this value is meant; a label that is absent is empty.
    pub fn is(&self, value: &str) -> bool {
        let matches = match &self.pattern {
            Pattern::Text(text) => text == value,
            Pattern::Regex(regex) => regex.is_match(value),
        };
        matches != self.is_negated
    }
}

impl Query {
    /// Reads a query.
    ///
    /// # Errors
    /// If it asks for what a run does not know; the message says what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::new(text)?;
        let query = either(&mut reader)?;
        reader.end()?;
        Ok(query)
    }

    /// Every series that it asks for.
    pub fn series(&self) -> Vec<&Series> {
        match self {
            Self::Number(_) => Vec::new(),
            Self::Sum(series) | Self::Quantile(_, series) => vec![series],
            Self::Arithmetic(left, _, right) | Self::Or(left, right) => [left.series(), right.series()].concat(),
        }
    }
}

fn either(reader: &mut Reader) -> Result<Query, String> {
    let mut query = sum(reader)?;
    while reader.takes_name("or") {
        if reader.takes_name("on") {
            reader.expect("(")?;
            reader.expect(")")?;
        }
        query = Query::Or(Box::new(query), Box::new(sum(reader)?));
    }
    Ok(query)
}

fn sum(reader: &mut Reader) -> Result<Query, String> {
    let mut query = product(reader)?;
    while let Some(sign) = reader.takes_one(&["+", "-"]) {
        query = Query::Arithmetic(Box::new(query), sign, Box::new(product(reader)?));
    }
    Ok(query)
}

fn product(reader: &mut Reader) -> Result<Query, String> {
    let mut query = factor(reader)?;
    while let Some(sign) = reader.takes_one(&["*", "/"]) {
        query = Query::Arithmetic(Box::new(query), sign, Box::new(factor(reader)?));
    }
    Ok(query)
}

fn factor(reader: &mut Reader) -> Result<Query, String> {
    if reader.takes("-") {
        return Ok(Query::Arithmetic(Box::new(Query::Number(0.0)), "-", Box::new(factor(reader)?)));
    }
    if reader.takes("(") {
        return closed(reader, either);
    }
    let shown = reader.shown();
    match reader.next() {
        Some(Token::Number(value, unit)) if unit.is_empty() => Ok(Query::Number(value)),
        Some(Token::Name(name)) => match name.as_str() {
            "sum" => {
                by(reader)?;
                reader.expect("(")?;
                let query = closed(reader, either)?;
                by(reader)?;
                Ok(query)
            }
            "vector" | "scalar" => {
                reader.expect("(")?;
                closed(reader, either)
            }
            "histogram_quantile" => quantile(reader),
            "rate" => change(reader, Change::Rate),
            "irate" => change(reader, Change::Last),
            "increase" => change(reader, Change::Increase),
            _ => Err(format!("{shown} is not modelled")),
        },
        _ => Err(format!("{shown} is not modelled there")),
    }
}

/// What stands before a closing bracket.
fn closed(reader: &mut Reader, inner: fn(&mut Reader) -> Result<Query, String>) -> Result<Query, String> {
    let query = inner(reader)?;
    reader.expect(")")?;
    Ok(query)
}

/// `by (le)`: buckets stay apart. Other labels would give several values.
fn by(reader: &mut Reader) -> Result<(), String> {
    if !reader.takes_name("by") {
        return Ok(());
    }
    reader.expect("(")?;
    let is_le = reader.takes_name("le");
    if !is_le && !matches!(reader.peek(), Some(Token::Sign(")"))) {
        return Err(format!("`sum by ({})` is not modelled", reader.shown()));
    }
    reader.expect(")")
}

fn quantile(reader: &mut Reader) -> Result<Query, String> {
    reader.expect("(")?;
    let Some(Token::Number(quantile, _)) = reader.next() else {
        return Err("`histogram_quantile` takes a number first".to_owned());
    };
    reader.expect(",")?;
    match closed(reader, either)? {
        Query::Sum(series) if series.metric == Metric::DurationBuckets => Ok(Query::Quantile(quantile, series)),
        _ => Err("`histogram_quantile` of what are no buckets is not modelled".to_owned()),
    }
}

fn change(reader: &mut Reader, change: Change) -> Result<Query, String> {
    reader.expect("(")?;
    let shown = reader.shown();
    let Some(Token::Name(name)) = reader.next() else { return Err(format!("{shown} is no metric")) };
    let metric = match name.as_str() {
        "istio_requests_total" | "istio_request_duration_milliseconds_count" => Metric::Requests,
        "istio_request_duration_milliseconds_bucket" => Metric::DurationBuckets,
        "istio_request_duration_milliseconds_sum" => Metric::DurationSum,
        _ => return Err(format!("the metric `{name}` is not modelled")),
    };
    let matchers = if reader.takes("{") { matchers(reader)? } else { Vec::new() };
    reader.expect("[")?;
    let window = window(reader)?;
    reader.expect("]")?;
    reader.expect(")")?;
    Ok(Query::Sum(Series { metric, matchers, window, change }))
}

fn window(reader: &mut Reader) -> Result<Nanos, String> {
    let shown = reader.shown();
    let error = || format!("{shown} is no window");
    let Some(Token::Number(value, unit)) = reader.next() else { return Err(error()) };
    duration(&format!("{value}{unit}")).filter(|window| !window.is_zero()).ok_or_else(error)
}

/// A duration as Prometheus writes it: `90s`, `1m30s`, `1d`.
fn duration(text: &str) -> Option<Nanos> {
    let mut rest = text;
    let mut seconds: u64 = 0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let unit = &rest[digits..];
        let (length, each) = match unit.as_bytes().first()? {
            b'm' if unit.starts_with("ms") => return None,
            b's' => (1, 1),
            b'm' => (1, 60),
            b'h' => (1, 3600),
            b'd' => (1, 86_400),
            b'w' => (1, 604_800),
            _ => return None,
        };
        seconds = seconds.checked_add(number.checked_mul(each)?)?;
        rest = &unit[length..];
    }
    Some(Nanos::from_secs(seconds))
}

fn matchers(reader: &mut Reader) -> Result<Vec<Matcher>, String> {
    let mut found = Vec::new();
    while !reader.takes("}") {
        let shown = reader.shown();
        let Some(Token::Name(label)) = reader.next() else { return Err(format!("{shown} is no label")) };
        if !LABELS.contains(&label.as_str()) {
            return Err(format!("the label `{label}` is not modelled"));
        }
        let sign = reader.takes_one(&["=~", "!~", "!=", "="]).ok_or_else(|| format!("`{label}` is not compared"))?;
        let Some(Token::Text(text)) = reader.next() else { return Err(format!("`{label}` is compared with a text")) };
        let pattern = if sign.ends_with('~') {
            let regex = Regex::new(&format!("^(?:{text})$"));
            Pattern::Regex(regex.map_err(|_| format!("`{text}` is no regular expression"))?)
        } else {
            Pattern::Text(text)
        };
        found.push(Matcher { label, is_negated: sign.starts_with('!'), pattern });
        reader.takes(",");
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

    use super::*;

    #[test]
    fn queries_of_istio_are_read() {
        let selector = r#"{reporter="destination",destination_workload=~"api",response_code!~"5.*"}"#;
        for (text, series) in [
            (format!("sum(rate(istio_requests_total{selector}[1m]))"), 1),
            (
                format!(
                    "sum(irate(istio_requests_total{selector}[30s])) / sum(irate(istio_requests_total[30s])) * 100"
                ),
                2,
            ),
            (
                "histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket{}[2m])) by (le)) / 1000"
                    .to_owned(),
                1,
            ),
            (
                "histogram_quantile(0.5, sum by (le) (rate(istio_request_duration_milliseconds_bucket[90s])))"
                    .to_owned(),
                1,
            ),
            ("(1 - sum(increase(istio_requests_total[1m]))) or on() vector(0)".to_owned(), 1),
        ] {
            assert_eq!(Query::parse(&text).map(|query| query.series().len()), Ok(series), "{text}");
        }
        let query = Query::parse(&format!("sum(rate(istio_requests_total{selector}[90s]))")).unwrap();
        let matchers = &query.series()[0].matchers;
        let (reporter, workload, code) = (&matchers[0], &matchers[1], &matchers[2]);
        assert_eq!(query.series()[0].window, Nanos::from_secs(90));
        assert!(reporter.is("destination") && !reporter.is("source"));
        assert!(workload.is("api") && !workload.is("api-primary"), "regular expressions match the whole value");
        assert!(code.is("200") && code.is("404") && !code.is("503") && code.is(""));
    }

    #[test]
    fn what_is_not_modelled_is_named() {
        for (text, expect) in [
            ("max_over_time(x[1m])", "`max_over_time` is not modelled"),
            ("sum(rate(http_requests_total[1m]))", "the metric `http_requests_total` is not modelled"),
            ("sum(rate(istio_requests_total{pod=\"x\"}[1m]))", "the label `pod` is not modelled"),
            ("sum(rate(istio_requests_total[1m])) by (pod)", "`sum by (`pod`)` is not modelled"),
            ("sum(rate(istio_requests_total[1m])) > 1", "`>` is not modelled there"),
            ("sum(rate(istio_requests_total[x]))", "`x` is no window"),
            (
                "histogram_quantile(0.9, sum(rate(istio_requests_total[1m])))",
                "`histogram_quantile` of what are no buckets is not modelled",
            ),
            ("sum(rate(istio_requests_total{reporter=\"x}[1m]))", "a quote is not closed"),
        ] {
            assert_eq!(Query::parse(text).map(|_| ()).unwrap_err(), expect, "{text}");
        }
    }
}
