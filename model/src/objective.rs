//! Objectives of a scenario: `subject.figure (< | <= | > | >=) quantity`, or `recovers within 60s`.

use std::{fmt, str::FromStr};

use meshproof_proxy::Nanos;

use crate::{Mesh, Rate, ServiceId, Share, did_you_mean};

/// What must hold in a simulated run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Objective {
    /// A figure of the report compared with a bound.
    Figure {
        /// Whose figure, as written: a client's or service's name, `svc/NAME`, or `release/NAME`.
        subject: String,
        /// Which figure.
        figure: Figure,
        /// How they are compared.
        comparison: Comparison,
        /// The bound, in the figure's unit.
        bound: Bound,
    },
    /// All other objectives hold again, for good, within this time of the end of each fault.
    RecoversWithin(Nanos),
}

/// A figure of a client or service; the names are the report's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Figure {
    /// Share of requests that were answered well: `success` or `success_ratio`; of a service `ok_ratio`.
    Success,
    /// Requests.
    Requests,
    /// Requests that were answered well.
    Ok,
    /// Requests that were not.
    Failed,
    /// A quantile of the latency in parts per thousand: `p50`, `p90`, `p99`, `p999`.
    Quantile(u16),
    /// Mean latency.
    Mean,
    /// Greatest latency.
    Max,
    /// Requests per second that were answered well.
    Goodput,
    /// Requests that clients' proxies sent on, the first of each included.
    Attempts,
    /// Attempts for one request.
    AttemptsPerRequest,
    /// The most connections that one client's proxy had at a time.
    Connections,
    /// Responses of a status, such as `responses.503`.
    Responses(u16),
    /// Requests with a response flag, such as `flags.UO`.
    Flags(String),
    /// Share of the places for work that were taken.
    Utilisation,
    /// The most requests that waited in one replica.
    QueueMax,
    /// The most replicas that were ready at the end of a second.
    ReplicasMax,
    /// The fewest.
    ReplicasMin,
    /// Tries of a client for one request, its own retries included.
    TriesPerRequest,
    /// Share of requests that were answered well by a client's first try.
    FirstTry,
    /// Requests of a client that pause between two tries, on average over time.
    BackingOff,
    /// Share of requests that had to wait for a place.
    Queued,
    /// Mean time in the queue, of those too that did not wait.
    QueueWait,
    /// Share of the time in which a replica has at least so many requests, such as `jobs_at_least.4`.
    JobsAtLeast(u8),
    /// Messages that handlers sent to a queue.
    Published,
    /// Messages that found no room in a queue.
    Refused,
    /// Messages that consumers took from a queue, each time counted.
    Received,
    /// Messages of a queue that were done.
    Done,
    /// Messages of a queue that were put aside because they failed too often.
    DeadLetters,
    /// The most messages that waited in a queue.
    DepthMax,
    /// Tries after the first.
    Retries,
    /// Retries that a limit on retries prevented.
    RetryOverflow,
    /// Requests that a breaker refused.
    BreakerOverflow,
    /// Ejections of hosts.
    Ejections,
    /// Requests that a rate limit refused.
    RateLimited,
    /// Whether a release was promoted: 1 or 0, over several runs the share of them.
    Promoted,
    /// Whether a release was rolled back: 1 or 0.
    RolledBack,
    /// The most that a release's new version got.
    WeightMax,
    /// Time in which a release's new version got requests before it was promoted or rolled back.
    Exposed,
    /// Time from a release's beginning to its end, or to that of the run.
    Took,
}

/// How a figure and its bound are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Comparison {
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `>`.
    Greater,
    /// `>=`.
    AtLeast,
}

/// The bound of an objective.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    /// A share.
    Share(Share),
    /// A length of time.
    Time(Nanos),
    /// A rate.
    Rate(Rate),
    /// A number, in millionths.
    Number(u64),
}

/// Whose figure an objective judges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObjectiveSubject {
    /// A client, by its number in [`Behaviour::clients`](crate::Behaviour::clients).
    Client(usize),
    /// A service.
    Service(ServiceId),
    /// A queue of messages, by its number in [`Behaviour::queues`](crate::Behaviour::queues).
    Queue(usize),
    /// A release, by its number among [`Mesh::releasable`].
    Release(usize),
}

/// Why a text is not an objective, or not one of this mesh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct ObjectiveError {
    /// What is wrong, in one sentence.
    pub message: String,
}

