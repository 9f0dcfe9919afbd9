//! The configuration of Envoy's rate limit service, which manifests hold as a text (`RL-2`), and what Envoy filters ask
//! it about.

use meshproof_model::{
    Finding, INEFFECTIVE_SETTING, Labels, Location, Mesh, Meta, Subject,
    istio::{DescriptorEntry, EnvoyFilter, LimitNode, PatchPattern, Rate, RateLimitService},
};

use crate::{
    field::Field,
    object::{Object, head},
    yaml::{self, Node, Value},
};

/// Reads every text of a `ConfigMap` that is such a configuration; other texts are other programs'.
pub(crate) fn read(object: &Object<'_>, source: &str) -> Vec<RateLimitService> {
    let Some(data) = object.get("data") else { return Vec::new() };
    let mut services = Vec::new();
    for (_, field) in data.fields() {
        let Value::Scalar { text, .. } = &field.node().value else { continue };
        if !(text.contains("domain:") && text.contains("descriptors:")) {
            continue;
        }
        // The lines of a literal block are read where they stand, so that places are exact.
        let parsed = match yaml::block_lines(source, field.node().mark) {
            Some(block) => yaml::parse_part(source, block),
            None => yaml::parse(text),
        };
        for document in &parsed.documents {
            services.extend(service(object, &field.at(), &document.root));
        }
    }
    services
}

fn service(object: &Object<'_>, at: &Location, root: &Node<'_>) -> Option<RateLimitService> {
    let field = Field::root(at.file, root, at.path.clone());
    let _ = head(root);
    let domain = field.located_text("domain")?;
    let descriptors = field.get("descriptors")?.items().filter_map(|entry| node(&entry)).collect();
    let meta = Meta { labels: Labels::new(), ..object.meta.clone() };
    Some(RateLimitService { meta, domain, descriptors })
}

fn node(field: &Field<'_>) -> Option<LimitNode> {
    Some(LimitNode {
        at: field.at(),
        key: field.text_at("key")?,
        value: field.text_at("value").filter(|value| !value.is_empty()),
        limit: field.get("rate_limit").map(|limit| {
            let unlimited = limit.bool_at("unlimited").unwrap_or(false);
            let requests = limit.get("requests_per_unit").and_then(|count| count.int());
            Rate {
                requests: requests.and_then(|count| u32::try_from(count).ok()).filter(|_| !unlimited),
                unit: limit.text_at("unit").unwrap_or_default().to_lowercase(),
            }
        }),
        shadow_mode: field.bool_at("shadow_mode").unwrap_or(false),
        descriptors: field.read_list("descriptors", |entry| node(&entry)),
    })
}

/// The descriptors of `rate_limits`: each entry makes one, of all of its actions.
pub(crate) fn descriptors(field: &Field<'_>) -> Vec<Vec<DescriptorEntry>> {
    field.items().map(|limit| limit.read_list("actions", |action| entry(&action))).collect()
}

fn entry(action: &Field<'_>) -> Option<DescriptorEntry> {
    let entry = |key: String, value: Option<String>| Some(DescriptorEntry { key, value });
    let either = |field: &Field<'_>, snake: &'static str, camel: &'static str| {
        field.text_at(snake).or_else(|| field.text_at(camel))
    };
    let of = |snake: &'static str, camel: &'static str| action.get(snake).or_else(|| action.get(camel));
    if let Some(key) = of("generic_key", "genericKey") {
        let name = either(&key, "descriptor_key", "descriptorKey").unwrap_or_else(|| "generic_key".to_owned());
        return entry(name, either(&key, "descriptor_value", "descriptorValue"));
    }
    if let Some(headers) = of("request_headers", "requestHeaders") {
        return entry(either(&headers, "descriptor_key", "descriptorKey")?, None);
    }
    if let Some(matched) = of("header_value_match", "headerValueMatch") {
        let name = either(&matched, "descriptor_key", "descriptorKey").unwrap_or_else(|| "header_match".to_owned());
        return entry(name, either(&matched, "descriptor_value", "descriptorValue"));
    }
    let fixed = [
        ("source_cluster", "sourceCluster"),
        ("destination_cluster", "destinationCluster"),
        ("remote_address", "remoteAddress"),
        ("masked_remote_address", "maskedRemoteAddress"),
    ];
    let found = fixed.into_iter().find(|(snake, camel)| of(snake, camel).is_some());
    entry(found?.0.to_owned(), None)
}

/// What a filter's descriptors are limited to by the services of the manifests, in words; `None`: no manifest holds
/// such a service for its domains.
pub(crate) fn limits(mesh: &Mesh, descriptors: &[Vec<DescriptorEntry>]) -> Option<String> {
    if mesh.rate_limit_services.is_empty() {
        return None;
    }
    let mut told = Vec::new();
    for service in &mesh.rate_limit_services {
        for descriptor in descriptors {
            for node in service.nodes(descriptor) {
                let Some(rate) = &node.limit else { continue };
                let value = node.value.as_ref().map_or_else(String::new, |value| format!("={value}"));
                let counted = if node.shadow_mode { ", counted only" } else { "" };
                told.push(format!("`{}{value}` {rate}{counted}", node.key));
            }
        }
    }
    told.dedup();
    Some(if told.is_empty() { "no limit of the rate limit service".to_owned() } else { told.join(", ") })
}

/// Filters that ask about a domain, or about descriptors, that no configuration of the manifests limits.
pub(crate) fn check(mesh: &Mesh) -> Vec<Finding> {
    let services = &mesh.rate_limit_services;
    let mut findings = Vec::new();
    if services.is_empty() {
        return findings;
    }
    let known: Vec<&str> = services.iter().map(|service| service.domain.value.as_str()).collect();
    let subject = |filter: &EnvoyFilter| Subject::Resource(filter.meta.resource.clone());
    for filter in &mesh.envoy_filters {
        for patch in &filter.patches {
            let message = match &patch.pattern {
                PatchPattern::GlobalRateLimit { domain, .. } if !known.contains(&domain.as_str()) => {
                    let known = known.join("`, `");
                    format!(
                        "the rate limit service knows no domain `{domain}`, so that nothing is limited: it has `{known}`"
                    )
                }
                PatchPattern::RateLimitActions(descriptors) => {
                    let is_limited = |descriptor: &Vec<DescriptorEntry>| {
                        services.iter().any(|service| service.nodes(descriptor).iter().any(|node| node.limit.is_some()))
                    };
                    let Some(lost) = descriptors.iter().find(|one| !one.is_empty() && !is_limited(one)) else {
                        continue;
                    };
                    let keys: Vec<&str> = lost.iter().map(|entry| entry.key.as_str()).collect();
                    format!("no limit of the rate limit service is for the descriptor `{}`", keys.join(", "))
                }
                _ => continue,
            };
            let finding = Finding::new(&INEFFECTIVE_SETTING, subject(filter), message).at(patch.at.clone());
            findings.push(finding.help("write the same domain, keys and depth in the filter and in the service"));
        }
    }
    findings
}
