//! Lowered and compiled configurations of proxies, each made once.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
};

use meshproof_model::{Lowered, Protocol, ServiceId, WorkloadId};
use meshproof_proxy::{CompileError, ListenerId, Table};

/// Whose configuration it is, and for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    /// A client's, for a port: for all requests on it, or for connections to one service.
    Outbound(WorkloadId, u16, Option<ServiceId>),
    /// A gateway's.
    Gateway(WorkloadId),
    /// A waypoint's, for a service's port.
    Waypoint(ServiceId, u16),
    /// A server's own, for a port and what is spoken there.
    Inbound(WorkloadId, u16, Protocol),
}

/// A configuration that the proxy core has compiled.
#[derive(Debug)]
pub(super) struct Compiled {
    pub(super) lowered: Lowered,
    pub(super) table: Result<Table, String>,
}

impl Compiled {
    fn new(lowered: Lowered) -> Self {
        let table = Table::compile(&lowered.config).map_err(|faults| told(&faults));
        Self { lowered, table }
    }

    /// The compiled table.
    ///
    /// # Errors
    /// Why a proxy would refuse the configuration.
    pub(super) fn table(&self) -> Result<&Table, String> {
        self.table.as_ref().map_err(Clone::clone)
    }

    /// The listener that takes all requests on a port.
    pub(super) fn shared_listener(&self, port: u16) -> Option<usize> {
        let mut listeners = self.lowered.provenance.listeners.iter();
        listeners.position(|listener| listener.port == port && listener.protocol.is_none())
    }
}

fn told(faults: &[CompileError]) -> String {
    let mut text = "a proxy would refuse its configuration".to_owned();
    for (number, fault) in faults.iter().enumerate() {
        // Writing to a string does not fail.
        let _ = write!(text, "{}{fault}", if number == 0 { ": " } else { "; " });
    }
    text
}

/// The listener of that place.
pub(super) fn listener_id(place: usize) -> ListenerId {
    ListenerId::new(u32::try_from(place).unwrap_or(u32::MAX))
}

/// Configurations by what they are for.
#[derive(Debug, Default)]
pub(super) struct Cache(Mutex<BTreeMap<Key, Arc<Compiled>>>);

impl Cache {
    /// The configuration; made if it is not there. Two threads may both make one: they are the same.
    pub(super) fn get(&self, key: Key, lower: impl FnOnce() -> Lowered) -> Arc<Compiled> {
        let held = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = held().get(&key) {
            return found.clone();
        }
        let made = Arc::new(Compiled::new(lower()));
        held().entry(key).or_insert(made).clone()
    }
}
