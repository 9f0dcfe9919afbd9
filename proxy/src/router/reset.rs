//! What follows when an attempt ends before its answer does (Envoy: `Filter::onUpstreamReset`).

use super::retry::Verdict;
use crate::{
    AttemptId, ResetReason, ResponseFlag, machine::Machine, reply::Reply, stats::ClusterCounter, stream::AttemptState,
};

impl Machine<'_, '_> {
    /// The upstream has reset one stream, or broken HTTP on it; over HTTP/1.1 the connection goes with it.
    pub(crate) fn upstream_reset(&mut self, id: AttemptId, reason: ResetReason) {
        let Some(attempt) = self.core.streams.get(id.stream).and_then(|stream| stream.attempt(id.number)) else {
            return;
        };
        let AttemptState::Active(connection) = attempt.state else { return };
        if !self.core.connections[connection].http2 {
            return self.connection_lost(connection, reason);
        }
        self.count_reset(id, reason);
        self.attempt_reset(id, reason);
    }

    /// An attempt is over without an answer, or in the middle of one.
    pub(crate) fn attempt_reset(&mut self, id: AttemptId, reason: ResetReason) {
        let Some(stream) = self.core.streams.get(id.stream) else { return };
        let Some(attempt) = stream.attempt(id.number).copied() else { return };
        let response_started = stream.response_started;
        if reason != ResetReason::Overflow {
            self.host_failed(attempt.pool.cluster, attempt.host, None);
        }
        if self.retries_reset(id, reason) {
            return;
        }
        let cluster = attempt.pool.cluster;
        let status = if reason == ResetReason::ProtocolError { 502 } else { 503 };
        if !response_started {
            self.core.stats.cluster_mut(cluster).charge(status);
        }
        self.release_attempt(id, false);
        if self.others_may_answer(id) {
            return;
        }
        let stream = self.stream(id.stream);
        if response_started {
            let reply = Reply::new(status, reset_details(reason, true)).flag(flag(reason));
            return self.local_reply(id.stream, reply);
        }
        let retried = if stream.router.attempt_count > 1 { "retried and the latest " } else { "" };
        let text = reason_text(reason);
        let transport = match reason {
            ResetReason::RemoteConnectionFailure => {
                ", transport failure reason: delayed connect error: Connection refused"
            }
            ResetReason::TlsFailure => ", transport failure reason: TLS_error",
            _ => "",
        };
        let body = format_args!(
            "upstream connect error or disconnect/reset before headers. {retried}reset reason: {text}{transport}"
        );
        let mut reply = Reply::new(status, reset_details(reason, false)).flag(flag(reason)).body_fmt(body).by_router();
        if reason == ResetReason::Overflow {
            reply = reply.header("x-envoy-overloaded", "true");
        }
        self.local_reply(id.stream, reply);
    }

    /// Asks the retry policy about a reset; `true`: a retry is scheduled and the attempt is gone.
    pub(crate) fn retries_reset(&mut self, id: AttemptId, reason: ResetReason) -> bool {
        let stream = &self.core.streams[id.stream];
        let Some(attempt) = stream.attempt(id.number).copied() else { return false };
        if stream.response_started || attempt.retried {
            return false;
        }
        let Some(retry) = &stream.router.retry else { return false };
        let was_sent = matches!(attempt.state, AttemptState::Active(_));
        let decision = retry.on_reset(reason, was_sent);
        match self.should_retry(id.stream, decision, None) {
            Verdict::Retry => {
                self.release_attempt(id, false);
                return true;
            }
            Verdict::LimitExceeded => self.stream(id.stream).flag(ResponseFlag::UpstreamRetryLimitExceeded),
            Verdict::Overflow => self.stream(id.stream).flag(ResponseFlag::UpstreamOverflow),
            Verdict::No => {}
        }
        false
    }

    /// Whether another attempt, or one that is scheduled, may still bring an answer.
    pub(crate) fn others_may_answer(&self, id: AttemptId) -> bool {
        let router = &self.core.streams[id.stream].router;
        let mut others = router.attempts.iter().filter(|attempt| attempt.number != id.number);
        router.back_off.is_set() || others.any(|attempt| attempt.awaiting_headers)
    }

    /// Counts an upstream's or this proxy's reset of a stream on an HTTP/2 connection.
    pub(crate) fn count_reset(&mut self, id: AttemptId, reason: ResetReason) {
        let Some(attempt) = self.core.streams.get(id.stream).and_then(|stream| stream.attempt(id.number)) else {
            return;
        };
        let AttemptState::Active(connection) = attempt.state else { return };
        if !self.core.connections.get(connection).is_some_and(|connection| connection.http2) {
            return;
        }
        let cluster = attempt.pool.cluster;
        match reason {
            ResetReason::RemoteReset => self.count(cluster, ClusterCounter::UpstreamRqRxReset),
            ResetReason::LocalReset | ResetReason::ProtocolError => {
                self.count(cluster, ClusterCounter::UpstreamRqTxReset);
            }
            _ => {}
        }
    }
}

const fn flag(reason: ResetReason) -> ResponseFlag {
    match reason {
        ResetReason::RemoteConnectionFailure
        | ResetReason::TlsFailure
        | ResetReason::LocalConnectionFailure
        | ResetReason::ConnectionTimeout => ResponseFlag::UpstreamConnectionFailure,
        ResetReason::ConnectionTermination => ResponseFlag::UpstreamConnectionTermination,
        ResetReason::RemoteReset | ResetReason::RemoteRefusedStream => ResponseFlag::UpstreamRemoteReset,
        ResetReason::ProtocolError => ResponseFlag::UpstreamProtocolError,
        ResetReason::Overflow => ResponseFlag::UpstreamOverflow,
        ResetReason::LocalReset => ResponseFlag::LocalReset,
    }
}

/// Envoy: `resetReasonToString`.
const fn reason_text(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::RemoteConnectionFailure | ResetReason::TlsFailure => "remote connection failure",
        ResetReason::LocalConnectionFailure => "local connection failure",
        ResetReason::ConnectionTimeout => "connection timeout",
        ResetReason::ConnectionTermination => "connection termination",
        ResetReason::RemoteReset => "remote reset",
        ResetReason::RemoteRefusedStream => "remote refused stream reset",
        ResetReason::ProtocolError => "protocol error",
        ResetReason::Overflow => "overflow",
        ResetReason::LocalReset => "local reset",
    }
}

macro_rules! reset_details {
    ($reason:expr, $after:expr; $($variant:ident => $text:literal,)*) => {
        match ($reason, $after) {
            $(
                (ResetReason::$variant, false) => concat!("upstream_reset_before_response_started{", $text, "}"),
                (ResetReason::$variant, true) => concat!("upstream_reset_after_response_started{", $text, "}"),
            )*
        }
    };
}

const fn reset_details(reason: ResetReason, after: bool) -> &'static str {
    reset_details! { reason, after;
        RemoteConnectionFailure => "remote_connection_failure|delayed_connect_error:_Connection_refused",
        TlsFailure => "remote_connection_failure|TLS_error",
        LocalConnectionFailure => "local_connection_failure",
        ConnectionTimeout => "connection_timeout",
        ConnectionTermination => "connection_termination",
        RemoteReset => "remote_reset",
        RemoteRefusedStream => "remote_refused_stream_reset",
        ProtocolError => "protocol_error",
        Overflow => "overflow",
        LocalReset => "local_reset",
    }
}
