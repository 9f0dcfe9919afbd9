//! From texts to a mesh: every object once, in the order of paths, then what they mean to each other.

mod collect;
mod merge;

use std::collections::BTreeMap;

use meshproof_model::{
    API_WARNING, DUPLICATE_RESOURCE, FileId, Finding, INVALID_VALUE, Location, Mesh, Meta, Namespace, ProxyMode,
    ResourceRef, Severity, Sources, Subject, UNKNOWN_FIELD, UNREADABLE_INPUT, Unmodelled, Workload,
    gateway_api::{Gateway, GatewayApi},
    linkerd::ProxyOptions,
};
use rayon::prelude::*;

use collect::unrendered;

use crate::{
    ImportOptions, Imported, Profile, analysis, calls,
    cx::Cx,
    delivery, gateway_api, gateways, istio,
    kinds::{self, GatewayKind, Kind, Reading},
    kubernetes::{self, injection, workload},
    linkerd, lints,
    object::{Object, locate},
    rate_limit, references, schema, suppression, unmodelled,
    yaml::{self, Node, Parsed},
};

/// Reads everything.
pub(crate) fn import(sources: &Sources, options: &ImportOptions) -> Imported {
    let mut files: Vec<(FileId, &str)> = sources.iter().map(|(id, _)| (id, sources.path(id))).collect();
    files.sort_by_key(|(id, path)| (*path, *id));
    files.retain(|(_, path)| !is_other(path));
    let text = |id: FileId| sources.get(id).map_or("", |source| source.text.as_str());
    let parsed: Vec<(FileId, Parsed<'_>)> = files.par_iter().map(|(id, _)| (*id, yaml::parse(text(*id)))).collect();

    let mut reader = Reader::new(sources, options);
    let mut trees = Trees::default();
    for (file, parsed) in &parsed {
        reader.texts(*file, text(*file), parsed);
        for document in &parsed.documents {
            reader.document(*file, document, &mut trees);
        }
    }
    reader.out.objects = trees.objects.len();
    let (analysis, ()) = rayon::join(|| analyze(&trees, options), || reader.objects(&trees.objects));
    reader.analysis = analysis;
    // The trees are large: they go while what they said is joined.
    drop(trees);
    rayon::join(|| reader.finish(), move || drop(parsed)).0
}

/// Files that a mesh's folder holds beside manifests.
pub(crate) fn is_other(path: &str) -> bool {
    [".ron", ".intent", ".toml", ".md", ".txt"].iter().any(|end| path.ends_with(end))
}

/// An object and its kind; no kind: nobody knows it.
type Known<'a> = (Object<'a>, Option<Kind>);

/// Every document.
#[derive(Default)]
struct Trees<'a> {
    objects: Vec<Known<'a>>,
    /// Those that are no objects.
    others: Vec<(FileId, &'a Node<'a>)>,
}

/// How many objects one thread reads at a time.
const PART: usize = 64;

struct Reader<'o> {
    sources: &'o Sources,
    options: &'o ImportOptions,
    out: Imported,
    workloads: Vec<workload::Read>,
    /// Members of every `WorkloadGroup`.
    groups: Vec<Workload>,
    namespaces: injection::NamespaceLabels,
    has_istio: bool,
    has_linkerd: bool,
    /// Definitions that a later one of the same name replaces.
    overruled: Vec<meshproof_model::istio::DestinationRule>,
    /// What Istio's analysis says.
    analysis: Vec<Finding>,
}

impl<'o> Reader<'o> {
    fn new(sources: &'o Sources, options: &'o ImportOptions) -> Self {
        Self {
            sources,
            options,
            out: Imported::default(),
            workloads: Vec::new(),
            groups: Vec::new(),
            namespaces: BTreeMap::new(),
            has_istio: false,
            has_linkerd: false,
            overruled: Vec::new(),
            analysis: Vec::new(),
        }
    }

    /// What cannot be read, and what comments suppress.
    fn texts(&mut self, file: FileId, text: &str, parsed: &Parsed<'_>) {
        let found = suppression::in_comments(file, text, &parsed.comments, &mut self.out.findings);
        self.out.suppressions.extend(found);
        for broken in &parsed.broken {
            self.out.unreadable = true;
            let at = locate(file, broken.mark, "");
            self.out.findings.push(if broken.template {
                unrendered(at)
            } else {
                Finding::new(&UNREADABLE_INPUT, Subject::Mesh, format!("this is no YAML: {}", broken.message))
                    .at(at)
                    .help("correct it; the other documents were read")
            });
        }
    }

