//! `unchanged since`: what becomes of requests in this mesh and in another one.

use std::fmt::Write as _;

use meshproof_model::{Expectation, Finding, FindingVerdict, INTENT_VIOLATED, Subject, Witness, WitnessKind};

use super::{
    IntentError,
    ast::{Goal, Pred, Set, SetKind, Term},
    element::Element,
    judge::Judged,
};
use crate::{AccessChange, Engine, Proof, Report, Rerouted, Via, difference};

impl Judged<'_, '_> {
    /// The report on an assertion whose goal is that something has not changed; `None`: it has no such goal.
    pub(super) fn unchanged(&self) -> Option<Result<Report, IntentError>> {
        let goal = self.assertion.goals.iter().find_map(|goal| match goal {
            Goal::Unchanged { term: Term::Call(name, _, _), since, except, .. } => Some((&name.text, since, except)),
            _ => None,
        })?;
        Some(self.compare(goal))
    }

    fn compare(
        &self,
        (what, since, except): (&String, &super::ast::Word, &Option<Set>),
    ) -> Result<Report, IntentError> {
        let mut report = Report::default();
        let Some(base) = self.world.options.bases.get(&since.text) else {
            self.undecided(&mut report, &format!("`{}` cannot be read", since.text));
            return Ok(report);
        };
        let (from, to) = match self.assertion.quantifiers.first().map(|quantifier| &quantifier.set.kind) {
            Some(SetKind::Between { from, to, .. }) => (from.as_deref(), to.as_deref()),
            _ => (None, None),
        };
        let elements = |set: Option<&Set>| set.map(|set| self.world.elements(set)).transpose();
        let (from, to, except) = (elements(from)?, elements(to)?, elements(except.as_ref())?);
        let among = |name: &str, set: &[Element]| self.is_named(name, set);
        let is_meant = |client: &str, server: &str| {
            from.as_ref().is_none_or(|set| among(client, set))
                && to.as_ref().is_none_or(|set| among(server, set))
                && !except.as_ref().is_some_and(|set| among(server, set))
        };
        let found = difference(base, self.world.mesh);
        if let Some(reason) = found.undecided.first() {
            self.undecided(&mut report, reason);
        }
        if what == "allowed" {
            let counts =
                |is_gain| self.assertion.when.as_ref().and_then(Pred::one_way).is_none_or(|way| way == is_gain);
            for (change, is_gain) in found
                .newly_allowed
                .iter()
                .map(|change| (change, true))
                .chain(found.newly_denied.iter().map(|change| (change, false)))
                .filter(|(change, is_gain)| counts(*is_gain) && is_meant(&change.from, &change.to))
            {
                report.findings.push(self.access(change, is_gain));
            }
        } else {
            for change in &found.rerouted {
                let client = match &change.request.via {
                    Via::Workload(name) | Via::Gateway(name) => name,
                };
                let host = self.world.mesh.find_host(&change.request.host);
                let server = host.map_or_else(String::new, |id| self.world.mesh.service(id).full_name());
                if is_meant(client, &server) {
                    report.findings.push(self.rerouted(change));
                }
            }
        }
        if report.findings.is_empty() {
            let proof =
                Proof::new(&INTENT_VIOLATED, self.subject(), Engine::Sat, None).value("since", since.text.as_str());
            report.proofs.push(proof.assuming([crate::assumption::NO_PATCHES, crate::assumption::APPLIED]));
        }
        Ok(report)
    }

    /// Whether a set holds the workload or service of a name; an empty name is somebody outside.
    fn is_named(&self, name: &str, set: &[Element]) -> bool {
        let mesh = self.world.mesh;
        let (namespace, bare) = name.split_once('/').unwrap_or(("", name));
        let service = mesh.find_service(namespace, bare).map(Element::Service);
        let workload = mesh.named_workload(name).map(Element::Workload);
        match (service, workload) {
            (None, None) => name.is_empty() && set.contains(&Element::Outside),
            (service, workload) => {
                service.into_iter().chain(workload).any(|element| self.world.is_among(&element, set))
            }
        }
    }

    fn changed(&self, message: &str, subject: Subject) -> Finding {
        let name = &self.assertion.name.text;
        let mut finding =
            Finding::new(&INTENT_VIOLATED, subject, format!("intent \"{name}\" does not hold: {message}"))
                .at(self.location())
                .value("intent", name.as_str());
        finding.verdict = FindingVerdict::Violated;
        finding.severity = self.severity();
        finding
    }

    fn access(&self, change: &AccessChange, is_gain: bool) -> Finding {
        let from = if change.from.is_empty() { "a client outside of the mesh" } else { change.from.as_str() };
        let how = if is_gain { "are newly allowed" } else { "are allowed no longer" };
        let request = &change.request;
        let (method, path) = (request.method.as_deref().unwrap_or("GET"), request.path.as_deref().unwrap_or("/"));
        let message = format!(
            "requests from `{from}` to `{}` on port {} {how}, such as `{method} {path}`",
            change.to, change.port
        );
        let mut finding = self.changed(&message, Subject::Workload(change.to.clone()));
        finding.witness = Some(Witness {
            kind: WitnessKind::Request,
            path: vec![from.to_owned(), change.to.clone()],
            steps: Vec::new(),
            scenario: None,
            expectation: change.by_proxies.then_some(Expectation::Allowed(is_gain)),
            replayed: None,
            request: Some(request.clone()),
        });
        finding
    }

    fn rerouted(&self, change: &Rerouted) -> Finding {
        let shown = |routed: &crate::Routed| {
            let mut text = routed.status.map_or_else(String::new, |status| status.to_string());
            for (name, weight) in &routed.weights {
                // Writing to a string does not fail.
                let _ = write!(text, "{}`{name}` {weight}", if text.is_empty() { "" } else { ", " });
            }
            text
        };
        let request = &change.request;
        let message = format!(
            "`{} {}` to {}:{} goes to {}, and went to {}",
            request.method,
            request.path,
            request.host,
            request.port,
            shown(&change.after),
            shown(&change.before)
        );
        self.changed(&message, self.subject())
    }
}
