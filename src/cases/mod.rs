//! Tests of a mesh that are written down: which route a request takes, whether a property holds, whether a scenario
//! meets its objectives (`*.test.ron`).

mod coverage;
mod file;
mod judge;
mod suggest;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    path::{Path, PathBuf},
};

use meshproof_import::ImportOptions;
use meshproof_model::{RonError, RonWriteError};
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
    /// A file of tests cannot be written.
    #[error("tests cannot be written: {0}")]
    Write(#[from] RonWriteError),
    /// Tests are suggested for one mesh at a time.
    #[error("tests are suggested for one mesh at a time, and there are several: {}", .0.join(", "))]
    Several(Vec<String>),
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
    let meshes = written(paths, options)?;
    if meshes.is_empty() {
        return Err(TestError::None(paths.join(" ")));
    }
    let mut report = Report::default();
    for (mesh, Written { project, tests, .. }) in &meshes {
        let (outcomes, coverage) = judge::all(project, tests, threads)?;
        report.tests.extend(outcomes);
        report.coverage.insert(mesh.clone(), coverage);
    }
    report.tests.sort_by(|a, b| a.file.cmp(&b.file));
    Ok(report)
}

/// A file of tests for the routes and policies of a mesh that no test touches yet; the mesh is that of the tests below
/// the paths, or, where there are none, the path.
///
/// # Errors
/// If a path, a file of tests or a mesh cannot be read, or there are several meshes.
pub fn suggest(paths: &[String], options: &ImportOptions) -> Result<String, TestError> {
    let mut meshes = written(paths, options)?;
    if meshes.is_empty() {
        for path in paths {
            meshes
                .insert(path.clone(), Written { project: whole(path, path, options)?, mesh: None, tests: Vec::new() });
        }
    }
    if meshes.len() > 1 {
        return Err(TestError::Several(meshes.into_keys().collect()));
    }
    let mut text = String::new();
    for (name, Written { project, mesh, tests }) in meshes {
        let asked = judge::ask(&project, &tests);
        let answers = asked.iter().flatten().flatten();
        let suggest::Suggested { tests, left } = suggest::suggest(&project.imported.mesh, answers);
        if tests.is_empty() {
            _ = writeln!(text, "// The tests of {name} touch every route and policy that a request can touch.");
        } else {
            _ = writeln!(
                text,
                "// What becomes of requests that no test of {name} asks for: keep what should stay so."
            );
            text += &file::write(&Tests { version: 1, mesh, tests })?;
        }
        for thing in left {
            _ = writeln!(text, "// no request was found for {thing}: it decides nothing, or not alone");
        }
    }
    Ok(text)
}

/// A mesh and the tests that are written for it.
struct Written {
    project: Project,
    /// As their files name it, from their folder.
    mesh: Option<String>,
    tests: Vec<(String, Test)>,
}

/// Every test below the paths, by mesh.
fn written(paths: &[String], options: &ImportOptions) -> Result<BTreeMap<String, Written>, TestError> {
    let mut meshes: BTreeMap<String, Written> = BTreeMap::new();
    for path in paths {
        for file in crate::project::tests_below(path)? {
            let shown = file.display().to_string();
            let tests =
                file::read(&read_text(&shown)?).map_err(|error| TestError::Ron { path: shown.clone(), error })?;
            let name = mesh_of(&file, tests.mesh.as_deref());
            if !meshes.contains_key(&name) {
                let project = whole(&shown, &name, options)?;
                meshes.insert(name.clone(), Written { project, mesh: tests.mesh, tests: Vec::new() });
            }
            if let Some(written) = meshes.get_mut(&name) {
                written.tests.extend(tests.tests.into_iter().map(|test| (shown.clone(), test)));
            }
        }
    }
    Ok(meshes)
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
