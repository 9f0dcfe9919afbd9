//! Upstream connections: how they open, and how they end.

use meshproof_proxy::{ClusterId, ConnectionId, HealthResult, HostId, Nanos, ResetReason, config};

use super::{
    transport::{self, Facts},
    world::{Event, Target, World},
};
use crate::case::{Listen, Millis};

/// Streams that a scripted HTTP/2 host takes at a time, where the case does not say.
const HOST_STREAMS: u32 = 1000;

/// One upstream connection.
pub(crate) struct Link {
    pub(crate) node: usize,
    pub(crate) connection: ConnectionId,
    pub(crate) target: Target,
    pub(crate) http2: bool,
    pub(crate) state: LinkState,
    /// Open, but the peer will cut it.
    pub(crate) is_doomed: bool,
    /// In the order in which the host accepted its connections.
    pub(crate) number: usize,
    /// Attempts in the order in which they were sent.
    pub(crate) legs: Vec<usize>,
    /// What the peer's proxy knows of this side.
    pub(crate) facts: Facts,
    /// Why it could not be opened, in the schema's words.
    failure: Option<&'static str>,
    alpn: Option<bool>,
    /// What the peer's proxy reads, if ALPN has told it.
    pub(crate) read_as_http2: Option<bool>,
    /// The peer has met another protocol than was agreed on, and will close.
    pub(crate) is_misread: bool,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LinkState {
    Opening,
    Open,
    Closed,
}

impl World<'_> {
    /// A proxy opens a connection.
    pub(crate) fn connect(&mut self, node: usize, connection: ConnectionId, cluster: ClusterId, host: HostId) {
        let target = self.nodes[node].targets[cluster.index()][host.index()];
        let index = self.links.len();
        self.links.push(Link {
            node,
            connection,
            target,
            http2: self.nodes[node].config.clusters[cluster.index()].protocol == config::UpstreamProtocol::Http2,
            state: LinkState::Opening,
            is_doomed: false,
            number: 0,
            legs: Vec::new(),
            facts: Facts::default(),
            failure: None,
            alpn: None,
            read_as_http2: None,
            is_misread: false,
        });
        self.nodes[node].links.insert(connection, index);
        match target {
            Target::Scripted(scripted) => {
                let cluster = &self.nodes[node].config.clusters[cluster.index()];
                // A scripted host waits for the end of a request head that never comes in a TLS handshake.
                let is_mute = transport::is_tls(cluster, &cluster.hosts[host.index()]);
                match self.hosts[scripted].listen {
                    Listen::Open if is_mute => {}
                    Listen::Open => self.io(Nanos::ZERO, Event::LinkUp(index)),
                    Listen::Closed => {
                        self.links[index].failure = Some("connection_refused");
                        self.io(Nanos::ZERO, Event::LinkFailed(index));
                    }
                    Listen::Blackhole => {}
                }
            }
            Target::Proxy(server) => self.connect_proxy(index, cluster, host, server),
        }
    }

    fn connect_proxy(&mut self, link: usize, cluster: ClusterId, host: HostId, server: usize) {
        let node = self.links[link].node;
        let cluster = &self.nodes[node].config.clusters[cluster.index()];
        let outcome = transport::open(cluster, &cluster.hosts[host.index()], &self.nodes[server]);
        let name = cluster.name.clone();
        for counter in outcome.client_counters {
            *self.nodes[node].transport.entry(format!("{name}.{counter}")).or_default() += 1;
        }
        for counter in outcome.server_counters {
            *self.nodes[server].transport.entry(format!("listener.{counter}")).or_default() += 1;
        }
        let this = &mut self.links[link];
        this.facts = outcome.facts;
        this.is_doomed = outcome.is_doomed;
        this.alpn = outcome.http2;
        this.read_as_http2 = outcome.read_as_http2;
        this.failure = outcome.failure;
        let event = if this.failure.is_some() { Event::LinkFailed(link) } else { Event::LinkUp(link) };
        self.io(Nanos::ZERO, event);
    }

