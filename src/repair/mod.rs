//! Repair: for a violation, the smallest edit of the user's own text that mends it, judged again before anybody sees it.
//!
//! A search over what the finding blames. Each try is the whole way from the text to the verdict, so that what is found
//! needs no theory of the rule: the finding is gone, and nothing else has come. Nothing is made less safe: modes of mutual
//! TLS only go up, and no policy, route or check is taken away but a route that never acts.

mod edit;
mod lever;
mod patch;
mod search;

use std::{
    cell::Cell,
    collections::{BTreeMap, BTreeSet},
};

use meshproof_model::{FileId, Finding, FindingVerdict, Location, SHADOWED_ROUTE, Severity, Subject};

use self::edit::Edit;
use crate::{Choice, Project, Verified, fingerprint, verification, verify};

/// What was mended, and what is left.
#[derive(Debug)]
pub struct Repair {
    /// One for each finding that an edit mends, in the order in which they build upon each other.
    pub fixes: Vec<Fix>,
    /// All of them as a unified diff.
    pub patch: String,
    /// How many findings were not gone into, since what was tried for others was enough work.
    pub untried: usize,
    /// The project and its findings after all of them; `None`: there are none.
    pub mended: Option<(Project, Verified)>,
}

/// An edit that mends a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix {
    /// The finding's rule.
    pub code: &'static str,
    /// What the finding was about.
    pub subject: Subject,
    /// What it said.
    pub message: String,
    /// Where the first change is.
    pub location: Location,
    /// Each change, in one sentence.
    pub changes: Vec<String>,
}

/// BOUND: fixes of one run.
const FIXES_MAX: usize = 1_000;
/// BOUND: tries for one finding.
const TRIES_MAX: usize = 400;
/// BOUND: objects that are read again for all tries together, so that a large mesh takes minutes and not hours.
const READ_MAX: usize = 400_000;

/// Mends what can be mended of the findings that are wanted. `verified` is what the project's judgement gave.
pub fn repair(project: &Project, verified: &Verified, choice: &Choice, is_wanted: impl Fn(&Finding) -> bool) -> Repair {
    let (mut fixes, mut tried) = (Vec::new(), BTreeSet::new());
    let mut mended: Option<(Project, Verified)> = None;
    let tries_left = Cell::new(READ_MAX / project.imported.objects.max(1));
    let mut untried = 0;
    while fixes.len() < FIXES_MAX {
        let (project, verified) =
            mended.as_ref().map_or((project, verified), |(project, verified)| (project, verified));
        let worst_first = [Severity::Error, Severity::Warning].into_iter();
        let mut open = worst_first
            .flat_map(|severity| verified.findings.iter().filter(move |finding| finding.severity == severity))
            .filter(|finding| matches!(finding.verdict, FindingVerdict::Violated | FindingVerdict::Lint))
            .filter(|finding| is_wanted(finding));
        let Some(finding) = open.find(|finding| !tried.contains(&fingerprint(finding))) else { break };
        tried.insert(fingerprint(finding));
        if tries_left.get() == 0 {
            untried += 1;
            continue;
        }
        if let Some((fix, project, verified)) = Attempt::new(project, verified, choice, finding, &tries_left).mend() {
            fixes.push(fix);
            mended = Some((project, verified));
        }
    }
    let patch = mended.as_ref().map_or_else(String::new, |(after, _)| difference(project, after));
    Repair { fixes, patch, untried, mended }
}

/// The texts of two readings as a unified diff, by path.
fn difference(before: &Project, after: &Project) -> String {
    let mut patches: Vec<(&str, String)> = changed(before, after)
        .map(|(id, old, new)| (before.sources.path(id), patch::patch(before.sources.path(id), old, new)))
        .collect();
    patches.sort();
    patches.into_iter().map(|(_, patch)| patch).collect()
}

/// The texts that differ.
pub(crate) fn changed<'p>(before: &'p Project, after: &'p Project) -> impl Iterator<Item = (FileId, &'p str, &'p str)> {
    let both = before.sources.iter().zip(after.sources.iter());
    both.filter(|((_, old), (_, new))| old.text != new.text)
        .map(|((id, old), (_, new))| (id, old.text.as_str(), new.text.as_str()))
}

/// How often each rule finds fault with what, worse than news.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Counts(BTreeMap<(&'static str, String), usize>);

impl Counts {
    fn of(findings: &[Finding]) -> Self {
        let mut counts = BTreeMap::new();
        let counts_too = |finding: &&Finding| finding.severity > Severity::Info;
        for finding in findings.iter().filter(counts_too) {
            *counts.entry(key(finding)).or_insert(0) += 1;
        }
        Self(counts)
    }

