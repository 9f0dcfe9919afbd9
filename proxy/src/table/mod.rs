//! A configuration, compiled: names are indices, defaults are applied, patterns are parsed, routes are indexed. A table
//! never changes; proxies share it.

mod ask;
mod compile;
mod domain;
mod filter;
mod index;
mod listener;
mod matcher;
mod name_map;
mod path_match;
mod print;
mod route;
mod template;
#[cfg(test)]
mod tests;

use std::sync::Arc;

pub use self::ask::{Access, Question, RouteDoes, RouteRef, Routed, Verdict};
use self::name_map::NameMap;
pub(crate) use self::{
    filter::{ExtAuthzTable, FaultTable, FilterTable, LocalRateLimitTable},
    listener::{ListenerTable, ManagerOptions, Resolution, RouteTable},
    matcher::{HeaderMatch, StringMatch, query_parameter},
    path_match::PathMatch,
    route::{Action, ClusterSource, DirectResponse, ForwardAction, Mirror, Override, RouteEntry},
    template::Template,
};
use crate::{ClusterId, CompileError, ListenerId, config, hosts::ClusterTable};
pub(crate) use crate::{config::RouterOptions, redirect::Redirect};

/// One proxy's configuration, compiled.
#[derive(Debug, Default)]
pub struct Table {
    listeners: Box<[ListenerTable]>,
    clusters: Box<[Arc<ClusterTable>]>,
    cluster_names: Arc<NameMap>,
    is_quiet: bool,
}

impl Table {
    /// Compiles a configuration. Routes to clusters that do not exist are allowed, as with Envoy's RDS.
    ///
    /// # Errors
    /// Every fault for which Envoy would refuse the configuration, not only the first.
    pub fn compile(config: &config::Config) -> Result<Self, Vec<CompileError>> {
        compile::table(config)
    }

    /// The cluster of that name.
    pub fn cluster(&self, name: &str) -> Option<ClusterId> {
        self.cluster_names.get(name).map(ClusterId::new)
    }

    /// The listener of that name; the first of several.
    pub fn listener_named(&self, name: &str) -> Option<ListenerId> {
        let index = self.listeners.iter().position(|listener| &*listener.name == name)?;
        u32::try_from(index).ok().map(ListenerId::new)
    }

    /// Whether a new proxy does nothing until it is asked to: it has no timer to arm for outlier detection, health
    /// checks or adaptive concurrency.
    pub const fn is_quiet(&self) -> bool {
        self.is_quiet
    }

    pub(crate) fn listener(&self, listener: ListenerId) -> &ListenerTable {
        &self.listeners[listener.index()]
    }

    pub(crate) fn listeners(&self) -> &[ListenerTable] {
        &self.listeners
    }

    pub(crate) fn clusters(&self) -> &[Arc<ClusterTable>] {
        &self.clusters
    }
}
