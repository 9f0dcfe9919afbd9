//! What makes a handler slower or faster than its own time says, and the messages that it sends and takes.

use meshproof_proxy::Nanos;
use serde::{Deserialize, Serialize};

use crate::{
    Distribution, Share,
    behaviour::{always, one},
};

/// How slow a replica is after its start: the factor falls to one, in a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlowStart {
    /// Its own time at first, times as long.
    pub factor: f64,
    /// For how long.
    pub during: Nanos,
}

/// Requests that are answered from memory: without calls, and in another time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cache {
    /// In which share of the requests, once it is warm.
    pub hits: Share,
    /// The handler's own time for those.
    pub time: Distribution,
    /// A cold cache is warm after so many requests; its share of hits grows in a straight line. 0: at once.
    #[serde(default)]
    pub warm_after: u64,
}

/// Times at which everything in a replica stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pauses {
    /// From the end of one to the next.
    pub every: Distribution,
    /// How long one takes.
    pub length: Distribution,
    /// So much longer for each request in the replica, waiting ones included: what lives is what must be looked at.
    #[serde(default)]
    pub per_request: Nanos,
}

/// Messages that a handler sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Publication {
    /// The queue.
    pub queue: String,
    /// How many.
    #[serde(default = "one")]
    pub times: u32,
    /// In which share of the requests.
    #[serde(default = "always")]
    pub share: Share,
}

/// The queue whose messages a workload works on. Each batch is one run of its handler; if that fails, all of the batch
/// come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Consumption {
    /// The queue.
    pub queue: String,
    /// The most messages in one batch.
    #[serde(default = "one")]
    pub batch: u32,
}

/// Where messages wait for consumers. It loses nothing, and delivers at least once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MessageQueue {
    /// The most messages that wait; a handler that finds so many answers 503.
    pub limit: u64,
    /// A message that was taken and is not done by then can be taken again.
    pub visibility_timeout: Nanos,
    /// A message that was taken so often without success goes to `dead_letters`; absent: it is tried for ever.
    pub max_receives: Option<u32>,
    /// The queue for those; absent: they are dropped.
    pub dead_letters: Option<String>,
    /// The pause before a failed message can be taken again: so long, and twice as long each time; absent: the
    /// visibility timeout.
    pub back_off: Option<MessageBackOff>,
}

impl Default for MessageQueue {
    /// A million messages, 30 s to work on one, tried for ever.
    fn default() -> Self {
        Self {
            limit: 1_000_000,
            visibility_timeout: Nanos::from_secs(30),
            max_receives: None,
            dead_letters: None,
            back_off: None,
        }
    }
}

/// A pause that doubles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MessageBackOff {
    /// The first.
    pub base: Nanos,
    /// The longest.
    pub max: Nanos,
}
