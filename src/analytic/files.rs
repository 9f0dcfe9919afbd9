//! A system as what a user would write: manifests, a `mesh.ron`, a scenario.

use std::fmt::Write as _;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Scenario, Sources, read_behaviour, read_scenario};

use super::{
    parameters::Service,
    system::{BackOff, Layout, System},
};

/// The name of the client of every system.
pub(super) const CLIENT: &str = "load";
/// The workload in front of the stations, where there is one.
const FRONT: &str = "front";

/// The texts of a system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Files {
    pub(super) manifests: String,
    pub(super) behaviour: String,
    pub(super) scenario: String,
}

impl System {
    /// The service that does the work; of a chain, its last.
    pub(super) fn leaf(&self) -> String {
        match self.layout {
            Layout::Chain(depth) => format!("s{depth}"),
            _ => "s1".to_owned(),
        }
    }

    /// The texts, with an objective for each figure that will be read.
    pub(super) fn files(&self, objectives: &[String]) -> Files {
        Files { manifests: self.manifests(), behaviour: self.behaviour(), scenario: self.scenario(objectives) }
    }

    /// The mesh and the scenario, read as every other.
    pub(super) fn build(&self, objectives: &[String]) -> Result<(Mesh, Scenario), String> {
        let files = self.files(objectives);
        let mut sources = Sources::default();
        sources.add("case.yaml", files.manifests);
        let imported = import(&sources, &ImportOptions::default());
        if imported.unreadable {
            return Err("the manifests of the case cannot be read".to_owned());
        }
        let mut mesh = imported.mesh;
        mesh.behaviour = read_behaviour(&files.behaviour).map_err(|error| error.message)?;
        let scenario = read_scenario(&files.scenario).map_err(|error| error.message)?;
        Ok((mesh, scenario))
    }

    fn is_linkerd(&self) -> bool {
        self.policy.token_budget.is_some()
    }

    fn manifests(&self) -> String {
        let mut out = "apiVersion: v1\nkind: Namespace\n".to_owned();
        out.push_str(match (self.layout, self.is_linkerd()) {
            (_, true) => "metadata: {name: default, annotations: {linkerd.io/inject: enabled}}\n",
            (Layout::Proxied | Layout::Chain(_) | Layout::Split(_), _) => {
                "metadata: {name: default, labels: {istio-injection: enabled}}\n"
            }
            _ => "metadata: {name: default}\n",
        });
        match self.layout {
            Layout::Station => out.push_str(&self.service("s1", self.replicas)),
            Layout::Row(stations) => {
                out.push_str(&self.service(FRONT, 1));
                (1..=stations).for_each(|number| out.push_str(&self.service(&format!("s{number}"), self.replicas)));
            }
            Layout::FanOut(_) => out.push_str(&(self.service(FRONT, 1) + &self.service("s1", self.replicas))),
            Layout::Proxied => {
                out.push_str(&(self.service(FRONT, 1) + &self.service("s1", self.replicas)));
                out.push_str(&self.policies("s1"));
            }
            Layout::Chain(depth) => {
                out.push_str(&self.service(FRONT, 1));
                for number in 1..=depth {
                    let name = format!("s{number}");
                    out.push_str(&(self.service(&name, self.replicas) + &self.policies(&name)));
                }
            }
            Layout::Split(weight) => {
                out.push_str(&self.service(FRONT, 1));
                for version in ["s1", "s2"] {
                    out.push_str(&self.service(version, 1));
                }
                let canary = (weight * 100.0).round();
                let _ = write!(
                    out,
                    "---\napiVersion: networking.istio.io/v1\nkind: VirtualService
metadata: {{name: split, namespace: default}}
spec: {{hosts: [s1], http: [{{route: [{{destination: {{host: s1}}, weight: {}}}, {{destination: {{host: s2}}, weight: {canary}}}]}}]}}\n",
                    100.0 - canary
                );
            }
        }
        out
    }

    /// A service and its workload. Where only the client's proxy matters, the others have none.
    fn service(&self, name: &str, replicas: u32) -> String {
        let is_bare = name != FRONT && matches!(self.layout, Layout::Proxied | Layout::Split(_)) && !self.is_linkerd();
        let injection = if is_bare { ", sidecar.istio.io/inject: \"false\"" } else { "" };
        format!(
            "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}{injection}}}}}
    spec: {{containers: [{{name: app, image: x, ports: [{{containerPort: 8080}}]}}]}}
"
        )
    }

