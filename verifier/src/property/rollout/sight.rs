//! What a check says of a version that fails some share of its requests, as far as its query tells: shares of requests
//! by their status code, and conditions on them (`AR-5`, `FL-4`).
//!
//! A query is read as a fraction of two numbers of requests that are linear in the share `e` that fails; of a fraction
//! like that the value moves one way while `e` does. A condition changes its mind at its own numbers only, so that the
//! values at both ends, at these numbers and next to them say all. A query of anything else says nothing of failures.

use std::ops::RangeInclusive;

use meshproof_model::delivery::{AnalysisMetric, CanaryMetric, Condition, Measurement, Metric, Query, Series, Term};

/// What every measurement of a version comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sight {
    /// Each fails.
    Fails,
    /// Each succeeds.
    Passes,
    /// Some succeed and some fail, as it pleases the version.
    Either,
    /// Some are neither, so that a person is asked.
    Asks,
    /// It does not follow from the share of failures.
    Unknown,
}

/// Of a metric of Argo Rollouts, for any share of failures in a range.
pub(super) fn of_metric(metric: &AnalysisMetric, args: &[(String, String)], failing: &RangeInclusive<f64>) -> Sight {
    if metric.success_condition.is_none() && metric.failure_condition.is_none() {
        return Sight::Passes;
    }
    let Some(text) = &metric.query else { return Sight::Unknown };
    let condition = |text: &Option<meshproof_model::Located<String>>| match text {
        Some(text) => Condition::parse(&filled(&text.value, args)).map(Some),
        None => Ok(None),
    };
    let (Ok(success), Ok(failure)) = (condition(&metric.success_condition), condition(&metric.failure_condition))
    else {
        return Sight::Unknown;
    };
    let Some(values) = values(&filled(&text.value, args), failing, success.iter().chain(&failure)) else {
        return Sight::Unknown;
    };
    let holds =
        |condition: &Option<Condition>, value| condition.as_ref().is_some_and(|c| c.holds(Some(value)) == Some(true));
    together(values.into_iter().map(|value| metric.judge(holds(&success, value), holds(&failure, value))))
}

/// Of a check of Flagger.
pub(super) fn of_check(metric: &CanaryMetric, query: Option<&str>, failing: &RangeInclusive<f64>) -> Sight {
    let is_rate = metric.name.value == "request-success-rate";
    let (min, max) = match metric.threshold.filter(|_| metric.min.is_none() && metric.max.is_none()) {
        Some(least) if is_rate => (Some(least), None),
        Some(most) => (None, Some(most)),
        None => (metric.min, metric.max),
    };
    let at_least = min.map(|min| Condition::Compare(Term::First, ">=", Term::Number(min)));
    let at_most = max.map(|max| Condition::Compare(Term::First, "<=", Term::Number(max)));
    let range = Condition::All(at_least.into_iter().chain(at_most).collect());
    let values = match query {
        Some(query) => values(&query.replace("{{ interval }}", "1m").replace("{{interval}}", "1m"), failing, [&range]),
        None if is_rate => Some(tested(&Fraction { above: (100.0, -100.0), below: (1.0, 0.0) }, failing, [&range])),
        None => None,
    };
    let Some(values) = values else { return Sight::Unknown };
    let judge =
        |value| if range.holds(Some(value)) == Some(true) { Measurement::Success } else { Measurement::Failure };
    together(values.into_iter().map(judge))
}

/// A text with its `{{args.name}}` replaced, where it is known.
fn filled(text: &str, args: &[(String, String)]) -> String {
    args.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{args.{name}}}}}"), value).replace(&format!("{{{{ args.{name} }}}}"), value)
    })
}

fn together(measured: impl Iterator<Item = Measurement>) -> Sight {
    let all: Vec<Measurement> = measured.collect();
    let has = |kind| all.contains(&kind);
    match (has(Measurement::Success), has(Measurement::Failure)) {
        _ if has(Measurement::Error) => Sight::Unknown,
        _ if has(Measurement::Inconclusive) => Sight::Asks,
        (true, false) => Sight::Passes,
        (false, true) => Sight::Fails,
        _ => Sight::Either,
    }
}

/// Values of a query that stand for all that it can have; `None`: it is no share of requests.
fn values<'c>(
    query: &str,
    failing: &RangeInclusive<f64>,
    conditions: impl IntoIterator<Item = &'c Condition>,
) -> Option<Vec<f64>> {
    let Known::Share(share) = known(&Query::parse(query).ok()?)? else { return None };
    Some(tested(&share, failing, conditions))
}

fn tested<'c>(
    share: &Fraction,
    failing: &RangeInclusive<f64>,
    conditions: impl IntoIterator<Item = &'c Condition>,
) -> Vec<f64> {
    let mut numbers = Vec::new();
    conditions.into_iter().for_each(|condition| numbers_of(condition, &mut numbers));
    // Shares are written in decimals: what is as good as a number of a condition is that number.
    let near = |value: f64| numbers.iter().copied().find(|n| (n - value).abs() <= 1e-9 * value.abs().max(1e-3));
    let at = |failing: f64| {
        let value = share.at(failing);
        near(value).unwrap_or(value)
    };
    let ends = (at(*failing.start()), at(*failing.end()));
    let (least, most) = (ends.0.min(ends.1), ends.0.max(ends.1));
    let beside = numbers.iter().flat_map(|number| [number.next_down(), *number, number.next_up()]);
    let within = beside.filter(|value| (least..=most).contains(value));
    [ends.0, ends.1].into_iter().chain(within).collect()
}

