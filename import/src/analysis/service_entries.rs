//! `ServiceEntries`: TCP without an address (`IST0134`), protocols that disagree (`IST0177`). Istio:
//! `analyzers/serviceentry`.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    hosts::is_public,
    message::{ADDRESSES_REQUIRED, CONFLICTING_PROTOCOLS},
    report::Report,
    world::{Resource, SERVICE_ENTRY, World},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let metadata = world.mesh.at("defaultConfig.proxyMetadata");
    let on = |key: &str| metadata.get(key).text() == "true";
    let allocated =
        on("ISTIO_META_DNS_CAPTURE") && (on("ISTIO_META_DNS_AUTO_ALLOCATE") || on("PILOT_ENABLE_IP_AUTOALLOCATE"));
    for entry in world.all(SERVICE_ENTRY).iter().filter(|_| !allocated) {
        addresses(world, entry, report);
    }
    protocols(world, report);
}

fn addresses(world: &World<'_>, entry: &Resource<'_>, report: &mut Report) {
    let given = entry.spec.get("addresses").is_set() || entry.root.get("status").count("addresses") > 0;
    // Since 1.25 the control plane gives addresses itself, unless the destination's own is used.
    let dynamic = !world.closed && !matches!(entry.spec.get("resolution").text(), "" | "NONE");
    for (i, port) in entry.spec.list("ports").enumerate().filter(|_| !given && !dynamic) {
        let protocol = port.get("protocol").text();
        if protocol.is_empty() || protocol.eq_ignore_ascii_case("TCP") {
            let text = "a TCP port without `addresses` takes every connection of that port";
            report.say(&ADDRESSES_REQUIRED, entry, &format!("spec.ports[{i}].name"), text);
        }
    }
}

/// A scope, a host, a port.
type Endpoint<'a> = (&'a str, &'a str, i64);

fn protocols(world: &World<'_>, report: &mut Report) {
    let mut index: BTreeMap<Endpoint<'_>, Vec<(String, &Resource<'_>)>> = BTreeMap::new();
    for entry in world.all(SERVICE_ENTRY) {
        let export_to = entry.spec.texts("exportTo");
        let local = |scope: &&str| if *scope == "." { entry.namespace() } else { "" };
        let scopes: BTreeSet<&str> = if is_public(&export_to) {
            BTreeSet::from(["*"])
        } else {
            export_to.iter().map(|scope| if *scope == "." { local(scope) } else { scope }).collect()
        };
        for (scope, host) in
            scopes.iter().flat_map(|scope| entry.spec.texts("hosts").into_iter().map(move |h| (*scope, h)))
        {
            for port in entry.spec.list("ports") {
                let protocol = port.get("protocol").text().to_ascii_uppercase();
                index.entry((scope, host, port.get("number").int())).or_default().push((protocol, entry));
            }
        }
    }
    let mut said = BTreeSet::new();
    for ((scope, host, port), own) in &index {
        let public = index.get(&("*", *host, *port)).filter(|_| *scope != "*");
        let entries: Vec<_> = own.iter().chain(public.into_iter().flatten()).collect();
        let protocols: BTreeSet<&str> = entries.iter().map(|(protocol, _)| protocol.as_str()).collect();
        if protocols.len() < 2 {
            continue;
        }
        let names: BTreeSet<String> = entries.iter().map(|(_, entry)| format!("`{}`", entry.full_name())).collect();
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        let protocols = protocols.into_iter().collect::<Vec<_>>().join(", ");
        for (_, entry) in entries {
            if said.insert(entry.full_name()) {
                let text = format!("port {port} of `{host}` has the protocols {protocols} in {names}");
                report.say(&CONFLICTING_PROTOCOLS, entry, "metadata.name", text);
            }
        }
    }
}
