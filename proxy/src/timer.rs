//! Which timer is whose, and whether it still means something.

use crate::{
    AttemptId, ClusterId, StreamId, TimerId,
    machine::{Core, Machine},
    stream::{Attempt, Stream},
    upstream_host::cluster_of,
};

impl Machine<'_, '_> {
    /// A timer has fired.
    pub(crate) fn timer(&mut self, timer: TimerId) {
        match timer {
            TimerId::Route(stream) => self.if_live(stream, |machine| machine.route_timeout(stream)),
            TimerId::PerTry(attempt) => self.per_try_timeout(attempt),
            TimerId::PerTryIdle(attempt) => self.per_try_idle_timeout(attempt),
            TimerId::UpstreamMaxDuration(attempt) => self.upstream_max_duration(attempt),
            TimerId::BackOff(stream) => self.back_off_over(stream),
            TimerId::FaultDelay(stream) => self.fault_delay_over(stream),
            TimerId::StreamIdle(stream) => self.stream_idle(stream),
            TimerId::MaxStreamDuration(stream) => self.max_stream_duration(stream),
            TimerId::RequestTimeout(stream) => self.request_timeout(stream),
            TimerId::Authorize(stream) => self.callout_timeout(stream),
            TimerId::Connect(connection) => self.connect_timeout(connection),
            TimerId::ConnectionIdle(connection) => self.connection_idle(connection),
            TimerId::Concurrency(filter) => self.concurrency_tick(filter),
            TimerId::Failfast(cluster) => self.failfast_begins(cluster),
            _ => self.host_timer(timer),
        }
    }

    fn if_live(&mut self, stream: StreamId, then: impl FnOnce(&mut Self)) {
        if self.core.streams.get(stream).is_some() {
            then(self);
        }
    }
}

impl Core {
    /// A counter or gauge of a cluster by Envoy's name.
    pub(crate) fn counter(&self, cluster: ClusterId, name: &str) -> Option<u64> {
        let state = self.clusters.get(cluster.index())?;
        let own = self.stats.cluster(cluster).by_name(name);
        own.or_else(|| state.hosts.counter(name))
    }

    /// Whether a timer still means something.
    pub(crate) fn is_live(&self, timer: TimerId) -> bool {
        let stream = |id: StreamId, alarm: fn(&Stream) -> bool| self.streams.get(id).is_some_and(alarm);
        let attempt = |id: AttemptId, alarm: fn(&Attempt) -> bool| {
            self.streams.get(id.stream).and_then(|stream| stream.attempt(id.number)).is_some_and(alarm)
        };
        match timer {
            TimerId::Route(id) => stream(id, |stream| stream.router.global.is_set()),
            TimerId::BackOff(id) => stream(id, |stream| stream.router.back_off.is_set()),
            TimerId::FaultDelay(id) => stream(id, |stream| stream.fault_delay.is_set()),
            TimerId::StreamIdle(id) => stream(id, |stream| stream.idle.alarm.is_set()),
            TimerId::MaxStreamDuration(id) => stream(id, |stream| stream.max_duration.is_set()),
            TimerId::RequestTimeout(id) => stream(id, |stream| stream.request_timeout.is_set()),
            TimerId::Authorize(id) => stream(id, |stream| stream.callout.is_set()),
            TimerId::PerTry(id) => attempt(id, |attempt| attempt.per_try.is_set()),
            TimerId::PerTryIdle(id) => attempt(id, |attempt| attempt.idle.alarm.is_set()),
            TimerId::UpstreamMaxDuration(id) => attempt(id, |attempt| attempt.max_duration.is_set()),
            TimerId::Connect(id) | TimerId::ConnectionIdle(id) => {
                self.connections.get(id).is_some_and(|connection| connection.is_timer_live(timer))
            }
            TimerId::Concurrency(_) => true,
            TimerId::Failfast(id) => {
                self.clusters.get(id.index()).is_some_and(|cluster| cluster.queue.failfast.is_set())
            }
            _ => cluster_of(timer)
                .and_then(|cluster| self.clusters.get(cluster.index()))
                .is_some_and(|state| state.hosts.is_timer_live(timer)),
        }
    }
}
