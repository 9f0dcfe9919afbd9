//! The parameters of a case. One that is not known here makes the case unsupported; it is never skipped.

use serde::Deserialize;

/// What a case may say of a system; times and rates have their units in their names.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Parameters {
    // Load.
    #[serde(alias = "rps")]
    pub(super) lambda_rps: Option<f64>,
    pub(super) rho: Option<f64>,
    pub(super) arrivals: Option<String>,
    pub(super) requests: Option<f64>,
    // Servers.
    pub(super) stations: Option<u32>,
    pub(super) servers: Option<u32>,
    pub(super) workers: Option<Workers>,
    pub(super) capacity_rps: Option<f64>,
    #[serde(alias = "service_ms")]
    pub(super) service_mean_ms: Option<f64>,
    pub(super) service: Option<String>,
    pub(super) queue: Option<u32>,
    pub(super) queueing: Option<String>,
    pub(super) patience_mean_ms: Option<f64>,
    pub(super) in_flight_limit: Option<u32>,
    pub(super) failure_prob: Option<f64>,
    pub(super) late_work: Option<String>,
    // Clients.
    pub(super) timeout_ms: Option<f64>,
    pub(super) max_retries: Option<u32>,
    pub(super) retries: Option<String>,
    pub(super) backoff_ms: Option<f64>,
    pub(super) backoff_mean_ms: Option<f64>,
    // Proxies.
    pub(super) depth: Option<u32>,
    pub(super) max_retries_per_hop: Option<u32>,
    pub(super) leaf_failure_prob: Option<f64>,
    pub(super) independent: Option<bool>,
    pub(super) budget_ratio: Option<f64>,
    pub(super) budget_percent: Option<f64>,
    pub(super) min_retries_per_s: Option<u32>,
    pub(super) attempt_duration: Option<String>,
    pub(super) hedge_delay_ms: Option<f64>,
    pub(super) consecutive_5xx: Option<u32>,
    pub(super) weight: Option<f64>,
    pub(super) d: Option<u32>,
    pub(super) tie: Option<String>,
    pub(super) i: Option<u8>,
    pub(super) fanout: Option<u32>,
    pub(super) leaf: Option<String>,
    // Faults.
    pub(super) outage_s: Option<f64>,
    #[serde(alias = "pause_s")]
    pub(super) freeze_s: Option<f64>,
    pub(super) pause_at_s: Option<f64>,
    pub(super) run_s: Option<f64>,
    // Availability.
    pub(super) n: Option<u32>,
    pub(super) k: Option<u32>,
    pub(super) p_up: Option<f64>,
}

/// How a station works: so many at a time, or all at once.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(super) enum Workers {
    Count(u32),
    Named(String),
}

/// A service time, as cases write it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Service {
    Constant(f64),
    Exponential(f64),
    /// Mean, and standard deviation of the logarithm.
    LogNormal(f64, f64),
    /// Fast, slow, and how often it is slow.
    Bimodal(f64, f64, f64),
}

impl Service {
    /// Reads `constant 1 ms`, `exp 1 ms`, `lognormal mean 1 ms, sigma 1.0`, `0.99: 0.5 ms, 0.01: 50.5 ms`, and
    /// `any with mean 10 ms`, for which a log-normal stands that is unlike an exponential. Times in milliseconds.
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.contains(':') && text.contains(',') {
            let mut parts = text.split(',').map(|part| {
                let (share, time) = part.split_once(':')?;
                Some((share.trim().parse::<f64>().ok()?, *numbers(time).first()?))
            });
            let ((first, one), (second, other)) = (parts.next()??, parts.next()??);
            return Some(if first >= second {
                Self::Bimodal(one, other, second)
            } else {
                Self::Bimodal(other, one, first)
            });
        }
        let found = numbers(text);
        let first = *found.first()?;
        let word = text.split_whitespace().next()?.trim_end_matches(',');
        Some(match word {
            "constant" | "deterministic" => Self::Constant(first),
            "exp" | "exponential" => Self::Exponential(first),
            "lognormal" | "log-normal" => Self::LogNormal(first, found.get(1).copied().unwrap_or(1.0)),
            "any" => Self::LogNormal(first, 1.0),
            _ => return None,
        })
    }

    /// The mean in milliseconds.
    pub(super) fn mean(self) -> f64 {
        match self {
            Self::Constant(time) | Self::Exponential(time) | Self::LogNormal(time, _) => time,
            Self::Bimodal(fast, slow, share) => fast * (1.0 - share) + slow * share,
        }
    }

    /// The square of the standard deviation over the mean.
    pub(super) fn variation(self) -> f64 {
        match self {
            Self::Constant(_) => 0.0,
            Self::Exponential(_) => 1.0,
            Self::LogNormal(_, sigma) => (sigma * sigma).exp() - 1.0,
            Self::Bimodal(fast, slow, share) => {
                let mean = self.mean();
                (fast * fast * (1.0 - share) + slow * slow * share) / (mean * mean) - 1.0
            }
        }
    }
}

/// The numbers of a text, in order.
fn numbers(text: &str) -> Vec<f64> {
    let parts = text.split(|c: char| !(c.is_ascii_digit() || c == '.'));
    parts.filter_map(|part| part.trim_matches('.').parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn service_times_are_read_as_cases_write_them() {
        let table = [
            ("constant 1 ms", Some(Service::Constant(1.0))),
            ("exp 1 ms", Some(Service::Exponential(1.0))),
            ("lognormal mean 1 ms, sigma 1.5 (mu=ln(1ms)-0.5)", Some(Service::LogNormal(1.0, 1.5))),
            ("any with mean 10 ms", Some(Service::LogNormal(10.0, 1.0))),
            ("0.99: 0.5 ms, 0.01: 50.5 ms", Some(Service::Bimodal(0.5, 50.5, 0.01))),
            ("Pareto 1 ms", None),
        ];
        for (text, expected) in table {
            assert_eq!(Service::parse(text), expected, "{text}");
        }
        assert!((Service::Bimodal(0.5, 50.5, 0.01).mean() - 1.0).abs() < 1e-12);
    }
}
