//! The host is the address that the client dialled (Envoy: `ORIGINAL_DST`).

use std::collections::BTreeMap;

use super::Hosts;
use crate::config::Host;
use crate::{HostId, Time};

/// Hosts by address.
#[derive(Clone, Debug, Default)]
pub(super) struct OriginalDst {
    by_address: BTreeMap<Box<str>, HostId>,
}

impl Hosts {
    /// The host of this address, made when it is dialled for the first time; its health does not matter.
    pub(super) fn dialled(&mut self, now: Time, address: Option<&str>) -> Option<HostId> {
        let address = address?;
        if let Some(host) = self.original_dst.by_address.get(address) {
            return Some(*host);
        }
        let member = self.members.iter().copied().find(|host| self.config(*host).is_some_and(|h| h.address == address));
        let host = member.unwrap_or_else(|| {
            let host = self.admit(now, &Host::new(address, address));
            self.members.push(host);
            self.watch(host);
            host
        });
        self.original_dst.by_address.insert(address.into(), host);
        Some(host)
    }
}
