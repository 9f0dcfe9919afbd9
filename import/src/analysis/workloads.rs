//! Applications that run as the proxy's user (`IST0144`). Istio: `analyzers/deployment/pod.go`.

use super::{
    message::APPLICATION_UID,
    report::Report,
    tree::Tree,
    world::{DEPLOYMENT, World},
};

const PROXY_USER: i64 = 1337;

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for pod in &world.pods {
        let kind = &pod.resource.meta().resource.kind;
        let theirs = !pod.template || kind == DEPLOYMENT.1 || !world.closed;
        let is_proxys = |tree: Tree<'_>| tree.at("securityContext.runAsUser").int() == PROXY_USER;
        let application = |c: &Tree<'_>| !matches!(c.get("name").text(), "istio-proxy" | "istio-operator");
        let mut containers = pod.spec.list("containers").filter(application);
        if theirs && !pod.resource.is_control_plane() && (is_proxys(pod.spec) || containers.any(is_proxys)) {
            let text = format!("user {PROXY_USER} is the proxy's: traffic of its processes is not captured");
            report.advise(&APPLICATION_UID, &pod.resource, "metadata", text, "run the application as another user");
        }
    }
}
