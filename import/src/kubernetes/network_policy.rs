//! Kubernetes: `networking.v1.NetworkPolicy` (`K-7`).

use meshproof_model::kubernetes::{LabelSelector, NetworkPolicy, PolicyPeer, PolicyPort, PolicyRule, PortMatch};

use super::selector;
use crate::{cx::Cx, field::Field, object::Object, yaml::Plain};

/// Reads one. It isolates against what comes in unless it says otherwise, and against what goes out if it has rules
/// for that.
pub(super) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<NetworkPolicy> {
    let spec = object.get("spec")?;
    let types = spec.texts("policyTypes");
    let is = |kind: &str| types.iter().any(|written| written.value == kind);
    Some(NetworkPolicy {
        meta: object.meta.clone(),
        pods: spec.get("podSelector").map_or_else(LabelSelector::default, |pods| selector::read(&pods)),
        isolates_ingress: types.is_empty() || is("Ingress"),
        isolates_egress: is("Egress") || (types.is_empty() && spec.get("egress").is_some()),
        ingress: spec.list("ingress").map(|entry| rule(&entry, "from", cx)).collect(),
        egress: spec.list("egress").map(|entry| rule(&entry, "to", cx)).collect(),
    })
}

fn rule(field: &Field<'_>, peers: &'static str, cx: &mut Cx) -> PolicyRule {
    PolicyRule {
        at: field.at(),
        peers: field.list(peers).map(|entry| peer(&entry)).collect(),
        ports: field.read_list("ports", |entry| port(&entry, cx)),
    }
}

fn peer(field: &Field<'_>) -> PolicyPeer {
    if let Some(block) = field.get("ipBlock") {
        return PolicyPeer::Block {
            cidr: block.text_at("cidr").unwrap_or_default(),
            except: block.texts("except").into_iter().map(|block| block.value).collect(),
        };
    }
    PolicyPeer::Pods {
        namespaces: field.get("namespaceSelector").map(|selector| selector::read(&selector)),
        pods: field.get("podSelector").map(|selector| selector::read(&selector)),
    }
}

fn port(field: &Field<'_>, cx: &mut Cx) -> Option<PolicyPort> {
    let protocol = field.text_at("protocol").unwrap_or_else(|| "TCP".to_owned());
    let Some(first) = field.get("port") else { return Some(PolicyPort { protocol, port: None }) };
    let port = match first.node().plain()? {
        Plain::Text(name) if name.parse::<u16>().is_err() => PortMatch::Name(name.to_owned()),
        _ => {
            let from = cx.port_value(&first)?.value;
            let last = cx.port(field, "endPort").map_or(from, |last| last.value);
            if last < from {
                cx.invalid(&first, format!("`endPort` {last} is below `port` {from}"), "the range is empty: swap them");
            }
            PortMatch::Range(from, last)
        }
    };
    Some(PolicyPort { protocol, port: Some(first.located(port)) })
}
