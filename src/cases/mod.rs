//! Tests of a mesh that are written down: which route a request takes, whether a property holds, whether a scenario
//! meets its objectives (`*.test.ron`).

mod coverage;
mod file;
mod judge;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use meshproof_import::ImportOptions;
use meshproof_model::RonError;
use serde::Serialize;

pub use coverage::{Coverage, Covered};
pub use file::{Asked, Client, Expected, ExpectedBackend, Target, Test, Tests, VerdictName};

use crate::{InputError, InternalError, Project, project::read_text};

/// What became of one test.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Its file.
    pub file: String,
    /// Its name.
    pub name: String,
    /// What is not as expected; empty: it passed.
    pub failures: Vec<String>,
}

/// What became of all tests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// By file, then in the order of the file.
    pub tests: Vec<Outcome>,
    /// What the tests of requests touch, by mesh.
    pub coverage: BTreeMap<String, Coverage>,
}

impl Report {
    /// How many tests failed.
    pub fn failed(&self) -> usize {
        self.tests.iter().filter(|test| !test.failures.is_empty()).count()
    }
}

/// Why tests cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum TestError {
    /// A file or a mesh cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// A file is not what it should be.
    #[error("{path}:{}:{}: {}", error.line, error.column, error.message)]
    Ron {
        /// Which file.
        path: String,
        /// What is wrong with it.
        error: RonError,
    },
    /// The mesh of a file cannot be read as a whole.
    #[error("{path}: {message}")]
    Mesh {
        /// Which file.
        path: String,
        /// What is wrong with its mesh.
        message: String,
    },
    /// There is nothing to run.
    #[error("no tests in `{0}`: expected files *.test.ron")]
    None(String),
    /// A fault of meshproof itself.
    #[error(transparent)]
    Internal(#[from] InternalError),
}

/// Runs every `*.test.ron` below the paths. Threads change nothing but the time; 0: as many as there are cores.
///
/// # Errors
/// If a path, a file of tests or a mesh cannot be read, or there are no tests.
pub fn run(paths: &[String], options: &ImportOptions, threads: usize) -> Result<Report, TestError> {
    let mut files = Vec::new();
    for path in paths {
        files.extend(crate::project::tests_below(path)?);
    }
    if files.is_empty() {
        return Err(TestError::None(paths.join(" ")));
    }
    let mut meshes: BTreeMap<String, (Project, Vec<(String, Test)>)> = BTreeMap::new();
    for file in files {
        let shown = file.display().to_string();
        let tests = file::read(&read_text(&shown)?).map_err(|error| TestError::Ron { path: shown.clone(), error })?;
        let mesh = mesh_of(&file, tests.mesh.as_deref());
        if !meshes.contains_key(&mesh) {
            meshes.insert(mesh.clone(), (whole(&shown, &mesh, options)?, Vec::new()));
        }
        if let Some((_, all)) = meshes.get_mut(&mesh) {
            all.extend(tests.tests.into_iter().map(|test| (shown.clone(), test)));
        }
    }
    let mut report = Report::default();
    for (mesh, (project, tests)) in &meshes {
        let (outcomes, coverage) = judge::all(project, tests, threads)?;
        report.tests.extend(outcomes);
        report.coverage.insert(mesh.clone(), coverage);
    }
    report.tests.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(report)
}

/// The folder of the file, or what the file says, from there.
fn mesh_of(file: &Path, named: Option<&str>) -> String {
    let folder = file.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let path = named.map_or(folder.clone(), |named| folder.join(named));
    if path.as_os_str().is_empty() { ".".to_owned() } else { path.display().to_string() }
}

/// A mesh of which everything could be read.
fn whole(file: &str, mesh: &str, options: &ImportOptions) -> Result<Project, TestError> {
    let project = Project::read(&[mesh.to_owned()], options)?;
    let fault = |message: String| TestError::Mesh { path: file.to_owned(), message };
    if let Some(first) = project.faults.first() {
        return Err(fault(first.to_string()));
    }
    if project.imported.unreadable {
        return Err(fault(format!("a document of `{mesh}` cannot be read: see `meshproof verify`")));
    }
    Ok(project)
}
