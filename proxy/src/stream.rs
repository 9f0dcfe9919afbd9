//! One downstream request in flight: what the connection manager, the router and each attempt remember of it.

use smallvec::SmallVec;

use crate::{
    ClusterId, ConnectionId, HostId, ListenerId, Nanos, RequestKey, ResponseFlag, ResponseFlags, StreamId, Time,
    filter::Admitted, header_list::HeaderList, held::Held, hosts::Tried, pool::PoolId, response::Response,
    retry::RetryState, table::Resolution, timeout::Timeouts,
};

/// A deadline that may be unset. A timer that fires before it, or without it, is a late one and means nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Alarm(Time);

impl Default for Alarm {
    fn default() -> Self {
        Self::OFF
    }
}

impl Alarm {
    /// Set to the end of time, which never comes.
    pub(crate) const OFF: Self = Self(Time::from_nanos(u64::MAX));

    pub(crate) const fn at(at: Time) -> Self {
        Self(at)
    }

    pub(crate) const fn is_set(self) -> bool {
        self.0.as_nanos() != u64::MAX
    }

    pub(crate) fn is_due(self, now: Time) -> bool {
        self.is_set() && self.0 <= now
    }

    /// When it rings, if it is set.
    pub(crate) fn time(self) -> Option<Time> {
        self.is_set().then_some(self.0)
    }

    /// Clears the alarm if it is due and says whether it was.
    pub(crate) fn ring(&mut self, now: Time) -> bool {
        let due = self.is_due(now);
        if due {
            *self = Self::OFF;
        }
        due
    }

    /// Clears the alarm and says whether it was set.
    pub(crate) const fn clear(&mut self) -> bool {
        let was_set = self.is_set();
        *self = Self::OFF;
        was_set
    }
}

/// A limit on silence. Activity only notes the time; the timer looks at it when it fires.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Idle {
    pub(crate) limit: Nanos,
    pub(crate) last_activity: Time,
    pub(crate) alarm: Alarm,
}

impl Idle {
    /// The timer has fired.
    pub(crate) fn ring(&mut self, now: Time) -> Silence {
        if !self.alarm.ring(now) {
            return Silence::Late;
        }
        let at = self.last_activity + self.limit;
        if at <= now {
            return Silence::TooLong;
        }
        self.alarm = Alarm::at(at);
        Silence::Until(at)
    }
}

/// What a timer of silence finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Silence {
    /// It means nothing any more.
    Late,
    /// There was activity: look again then.
    Until(Time),
    /// Time is up.
    TooLong,
}

/// Where a stream is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// In the filter chain, waiting in the filter with this index.
    Filters(usize),
    /// In the router.
    Router,
    /// Over; only the access log is left.
    #[default]
    Ended,
}

/// What the access log will say.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) status: u16,
    pub(crate) flags: ResponseFlags,
    /// Fixed details; empty: `details_text` holds them.
    pub(crate) details: &'static str,
    pub(crate) details_text: String,
    pub(crate) duration: Nanos,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) is_logged: bool,
}

impl Outcome {
    /// Makes a reused outcome new.
    pub(crate) fn clear(&mut self) {
        self.status = 0;
        self.flags = ResponseFlags::NONE;
        self.details = "";
        self.details_text.clear();
        self.duration = Nanos::ZERO;
        self.grpc_status = None;
        self.is_logged = true;
    }
}

