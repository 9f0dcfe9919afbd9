//! From links to verdicts: one finding for each line that decides, with everybody it concerns.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    Finding, FindingVerdict, Location, Lowering, MTLS_OUTAGE, Mesh, Origin, PLAINTEXT_PATH, ProxyMode, ServiceId,
    Severity, Subject, Transport, Witness, WitnessKind, WorkloadId, istio::MtlsMode,
};

use super::{
    Facts, Outcome,
    links::{ClientKinds, Link, Server, known_calls, servers, speaks},
    outcome, proposition, speaks_http,
};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, INJECTED, NO_PATCHES, REACHABLE},
    property::{Check, Judge, listed},
    witness,
};

/// Judges every link to every port.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mesh = judge.mesh;
    let lowering = Lowering::new(mesh);
    let (kinds, known) = (ClientKinds::of(mesh), known_calls(mesh));
    let mut verdicts = Verdicts { strict: strict_lines(mesh), ..Verdicts::new(judge) };
    for server in servers(mesh, &lowering) {
        let links: Vec<Link<'_>> = kinds.links(mesh, &lowering, &server).collect();
        verdicts.plaintext(&server, &links);
        verdicts.outages(&server, &links, &known);
        verdicts.links(&links, server.workload, &known);
    }
    verdicts.report()
}

/// Where STRICT is asked for.
fn strict_lines(mesh: &Mesh) -> Vec<Location> {
    let policies = mesh.peer_authentications.iter().flat_map(|policy| {
        let whole = policy.mode.iter().filter(|mode| mode.value == MtlsMode::Strict).map(|mode| mode.at.clone());
        let ports = policy.port_level.iter().filter(|(_, mode)| *mode == Some(MtlsMode::Strict));
        whole.chain(ports.map(|(port, _)| port.at.clone())).collect::<Vec<_>>()
    });
    policies.collect()
}

struct Verdicts<'a> {
    judge: &'a Judge<'a>,
    strict: Vec<Location>,
    /// Ports that accept plaintext, by the line that decides and the workload.
    open: BTreeMap<(Option<Location>, WorkloadId), Open>,
    /// Links that fail, by the line that decides and the client where it is at fault.
    broken: BTreeMap<(Option<Location>, Option<WorkloadId>), Broken>,
    /// By workload: ports, and whether all is well with them.
    enforced: BTreeMap<WorkloadId, (Vec<u16>, bool)>,
    agreed: BTreeMap<WorkloadId, (u64, bool)>,
    /// By client and server: whether every link is encrypted.
    encrypted: BTreeMap<(WorkloadId, WorkloadId), bool>,
    report: Report,
}

struct Open {
    ports: BTreeSet<u16>,
    mode: Option<MtlsMode>,
    origin: Origin,
    clients: BTreeSet<WorkloadId>,
    client_lines: BTreeSet<Location>,
}

struct Broken {
    transport: Transport,
    clients: BTreeSet<WorkloadId>,
    servers: BTreeMap<WorkloadId, Option<MtlsMode>>,
    services: BTreeSet<ServiceId>,
    server_lines: BTreeSet<Location>,
    is_known: bool,
}

impl<'a> Verdicts<'a> {
    fn new(judge: &'a Judge<'a>) -> Self {
        Self {
            judge,
            strict: Vec::new(),
            open: BTreeMap::new(),
            broken: BTreeMap::new(),
            enforced: BTreeMap::new(),
            agreed: BTreeMap::new(),
            encrypted: BTreeMap::new(),
            report: Report::default(),
        }
    }