impl Objective {
    /// Finds whose figure it judges: a client of that name, else a service; `None` for `recovers within`.
    ///
    /// # Errors
    /// If nobody has that name, several services have it, or the subject has no such figure.
    pub fn resolve(&self, mesh: &Mesh) -> Result<Option<ObjectiveSubject>, ObjectiveError> {
        let Self::Figure { subject, figure, .. } = self else { return Ok(None) };
        let found = find_subject(mesh, subject)?;
        let (who, has): (_, fn(&Figure) -> bool) = match found {
            ObjectiveSubject::Client(_) => ("client", Figure::is_of_clients),
            ObjectiveSubject::Service(_) => ("service", Figure::is_of_services),
            ObjectiveSubject::Queue(_) => ("queue", Figure::is_of_queues),
            ObjectiveSubject::Release(_) => ("release", Figure::is_of_releases),
        };
        if has(figure) {
            return Ok(Some(found));
        }
        Err(error(format!("the {who} `{subject}` has no figure `{figure}`; {who}s have {}", names(has))))
    }
}

impl Comparison {
    /// Whether `observed` stands in this relation to `bound`.
    pub fn holds(self, observed: f64, bound: f64) -> bool {
        match self {
            Self::Less => observed < bound,
            Self::AtMost => observed <= bound,
            Self::Greater => observed > bound,
            Self::AtLeast => observed >= bound,
        }
    }
}

impl Bound {
    /// The bound in the report's unit: a ratio from 0 to 1, milliseconds, requests per second, or a number.
    #[expect(clippy::cast_precision_loss, reason = "bounds are far below 2^53 in every unit that people write")]
    pub fn value(self) -> f64 {
        match self {
            Self::Share(share) => f64::from(share.ppm()) / 1e6,
            Self::Time(time) => time.get() as f64 / 1e6,
            Self::Rate(rate) => rate.milli() as f64 / 1e3,
            Self::Number(millionths) => millionths as f64 / 1e6,
        }
    }
}

impl Figure {
    /// Greater numbers of requests in a replica are not told apart.
    pub const JOBS_MAX: u8 = 15;

    /// Whether clients have it.
    pub const fn is_of_clients(&self) -> bool {
        matches!(self, Self::Success | Self::Requests | Self::Ok | Self::Failed | Self::Goodput | Self::Quantile(_))
            || matches!(self, Self::Mean | Self::Max)
            || self.is_of_clients_only()
    }

    /// Whether services have it.
    pub const fn is_of_services(&self) -> bool {
        !matches!(self, Self::Ok | Self::Failed | Self::Goodput)
            && !self.is_of_clients_only()
            && !self.is_of_queues_only()
            && !self.is_of_releases()
    }

    /// Whether releases have it.
    pub const fn is_of_releases(&self) -> bool {
        matches!(self, Self::Promoted | Self::RolledBack | Self::WeightMax | Self::Exposed | Self::Took)
    }

    /// Whether a longer run has no more of it: ratios, rates and lengths of time, but no counts and no maxima.
    pub const fn is_intensive(&self) -> bool {
        matches!(self, Self::AttemptsPerRequest | Self::TriesPerRequest | Self::BackingOff)
            || (!matches!(self.unit(), Unit::Number) && !matches!(self, Self::Max) && !self.is_of_releases())
    }

    /// Whether queues of messages have it.
    pub const fn is_of_queues(&self) -> bool {
        matches!(self, Self::Quantile(_) | Self::Mean | Self::Max) || self.is_of_queues_only()
    }

    const fn is_of_queues_only(&self) -> bool {
        matches!(self, Self::Published | Self::Refused | Self::Received | Self::Done)
            || matches!(self, Self::DeadLetters | Self::DepthMax)
    }

    const fn is_of_clients_only(&self) -> bool {
        matches!(self, Self::TriesPerRequest | Self::FirstTry | Self::BackingOff)
    }

