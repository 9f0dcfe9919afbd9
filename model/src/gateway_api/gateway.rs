//! Gateway API: Gateway, GatewayClass, ListenerSet.

use super::ParentRef;
use crate::{Labels, Located, Location, Meta};

/// A class of Gateways (Gateway API: `GatewayClass`).
#[derive(Clone, Debug, PartialEq)]
pub struct GatewayClass {
    /// Its name and place.
    pub meta: Meta,
    /// Who makes Gateways of it.
    pub controller: Option<Located<String>>,
}

/// An entry into the mesh (Gateway API: `Gateway`).
#[derive(Clone, Debug, PartialEq)]
pub struct Gateway {
    /// Its name and place.
    pub meta: Meta,
    /// The name of its class.
    pub class: Located<String>,
    /// Where requests arrive.
    pub listeners: Vec<Listener>,
    /// Addresses that it asks for.
    pub addresses: Vec<Located<Address>>,
    /// Labels of what is made for it (`spec.infrastructure.labels`).
    pub infrastructure_labels: Labels,
    /// From where ListenerSets may add listeners; absent: from nowhere.
    pub allowed_listeners: Option<Located<FromNamespaces>>,
}

/// An address that a Gateway asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A host name; of a Service of the cluster: its pods are the gateway.
    Hostname(String),
    /// An address of the network.
    Ip(String),
    /// Another type and its value.
    Other(String, String),
}

/// Where requests arrive (Gateway API: `Listener`, `ListenerEntry`).
#[derive(Clone, Debug, PartialEq)]
pub struct Listener {
    /// Where it begins.
    pub at: Location,
    /// Its name, a route's `sectionName`.
    pub name: Located<String>,
    /// The host that it takes; absent: every host.
    pub hostname: Option<Located<String>>,
    /// Its port.
    pub port: Located<u16>,
    /// `HTTP`, `HTTPS`, `TLS`, `TCP`, `UDP`, or an implementation's own.
    pub protocol: Located<String>,
    /// TLS.
    pub tls: Option<ListenerTls>,
    /// Whose routes may attach; absent: those of its own namespace (`G-1`).
    pub from: Option<Located<FromNamespaces>>,
    /// Which kinds may attach, as group and kind; empty: what fits the protocol.
    pub kinds: Vec<Located<(String, String)>>,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerTls {
    /// Where it begins.
    pub at: Location,
    /// `Terminate` or `Passthrough`; absent: `Terminate`.
    pub mode: Option<Located<String>>,
    /// Secrets with the certificates, as namespace (absent: its own) and name.
    pub certificates: Vec<Located<(Option<String>, String)>>,
    /// Whether clients must show a certificate: `options`, or `frontendValidation`.
    pub verifies_clients: bool,
    /// Whether it shows the mesh's own certificate and asks for that of the client (Istio:
    /// `gateway.istio.io/tls-terminate-mode: ISTIO_MUTUAL`).
    pub istio_mutual: bool,
}

/// Which namespaces (Gateway API: `RouteNamespaces`, `ListenerNamespaces`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FromNamespaces {
    /// The Gateway's own.
    Same,
    /// All.
    All,
    /// None.
    None,
    /// Those whose labels fit.
    Selector(LabelSelector),
}

/// Which labels fit (Kubernetes: `meta.v1.LabelSelector`): all conditions hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {
    /// Labels with these values.
    pub labels: Labels,
    /// Key, operator (`In`, `NotIn`, `Exists`, `DoesNotExist`) and values.
    pub expressions: Vec<(String, String, Vec<String>)>,
}

impl LabelSelector {
    /// Whether an object with these labels is selected; a selector without conditions selects all, and one with an
    /// operator that nobody knows selects none.
    pub fn selects(&self, labels: &Labels) -> bool {
        let holds = |(key, operator, values): &(String, String, Vec<String>)| match operator.as_str() {
            "In" => labels.get(key).is_some_and(|value| values.contains(value)),
            "NotIn" => labels.get(key).is_none_or(|value| !values.contains(value)),
            "Exists" => labels.contains_key(key),
            "DoesNotExist" => !labels.contains_key(key),
            _ => false,
        };
        crate::is_subset(&self.labels, labels) && self.expressions.iter().all(holds)
    }
}

/// Listeners that others add to a Gateway (Gateway API: `ListenerSet`, `XListenerSet`).
#[derive(Clone, Debug, PartialEq)]
pub struct ListenerSet {
    /// Its name and place.
    pub meta: Meta,
    /// The Gateway.
    pub parent: ParentRef,
    /// Where requests arrive.
    pub listeners: Vec<Listener>,
}