    /// Whether there is less of one thing, and not more of any.
    fn mends(&self, after: &Self, wanted: &(&'static str, String)) -> bool {
        let count = |counts: &Self, key| counts.0.get(key).copied().unwrap_or(0);
        count(after, wanted) < count(self, wanted) && after.0.iter().all(|(key, after)| *after <= count(self, key))
    }
}

/// What a finding is about, whatever the number of a route in its list.
fn key(finding: &Finding) -> (&'static str, String) {
    let subject = match &finding.subject {
        Subject::Route { resource, .. } => resource.to_string(),
        other => other.to_string(),
    };
    (finding.rule.code, subject)
}

/// The search for one finding's fix.
struct Attempt<'p> {
    project: &'p Project,
    choice: &'p Choice,
    finding: &'p Finding,
    wanted: (&'static str, String),
    /// Of all rules, and of the finding's alone.
    before: [Counts; 2],
    tries: usize,
    /// For all findings together.
    tries_left: &'p Cell<usize>,
}

impl<'p> Attempt<'p> {
    fn new(
        project: &'p Project,
        verified: &'p Verified,
        choice: &'p Choice,
        finding: &'p Finding,
        tries_left: &'p Cell<usize>,
    ) -> Self {
        let alone = Counts::of(&verification::findings_of(project, choice, finding.rule.code));
        let before = [Counts::of(&verified.findings), alone];
        Self { project, choice, finding, wanted: key(finding), before, tries: 0, tries_left }
    }

    fn mend(mut self) -> Option<(Fix, Project, Verified)> {
        if self.finding.rule.code == SHADOWED_ROUTE.code {
            return self.reorder();
        }
        let levers = lever::levers(&self.project.sources, self.finding);
        for fields in 1..=search::FIELDS_MAX.min(levers.len()) {
            let edits = |values: &[(usize, String)]| -> Vec<Edit> {
                values.iter().map(|(lever, value)| levers[*lever].edit(value)).collect()
            };
            for setting in search::settings(&levers, fields, &mut |values| self.does(&edits(values))) {
                let changes = setting.values.iter().map(|(lever, value)| {
                    let lever = &levers[*lever];
                    match lever.old() {
                        Some(old) => format!("`{}`: `{old}` becomes `{value}`", lever.path),
                        None => format!("`{}`: `{value}` is added", lever.path),
                    }
                });
                let at = setting.values.first().map(|(lever, _)| &levers[*lever].at)?;
                if let Some(mended) = self.judged(&edits(&setting.values), at, changes.collect()) {
                    return Some(mended);
                }
            }
        }
        None
    }

    /// A rule that never acts goes before those that shadow it, or away, if it is in vain there too.
    fn reorder(mut self) -> Option<(Fix, Project, Verified)> {
        let own = self.finding.location.as_ref()?;
        let first = lever::places(self.finding).skip(1).min_by_key(|at| at.offset)?;
        let sources = &self.project.sources;
        let moves = edit::moved(sources, own, first)
            .map(|edits| (edits, format!("`{}` moves before `{}`", own.path, first.path)));
        let goes = edit::removed(sources, own, first).map(|edits| (edits, format!("`{}` goes away", own.path)));
        for (edits, change) in moves.into_iter().chain(goes) {
            if self.does(&edits)
                && let Some(mended) = self.judged(&edits, own, vec![change])
            {
                return Some(mended);
            }
        }
        None
    }

    /// Whether edits mend the finding, as far as its own rule goes.
    fn does(&mut self, edits: &[Edit]) -> bool {
        self.tries += 1;
        if self.tries > TRIES_MAX || self.tries_left.get() == 0 {
            return false;
        }
        self.tries_left.set(self.tries_left.get() - 1);
        let after = self.project.with_texts(&edit::applied(&self.project.sources, edits));
        let found = verification::findings_of(&after, self.choice, self.finding.rule.code);
        self.is_as_readable(&after) && self.before[1].mends(&Counts::of(&found), &self.wanted)
    }

    /// The fix, if nothing else comes by it.
    fn judged(&self, edits: &[Edit], at: &Location, changes: Vec<String>) -> Option<(Fix, Project, Verified)> {
        let after = self.project.with_texts(&edit::applied(&self.project.sources, edits));
        let verified = verify(&after, self.choice).ok()?;
        let is_good =
            self.is_as_readable(&after) && self.before[0].mends(&Counts::of(&verified.findings), &self.wanted);
        let fix = || Fix {
            code: self.finding.rule.code,
            subject: self.finding.subject.clone(),
            message: self.finding.message.clone(),
            location: at.clone(),
            changes,
        };
        is_good.then(|| (fix(), after, verified))
    }

    /// Whether no object was lost on the way, but for what could not be read before.
    fn is_as_readable(&self, after: &Project) -> bool {
        let (before, after) = (&self.project.imported, &after.imported);
        before.objects == after.objects && before.unreadable == after.unreadable
    }
}