/// A number that is linear in the share of failures, over another.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fraction {
    above: (f64, f64),
    below: (f64, f64),
}

/// What a query is.
enum Known {
    /// A plain number, or a share of requests.
    Share(Fraction),
    /// Requests, as a multiple of those that the version gets in a second.
    Requests((f64, f64)),
}

impl Fraction {
    fn number(number: f64) -> Self {
        Self { above: (number, 0.0), below: (1.0, 0.0) }
    }

    fn at(&self, failing: f64) -> f64 {
        let of = |(constant, slope): (f64, f64)| constant + slope * failing;
        of(self.above) / of(self.below)
    }

    /// The number that it is for every share.
    fn constant(&self) -> Option<f64> {
        (self.above.1 == 0.0 && self.below.1 == 0.0 && self.below.0 != 0.0).then(|| self.above.0 / self.below.0)
    }

    fn plus(&self, number: f64) -> Self {
        let ((above, up), (below, down)) = (self.above, self.below);
        Self { above: (above + number * below, up + number * down), ..*self }
    }

    fn times(&self, factor: f64) -> Self {
        Self { above: scaled(self.above, factor), ..*self }
    }
}

fn scaled((constant, slope): (f64, f64), factor: f64) -> (f64, f64) {
    (constant * factor, slope * factor)
}

/// What a query is, all its requests being the version's; `None`: something else.
fn known(query: &Query) -> Option<Known> {
    match query {
        Query::Number(number) => Some(Known::Share(Fraction::number(*number))),
        Query::Sum(series) => requests(series).map(Known::Requests),
        Query::Quantile(..) => None,
        // The first has a value where there are requests.
        Query::Or(first, _) => known(first),
        Query::Arithmetic(left, sign, right) => arithmetic(&known(left)?, sign, &known(right)?),
    }
}

fn arithmetic(left: &Known, sign: &str, right: &Known) -> Option<Known> {
    Some(match (left, sign, right) {
        (Known::Requests(above), "/", Known::Requests(below)) => {
            Known::Share(Fraction { above: *above, below: *below })
        }
        (Known::Requests(a), "+" | "-", Known::Requests(b)) => {
            let b = scaled(*b, if sign == "+" { 1.0 } else { -1.0 });
            Known::Requests((a.0 + b.0, a.1 + b.1))
        }
        (Known::Requests(requests), "*", Known::Share(factor))
        | (Known::Share(factor), "*", Known::Requests(requests)) => {
            Known::Requests(scaled(*requests, factor.constant()?))
        }
        (Known::Requests(requests), "/", Known::Share(factor)) => {
            Known::Requests(scaled(*requests, 1.0 / factor.constant()?))
        }
        (Known::Share(share), "+", Known::Share(other)) => match other.constant() {
            Some(number) => Known::Share(share.plus(number)),
            None => Known::Share(other.plus(share.constant()?)),
        },
        (Known::Share(share), "-", Known::Share(other)) => match other.constant() {
            Some(number) => Known::Share(share.plus(-number)),
            None => Known::Share(other.times(-1.0).plus(share.constant()?)),
        },
        (Known::Share(share), "*", Known::Share(other)) => match other.constant() {
            Some(number) => Known::Share(share.times(number)),
            None => Known::Share(other.times(share.constant()?)),
        },
        (Known::Share(share), "/", Known::Share(other)) => Known::Share(share.times(1.0 / other.constant()?)),
        _ => return None,
    })
}

/// Requests that a series counts, for one that the version gets in a second.
fn requests(series: &Series) -> Option<(f64, f64)> {
    if series.metric != Metric::Requests {
        return None;
    }
    let counts = |code: &str| {
        let of_code = series.matchers.iter().filter(|matcher| matcher.label == "response_code");
        if of_code.into_iter().all(|matcher| matcher.is(code)) { 1.0 } else { 0.0 }
    };
    let (good, bad) = (counts("200"), counts("503"));
    let factor = match series.change {
        meshproof_model::delivery::Change::Increase => {
            #[expect(clippy::cast_precision_loss, reason = "a window is no longer than years")]
            let seconds = series.window.as_millis() as f64 / 1000.0;
            seconds
        }
        _ => 1.0,
    };
    Some((good * factor, (bad - good) * factor))
}

fn numbers_of(condition: &Condition, numbers: &mut Vec<f64>) {
    let mut of_term = |term: &Term| {
        let mut term = term;
        loop {
            match term {
                Term::Number(number) => numbers.push(*number),
                Term::Default(inner, otherwise) => {
                    numbers.push(*otherwise);
                    term = inner;
                    continue;
                }
                Term::First | Term::Length => {}
            }
            break;
        }
    };
    match condition {
        Condition::All(parts) | Condition::Any(parts) => parts.iter().for_each(|part| numbers_of(part, numbers)),
        Condition::Not(inner) => numbers_of(inner, numbers),
        Condition::Compare(left, _, right) => {
            of_term(left);
            of_term(right);
        }
        Condition::IsNan(term) | Condition::Each(_, term, _) => of_term(term),
        Condition::Always(_) => {}
    }
}
