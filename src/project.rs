//! What the user points at: a folder, files or standard input, read once. Only this module and its part read files.

mod texts;

use std::{
    collections::BTreeMap,
    io,
    path::{Component, Path, PathBuf},
};

use meshproof_import::{ImportOptions, Imported, SetError, import, set};
use meshproof_model::{
    Arrivals, Behaviour, FileId, Load, RonError, RonKind, Scenario, ScenarioError, Sources, locate, read_behaviour,
    read_scenario, ron_kind,
};
use meshproof_sim::{SetupError, SimOptions, Stages};

pub(crate) use self::texts::{Gathered, read_text, tests_below};
use self::texts::{Texts, read_file};
use crate::{
    recording, rollout,
    settings::{Settings, SettingsError},
};

/// A text longer than this is refused: no manifest is that long, and memory stays bounded.
const FILE_BYTES_MAX: u64 = 256 << 20;
/// Kinds that say how manifests are made, or from where they are deployed.
const MAKERS: [&str; 4] = ["Kustomization", "Component", "Application", "ApplicationSet"];

/// Everything that was read from the paths of one command.
#[derive(Debug)]
pub struct Project {
    /// The paths as given, for messages.
    pub paths: Vec<String>,
    /// Every text.
    pub sources: Sources,
    /// The mesh and what is odd about its manifests.
    pub imported: Imported,
    /// Scenarios by name: the file's name without `.ron`.
    pub scenarios: Vec<(String, Scenario)>,
    /// Paths and texts of the behaviour and of the scenarios, in this order, for messages.
    rons: Vec<(String, String)>,
    /// `meshproof.toml`, or its defaults.
    pub settings: Settings,
    /// Where they stand.
    settings_file: Option<FileId>,
    /// Texts that could not be used: the exit code will say so.
    pub faults: Vec<InputError>,
    /// Manifests beside scenarios, which these apply, by path.
    held: Vec<(PathBuf, String)>,
    /// How manifests are read.
    options: ImportOptions,
}

