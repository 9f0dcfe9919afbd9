//! What the analyzers say, each thing once.

use std::collections::BTreeSet;

use meshproof_model::{Finding, Location, ResourceRef, Rule, Subject};

use super::{message::Message, world::Resource};

/// Collects findings.
pub(super) struct Report {
    closed: bool,
    /// What is said, and the line that Istio gives it.
    said: Vec<(Option<u32>, Finding)>,
}

impl Report {
    pub(super) const fn new(closed: bool) -> Self {
        Self { closed, said: Vec::new() }
    }

    /// Says something of an object at one of its fields. Istio says the same text of the same line once.
    pub(super) fn say(&mut self, message: &'static Message, about: &Resource<'_>, path: &str, text: impl Into<String>) {
        self.add(message, about, path, text.into(), None);
    }

    /// The same with advice.
    pub(super) fn advise(
        &mut self,
        message: &'static Message,
        about: &Resource<'_>,
        path: &str,
        text: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.add(message, about, path, text.into(), Some(help.into()));
    }

    /// Says something of an object as a whole, shown at one of its fields: Istio gives it no line.
    pub(super) fn say_of_object(&mut self, message: &'static Message, about: &Resource<'_>, path: &str, text: String) {
        if !is_suppressed(about, message.code) {
            let subject = Subject::Resource(about.meta().resource.clone());
            self.push(message, subject, about.place(path), None, text, None);
        }
    }

    /// Says something of settings that are no object.
    pub(super) fn say_of(&mut self, message: &'static Message, about: ResourceRef, at: Location, text: String) {
        self.push(message, Subject::Resource(about), at, None, text, None);
    }

    /// Says something that Istio's analysis does not.
    pub(super) fn ours(
        &mut self,
        rule: &'static Rule,
        about: &Resource<'_>,
        path: &str,
        text: impl Into<String>,
        help: impl Into<String>,
    ) {
        if !self.closed {
            let subject = Subject::Resource(about.meta().resource.clone());
            self.said.push((None, Finding::new(rule, subject, text).at(about.place(path)).help(help)));
        }
    }

    fn add(&mut self, message: &'static Message, about: &Resource<'_>, path: &str, text: String, help: Option<String>) {
        if !is_suppressed(about, message.code) {
            let subject = Subject::Resource(about.meta().resource.clone());
            self.push(message, subject, about.place(path), about.line(path), text, help);
        }
    }

    fn push(
        &mut self,
        message: &'static Message,
        subject: Subject,
        at: Location,
        line: Option<u32>,
        text: String,
        help: Option<String>,
    ) {
        if message.covered && !self.closed {
            return;
        }
        let mut finding = Finding::new(message.rule, subject, text).at(at);
        finding.severity = if self.closed { message.severity } else { message.severity.min(message.rule.severity) };
        finding.istio = Some(message.code);
        finding.help = help;
        self.said.push((line, finding));
    }

    /// What several reports say, one after the other.
    pub(super) fn join(reports: Vec<Self>) -> Vec<Finding> {
        let said: Vec<(Option<u32>, Finding)> = reports.into_iter().flat_map(|report| report.said).collect();
        let mut known = BTreeSet::new();
        let news: Vec<bool> = (said.iter())
            .map(|(line, f)| f.istio.is_none() || known.insert((f.istio, &f.subject, *line, &f.message)))
            .collect();
        said.into_iter().zip(news).filter(|(_, is_new)| *is_new).map(|((_, finding), _)| finding).collect()
    }
}

/// Istio's own way to suppress a message.
fn is_suppressed(about: &Resource<'_>, code: &str) -> bool {
    let codes = about.annotation("galley.istio.io/analyze-suppress").unwrap_or_default();
    codes.split(',').any(|listed| listed == "*" || listed == code)
}
