//! Names of hosts: how short ones are completed, which wildcard is nearest, what a caller means by a name.

use std::collections::BTreeMap;

use crate::{Mesh, ServiceId, did_you_mean};

/// Completes a host of a resource in `namespace`: a name without a dot gets the namespace's domain, any other stays
/// as it is, in lower case (`H-1`).
pub fn complete_host(host: &str, namespace: &str, domain: &str) -> String {
    let host = host.to_ascii_lowercase();
    if host.contains('.') || host.contains('*') {
        return host;
    }
    format!("{host}.{namespace}.svc.{domain}")
}

/// Completes an entry of a VirtualService's `gateways` to `namespace/name`; `mesh` stays (`H-2`).
pub fn complete_gateway(gateway: &str, namespace: &str) -> String {
    if gateway == "mesh" {
        return gateway.to_owned();
    }
    if let Some(name) = gateway.strip_prefix("./") {
        return format!("{namespace}/{name}");
    }
    if gateway.contains('/') {
        return gateway.to_owned();
    }
    let mut labels = gateway.split('.');
    match (labels.next(), labels.next()) {
        (Some(name), Some(namespace)) => format!("{namespace}/{name}"),
        _ => format!("{namespace}/{gateway}"),
    }
}

/// Whether a configured host, which may be `*` or `*.suffix`, covers `host` (`H-4`).
pub fn host_covers(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(suffix) => host.len() >= suffix.len() && host.ends_with(suffix),
        None => pattern == host,
    }
}

/// What two configured hosts have in common: the narrower one, if one covers the other (`VS-9`).
pub fn host_intersection<'a>(a: &'a str, b: &'a str) -> Option<&'a str> {
    // A wildcard covers another one if its suffix ends the other's.
    let covers = |wide: &str, narrow: &str| match wide.strip_prefix('*') {
        Some(suffix) => narrow.strip_prefix('*').unwrap_or(narrow).ends_with(suffix),
        None => wide == narrow,
    };
    if covers(a, b) {
        Some(b)
    } else if covers(b, a) {
        Some(a)
    } else {
        None
    }
}

/// Why a name that a caller dials stands for no service.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing of that name.
    #[error("unknown service `{name}`{}", hint(suggestion.as_deref()))]
    UnknownService {
        /// As written, without the port.
        name: String,
        /// The nearest service.
        suggestion: Option<String>,
    },
    /// Several, and no namespace says which.
    #[error("`{name}` is ambiguous: {}; write `namespace/name`", services.join(", "))]
    Ambiguous {
        /// As written, without the port.
        name: String,
        /// Each as `namespace/name`.
        services: Vec<String>,
    },
    /// The service has no such port.
    #[error("service `{service}` has no port {port}; it has {}", list(ports))]
    UnknownPort {
        /// `namespace/name`.
        service: String,
        /// As written; `(none)` where none is.
        port: String,
        /// Those that it has.
        ports: Vec<u16>,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map_or_else(String::new, |known| format!("; did you mean `{known}`?"))
}

fn list(ports: &[u16]) -> String {
    if ports.is_empty() {
        return "none".to_owned();
    }
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(", ")
}

/// Finds services by name.
pub(crate) trait Find {
    /// The service `namespace/name`.
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceId>;
    /// The service of a full host name.
    fn host(&self, host: &str) -> Option<ServiceId>;
}

impl Find for Mesh {
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceId> {
        self.find_service(namespace, name)
    }

    fn host(&self, host: &str) -> Option<ServiceId> {
        self.find_host(host)
    }
}

/// The services of a mesh in the order of their names, for many questions.
pub(crate) struct Names<'m> {
    services: BTreeMap<(&'m str, &'m str), ServiceId>,
    hosts: BTreeMap<&'m str, ServiceId>,
}

impl<'m> Names<'m> {
    /// Of a mesh.
    pub(crate) fn of(mesh: &'m Mesh) -> Self {
        let (mut services, mut hosts) = (BTreeMap::new(), BTreeMap::new());
        for id in mesh.service_ids() {
            let service = mesh.service(id);
            services.entry((service.meta.namespace(), service.meta.name())).or_insert(id);
            hosts.entry(service.host.as_str()).or_insert(id);
        }
        Self { services, hosts }
    }
}

impl Find for Names<'_> {
    fn service(&self, namespace: &str, name: &str) -> Option<ServiceId> {
        self.services.get(&(namespace, name)).copied()
    }

    fn host(&self, host: &str) -> Option<ServiceId> {
        self.hosts.get(host).copied()
    }
}

impl Mesh {
    /// The domain that completes short host names.
    pub fn domain(&self) -> &str {
        &self.settings.cluster_domain.value
    }

    /// Finds what a caller in `namespace` means by `[namespace/]name[:port]`: a service's name, or a host name in any
    /// of the forms that resolve there (`H-3`). Without a port, the service's only one is meant. A caller without a
    /// namespace, outside the mesh, means the only service of that name.
    ///
    /// # Errors
    /// If there is no such service or port, or several services are meant.
    pub fn find_target(&self, namespace: Option<&str>, target: &str) -> Result<(ServiceId, u16), TargetError> {
        self.find_target_by(self, namespace, target)
    }