    /// Whether a port can be spoken to in plaintext: by a client outside of the mesh, or by one of the mesh.
    fn plaintext(&mut self, server: &Server, links: &[Link<'_>]) {
        let outside = Facts { transport: Transport::Plaintext, mode: server.mode, is_http: false };
        let facts = distinct(std::iter::once(outside).chain(links.iter().map(|link| link.facts)));
        let is_open = facts.iter().any(|facts| outcome(*facts) == Outcome::Plaintext);
        if !self.agrees(server, &facts, Outcome::Plaintext, is_open) {
            return;
        }
        let (ports, sound) = self.enforced.entry(server.workload).or_insert((Vec::new(), true));
        ports.push(server.port);
        *sound &= !is_open;
        if is_open {
            let plain = || links.iter().filter(|link| outcome(link.facts) == Outcome::Plaintext);
            let key = (server.origin.location().cloned(), server.workload);
            let open = self.open.entry(key).or_insert_with(|| Open {
                ports: BTreeSet::new(),
                mode: server.mode,
                origin: server.origin.clone(),
                clients: BTreeSet::new(),
                client_lines: BTreeSet::new(),
            });
            open.ports.insert(server.port);
            open.clients.extend(plain().flat_map(|link| link.clients).filter(|client| **client != server.workload));
            open.client_lines.extend(plain().filter_map(|link| link.origin.location().cloned()));
        }
    }

    /// Whether clients that call a port, or have a rule for it, agree with it on TLS.
    fn outages(&mut self, server: &Server, links: &[Link<'_>], known: &BTreeSet<(WorkloadId, ServiceId)>) {
        let mesh = self.judge.mesh;
        // Without a proxy a client has no rule; it counts as a caller if it is known to call, or if nobody says whom.
        let counts = |link: &Link<'_>, id: WorkloadId| {
            let client = mesh.workload(id);
            id != server.workload
                && (client.proxy != ProxyMode::None || {
                    let is_described = mesh.behaviour.workloads.contains_key(&client.full_name());
                    known.contains(&(id, link.service)) || !is_described
                })
        };
        let counted: Vec<(&Link<'_>, Vec<WorkloadId>)> = links
            .iter()
            .map(|link| (link, link.clients.iter().copied().filter(|id| counts(link, *id)).collect::<Vec<_>>()))
            .filter(|(_, clients)| !clients.is_empty())
            .collect();
        let facts = distinct(counted.iter().map(|(link, _)| link.facts));
        let fails = |facts: Facts| outcome(facts) == Outcome::Fails;
        let is_broken = facts.iter().any(|facts| fails(*facts));
        if !self.agrees(server, &facts, Outcome::Fails, is_broken) {
            return;
        }
        let agreed = self.agreed.entry(server.workload).or_insert((0, true));
        agreed.0 += counted.iter().map(|(_, clients)| clients.len() as u64).sum::<u64>();
        let failing = counted.into_iter().filter(|(link, _)| fails(link.facts));
        for (link, id) in failing.flat_map(|(link, ids)| ids.into_iter().map(move |id| (link, id))) {
            let without_proxy = mesh.workload(id).proxy == ProxyMode::None;
            let is_known = !without_proxy || known.contains(&(id, link.service));
            let key = (link.origin.location().cloned(), without_proxy.then_some(id));
            // What a client without a proxy is not known to call is no outage of the server's.
            agreed.1 &= !is_known;
            let broken = self.broken.entry(key).or_insert_with(|| Broken {
                transport: link.facts.transport,
                clients: BTreeSet::new(),
                servers: BTreeMap::new(),
                services: BTreeSet::new(),
                server_lines: BTreeSet::new(),
                is_known,
            });
            if is_known && !broken.is_known {
                // Certain failures push possible ones aside.
                *broken = Broken {
                    is_known,
                    transport: link.facts.transport,
                    clients: BTreeSet::new(),
                    servers: BTreeMap::new(),
                    services: BTreeSet::new(),
                    server_lines: BTreeSet::new(),
                };
            }
            if is_known == broken.is_known {
                broken.clients.insert(id);
                broken.servers.insert(server.workload, server.mode);
                broken.services.insert(link.service);
                broken.server_lines.extend(server.origin.location().cloned());
            }
        }
    }

    /// Asks Z3 for the same; `false`: it says otherwise, or nothing.
    fn agrees(&mut self, server: &Server, facts: &[Facts], bad: Outcome, found: bool) -> bool {
        let rule = if bad == Outcome::Plaintext { &PLAINTEXT_PATH } else { &MTLS_OUTAGE };
        let subject = Subject::Workload(self.judge.mesh.workload(server.workload).full_name());
        match (self.judge.none_satisfiable(&[proposition(facts, bad)]), found) {
            (Check::Confirmed, false) | (Check::Refuted, true) => return true,
            (Check::Undecided(reason), _) => self.report.undecided(rule, subject, &reason),
            (_, _) => self.report.disagree(rule, &subject, "the table of transports and Z3 differ"),
        }
        false
    }

    /// Which calls that are known are always encrypted.
    fn links(&mut self, links: &[Link<'_>], server: WorkloadId, known: &BTreeSet<(WorkloadId, ServiceId)>) {
        for link in links {
            let encrypted = outcome(link.facts) == Outcome::Mutual;
            for client in link.clients.iter().filter(|client| known.contains(&(**client, link.service))) {
                *self.encrypted.entry((*client, server)).or_insert(true) &= encrypted;
            }
        }
    }

    fn report(mut self) -> Report {
        let mesh = self.judge.mesh;
        let name = |id: WorkloadId| mesh.workload(id).full_name();
        let encrypted = self.encrypted.iter().filter(|(_, encrypted)| **encrypted);
        self.report.bounds.encrypted = encrypted.map(|((from, to), _)| (name(*from), name(*to))).collect();
        let rest = [NO_PATCHES, INJECTED, REACHABLE, APPLIED];
        for (workload, (ports, _)) in self.enforced.iter().filter(|(_, (_, sound))| *sound) {
            let ports: Vec<String> = ports.iter().map(u16::to_string).collect();
            let subject = Subject::Workload(name(*workload));
            let proof = Proof::new(&PLAINTEXT_PATH, subject, Engine::Fixpoint, Some(Engine::Z3));
            self.report.proofs.push(proof.value("ports", ports.join(", ")).assuming(rest));
        }
        for (workload, (links, _)) in self.agreed.iter().filter(|(_, (links, sound))| *sound && *links > 0) {
            let subject = Subject::Workload(name(*workload));
            let proof = Proof::new(&MTLS_OUTAGE, subject, Engine::Fixpoint, Some(Engine::Z3));
            self.report.proofs.push(proof.value("links", *links).assuming(rest));
        }
        if self.strict.is_empty() {
            self.report.findings.extend(nobody_asks(mesh, &self.open));
        } else {
            let found =
                self.open.iter().map(|((at, workload), open)| self.plaintext_finding(at.as_ref(), *workload, open));
            self.report.findings.extend(found.collect::<Vec<_>>());
        }
        let found = self.broken.iter().map(|((at, client), broken)| self.outage_finding(at.as_ref(), *client, broken));
        self.report.findings.extend(found.collect::<Vec<_>>());
        self.report
    }

    fn plaintext_finding(&self, at: Option<&Location>, id: WorkloadId, open: &Open) -> Finding {
        let mesh = self.judge.mesh;
        let workload = mesh.workload(id);
        let ports = numbers(&open.ports);
        let why = match (&open.mode, &open.origin) {
            (None, _) if workload.proxy == ProxyMode::None || workload.host_network => "it has no sidecar",
            (None, _) => "an annotation takes the port away from its sidecar",
            (Some(_), Origin::Default(_)) if workload.proxy == ProxyMode::Linkerd => "no policy asks for an identity",
            (Some(_), _) if workload.proxy == ProxyMode::Linkerd => "its policy admits clients without an identity",
            (Some(_), Origin::Default(_)) => "no PeerAuthentication is for it",
            (Some(MtlsMode::Disable), _) => "mode DISABLE",
            (Some(_), _) => "mode PERMISSIVE",
        };
        let senders: Vec<String> =
            open.clients.iter().map(|id| format!("`{}`", mesh.workload(*id).full_name())).collect();
        let inside = if senders.is_empty() {
            String::new()
        } else {
            format!(", and {} {} so", listed(&few(&senders)), if senders.len() == 1 { "does" } else { "do" })
        };
        let message = format!(
            "clients outside of the mesh can speak plaintext to `{}` on {ports}: {why}{inside}",
            workload.full_name()
        );
        let help = if open.mode.is_none() {
            "inject a sidecar, or keep what must be protected off this workload"
        } else {
            "let a PeerAuthentication with mode STRICT cover the port"
        };
        let mut finding = Finding::new(&PLAINTEXT_PATH, Subject::Workload(workload.full_name()), message).help(help);
        finding = finding.at(at.cloned().unwrap_or_else(|| workload.meta.at.clone()));
        for line in self.strict.iter().filter(|line| Some(*line) != at).take(1) {
            finding = finding.related(line.clone(), "STRICT is asked for here");
        }
        for line in open.client_lines.iter().filter(|line| Some(*line) != at && !self.strict.contains(line)) {
            finding = finding.related(line.clone(), "makes clients speak plaintext");
        }
        finding.verdict = FindingVerdict::Violated;
        finding.witness = Some(self.show(&open.clients, &BTreeSet::from([id]), Outcome::Plaintext));
        finding.value("ports", numbers(&open.ports)).value("plaintext_clients", open.clients.len() as u64)
    }

    fn outage_finding(&self, at: Option<&Location>, client: Option<WorkloadId>, broken: &Broken) -> Finding {
        let mesh = self.judge.mesh;
        let names = |ids: &mut dyn Iterator<Item = WorkloadId>| -> Vec<String> {
            ids.map(|id| format!("`{}`", mesh.workload(id).full_name())).collect()
        };
        let clients = names(&mut broken.clients.iter().copied());
        let servers = names(&mut broken.servers.keys().copied());
        let how = match broken.transport {
            Transport::Plaintext if client.is_some() => "has no sidecar and speaks plaintext",
            Transport::Plaintext => "speaks plaintext",
            Transport::IstioMutual => "insists on Istio's mutual TLS",
            Transport::Tls => "originates TLS of its own",
        };
        let what = if broken.servers.values().any(|mode| *mode == Some(MtlsMode::Strict)) {
            "accepts only Istio's mutual TLS (STRICT)"
        } else if broken.servers.values().any(Option::is_none) {
            "has no sidecar to accept it"
        } else {
            "does not accept it"
        };
        let modal = if broken.is_known { "" } else { " if it calls it" };
        let message = format!(
            "{} {how}, but {} {what}: every connection fails{modal}",
            listed(&few(&clients)),
            listed(&few(&servers))
        );
        let first = broken.servers.keys().next().copied();
        let subject = client.or(first).map_or(Subject::Mesh, |id| Subject::Workload(mesh.workload(id).full_name()));
        let help = match (client, broken.transport) {
            (Some(_), _) => "inject a sidecar into the client, or make the server's ports PERMISSIVE for it",
            (None, Transport::Plaintext) => "remove the `tls` block, so that clients choose mutual TLS by themselves",
            (None, _) => "remove the `tls` block, or give the server a sidecar that accepts mutual TLS",
        };
        let mut finding = Finding::new(&MTLS_OUTAGE, subject, message).help(help);
        finding.location = at.cloned();
        for line in broken.server_lines.iter().filter(|line| Some(*line) != at).take(5) {
            finding = finding.related(line.clone(), "what the server accepts is decided here");
        }
        finding.verdict = FindingVerdict::Violated;
        if !broken.is_known {
            finding.severity = Severity::Info;
            finding.verdict = FindingVerdict::Lint;
        }
        let servers = broken.servers.keys().copied().collect();
        finding.witness = Some(self.show(&broken.clients, &servers, Outcome::Fails));
        finding.value("clients", broken.clients.len() as u64).value("servers", broken.servers.len() as u64)
    }

    /// One of the links, and a client's request that uses it, if there is one.
    fn show(&self, clients: &BTreeSet<WorkloadId>, servers: &BTreeSet<WorkloadId>, shown: Outcome) -> Witness {
        let mesh = self.judge.mesh;
        let name = |id: WorkloadId| mesh.workload(id).full_name();
        let pairs = clients.iter().flat_map(|from| servers.iter().map(move |to| (Some(*from), *to)));
        let outside = servers.first().filter(|_| shown == Outcome::Plaintext).map(|to| (None, *to));
        let links: Vec<(Option<WorkloadId>, WorkloadId)> =
            pairs.filter(|(from, to)| *from != Some(*to)).chain(outside).collect();
        let lowering = Lowering::new(mesh);
        let found = witness::link(self.judge, &links, |from, to| ports(mesh, &lowering, (from, to), shown));
        let replay = found.map(|(scenario, from, to)| (scenario, witness::expect_link(from, to, shown)));
        let (from, to) = links.first().map_or((None, servers.first().copied()), |(from, to)| (*from, Some(*to)));
        let (from, to) = (from.map_or_else(String::new, name), to.map_or_else(String::new, name));
        let who = if from.is_empty() { "a client outside of the mesh".to_owned() } else { format!("`{from}`") };
        let step = match shown {
            Outcome::Fails => format!("{who} connects to `{to}`, and the handshake fails"),
            _ => format!("{who} sends a request to `{to}` in plaintext, and it is served"),
        };
        let path = [from, to].into_iter().filter(|name| !name.is_empty()).collect();
        let kind = if replay.is_some() { WitnessKind::Scenario } else { WitnessKind::Request };
        let (scenario, expectation) = replay.unzip();
        Witness { kind, path, steps: vec![step], scenario, expectation, replayed: None, request: None }
    }
}

/// Services and their ports over which a link comes to this, for requests of HTTP.
fn ports(
    mesh: &Mesh,
    lowering: &Lowering<'_>,
    (from, to): (Option<WorkloadId>, WorkloadId),
    shown: Outcome,
) -> Vec<(usize, u16)> {
    let mut ports = Vec::new();
    for server in servers(mesh, lowering).into_iter().filter(|server| server.workload == to) {
        for (service, port, protocol) in server.services.iter().filter(|(_, _, protocol)| protocol.is_http()) {
            let transport = match from {
                Some(from) => speaks(mesh, lowering, from, (*service, *port), to).0,
                None => Transport::Plaintext,
            };
            if outcome(Facts { transport, mode: server.mode, is_http: speaks_http(*protocol) }) == shown {
                ports.push((service.index(), *port));
            }
        }
    }
    ports
}

/// Nobody asks for STRICT: one remark for each namespace.
fn nobody_asks(mesh: &Mesh, open: &BTreeMap<(Option<Location>, WorkloadId), Open>) -> Vec<Finding> {
    let mut namespaces: BTreeMap<&str, BTreeSet<WorkloadId>> = BTreeMap::new();
    for (_, workload) in open.keys() {
        namespaces.entry(mesh.workload(*workload).meta.namespace()).or_default().insert(*workload);
    }
    let proxies = || mesh.workloads.iter().map(|workload| workload.proxy);
    let of_linkerd = !proxies().any(|proxy| matches!(proxy, ProxyMode::Sidecar | ProxyMode::Ambient))
        && (proxies().any(|proxy| proxy == ProxyMode::Linkerd) || !mesh.linkerd.profiles.is_empty());
    let remark = |(namespace, workloads): (&str, BTreeSet<WorkloadId>)| {
        let names: Vec<String> = workloads.iter().map(|id| format!("`{}`", mesh.workload(*id).full_name())).collect();
        let is_linkerd = workloads.iter().all(|id| mesh.workload(*id).proxy == ProxyMode::Linkerd);
        let (why, how) = if of_linkerd && !is_linkerd {
            ("not all of them have a proxy of Linkerd", "annotate the namespace with `linkerd.io/inject: enabled`")
        } else if is_linkerd {
            (
                "no policy asks for an identity",
                "a `config.linkerd.io/default-inbound-policy` of `all-authenticated` closes all of them",
            )
        } else {
            ("nobody asks for STRICT", "a PeerAuthentication with mode STRICT in the root namespace closes all of them")
        };
        let message =
            format!("{} accept{} plaintext: {why}", listed(&few(&names)), if names.len() == 1 { "s" } else { "" });
        let mut finding = Finding::new(&PLAINTEXT_PATH, Subject::Namespace(namespace.to_owned()), message)
            .help(how)
            .value("workloads", names.len() as u64);
        finding.severity = Severity::Info;
        finding.location = mesh.namespaces.get(namespace).and_then(|known| known.at.clone());
        finding
    };
    namespaces.into_iter().map(remark).collect()
}

fn distinct(facts: impl Iterator<Item = Facts>) -> Vec<Facts> {
    facts.collect::<BTreeSet<_>>().into_iter().collect()
}

/// The first few of many names.
fn few(names: &[String]) -> Vec<String> {
    const SHOWN: usize = 4;
    if names.len() <= SHOWN + 1 {
        return names.to_vec();
    }
    let mut shown = names[..SHOWN].to_vec();
    shown.push(format!("{} more", names.len() - SHOWN));
    shown
}

fn numbers(ports: &BTreeSet<u16>) -> String {
    let numbers: Vec<String> = ports.iter().map(u16::to_string).collect();
    format!("port{} {}", if numbers.len() == 1 { "" } else { "s" }, numbers.join(", "))
}
