//! Reading files, folders, standard input and revisions: texts by what they are, not yet looked at.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Read as _,
    path::{Path, PathBuf},
};

use ignore::WalkBuilder;
use meshproof_import::ImportOptions;
use meshproof_model::Sources;

use super::{FILE_BYTES_MAX, InputError, Project};

/// Texts that were read and not looked at.
pub(crate) struct Gathered {
    paths: Vec<String>,
    texts: Texts<'static>,
}

impl Gathered {
    /// Reads every path, and does not look at what the texts say.
    pub(crate) fn read(paths: &[String]) -> Result<Self, InputError> {
        static NOTHING: BTreeMap<PathBuf, String> = BTreeMap::new();
        Ok(Self { paths: paths.to_vec(), texts: Texts::of_paths(paths, &NOTHING)? })
    }

    /// The project of these texts.
    pub(crate) fn project(self, options: &ImportOptions) -> Result<Project, InputError> {
        Project::of(self.texts, &self.paths, options)
    }

    /// The manifests and what stands beside them.
    pub(crate) const fn sources(&self) -> &Sources {
        &self.texts.sources
    }

    /// Whether every text could be read.
    pub(crate) fn is_whole(&self) -> bool {
        self.texts.faults.is_empty()
    }

    /// Every text with its path and what it is, in the order in which they were read.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&'static str, String, &str)> {
        let texts = &self.texts;
        let sources = texts.sources.iter().map(|(_, source)| ("source", source.path.clone(), source.text.as_str()));
        let behaviour = texts.behaviour.iter().map(|(path, text)| ("behaviour", path.clone(), text.as_str()));
        let scenarios = texts.scenarios.iter().map(|(path, text)| ("scenario", path.clone(), text.as_str()));
        let settings = texts.settings.iter().map(|(path, text)| ("settings", path.clone(), text.as_str()));
        let held = texts.held.iter().map(|(path, text)| ("held", path.display().to_string(), text.as_str()));
        sources.chain(behaviour).chain(scenarios).chain(settings).chain(held)
    }
}

/// Texts by what they are.
pub(super) struct Texts<'u> {
    unsaved: &'u BTreeMap<PathBuf, String>,
    pub(super) sources: Sources,
    pub(super) behaviour: Option<(String, String)>,
    pub(super) scenarios: Vec<(String, String)>,
    pub(super) settings: Option<(String, String)>,
    /// What is wrong with single files of folders.
    pub(super) faults: Vec<InputError>,
    /// Manifests beside scenarios.
    pub(super) held: Vec<(PathBuf, String)>,
}

impl<'u> Texts<'u> {
    pub(super) fn new(unsaved: &'u BTreeMap<PathBuf, String>) -> Self {
        let (sources, scenarios, faults) = (Sources::default(), Vec::new(), Vec::new());
        Self { unsaved, sources, behaviour: None, scenarios, settings: None, faults, held: Vec::new() }
    }

    pub(super) fn of_paths(paths: &[String], unsaved: &'u BTreeMap<PathBuf, String>) -> Result<Self, InputError> {
        let mut texts = Self::new(unsaved);
        for path in paths {
            match path.strip_prefix("git:") {
                Some(revision) => texts.revision(path, revision)?,
                None => texts.read(path)?,
            }
        }
        Ok(texts)
    }

    fn read(&mut self, path: &str) -> Result<(), InputError> {
        if path == "-" {
            let mut text = String::new();
            let limited = io::stdin().lock().take(FILE_BYTES_MAX + 1).read_to_string(&mut text);
            limited.map_err(|source| InputError::Unreadable { path: "-".to_owned(), source })?;
            if text.len() as u64 > FILE_BYTES_MAX {
                return Err(InputError::TooLong { path: "-".to_owned() });
            }
            self.sources.add("-", text);
            return Ok(());
        }
        let meta = fs::metadata(path).map_err(|source| unreadable(Path::new(path), source))?;
        if !meta.is_dir() {
            return self.file(Path::new(path));
        }
        let before = self.sources.iter().count();
        let files = files_below(Path::new(path))?;
        for file in &files {
            if is_held(file, &files) {
                self.held.push((file.clone(), read_file(file)?));
            } else if let Err(fault) = self.file(file) {
                self.faults.push(fault);
            }
        }
        if self.sources.iter().count() == before && self.faults.is_empty() {
            return Err(InputError::Empty { path: path.to_owned() });
        }
        Ok(())
    }

