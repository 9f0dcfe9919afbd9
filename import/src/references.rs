//! References that lead nowhere: hosts, subsets and gateways that nothing defines (`H-1`, `H-2`, `RT-8`).
//!
//! Only what the manifests can know is judged: a namespace of which they hold no Service may be defined elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    Finding, Located, Mesh, Meta, ServiceId, Severity, Subject, UNDEFINED_GATEWAY, UNDEFINED_HOST, UNDEFINED_SUBSET,
    istio::{Destination, DestinationRule, VirtualService},
};

use crate::schema::nearest;

/// Everything that leads nowhere; `overruled` are definitions that a later one of the same name replaces.
pub(crate) fn check(mesh: &Mesh, overruled: &[DestinationRule], cluster_domain: &str) -> Vec<Finding> {
    let mut check = Check::new(mesh, overruled, cluster_domain);
    for vs in &mesh.virtual_services {
        check.hosts(vs);
        check.gateways(vs);
        let http = vs.http.iter().flat_map(|rule| rule.route.iter().chain(rule.mirrors.iter().map(|m| &m.destination)));
        let l4 = vs.tls.iter().chain(&vs.tcp).flat_map(|rule| &rule.route);
        for destination in http.chain(l4) {
            check.destination(&vs.meta, destination);
        }
    }
    for rule in &mesh.destination_rules {
        check.named(&rule.meta, &rule.host, "no client ever uses this rule");
    }
    check.findings
}

struct Check<'m> {
    mesh: &'m Mesh,
    /// `.svc.` and the cluster's domain.
    suffix: String,
    /// Services by their hosts.
    hosts: BTreeMap<&'m str, ServiceId>,
    /// Hosts with a wildcard.
    wildcards: Vec<&'m str>,
    /// Namespaces that have a Service of Kubernetes.
    namespaces: BTreeSet<&'m str>,
    gateways: BTreeSet<(&'m str, &'m str)>,
    subsets: Subsets<'m>,
    overruled: Subsets<'m>,
    findings: Vec<Finding>,
}

/// Names of subsets by the full host of their rule.
#[derive(Default)]
struct Subsets<'m>(BTreeMap<String, Vec<&'m str>>);

impl<'m> Subsets<'m> {
    fn new(rules: &'m [DestinationRule], suffix: &str) -> Self {
        let mut subsets: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for rule in rules {
            let names = rule.subsets.iter().map(|subset| subset.name.value.as_str());
            subsets.entry(full(&rule.host.value, rule.meta.namespace(), suffix)).or_default().extend(names);
        }
        Self(subsets)
    }

    /// Those of every rule that covers a host.
    fn of<'s>(&'s self, host: &'s str) -> impl Iterator<Item = &'m str> + 's {
        let wild = self.0.iter().take_while(|(pattern, _)| pattern.starts_with('*'));
        let wild = wild.filter(|(pattern, _)| covers(pattern, host)).map(|(_, names)| names);
        wild.chain(self.0.get(host)).flatten().copied()
    }
}

/// `H-1`: a name without a dot is completed with the namespace of its object.
fn full(host: &str, namespace: &str, suffix: &str) -> String {
    let host = host.to_lowercase();
    if host.contains('.') || host == "*" { host } else { format!("{host}.{namespace}{suffix}") }
}

impl<'m> Check<'m> {
    fn new(mesh: &'m Mesh, overruled: &'m [DestinationRule], cluster_domain: &str) -> Self {
        let suffix = format!(".svc.{cluster_domain}");
        let hosts = || mesh.services.iter().map(|service| service.host.as_str());
        let of_cluster = mesh.services.iter().filter(|service| service.host.ends_with(&suffix));
        Self {
            mesh,
            hosts: hosts().zip(mesh.service_ids()).collect(),
            wildcards: hosts().filter(|host| host.starts_with('*')).collect(),
            namespaces: of_cluster.map(|service| service.meta.namespace()).collect(),
            gateways: mesh.gateways.iter().map(|g| (g.meta.namespace(), g.meta.name())).collect(),
            subsets: Subsets::new(&mesh.destination_rules, &suffix),
            overruled: Subsets::new(overruled, &suffix),
            suffix,
            findings: Vec::new(),
        }
    }
}

