//! Services: port names (`IST0118`, `IST0150`), and those of one Deployment that disagree (`IST0116`, `IST0137`).
//! Istio: `analyzers/service`, `analyzers/deployment`.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Labels, is_subset};

use super::{
    message::{CONFLICTING_TARGETS, EXTERNAL_NAME_PORT, SERVICES_OF_TWO_PROTOCOLS, UNDECLARED_PROTOCOL},
    report::Report,
    tree::Tree,
    world::{DEPLOYMENT, Pod, Resource, SERVICE, World},
};

const MANAGED: &str = "gateway.istio.io/managed";
const CONTROLLERS: &[&str] =
    &["istio.io-gateway-controller", "istio.io-mesh-controller", "istio.io-eastwest-controller"];

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for service in world.all(SERVICE).iter().filter(|_| world.has_istio()) {
        let managed = service.label(MANAGED).is_some_and(|by| CONTROLLERS.contains(&by));
        if !service.is_control_plane() && !managed {
            port_names(service, report);
        }
    }
    let selecting = Selecting::of(world);
    for pod in world.pods.iter().filter(|pod| pod.template && world.in_mesh_as_deployment(pod)) {
        disagreements(&selecting.of_pod(pod), pod, report);
    }
}

/// Services that select pods, with their places in the order of the manifests, by namespace and the first label that
/// they ask for.
struct Selecting<'w, 'a>(BTreeMap<(&'w str, String, String), Vec<(usize, &'w Resource<'a>, Labels)>>);

impl<'w, 'a> Selecting<'w, 'a> {
    fn of(world: &'w World<'a>) -> Self {
        let mut by_label: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (place, service) in world.all(SERVICE).iter().enumerate() {
            let selector = service.spec.get("selector").labels();
            if let Some((key, value)) = selector.iter().next() {
                let first = (service.namespace(), key.clone(), value.clone());
                by_label.entry(first).or_default().push((place, service, selector));
            }
        }
        Self(by_label)
    }

    /// The services that select a pod, in order.
    fn of_pod(&self, pod: &Pod<'_>) -> Vec<&'w Resource<'a>> {
        let namespace = pod.namespace();
        let of_label = |(key, value): (&String, &String)| self.0.get(&(namespace, key.clone(), value.clone()));
        let candidates = pod.labels.iter().filter_map(of_label).flatten();
        let mut found: Vec<(usize, &'w Resource<'a>)> = candidates
            .filter(|(_, _, selector)| is_subset(selector, &pod.labels))
            .map(|(place, service, _)| (*place, *service))
            .collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, service)| service).collect()
    }
}

impl World<'_> {
    /// Whether a Deployment's pods get a sidecar and it is no waypoint.
    fn in_mesh_as_deployment(&self, pod: &Pod<'_>) -> bool {
        let kind = &pod.resource.meta().resource.kind;
        let waypoint = pod.resource.label(MANAGED) == Some("istio.io-mesh-controller");
        (kind == DEPLOYMENT.1 || !self.closed) && !waypoint && self.in_mesh(pod)
    }
}

fn port_names(service: &Resource<'_>, report: &mut Report) {
    let external = service.spec.get("type").text() == "ExternalName";
    for (i, port) in service.spec.list("ports").enumerate() {
        let name = port.get("name").text();
        if has_protocol(port) && !(external && name == "tcp") {
            continue;
        }
        let path = format!("spec.ports[{i}].port");
        if external {
            let text = "a port of an ExternalName Service has no named protocol, or is TCP";
            let help = "name the port by an HTTP protocol";
            report.advise(&EXTERNAL_NAME_PORT, service, &path, text, help);
        } else {
            let number = port.get("port").int();
            let text = match name {
                "" => format!("port {number} has no name, so its protocol has to be guessed"),
                name => format!("the name `{name}` of port {number} says no protocol, so it has to be guessed"),
            };
            let help = "name it such as `http-web` or `tcp-db`, or set `appProtocol`";
            report.advise(&UNDECLARED_PROTOCOL, service, &path, text, help);
        }
    }
}

/// Whether a port's protocol is declared. Istio: `pkg/config/kube.ConvertProtocol`.
fn has_protocol(port: Tree<'_>) -> bool {
    const APP_PROTOCOLS: &[&str] = &["kubernetes.io/h2c", "kubernetes.io/ws", "kubernetes.io/wss"];
    const WELL_KNOWN: &[i64] = &[25, 53, 3306, 27017];
    if port.get("protocol").text() == "UDP" {
        return true;
    }
    let app = port.get("appProtocol");
    if app.is_set() && APP_PROTOCOLS.contains(&app.text()) {
        return true;
    }
    let name = if app.is_set() { app.text() } else { port.get("name").text() }.to_ascii_lowercase();
    let first = name.split('-').next().unwrap_or_default();
    name.starts_with("grpc-web") || is_protocol(first) || WELL_KNOWN.contains(&port.get("port").int())
}

/// Whether Istio knows a protocol of that name; letters' case does not count. Istio: `pkg/config/protocol.Parse`.
pub(super) fn is_protocol(name: &str) -> bool {
    const PROTOCOLS: &[&str] = &[
        "tcp",
        "udp",
        "grpc",
        "grpc-web",
        "http",
        "http_proxy",
        "http2",
        "https",
        "tls",
        "mongo",
        "redis",
        "mysql",
        "hbone",
        "double-hbone",
    ];
    PROTOCOLS.contains(&name.to_ascii_lowercase().as_str())
}

fn disagreements(services: &[&Resource<'_>], pod: &Pod<'_>, report: &mut Report) {
    let mut protocols: BTreeMap<i64, BTreeMap<&str, Vec<String>>> = BTreeMap::new();
    let mut targets: BTreeMap<String, BTreeMap<i64, String>> = BTreeMap::new();
    for service in services {
        for port in service.spec.list("ports") {
            let number = port.get("port").int();
            let protocol = match port.get("protocol").text() {
                "" => "TCP",
                protocol => protocol,
            };
            protocols.entry(number).or_default().entry(protocol).or_default().push(service.full_name());
            let target = match port.get("targetPort").text() {
                "" | "0" => number.to_string(),
                target => target.to_owned(),
            };
            targets.entry(target).or_default().insert(number, service.full_name());
        }
    }
    let list = |names: BTreeSet<&String>| names.into_iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(" and ");
    let name = pod.resource.name();
    for (port, by_protocol) in protocols.iter().filter(|(_, by_protocol)| by_protocol.len() > 1) {
        let services = list(by_protocol.values().flatten().collect());
        let text = format!("{services} give port {port} of `{name}` different protocols");
        report.say(&SERVICES_OF_TWO_PROTOCOLS, &pod.resource, "metadata.name", text);
    }
    for (target, by_port) in targets.iter().filter(|(_, by_port)| by_port.len() > 1) {
        let ports = by_port.keys().map(i64::to_string).collect::<Vec<_>>().join(" and ");
        let services = list(by_port.values().collect());
        let text = format!("{services} reach port {target} of `{name}` under different ports: {ports}");
        report.say(&CONFLICTING_TARGETS, &pod.resource, "metadata.name", text);
    }
}
