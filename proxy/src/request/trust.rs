//! Whom a request comes from, as far as that can be believed (Envoy: `ConnectionManagerUtility::mutateRequestHeaders`).

use std::net::IpAddr;

use super::{
    Request,
    names::{EDGE_ONLY, INTERNAL_ONLY},
};
use crate::table::ManagerOptions;

impl Request {
    /// Finds the trusted address, and whether the client is internal; removes what external clients may not say.
    pub(super) fn trust(&mut self, manager: &ManagerOptions) {
        let forwarded_for = self.headers.get("x-forwarded-for");
        let last = forwarded_for.map(|list| list.rsplit(',').next().unwrap_or(list).trim());
        let last_address = last.and_then(|text| text.parse::<IpAddr>().ok());
        let is_single = if manager.use_remote_address {
            forwarded_for.is_none()
        } else {
            last_address.is_some() && forwarded_for.is_some_and(|list| !list.contains(','))
        };
        let trusted = if manager.use_remote_address { None } else { last_address }.or(self.peer.address);
        self.trusted_address = trusted;
        self.is_internal = is_single && trusted.is_some_and(|address| manager.is_internal(address));
        if manager.use_remote_address {
            self.append_peer(manager);
        }
        let own_scheme = if self.peer.is_tls { "https" } else { "http" };
        if manager.use_remote_address || !self.headers.contains("x-forwarded-proto") {
            self.headers.set("x-forwarded-proto", own_scheme);
        }
        let forwarded = if self.http2 { own_scheme } else { self.forwarded_proto() };
        let known = ["http", "https"].into_iter().find(|scheme| scheme.eq_ignore_ascii_case(forwarded));
        self.scheme = known.unwrap_or(own_scheme);
        if self.is_internal {
            self.headers.set("x-envoy-internal", "true");
            return;
        }
        let is_edge = manager.use_remote_address;
        if self.may_control {
            self.headers.remove_if(|name, _| {
                name.starts_with("x-envoy-")
                    && (name == "x-envoy-internal"
                        || INTERNAL_ONLY.contains(&name)
                        || is_edge && EDGE_ONLY.contains(&name))
            });
        }
        if let Some(address) = trusted.filter(|_| is_edge) {
            self.headers.set_fmt("x-envoy-external-address", format_args!("{address}"));
        }
    }

    fn append_peer(&mut self, manager: &ManagerOptions) {
        let Some(address) = self.peer.address else { return };
        match manager.node_address.as_deref().filter(|_| address.is_loopback()) {
            Some(own) => self.append_forwarded_for(own),
            None => self.append_forwarded_for(&address.to_string()),
        }
    }

    /// Adds an address to `x-forwarded-for`.
    pub(crate) fn append_forwarded_for(&mut self, address: &str) {
        match self.headers.get("x-forwarded-for").filter(|list| !list.is_empty()).map(str::to_owned) {
            Some(list) => self.headers.set_fmt("x-forwarded-for", format_args!("{list},{address}")),
            None => self.headers.set("x-forwarded-for", address),
        }
    }
}
