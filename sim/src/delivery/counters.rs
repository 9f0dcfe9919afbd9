//! What Prometheus has read of the proxies' counters, and what it answers: in doubles, as it does.

use std::collections::BTreeMap;

use meshproof_model::{
    Nanos,
    delivery::{Change, Matcher, Metric, Query, Series},
};

/// Upper bounds of the buckets in which Envoy's histograms are given out, in milliseconds (Envoy:
/// `HistogramSettingsImpl::defaultBuckets`). One more bucket takes the rest.
const BOUNDS: [f64; 19] = [
    0.5,
    1.0,
    5.0,
    10.0,
    25.0,
    50.0,
    100.0,
    250.0,
    500.0,
    1000.0,
    2500.0,
    5000.0,
    10_000.0,
    30_000.0,
    60_000.0,
    300_000.0,
    600_000.0,
    1_800_000.0,
    3_600_000.0,
];

/// Who counts a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// The client's proxy: `reporter="source"`.
    Source,
    /// The server's: `reporter="destination"`.
    Destination,
}

/// A series, with its label `response_code`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    side: Side,
    workload: u32,
    service: u32,
    status: u16,
}

/// What was counted between two scrapes.
#[derive(Clone, Copy, Debug, Default)]
struct Cell {
    requests: u64,
    nanos: u128,
    buckets: [u32; BOUNDS.len() + 1],
}

/// What was counted of a series, from the scrape interval in which it began.
#[derive(Clone, Debug, Default)]
struct Counted {
    first: usize,
    cells: Vec<Cell>,
}

/// Names by which series are told apart, by workload and by service.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) workloads: Vec<BTreeMap<&'static str, String>>,
    pub(crate) services: Vec<BTreeMap<&'static str, String>>,
}

/// The counters that one release asks for.
#[derive(Clone, Debug)]
pub(crate) struct Counters {
    scrape: u64,
    series: BTreeMap<Key, Counted>,
}

impl Names {
    /// Whether a series of these ends can be meant, whatever its status.
    pub(crate) fn can_be_meant(&self, series: &Series, side: Side, workload: u32, service: u32) -> bool {
        let key = Key { side, workload, service, status: 0 };
        series.matchers.iter().all(|matcher| matcher.label == "response_code" || self.holds(matcher, key))
    }

    fn holds(&self, matcher: &Matcher, key: Key) -> bool {
        let of = |names: &[BTreeMap<&'static str, String>], at: u32| {
            matcher
                .is(names.get(at as usize).and_then(|names| names.get(matcher.label.as_str())).map_or("", |name| name))
        };
        match matcher.label.as_str() {
            "reporter" => matcher.is(match key.side {
                Side::Source => "source",
                Side::Destination => "destination",
            }),
            "response_code" => matcher.is(&key.status.to_string()),
            "request_protocol" => matcher.is("http"),
            label if label.starts_with("destination_service") => of(&self.services, key.service),
            _ => of(&self.workloads, key.workload),
        }
    }
}

impl Counters {
    pub(crate) const fn new(scrape: Nanos) -> Self {
        Self { scrape: scrape.get(), series: BTreeMap::new() }
    }

    /// A request has ended.
    pub(crate) fn record(&mut self, now: u64, side: Side, ends: (u32, u32), status: u16, nanos: u64) {
        let (workload, service) = ends;
        let at = usize::try_from(now / self.scrape).unwrap_or(usize::MAX);
        let counted = self
            .series
            .entry(Key { side, workload, service, status })
            .or_insert_with(|| Counted { first: at, cells: Vec::new() });
        let index = at - counted.first;
        if counted.cells.len() <= index {
            counted.cells.resize(index + 1, Cell::default());
        }
        let cell = &mut counted.cells[index];
        cell.requests += 1;
        cell.nanos += u128::from(nanos);
        let millis = nanos as f64 / 1e6;
        let bucket = BOUNDS.iter().position(|bound| millis <= *bound).unwrap_or(BOUNDS.len());
        cell.buckets[bucket] += 1;
    }