    fn policies(&self, host: &str) -> String {
        if let Some((ratio, least)) = self.policy.token_budget {
            return format!(
                "---\napiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile
metadata: {{name: {host}.default.svc.cluster.local, namespace: default}}
spec:
  routes: [{{name: all, condition: {{pathRegex: '/.*'}}, isRetryable: true}}]
  retryBudget: {{retryRatio: {ratio}, minRetriesPerSecond: {least}, ttl: 10s}}\n"
            );
        }
        let retries = match (self.policy.retries, self.policy.hedge_delay_ms) {
            (0, _) => "{attempts: 0}".to_owned(),
            // The proxy backs off for less than `backoff`, in whole milliseconds: not at all.
            (attempts, Some(delay)) => {
                format!("{{attempts: {attempts}, retryOn: 5xx, perTryTimeout: {}, backoff: 1ms}}", ms(delay))
            }
            (attempts, None) => format!("{{attempts: {attempts}, retryOn: 5xx}}"),
        };
        let mut traffic = Vec::new();
        if let Some(balancer) = self.policy.balancer {
            traffic.push(format!("loadBalancer: {{simple: {balancer}}}"));
        }
        if let Some(limit) = self.policy.max_requests {
            traffic.push(format!("connectionPool: {{http: {{http2MaxRequests: {limit}}}}}"));
        }
        if let Some(percent) = self.policy.budget_percent {
            traffic.push(format!("retryBudget: {{percent: {percent}, minRetryConcurrency: 0}}"));
        }
        if let Some(count) = self.policy.consecutive_errors {
            // Ejected for the shortest time that there is, so that the host is asked again at once.
            traffic.push(format!(
                "outlierDetection: {{consecutive5xxErrors: {count}, interval: 1ms, baseEjectionTime: 1ms, maxEjectionPercent: 100}}"
            ));
        }
        let hedge = if self.policy.hedge_delay_ms.is_some() { HEDGE } else { "" };
        format!(
            "{hedge}---\napiVersion: networking.istio.io/v1\nkind: VirtualService
metadata: {{name: {host}, namespace: default}}
spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: {host}}}}}], retries: {retries}}}]}}
---\napiVersion: networking.istio.io/v1\nkind: DestinationRule
metadata: {{name: {host}, namespace: default}}
spec: {{host: {host}, trafficPolicy: {{{}}}}}\n",
            traffic.join(", ")
        )
    }

    fn behaviour(&self) -> String {
        let (from, to) = match self.layout {
            Layout::Station => ("Outside".to_owned(), "s1"),
            Layout::Row(_) | Layout::FanOut(_) => ("Outside".to_owned(), FRONT),
            Layout::Proxied | Layout::Chain(_) | Layout::Split(_) => (format!("Workload(\"default/{FRONT}\")"), "s1"),
        };
        let mut client = format!("from: {from}, to: \"default/{to}:80\", requests: [(name: \"r\")]");
        if let Some(patience) = self.patience_ms {
            let _ = write!(client, ", patience: Constant(\"{}\")", ms(patience));
        }
        if let Some(retries) = self.client_retries {
            let back_off = match retries.back_off {
                BackOff::Constant(time) => format!("Constant(\"{}\")", ms(time)),
                BackOff::Exponential(mean) => format!("Exponential(mean: \"{}\")", ms(mean)),
            };
            let _ = write!(client, ", retries: (max: {}, back_off: {back_off})", retries.max);
        }
        let no_time = "Constant(\"0ms\")";
        format!(
            "Mesh(version: 1,\n  clients: {{\"{CLIENT}\": ({client})}},\n  workloads: {{\n{}  }},
  network: (same_zone: {no_time}, cross_zone: {no_time}, connect: \"0ms\", tls_handshake: \"0ms\", proxy: {no_time}))",
            self.workloads()
        )
    }

    fn workloads(&self) -> String {
        let front = |calls: &str| format!("    \"default/{FRONT}\": ({AT_ONCE}, calls: [{calls}]),\n");
        let station = |name: &str| format!("    \"default/{name}\": ({}),\n", self.station());
        match self.layout {
            Layout::Station | Layout::Proxied => station("s1"),
            Layout::Split(_) => station("s1") + &station("s2"),
            Layout::Row(stations) => {
                let names = (1..=stations).map(|number| format!("s{number}"));
                let calls: Vec<_> = names.clone().map(|name| format!("[(to: \"{name}:80\")]")).collect();
                front(&calls.join(", ")) + &names.map(|name| station(&name)).collect::<String>()
            }
            Layout::FanOut(calls) => {
                let call = "(to: \"s1:80\")";
                let calls = vec![call; calls as usize].join(", ");
                front(&format!("[{calls}]")) + &station("s1")
            }
            Layout::Chain(depth) => {
                let link = |number: u32| {
                    let next = number + 1;
                    format!("    \"default/s{number}\": ({AT_ONCE}, calls: [[(to: \"s{next}:80\")]]),\n")
                };
                (1..depth).map(link).collect::<String>() + &station(&format!("s{depth}"))
            }
        }
    }

    /// How the station works.
    fn station(&self) -> String {
        let mut queue = format!("limit: {}", self.queue_limit);
        if self.is_shared {
            queue.push_str(", discipline: Shared");
        }
        if let Some(mean) = self.queue_patience_ms {
            let _ = write!(queue, ", patience: Some(Exponential(mean: \"{}\"))", ms(mean));
        }
        let mut out =
            format!("concurrency: {}, queue: ({queue}), service_time: {}", self.workers, distribution(self.service));
        if self.failures > 0.0 {
            let _ = write!(out, ", errors: [(status: 500, share: \"{:.4}%\")]", self.failures * 100.0);
        }
        out
    }

    fn scenario(&self, objectives: &[String]) -> String {
        let arrivals = if self.is_constant { "Constant" } else { "Poisson" };
        let mut out = format!("Scenario(version: 1, seed: 1, horizon: \"{}\",\n", ms(self.horizon_s * 1e3));
        if self.warm_up_s > 0.0 {
            let _ = writeln!(out, "  warm_up: Fixed(\"{}\"),", ms(self.warm_up_s * 1e3));
        }
        let _ = writeln!(
            out,
            "  load: [Open(client: \"{CLIENT}\", arrivals: {arrivals}, rate: [Hold(rate: \"{:.3}rps\", during: \"1s\")])],",
            self.rate
        );
        if let Some(freeze) = self.freeze {
            let (at, during) = (ms(freeze.at_s * 1e3), ms(freeze.during_s * 1e3));
            let leaf = self.leaf();
            let _ =
                writeln!(out, "  faults: [Freeze(workload: \"default/{leaf}\", at: \"{at}\", during: \"{during}\")],");
        }
        let objectives: Vec<_> = objectives.iter().map(|text| format!("\"{text}\"")).collect();
        let _ = write!(out, "  objectives: [{}])", objectives.join(", "));
        out
    }
}