    /// A connection is open.
    pub(crate) fn link_up(&mut self, link: usize) {
        let Link { node, connection, target, http2, alpn, is_doomed, state: LinkState::Opening, .. } = self.links[link]
        else {
            return;
        };
        self.links[link].state = LinkState::Open;
        self.links[link].http2 = alpn.unwrap_or(http2);
        if let Target::Scripted(host) = target {
            self.links[link].number = self.hosts[host].accepted;
            self.hosts[host].accepted += 1;
        }
        self.call(node, |proxy, cx| proxy.on_connected(cx, connection, alpn));
        self.settle(node, None);
        if self.links[link].http2 && matches!(target, Target::Scripted(_)) {
            self.io(Nanos::ZERO, Event::Settings(link));
        }
        if is_doomed {
            self.io(Nanos::ZERO, Event::LinkCut(link));
        }
    }

    /// A connection could not be opened.
    pub(crate) fn link_failed(&mut self, link: usize) {
        let Link { node, connection, state: LinkState::Opening, .. } = self.links[link] else { return };
        self.links[link].state = LinkState::Closed;
        let failure = self.links[link].failure;
        let reason = match failure {
            Some("connection_refused") | None => ResetReason::RemoteConnectionFailure,
            Some(_) => ResetReason::TlsFailure,
        };
        self.call(node, |proxy, cx| proxy.on_connect_failed(cx, connection, reason));
        self.transport_failure = failure;
        self.settle(node, None);
        self.transport_failure = None;
    }

    /// The peer closes a link without having answered.
    pub(crate) fn link_cut(&mut self, link: usize) {
        if self.links[link].state == LinkState::Open {
            self.link_lost(link, ResetReason::ConnectionTermination);
        }
    }

    /// An open connection is gone.
    pub(crate) fn link_lost(&mut self, link: usize, reason: ResetReason) {
        let Link { node, connection, .. } = self.links[link];
        self.links[link].state = LinkState::Closed;
        self.drop_legs(link);
        self.call(node, |proxy, cx| proxy.on_connection_closed(cx, connection, reason));
        self.settle(node, None);
    }

    /// The hosts' HTTP/2 settings arrive.
    pub(crate) fn settings(&mut self, link: usize) {
        let Link { node, connection, state: LinkState::Open, .. } = self.links[link] else { return };
        let streams = self.case.upstream.http2.max_concurrent_streams.unwrap_or(HOST_STREAMS);
        self.call(node, |proxy, cx| proxy.on_settings(cx, connection, streams));
        self.settle(node, None);
    }

    /// The proxy closes a connection, or gives up opening it.
    pub(crate) fn close_link(&mut self, node: usize, connection: ConnectionId) {
        let Some(link) = self.nodes[node].links.get(&connection).copied() else { return };
        self.links[link].state = LinkState::Closed;
        self.drop_legs(link);
    }

    /// A proxy checks a host's health; the answer comes at once, or never.
    pub(crate) fn check_health(&mut self, node: usize, cluster: ClusterId, host: HostId) {
        let is_dead = match self.nodes[node].targets[cluster.index()][host.index()] {
            Target::Scripted(scripted) => self.hosts[scripted].listen == Listen::Blackhole,
            Target::Proxy(_) => false,
        };
        if !is_dead {
            self.io(Nanos::ZERO, Event::Health { node, cluster, host });
        }
    }

    /// A health check is answered: a refused connection is a failure, a proxy answers that it is well.
    pub(crate) fn health_checked(&mut self, node: usize, cluster: ClusterId, host: HostId) {
        let result = match self.nodes[node].targets[cluster.index()][host.index()] {
            Target::Proxy(_) => HealthResult::Status(200),
            Target::Scripted(scripted) => {
                let scripted = &self.hosts[scripted];
                let since = Millis::from_nanos(self.now.since(self.start));
                match scripted.listen {
                    Listen::Open => HealthResult::Status(self.case.upstream.health(&scripted.name, since)),
                    _ => HealthResult::Failed,
                }
            }
        };
        self.call(node, |proxy, cx| proxy.on_health_checked(cx, cluster, host, result));
        self.settle(node, None);
    }
}
