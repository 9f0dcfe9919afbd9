//! Istio: mesh.v1alpha1.MeshConfig, from the `istio` `ConfigMap` or an `IstioOperator`.

use meshproof_model::{
    Labels, Location, Mesh, Meta, ResourceRef, Sourced,
    istio::{Authorizes, ExtensionProvider, MeshConfig, PathNormalization},
};

use super::{
    destination_rule::{connection_pool, locality_lb, outlier_detection},
    retries,
};
use crate::{
    cx::Cx,
    field::Field,
    object::Object,
    schema, unmodelled,
    yaml::{self, Node, Parsed, Value},
};

/// Reads the settings that the `istio` `ConfigMap` holds as a text.
pub(crate) fn read_text(field: &Field<'_>, source: &str, mesh: &mut Mesh, cx: &mut Cx) {
    let parsed = inner(field.node(), source);
    if !parsed.broken.is_empty() {
        cx.invalid(field, "`mesh` is no YAML", "correct it; the settings of the mesh are not known without it");
    }
    let Some(document) = parsed.documents.first() else { return };
    let object = object(&field.at(), &document.root);
    cx.findings.extend(schema::check(&object, "MeshConfig"));
    read(&Field::root(object.file, object.root, object.path.clone()), &mut mesh.settings, cx);
    mesh.unmodelled.extend(unmodelled::fields(&object));
}

/// Reads the settings inside of an `IstioOperator`.
pub(crate) fn read_field(field: &Field<'_>, mesh: &mut Mesh, cx: &mut Cx) {
    cx.findings.extend(schema::check(&object(&field.at(), field.node()), "MeshConfig"));
    read(field, &mut mesh.settings, cx);
}

/// The settings as an object of their own.
fn object<'a>(at: &Location, root: &'a Node<'a>) -> Object<'a> {
    let resource = ResourceRef { kind: "MeshConfig".to_owned(), namespace: String::new(), name: "istio".to_owned() };
    let (labels, annotations) = (Labels::new(), Labels::new());
    Object {
        file: at.file,
        root,
        path: at.path.clone(),
        group: "mesh.istio.io".to_owned(),
        version: "v1alpha1".to_owned(),
        meta: Meta { resource, labels, annotations, created: None, at: at.clone() },
    }
}

/// The tree of a text in a text. The lines of a literal block are read where they stand, so that places are exact.
fn inner<'a>(node: &'a Node<'_>, source: &'a str) -> Parsed<'a> {
    let Value::Scalar { text, .. } = &node.value else { return Parsed::default() };
    match yaml::block_lines(source, node.mark) {
        Some(block) => yaml::parse_part(source, block),
        None => yaml::parse(text),
    }
}

/// Applies what is written to `settings` (`MC-1`).
fn read(field: &Field<'_>, settings: &mut MeshConfig, cx: &mut Cx) {
    settings.at = Some(field.at());
    if let Some(name) = field.located_text("rootNamespace") {
        settings.root_namespace = Sourced::from(name);
    }
    if let Some(domain) = field.located_text("trustDomain") {
        settings.trust_domain = Sourced::from(domain);
    }
    if let Some(on) = field.get("enableAutoMtls") {
        settings.enable_auto_mtls =
            on.bool().map_or(settings.enable_auto_mtls.clone(), |v| Sourced::written(v, on.at()));
    }
    if let Some(policy) = field.get("outboundTrafficPolicy")
        && let Some(allow) = Cx::word(&policy, "mode", &[("ALLOW_ANY", true), ("REGISTRY_ONLY", false)])
    {
        settings.outbound_allow_any = Sourced::from(allow);
    }
    if let Some(timeout) = cx.duration(field, "connectTimeout") {
        settings.connect_timeout = Sourced::from(timeout);
    }
    let aliases: Vec<String> = texts(field, "trustDomainAliases");
    if !aliases.is_empty() {
        settings.trust_domain_aliases = aliases;
    }
    if let Some(policy) = field.get("defaultHttpRetryPolicy") {
        settings.default_http_retry_policy = Some(retries::read(&policy, cx));
    }
    if let Some(policy) = field.get("defaultInboundHttpRetryPolicy") {
        settings.default_inbound_http_retry_policy = Some(retries::read(&policy, cx));
    }
    if let Some(policy) = field.get("defaultTrafficPolicy") {
        settings.default_connection_pool = policy.get("connectionPool").map(|pool| connection_pool(&pool, cx));
        settings.default_outlier_detection =
            policy.get("outlierDetection").map(|outlier| outlier_detection(&outlier, cx));
    }
    if let Some(setting) = field.get("localityLbSetting") {
        settings.locality_lb_setting = Some(locality_lb(&setting));
    }
    if field.has("extensionProviders") {
        settings.extension_providers = field.list("extensionProviders").map(|provider| extension(&provider)).collect();
    }
    if let Some(written) = field.get("pathNormalization")
        && let Some(how) = Cx::word(&written, "normalization", NORMALIZATIONS)
    {
        settings.path_normalization = how.value;
    }
    for (key, list) in [
        ("defaultVirtualServiceExportTo", &mut settings.default_virtual_service_export_to),
        ("defaultDestinationRuleExportTo", &mut settings.default_destination_rule_export_to),
    ] {
        let names = texts(field, key);
        if !names.is_empty() {
            *list = names;
        }
    }
}

const NORMALIZATIONS: &[(&str, PathNormalization)] = &[
    ("DEFAULT", PathNormalization::Base),
    ("NONE", PathNormalization::None),
    ("BASE", PathNormalization::Base),
    ("MERGE_SLASHES", PathNormalization::MergeSlashes),
    ("DECODE_AND_MERGE_SLASHES", PathNormalization::DecodeAndMergeSlashes),
];

fn extension(field: &Field<'_>) -> ExtensionProvider {
    let authorizes = if field.get("envoyExtAuthzGrpc").is_some() {
        Some(Authorizes::All)
    } else {
        field.get("envoyExtAuthzHttp").map(|_| Authorizes::Requests)
    };
    ExtensionProvider { at: field.at(), name: field.text_at("name").unwrap_or_default(), authorizes }
}

fn texts(field: &Field<'_>, key: &'static str) -> Vec<String> {
    field.texts(key).into_iter().map(|text| text.value).collect()
}
