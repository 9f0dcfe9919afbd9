//! What connections become while old and new configurations stand side by side: the two ends decide when one is opened,
//! and one that would become something else today is drained.

use meshproof_proxy::{ClusterId, ConnectionId, HostId, config::DownstreamTls};

use super::{Engine, Event, Home, NONE};
use crate::plan::{Link, Target, link, plain_link};

impl Engine<'_> {
    /// Where a proxy's connection to a host of a cluster ends, and what it becomes now.
    pub(super) fn end_of(&self, instance: u32, cluster: ClusterId, host: HostId) -> (Target, Link) {
        let nowhere = (Target::Nowhere, Link::Plaintext);
        let entry = &self.instances[instance as usize];
        if !self.plan.mixes {
            return entry.spec.host(cluster, host).map_or(nowhere, |host| (host.target, host.link));
        }
        // A host keeps its number for the life of a proxy, whatever its place in the configuration.
        let find = || {
            let known = entry.proxy.host(cluster, host)?;
            let config = entry.spec.config.as_ref()?.clusters.get(cluster.index())?;
            let is_it =
                |host: &&meshproof_proxy::config::Host| host.address == known.address && host.name == known.name;
            let at = config.hosts.iter().position(|host| is_it(&host))?;
            Some((config, at, entry.spec.clusters.get(cluster.index())?.hosts.get(at)?.target))
        };
        let Some((config, at, target)) = find() else { return nowhere };
        let id =
            |identity: &_| self.plan.identities.iter().position(|known| known == identity).map_or(NONE, |at| at as u32);
        (target, link(config, &config.hosts[at], self.tls_of(target), id))
    }

    /// What a connection of a client outside the mesh becomes.
    pub(super) fn link_from_outside(&self, target: Target, at_start: Link) -> Link {
        if self.plan.mixes { plain_link(self.tls_of(target)) } else { at_start }
    }

    /// What the far end of a connection asks for now; `None`: plaintext.
    fn tls_of(&self, target: Target) -> Option<&DownstreamTls> {
        let Target::Proxy { node, listener } = target else { return None };
        let node = &self.nodes[node as usize];
        let server = &self.instances[node.gateway.or(node.inbound)? as usize];
        Some(&server.spec.config.as_ref()?.listeners.get(listener.index())?.tls)
    }

    /// A proxy has another configuration. Connections from it and to it that would become something else now take no
    /// further requests (Envoy drains filter chains and clusters that are gone).
    pub(super) fn drain_connections(&mut self, changed: u32) {
        if !self.plan.mixes {
            return;
        }
        let own = self.instances[changed as usize].node;
        for (number, instance) in (0_u32..).zip(&self.instances) {
            let is_changed = number == changed;
            let at = instance.home(number);
            let known = instance.connections.iter().flatten();
            for known in known.filter(|known| is_changed || known.target.node() == Some(own)) {
                let cluster = ClusterId::new(known.cluster);
                if self.end_of(number, cluster, known.host) == (known.target, known.link) {
                    continue;
                }
                let way = if is_changed {
                    0
                } else {
                    self.link_delay(Some(instance.node), Some(own), u64::from(number), self.now)
                };
                self.queue.push(self.now.saturating_add(way), Event::Goaway { at, connection: known.id });
            }
        }
    }

    pub(super) fn on_goaway(&mut self, at: Home, connection: ConnectionId) -> bool {
        if self.connection(at, connection).is_none() {
            return false;
        }
        self.with_proxy(at.instance, |proxy, cx| proxy.on_goaway(cx, connection));
        true
    }
}
