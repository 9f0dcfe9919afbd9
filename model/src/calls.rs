//! Who calls whom: from `mesh.ron` where it says so, else as the manifests suggest.

use crate::{Bytes, Location, Mesh, ServiceId, Share, TargetError, WorkloadId, behaviour::ClientFrom, names::Names};

/// Every call of every client and workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls {
    /// Calls, by caller (clients first), stage and place in the stage; a [`CallId`] indexes this list.
    pub calls: Vec<Call>,
    /// Where requests come from that no call of the mesh causes.
    pub entries: Vec<Entry>,
}

/// One of the [`Calls`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

impl CallId {
    /// The index into [`Calls::calls`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Caller {
    /// A client, by its number in [`Behaviour::clients`](crate::Behaviour::clients).
    Client(usize),
    /// A workload.
    Workload(WorkloadId),
}

/// Where requests come from that no call of the mesh causes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Entry {
    /// A client of `mesh.ron`.
    Client(usize),
    /// A gateway; assumed where `mesh.ron` names no client.
    Gateway(WorkloadId),
    /// A service that nobody calls; assumed where there is no gateway either.
    Service(ServiceId),
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// Who calls.
    pub from: Caller,
    /// What is dialled.
    pub to: ServiceId,
    /// On which port of the service.
    pub port: u16,
    /// The method.
    pub method: String,
    /// The authority.
    pub host: String,
    /// The path, with its query if it has one.
    pub path: String,
    /// Other headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Size of the body.
    pub body: Bytes,
    /// Stages run one after the other, calls of one stage in parallel.
    pub stage: u32,
    /// How often, one after the other.
    pub times: u32,
    /// In which share of the caller's requests.
    pub share: Share,
    /// Whether the caller succeeds without it.
    pub optional: bool,
    /// What says so.
    pub origin: CallOrigin,
}

/// What says that there is a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOrigin {
    /// `mesh.ron`: the client's class of requests of that number.
    Class(usize),
    /// `mesh.ron`: the workload's call of that stage and number.
    Written {
        /// From 0.
        stage: usize,
        /// From 0, in its stage.
        call: usize,
    },
    /// The manifests suggest it there.
    Inferred(Location),
}

impl Calls {
    /// The call of that id.
    ///
    /// # Panics
    /// If the id is of other calls.
    pub fn get(&self, id: CallId) -> &Call {
        &self.calls[id.index()]
    }

    /// Every call with its id.
    pub fn iter(&self) -> impl Iterator<Item = (CallId, &Call)> {
        (0..u32::try_from(self.calls.len()).unwrap_or(u32::MAX)).map(CallId).zip(&self.calls)
    }

    /// The calls of one caller, in order.
    pub fn of(&self, caller: Caller) -> impl Iterator<Item = (CallId, &Call)> {
        self.iter().filter(move |(_, call)| call.from == caller)
    }
}

impl Mesh {
    /// Every call of every client and workload: from `mesh.ron`, else inferred. A call whose target does not exist is
    /// left out; [`Mesh::check_behaviour`] reports it.
    pub fn calls(&self) -> Calls {
        let (mut calls, names) = (Vec::new(), Names::of(self));
        for client in 0..self.behaviour.clients.len() {
            self.client_calls(client, &mut calls);
        }
        for workload in self.workload_ids() {
            self.workload_calls(&names, workload, &mut calls);
        }
        let entries = self.entries(&calls);
        Calls { calls, entries }
    }

    /// The workload that a client is, if it is one.
    pub fn client_workload(&self, client: usize) -> Option<WorkloadId> {
        let (_, behaviour) = self.behaviour.clients.get_index(client)?;
        let ClientFrom::Workload(name) = &behaviour.from else { return None };
        self.named_workload(name)
    }

    /// The workload of that `namespace/name`.
    pub fn named_workload(&self, name: &str) -> Option<WorkloadId> {
        let (namespace, name) = name.split_once('/')?;
        self.find_workload(namespace, name)
    }

    /// What a client dials.
    pub(crate) fn client_target(&self, client: usize) -> Option<Result<(ServiceId, u16), TargetError>> {
        let (_, behaviour) = self.behaviour.clients.get_index(client)?;
        let namespace = match &behaviour.from {
            ClientFrom::Workload(name) => name.split_once('/').map(|(namespace, _)| namespace),
            ClientFrom::Outside => None,
        };
        Some(self.find_target(namespace, &behaviour.to))
    }