/// One downstream request.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stream {
    pub(crate) key: RequestKey,
    /// Which of the proxy's tables it was routed by.
    pub(crate) version: usize,
    pub(crate) listener: ListenerId,
    pub(crate) phase: Phase,
    pub(crate) request: Held,
    pub(crate) response: Response,
    pub(crate) outcome: Outcome,
    /// The stream's random number.
    pub(crate) draw: u64,
    pub(crate) resolution: Resolution,
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) weighted: Option<u16>,
    pub(crate) started: Time,
    pub(crate) request_complete_at: Option<Time>,
    pub(crate) body_bytes: u64,
    pub(crate) response_started: bool,
    pub(crate) http2: bool,
    /// A mirrored copy: nobody waits for its answer.
    pub(crate) shadow: bool,
    pub(crate) shadows: SmallVec<[StreamId; 2]>,
    pub(crate) idle: Idle,
    pub(crate) max_duration: Alarm,
    pub(crate) request_timeout: Alarm,
    pub(crate) fault_delay: Alarm,
    pub(crate) callout: Alarm,
    /// What an authorizer adds to the answer.
    pub(crate) authorized: HeaderList,
    /// Filters that the request has passed and that want to know how it ends.
    pub(crate) filters: SmallVec<[Admitted; 4]>,
    pub(crate) redirects: u32,
    /// It was to follow a redirect to where there is no route; the access log shows no route either.
    pub(crate) lost_route: bool,
    pub(crate) router: Router,
}

impl Stream {
    /// Whether the request has arrived completely.
    pub(crate) const fn is_request_complete(&self) -> bool {
        self.request_complete_at.is_some()
    }

    pub(crate) const fn flag(&mut self, flag: ResponseFlag) {
        self.outcome.flags.insert(flag);
    }

    pub(crate) fn attempt(&self, number: u32) -> Option<&Attempt> {
        self.router.attempts.iter().find(|attempt| attempt.number == number)
    }

    pub(crate) fn attempt_mut(&mut self, number: u32) -> Option<&mut Attempt> {
        self.router.attempts.iter_mut().find(|attempt| attempt.number == number)
    }
}

/// What the router remembers of a stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Router {
    pub(crate) high_priority: bool,
    pub(crate) timeouts: Timeouts,
    /// 504, or 204 if the request asked for it.
    pub(crate) timeout_status: u16,
    /// Attempts made so far (Envoy: `x-envoy-attempt-count`).
    pub(crate) attempt_count: u32,
    /// Whether the connection of the attempt made last speaks HTTP/2; `None`: it has got none.
    pub(crate) upstream: Option<bool>,
    /// Attempts in flight.
    pub(crate) attempts: Vec<Attempt>,
    /// The attempt whose answer goes downstream.
    pub(crate) accepted: Option<u32>,
    pub(crate) retry: Option<RetryState>,
    pub(crate) back_off: Alarm,
    pub(crate) global: Alarm,
    /// It waits for a host.
    pub(crate) is_queued: bool,
    /// The host picked last.
    pub(crate) host: Option<HostId>,
    pub(crate) tried: Tried,
    pub(crate) hash: Option<u64>,
    /// The request has outgrown what is kept of it, so it cannot be sent again.
    pub(crate) gave_up_buffer: bool,
}

impl Router {
    /// Makes a reused router new.
    pub(crate) fn reset(&mut self) {
        self.high_priority = false;
        self.timeouts = Timeouts::default();
        self.timeout_status = 504;
        self.attempt_count = 0;
        self.upstream = None;
        self.attempts.clear();
        self.accepted = None;
        self.retry = None;
        self.back_off = Alarm::OFF;
        self.global = Alarm::OFF;
        self.is_queued = false;
        self.host = None;
        self.tried.clear();
        self.hash = None;
        self.gave_up_buffer = false;
    }
}

/// Where an attempt is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AttemptState {
    /// Nowhere: not placed yet, or refused.
    Unplaced,
    /// In the queue of its pool.
    Queued,
    /// On a connection.
    Active(ConnectionId),
}

/// One try of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attempt {
    pub(crate) number: u32,
    pub(crate) host: HostId,
    pub(crate) pool: PoolId,
    pub(crate) state: AttemptState,
    pub(crate) awaiting_headers: bool,
    /// Its per-try timeout has started another attempt beside it.
    pub(crate) retried: bool,
    /// When it got its place on a connection.
    pub(crate) attached_at: Time,
    /// Its timeout has been told to outlier detection.
    pub(crate) timeout_recorded: bool,
    pub(crate) per_try: Alarm,
    pub(crate) idle: Idle,
    pub(crate) max_duration: Alarm,
}
