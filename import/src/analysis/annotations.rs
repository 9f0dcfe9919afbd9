//! Annotations in Istio's name on Namespaces, Services, Pods and Deployments (`IST0107`, `IST0108`, `IST0125`,
//! `IST0135`). Istio: `analyzers/annotations`; the list is `istio/api`'s `annotation/annotations.gen.go`.

use std::net::IpAddr;

use meshproof_model::Labels;

use super::{
    message::{DEPRECATED_ANNOTATION, INVALID_ANNOTATION, MISPLACED_ANNOTATION, UNKNOWN_ANNOTATION},
    report::Report,
    world::{DEPLOYMENT, INJECT, NAMESPACE, Resource, SERVICE, World},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for kind in [NAMESPACE, SERVICE, DEPLOYMENT] {
        for resource in world.all(kind) {
            let meta = resource.meta();
            of_object(resource, kind.1, &meta.labels, &meta.annotations, "metadata", report);
        }
    }
    // A template's annotations become those of its pods; Istio sees them there.
    for pod in world.pods.iter().filter(|pod| !pod.template || !world.closed) {
        of_object(&pod.resource, "Pod", &pod.labels, &pod.annotations, pod.metadata, report);
    }
}

fn of_object(
    about: &Resource<'_>,
    kind: &str,
    labels: &Labels,
    annotations: &Labels,
    metadata: &str,
    report: &mut Report,
) {
    for (name, value) in annotations.iter().filter(|(name, _)| is_istios(name)) {
        let path = format!("{metadata}.annotations.{name}");
        let Some(known) = KNOWN.iter().find(|known| known.name == name) else {
            let text = format!("Istio knows no annotation `{name}`");
            let near = crate::schema::nearest(name, KNOWN.iter().map(|known| known.name));
            match near {
                Some(near) => {
                    report.advise(&UNKNOWN_ANNOTATION, about, &path, text, format!("did you mean `{near}`?"));
                }
                None => report.say(&UNKNOWN_ANNOTATION, about, &path, text),
            }
            continue;
        };
        if known.deprecated && !(name == INJECT && labels.contains_key(INJECT)) {
            let text = format!("the annotation `{name}` is deprecated");
            if name == INJECT {
                report.advise(&DEPRECATED_ANNOTATION, about, &path, text, "make it a label of the same name");
            } else {
                report.say(&DEPRECATED_ANNOTATION, about, &path, text);
            }
        }
        if known.kinds.contains(&"Any") {
            continue;
        }
        if !known.kinds.contains(&kind) {
            let text = format!("the annotation `{name}` applies to {} only", known.kinds.join(", "));
            report.say(&MISPLACED_ANNOTATION, about, &path, text);
        } else if let Some(problem) = problem(name, value) {
            report.say(&INVALID_ANNOTATION, about, &path, format!("`{name}` does not take `{value}`: {problem}"));
        }
    }
}

fn is_istios(name: &str) -> bool {
    name == "kubernetes.io/ingress.class" || name.split('/').next().is_some_and(|domain| domain.ends_with("istio.io"))
}

/// What is wrong with a value. Istio: `pkg/kube/inject/validate.go`.
fn problem(name: &str, value: &str) -> Option<&'static str> {
    let (valid, wanted) = match name {
        "sidecar.istio.io/interceptionMode" => {
            (matches!(value, "REDIRECT" | "TPROXY" | "NONE"), "it takes `REDIRECT`, `TPROXY` or `NONE`")
        }
        "status.sidecar.istio.io/port" => (is_port(value), "it takes a port"),
        "readiness.status.sidecar.istio.io/initialDelaySeconds"
        | "readiness.status.sidecar.istio.io/periodSeconds"
        | "readiness.status.sidecar.istio.io/failureThreshold" => (is_number::<u32>(value), "it takes a whole number"),
        "traffic.sidecar.istio.io/includeOutboundIPRanges" => {
            (value == "*" || are_ranges(value), "it takes `*` or IP ranges such as `10.0.0.0/8`")
        }
        "traffic.sidecar.istio.io/excludeOutboundIPRanges" => {
            (are_ranges(value), "it takes IP ranges such as `10.0.0.0/8`")
        }
        "traffic.sidecar.istio.io/includeInboundPorts" => (value == "*" || are_ports(value), "it takes `*` or ports"),
        "traffic.sidecar.istio.io/excludeInboundPorts" | "traffic.sidecar.istio.io/excludeOutboundPorts" => {
            (are_ports(value), "it takes ports")
        }
        "prometheus.istio.io/merge-metrics" => (
            matches!(value, "1" | "t" | "T" | "TRUE" | "true" | "True" | "0" | "f" | "F" | "FALSE" | "false" | "False"),
            "it takes `true` or `false`",
        ),
        "proxy.istio.io/config" => (is_mapping(value), "it takes a ProxyConfig in YAML"),
        _ => return None,
    };
    (!valid).then_some(wanted)
}

/// Digits only, as Go reads unsigned numbers.
fn is_number<T: std::str::FromStr>(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<T>().is_ok()
}

fn is_port(text: &str) -> bool {
    is_number::<u16>(text.trim())
}

fn are_ports(text: &str) -> bool {
    text.trim().is_empty() || text.trim().split(',').all(is_port)
}

fn are_ranges(text: &str) -> bool {
    text.is_empty() || text.split(',').all(is_range)
}