    const fn unit(&self) -> Unit {
        match self {
            Self::Success | Self::Utilisation | Self::FirstTry | Self::Queued | Self::JobsAtLeast(_) => Unit::Share,
            Self::WeightMax => Unit::Share,
            Self::Quantile(_) | Self::Mean | Self::Max | Self::QueueWait | Self::Exposed | Self::Took => Unit::Time,
            Self::Goodput => Unit::Rate,
            _ => Unit::Number,
        }
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Share,
    Time,
    Rate,
    Number,
}

/// Names of figures without a parameter, the report's first.
const FIGURES: [(&str, Figure); 45] = [
    ("success_ratio", Figure::Success),
    ("success", Figure::Success),
    ("ok_ratio", Figure::Success),
    ("requests", Figure::Requests),
    ("ok", Figure::Ok),
    ("failed", Figure::Failed),
    ("p50", Figure::Quantile(500)),
    ("p90", Figure::Quantile(900)),
    ("p95", Figure::Quantile(950)),
    ("p99", Figure::Quantile(990)),
    ("p999", Figure::Quantile(999)),
    ("mean", Figure::Mean),
    ("max", Figure::Max),
    ("goodput_rps", Figure::Goodput),
    ("goodput", Figure::Goodput),
    ("attempts", Figure::Attempts),
    ("attempts_per_request", Figure::AttemptsPerRequest),
    ("connections", Figure::Connections),
    ("utilisation", Figure::Utilisation),
    ("queue_max", Figure::QueueMax),
    ("replicas_max", Figure::ReplicasMax),
    ("replicas_min", Figure::ReplicasMin),
    ("tries_per_request", Figure::TriesPerRequest),
    ("first_try_ratio", Figure::FirstTry),
    ("backing_off", Figure::BackingOff),
    ("queued_ratio", Figure::Queued),
    ("queue_wait_ms", Figure::QueueWait),
    ("published", Figure::Published),
    ("refused", Figure::Refused),
    ("received", Figure::Received),
    ("done", Figure::Done),
    ("dead_letters", Figure::DeadLetters),
    ("depth_max", Figure::DepthMax),
    ("retries", Figure::Retries),
    ("retry_overflow", Figure::RetryOverflow),
    ("breaker_overflow", Figure::BreakerOverflow),
    ("ejections", Figure::Ejections),
    ("rate_limited", Figure::RateLimited),
    ("promoted", Figure::Promoted),
    ("rolled_back", Figure::RolledBack),
    ("weight_max", Figure::WeightMax),
    ("exposed_ms", Figure::Exposed),
    ("exposed", Figure::Exposed),
    ("took_ms", Figure::Took),
    ("took", Figure::Took),
];

impl FromStr for Objective {
    type Err = ObjectiveError;