impl Check<'_> {
    /// Hosts of routes that sidecars take; those of gateways are names of the outside.
    fn hosts(&mut self, vs: &VirtualService) {
        if !vs.gateways.is_empty() && !vs.gateways.iter().any(|gateway| gateway.value == "mesh") {
            return;
        }
        for host in vs.hosts.iter().filter(|_| vs.gateways.len() <= 1) {
            self.named(&vs.meta, host, "no request of the mesh takes these routes");
        }
    }

    /// A host that says whom an object is about: without it the object does nothing.
    fn named(&mut self, meta: &Meta, host: &Located<String>, effect: &str) {
        let full = self.full(&host.value, meta.namespace());
        let is_ours = full.ends_with(&self.suffix) || self.half_qualified(&host.value).is_some();
        if host.value.contains('*') || !is_ours || self.is_defined(&full) || !self.is_judged(&full) {
            return;
        }
        let mut finding = self.undefined(meta, host, &full);
        finding.message = format!("{}: {effect}", finding.message);
        finding.severity = Severity::Warning;
        self.findings.push(finding);
    }

    fn gateways(&mut self, vs: &VirtualService) {
        let of_matches = vs.http.iter().flat_map(|rule| &rule.matches).flat_map(|block| &block.gateways);
        for gateway in vs.gateways.iter().chain(of_matches).filter(|gateway| gateway.value != "mesh") {
            let (namespace, name) = match gateway.value.split_once('/') {
                Some((".", name)) => (vs.meta.namespace(), name),
                Some((namespace, name)) => (namespace, name),
                None => gateway
                    .value
                    .split_once('.')
                    .map_or((vs.meta.namespace(), gateway.value.as_str()), |(name, rest)| {
                        (rest.split('.').next().unwrap_or(rest), name)
                    }),
            };
            if self.gateways.contains(&(namespace, name)) {
                continue;
            }
            let message = format!("no Gateway `{namespace}/{name}` is defined: its clients do not get these routes");
            let finding = Finding::new(&UNDEFINED_GATEWAY, Subject::Resource(vs.meta.resource.clone()), message);
            let elsewhere = self.mesh.gateways.iter().find(|g| g.meta.name() == name);
            self.findings.push(
                match elsewhere {
                    Some(other) => {
                        let other = format!("{}/{name}", other.meta.namespace());
                        finding.help(format!("did you mean `{other}`?"))
                    }
                    None => finding.help("define it, or add the folder that does"),
                }
                .at(gateway.at.clone()),
            );
        }
    }

    fn destination(&mut self, meta: &Meta, destination: &Destination) {
        let full = self.full(&destination.host.value, meta.namespace());
        if !self.is_judged(&full) {
            return;
        }
        if !self.is_defined(&full) {
            let finding = self.undefined(meta, &destination.host, &full);
            self.findings.push(finding);
            return;
        }
        if let (Some(port), Some(service)) = (&destination.port, self.hosts.get(full.as_str()).copied())
            && self.mesh.service(service).port(port.value).is_none()
        {
            let finding = self.no_port(meta, port, service);
            self.findings.push(finding);
        }
        if let Some(subset) = &destination.subset {
            self.subset(meta, subset, &full);
        }
    }

    fn subset(&mut self, meta: &Meta, subset: &Located<String>, full: &str) {
        if self.subsets.of(full).any(|name| name == subset.value) {
            return;
        }
        let defined: Vec<&str> = self.subsets.of(full).collect();
        let message = format!("no DestinationRule of `{full}` defines the subset `{}`", subset.value);
        let mut finding = Finding::new(&UNDEFINED_SUBSET, Subject::Resource(meta.resource.clone()), message);
        finding.location = Some(subset.at.clone());
        let replaced = self.overruled.of(full).any(|name| name == subset.value);
        finding.help = Some(match nearest(&subset.value, defined.iter().copied()) {
            // Alternatives of one object were read together; the one that counts does not fit.
            _ if replaced => "a definition that was replaced has it; read the files that belong together".to_owned(),
            Some(meant) => format!("did you mean `{meant}`?"),
            None if !defined.is_empty() => format!("defined are `{}`", defined.join("`, `")),
            None => format!("add it to `subsets` of a DestinationRule for `{full}`"),
        });
        if replaced {
            finding.severity = Severity::Warning;
        }
        self.findings.push(finding);
    }

    fn undefined(&self, meta: &Meta, host: &Located<String>, full: &str) -> Finding {
        let message = format!("no Service or ServiceEntry defines the host `{}`", host.value);
        let finding =
            Finding::new(&UNDEFINED_HOST, Subject::Resource(meta.resource.clone()), message).at(host.at.clone());
        match (self.half_qualified(&host.value), self.near(full)) {
            (Some(meant), _) => {
                finding.help(format!("write it in full, `{meant}`: a name with a dot is not completed"))
            }
            (None, Some(meant)) => finding.help(format!("did you mean `{meant}`?")),
            (None, None) if full == host.value => finding.help("define it by a Service or a ServiceEntry"),
            (None, None) => finding.help(format!("here it means `{full}`; define that, or write the host in full")),
        }
    }

    fn no_port(&self, meta: &Meta, port: &Located<u16>, service: ServiceId) -> Finding {
        let service = self.mesh.service(service);
        let message = format!("`{}` has no port {}", service.host, port.value);
        let ports: Vec<String> = service.ports.iter().map(|p| p.number.value.to_string()).collect();
        Finding::new(&UNDEFINED_HOST, Subject::Resource(meta.resource.clone()), message)
            .at(port.at.clone())
            .related(service.meta.at.clone(), "the service")
            .help(format!("its ports are {}", ports.join(", ")))
    }

    /// A host that differs in a few letters before its first dot.
    fn near(&self, full: &str) -> Option<&str> {
        let split = |host: &str| host.find('.').unwrap_or(host.len());
        let (name, rest) = full.split_at(split(full));
        let hosts = self.mesh.services.iter().map(|service| service.host.as_str());
        let siblings = hosts.map(|host| host.split_at(split(host))).filter(|(_, end)| *end == rest);
        let meant = nearest(name, siblings.map(|(name, _)| name))?;
        let host = |s: &&meshproof_model::Service| s.host.strip_prefix(meant) == Some(rest);
        self.mesh.services.iter().find(host).map(|service| service.host.as_str())
    }

    fn full(&self, host: &str, namespace: &str) -> String {
        full(host, namespace, &self.suffix)
    }

    /// The full name that `service.namespace` was meant to be.
    fn half_qualified(&self, host: &str) -> Option<String> {
        let meant = format!("{}{}", host.strip_suffix(".svc").unwrap_or(host), self.suffix);
        self.hosts.contains_key(meant.as_str()).then_some(meant)
    }

    fn is_defined(&self, full: &str) -> bool {
        self.hosts.contains_key(full) || self.wildcards.iter().any(|pattern| covers(pattern, full))
    }

    /// Whether the manifests hold Services of the host's namespace; any at all for a host outside of the cluster.
    fn is_judged(&self, full: &str) -> bool {
        match full.strip_suffix(&self.suffix).and_then(|short| short.split_once('.')) {
            Some((_, namespace)) => self.namespaces.contains(namespace),
            None => !self.mesh.services.is_empty(),
        }
    }
}

/// Whether a host, or a wildcard `*.x`, covers a name.
fn covers(pattern: &str, name: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(end) => name.ends_with(end),
        None => pattern == name,
    }
}