/// Istio's own resources have no word for it.
const HEDGE: &str = "---\napiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter
metadata: {name: hedge, namespace: default}
spec:
  configPatches:
  - applyTo: HTTP_ROUTE
    match: {context: SIDECAR_OUTBOUND}
    patch: {operation: MERGE, value: {route: {hedge_policy: {hedge_on_per_try_timeout: true}}}}\n";

/// What takes no time and has a place for everybody.
const AT_ONCE: &str = "concurrency: 1000000, service_time: Constant(\"0ms\")";

/// Milliseconds, exact to the nanosecond.
fn ms(value: f64) -> String {
    format!("{value:.6}ms")
}

fn distribution(service: Service) -> String {
    match service {
        Service::Constant(time) => format!("Constant(\"{}\")", ms(time)),
        Service::Exponential(mean) => format!("Exponential(mean: \"{}\")", ms(mean)),
        Service::LogNormal(mean, sigma) => {
            let median = mean * (-sigma * sigma / 2.0).exp();
            // 2.326… is the 99th percentile of the standard normal distribution.
            let p99 = median * (sigma * 2.326_347_874_040_841).exp();
            format!("LogNormal(median: \"{}\", p99: \"{}\")", ms(median), ms(p99))
        }
        Service::Bimodal(fast, slow, share) => {
            format!("Bimodal(fast: \"{}\", slow: \"{}\", slow_share: \"{:.4}%\")", ms(fast), ms(slow), share * 100.0)
        }
    }
}
