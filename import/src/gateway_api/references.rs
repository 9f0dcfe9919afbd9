//! Routes that hold nowhere, and backends that are answered 500 (`G-1`, `G-5`, 9.4).
//!
//! Only what the manifests can know is judged: a namespace of which they hold no Service may be defined elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    Finding, INEFFECTIVE_SETTING, Location, MISSING_GRANT, Mesh, Meta, Missing, ResourceRef, Rule, Subject,
    UNATTACHED_ROUTE, UNDEFINED_BACKEND, Unmodelled,
    gateway_api::{
        AnyRoute, Attachment, BackendRef, Filter, FilterAction, IngressBackend, IngressPort, Place, Refusal,
    },
};

use crate::schema::nearest;

/// Everything that leads nowhere, and what is not known to be carried out.
pub(crate) fn check(mesh: &Mesh) -> (Vec<Finding>, Vec<Unmodelled>) {
    let namespaces = mesh.services.iter().filter(|service| service.meta.resource.kind == "Service");
    let namespaces = namespaces.map(|service| service.meta.namespace()).collect();
    let mut check = Check { mesh, namespaces, findings: Vec::new(), unmodelled: Vec::new() };
    let attachments = mesh.attachments();
    for attachment in &attachments {
        check.attachment(attachment);
    }
    // Routes that hold for a Service only need no grant.
    let mut only_mesh: BTreeMap<&ResourceRef, bool> = BTreeMap::new();
    for attachment in &attachments {
        let on_service = matches!(attachment.outcome, Ok(Place::Service { .. }));
        *only_mesh.entry(&attachment.route.meta().resource).or_insert(true) &= on_service;
    }
    let is_mesh = |meta: &Meta| only_mesh.get(&meta.resource).copied().unwrap_or(false);
    for route in &mesh.gateway_api.http_routes {
        let granted = is_mesh(&route.meta);
        for rule in &route.rules {
            for filter in &rule.filters {
                check.filter(&route.meta, filter, granted);
            }
            for backend in &rule.backends {
                check.backend(&route.meta, backend, granted);
            }
        }
    }
    for route in &mesh.gateway_api.connection_routes {
        let granted = is_mesh(&route.meta);
        for backend in route.rules.iter().flat_map(|rule| &rule.backends) {
            check.backend(&route.meta, backend, granted);
        }
    }
    for ingress in &mesh.gateway_api.ingresses {
        let paths = ingress.rules.iter().flat_map(|rule| &rule.paths).map(|path| &path.backend);
        for backend in ingress.default_backend.iter().chain(paths) {
            check.ingress_backend(&ingress.meta, backend);
        }
        if let Some(backend) = ingress.default_backend.as_ref().filter(|_| ingress.class_name() == "istio") {
            let message = "Istio ignores the default backend of an Ingress".to_owned();
            let help = "add a rule without host for the path `/`".to_owned();
            check.report(&INEFFECTIVE_SETTING, &ingress.meta, &backend.at, message, help);
        }
    }
    (check.findings, check.unmodelled)
}

struct Check<'m> {
    mesh: &'m Mesh,
    /// Namespaces that have a Service of Kubernetes.
    namespaces: BTreeSet<&'m str>,
    findings: Vec<Finding>,
    unmodelled: Vec<Unmodelled>,
}

