//! The script of the upstream hosts.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::{Millis, sampled::Sampled};

/// What the hosts answer.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Upstream {
    #[serde(default)]
    by_request: BTreeMap<String, Vec<Action>>,
    #[serde(default)]
    by_host: BTreeMap<String, Vec<Action>>,
    default: Option<Vec<Action>>,
    #[serde(default)]
    pub(crate) http2: Settings,
    #[serde(default)]
    health: BTreeMap<String, HealthAnswers>,
    /// In place of a script: answers drawn at random.
    #[serde(skip)]
    sampled: Option<Sampled>,
}

/// The hosts' HTTP/2 SETTINGS.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Settings {
    pub(crate) max_concurrent_streams: Option<u32>,
}

/// Answers to health checks.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum HealthAnswers {
    Always(u16),
    From(Vec<HealthAnswer>),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HealthAnswer {
    pub(crate) from_ms: Millis,
    pub(crate) status: u16,
}

/// One answer.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Action {
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: Vec<(String, String)>,
    #[serde(default)]
    pub(crate) delay_ms: Millis,
    pub(crate) body_bytes: Option<u64>,
    pub(crate) body: Option<String>,
    pub(crate) body_delay_ms: Option<Millis>,
    #[serde(default)]
    pub(crate) stall_after_headers: bool,
    #[serde(default)]
    pub(crate) never: bool,
    pub(crate) reset: Option<Reset>,
    #[serde(default)]
    pub(crate) close_before_headers: bool,
    pub(crate) raw: Option<String>,
    #[serde(default)]
    pub(crate) early: bool,
    pub(crate) rst_stream: Option<String>,
    pub(crate) rst_after: Option<RstAfter>,
    pub(crate) goaway: Option<GoAway>,
    pub(crate) goaway_on_request: Option<GoAway>,
    pub(crate) trailers: Option<Vec<(String, String)>>,
    #[serde(default)]
    pub(crate) trailers_delay_ms: Millis,
    #[serde(default)]
    pub(crate) trailers_only: bool,
    pub(crate) grpc_messages: Option<u64>,
    pub(crate) content_length: Option<bool>,
}

/// When the connection breaks.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reset {
    BeforeHeaders,
    MidBody,
}

/// After what the stream is reset.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum RstAfter {
    Headers,
    Body,
}

/// A GOAWAY frame.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoAway {
    #[serde(default)]
    pub(crate) last_stream: LastStream,
    #[serde(default, rename = "code")]
    _code: Option<String>,
}

/// The last stream that the host says it handles.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LastStream {
    #[default]
    This,
    Previous,
    Max,
    Zero,
}

impl Upstream {
    /// Hosts that draw their answers.
    pub(crate) fn sampled(sampled: Sampled) -> Self {
        let health = sampled.hosts.iter().filter(|(_, host)| !host.health_schedule.is_empty());
        let health = health.map(|(name, host)| {
            let answers = host
                .health_schedule
                .iter()
                .map(|from| HealthAnswer { from_ms: Millis::new(from.from_s * 1000), status: from.status });
            (name.clone(), HealthAnswers::From(answers.collect()))
        });
        Self { health: health.collect(), sampled: Some(sampled), ..Self::default() }
    }

    /// Every answer of the script.
    pub(crate) fn actions(&self) -> impl Iterator<Item = &Action> {
        self.by_request.values().chain(self.by_host.values()).chain(&self.default).flatten()
    }

    /// The answer to a request, by how often it was seen anywhere and how many this host has seen.
    pub(crate) fn action(&self, request: &str, cluster: &str, host: &str, seen: usize, arrival: usize) -> Action {
        if let Some(sampled) = &self.sampled {
            return sampled.action(host, arrival);
        }
        let by_host = || self.by_host.get(host).or_else(|| self.by_host.get(&format!("{cluster}/{host}")));
        let (list, index) = match (self.by_request.get(request), by_host()) {
            (Some(list), _) => (Some(list), seen),
            (None, Some(list)) => (Some(list), arrival),
            (None, None) => (self.default.as_ref(), seen),
        };
        list.and_then(|list| list.get(index).or_else(|| list.last())).cloned().unwrap_or_default()
    }

    /// What a host answers to a health check, `since` milliseconds after the case began.
    pub(crate) fn health(&self, host: &str, since: Millis) -> u16 {
        match self.health.get(host) {
            None => 200,
            Some(HealthAnswers::Always(status)) => *status,
            Some(HealthAnswers::From(answers)) => answers
                .iter()
                .rfind(|answer| answer.from_ms.nanos() <= since.nanos())
                .or(answers.first())
                .map_or(200, |answer| answer.status),
        }
    }
}
