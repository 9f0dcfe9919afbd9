//! Retry policies (`11.4`).

use meshproof_proxy::config::RetryPolicy;

use crate::{
    Located, Nanos, Origin,
    gateway_api::Retry,
    istio::{MeshConfig, Retries},
};

/// Conditions where nothing else is said (`RT-11`); the list of codes is empty, so 503 is not among them.
pub(super) const DEFAULT_ON: [&str; 5] =
    ["connect-failure", "refused-stream", "unavailable", "cancelled", "retriable-status-codes"];

/// A retry policy and where its values come from.
pub(super) struct Lowered {
    /// `None`: no retries.
    pub(super) policy: Option<RetryPolicy>,
    pub(super) retries: Origin,
    pub(super) attempts: Origin,
    pub(super) retry_on: Origin,
    pub(super) per_try_timeout: Origin,
    pub(super) back_off: Origin,
}

impl Lowered {
    fn all(policy: Option<RetryPolicy>, rule: &'static str) -> Self {
        let origin = || Origin::Default(rule);
        Self {
            policy,
            retries: origin(),
            attempts: origin(),
            retry_on: origin(),
            per_try_timeout: origin(),
            back_off: origin(),
        }
    }

    /// No retries, by a rule of the book.
    pub(super) fn none(rule: &'static str) -> Self {
        Self::all(None, rule)
    }
}

/// The retries of a route: its own, else the mesh's as a whole (`RT-12`), else Istio's default (`RT-11`). Hosts that
/// were tried are avoided unless the route says otherwise or hashes (`RT-16`).
pub(super) fn of_route(own: Option<&Retries>, settings: &MeshConfig, hashes: bool) -> Lowered {
    if let Some(written) = own.or(settings.default_http_retry_policy.as_ref()) {
        return of_written(written, hashes);
    }
    let conditions = DEFAULT_ON.map(str::to_owned).to_vec();
    let retriable_status_codes = if settings.istio_version.follows("RT-11") { Vec::new() } else { vec![503] };
    let policy = RetryPolicy { num_retries: Some(2), retriable_status_codes, ..base(conditions, !hashes) };
    Lowered { per_try_timeout: Origin::Default("RT-15"), ..Lowered::all(Some(policy), "RT-11") }
}

/// The most that an implementation may do by itself (`G-13`): two more tries after what may be retried safely, and
/// after 503.
pub(super) fn open(rule: &'static str, hashes: bool) -> Lowered {
    let conditions = DEFAULT_ON.map(str::to_owned).to_vec();
    let policy = RetryPolicy { num_retries: Some(2), retriable_status_codes: vec![503], ..base(conditions, !hashes) };
    Lowered::all(Some(policy), rule)
}

/// The retries of a route of Gateway API (`G-7`): connections that fail, and the codes; twice where it does not say how
/// often.
pub(super) fn of_stanza(written: &Retry, per_try: Option<&Located<Nanos>>, hashes: bool) -> Lowered {
    let at = |at: &crate::Location| Origin::Written(at.clone());
    let retries = at(&written.at);
    let attempts = written.attempts.as_ref().map_or(2, |attempts| attempts.value);
    let attempts_at = written.attempts.as_ref().map_or(Origin::Default("G-7"), |attempts| at(&attempts.at));
    let Some(tries) = u32::try_from(attempts).ok().filter(|tries| *tries > 0) else {
        return Lowered { retries, attempts: attempts_at, ..Lowered::none("G-7") };
    };
    let codes: Vec<u16> = written.codes.iter().map(|code| code.value).collect();
    let reads_codes = if codes.is_empty() { None } else { DEFAULT_ON.last() };
    let conditions = DEFAULT_ON[..4].iter().chain(reads_codes).map(|condition| (*condition).to_owned()).collect();
    let per_try = per_try.filter(|limit| !limit.value.is_zero());
    let policy = RetryPolicy {
        num_retries: Some(tries),
        per_try_timeout: per_try.map(|limit| limit.value),
        retriable_status_codes: codes,
        base_interval: written.backoff.as_ref().map(|interval| interval.value).filter(|interval| !interval.is_zero()),
        ..base(conditions, !hashes)
    };
    Lowered {
        policy: Some(policy),
        retries,
        attempts: attempts_at,
        retry_on: written.codes.first().map_or(Origin::Default("G-7"), |code| at(&code.at)),
        per_try_timeout: per_try.map_or(Origin::Default("RT-15"), |limit| at(&limit.at)),
        back_off: written.backoff.as_ref().map_or(Origin::Default("RT-11"), |interval| at(&interval.at)),
    }
}