    /// What a query gives at a time.
    pub(crate) fn answer(&self, names: &Names, now: u64, query: &Query) -> Option<f64> {
        match query {
            Query::Number(number) => Some(*number),
            Query::Or(first, second) => self.answer(names, now, first).or_else(|| self.answer(names, now, second)),
            Query::Arithmetic(left, sign, right) => {
                let (left, right) = (self.answer(names, now, left)?, self.answer(names, now, right)?);
                Some(match *sign {
                    "+" => left + right,
                    "-" => left - right,
                    "*" => left * right,
                    _ => left / right,
                })
            }
            Query::Sum(series) => self.sum(names, now, series),
            Query::Quantile(quantile, series) => self.quantile(names, now, *quantile, series),
        }
    }

    fn meant<'a>(&'a self, names: &'a Names, series: &'a Series) -> impl Iterator<Item = &'a Counted> {
        let is_meant = |key: &Key| series.matchers.iter().all(|matcher| names.holds(matcher, *key));
        self.series.iter().filter(move |(key, _)| is_meant(key)).map(|(_, counted)| counted)
    }

    fn sum(&self, names: &Names, now: u64, series: &Series) -> Option<f64> {
        let value = |cell: &Cell| match series.metric {
            Metric::DurationSum => cell.nanos as f64 / 1e6,
            Metric::Requests | Metric::DurationBuckets => cell.requests as f64,
        };
        let changes = self.meant(names, series).filter_map(|counted| self.change(counted, now, series, value));
        changes.fold(None, |sum, change| Some(sum.unwrap_or(0.0) + change))
    }

    /// `histogram_quantile`: the place of the rank, on a straight line in its bucket.
    fn quantile(&self, names: &Names, now: u64, quantile: f64, series: &Series) -> Option<f64> {
        let mut counts: Option<[f64; BOUNDS.len() + 1]> = None;
        for counted in self.meant(names, series) {
            for bucket in 0..=BOUNDS.len() {
                // Buckets are counted up to their bound.
                let upto = |cell: &Cell| cell.buckets[..=bucket].iter().map(|count| f64::from(*count)).sum::<f64>();
                if let Some(change) = self.change(counted, now, series, upto) {
                    counts.get_or_insert_default()[bucket] += change;
                }
            }
        }
        let counts = counts?;
        let all = counts[BOUNDS.len()];
        if all == 0.0 {
            return Some(f64::NAN);
        }
        let rank = quantile * all;
        let bucket = counts.iter().position(|count| *count >= rank).unwrap_or(BOUNDS.len());
        let Some(bound) = BOUNDS.get(bucket) else { return BOUNDS.last().copied() };
        let (start, before) = if bucket == 0 { (0.0, 0.0) } else { (BOUNDS[bucket - 1], counts[bucket - 1]) };
        Some(start + (bound - start) * ((rank - before) / (counts[bucket] - before)))
    }

    /// `rate`, `irate` or `increase` of one counter; `None`: fewer than two samples lie in the window. As Prometheus
    /// does, a change is stretched to the ends of the window where samples are near them (Prometheus:
    /// `extrapolatedRate`).
    fn change(&self, counted: &Counted, now: u64, series: &Series, value: impl Fn(&Cell) -> f64) -> Option<f64> {
        let window = series.window.get();
        // Sample `n` is taken at `n` times the interval and holds the cells before it.
        let last = now / self.scrape;
        let after = now.saturating_sub(window);
        let oldest = if now < window { 0 } else { after / self.scrape + 1 };
        let mut first = oldest.max(counted.first as u64 + 1);
        if series.change == Change::Last {
            first = first.max(last.saturating_sub(1));
        }
        if first >= last {
            return None;
        }
        let upto = |sample: u64| -> f64 {
            let cells = usize::try_from(sample).unwrap_or(usize::MAX).saturating_sub(counted.first);
            counted.cells.iter().take(cells).map(&value).sum()
        };
        let (base, change) = (upto(first), upto(last) - upto(first));
        let seconds = |nanos: u64| nanos as f64 / 1e9;
        let (scrape, sampled) = (seconds(self.scrape), seconds((last - first) * self.scrape));
        if series.change == Change::Last {
            return Some(change / sampled);
        }
        let near = |distance: f64| if distance >= scrape * 1.1 { scrape / 2.0 } else { distance };
        let mut to_start = near(seconds(first * self.scrape) - (seconds(now) - seconds(window)));
        if change > 0.0 {
            to_start = to_start.min(sampled * (base / change));
        }
        let to_end = near(seconds(now - last * self.scrape));
        let increase = change * ((sampled + to_start + to_end) / sampled);
        Some(if series.change == Change::Rate { increase / seconds(window) } else { increase })
    }
}
