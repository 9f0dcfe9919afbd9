//! What the API server's admission says of an object of Istio's (`IST0106` errors, `IST0133` warnings). Istio:
//! `pkg/config/validation`, `pkg/config/validation/agent`, `pkg/config/security`.

mod authorization;
mod certificate;
mod common;
mod destination_rule;
mod entries;
mod envoy_filter;
mod extensions;
mod gateway;
mod http_route;
mod names;
mod sidecar;
mod tokens;
mod virtual_service;

use std::fmt;

pub(super) use certificate::{base64, is_certificate};

use super::{
    message::{SCHEMA_ERROR, SCHEMA_WARNING},
    report::Report,
    world::{
        AUTHORIZATION_POLICY, DESTINATION_RULE, ENVOY_FILTER, GATEWAY, Kind, PEER_AUTHENTICATION, PROXY_CONFIG,
        REQUEST_AUTHENTICATION, Resource, SERVICE_ENTRY, SIDECAR, TELEMETRY, VIRTUAL_SERVICE, WASM_PLUGIN,
        WORKLOAD_ENTRY, WORKLOAD_GROUP, World,
    },
};

static KINDS: &[(Kind, fn(&Resource<'_>, &mut Found))] = &[
    (VIRTUAL_SERVICE, virtual_service::check),
    (DESTINATION_RULE, destination_rule::check),
    (GATEWAY, gateway::check),
    (SIDECAR, sidecar::check),
    (SERVICE_ENTRY, entries::service_entry),
    (WORKLOAD_ENTRY, entries::workload_entry),
    (WORKLOAD_GROUP, entries::workload_group),
    (AUTHORIZATION_POLICY, authorization::check),
    (REQUEST_AUTHENTICATION, tokens::check),
    (PEER_AUTHENTICATION, authorization::peer_authentication),
    (TELEMETRY, extensions::telemetry),
    (WASM_PLUGIN, extensions::wasm_plugin),
    (PROXY_CONFIG, extensions::proxy_config),
    (ENVOY_FILTER, envoy_filter::check),
];

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for (kind, validate) in KINDS {
        for resource in world.all(*kind) {
            let mut found = Found::default();
            validate(resource, &mut found);
            for (path, text) in found.errors {
                report.say_of_object(&SCHEMA_ERROR, resource, &path, text);
            }
            // That the kind is what it is, is no news to whoever wrote it.
            let known = |text: &str| !world.closed && text == envoy_filter::EXPOSES;
            for (path, text) in found.warnings.into_iter().filter(|(_, text)| !known(text)) {
                report.say_of_object(&SCHEMA_WARNING, resource, &path, text);
            }
        }
    }
}

/// What is wrong with one object, each with the way to it.
#[derive(Default)]
struct Found {
    errors: Vec<(String, String)>,
    warnings: Vec<(String, String)>,
}

impl Found {
    fn error(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.errors.push((path.into(), text.into()));
    }

    fn warning(&mut self, path: impl Into<String>, text: impl Into<String>) {
        self.warnings.push((path.into(), text.into()));
    }

    /// The text is put together where it is needed: hardly ever.
    fn error_if(&mut self, holds: bool, path: &str, text: impl fmt::Display) {
        if holds {
            self.error(path, text.to_string());
        }
    }

    fn check(&mut self, path: &str, result: Result<(), String>) {
        if let Err(text) = result {
            self.error(path, text);
        }
    }

    /// Runs a check whose warnings Istio loses on the way.
    fn without_warnings(&mut self, check: impl FnOnce(&mut Self)) {
        let before = self.warnings.len();
        check(self);
        self.warnings.truncate(before);
    }
}