    /// The same with services looked up by `find`.
    pub(crate) fn find_target_by(
        &self,
        find: &impl Find,
        namespace: Option<&str>,
        target: &str,
    ) -> Result<(ServiceId, u16), TargetError> {
        let (name, port) = target.rsplit_once(':').map_or((target, None), |(name, port)| (name, Some(port)));
        let id = self.find_dialled(find, namespace, name)?;
        // An alias has its target's ports (`EN-1`).
        let service = self.service(self.aliased(id).unwrap_or(id));
        let number = match port {
            Some(text) => text.parse().ok().filter(|number| service.port(*number).is_some()),
            None => Some(&service.ports).filter(|ports| ports.len() == 1).map(|ports| ports[0].number.value),
        };
        number.map(|number| (id, number)).ok_or_else(|| TargetError::UnknownPort {
            service: service.full_name(),
            port: port.unwrap_or("(none)").to_owned(),
            ports: service.ports.iter().map(|port| port.number.value).collect(),
        })
    }

    /// The service that another name stands for in the end (`EN-1`); `None`: it is no alias, or one of a host that is no
    /// service of the mesh.
    pub fn aliased(&self, service: ServiceId) -> Option<ServiceId> {
        let next = |id: ServiceId| {
            let target = self.service(id).options.external_name.as_ref()?;
            self.find_host(&target.value.trim_end_matches('.').to_ascii_lowercase())
        };
        let mut seen = vec![service];
        let mut target = next(service)?;
        while self.service(target).options.external_name.is_some() {
            // A circle of aliases has no end.
            if seen.contains(&target) {
                return None;
            }
            seen.push(target);
            target = next(target)?;
        }
        Some(target)
    }

    fn find_dialled(&self, find: &impl Find, namespace: Option<&str>, name: &str) -> Result<ServiceId, TargetError> {
        let unknown = || TargetError::UnknownService { name: name.to_owned(), suggestion: self.similar_service(name) };
        if let Some((namespace, name)) = name.split_once('/') {
            return find.service(namespace, name).ok_or_else(unknown);
        }
        if name.contains('.') {
            let domain = self.domain();
            let forms = [name.to_owned(), format!("{name}.{domain}"), format!("{name}.svc.{domain}")];
            return forms.iter().find_map(|host| find.host(&host.to_ascii_lowercase())).ok_or_else(unknown);
        }
        if let Some(namespace) = namespace {
            return find.service(namespace, name).ok_or_else(unknown);
        }
        let named: Vec<ServiceId> = self.service_ids().filter(|id| self.service(*id).meta.name() == name).collect();
        match named.as_slice() {
            [one] => Ok(*one),
            [] => Err(unknown()),
            several => Err(TargetError::Ambiguous {
                name: name.to_owned(),
                services: several.iter().map(|id| self.service(*id).full_name()).collect(),
            }),
        }
    }

    fn similar_service(&self, name: &str) -> Option<String> {
        let bare = name.rsplit('/').next().unwrap_or(name);
        let elsewhere = self.services.iter().find(|service| service.meta.name() == bare);
        let service = elsewhere.or_else(|| {
            let near = did_you_mean(bare, self.services.iter().map(|service| service.meta.name()))?;
            self.services.iter().find(|service| service.meta.name() == near)
        });
        service.map(crate::Service::full_name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn h1_only_names_without_a_dot_are_completed() {
        for (host, expect) in [
            ("reviews", "reviews.shop.svc.cluster.local"),
            ("Reviews", "reviews.shop.svc.cluster.local"),
            ("reviews.shop", "reviews.shop"),
            ("reviews.pay.svc.cluster.local", "reviews.pay.svc.cluster.local"),
            ("*", "*"),
            ("*.example.com", "*.example.com"),
        ] {
            assert_eq!(complete_host(host, "shop", "cluster.local"), expect, "{host}");
        }
    }

    #[test]
    fn h2_gateways_are_completed() {
        for (gateway, expect) in [
            ("mesh", "mesh"),
            ("edge", "shop/edge"),
            ("./edge", "shop/edge"),
            ("istio-system/edge", "istio-system/edge"),
            ("edge.istio-system", "istio-system/edge"),
            ("edge.istio-system.svc.cluster.local", "istio-system/edge"),
        ] {
            assert_eq!(complete_gateway(gateway, "shop"), expect, "{gateway}");
        }
    }

    #[test]
    fn h4_and_vs9_hosts_cover_and_intersect() {
        for (a, b, covers, common) in [
            ("*", "a.foo.com", true, Some("a.foo.com")),
            ("*.foo.com", "a.foo.com", true, Some("a.foo.com")),
            ("a.foo.com", "*.foo.com", false, Some("a.foo.com")),
            ("*.foo.com", "*.a.foo.com", true, Some("*.a.foo.com")),
            ("*.foo.com", "foo.com", false, None),
            ("a.foo.com", "b.foo.com", false, None),
        ] {
            assert_eq!(host_covers(a, b), covers, "{a} {b}");
            assert_eq!(host_intersection(a, b), common, "{a} {b}");
        }
    }
}
