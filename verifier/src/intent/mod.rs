//! Users' own properties (`*.intent`, `P10`): a small language over the mesh, decided by the engines.
//!
//! An assertion ranges over finite sets of the mesh, which are expanded, and over at most one request, whose fields are
//! free. Everything else is a value that another property computes: times, bounds, modes. So what is left for each
//! combination of elements is a formula on patterns of one request's fields, which is decided exactly. What lies outside
//! of that is refused before anything is judged, with its place.

mod ast;
mod blame;
mod element;
mod eval;
mod judge;
mod lex;
mod parse;
mod quantity;
mod release;
mod sorts;
mod unchanged;
mod world;

use std::sync::Arc;

use ast::{Span, Spec};
use meshproof_model::{FileId, Finding, Location, Sources, Subject, UNREADABLE_INTENT};

pub(crate) use judge::{RULES, check};

/// Every intent of a project.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Intents {
    files: Vec<IntentFile>,
}

/// A file of intents.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct IntentFile {
    /// Which.
    file: FileId,
    /// Its path.
    path: String,
    /// What it says.
    text: Arc<str>,
    spec: Spec,
    errors: Vec<IntentError>,
}

/// What is wrong with a text of intents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IntentError {
    /// Where.
    pub span: Span,
    /// What.
    pub message: String,
    /// What helps.
    pub help: Option<String>,
}

impl Intents {
    /// Reads every `*.intent` among the texts. What is wrong with them is told when they are judged.
    pub fn read(sources: &Sources) -> Self {
        let is_intent =
            |path: &str| std::path::Path::new(path).extension().is_some_and(|extension| extension == "intent");
        let read = sources.iter().filter(|(_, source)| is_intent(&source.path)).map(|(file, source)| {
            let (spec, mut errors) = parse::parse(&source.text);
            errors.extend(sorts::check(&spec));
            IntentFile { file, path: source.path.clone(), text: source.text.as_str().into(), spec, errors }
        });
        Self { files: read.collect() }
    }

    /// Whether there is nothing to judge.
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Other meshes that are named: `git:REV`, or a folder.
    pub fn references(&self) -> Vec<String> {
        let goals = self.files.iter().flat_map(|file| &file.spec.assertions).flat_map(|assertion| &assertion.goals);
        let named = goals.filter_map(|goal| match goal {
            ast::Goal::Unchanged { since, .. } => Some(since.text.clone()),
            _ => None,
        });
        let mut all: Vec<String> = named.collect();
        all.sort();
        all.dedup();
        all
    }

    /// Every file.
    pub(crate) fn files(&self) -> &[IntentFile] {
        &self.files
    }
}

impl IntentFile {
    /// The finding about something that is wrong with the text itself.
    fn unreadable(&self, error: &IntentError) -> Finding {
        let mut finding = Finding::new(&UNREADABLE_INTENT, Subject::File(self.path.clone()), error.message.clone())
            .at(self.location(error.span, ""));
        finding.help.clone_from(&error.help);
        finding
    }

    /// A part of the text as a place.
    fn location(&self, span: Span, path: &str) -> Location {
        let before = &self.text[..span.start.min(self.text.len())];
        let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Location {
            file: self.file,
            line: narrow(before.matches('\n').count() + 1),
            column: narrow(before.rsplit('\n').next().unwrap_or_default().chars().count() + 1),
            offset: narrow(span.start),
            length: narrow(span.end.saturating_sub(span.start).max(1)),
            path: path.into(),
        }
    }

    /// A part of the text as it is written.
    fn written(&self, span: Span) -> &str {
        self.text.get(span.start..span.end).unwrap_or_default()
    }
}
