//! The case schema: what a recorded case says, read strictly (an unknown key is an error).
#![allow(
    clippy::enum_variant_names,
    clippy::option_option,
    clippy::struct_excessive_bools,
    clippy::struct_field_names,
    reason = "names and shapes are the schema's"
)]

mod bound;
mod cluster;
mod filter;
mod header;
mod matcher;
mod request;
mod retry;
mod route;
mod sampled;
mod tls;
mod unit;
mod upstream;

use std::collections::BTreeMap;

use meshproof_proxy::config;
use serde::Deserialize;

pub(crate) use cluster::Listen;
pub(crate) use request::{Protocol, Request, Token};
pub(crate) use sampled::Experiment;
pub(crate) use unit::Millis;
pub(crate) use upstream::{Action, LastStream, Reset, RstAfter, Upstream};

/// One recorded case; `expected` and `rig_notes` are not part of it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Case {
    pub(crate) id: String,
    #[serde(rename = "area")]
    _area: String,
    pub(crate) kind: Kind,
    #[serde(default, rename = "note")]
    _note: Option<String>,
    pub(crate) config: MainProxy,
    pub(crate) requests: Vec<Request>,
    #[serde(default)]
    pub(crate) upstream: Upstream,
    #[serde(default, rename = "hosts_mode")]
    _hosts_mode: Option<String>,
    #[serde(default = "settle")]
    pub(crate) settle_ms: Millis,
    #[serde(default, rename = "fraction_tol")]
    _fraction_tol: Option<f64>,
    #[serde(default, rename = "anonymous_hosts")]
    _anonymous_hosts: Option<bool>,
}

fn settle() -> Millis {
    Millis::new(120)
}

/// Whether each request is judged or only shares of many.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Exact,
    Distribution,
}

/// The first proxy, with what all proxies of the case share.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct MainProxy {
    #[serde(default)]
    listener: route::Listener,
    #[serde(default)]
    filters: Vec<filter::Filter>,
    #[serde(default)]
    route_config: route::RouteConfig,
    virtual_hosts: Vec<route::VirtualHost>,
    pub(crate) clusters: Vec<cluster::Cluster>,
    #[serde(default)]
    pub(crate) proxies: BTreeMap<String, FurtherProxy>,
    #[serde(default)]
    identities: tls::Identities,
    zone: Option<cluster::Zone>,
}

/// A proxy behind the first one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FurtherProxy {
    #[serde(default)]
    listener: route::Listener,
    #[serde(default)]
    filters: Vec<filter::Filter>,
    #[serde(default)]
    route_config: route::RouteConfig,
    virtual_hosts: Vec<route::VirtualHost>,
    pub(crate) clusters: Vec<cluster::Cluster>,
}

/// Why a case cannot be lowered to a proxy configuration.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LowerError {
    /// A matcher without any of its alternatives.
    #[error("a matcher on `{0}` says nothing")]
    EmptyMatcher(String),
    /// An action without any of its alternatives.
    #[error("the action of route `{0}` says nothing")]
    EmptyAction(String),
    /// A name that is not in `identities`.
    #[error("there is no identity `{0}`")]
    UnknownIdentity(String),
}

impl MainProxy {
    /// The first proxy's configuration.
    pub(crate) fn lower(&self, ports: &mut Ports) -> Result<config::Config, LowerError> {
        lower(
            "main",
            (&self.listener, &self.filters, &self.route_config, &self.virtual_hosts, &self.clusters),
            self.zone.as_ref().map(cluster::Zone::lower),
            &self.identities,
            ports,
        )
    }

    /// The configuration of a proxy behind the first one.
    pub(crate) fn lower_further(
        &self,
        name: &str,
        proxy: &FurtherProxy,
        ports: &mut Ports,
    ) -> Result<config::Config, LowerError> {
        let body = (&proxy.listener, &proxy.filters, &proxy.route_config, &proxy.virtual_hosts, &proxy.clusters);
        lower(name, body, None, &self.identities, ports)
    }
}

type Parts<'a> = (
    &'a route::Listener,
    &'a Vec<filter::Filter>,
    &'a route::RouteConfig,
    &'a Vec<route::VirtualHost>,
    &'a Vec<cluster::Cluster>,
);

fn lower(
    name: &str,
    (listener, filters, routes, virtual_hosts, clusters): Parts<'_>,
    zone: Option<config::Zone>,
    identities: &tls::Identities,
    ports: &mut Ports,
) -> Result<config::Config, LowerError> {
    let mut lowered = listener.lower(name, identities)?;
    lowered.filters = filters.iter().map(filter::Filter::lower).collect::<Result<_, _>>()?;
    lowered.route_config = routes.lower(virtual_hosts)?;
    let clusters = clusters.iter().map(|cluster| cluster.lower(identities, ports)).collect::<Result<_, _>>()?;
    Ok(config::Config { listeners: vec![lowered], clusters, zone })
}

/// Hands out loopback ports in the order of the hosts, so that hash rings are the same in every run.
pub(crate) struct Ports(u16);

impl Ports {
    pub(crate) fn new() -> Self {
        Self(10_100)
    }

    fn next_address(&mut self) -> String {
        let address = format!("127.0.0.1:{}", self.0);
        self.0 += 1;
        address
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::{Value, json};

    use super::*;

    /// Every recorded case, without its recording.
    fn recorded() -> Vec<Value> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/envoy/vectors");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let mut cases: Vec<Value> = files
            .flat_map(|file| serde_json::from_str::<Vec<Value>>(&std::fs::read_to_string(file).unwrap()).unwrap())
            .collect();
        for case in &mut cases {
            let case = case.as_object_mut().unwrap();
            case.remove("expected");
            case.remove("rig_notes");
        }
        cases
    }

    #[test]
    fn every_recorded_case_is_understood() {
        let cases = recorded();
        assert!(cases.len() > 700);
        for case in cases {
            let id = case["id"].clone();
            let case: Case = serde_json::from_value(case).unwrap_or_else(|error| unreachable!("{id}: {error}"));
            let mut ports = Ports::new();
            let main = case.config.lower(&mut ports);
            assert!(main.is_ok(), "{id}: {:?}", main.err());
            for (name, proxy) in &case.config.proxies {
                let further = case.config.lower_further(name, proxy, &mut ports);
                assert!(further.is_ok(), "{id}: {:?}", further.err());
            }
        }
    }

    #[test]
    fn unknown_keys_are_refused_at_every_level() {
        let case = recorded().swap_remove(0);
        for pointer in ["", "/config", "/config/virtual_hosts/0", "/config/virtual_hosts/0/routes/0", "/requests/0"] {
            let mut odd = case.clone();
            odd.pointer_mut(pointer).unwrap()["surprise"] = json!(1);
            assert!(serde_json::from_value::<Case>(odd).is_err(), "{pointer}");
        }
    }
}
