//! What breaks, compiled.

use meshproof_model::{Fault as ModelFault, Place, Replicas, Scenario, Share};

use super::build::{Build, millionths, sampler};
use crate::dist::Sampler;

/// One fault of the scenario. Times in nanoseconds.
#[derive(Debug)]
pub(crate) struct Fault {
    /// For people, such as `Freeze default/ratings-v1`.
    pub(crate) name: String,
    pub(crate) from: u64,
    pub(crate) until: u64,
    pub(crate) hits: Hits,
    pub(crate) effect: FaultEffect,
}

/// Which replicas a fault hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hits {
    Workload(u32, Replicas),
    Zone(u32),
    Cluster(u32),
    Nothing,
}

impl Hits {
    /// The workload, where it is one.
    pub(crate) const fn workload(self) -> Option<u32> {
        match self {
            Self::Workload(workload, _) => Some(workload),
            Self::Zone(_) | Self::Cluster(_) | Self::Nothing => None,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultEffect {
    Crash,
    /// So many millionths of the usual time.
    Slow(u64),
    Errors {
        status: u16,
        share: Share,
    },
    Freeze,
    /// What is left of the places.
    Capacity(Share),
    /// How much is forgotten.
    CacheLoss(Share),
    /// Certificates are out of date.
    Certificates,
    /// An index of the plan's bad links.
    Link(u32),
    /// Names of this service, or of all, are not resolved.
    Dns(Option<u32>),
    /// Nothing happens when it begins: the plan's control plane knows.
    ControlPlane,
}

/// What a fault makes of a link, in both directions.
#[derive(Debug)]
pub(crate) struct BadLink {
    pub(crate) sides: [Side; 2],
    /// Nothing gets through until then.
    pub(crate) cut_until: Option<u64>,
    pub(crate) delay: Sampler,
    pub(crate) loss: Share,
}

/// A side of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Anywhere,
    Outside,
    Zone(u32),
    Cluster(u32),
    Workload(u32),
}

impl Build<'_> {
    pub(super) fn faults(&mut self, scenario: &Scenario) -> Vec<Fault> {
        let faults = scenario.faults.iter().filter_map(|fault| self.fault(fault)).collect();
        let outages = &mut self.plan.control_plane.outages;
        outages.sort_unstable();
        let mut apart: Vec<(u64, u64)> = Vec::new();
        for (from, until) in outages.drain(..) {
            match apart.last_mut() {
                Some(last) if from <= last.1 => last.1 = last.1.max(until),
                _ => apart.push((from, until)),
            }
        }
        *outages = apart;
        faults
    }

    /// `None`: it names what does not exist, which `check_scenario` has refused.
    fn fault(&mut self, fault: &ModelFault) -> Option<Fault> {
        let (from, until) = fault.span();
        let (from, until) = (from.get(), until.get());
        let mut hits = match fault.workload() {
            Some((name, replicas)) => Hits::Workload(self.mesh.named_workload(name)?.0, replicas),
            None => Hits::Nothing,
        };
        let effect = match fault {
            ModelFault::Crash { .. } => FaultEffect::Crash,
            ModelFault::Slow { factor, .. } => FaultEffect::Slow(millionths(*factor)),
            ModelFault::Errors { status, share, .. } => FaultEffect::Errors { status: *status, share: *share },
            ModelFault::Freeze { .. } => FaultEffect::Freeze,
            ModelFault::Capacity { share, .. } => FaultEffect::Capacity(*share),
            ModelFault::CacheLoss { share, .. } => FaultEffect::CacheLoss(*share),
            ModelFault::CertificateExpiry { .. } => FaultEffect::Certificates,
            ModelFault::ZoneLoss { zone, .. } => {
                hits = Hits::Zone(self.zone(zone)?);
                FaultEffect::Crash
            }
            ModelFault::ClusterLoss { cluster, .. } => {
                hits = Hits::Cluster(self.cluster(cluster)?);
                FaultEffect::Crash
            }
            ModelFault::Partition { from, to, .. } => {
                let sides = [self.side(from)?, self.side(to)?];
                let link =
                    BadLink { sides, cut_until: Some(until), delay: Sampler::Constant(0), loss: Share::default() };
                self.bad_link(link)
            }
            ModelFault::Link { from, to, delay, loss, .. } => {
                let sides = [self.side(from)?, self.side(to)?];
                self.bad_link(BadLink { sides, cut_until: None, delay: sampler(delay), loss: *loss })
            }
            ModelFault::Dns { service, .. } => FaultEffect::Dns(match service {
                Some(service) => {
                    let at = self.plan.services.iter().position(|known| known.full_name == *service)?;
                    Some(u32::try_from(at).ok()?)
                }
                None => None,
            }),
            ModelFault::ControlPlane { .. } => {
                self.plan.control_plane.outages.push((from, until));
                FaultEffect::ControlPlane
            }
        };
        Some(Fault { name: fault.to_string(), from, until, hits, effect })
    }

    fn bad_link(&mut self, link: BadLink) -> FaultEffect {
        self.plan.bad_links.push(link);
        FaultEffect::Link(u32::try_from(self.plan.bad_links.len() - 1).unwrap_or(u32::MAX))
    }

    fn zone(&self, name: &str) -> Option<u32> {
        let at = self.mesh.behaviour.placement.zones.iter().position(|zone| zone == name)?;
        u32::try_from(at).ok()
    }

    fn cluster(&self, name: &str) -> Option<u32> {
        u32::try_from(self.mesh.behaviour.placement.clusters.get_index_of(name)?).ok()
    }

    fn side(&self, place: &Place) -> Option<Side> {
        Some(match place {
            Place::Anywhere => Side::Anywhere,
            Place::Outside => Side::Outside,
            Place::Zone(zone) => Side::Zone(self.zone(zone)?),
            Place::Cluster(cluster) => Side::Cluster(self.cluster(cluster)?),
            Place::Workload(workload) => Side::Workload(self.mesh.named_workload(workload)?.0),
        })
    }
}
