//! What the core asks its driver to do.

use crate::{AttemptId, ClusterId, ConnectionId, HostId, StreamId, Time, streams::Room};

/// One thing for the driver to do. Order counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Open a connection, then call `on_connected` or `on_connect_failed`.
    Connect {
        /// Its handle.
        connection: ConnectionId,
        /// Whose host.
        cluster: ClusterId,
        /// Which host.
        host: HostId,
    },
    /// Send the request of this attempt over an open connection.
    Send {
        /// Which try.
        attempt: AttemptId,
        /// Over which connection.
        connection: ConnectionId,
        /// Whose host.
        cluster: ClusterId,
        /// Which host.
        host: HostId,
    },
    /// Reset this attempt's stream; its answer no longer matters. Over HTTP/1.1 a [`Effect::Close`] follows.
    ResetUpstream {
        /// Which try.
        attempt: AttemptId,
        /// Over which connection.
        connection: ConnectionId,
    },
    /// Close a connection, or give up opening it.
    Close(ConnectionId),
    /// Call `on_timer` at `at`.
    SetTimer {
        /// What to pass back.
        timer: TimerId,
        /// When.
        at: Time,
    },
    /// The timer is no longer wanted. A driver may ignore this: late timers are recognised.
    ClearTimer(TimerId),
    /// Send response headers downstream.
    Respond {
        /// Whose.
        stream: StreamId,
        /// HTTP status.
        status: u16,
    },
    /// Pass response body on downstream.
    RespondBody {
        /// Whose.
        stream: StreamId,
        /// How much.
        bytes: u64,
    },
    /// The stream is over. Its access log stays readable until the next call.
    End {
        /// Which.
        stream: StreamId,
        /// How the client sees the end.
        how: StreamEnd,
    },
    /// A copy of a stream's request is sent as a stream of its own, whose answer nobody waits for.
    Mirror {
        /// The stream that is copied.
        of: StreamId,
        /// The copy.
        shadow: StreamId,
    },
    /// Ask the external authorizer, then call [`Proxy::on_authorized`](crate::Proxy::on_authorized).
    Authorize {
        /// About which stream.
        stream: StreamId,
    },
    /// Ask the rate limit service, then call
    /// [`Proxy::on_rate_limit_answered`](crate::Proxy::on_rate_limit_answered).
    CheckRateLimit {
        /// About which stream.
        stream: StreamId,
    },
    /// Check a host's health, then call `on_health_checked`.
    CheckHealth {
        /// Whose host.
        cluster: ClusterId,
        /// Which host.
        host: HostId,
    },
    /// Something happened that an observer may want to know.
    Note(Note),
}

/// How the client sees a stream end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum StreamEnd {
    /// The response is complete.
    Complete,
    /// The response is cut off: a closed connection or a reset stream.
    Reset,
    /// The client had left.
    ClientGone,
}

/// Something that happened inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Note {
    /// A host was ejected by outlier detection.
    Ejected(ClusterId, HostId),
    /// A host came back.
    Unejected(ClusterId, HostId),
    /// A retry was refused by the breaker or the budget.
    RetryOverflow(ClusterId),
    /// A request was refused by a circuit breaker.
    Overflow(ClusterId),
    /// A request went to any host because too few were healthy.
    Panic(ClusterId),
}

/// What a timer is for. The id is all that a driver must keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimerId {
    /// The route's timeout.
    Route(StreamId),
    /// One try ran too long.
    PerTry(AttemptId),
    /// One try was silent too long.
    PerTryIdle(AttemptId),
    /// One try's stream lasted too long.
    UpstreamMaxDuration(AttemptId),
    /// The back-off before a retry has ended.
    BackOff(StreamId),
    /// An injected delay has ended.
    FaultDelay(StreamId),
    /// The stream was silent too long.
    StreamIdle(StreamId),
    /// The stream lasted too long.
    MaxStreamDuration(StreamId),
    /// The request took too long to arrive.
    RequestTimeout(StreamId),
    /// The authorizer took too long.
    Authorize(StreamId),
    /// A connection took too long to open.
    Connect(ConnectionId),
    /// A connection was without requests too long.
    ConnectionIdle(ConnectionId),
    /// The next look at a cluster's outliers.
    Outlier(ClusterId),
    /// Health changes are published.
    Publish(ClusterId),
    /// The next health check of a host.
    HealthCheck(ClusterId, HostId),
    /// A health check took too long.
    HealthCheckTimeout(ClusterId, HostId),
    /// A penalty of Linkerd's failure accrual has ended.
    Penalty(ClusterId, HostId),
    /// The next update of an adaptive concurrency limit; the number is the filter's.
    Concurrency(u32),
    /// No host of a cluster was ready for long (Linkerd's failfast).
    Failfast(ClusterId),
}

impl TimerId {
    /// The stream that it is for, if it is for one: when that has ended, the timer means nothing.
    pub const fn stream(self) -> Option<StreamId> {
        match self {
            Self::PerTry(attempt) | Self::PerTryIdle(attempt) | Self::UpstreamMaxDuration(attempt) => {
                Some(attempt.stream)
            }
            Self::Route(stream)
            | Self::BackOff(stream)
            | Self::FaultDelay(stream)
            | Self::StreamIdle(stream)
            | Self::MaxStreamDuration(stream)
            | Self::RequestTimeout(stream)
            | Self::Authorize(stream) => Some(stream),
            Self::Connect(_)
            | Self::ConnectionIdle(_)
            | Self::Outlier(_)
            | Self::Publish(_)
            | Self::HealthCheck(..)
            | Self::HealthCheckTimeout(..)
            | Self::Penalty(..)
            | Self::Concurrency(_)
            | Self::Failfast(_) => None,
        }
    }
}

/// A reusable buffer of effects, and the room of streams that ended: proxies that are lent the same buffer share it.
#[derive(Debug, Default)]
pub struct Effects {
    buffer: Vec<Effect>,
    is_terse: bool,
    pub(crate) rooms: Vec<Room>,
}

impl Clone for Effects {
    /// Room is made anew where it is wanted.
    fn clone(&self) -> Self {
        Self { buffer: self.buffer.clone(), is_terse: self.is_terse, rooms: Vec::new() }
    }
}

impl Effects {
    /// A buffer that leaves out what a driver can do without: [`Effect::ClearTimer`], since late timers are recognised,
    /// and [`Effect::Respond`] and [`Effect::RespondBody`], where an answer counts when its stream ends.
    pub fn terse() -> Self {
        Self { is_terse: true, ..Self::default() }
    }

    #[inline]
    pub(crate) fn push(&mut self, effect: Effect) {
        let is_spare = matches!(effect, Effect::ClearTimer(_) | Effect::Respond { .. } | Effect::RespondBody { .. });
        if !(is_spare && self.is_terse) {
            self.buffer.push(effect);
        }
    }

    /// Takes every effect in order and keeps the allocation.
    pub fn drain(&mut self) -> impl Iterator<Item = Effect> + '_ {
        self.buffer.drain(..)
    }

    /// How many effects wait.
    pub fn len(&self) -> usize {
        self.buffer.len()
    }

    /// Whether no effect waits.
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty()
    }
}
