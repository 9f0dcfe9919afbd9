//! What a way takes: the link, the proxies at its ends, and what faults make of it.

use super::Engine;
use crate::{
    dist::reduce,
    entropy::{Purpose, mix},
    plan::{FaultEffect, LinkSide, Target},
};

/// Draws of one attempt's ways, by direction: the link, then each proxy.
pub(super) const OUT: u64 = 0;
pub(super) const BACK: u64 = 2;
pub(super) const RESET: u64 = 4;

/// How long TCP waits before it sends something lost again (Linux: `TCP_RTO_MIN`), in nanoseconds.
const RESENT_AFTER: u64 = 200_000_000;
/// BOUND: so often it doubles that time.
const RESENT_MAX: u32 = 10;

impl Engine<'_> {
    /// One way between two replicas; `None`: a client outside the mesh, or nobody, as near as the other end.
    pub(super) fn link_delay(&self, from: Option<u32>, to: Option<u32>, key: u64, n: u64) -> u64 {
        let place = |node: Option<u32>| node.map(|node| &self.plan.nodes[node as usize]);
        let network = &self.plan.network;
        let sampler = match (place(from), place(to), &network.cross_cluster) {
            (Some(a), Some(b), Some(cross_cluster)) if a.cluster != b.cluster => cross_cluster,
            (Some(a), Some(b), _) if a.zone != b.zone => &network.cross_zone,
            _ => &network.same_zone,
        };
        let delay = sampler.constant().unwrap_or_else(|| sampler.sample(self.keys.draw(Purpose::Link, key, n)));
        if self.bad_links.is_empty() { delay } else { self.bad_delay(from, to, key, n, delay) }
    }

    /// What active faults make of a delay.
    fn bad_delay(&self, from: Option<u32>, to: Option<u32>, key: u64, n: u64, mut delay: u64) -> u64 {
        for link in &self.bad_links {
            if !self.concerns(*link, from, to) {
                continue;
            }
            let fault = &self.plan.bad_links[*link as usize];
            let draw = self.keys.draw(Purpose::BadLink, mix(key, n), u64::from(*link));
            delay = delay.saturating_add(fault.delay.sample(draw));
            let is_lost = |time: &u32| reduce(mix(draw, u64::from(*time) + 1), 1_000_000) < u64::from(fault.loss.ppm());
            let losses = (0..RESENT_MAX).take_while(is_lost).count();
            delay = delay.saturating_add(RESENT_AFTER * ((1 << losses) - 1));
            if let Some(until) = fault.cut_until {
                delay = delay.saturating_add(until.saturating_sub(self.now));
            }
        }
        delay
    }

    /// Whether nothing gets through between two replicas now.
    pub(super) fn is_cut(&self, from: Option<u32>, to: Option<u32>) -> bool {
        let is_cut = |link: &u32| self.plan.bad_links[*link as usize].cut_until.is_some();
        self.bad_links.iter().any(|link| is_cut(link) && self.concerns(*link, from, to))
    }

    fn concerns(&self, link: u32, from: Option<u32>, to: Option<u32>) -> bool {
        let [a, b] = self.plan.bad_links[link as usize].sides;
        let is_at = |side: LinkSide, node: Option<u32>| match (side, node) {
            (LinkSide::Anywhere, _) | (LinkSide::Outside, None) => true,
            (LinkSide::Cluster(cluster), Some(node)) => self.plan.nodes[node as usize].cluster == Some(cluster),
            (LinkSide::Zone(zone), Some(node)) => self.plan.nodes[node as usize].zone == zone,
            (LinkSide::Workload(workload), Some(node)) => {
                self.plan.workloads[self.plan.nodes[node as usize].workload as usize].base == workload
            }
            (LinkSide::Outside, Some(_)) | (LinkSide::Zone(_) | LinkSide::Cluster(_) | LinkSide::Workload(_), None) => {
                false
            }
        };
        is_at(a, from) && is_at(b, to) || is_at(b, from) && is_at(a, to)
    }

    fn proxy_delay(&self, key: u64, n: u64) -> u64 {
        let sampler = &self.plan.network.proxy;
        sampler.constant().unwrap_or_else(|| sampler.sample(self.keys.draw(Purpose::Proxy, key, n)))
    }

    /// From the decision of the client's proxy until the server's proxy decides: through both and over the link.
    /// `None`: a client outside the mesh.
    pub(super) fn way_out(&self, instance: Option<u32>, target: Target, key: u64, bytes: u64) -> u64 {
        let client = instance.map(|instance| &self.instances[instance as usize]);
        let takes_time = client.is_some_and(|client| client.takes_time);
        let way = self.way(takes_time, client.map(|client| client.node), target, key, OUT);
        way.saturating_add(self.plan.network.carrying(bytes))
    }

    /// Time through the client's proxy, over the link and through the server's proxy, or the other way round.
    pub(super) fn way(
        &self,
        client_takes_time: bool,
        client: Option<u32>,
        target: Target,
        key: u64,
        direction: u64,
    ) -> u64 {
        let mut delay = self.link_delay(client, target.node(), key, direction);
        if client_takes_time {
            delay = delay.saturating_add(self.proxy_delay(key, direction));
        }
        if matches!(target, Target::Proxy { .. }) {
            delay = delay.saturating_add(self.proxy_delay(key, direction + 1));
        }
        delay
    }

    /// Whether the name of a service is not resolved now.
    pub(super) fn is_unresolved(&self, service: u32) -> bool {
        let is_meant = |fault: &u32| match self.plan.faults[*fault as usize].effect {
            FaultEffect::Dns(of) => of.is_none_or(|of| of == service),
            _ => false,
        };
        self.unresolved.iter().any(is_meant)
    }

    /// Whether a replica shows a certificate that holds. Half-way through its time it gets another one, if the control
    /// plane is there.
    pub(super) fn certificate_holds(&mut self, node: u32) -> bool {
        let entry = &mut self.nodes[node as usize];
        let is_hit = |fault: &u32| self.plan.faults[*fault as usize].effect == FaultEffect::Certificates;
        if entry.faults.iter().any(is_hit) {
            return false;
        }
        let Some(lifetime) = self.plan.control_plane.certificates else { return true };
        // Times are shifted by a lifetime, so that certificates may be older than the run.
        let now = self.now.saturating_add(lifetime);
        loop {
            let wanted = entry.certified_at.saturating_add(lifetime / 2);
            let renewed = self.plan.control_plane.there_from(wanted.saturating_sub(lifetime)).saturating_add(lifetime);
            if wanted.max(renewed) > now || wanted == entry.certified_at {
                return now < entry.certified_at.saturating_add(lifetime);
            }
            entry.certified_at = wanted.max(renewed);
        }
    }
}