/// Why an input cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The path does not exist or cannot be read.
    #[error("cannot read `{path}`: {source}")]
    Unreadable {
        /// As given.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The file is too long.
    #[error("`{path}` is longer than {} MiB", FILE_BYTES_MAX >> 20)]
    TooLong {
        /// As given.
        path: String,
    },
    /// There is nothing to judge.
    #[error("no manifests in `{path}`: expected *.yaml, *.yml or *.json files")]
    Empty {
        /// As given.
        path: String,
    },
    /// There are texts, and nothing to judge is in them.
    #[error("nothing to judge in `{path}`: no document there is an object of Kubernetes")]
    NoObjects {
        /// As given.
        path: String,
    },
    /// There are objects, and all of them only say how or from where manifests are made.
    #[error("nothing to judge in `{path}` but `{kind}`: {reason}")]
    NotRendered {
        /// As given.
        path: String,
        /// The kind of the first one.
        kind: String,
        /// What is to be done.
        reason: String,
    },
    /// A RON file is not what it should be.
    #[error("{path}:{}:{}: {}", error.line, error.column, error.message)]
    Ron {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: RonError,
    },
    /// Recorded arrivals are not what they should be.
    #[error("{path}:{line}: {message}")]
    Recording {
        /// Which file.
        path: String,
        /// From 1.
        line: usize,
        /// What is wrong with it.
        message: String,
    },
    /// A step of a scenario's rollout cannot be done.
    #[error("{place}: rollout[{step}]: {message}")]
    Rollout {
        /// The scenario, with line and column.
        place: String,
        /// Its number, from 0.
        step: usize,
        /// What is wrong.
        message: String,
    },
    /// `meshproof.toml` is not what it should be.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// `git` does not give a revision's files.
    #[error("cannot read `{path}`: {message}")]
    Git {
        /// As given.
        path: String,
        /// What went wrong.
        message: String,
    },
    /// A value cannot be set.
    #[error("--set: {0}")]
    Set(#[from] SetError),
    /// No scenario has that name.
    #[error("no scenario `{name}`{}", listed(known))]
    UnknownScenario {
        /// What was asked for.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
}

fn listed(names: &[String]) -> String {
    if names.is_empty() {
        ": there is no scenarios/*.ron beside the manifests".to_owned()
    } else {
        format!(": there are {}", names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", "))
    }
}

impl Project {
    /// Reads every path: files, folders with what is below them, `-` for standard input.
    ///
    /// # Errors
    /// If a path cannot be read at all, or nothing is in it. What is wrong with single texts is in `faults` and in
    /// the findings of the import.
    pub fn read(paths: &[String], options: &ImportOptions) -> Result<Self, InputError> {
        Self::read_with(paths, options, &BTreeMap::new())
    }

    /// A project of texts that stand in no folder, each with the name of its file: `mesh.ron`, `meshproof.toml`,
    /// scenarios, manifests.
    ///
    /// # Errors
    /// As for [`Project::read`].
    pub fn of_texts(texts: Vec<(String, String)>, options: &ImportOptions) -> Result<Self, InputError> {
        let unsaved = BTreeMap::new();
        let mut all = Texts::new(&unsaved);
        for (name, text) in texts {
            all.text(name.clone(), Path::new(&name), text);
        }
        Self::of(all, &[], options)
    }

    /// The same as [`Project::read`], with texts that are not saved yet in place of their files.
    ///
    /// # Errors
    /// As for [`Project::read`].
    pub fn read_with(
        paths: &[String],
        options: &ImportOptions,
        unsaved: &BTreeMap<PathBuf, String>,
    ) -> Result<Self, InputError> {
        Self::of(Texts::of_paths(paths, unsaved)?, paths, options)
    }

    fn of(mut texts: Texts<'_>, paths: &[String], options: &ImportOptions) -> Result<Self, InputError> {
        if texts.sources.iter().next().is_none() {
            let empty = InputError::Empty { path: paths.join(" ") };
            return Err(texts.faults.into_iter().next().unwrap_or(empty));
        }
        let mut faults = texts.faults;
        let mut imported = import(&texts.sources, options);
        let has_dumps = !imported.mesh.envoy_dumps.is_empty();
        if imported.objects == 0 && !has_dumps && !imported.unreadable && imported.findings.is_empty() {
            return Err(InputError::NoObjects { path: paths.join(" ") });
        }
        let makers = || imported.mesh.unmodelled.iter().filter(|one| MAKERS.contains(&&*one.resource.kind));
        if let Some(first) = makers().next()
            && makers().count() == imported.objects
        {
            let (kind, reason) = (first.resource.kind.clone(), first.reason.clone());
            return Err(InputError::NotRendered { path: paths.join(" "), kind, reason });
        }
        let (settings, settings_file) = match texts.settings {
            Some((path, text)) => {
                let settings = Settings::parse(&path, &text)?;
                let file = texts.sources.add(path, text.clone());
                imported.suppressions.extend(settings.suppressions(file, &text));
                (settings, Some(file))
            }
            None => (Settings::default(), None),
        };
        let mut rons = Vec::new();
        if let Some((path, text)) = texts.behaviour {
            match read_behaviour(&text) {
                Ok(behaviour) => imported.mesh.behaviour = behaviour,
                Err(error) => faults.push(InputError::Ron { path: path.clone(), error }),
            }
            rons.push((path, text));
        }
        let mut scenarios = Vec::new();
        for (path, text) in texts.scenarios {
            match read_scenario(&text) {
                Ok(scenario) => scenarios.push((stem(&path), scenario)),
                Err(error) => faults.push(InputError::Ron { path: path.clone(), error }),
            }
            rons.push((path, text));
        }
        Ok(Self {
            paths: paths.to_vec(),
            sources: texts.sources,
            imported,
            scenarios,
            rons,
            settings,
            settings_file,
            faults,
            held: texts.held,
            options: options.clone(),
        })
    }

    /// The same project with values set, each `KIND/NAMESPACE/NAME PATH=VALUE`, read with the same options.
    ///
    /// # Errors
    /// If a value cannot be set.
    pub fn with_values(&self, values: &[String], options: &ImportOptions) -> Result<Self, InputError> {
        let mut sources = self.sources.clone();
        for value in values {
            sources = set(&sources, options, value)?;
        }
        let mut imported = import(&sources, options);
        imported.mesh.behaviour = self.behaviour().clone();
        Ok(Self {
            paths: self.paths.clone(),
            sources,
            imported,
            scenarios: self.scenarios.clone(),
            rons: self.rons.clone(),
            settings: self.settings.clone(),
            settings_file: self.settings_file,
            faults: Vec::new(),
            held: self.held.clone(),
            options: options.clone(),
        })
    }

    /// The same project with other texts in place of some of its manifests.
    pub(crate) fn with_texts(&self, texts: &BTreeMap<FileId, String>) -> Self {
        let mut sources = Sources::default();
        for (id, source) in self.sources.iter() {
            sources.add(source.path.clone(), texts.get(&id).unwrap_or(&source.text).clone());
        }
        let mut imported = import(&sources, &self.options);
        imported.mesh.behaviour = self.behaviour().clone();
        if let Some((file, source)) = self.settings_file.and_then(|file| Some((file, sources.get(file)?))) {
            imported.suppressions.extend(self.settings.suppressions(file, &source.text));
        }
        Self {
            paths: self.paths.clone(),
            sources,
            imported,
            scenarios: self.scenarios.clone(),
            rons: self.rons.clone(),
            settings: self.settings.clone(),
            settings_file: self.settings_file,
            faults: Vec::new(),
            held: self.held.clone(),
            options: self.options.clone(),
        }
    }

    /// The scenario of that name among the project's, else the one in that file.
    ///
    /// # Errors
    /// If there is neither, or the file does not hold a scenario.
    pub fn scenario(&self, name: &str) -> Result<(String, Scenario), InputError> {
        if let Some((name, scenario)) = self.scenarios.iter().find(|(known, _)| known == name) {
            return Ok((name.clone(), scenario.clone()));
        }
        if Path::new(name).extension().is_none_or(|e| e != "ron") {
            let known = self.scenarios.iter().map(|(name, _)| name.clone()).collect();
            return Err(InputError::UnknownScenario { name: name.to_owned(), known });
        }
        let text = read_file(Path::new(name))?;
        match read_scenario(&text) {
            Ok(scenario) => Ok((stem(name), scenario)),
            Err(error) => Err(InputError::Ron { path: name.to_owned(), error }),
        }
    }

    /// A scenario by name or file, and the options of a run completed by what it asks for: its name, recorded arrivals and
    /// what manifests become.
    ///
    /// # Errors
    /// If there is no such scenario, a file that it names cannot be read, or a step of its rollout cannot be done.
    pub fn ready(&self, name: &str, options: SimOptions) -> Result<(Scenario, SimOptions), InputError> {
        let (known, scenario) = self.scenario(name)?;
        let recorded = self.recordings(name, &scenario)?;
        let stages = self.stages(self, name, &scenario)?;
        Ok((scenario, SimOptions { name: known, recorded, stages, ..options }))
    }

    /// What this project's manifests become in a scenario of `owner`, whose files it names. `name`: the scenario's name, or
    /// its file.
    ///
    /// # Errors
    /// If a step of the rollout cannot be done.
    pub fn stages(&self, owner: &Self, name: &str, scenario: &Scenario) -> Result<Stages, InputError> {
        let folder = owner.folder(name);
        let read = |file: &str| {
            let path = plain(&folder.join(file));
            let held = owner.held.iter().find(|(known, _)| plain(known) == path);
            let text = held.map_or_else(|| read_file(&path), |(_, text)| Ok(text.clone()))?;
            Ok((path.display().to_string(), text))
        };
        let stages = rollout::stages(&self.imported.mesh, &self.sources, &self.options, scenario, read);
        stages.map_err(|(step, message)| {
            let (path, text) = owner.text_of(name).unwrap_or_else(|| (name.to_owned(), String::new()));
            let (line, column) = locate(&text, &format!("rollout[{step}]")).unwrap_or((1, 1));
            InputError::Rollout { place: format!("{path}:{line}:{column}"), step, message }
        })
    }

    /// Where files stand that a scenario names.
    fn folder(&self, scenario: &str) -> PathBuf {
        let known = self.rons.iter().map(|(path, _)| path.as_str()).find(|path| stem(path) == scenario);
        Path::new(known.unwrap_or(scenario)).parent().unwrap_or(Path::new("")).to_owned()
    }

    /// The path and the text of a scenario: a file, else one of the project's by name.
    fn text_of(&self, scenario: &str) -> Option<(String, String)> {
        let given = read_file(Path::new(scenario)).ok().map(|text| (scenario.to_owned(), text));
        given.or_else(|| self.rons.iter().find(|(path, _)| stem(path) == scenario).cloned())
    }

    /// The recorded arrivals of a scenario, in nanoseconds, by the names that it gives them: files beside the scenario's.
    /// `name`: the scenario's name, or its file.
    ///
    /// # Errors
    /// If one of the files cannot be read, or is no list of times.
    pub fn recordings(
        &self,
        name: &str,
        scenario: &Scenario,
    ) -> Result<BTreeMap<String, std::sync::Arc<[u64]>>, InputError> {
        let folder = self.folder(name);
        let mut recordings = BTreeMap::new();
        for load in &scenario.load {
            let Load::Open { arrivals: Arrivals::Recorded(file), .. } = load else { continue };
            let path = folder.join(file);
            let times = recording::read(&read_file(&path)?).map_err(|(line, message)| {
                let path = path.display().to_string();
                InputError::Recording { path, line, message }
            })?;
            recordings.insert(file.clone(), times.into());
        }
        Ok(recordings)
    }

    /// Why a scenario cannot be run, each fault with its place; `scenario`: its name, or its file.
    pub fn why_not(&self, scenario: &str, error: &SetupError) -> String {
        let SetupError::Invalid(errors) = error else { return format!("scenario `{scenario}`: {error}") };
        let named = self.text_of(scenario);
        let is_behaviour = |path: &str| Behaviour::FIELDS.iter().any(|field| path.starts_with(field));
        let behaviour = self.rons.iter().find(|(_, text)| ron_kind(text) == Ok(RonKind::Mesh));
        let line = |error: &ScenarioError| {
            // A client is the behaviour's or the scenario's.
            let texts = if is_behaviour(&error.path) { [behaviour, named.as_ref()] } else { [named.as_ref(), None] };
            let place = |(path, text): &'_ (String, String)| Some((path.clone(), locate(text, &error.path)?));
            let place = texts.into_iter().flatten().find_map(place);
            match place {
                Some((path, (line, column))) => format!("{path}:{line}:{column}: {}: {}", error.path, error.problem),
                None => format!("scenario `{scenario}`: {error}"),
            }
        };
        errors.iter().map(line).collect::<Vec<_>>().join("\n")
    }

    /// What manifests cannot say.
    pub fn behaviour(&self) -> &Behaviour {
        &self.imported.mesh.behaviour
    }
}

/// A path without `.` and `..`, as far as that is possible without looking.
fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in path.components() {
        match part {
            Component::CurDir => {}
            Component::ParentDir if matches!(out.components().next_back(), Some(Component::Normal(_))) => {
                out.pop();
            }
            other => out.push(other),
        }
    }
    out
}

fn stem(path: &str) -> String {
    Path::new(path).file_stem().and_then(|s| s.to_str()).unwrap_or(path).to_owned()
}
