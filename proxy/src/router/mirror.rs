//! Copies of requests that nobody waits for (Envoy: `ShadowWriterImpl`).

use crate::{
    ClusterId, Effect, StreamId,
    machine::Machine,
    stream::Phase,
    table::{ForwardAction, Resolution},
    timeout::Timeouts,
};

impl Machine<'_, '_> {
    /// Starts the route's mirrors, once the first attempt has its place. The stream's random number decides.
    pub(crate) fn start_mirrors(&mut self, id: StreamId, forward: &ForwardAction) {
        let draw = self.core.streams[id].draw;
        let version = self.core.streams[id].version;
        for mirror in &forward.mirrors {
            if let Some(cluster) = mirror.cluster.filter(|_| mirror.fraction.holds(draw)) {
                let cluster = self.versions[version].clusters[cluster.index()];
                self.start_mirror(id, cluster);
            }
        }
    }

    fn start_mirror(&mut self, of: StreamId, cluster: ClusterId) {
        let now = self.cx.now;
        let shadow = self.core.streams.reserve(&mut self.cx.effects.rooms);
        let mut copy = std::mem::take(&mut self.core.streams[shadow]);
        let original = &self.core.streams[of];
        copy.reset(original.key, original.version, original.listener, now);
        copy.request.fresh().clone_from(&original.request);
        copy.request.add_host_suffix("-shadow");
        copy.request.headers.set("x-envoy-internal", "true");
        if let Some(own) = &self.listener(of).manager.node_address {
            copy.request.append_forwarded_for(own);
        }
        copy.phase = Phase::Router;
        copy.resolution = Resolution::NotFound;
        copy.cluster = Some(cluster);
        copy.shadow = true;
        copy.request_complete_at = original.request_complete_at;
        let global = original.router.timeouts.global;
        copy.router.timeouts = Timeouts { global, ..Timeouts::default() };
        copy.router.timeout_status = 504;
        copy.router.attempt_count = 1;
        self.core.users[copy.version] += 1;
        self.core.streams[shadow] = copy;
        self.core.streams[of].shadows.push(shadow);
        self.emit(Effect::Mirror { of, shadow });
        match self.pick_host(shadow, cluster) {
            Some(host) => self.start_attempt(shadow, cluster, host),
            None => self.reply_no_host(shadow, cluster),
        }
        if self.core.streams[shadow].phase == Phase::Router && self.core.streams[shadow].is_request_complete() {
            self.request_complete(shadow);
        }
    }

    /// Sends what arrives of a request to its mirrors too.
    pub(crate) fn mirror_body(&mut self, id: StreamId, bytes: u64, end_stream: bool) {
        for index in 0..self.core.streams[id].shadows.len() {
            let shadow = self.core.streams[id].shadows[index];
            if self.core.streams.get(shadow).is_some_and(|stream| stream.phase == Phase::Router) {
                self.request_body(shadow, bytes, end_stream);
            }
        }
    }
}