/// `10.0.0.0/8`.
pub(super) fn is_range(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<IpAddr>() {
            Ok(IpAddr::V4(_)) => 32,
            Ok(IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        let plain = bits == "0" || !bits.starts_with('0');
        plain && is_number::<u8>(bits) && bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

fn is_mapping(text: &str) -> bool {
    let parsed = crate::yaml::parse(text);
    parsed.broken.is_empty() && parsed.documents.iter().all(|document| !document.root.entries().is_empty())
}

/// An annotation of Istio.
struct Known {
    name: &'static str,
    deprecated: bool,
    kinds: &'static [&'static str],
}

macro_rules! known {
    ($($name:literal $($kind:ident)+ $(; $deprecated:ident)?,)*) => {
        &[$(Known { name: $name, deprecated: known!(@ $($deprecated)?), kinds: &[$(stringify!($kind)),+] }),*]
    };
    (@ deprecated) => { true };
    (@) => { false };
}

static KNOWN: &[Known] = known! {
    "alpha.istio.io/canonical-serviceaccounts" Service; deprecated,
    "alpha.istio.io/kubernetes-serviceaccounts" Service; deprecated,
    "ambient.istio.io/bypass-inbound-capture" Pod,
    "ambient.istio.io/dns-capture" Pod,
    "ambient.istio.io/redirection" Pod,
    "ambient.istio.io/waypoint-inbound-binding" GatewayClass Gateway,
    "galley.istio.io/analyze-suppress" Any,
    "gateway.istio.io/controller-version" Any,
    "gateway.istio.io/name-override" Gateway,
    "gateway.istio.io/service-account" Gateway,
    "gateway.istio.io/tls-terminate-mode" Gateway,
    "inject.istio.io/templates" Pod,
    "istio.io/autoRegistrationGroup" WorkloadEntry,
    "istio.io/connectedAt" WorkloadEntry,
    "istio.io/disconnectedAt" WorkloadEntry,
    "istio.io/dry-run" AuthorizationPolicy,
    "istio.io/reroute-virtual-interfaces" Pod,
    "istio.io/rev" Pod,
    "istio.io/workloadController" WorkloadEntry,
    "kubernetes.io/ingress.class" Ingress,
    "networking.istio.io/address-type" Gateway,
    "networking.istio.io/exportTo" Service,
    "networking.istio.io/service-type" Gateway,
    "networking.istio.io/traffic-distribution" Service ServiceEntry Namespace,
    "prometheus.istio.io/merge-metrics" Pod,
    "proxy.istio.io/config" Pod,
    "proxy.istio.io/overrides" Pod,
    "readiness.status.sidecar.istio.io/applicationPorts" Pod,
    "readiness.status.sidecar.istio.io/failureThreshold" Pod,
    "readiness.status.sidecar.istio.io/initialDelaySeconds" Pod,
    "readiness.status.sidecar.istio.io/periodSeconds" Pod,
    "sidecar.istio.io/agentLogLevel" Pod,
    "sidecar.istio.io/bootstrapOverride" Pod,
    "sidecar.istio.io/componentLogLevel" Pod,
    "sidecar.istio.io/discoveryAddress" Pod; deprecated,
    "sidecar.istio.io/enableCoreDump" Pod,
    "sidecar.istio.io/extraStatTags" Pod; deprecated,
    "sidecar.istio.io/inject" Pod; deprecated,
    "sidecar.istio.io/interceptionMode" Pod,
    "sidecar.istio.io/logLevel" Pod,
    "sidecar.istio.io/nativeSidecar" Pod,
    "sidecar.istio.io/proxyCPU" Pod,
    "sidecar.istio.io/proxyCPULimit" Pod,
    "sidecar.istio.io/proxyImage" Pod,
    "sidecar.istio.io/proxyImageType" Pod,
    "sidecar.istio.io/proxyMemory" Pod,
    "sidecar.istio.io/proxyMemoryLimit" Pod,
    "sidecar.istio.io/rewriteAppHTTPProbers" Pod,
    "sidecar.istio.io/statsCompression" Pod,
    "sidecar.istio.io/statsEvictionInterval" Pod,
    "sidecar.istio.io/statsFlushInterval" Pod,
    "sidecar.istio.io/statsHistogramBuckets" Pod,
    "sidecar.istio.io/statsInclusionPrefixes" Pod; deprecated,
    "sidecar.istio.io/statsInclusionRegexps" Pod; deprecated,
    "sidecar.istio.io/statsInclusionSuffixes" Pod; deprecated,
    "sidecar.istio.io/status" Pod,
    "sidecar.istio.io/userVolume" Pod,
    "sidecar.istio.io/userVolumeMount" Pod,
    "status.sidecar.istio.io/port" Pod,
    "topology.istio.io/controlPlaneClusters" Namespace,
    "traffic.istio.io/nodeSelector" Service,
    "traffic.sidecar.istio.io/excludeInboundPorts" Pod,
    "traffic.sidecar.istio.io/excludeInterfaces" Pod,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges" Pod,
    "traffic.sidecar.istio.io/excludeOutboundPorts" Pod,
    "traffic.sidecar.istio.io/includeInboundPorts" Pod,
    "traffic.sidecar.istio.io/includeOutboundIPRanges" Pod,
    "traffic.sidecar.istio.io/includeOutboundPorts" Pod,
    "traffic.sidecar.istio.io/kubevirtInterfaces" Pod,
};
