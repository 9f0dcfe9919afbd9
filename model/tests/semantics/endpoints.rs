//! Endpoints that are no pods: SE-1, WE-1.

use crate::fixture::{mesh, outbound};

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

fn entry(more: &str) -> String {
    object(
        "ServiceEntry",
        "vms",
        &format!(
            "{{hosts: [vm.example], location: MESH_INTERNAL, resolution: STATIC, ports: [{{number: 80, name: http, protocol: HTTP, targetPort: 8080}}], {more}}}"
        ),
    )
}

/// The hosts of a client's clusters: `WORKLOAD:PORT weight zone`, with `+` where they take mutual TLS.
fn hosts(manifests: &str) -> Vec<String> {
    let lowered = outbound(&mesh(manifests), "shop/web", "shop/vms", 80);
    let clusters = lowered.config.clusters.iter().filter(|cluster| cluster.name.starts_with("outbound"));
    let shown = clusters.flat_map(|cluster| {
        let subset = cluster.name.split('|').nth(2).unwrap_or_default().to_owned();
        cluster.hosts.iter().map(move |host| {
            let port = host.address.rsplit_once(':').unwrap().1;
            let mark = if host.transport_metadata.is_empty() { "" } else { "+" };
            let locality = if host.locality.is_empty() { String::new() } else { format!(" in {}", host.locality) };
            let subset = if subset.is_empty() { String::new() } else { format!(" of {subset}") };
            format!("{}:{port}*{}{locality}{mark}{subset}", host.name, host.weight)
        })
    });
    shown.collect()
}

#[test]
fn se1_endpoints_of_the_entry_itself() {
    let two = "endpoints: [{address: 10.9.0.1, weight: 3, locality: eu/a/1, serviceAccount: vm, labels: {v: one}}, {address: 10.9.0.2, ports: {http: 9000}, locality: eu}]";
    let selector = "workloadSelector: {labels: {app: vm}}";
    let member = object(
        "WorkloadEntry",
        "one",
        "{address: 10.9.0.3, labels: {app: vm}, ports: {http: 9100}, weight: 2, serviceAccount: vm}",
    );
    let group = |labels: &str| {
        object(
            "WorkloadGroup",
            "vm",
            &format!("{{metadata: {{labels: {{{labels}}}}}, template: {{serviceAccount: vm, ports: {{http: 9200}}}}}}"),
        )
    };
    let external = entry(two).replace("MESH_INTERNAL", "MESH_EXTERNAL");
    let subset = object("DestinationRule", "d", "{host: vm.example, subsets: [{name: s, labels: {v: one}}]}")
        + &object(
            "VirtualService",
            "v",
            "{hosts: [vm.example], http: [{route: [{destination: {host: vm.example, subset: s}}]}]}",
        );
    for (case, manifests, expect) in [
        (
            "SE-1 ports, weights, zones",
            entry(two),
            vec!["shop/vms[0]#0:8080*3 in eu/a/1+", "shop/vms[1]#0:9000*1 in eu"],
        ),
        ("SE-1 subsets by their labels", entry(two) + &subset, vec!["shop/vms[0]#0:8080*3 in eu/a/1+ of s"]),
        ("SE-1 of a host outside of the mesh", external, vec![]),
        (
            "SE-1 a selector takes their place",
            entry(&format!("{selector}, {two}")) + &member,
            vec!["shop/one#0:9100*2 in a+"],
        ),
        ("WE-1 a group without members", entry(selector) + &group("app: vm"), vec!["shop/vm#0:9200*1 in a+"]),
        ("WE-1 a group with one", entry(selector) + &group("app: vm") + &member, vec!["shop/one#0:9100*2 in a+"]),
        ("WE-1 another group", entry(selector) + &group("app: other"), vec![]),
    ] {
        assert_eq!(hosts(&manifests), expect, "{case}");
    }
}
