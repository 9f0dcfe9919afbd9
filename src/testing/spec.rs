//! A mesh as a few numbers, and the manifests and behaviour that a user would write for it.

use std::fmt::Write as _;

use meshproof_import::ImportOptions;

use crate::{InputError, Project};

/// A mesh: services `s0`, `s1` and so on in the namespace `shop`, and a client `browser` that calls `s0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshSpec {
    /// Whether mutual TLS is STRICT.
    pub strict: bool,
    /// Each service with its one workload, `shop/sN`.
    pub services: Vec<ServiceSpec>,
}

/// A service and its workload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceSpec {
    /// Replicas; at least 1.
    pub replicas: u32,
    /// Whether its pods have a sidecar.
    pub has_sidecar: bool,
    /// How long a handler works, in milliseconds.
    pub work_ms: u64,
    /// The services that it calls, one after the other; only ones behind it, so that there is no cycle.
    pub calls: Vec<Call>,
    /// Its `VirtualService`.
    pub route: Option<RouteSpec>,
    /// Its `DestinationRule`.
    pub rule: Option<RuleSpec>,
    /// Its `AuthorizationPolicy`: the services whose identities may call it.
    pub callers: Option<Vec<usize>>,
}

/// A call to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// How far behind the caller the callee is, from 0; beyond the last one: modulo.
    pub to: usize,
    /// Whether the caller answers without it.
    pub optional: bool,
}

/// A `VirtualService` with a route for everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RouteSpec {
    /// The limit on all tries, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// Tries after the first; `None`: Istio's default policy.
    pub attempts: Option<u32>,
    /// The limit on one try, in milliseconds.
    pub per_try_ms: Option<u64>,
    /// Whether a failed answer is tried again, beside a failed connection.
    pub on_failure: bool,
    /// The share of the subset `v2`, in percent; all else goes to `v1`.
    pub canary_percent: Option<u32>,
    /// A path that has a route of its own in front of the other, or behind it where it can never match.
    pub special: Option<Special>,
}

/// A second route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Special {
    /// Where it takes its path.
    First,
    /// Where the other has taken everything.
    Last,
}

/// A `DestinationRule`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RuleSpec {
    /// Of outlier detection.
    pub max_ejection_percent: Option<u32>,
    /// Requests under way, per proxy.
    pub max_requests: Option<u32>,
    /// Whether it switches TLS off.
    pub tls_off: bool,
    /// Subsets `v1` and `v2`.
    pub has_subsets: bool,
}

/// The namespace of all objects.
const NAMESPACE: &str = "shop";

impl ServiceSpec {
    /// The names of its workloads: one for each subset.
    fn workloads(&self, number: usize) -> Vec<String> {
        let has_two = self.rule.as_ref().is_some_and(|rule| rule.has_subsets);
        let names = [Some(format!("s{number}")), has_two.then(|| format!("s{number}-v2"))];
        names.into_iter().flatten().collect()
    }
}

impl MeshSpec {
    /// The services that a service calls, in its order, each once.
    pub fn callees(&self, number: usize) -> Vec<(usize, bool)> {
        let behind = self.services.len() - number - 1;
        let mut callees: Vec<(usize, bool)> = Vec::new();
        for call in self.services[number].calls.iter().filter(|_| behind > 0) {
            let callee = number + 1 + call.to % behind;
            if callees.iter().all(|(known, _)| *known != callee) {
                callees.push((callee, call.optional));
            }
        }
        callees
    }

    /// The names and texts of the files that say this: manifests and `mesh.ron`.
    pub fn files(&self) -> Vec<(String, String)> {
        let mode = if self.strict { "STRICT" } else { "PERMISSIVE" };
        let mut files = vec![(
            "namespace.yaml".to_owned(),
            format!(
                "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {NAMESPACE}}}\n---\napiVersion: \
                 security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: \
                 {NAMESPACE}}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
            ),
        )];
        for (number, service) in self.services.iter().enumerate() {
            files.push((format!("s{number}.yaml"), manifests(number, service)));
        }
        files.push(("mesh.ron".to_owned(), self.behaviour()));
        files
    }

    /// The mesh as the commands read it.
    ///
    /// # Errors
    /// If a text cannot be read, which no such mesh causes.
    pub fn project(&self) -> Result<Project, InputError> {
        Project::of_texts(self.files(), &ImportOptions::default())
    }

    fn behaviour(&self) -> String {
        let mut out = format!(
            "Mesh(version: 1, clients: {{\"browser\": (from: Workload(\"{NAMESPACE}/client\"), to: \
             \"{NAMESPACE}/s0:80\", requests: [(name: \"all\")])}}, workloads: {{\n"
        );
        for (number, service) in self.services.iter().enumerate() {
            let calls: String = self.callees(number).iter().fold(String::new(), |calls, (callee, optional)| {
                calls + &format!("[(to: \"s{callee}:80\", optional: {optional})], ")
            });
            for name in service.workloads(number) {
                let work = service.work_ms;
                let _ =
                    writeln!(out, "\"{NAMESPACE}/{name}\": (service_time: Constant(\"{work}ms\"), calls: [{calls}]),");
            }
        }
        out + "})\n"
    }
}