/// The retries of a server's own proxy: before the request has reached the application only (`RT-17`). The mesh may
/// replace them, and switches them off with an empty object.
pub(super) fn inbound(settings: &MeshConfig) -> Lowered {
    match &settings.default_inbound_http_retry_policy {
        Some(written) => of_written(written, false),
        None if !settings.istio_version.follows("RT-17") => Lowered::none("RT-17"),
        None => Lowered::all(
            Some(RetryPolicy {
                retry_on: vec!["reset-before-request".to_owned()],
                num_retries: Some(2),
                ..RetryPolicy::default()
            }),
            "RT-17",
        ),
    }
}

fn of_written(written: &Retries, hashes: bool) -> Lowered {
    let at = Origin::Written(written.at.clone());
    let attempts = written.attempts.as_ref().map_or(0, |attempts| attempts.value);
    // Without `attempts`, or with none, there are no retries at all (`RT-13`).
    if attempts <= 0 {
        let attempts =
            written.attempts.as_ref().map_or_else(|| Origin::Default("RT-13"), |a| Origin::Written(a.at.clone()));
        return Lowered { retries: at, attempts, ..Lowered::none("RT-13") };
    }
    let (conditions, codes, retry_on) = match &written.retry_on {
        Some(text) if !text.value.trim().is_empty() => {
            let (conditions, codes) = split(&text.value);
            (conditions, codes, Origin::Written(text.at.clone()))
        }
        _ => (DEFAULT_ON.map(str::to_owned).to_vec(), Vec::new(), Origin::Default("RT-11")),
    };
    let previous_hosts = written.retry_ignore_previous_hosts.as_ref().map_or(!hashes, |ignore| ignore.value);
    let remote = written.retry_remote_localities.as_ref().is_some_and(|remote| remote.value);
    let policy = RetryPolicy {
        num_retries: Some(u32::try_from(attempts).unwrap_or(u32::MAX)),
        per_try_timeout: written.per_try_timeout.as_ref().map(|limit| limit.value),
        retriable_status_codes: codes,
        base_interval: written.backoff.as_ref().map(|interval| interval.value),
        previous_priorities_update_frequency: remote.then_some(2),
        ..base(conditions, previous_hosts)
    };
    let written_or =
        |at: Option<&crate::Location>, rule| at.map_or(Origin::Default(rule), |at| Origin::Written(at.clone()));
    Lowered {
        policy: Some(policy),
        retries: at,
        attempts: written_or(written.attempts.as_ref().map(|attempts| &attempts.at), "RT-13"),
        retry_on,
        per_try_timeout: written_or(written.per_try_timeout.as_ref().map(|limit| &limit.at), "RT-15"),
        back_off: written_or(written.backoff.as_ref().map(|interval| &interval.at), "RT-11"),
    }
}

fn base(retry_on: Vec<String>, previous_hosts: bool) -> RetryPolicy {
    RetryPolicy { retry_on, previous_hosts, host_selection_retry_max_attempts: Some(5), ..RetryPolicy::default() }
}

/// Conditions and status codes of a `retryOn`: numbers that are HTTP statuses become codes, and the condition that
/// reads them is added if it is missing (`RT-14`).
fn split(text: &str) -> (Vec<String>, Vec<u16>) {
    let (mut conditions, mut codes) = (Vec::new(), Vec::new());
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        match part.parse().ok().filter(|code| has_status_text(*code)) {
            Some(code) => codes.push(code),
            None => conditions.push(part.to_owned()),
        }
    }
    let reads_codes = "retriable-status-codes";
    if !codes.is_empty() && !conditions.iter().any(|condition| condition == reads_codes) {
        conditions.push(reads_codes.to_owned());
    }
    (conditions, codes)
}

/// Whether Go's `http.StatusText` knows a code, which is what Istio asks.
const fn has_status_text(code: u16) -> bool {
    matches!(code, 100..=103 | 200..=208 | 226 | 300..=305 | 307..=308 | 400..=418 | 421..=426)
        || matches!(code, 428 | 429 | 431 | 451 | 500..=508 | 510 | 511)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt14_numbers_become_codes() {
        for (text, conditions, codes) in [
            ("503,reset", &["reset", "retriable-status-codes"][..], &[503_u16][..]),
            ("5xx, 503", &["5xx", "retriable-status-codes"], &[503]),
            ("retriable-status-codes,502,504", &["retriable-status-codes"], &[502, 504]),
            ("503", &["retriable-status-codes"], &[503]),
            ("gateway-error,,connect-failure", &["gateway-error", "connect-failure"], &[]),
            ("499", &["499"], &[]),
        ] {
            let (on, found) = split(text);
            assert_eq!(
                (on.as_slice(), found.as_slice()),
                (&conditions.iter().map(|&c| c.to_owned()).collect::<Vec<_>>()[..], codes),
                "{text}"
            );
        }
    }
}
