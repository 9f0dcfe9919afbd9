//! The clusters that a proxy's routes name: each is made once, when a route first wants it.

use indexmap::IndexMap;
use meshproof_proxy::config::Cluster;

use super::{ClusterOrigin, DestinationOrigin, Lowering, Missing, client::Client, cluster, index::is_visible};
use crate::{
    Origin, ServiceId, complete_host,
    istio::{Destination, HashKey},
};

/// The clusters of one proxy, by name, in the order in which they were wanted.
pub(super) struct Wanted<'a, 'm> {
    pub(super) lowering: &'a Lowering<'m>,
    pub(super) client: &'a Client<'a>,
    clusters: IndexMap<String, (Cluster, ClusterOrigin)>,
}

impl<'a, 'm> Wanted<'a, 'm> {
    pub(super) fn new(lowering: &'a Lowering<'m>, client: &'a Client<'a>) -> Self {
        Self { lowering, client, clusters: IndexMap::new() }
    }

    /// The clusters and where they come from.
    pub(super) fn finish(self) -> (Vec<Cluster>, Vec<ClusterOrigin>) {
        self.clusters.into_values().unzip()
    }

    /// Adds a cluster that no service stands for.
    pub(super) fn add(&mut self, cluster: Cluster, origin: ClusterOrigin) {
        self.clusters.entry(cluster.name.clone()).or_insert((cluster, origin));
    }

    /// A destination of a rule in `namespace` (`RT-8`); its cluster is made if it exists.
    pub(super) fn destination(&mut self, written: &Destination, namespace: &str, dialled: u16) -> DestinationOrigin {
        let mesh = self.lowering.mesh;
        let host = complete_host(&written.host.value, namespace, mesh.domain());
        let service =
            self.lowering.service_of(&host).filter(|id| is_visible(mesh.service(*id), self.client.namespace()));
        let target = service.and_then(|id| self.lowering.aliases.get(&id).copied()).or(service);
        let host = target.filter(|id| Some(*id) != service).map_or(host, |id| mesh.service(id).host.clone());
        let service = target;
        // Without a port: the service's only one, else the one that is dialled.
        let only =
            service.map(|id| &mesh.service(id).ports).filter(|ports| ports.len() == 1).map(|p| p[0].number.value);
        let port = written.port.as_ref().map(|port| port.value).or(only).unwrap_or(dialled);
        let subset = written.subset.as_ref().map(|subset| subset.value.clone()).filter(|subset| !subset.is_empty());
        let weight = written.weight.as_ref().map_or(Origin::Default("RT-9"), |w| Origin::Written(w.at.clone()));
        let at = Origin::Written(written.subset.as_ref().map_or(&written.host.at, |subset| &subset.at).clone());
        self.want(&host, service, port, subset, at, weight)
    }

    /// The destination of a service's own port (`VS-12`).
    pub(super) fn service(&mut self, service: ServiceId, port: u16) -> DestinationOrigin {
        let host = self.lowering.mesh.service(service).host.clone();
        let default = || Origin::Default("VS-12");
        self.want(&host, Some(service), port, None, default(), default())
    }

    /// Changes a cluster that was wanted before.
    pub(super) fn with_cluster(&mut self, name: &str, change: impl FnOnce(&mut Cluster, &mut ClusterOrigin)) {
        if let Some((cluster, origin)) = self.clusters.get_mut(name) {
            change(cluster, origin);
        }
    }

    /// The key of a destination's consistent hash, if its balancer has one.
    pub(super) fn hash_key(&self, destination: &DestinationOrigin) -> Option<&'m HashKey> {
        let service = self.lowering.mesh.service(destination.service?);
        if !self.client.has_policy() {
            return None;
        }
        let rule = self.lowering.rule_for(self.client.namespace(), Some(self.client.labels()), service)?;
        let policy = rule.policy(destination.subset.as_deref(), destination.port);
        Some(&policy.load_balancer?.consistent_hash.as_ref()?.key)
    }

    pub(super) fn want(
        &mut self,
        host: &str,
        service: Option<ServiceId>,
        port: u16,
        subset: Option<String>,
        at: Origin,
        weight: Origin,
    ) -> DestinationOrigin {
        let name = cluster::name_for(self.client, port, subset.as_deref(), host);
        let missing = match service {
            None => Some(Missing::Host),
            Some(_) if self.clusters.contains_key(&name) => None,
            Some(id) => self.make(id, port, subset.as_deref()).err(),
        };
        DestinationOrigin { cluster: name, service, port, subset, at, weight, missing }
    }

    fn make(&mut self, service: ServiceId, port: u16, subset: Option<&str>) -> Result<(), Missing> {
        let target = self.lowering.mesh.service(service);
        let port = target.port(port).ok_or(Missing::Port)?;
        if let Some(subset) = subset {
            let rule = self.lowering.rule_for(self.client.namespace(), Some(self.client.labels()), target);
            rule.and_then(|rule| rule.subset(subset)).ok_or(Missing::Subset)?;
        }
        let (cluster, origin) = self.lowering.cluster(self.client, service, port, subset);
        self.add(cluster, origin);
        Ok(())
    }
}

/// A destination that may not be used: its cluster never exists (`G-5`).
pub(super) fn refused(written: &Destination, dialled: u16, missing: Missing) -> DestinationOrigin {
    let port = written.port.as_ref().map_or(dialled, |port| port.value);
    DestinationOrigin {
        cluster: format!("refused|{port}||{}", written.host.value),
        service: None,
        port,
        subset: None,
        at: Origin::Written(written.host.at.clone()),
        weight: written.weight.as_ref().map_or(Origin::Default("G-5"), |w| Origin::Written(w.at.clone())),
        missing: Some(missing),
    }
}