fn manifests(number: usize, service: &ServiceSpec) -> String {
    let mut out = String::new();
    let object = |out: &mut String, api: &str, kind: &str, spec: String| {
        let _ = write!(
            out,
            "apiVersion: {api}\nkind: {kind}\nmetadata: {{name: s{number}, namespace: {NAMESPACE}}}\n{spec}---\n"
        );
    };
    if number == 0 {
        out.push_str(&client());
    }
    object(&mut out, "v1", "ServiceAccount", String::new());
    let ports = "ports: [{name: http, port: 80, targetPort: 8080}]";
    object(&mut out, "v1", "Service", format!("spec:\n  selector: {{app: s{number}}}\n  {ports}\n"));
    for (name, version) in service.workloads(number).iter().zip(["v1", "v2"]) {
        let _ = write!(
            out,
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {NAMESPACE}}}\nspec:\n  \
             replicas: {}\n  selector: {{matchLabels: {{app: s{number}, version: {version}}}}}\n  template:\n    \
             metadata: {{labels: {{app: s{number}, version: {version}, sidecar.istio.io/inject: \"{}\"}}}}\n    spec: \
             {{serviceAccountName: s{number}, containers: [{{name: app, image: \"app:1\", ports: [{{containerPort: \
             8080}}]}}]}}\n---\n",
            service.replicas, service.has_sidecar
        );
    }
    if let Some(route) = &service.route {
        object(&mut out, "networking.istio.io/v1", "VirtualService", virtual_service(number, route));
    }
    if let Some(rule) = &service.rule {
        object(&mut out, "networking.istio.io/v1", "DestinationRule", destination_rule(number, rule));
    }
    if let Some(callers) = &service.callers {
        let mut names: Vec<String> =
            callers.iter().map(|caller| format!("\"cluster.local/ns/{NAMESPACE}/sa/s{caller}\"")).collect();
        if number == 0 {
            names.push(format!("\"cluster.local/ns/{NAMESPACE}/sa/client\""));
        }
        // A policy without rules allows nobody.
        let rules = if names.is_empty() {
            String::new()
        } else {
            format!("  rules: [{{from: [{{source: {{principals: [{}]}}}}]}}]\n", names.join(", "))
        };
        let spec = format!("spec:\n  selector: {{matchLabels: {{app: s{number}}}}}\n{rules}");
        object(&mut out, "security.istio.io/v1", "AuthorizationPolicy", spec);
    }
    out
}

/// Who calls the first service.
fn client() -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: client, namespace: {NAMESPACE}}}\n---\napiVersion: \
         apps/v1\nkind: Deployment\nmetadata: {{name: client, namespace: {NAMESPACE}}}\nspec:\n  selector: \
         {{matchLabels: {{app: client}}}}\n  template:\n    metadata: {{labels: {{app: client, \
         sidecar.istio.io/inject: \"true\"}}}}\n    spec: {{serviceAccountName: client, containers: [{{name: app, \
         image: \"app:1\"}}]}}\n---\n"
    )
}

fn virtual_service(number: usize, route: &RouteSpec) -> String {
    let to = |subset: Option<(&str, u32)>| match subset {
        None => format!("    - destination: {{host: s{number}}}\n"),
        Some((name, weight)) => {
            format!("    - destination: {{host: s{number}, subset: {name}}}\n      weight: {weight}\n")
        }
    };
    let mut main = "  - name: all\n".to_owned();
    if let Some(timeout) = route.timeout_ms {
        let _ = writeln!(main, "    timeout: {timeout}ms");
    }
    if let Some(attempts) = route.attempts {
        let conditions = if route.on_failure { "connect-failure,5xx" } else { "connect-failure" };
        let per_try = route.per_try_ms.filter(|_| attempts > 0);
        let per_try = per_try.map(|limit| format!(", perTryTimeout: {limit}ms")).unwrap_or_default();
        let _ = writeln!(main, "    retries: {{attempts: {attempts}{per_try}, retryOn: \"{conditions}\"}}");
    }
    main.push_str("    route:\n");
    match route.canary_percent {
        None => main.push_str(&to(None)),
        Some(percent) => {
            let percent = percent.min(100);
            main.push_str(&to(Some(("v1", 100 - percent))));
            main.push_str(&to(Some(("v2", percent))));
        }
    }
    let special = format!("  - name: special\n    match: [{{uri: {{prefix: /special}}}}]\n    route:\n{}", to(None));
    let routes = match route.special {
        None => main,
        Some(Special::First) => special + &main,
        Some(Special::Last) => main + &special,
    };
    format!("spec:\n  hosts: [s{number}]\n  http:\n{routes}")
}

fn destination_rule(number: usize, rule: &RuleSpec) -> String {
    let mut policy = String::new();
    if let Some(percent) = rule.max_ejection_percent {
        let _ = writeln!(policy, "    outlierDetection: {{consecutive5xxErrors: 5, maxEjectionPercent: {percent}}}");
    }
    if let Some(limit) = rule.max_requests {
        let _ = writeln!(policy, "    connectionPool: {{http: {{http2MaxRequests: {limit}}}}}");
    }
    if rule.tls_off {
        policy.push_str("    tls: {mode: DISABLE}\n");
    }
    let policy = if policy.is_empty() { policy } else { format!("  trafficPolicy:\n{policy}") };
    let subsets = if rule.has_subsets {
        "  subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]\n"
    } else {
        ""
    };
    format!("spec:\n  host: s{number}\n{policy}{subsets}")
}