impl Check<'_> {
    fn report(&mut self, rule: &'static Rule, meta: &Meta, at: &Location, message: String, help: String) {
        let subject = Subject::Resource(meta.resource.clone());
        self.findings.push(Finding::new(rule, subject, message).at(at.clone()).help(help));
    }

    fn attachment(&mut self, attachment: &Attachment<'_>) {
        let Err(refusal) = &attachment.outcome else { return };
        let (meta, parent) = (attachment.route.meta(), attachment.parent);
        let namespace = parent.namespace(meta.namespace());
        // A Service's namespace that is not among the manifests may have it.
        if *refusal == Refusal::NoParent && parent.kind() == "Service" && !self.namespaces.contains(namespace) {
            return;
        }
        let name = format!("{} `{namespace}/{}`", parent.kind(), parent.name.value);
        let (why, help) = match refusal {
            Refusal::NoParent => (format!("no {name} is defined"), self.near_parent(attachment)),
            Refusal::NoMatchingParent => (format!("{name} has no such listener or port"), self.listeners(attachment)),
            Refusal::NamespaceNotAllowed => (
                format!("the listeners of {name} take no routes of the namespace `{}`", meta.namespace()),
                "say `allowedRoutes: {namespaces: {from: All}}` there, or select the namespace".to_owned(),
            ),
            Refusal::KindNotAllowed => (
                format!("the listeners of {name} take no {}s", attachment.route.kind()),
                "attach it to a listener of another protocol, or name the kind in its `allowedRoutes`".to_owned(),
            ),
            Refusal::NoMatchingListenerHostname => (
                format!("none of its hostnames is one of {name}'s listeners"),
                "use a hostname that a listener covers".to_owned(),
            ),
            Refusal::UnsupportedParent if parent.kind() == "Service" => (
                format!("`{}` has no kind `Service`", parent.group()),
                "write `group: \"\"` beside `kind: Service`".to_owned(),
            ),
            Refusal::UnsupportedParent => (
                format!("routes do not attach to a `{}` of `{}`", parent.kind(), parent.group()),
                "attach it to a Gateway or a Service".to_owned(),
            ),
            Refusal::Conflicted(other) => {
                (format!("`{other}` holds there already"), "keep one of them, or give them other hostnames".to_owned())
            }
        };
        let message = format!("the route does not attach ({}): {why}", refusal.reason());
        self.report(&UNATTACHED_ROUTE, meta, &parent.at, message, help);
    }

    /// An object of another namespace with the parent's name, or one with nearly the name.
    fn near_parent(&self, attachment: &Attachment<'_>) -> String {
        let (parent, own) = (attachment.parent, attachment.route.meta().namespace());
        let api = &self.mesh.gateway_api;
        let known: Vec<&Meta> = match parent.kind() {
            "Gateway" => api.gateways.iter().map(|gateway| &gateway.meta).collect(),
            "Service" => self.mesh.services.iter().map(|service| &service.meta).collect(),
            _ => api.listener_sets.iter().map(|set| &set.meta).collect(),
        };
        let near = nearest(&parent.name.value, known.iter().map(|meta| meta.name()));
        let exact = known.iter().find(|meta| meta.name() == parent.name.value);
        match exact.or_else(|| known.iter().find(|meta| Some(meta.name()) == near)) {
            Some(meta) if meta.namespace() == own => format!("did you mean `{}`?", meta.name()),
            Some(meta) => format!("did you mean `{}/{}`?", meta.namespace(), meta.name()),
            None => "define it, or add the folder that does".to_owned(),
        }
    }

    fn listeners(&self, attachment: &Attachment<'_>) -> String {
        let parent = attachment.parent;
        let namespace = parent.namespace(attachment.route.meta().namespace());
        let named = |meta: &Meta| meta.name() == parent.name.value && meta.namespace() == namespace;
        let gateway = self.mesh.gateway_api.gateways.iter().find(|gateway| named(&gateway.meta));
        let listeners = gateway.into_iter().flat_map(|gateway| &gateway.listeners);
        let list = listeners.map(|known| format!("`{}` on port {}", known.name.value, known.port.value));
        let list: Vec<String> = list.collect();
        if list.is_empty() { "name a port that it has".to_owned() } else { format!("it has {}", list.join(", ")) }
    }

    fn filter(&mut self, meta: &Meta, filter: &Filter, granted: bool) {
        let unknown = match &filter.action {
            FilterAction::Mirror(backend, _) => return self.backend(meta, backend, granted),
            FilterAction::Extension(group, kind, name) => format!("the extension `{kind} {name}` of `{group}`"),
            FilterAction::Unknown(kind) => format!("the filter `{kind}`"),
            _ => return,
        };
        let reason = format!("{unknown} is not known: requests of its rule are taken to be answered 500");
        let (resource, at) = (meta.resource.clone(), filter.at.clone());
        self.unmodelled.push(Unmodelled { resource, at, reason, matters: true });
    }

    fn backend(&mut self, meta: &Meta, backend: &BackendRef, granted: bool) {
        let kind = meta.resource.kind.as_str();
        let Err(missing) = self.mesh.backend(backend, kind, meta.namespace(), granted) else { return };
        let namespace = backend.namespace(meta.namespace());
        let name = format!("{namespace}/{}", backend.name.value);
        let found = self.mesh.find_service(namespace, &backend.name.value);
        match missing {
            Missing::Kind => {
                let reason = format!(
                    "`{}` of `{}` is no kind of backend that is known: requests for it are taken to be answered 500",
                    backend.kind(),
                    backend.group()
                );
                let (resource, at) = (meta.resource.clone(), backend.at.clone());
                self.unmodelled.push(Unmodelled { resource, at, reason, matters: true });
            }
            Missing::Grant => {
                let message = format!("no ReferenceGrant of `{namespace}` lets it refer to the Service `{name}`");
                let help = format!("add a ReferenceGrant to `{namespace}`, from {kind} of `{}`", meta.namespace());
                self.report(&MISSING_GRANT, meta, &backend.at, message, help);
            }
            Missing::Port if backend.port.is_none() => {
                let message = format!("the backend `{name}` has no `port`, which a Service needs");
                self.report(&UNDEFINED_BACKEND, meta, &backend.at, message, self.ports(found));
            }
            Missing::Port => {
                let at = backend.port.as_ref().map_or(&backend.at, |port| &port.at).clone();
                let number = backend.port.as_ref().map_or(0, |port| port.value);
                let message = format!("the Service `{name}` has no port {number}");
                self.report(&UNDEFINED_BACKEND, meta, &at, message, self.ports(found));
            }
            Missing::Host | Missing::Subset => self.no_service(meta, &backend.name.at, namespace, &backend.name.value),
        }
    }

    fn ingress_backend(&mut self, meta: &Meta, backend: &IngressBackend) {
        let Err(missing) = self.mesh.ingress_backend(backend, meta.namespace()) else { return };
        let Some(service) = &backend.service else {
            let reason = "its backend is no Service: requests for it are taken to be answered 503".to_owned();
            let (resource, at) = (meta.resource.clone(), backend.at.clone());
            return self.unmodelled.push(Unmodelled { resource, at, reason, matters: true });
        };
        if missing == Missing::Host {
            return self.no_service(meta, &service.at, meta.namespace(), &service.value);
        }
        let port = match backend.port.as_ref().map(|port| &port.value) {
            Some(IngressPort::Number(number)) => format!("no port {number}"),
            Some(IngressPort::Name(name)) => format!("no port `{name}`"),
            None => "a port, and the backend names none".to_owned(),
        };
        let message = format!("the Service `{}/{}` has {port}", meta.namespace(), service.value);
        let at = backend.port.as_ref().map_or(&backend.at, |port| &port.at).clone();
        let help = self.ports(self.mesh.find_service(meta.namespace(), &service.value));
        self.report(&UNDEFINED_BACKEND, meta, &at, message, help);
    }

    fn no_service(&mut self, meta: &Meta, at: &Location, namespace: &str, name: &str) {
        if !self.namespaces.contains(namespace) {
            return;
        }
        let siblings = self.mesh.services.iter().filter(|service| service.meta.namespace() == namespace);
        let help = match nearest(name, siblings.map(|service| service.meta.name())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "define it, or add the folder that does".to_owned(),
        };
        self.report(&UNDEFINED_BACKEND, meta, at, format!("no Service `{namespace}/{name}` is defined"), help);
    }

    fn ports(&self, service: Option<meshproof_model::ServiceId>) -> String {
        let ports = service.map(|id| &self.mesh.service(id).ports);
        let numbers = ports.into_iter().flatten().map(|port| port.number.value.to_string());
        let numbers: Vec<String> = numbers.collect();
        if numbers.is_empty() { "name its port".to_owned() } else { format!("it has {}", numbers.join(", ")) }
    }
}

/// Routes with what the API leaves to each implementation, where none is known (`G-13`).
pub(crate) fn open_values(mesh: &Mesh) -> Vec<Unmodelled> {
    use meshproof_model::gateway_api::Implementation;
    let leaves = mesh.gateway_api.implementation == Implementation::Generic;
    let routes = mesh.gateway_api.http_routes.iter().filter(|_| leaves);
    let open = routes.filter(|route| route.leaves_open());
    open.map(|route| Unmodelled {
        resource: AnyRoute::Http(route).meta().resource.clone(),
        at: route.meta.at.clone(),
        reason: "it leaves timeouts or retries to the implementation: `verify` judges none, and 15 s with 2 retries; \
                 everything else takes them to be none"
            .to_owned(),
        matters: true,
    })
    .collect()
}