    fn client_calls(&self, client: usize, calls: &mut Vec<Call>) {
        let Some((_, behaviour)) = self.behaviour.clients.get_index(client) else { return };
        let Some(Ok((to, port))) = self.client_target(client) else { return };
        let total: u64 = behaviour.requests.iter().map(|class| u64::from(class.share)).sum();
        for (number, class) in behaviour.requests.iter().enumerate() {
            let ppm = (u64::from(class.share) * 1_000_000).checked_div(total).unwrap_or(0);
            calls.push(Call {
                from: Caller::Client(client),
                to,
                port,
                method: class.method.clone(),
                host: class.host.clone().unwrap_or_else(|| authority(&behaviour.to)),
                path: class.path.clone(),
                headers: lower_case(&class.headers),
                body: class.body,
                stage: 0,
                times: 1,
                share: Share::from_ppm(u32::try_from(ppm).unwrap_or(1_000_000)),
                optional: false,
                origin: CallOrigin::Class(number),
            });
        }
    }

    fn workload_calls(&self, names: &Names<'_>, workload: WorkloadId, calls: &mut Vec<Call>) {
        let name = self.workload(workload).full_name();
        let Some(stages) = self.behaviour.workloads.get(&name).map(|behaviour| &behaviour.calls) else {
            self.guessed_calls(workload, calls);
            return;
        };
        let namespace = self.workload(workload).meta.namespace();
        for (stage, behaviours) in stages.iter().enumerate() {
            for (number, behaviour) in behaviours.iter().enumerate() {
                let Ok((to, port)) = self.find_target_by(names, Some(namespace), &behaviour.to) else { continue };
                calls.push(Call {
                    from: Caller::Workload(workload),
                    to,
                    port,
                    method: behaviour.method.clone(),
                    host: behaviour.host.clone().unwrap_or_else(|| authority(&behaviour.to)),
                    path: behaviour.path.clone(),
                    headers: lower_case(&behaviour.headers),
                    body: behaviour.body,
                    stage: u32::try_from(stage).unwrap_or(u32::MAX),
                    times: behaviour.times,
                    share: behaviour.share,
                    optional: behaviour.optional,
                    origin: CallOrigin::Written { stage, call: number },
                });
            }
        }
    }

    /// Inferred calls: once each, one after the other, in the order in which they were found.
    fn guessed_calls(&self, workload: WorkloadId, calls: &mut Vec<Call>) {
        let inferred = self.inferred_calls.iter().filter(|call| call.from == workload);
        for (stage, call) in (0..).zip(inferred) {
            calls.push(Call {
                from: Caller::Workload(workload),
                to: call.to,
                port: call.port,
                method: "GET".to_owned(),
                host: self.service(call.to).host.clone(),
                path: "/".to_owned(),
                headers: Vec::new(),
                body: Bytes::new(0),
                stage,
                times: 1,
                share: Share::ALL,
                optional: false,
                origin: CallOrigin::Inferred(call.at.clone()),
            });
        }
    }

    fn entries(&self, calls: &[Call]) -> Vec<Entry> {
        if !self.behaviour.clients.is_empty() {
            return (0..self.behaviour.clients.len()).map(Entry::Client).collect();
        }
        let gateways: Vec<Entry> = self.workload_ids().filter(|id| self.is_entry(*id)).map(Entry::Gateway).collect();
        if !gateways.is_empty() {
            return gateways;
        }
        let mut called = vec![false; self.services.len()];
        for call in calls {
            called[call.to.index()] = true;
        }
        let serves = |id: ServiceId| self.workloads_of(id).next().is_some();
        self.service_ids().filter(|id| !called[id.index()] && serves(*id)).map(Entry::Service).collect()
    }

    /// Whether a workload serves a Gateway: its pods have all labels of the selector, in any namespace (`GW-1`). A
    /// Gateway without a selector is served by every gateway.
    pub fn selects(&self, gateway: &crate::istio::Gateway, workload: WorkloadId) -> bool {
        let workload = self.workload(workload);
        workload.proxy == crate::ProxyMode::Gateway && crate::is_subset(&gateway.selector, &workload.labels)
    }
}

/// The authority of a request to `[namespace/]name[:port]`: the name, with the port only where it is not 80.
fn authority(target: &str) -> String {
    let name = target.rsplit_once('/').map_or_else(
        || target.to_owned(),
        |(namespace, name)| match name.split_once(':') {
            Some((name, port)) => format!("{name}.{namespace}:{port}"),
            None => format!("{name}.{namespace}"),
        },
    );
    name.strip_suffix(":80").map(str::to_owned).unwrap_or(name)
}

fn lower_case(headers: &indexmap::IndexMap<String, String>) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect()
}