    /// Reads every object; of those with one name the last. Parts are read at once and joined in their order, but the
    /// settings of the mesh, of which each changes what the one before said.
    fn objects(&mut self, objects: &[Known<'_>]) {
        let last = last_of_name(objects);
        let winner = |i: usize, object: &Object<'_>| {
            last.get(&name_of(object)).filter(|winner| **winner != i).and_then(|winner| objects.get(*winner))
        };
        let is_settings = |kind: &Option<Kind>| {
            kind.is_some_and(|kind| matches!(kind.reading, Reading::ConfigMap | Reading::IstioOperator))
        };
        let numbered: Vec<(usize, &Known<'_>)> = objects.iter().enumerate().collect();
        let (settings, others): (Vec<_>, Vec<_>) = numbered.into_iter().partition(|(_, (_, kind))| is_settings(kind));
        let (sources, options) = (self.sources, self.options);
        let read = |reader: &mut Self, known: &[(usize, &Known<'_>)]| {
            for (i, known) in known {
                reader.known(known, winner(*i, &known.0));
            }
        };
        let parts: Vec<Self> = (others.par_chunks(PART))
            .map(|part| {
                let mut reader = Self::new(sources, options);
                read(&mut reader, part);
                reader
            })
            .collect();
        for part in parts {
            self.absorb(part);
        }
        read(self, &settings);
    }

    /// Reads an object, unless another one of its name wins.
    fn known(&mut self, (object, kind): &Known<'_>, winner: Option<&Known<'_>>) {
        if let Some((winner, _)) = winner {
            self.out.findings.push(duplicate(object, winner));
            if kind.is_some_and(|kind| kind.reading == Reading::DestinationRule) {
                self.overruled.extend(istio::destination_rule::read(object, &mut Cx::new(object)));
            }
            if let Some(schema) = kind.and_then(|kind| kind.schema) {
                self.out.findings.extend(schema::check(object, schema));
            }
            return;
        }
        let found = suppression::in_annotation(object, &mut self.out.findings);
        self.out.suppressions.extend(found);
        match kind {
            Some(kind) => self.object(object, *kind),
            None => self.unknown_kind(object),
        }
    }

    fn object(&mut self, object: &Object<'_>, kind: Kind) {
        if let Some(schema) = kind.schema {
            self.out.findings.extend(schema::check(object, schema));
        }
        self.has_istio |= object.group.ends_with("istio.io") && object.group != "install.istio.io";
        self.has_linkerd |= object.group.ends_with("linkerd.io");
        let mut cx = Cx::new(object);
        let mesh = &mut self.out.mesh;
        delivery::read(object, mesh, &mut cx);
        mesh.linkerd.policies.extend(linkerd::annotations::policy(object, &mut cx));
        match kind.reading {
            Reading::VirtualService => mesh.virtual_services.extend(istio::virtual_service::read(object, &mut cx)),
            Reading::DestinationRule => mesh.destination_rules.extend(istio::destination_rule::read(object, &mut cx)),
            Reading::Gateway => mesh.gateways.extend(istio::gateway::read(object, &mut cx)),
            Reading::ServiceEntry => {
                let (services, endpoints) = istio::service_entry::read(object, &mut cx);
                mesh.services.extend(services);
                mesh.workloads.extend(endpoints);
            }
            Reading::PeerAuthentication => {
                mesh.peer_authentications.push(istio::peer_authentication::read(object, &mut cx));
            }
            Reading::AuthorizationPolicy => mesh.authorization_policies.push(istio::authorization_policy::read(object)),
            Reading::GatewayApi(kind) => read_gateway_api(kind, object, &mut mesh.gateway_api, &mut cx),
            Reading::Ingress => mesh.gateway_api.ingresses.extend(kubernetes::ingress::read(object, &mut cx)),
            Reading::Sidecar => mesh.sidecars.push(istio::sidecar::read(object, &mut cx)),
            Reading::WorkloadEntry => mesh.workloads.extend(istio::workload_entry::read(object, &mut cx)),
            Reading::WorkloadGroup => self.groups.extend(istio::workload_entry::group(object, &mut cx)),
            Reading::RequestAuthentication => {
                mesh.request_authentications.push(istio::request_authentication::read(object));
            }
            Reading::Service => {
                mesh.services.extend(kubernetes::service::read(object, &self.options.cluster_domain, &mut cx));
            }
            Reading::Workload => match workload::read(object, &mut cx) {
                Some(read) => self.workloads.push(read),
                None => mesh.unmodelled.push(unmodelled::whole(object, "its pods are described elsewhere")),
            },
            Reading::Namespace => {
                let read = kubernetes::namespace::read(object);
                self.namespaces.insert(object.meta.name().to_owned(), read.labels);
                let options = linkerd::annotations::options(object.get("metadata").as_ref(), &mut cx);
                mesh.linkerd.namespaces.insert(object.meta.name().to_owned(), options);
                mesh.namespaces.insert(object.meta.name().to_owned(), read.namespace);
            }
            Reading::IstioOperator => {
                if let Some(config) = object.get("spec").and_then(|spec| spec.get("meshConfig")) {
                    istio::mesh_config::read_field(&config, mesh, &mut cx);
                }
            }
            Reading::EnvoyFilter => mesh.envoy_filters.extend(istio::envoy_filter::read(object, &mut cx)),
            Reading::ProxyConfig(reason) => {
                mesh.proxy_configs.extend(istio::envoy_filter::proxy_config(object, &mut cx));
                mesh.unmodelled.push(unmodelled::whole(object, reason));
            }
            Reading::Telemetry(reason) => {
                mesh.telemetries.extend(istio::envoy_filter::telemetry(object));
                mesh.unmodelled.push(unmodelled::whole(object, reason));
            }
            Reading::Kubernetes(reason) => {
                kubernetes::read(object, mesh, &mut cx);
                mesh.unmodelled.push(unmodelled::whole(object, reason));
            }
            Reading::Linkerd => linkerd::read(object, mesh, &mut cx),
            Reading::ConfigMap => return self.config_map(object),
            Reading::Not(reason) => mesh.unmodelled.push(unmodelled::whole(object, reason)),
            Reading::ServiceAccount | Reading::List => {}
        }
        if kind.reading.needs_spec() && object.get("spec").is_none() {
            let message = format!("`{}` has no `spec`, so it says nothing", object.meta.resource);
            let subject = Subject::Resource(object.meta.resource.clone());
            self.out.findings.push(Finding::new(&INVALID_VALUE, subject, message).at(object.meta.at.clone()));
        }
        self.out.findings.append(&mut cx.findings);
        if kind.reading.is_judged() {
            self.out.mesh.unmodelled.extend(unmodelled::fields(object));
        }
    }

    /// The `istio` `ConfigMap` holds the mesh's settings as a text in a text.
    fn config_map(&mut self, object: &Object<'_>) {
        let data = object.get("data").and_then(|data| data.get("mesh"));
        let is_mesh = object.meta.name() == "istio" || object.meta.name().starts_with("istio-");
        let source = self.sources.get(object.file).map_or("", |source| source.text.as_str());
        let Some(field) = data.filter(|_| is_mesh) else {
            let services = rate_limit::read(object, source);
            let reason = match services.as_slice() {
                [] => "what programs read from it is not known",
                _ => {
                    "a rate limit service's limits: they are named where filters ask for them, and no verdict sees them"
                }
            };
            self.out.mesh.rate_limit_services.extend(services);
            return self.out.mesh.unmodelled.push(unmodelled::whole(object, reason));
        };
        let mut cx = Cx::new(object);
        istio::mesh_config::read_text(&field, source, &mut self.out.mesh, &mut cx);
        self.out.findings.append(&mut cx.findings);
        self.out.mesh.unmodelled.extend(unmodelled::fields(object));
    }

    fn unknown_kind(&mut self, object: &Object<'_>) {
        let (group, kind) = (object.group.as_str(), object.meta.resource.kind.as_str());
        let meant = schema::slip(kind, kinds::names_of(group));
        let api = format!("{group}/{}", object.version);
        let api = api.trim_start_matches('/');
        let help = match (meant, kinds::group_of(kind)) {
            (Some(meant), _) => Some(format!("did you mean `{meant}`?")),
            (None, Some(group)) if kinds::is_complete(object.group.as_str()) => {
                Some(format!("the kind is of `{}`", if group.is_empty() { "v1" } else { group }))
            }
            _ => None,
        };
        if let Some(help) = help {
            let message = format!("`{api}` has no kind `{kind}`");
            let finding = Finding::new(&INVALID_VALUE, Subject::Resource(object.meta.resource.clone()), message);
            self.out.findings.push(finding.at(object.meta.at.clone()).help(help));
        }
        let reason = format!("the kind `{kind}` of `{api}` is not known: what it does is not judged");
        self.out.mesh.unmodelled.push(unmodelled::whole(object, reason));
    }

    /// What the objects mean to each other.
    fn finish(mut self) -> Imported {
        self.out.mesh.settings.istio_version = self.options.istio_version;
        let is_istio = |gateway: &Gateway| gateway.class.value.starts_with("istio");
        self.has_istio |=
            self.out.mesh.settings.at.is_some() || self.out.mesh.gateway_api.gateways.iter().any(is_istio);
        let mut assumed: BTreeMap<String, Unmodelled> = BTreeMap::new();
        let assumed_mesh = match (self.has_istio, self.has_linkerd) {
            (true, _) => ProxyMode::Sidecar,
            (false, true) => ProxyMode::Linkerd,
            (false, false) => ProxyMode::None,
        };
        for i in 0..self.out.mesh.services.len() {
            let service = &self.out.mesh.services[i];
            let options = with_namespace(&self.out.mesh, service.linkerd.clone(), &service.meta);
            self.out.mesh.services[i].linkerd = options;
        }
        for mut read in std::mem::take(&mut self.workloads) {
            read.workload.linkerd = with_namespace(&self.out.mesh, read.workload.linkerd, &read.workload.meta);
            if let Some(assumption) = injection::decide(&mut read, &self.namespaces, assumed_mesh) {
                assumed.entry(assumption.namespace.clone()).or_insert_with(|| undefined_namespace(assumption));
            }
            self.out.mesh.workloads.push(read.workload);
        }
        istio::workload_entry::add_groups(&mut self.out.mesh, std::mem::take(&mut self.groups));
        let found = references::check(&self.out.mesh, &self.overruled, &self.options.cluster_domain);
        self.out.findings.extend(found);
        let mesh = &mut self.out.mesh;
        mesh.unmodelled.extend(assumed.into_values());
        istio::envoy_filter::sort(&mut mesh.envoy_filters);
        mesh.unmodelled.extend(istio::envoy_filter::taints(mesh));
        self.out.findings.extend(rate_limit::check(mesh));
        mesh.unmodelled.extend(linkerd::lints::gaps(mesh));
        self.out.findings.extend(linkerd::lints::check(mesh));
        delivery::flagger::add(mesh, self.has_istio);
        gateways::promote(mesh);
        gateways::stand_in(mesh, &self.options.cluster_domain);
        mesh.gateway_api.implementation = self.options.gateway_impl;
        let (found, gaps) = gateway_api::references::check(mesh);
        self.out.findings.extend(found);
        mesh.unmodelled.extend(gaps);
        mesh.unmodelled.extend(gateway_api::references::open_values(mesh));
        gateway_api::stand_in::promote(mesh);
        gateway_api::stand_in::add(mesh);
        kubernetes::ingress_proxy::add(mesh);
        mention_namespaces(mesh);
        mesh.inferred_calls = calls::infer(mesh, &self.options.cluster_domain);
        self.out.findings.extend(lints::check(mesh, &self.options.cluster_domain));
        let place = |at: &Location| (at.file, at.line, at.column);
        mesh.unmodelled.sort_by(|a, b| place(&a.at).cmp(&place(&b.at)).then_with(|| a.reason.cmp(&b.reason)));
        if self.options.strict {
            self.strict();
        }
        let analysis = std::mem::take(&mut self.analysis);
        if self.options.profile == Profile::IstioAnalyze {
            self.out.findings = analysis;
        } else {
            let news: Vec<Finding> = analysis.into_iter().filter(|f| !is_said(f, &self.out.findings)).collect();
            self.out.findings.extend(news);
        }
        let order = |f: &Finding| (f.location.as_ref().map(place), f.rule.code);
        self.out.findings.par_sort_by(|a, b| order(a).cmp(&order(b)).then_with(|| a.message.cmp(&b.message)));
        self.out
    }

    /// What is not known and not modelled is an error.
    fn strict(&mut self) {
        for finding in self.out.findings.iter_mut().filter(|finding| finding.rule.code == UNKNOWN_FIELD.code) {
            finding.severity = Severity::Error;
        }
        for item in &self.out.mesh.unmodelled {
            let subject = Subject::Resource(item.resource.clone());
            let mut finding = Finding::new(&UNKNOWN_FIELD, subject, item.reason.clone()).at(item.at.clone());
            finding.severity = Severity::Error;
            self.out.findings.push(finding);
        }
    }
}

/// What Istio's analysis says.
fn analyze(trees: &Trees<'_>, options: &ImportOptions) -> Vec<Finding> {
    let counts = last_of_name(&trees.objects);
    let objects: Vec<&Object<'_>> = (trees.objects.iter().enumerate())
        .filter(|(i, (object, _))| counts.get(&name_of(object)) == Some(i))
        .map(|(_, (object, _))| object)
        .collect();
    analysis::check(&objects, &trees.others, options.profile == Profile::IstioAnalyze)
}

/// Reads an object of Gateway API.
fn read_gateway_api(kind: GatewayKind, object: &Object<'_>, into: &mut GatewayApi, cx: &mut Cx) {
    use gateway_api::{gateway, policy, route};
    match kind {
        GatewayKind::Gateway => into.gateways.extend(gateway::read(object, cx)),
        GatewayKind::Class => into.classes.push(gateway::class(object)),
        GatewayKind::ListenerSet => into.listener_sets.extend(gateway::listener_set(object, cx)),
        GatewayKind::HttpRoute => into.http_routes.extend(route::http(object, cx)),
        GatewayKind::ConnectionRoute => into.connection_routes.extend(route::connection(object, cx)),
        GatewayKind::Grant => into.grants.push(policy::grant(object)),
        GatewayKind::BackendTls => into.backend_tls.extend(policy::backend_tls(object)),
        GatewayKind::BackendTraffic => into.backend_traffic.extend(policy::backend_traffic(object, cx)),
    }
}

/// The group and name of an object.
fn name_of<'o>(object: &'o Object<'_>) -> (&'o str, &'o ResourceRef) {
    (&object.group, &object.meta.resource)
}

/// The last object of each name: it is the one that counts.
fn last_of_name<'o>(objects: &'o [Known<'_>]) -> BTreeMap<(&'o str, &'o ResourceRef), usize> {
    objects.iter().enumerate().map(|(i, (object, _))| (name_of(object), i)).collect()
}

/// Whether our own lints say something of the same field, or of one around or inside of it: what admission refuses
/// is often what they are about.
fn is_said(finding: &Finding, said: &[Finding]) -> bool {
    let path = |f: &Finding| f.location.as_ref().map(|at| at.path.to_string());
    let Some(own) = path(finding).filter(|_| [INVALID_VALUE.code, API_WARNING.code].contains(&finding.rule.code))
    else {
        return false;
    };
    let same = |other: &Finding| path(other).is_some_and(|path| path.starts_with(&own) || own.starts_with(&path));
    said.iter().any(|other| other.subject == finding.subject && same(other))
}

fn duplicate(object: &Object<'_>, winner: &Object<'_>) -> Finding {
    let resource = &object.meta.resource;
    let message = format!("`{resource}` is defined more than once; the last one by path counts, not this one");
    Finding::new(&DUPLICATE_RESOURCE, Subject::Resource(resource.clone()), message)
        .at(object.meta.at.clone())
        .related(winner.meta.at.clone(), "this one counts")
        .help("keep one of them, or name the files that belong together")
}

/// What annotations of Linkerd say, its namespace's where they say nothing.
fn with_namespace(mesh: &Mesh, own: ProxyOptions, meta: &Meta) -> ProxyOptions {
    match mesh.linkerd.namespaces.get(meta.namespace()) {
        Some(namespace) => own.or(namespace),
        None => own,
    }
}

fn undefined_namespace(assumed: injection::Assumed) -> Unmodelled {
    let injection::Assumed { namespace, mode, at } = assumed;
    let (what, why, how) = match mode {
        ProxyMode::Linkerd => ("injected", "the manifests hold objects of Linkerd", "annotation `linkerd.io/inject"),
        ProxyMode::None => ("not injected", "the manifests hold no object of Istio", "label `istio-injection"),
        _ => ("injected", "the manifests hold objects of Istio", "label `istio-injection"),
    };
    let reason = format!(
        "the manifests do not define the namespace `{namespace}`: its pods are taken to be {what}, since {why}; \
         a Namespace with or without the {how}: enabled` decides it"
    );
    let resource = ResourceRef { kind: "Namespace".to_owned(), namespace: String::new(), name: namespace };
    Unmodelled { resource, at, reason, matters: true }
}

/// Namespaces that only other objects mention have no labels.
fn mention_namespaces(mesh: &mut Mesh) {
    let Mesh { namespaces, services, workloads, virtual_services, destination_rules, gateways, gateway_api, .. } = mesh;
    let metas = (services.iter().map(|s| &s.meta))
        .chain(workloads.iter().map(|w| &w.meta))
        .chain(virtual_services.iter().map(|v| &v.meta))
        .chain(destination_rules.iter().map(|d| &d.meta))
        .chain(gateways.iter().map(|g| &g.meta))
        .chain(gateway_api.metas());
    for meta in metas {
        if !namespaces.contains_key(meta.namespace()) {
            namespaces.insert(meta.namespace().to_owned(), Namespace::default());
        }
    }
}
