//! References that lead nowhere.

use meshproof_model::Severity;

use super::{findings, read};

const MESH: &str = "apiVersion: v1
kind: Service
metadata: {name: reviews, namespace: shop}
spec: {ports: [{port: 9080, name: http}]}
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: d, namespace: shop}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v, namespace: shop}
spec:
";

fn check(spec: &str, wanted: &[&str]) {
    let imported = read(&format!("{MESH}  {spec}\n"));
    let shown: Vec<String> = imported
        .findings
        .iter()
        .zip(findings(&imported))
        .filter(|(finding, _)| finding.rule.code.starts_with("MP02"))
        .map(|(finding, text)| format!("{:?} {text} ({})", finding.severity, finding.help.as_deref().unwrap_or("")))
        .collect();
    assert_eq!(shown.len(), wanted.len(), "{spec}: {shown:?}");
    for (shown, wanted) in shown.iter().zip(wanted) {
        for part in wanted.split('|') {
            assert!(shown.contains(part), "{shown} lacks {part}");
        }
    }
}

fn to(destination: &str) -> String {
    format!("{{hosts: [reviews], http: [{{route: [{{destination: {{{destination}}}}}]}}]}}")
}

#[test]
fn hosts_subsets_ports_and_gateways_must_be_defined() {
    check(&to("host: reviews"), &[]);
    check(&to("host: reviews, subset: v1, port: {number: 9080}"), &[]);
    check(&to("host: reviews.shop.svc.cluster.local, subset: v1"), &[]);
    check(&to("host: review"), &["Error MP0201|no Service or ServiceEntry|did you mean `reviews.shop"]);
    check(&to("host: reviews.shop"), &["Error MP0201|write it in full, `reviews.shop.svc.cluster.local`"]);
    check(&to("host: api.example.com"), &["Error MP0201|define it by a Service"]);
    check(&to("host: reviews.other.svc.cluster.local"), &[]);
    check(&to("host: reviews, subset: v2"), &["Error MP0202|subset `v2`|defined are `v1`"]);
    check(&to("host: reviews, port: {number: 80}"), &["Error MP0201|has no port 80|9080"]);
    check("{hosts: [reviews], gateways: [edge, mesh]}", &[]);
    check("{hosts: ['*'], gateways: [shop/edge, ./edge]}", &[]);
    check("{hosts: ['*'], gateways: [egde]}", &["Warning MP0203|`shop/egde`"]);
    check("{hosts: ['*'], gateways: [other/edge]}", &["Warning MP0203|did you mean `shop/edge`?"]);
    check("{hosts: [ratings]}", &["Warning MP0201|no request of the mesh takes these routes"]);
    check("{hosts: [reviews.shop]}", &["Warning MP0201|write it in full"]);
    check("{hosts: [www.example.com], gateways: [edge]}", &[]);
}

#[test]
fn a_definition_that_was_replaced_softens_the_verdict() {
    let replaced = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: d, namespace: shop}\n\
                    spec: {host: reviews, subsets: [{name: v9, labels: {version: v9}}]}\n";
    let spec = to("host: reviews, subset: v1");
    let imported = read(&format!("{MESH}  {spec}\n{replaced}"));
    let codes: Vec<_> = imported.findings.iter().map(|f| (f.rule.code, f.severity)).collect();
    assert_eq!(codes, [("MP0104", Severity::Warning), ("MP0202", Severity::Warning)]);
}
