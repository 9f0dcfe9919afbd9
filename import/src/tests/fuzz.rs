//! Whatever comes, the importer answers; it never panics, and it answers the same twice.

use proptest::prelude::*;

use super::{VIRTUAL_SERVICE, findings, read};

const SEED: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: &m {name: d, namespace: shop, annotations: {meshproof.dev/ignore: 'MP0401 reason=\"x\"'}}
spec: # meshproof: ignore MP0102 reason=\"y\"
  host: reviews
  trafficPolicy: &p
    connectionPool: {tcp: {maxConnections: 10, connectTimeout: 1.5s}, http: {maxRetries: 3}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 5s}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: *p}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: *m, spec: {ports: [{port: 80, targetPort: web}]}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: istio, namespace: istio-system}
  data:
    mesh: |-
      defaultHttpRetryPolicy: {attempts: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: w}
spec: {replicas: 2, template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c, env: [{name: A_URL, value: 'http://d.shop'}]}]}}}
";

/// A Gateway with routes, a mesh route and what they need to reach others.
const GATEWAY_API: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: &m {name: edge, namespace: shop}
spec:
  gatewayClassName: istio
  listeners:
  - {name: web, port: 80, protocol: HTTP, hostname: '*.example.org', allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: edge, sectionName: web}, {kind: Service, group: '', name: reviews, port: 80}]
  hostnames: [a.example.org]
  rules:
  - matches: [{path: {type: PathPrefix, value: /a}, headers: [{name: x, value: '1'}], method: GET}]
    filters:
    - {type: URLRewrite, urlRewrite: {hostname: b, path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}
    - {type: RequestMirror, requestMirror: {backendRef: {name: c, port: 80}, percent: 5}}
    backendRefs: &b [{name: reviews, port: 80, weight: 9}, {name: other, namespace: ops, port: 80}]
    timeouts: {request: 1h30m, backendRequest: 2s}
    retry: {codes: [503], attempts: 2, backoff: 1s}
---
{apiVersion: gateway.networking.k8s.io/v1beta1, kind: ReferenceGrant, metadata: *m, spec: {from: [{group: g, kind: k, namespace: n}], to: [{group: '', kind: Service}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: *m, spec: {rules: [{host: a, http: {paths: [{path: /, pathType: Prefix, backend: {service: {name: a, port: {number: 80}}}}]}}]}}
";

/// Objects of Linkerd, of progressive delivery and of Kubernetes' own policies.
const OTHERS: &str = "apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: &m {name: web.shop.svc.cluster.local, namespace: shop, annotations: {retry.linkerd.io/http: 5xx}}
spec:
  routes:
  - {name: GET /, condition: {all: [{method: GET}, {not: {pathRegex: '/a.*'}}]}, isRetryable: true, timeout: 250ms}
  retryBudget: {retryRatio: 0.2, minRetriesPerSecond: 10, ttl: 10s}
  dstOverrides: [{authority: a.shop.svc.cluster.local, weight: 900m}]
---
{apiVersion: policy.linkerd.io/v1beta3, kind: Server, metadata: *m, spec: {podSelector: {matchLabels: {app: web}}, port: http, proxyProtocol: HTTP/1}}
---
{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: *m, spec: {podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}], ports: [{port: 80, endPort: 90}]}]}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: *m, spec: {scaleTargetRef: {kind: Deployment, name: w}, minReplicas: 1, maxReplicas: 4, metrics: []}}
---
{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: *m, spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: w}
spec: {replicas: 3, strategy: {canary: {steps: [{setWeight: 20}, {pause: {duration: 10m}}]}}, template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c}]}}}
---
{apiVersion: flagger.app/v1beta1, kind: Canary, metadata: *m, spec: {targetRef: {kind: Deployment, name: w}, analysis: {interval: 1m, threshold: 5, stepWeight: 10, maxWeight: 50}, service: {port: 80}}}
---
{apiVersion: security.istio.io/v1, kind: RequestAuthentication, metadata: *m, spec: {jwtRules: [{issuer: a, jwks: '{}', fromHeaders: [{name: x, prefix: 'p '}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: Sidecar, metadata: *m, spec: {egress: [{hosts: [./*, ~/*]}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}}}
---
{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: *m, spec: {action: DENY, rules: [{from: [{source: {notIpBlocks: [1.2.3.4/33], principals: ['*']}}], to: [{operation: {paths: ['/{*}/{**}']}}], when: [{key: 'request.auth.claims[a][b]', values: [x]}]}]}}
---
{apiVersion: networking.istio.io/v1, kind: EnvoyFilter, metadata: *m, spec: {configPatches: [{applyTo: HTTP_FILTER, patch: {operation: MERGE, value: {a: [1]}}}]}}
";

/// What stands where something else stood.
fn splices() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    let words = prop::sample::select(vec![
        "",
        "-1",
        "[",
        "]",
        "{",
        "}",
        "null",
        "on",
        "*m",
        "&m",
        "!!str",
        "|",
        ">-",
        "---\n",
        "\t",
        "'",
        "\"",
        "{{ .Values.a }}",
        "99999999999999999999",
        "0x",
        "1e999",
        "é",
        "\u{feff}",
        "\r\n",
        ":",
        "- ",
        "<<: *p",
        "kind: Pod\n",
        "\0",
        "%YAML 1.1\n",
    ]);
    let text = prop_oneof![words.prop_map(str::to_owned), "\\PC{0,6}"];
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, text), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("MESHPROOF_SLOW").is_some() { 60_000 } else { 400 }))]

    #[test]
    fn any_text_is_answered(text in any::<Vec<u8>>()) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let _ = read(&text);
        let _ = read(&format!("{VIRTUAL_SERVICE}{text}"));
    }

    #[test]
    fn changed_manifests_are_answered_the_same_twice(seed in 0_usize..3, splices in splices()) {
        let mut text: Vec<char> = [SEED, GATEWAY_API, OTHERS][seed].chars().collect();
        for (at, length, with) in splices {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        let (first, second) = (read(&text), read(&text));
        prop_assert_eq!(findings(&first), findings(&second));
        prop_assert_eq!(first.mesh.unmodelled, second.mesh.unmodelled);
        for finding in &first.findings {
            if let Some(at) = &finding.location {
                prop_assert!(at.line >= 1 && at.column >= 1 && (at.offset as usize) <= text.len());
            }
        }
    }
}