    /// The files of a revision: `REV` for the current folder, `REV:FOLDER` for another one.
    fn revision(&mut self, given: &str, revision: &str) -> Result<(), InputError> {
        let (revision, folder) = revision.split_once(':').unwrap_or((revision, "."));
        let git = |arguments: &[&str]| -> Result<String, InputError> {
            let failed = |message: String| InputError::Git { path: given.to_owned(), message };
            let output = std::process::Command::new("git")
                .args(["-C", folder])
                .args(arguments)
                .output()
                .map_err(|error| failed(format!("`git` does not run: {error}")))?;
            if !output.status.success() {
                return Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
            }
            String::from_utf8(output.stdout).map_err(|_| failed("a file is no text in UTF-8".to_owned()))
        };
        // A revision that looks like an option is none.
        let commit = git(&["rev-parse", "--verify", "--end-of-options", &format!("{revision}^{{commit}}")])?;
        let commit = commit.trim();
        let before = self.sources.iter().count();
        let names = git(&["ls-tree", "-r", "-z", "--name-only", commit])?;
        let names: Vec<PathBuf> = names.split('\0').map(PathBuf::from).filter(|name| is_ours(name)).collect();
        for name in &names {
            let text = git(&["show", &format!("{commit}:./{}", name.display())])?;
            let shown = format!("{given}/{}", name.display());
            if is_held(name, &names) {
                self.held.push((shown.into(), text));
            } else {
                self.text(shown, name, text);
            }
        }
        if self.sources.iter().count() == before {
            return Err(InputError::Empty { path: given.to_owned() });
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<(), InputError> {
        let text = match self.unsaved.get(path) {
            Some(text) => text.clone(),
            None => read_file(path)?,
        };
        self.text(path.display().to_string(), path, text);
        Ok(())
    }

    pub(super) fn text(&mut self, shown: String, path: &Path, text: String) {
        let name = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
        match name {
            "mesh.ron" => self.behaviour = Some((shown, text)),
            "meshproof.toml" => self.settings = Some((shown, text)),
            _ if path.extension().is_some_and(|extension| extension == "ron") => {
                if text.lines().any(|line| line.trim_start().starts_with("Scenario(")) {
                    self.scenarios.push((shown, text));
                }
            }
            _ => {
                self.sources.add(shown, text);
            }
        }
    }
}

/// Files that may hold something of ours, by path.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>, InputError> {
    let mut files = Vec::new();
    let walk = WalkBuilder::new(folder)
        .add_custom_ignore_filename(".meshproofignore")
        .git_global(false)
        .require_git(false)
        .parents(false)
        .build();
    for entry in walk {
        let entry = entry.map_err(|e| unreadable(folder, io::Error::other(e.to_string())))?;
        let ours = is_ours(entry.path());
        // A folder of such a name is read like a file: that it is none has to be told.
        let named = ["mesh.ron", "meshproof.toml"].iter().any(|name| entry.file_name() == *name);
        // Like kubectl, a link to a file is read, and one to a folder is not followed.
        let is_folder = entry.file_type().is_some_and(|kind| kind.is_dir());
        if ours && (entry.path().is_file() || (is_folder && named)) {
            files.push(entry.into_path());
        }
    }
    files.sort();
    Ok(files)
}

/// Whether a manifest stands beside scenarios, in a folder of that name: it is no part of the mesh before one applies it.
fn is_held(path: &Path, all: &[PathBuf]) -> bool {
    let is_ron = |path: &Path| path.extension().is_some_and(|extension| extension == "ron");
    let Some(folder) = path.parent().filter(|folder| folder.ends_with("scenarios")) else { return false };
    let is_manifest = path.extension().is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|e| extension == *e));
    is_manifest && all.iter().any(|other| other.parent() == Some(folder) && is_ron(other))
}

/// Files of tests at or below a path.
pub(crate) fn tests_below(path: &str) -> Result<Vec<PathBuf>, InputError> {
    let path = Path::new(path);
    if !fs::metadata(path).map_err(|source| unreadable(path, source))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let is_test = |file: &PathBuf| file.to_str().is_some_and(|name| name.ends_with(".test.ron"));
    Ok(files_below(path)?.into_iter().filter(is_test).collect())
}

/// Whether a file's name says that it may hold something of ours.
fn is_ours(path: &Path) -> bool {
    let extension = path.extension().and_then(|e| e.to_str()).unwrap_or_default();
    matches!(extension, "yaml" | "yml" | "json" | "ron" | "intent")
        || path.file_name().is_some_and(|name| name == "meshproof.toml")
}

/// The text of a file that is no part of a project.
pub(crate) fn read_text(path: &str) -> Result<String, InputError> {
    read_file(Path::new(path))
}

pub(super) fn read_file(path: &Path) -> Result<String, InputError> {
    let meta = fs::metadata(path).map_err(|source| unreadable(path, source))?;
    if meta.len() > FILE_BYTES_MAX {
        return Err(InputError::TooLong { path: path.display().to_string() });
    }
    let bytes = fs::read(path).map_err(|source| unreadable(path, source))?;
    String::from_utf8(bytes).map_err(|e| unreadable(path, io::Error::new(io::ErrorKind::InvalidData, e.utf8_error())))
}

fn unreadable(path: &Path, source: io::Error) -> InputError {
    InputError::Unreadable { path: path.display().to_string(), source }
}
