//! What `istioctl analyze` finds, as far as files can tell: each message of Istio's analyzers under its own conditions.
//!
//! Istio: `pkg/config/analysis/analyzers` and `pkg/config/validation`. Messages name the same resource, with the same
//! severity, as often as Istio does. Where manifests are taken for the whole mesh (`--profile istio-analyze`), what
//! they do not hold does not exist; else a reference is judged only where the manifests hold things of that sort.

mod annotations;
mod authorization;
mod conditions;
mod deprecation;
mod destination_rules;
mod envoy_filters;
mod exports;
mod gateways;
mod hosts;
mod injection;
mod message;
mod mistakes;
mod networks;
mod report;
mod routes;
mod selectors;
mod service_entries;
mod services;
mod telemetry;
mod tree;
mod validation;
mod virtual_services;
mod webhooks;
mod workloads;
mod world;

use meshproof_model::{FieldPath, FileId, Finding, Location, Severity};
use rayon::prelude::*;

use crate::{
    object::{Object, head, locate},
    yaml::{self, Node, Parsed},
};
use report::Report;
use tree::Tree;
use world::{CONFIG_MAP, Kind, World};

/// Everything that Istio's analysis says of the objects, the last of each name. `documents` are trees that are no
/// objects. `closed`: the manifests are the whole mesh.
pub(crate) fn check(objects: &[&Object<'_>], documents: &[(FileId, &Node<'_>)], closed: bool) -> Vec<Finding> {
    let Some(file) = objects.first().map(|object| object.file) else { return Vec::new() };
    let settings = Settings::parse(objects);
    let (mesh, networks) = settings.trees(objects, documents);
    let installed = world::installed(mesh);
    let installed = yaml::parse(&installed);
    let installed: Vec<Object<'_>> = (installed.documents.iter())
        .filter_map(|document| Object::new(file, &document.root, FieldPath::default(), "").ok())
        .collect();
    let world = World::new(closed, &installed, objects, mesh, networks);
    let reports = ANALYZERS.par_iter().map(|analyzer| {
        let mut report = Report::new(closed);
        analyzer(&world, &mut report);
        report
    });
    Report::join(reports.collect())
}

static ANALYZERS: &[fn(&World<'_>, &mut Report)] = &[
    annotations::check,
    authorization::check,
    conditions::check,
    deprecation::check,
    destination_rules::check,
    envoy_filters::check,
    exports::check,
    gateways::check,
    injection::check,
    mistakes::check,
    networks::check,
    routes::check,
    selectors::check,
    service_entries::check,
    services::check,
    telemetry::check,
    validation::check,
    virtual_services::check,
    webhooks::check,
    workloads::check,
];

/// Texts in texts: settings of the mesh in a `ConfigMap`.
struct Settings<'a>(Vec<(usize, &'static str, Parsed<'a>)>);

impl<'a> Settings<'a> {
    fn parse(objects: &[&'a Object<'a>]) -> Self {
        let maps = objects.iter().enumerate().filter(|(_, object)| is(object, CONFIG_MAP));
        let istio = maps.filter(|(_, map)| map.meta.name() == "istio" || map.meta.name().starts_with("istio-"));
        let parsed = istio.flat_map(|(i, map)| {
            let data = Tree::new(map.root).get("data");
            ["mesh", "meshNetworks"].map(|key| (i, key, yaml::parse(data.get(key).text())))
        });
        Self(parsed.collect())
    }

    /// `MeshConfig` and `MeshNetworks`, also where they stand alone in a document.
    fn trees<'t>(
        &'t self,
        objects: &[&'t Object<'t>],
        documents: &[(FileId, &'t Node<'t>)],
    ) -> (Tree<'t>, Vec<(Location, Tree<'t>)>) {
        let alone = |key: &'static str| {
            let trees = documents.iter().map(|(file, node)| (locate(*file, head(node), ""), Tree::new(node)));
            trees.filter(move |(_, tree)| match key {
                "meshNetworks" => tree.get("networks").is_set(),
                _ => MESH_FIELDS.iter().any(|field| tree.has(field)),
            })
        };
        let operator = objects.iter().filter(|object| object.meta.resource.kind == "IstioOperator");
        let operator = operator.map(|object| Tree::new(object.root).at("spec.meshConfig")).filter(|tree| tree.is_set());
        let of = |wanted: &'static str| {
            let parsed = self.0.iter().filter(move |(_, key, _)| *key == wanted);
            parsed.filter_map(|(i, _, parsed)| Some((*i, Tree::new(&parsed.documents.first()?.root))))
        };
        let mesh = of("mesh").map(|(_, tree)| tree).chain(operator).chain(alone("mesh").map(|(_, tree)| tree)).last();
        let networks = of("meshNetworks").filter_map(|(i, tree)| Some((objects.get(i)?.meta.at.clone(), tree)));
        (mesh.unwrap_or_default(), networks.chain(alone("meshNetworks")).collect())
    }
}

/// Fields by which a `MeshConfig` without a `ConfigMap` around it is known.
const MESH_FIELDS: &[&str] =
    &["rootNamespace", "defaultConfig", "defaultProviders", "extensionProviders", "trustDomain", "enableAutoMtls"];

fn is(object: &Object<'_>, kind: Kind) -> bool {
    object.group == kind.0 && object.meta.resource.kind == kind.1
}

/// The severity that a message has in Istio.
const fn severity(letter: u8) -> Severity {
    match letter {
        b'E' => Severity::Error,
        b'W' => Severity::Warning,
        _ => Severity::Info,
    }
}
