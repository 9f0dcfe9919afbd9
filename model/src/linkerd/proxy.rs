//! Annotations `linkerd.io/inject` and `config.linkerd.io/*`, of namespaces, pods and services (`L-1`).

use meshproof_proxy::Nanos;

use crate::{Located, Location};

/// Ports that Linkerd takes for opaque where nobody says otherwise: protocols in which the server speaks first.
pub const DEFAULT_OPAQUE_PORTS: [u16; 8] = [25, 587, 3306, 4444, 5432, 6379, 9300, 11211];

/// What annotations say about a proxy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProxyOptions {
    /// `linkerd.io/inject`.
    pub inject: Option<Located<Inject>>,
    /// `config.linkerd.io/opaque-ports`: bytes, not HTTP.
    pub opaque_ports: Option<Located<Ports>>,
    /// `config.linkerd.io/skip-inbound-ports`: past the server's proxy.
    pub skip_inbound_ports: Option<Located<Ports>>,
    /// `config.linkerd.io/skip-outbound-ports`: past the client's proxy.
    pub skip_outbound_ports: Option<Located<Ports>>,
    /// `config.linkerd.io/default-inbound-policy`.
    pub default_inbound_policy: Option<Located<InboundPolicy>>,
    /// `config.linkerd.io/proxy-outbound-connect-timeout`.
    pub outbound_connect_timeout: Option<Located<Nanos>>,
    /// `config.linkerd.io/proxy-inbound-connect-timeout`.
    pub inbound_connect_timeout: Option<Located<Nanos>>,
}

impl ProxyOptions {
    /// These, and where they say nothing those of the namespace: the pod wins (`L-1`).
    #[must_use]
    pub fn or(self, namespace: &Self) -> Self {
        fn pick<T: Clone>(own: Option<Located<T>>, other: Option<&Located<T>>) -> Option<Located<T>> {
            own.or_else(|| other.cloned())
        }
        Self {
            inject: pick(self.inject, namespace.inject.as_ref()),
            opaque_ports: pick(self.opaque_ports, namespace.opaque_ports.as_ref()),
            skip_inbound_ports: pick(self.skip_inbound_ports, namespace.skip_inbound_ports.as_ref()),
            skip_outbound_ports: pick(self.skip_outbound_ports, namespace.skip_outbound_ports.as_ref()),
            default_inbound_policy: pick(self.default_inbound_policy, namespace.default_inbound_policy.as_ref()),
            outbound_connect_timeout: pick(self.outbound_connect_timeout, namespace.outbound_connect_timeout.as_ref()),
            inbound_connect_timeout: pick(self.inbound_connect_timeout, namespace.inbound_connect_timeout.as_ref()),
        }
    }

    /// Where connections to a port are said to go past the server's proxy.
    pub fn skips_inbound(&self, port: u16) -> Option<&Location> {
        named(self.skip_inbound_ports.as_ref(), port)
    }

    /// Where connections to a port are said to go past the client's proxy.
    pub fn skips_outbound(&self, port: u16) -> Option<&Location> {
        named(self.skip_outbound_ports.as_ref(), port)
    }

    /// Whether a port carries bytes that the proxy does not read; a list that is written replaces the default one.
    pub fn is_opaque(&self, port: u16) -> bool {
        match &self.opaque_ports {
            Some(ports) => ports.value.contains(port),
            None => DEFAULT_OPAQUE_PORTS.contains(&port),
        }
    }
}

fn named(ports: Option<&Located<Ports>>, port: u16) -> Option<&Location> {
    ports.filter(|ports| ports.value.contains(port)).map(|ports| &ports.at)
}

/// `linkerd.io/inject`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inject {
    /// A proxy, or for an ingress one that routes by `l5d-dst-override`.
    Enabled,
    /// No proxy.
    Disabled,
}

/// A list of ports and ranges of ports.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ports(Vec<(u16, u16)>);

impl Ports {
    /// `80,443,1000-2000`; `None` if a part is neither a port nor a range.
    pub fn parse(text: &str) -> Option<Self> {
        let range = |part: &str| {
            let (from, to) = part.split_once('-').unwrap_or((part, part));
            let (from, to) = (from.trim().parse::<u16>().ok()?, to.trim().parse::<u16>().ok()?);
            (from > 0 && from <= to).then_some((from, to))
        };
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(range).collect::<Option<Vec<_>>>().map(Self)
    }

    /// Whether a port is among them.
    pub fn contains(&self, port: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&port))
    }

    /// First and last port of each part.
    pub fn ranges(&self) -> &[(u16, u16)] {
        &self.0
    }
}

/// Whom a port accepts where no Server speaks of it, or what a Server adds to its own authorizations (`L-9`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum InboundPolicy {
    /// Anyone. Linkerd's default for ports without a Server.
    #[default]
    AllUnauthenticated,
    /// Anyone of the cluster's networks.
    ClusterUnauthenticated,
    /// Clients with an identity of the mesh.
    AllAuthenticated,
    /// Clients with an identity of the mesh, of the cluster's networks.
    ClusterAuthenticated,
    /// Nobody.
    Deny,
    /// Anyone; what would have been refused is logged.
    Audit,
}

impl InboundPolicy {
    /// The policies by name.
    pub const NAMES: &'static [(&'static str, Self)] = &[
        ("all-unauthenticated", Self::AllUnauthenticated),
        ("cluster-unauthenticated", Self::ClusterUnauthenticated),
        ("all-authenticated", Self::AllAuthenticated),
        ("cluster-authenticated", Self::ClusterAuthenticated),
        ("deny", Self::Deny),
        ("audit", Self::Audit),
    ];

    /// Whether clients without an identity may come in.
    pub const fn admits_unauthenticated(self) -> bool {
        matches!(self, Self::AllUnauthenticated | Self::ClusterUnauthenticated | Self::Audit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_numbers_and_ranges() {
        for (text, inside, outside) in [("80", 80, 81), ("80, 100-200", 150, 99), ("1-65535", 9, 0)] {
            let ports = Ports::parse(text);
            assert!(ports.as_ref().is_some_and(|ports| ports.contains(inside)), "{text}");
            assert!(ports.is_some_and(|ports| !ports.contains(outside)), "{text}");
        }
        for text in ["x", "0", "200-100", "80-", "70000"] {
            assert_eq!(Ports::parse(text), None, "{text}");
        }
    }
}
