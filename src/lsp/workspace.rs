//! One folder: its unsaved texts, what was found in it, and what the editor was told.

use std::{
    cell::OnceCell,
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use lsp_types::{
    CodeAction, CodeActionKind, Diagnostic, DiagnosticRelatedInformation, DiagnosticSeverity, Hover, HoverContents,
    Location as LspLocation, MarkupContent, MarkupKind, NumberOrString, Position, PublishDiagnosticsParams, Range,
    TextEdit, Uri, WorkspaceEdit,
};
use meshproof_import::ImportOptions;
use meshproof_model::{Finding, Severity};

use super::{
    effective::{Effective, effective},
    place,
};
use crate::{Choice, InputError, Project, verify};

/// A folder that an editor has open.
pub(super) struct Workspace {
    folder: PathBuf,
    choice: Choice,
    unsaved: BTreeMap<PathBuf, String>,
    /// Files about which the editor was told something.
    told: BTreeSet<PathBuf>,
    checked: Option<Checked>,
}

/// What the last judgement found.
struct Checked {
    project: Project,
    findings: Vec<Finding>,
    /// What each line means; looked up when somebody first asks.
    effective: OnceCell<Effective>,
}

impl Workspace {
    pub(super) const fn new(folder: PathBuf, choice: Choice) -> Self {
        Self { folder, choice, unsaved: BTreeMap::new(), told: BTreeSet::new(), checked: None }
    }

    /// The editor holds this text of a file.
    pub(super) fn open(&mut self, uri: &Uri, text: String) {
        if let Some(path) = place::path(uri) {
            self.unsaved.insert(path, text);
        }
    }

    /// What is saved counts again.
    pub(super) fn close(&mut self, uri: &Uri) {
        if let Some(path) = place::path(uri) {
            self.unsaved.remove(&path);
        }
    }

    /// Judges the folder; what the editor is to be told, empty lists for files that are clean again among it.
    ///
    /// # Errors
    /// If the folder cannot be judged at all; what was told before stands.
    pub(super) fn check(&mut self) -> Result<Vec<PublishDiagnosticsParams>, String> {
        let paths = [self.folder.display().to_string()];
        let project = match Project::read_with(&paths, &ImportOptions::default(), &self.unsaved) {
            Ok(project) => project,
            // A folder without manifests is where one begins.
            Err(InputError::Empty { .. }) => return Ok(self.publish(BTreeMap::new())),
            Err(error) => return Err(error.to_string()),
        };
        let verified = verify(&project, &self.choice).map_err(|error| error.to_string())?;
        let mut files: BTreeMap<PathBuf, Vec<Diagnostic>> = BTreeMap::new();
        for finding in &verified.findings {
            if let Some((path, diagnostic)) = diagnostic(&project, finding) {
                files.entry(path).or_default().push(diagnostic);
            }
        }
        for fault in &project.faults {
            if let InputError::Ron { path, error } = fault {
                let diagnostic = Diagnostic {
                    range: place::line(error.line),
                    severity: Some(DiagnosticSeverity::ERROR),
                    source: Some("meshproof".to_owned()),
                    message: error.message.clone(),
                    ..Diagnostic::default()
                };
                files.entry(PathBuf::from(path)).or_default().push(diagnostic);
            }
        }
        self.checked = Some(Checked { project, findings: verified.findings, effective: OnceCell::new() });
        Ok(self.publish(files))
    }

    fn publish(&mut self, mut files: BTreeMap<PathBuf, Vec<Diagnostic>>) -> Vec<PublishDiagnosticsParams> {
        for path in std::mem::take(&mut self.told) {
            files.entry(path).or_default();
        }
        self.told = files.iter().filter(|(_, found)| !found.is_empty()).map(|(path, _)| path.clone()).collect();
        let published = files.into_iter().filter_map(|(path, diagnostics)| {
            Some(PublishDiagnosticsParams { uri: place::uri(&path)?, diagnostics, version: None })
        });
        published.collect()
    }

    /// What is found at a place, why it matters and what helps; and the values that calls get from its line.
    pub(super) fn hover(&self, uri: &Uri, position: Position) -> Option<Hover> {
        let here = Range { start: position, end: position };
        let mut found: Vec<String> = self.findings(uri, here).map(|(finding, _)| page(finding)).collect();
        found.extend(self.meaning(uri, position.line.saturating_add(1)));
        (!found.is_empty()).then(|| Hover {
            contents: HoverContents::Markup(MarkupContent {
                kind: MarkupKind::Markdown,
                value: found.join("\n\n---\n\n"),
            }),
            range: None,
        })
    }

    /// The values that calls get from a line.
    fn meaning(&self, uri: &Uri, line: u32) -> Option<String> {
        let checked = self.checked.as_ref()?;
        let (mesh, sources) = (&checked.project.imported.mesh, &checked.project.sources);
        let effective = checked.effective.get_or_init(|| effective(mesh, sources));
        let values = effective.get(&format!("{}:{line}", place::path(uri)?.display()))?;
        let one = |(value, calls): (&String, &BTreeSet<String>)| {
            let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
            format!("- `{value}` for {}", calls.join(", "))
        };
        Some(format!("**In effect:**\n\n{}", values.iter().map(one).collect::<Vec<_>>().join("\n")))
    }

    /// For each finding at a place, the comment that suppresses it.
    pub(super) fn actions(&self, uri: &Uri, range: Range) -> Vec<CodeAction> {
        let action = |(finding, at): (&Finding, Range)| {
            let indent = self.indent(finding)?;
            let code = finding.rule.code;
            let start = Position { line: at.start.line, character: 0 };
            let edit = TextEdit {
                range: Range { start, end: start },
                new_text: format!("{indent}# meshproof: ignore {code} reason=\"say why\"\n"),
            };
            Some(CodeAction {
                title: format!("Suppress {code} here"),
                kind: Some(CodeActionKind::QUICKFIX),
                edit: Some(WorkspaceEdit::new([(uri.clone(), vec![edit])].into_iter().collect())),
                ..CodeAction::default()
            })
        };
        self.findings(uri, range).filter_map(action).collect()
    }

    fn findings(&self, uri: &Uri, range: Range) -> impl Iterator<Item = (&Finding, Range)> {
        let path = place::path(uri);
        let checked = self.checked.iter();
        checked.flat_map(|checked| checked.findings.iter().map(move |finding| (checked, finding))).filter_map(
            move |(checked, finding)| {
                let at = finding.location.as_ref()?;
                let source = checked.project.sources.get(at.file)?;
                let there = place::range(&source.text, at);
                let here = path.as_deref() == Some(Path::new(checked.project.sources.path(at.file)));
                (here && place::touch(there, range)).then_some((finding, there))
            },
        )
    }

    /// The blanks before the line of a finding.
    fn indent(&self, finding: &Finding) -> Option<String> {
        let at = finding.location.as_ref()?;
        let text = &self.checked.as_ref()?.project.sources.get(at.file)?.text;
        let line = text.lines().nth(at.line.checked_sub(1)? as usize)?;
        Some(line.chars().take_while(|c| c.is_whitespace()).collect())
    }
}

fn diagnostic(project: &Project, finding: &Finding) -> Option<(PathBuf, Diagnostic)> {
    let there = |at: &meshproof_model::Location| {
        let source = project.sources.get(at.file)?;
        Some((PathBuf::from(project.sources.path(at.file)), place::range(&source.text, at)))
    };
    let (path, range) = there(finding.location.as_ref()?)?;
    let related = finding.related.iter().filter_map(|(at, message)| {
        let (path, range) = there(at)?;
        let location = LspLocation { uri: place::uri(&path)?, range };
        Some(DiagnosticRelatedInformation { location, message: message.clone() })
    });
    let mut message = finding.message.clone();
    if let Some(help) = &finding.help {
        message = format!("{message}\nhelp: {help}");
    }
    let diagnostic = Diagnostic {
        range,
        severity: Some(match finding.severity {
            Severity::Error => DiagnosticSeverity::ERROR,
            Severity::Warning => DiagnosticSeverity::WARNING,
            Severity::Info => DiagnosticSeverity::INFORMATION,
        }),
        code: Some(NumberOrString::String(finding.rule.code.to_owned())),
        source: Some("meshproof".to_owned()),
        message,
        related_information: Some(related.collect()),
        ..Diagnostic::default()
    };
    Some((path, diagnostic))
}

fn page(finding: &Finding) -> String {
    let rule = finding.rule;
    let help = finding.help.as_ref().map_or_else(String::new, |help| format!("\n\n**Help:** {help}."));
    format!("**{} {}**: {}.\n\n**Why:** {}.{help}", rule.code, rule.name, finding.message, rule.why)
}