    fn from_str(text: &str) -> Result<Self, ObjectiveError> {
        let text = text.trim();
        if let Some(time) = text.strip_prefix("recovers") {
            let time = time.trim_start().strip_prefix("within").map(str::trim).unwrap_or_default();
            let time = time.parse().map_err(|_| error(format!("`{text}`: write `recovers within 60s`")))?;
            return Ok(Self::RecoversWithin(time));
        }
        let at = text.find(['<', '>', '=', '!']).ok_or_else(|| {
            error(format!("`{text}` compares nothing; write `subject.figure < quantity`, or `recovers within 60s`"))
        })?;
        let end = text[at..].find(|c| !matches!(c, '<' | '>' | '=' | '!')).map_or(text.len(), |n| at + n);
        let comparison = match &text[at..end] {
            "<" => Comparison::Less,
            "<=" => Comparison::AtMost,
            ">" => Comparison::Greater,
            ">=" => Comparison::AtLeast,
            other => return Err(error(format!("`{other}` is no comparison; use `<`, `<=`, `>` or `>=`"))),
        };
        let (subject, figure) = subject_and_figure(text[..at].trim())?;
        let bound = read_bound(&figure, text[end..].trim())?;
        Ok(Self::Figure { subject, figure, comparison, bound })
    }
}

/// Splits `browser.p99`, `svc/ratings.responses.503`, `browser.latency_ms.p99` at the dot before the figure.
fn subject_and_figure(text: &str) -> Result<(String, Figure), ObjectiveError> {
    for family in [".responses.", ".flags.", ".jobs_at_least.", ".latency_ms."] {
        let Some((subject, parameter)) = text.rsplit_once(family) else { continue };
        let figure = match family {
            ".responses." => parameter.parse().ok().filter(|code| (100..600).contains(code)).map(Figure::Responses),
            ".flags." => Some(Figure::Flags(parameter.to_owned())),
            ".jobs_at_least." => {
                parameter.parse().ok().filter(|jobs| (1..=Figure::JOBS_MAX).contains(jobs)).map(Figure::JobsAtLeast)
            }
            _ => named(parameter).filter(|figure| matches!(figure.unit(), Unit::Time)),
        };
        let figure = figure.ok_or_else(|| error(format!("`{text}`: there is no `{parameter}` among these figures")))?;
        return Ok((subject.to_owned(), figure));
    }
    let (subject, name) = text
        .rsplit_once('.')
        .filter(|(subject, _)| !subject.is_empty())
        .ok_or_else(|| error(format!("`{text}` names no figure; write `subject.figure`, such as `browser.success`")))?;
    let figure = named(name).ok_or_else(|| {
        let hint = did_you_mean(name, FIGURES.iter().map(|(known, _)| *known)).map_or_else(
            || format!("known are {}", FIGURES.map(|(known, _)| known).join(", ")),
            |known| format!("did you mean `{known}`?"),
        );
        error(format!("there is no figure `{name}`; {hint}"))
    })?;
    Ok((subject.to_owned(), figure))
}

fn named(name: &str) -> Option<Figure> {
    FIGURES.iter().find(|(known, _)| *known == name).map(|(_, figure)| figure.clone())
}

fn read_bound(figure: &Figure, text: &str) -> Result<Bound, ObjectiveError> {
    let (bound, example) = match figure.unit() {
        Unit::Share => (text.parse().ok().or_else(|| ratio(text)).map(Bound::Share), "a share such as `99.9%`"),
        Unit::Time => (text.parse().ok().map(Bound::Time), "a time such as `300ms`"),
        Unit::Rate => (text.parse().ok().map(Bound::Rate), "a rate such as `800rps`"),
        Unit::Number => (millionths(text).map(Bound::Number), "a number such as `2`"),
    };
    bound.ok_or_else(|| error(format!("`{figure}` is compared with {example}, not with `{text}`")))
}

fn ratio(text: &str) -> Option<Share> {
    let ppm = u32::try_from(millionths(text)?).ok()?;
    (ppm <= 1_000_000).then(|| Share::from_ppm(ppm))
}

/// A decimal number in millionths, exactly.
fn millionths(text: &str) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || fraction.len() > 6 {
        return None;
    }
    let fraction: u64 = format!("{fraction:0<6}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(fraction)
}

fn find_subject(mesh: &Mesh, subject: &str) -> Result<ObjectiveSubject, ObjectiveError> {
    if let Some(name) = subject.strip_prefix("release/") {
        return find_release(mesh, name);
    }
    let clients = &mesh.behaviour.clients;
    let (name, only_service) = subject.strip_prefix("svc/").map_or((subject, false), |name| (name, true));
    if let Some(client) = clients.get_index_of(name).filter(|_| !only_service) {
        return Ok(ObjectiveSubject::Client(client));
    }
    let is_named = |id: &ServiceId| {
        let service = mesh.service(*id);
        service.meta.name() == name || service.full_name() == name || service.host == name
    };
    let found: Vec<ServiceId> = mesh.service_ids().filter(is_named).collect();
    match found.as_slice() {
        [one] => Ok(ObjectiveSubject::Service(*one)),
        [] if mesh.behaviour.queues.contains_key(name) => {
            Ok(ObjectiveSubject::Queue(mesh.behaviour.queues.get_index_of(name).unwrap_or_default()))
        }
        [] => {
            let known: Vec<&str> = mesh.services.iter().map(|service| service.meta.name()).collect();
            let queues = mesh.behaviour.queues.keys().map(String::as_str);
            let hint = did_you_mean(name, clients.keys().map(String::as_str).chain(known).chain(queues))
                .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
            Err(error(format!("there is no client, service or queue `{name}`{hint}")))
        }
        several => {
            let names: Vec<String> = several.iter().map(|id| format!("`{}`", mesh.service(*id).full_name())).collect();
            Err(error(format!("`{name}` is ambiguous: {}", names.join(" or "))))
        }
    }
}

/// A Rollout or Canary by its name, with its namespace where two have the same.
fn find_release(mesh: &Mesh, name: &str) -> Result<ObjectiveSubject, ObjectiveError> {
    let known = mesh.releasable();
    let is_named = |full: &String| full == name || full.split_once('/').is_some_and(|(_, short)| short == name);
    let found: Vec<usize> = known.iter().enumerate().filter(|(_, full)| is_named(full)).map(|(at, _)| at).collect();
    match found.as_slice() {
        [one] => Ok(ObjectiveSubject::Release(*one)),
        [] => Err(error(format!("there is no Rollout and no Canary `{name}`"))),
        _ => Err(error(format!("`{name}` is ambiguous: write `release/NAMESPACE/NAME`"))),
    }
}

fn names(has: fn(&Figure) -> bool) -> String {
    let names: Vec<&str> = FIGURES.iter().filter(|(_, figure)| has(figure)).map(|(name, _)| *name).collect();
    names.join(", ")
}

const fn error(message: String) -> ObjectiveError {
    ObjectiveError { message }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Responses(code) => write!(f, "responses.{code}"),
            Self::Flags(flag) => write!(f, "flags.{flag}"),
            Self::JobsAtLeast(jobs) => write!(f, "jobs_at_least.{jobs}"),
            named => f.write_str(FIGURES.iter().find(|(_, figure)| figure == named).map_or("", |(name, _)| name)),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::Greater => ">",
            Self::AtLeast => ">=",
        })
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(f, "{share}"),
            Self::Time(time) => write!(f, "{time}"),
            Self::Rate(rate) => write!(f, "{rate}"),
            Self::Number(millionths) => {
                let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
                f.write_str(text.trim_end_matches('0').trim_end_matches('.'))
            }
        }
    }
}

impl fmt::Display for Objective {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Figure { subject, figure, comparison, bound } => {
                write!(f, "{subject}.{figure} {comparison} {bound}")
            }
            Self::RecoversWithin(time) => write!(f, "recovers within {time}"),
        }
    }
}
