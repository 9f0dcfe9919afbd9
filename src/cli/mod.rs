//! The command line: what may be asked, and the exit code of each answer.

mod cache;
mod compare;
mod conformance;
mod decide;
mod diff;
mod doctor;
mod explain;
mod fix;
mod hunt;
#[cfg(feature = "lsp")]
mod lsp;
mod rules;
mod schema;
mod simulate;
mod test;
mod verify;

use std::{fs, io::Write as _, panic, path::Path};

use clap::{CommandFactory as _, Parser, Subcommand};
use meshproof_import::{ImportOptions, Profile};
use meshproof_model::{IstioVersion, gateway_api::Implementation};

use crate::{InputError, InternalError, Project, project::Gathered};

/// Everything that was asked holds.
const HOLDS: u8 = 0;
/// A finding, a violated property, a missed objective.
const VIOLATED: u8 = 1;
/// Usage, input that cannot be read or parsed, bad configuration.
const BAD_INPUT: u8 = 2;
/// A limit was met, and no violation was found.
const UNDECIDED: u8 = 3;
/// A property holds only because nothing matches it.
const VACUOUS: u8 = 4;
/// A fault of meshproof itself.
const INTERNAL: u8 = 70;

/// Proves and simulates what a service mesh's retries, timeouts, weights and mTLS do, from its manifests.
#[derive(Debug, Parser)]
#[command(name = "meshproof", version, propagate_version = true)]
#[command(after_help = "Exit codes: 0 holds, 1 violated, 2 bad input, 3 undecided, 4 vacuous, 70 internal fault.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Import, lint and prove every property that applies.
    Verify(verify::Args),
    /// Run a scenario and judge its objectives.
    Simulate(simulate::Args),
    /// Find out what load and which trigger push a mesh over.
    Hunt(hunt::Args),
    /// Run a scenario on two meshes under the same draws and print the differences.
    Compare(compare::Args),
    /// Run the tests of a mesh: `*.test.ron`.
    Test(test::Args),
    /// Print what changes from one mesh to another: access, routes, policies, findings.
    Diff(diff::Args),
    /// Print the effective policy of a call, or a rule's page.
    Explain(explain::Args),
    /// Answer questions to the effective policy: JSON lines in, JSON lines out.
    Decide(decide::Args),
    /// Put decision cases to the proxy core.
    #[command(subcommand)]
    Conformance(conformance::Conformance),
    /// Serve an editor over standard input and output: findings while typing.
    #[cfg(feature = "lsp")]
    Lsp,
    /// List all rules.
    Rules(rules::Args),
    /// Print the JSON schema of an output or a file.
    Schema(schema::Args),
    /// Check the environment.
    Doctor,
    /// Print a completion script for a shell.
    Completions {
        /// Which shell.
        shell: clap_complete::Shell,
    },
    /// Write a man page for each command.
    Man {
        /// Where to; the folder is made.
        folder: String,
    },
}

/// How manifests are read.
#[derive(Clone, Debug, clap::Args)]
struct InputArgs {
    /// The namespace of objects that name none.
    #[arg(long, value_name = "NS", default_value = "default")]
    default_namespace: String,
    /// Unknown fields and kinds, and what is not modelled, are errors.
    #[arg(long)]
    strict: bool,
    /// The version of Istio whose defaults hold, such as 1.24; absent: the newest known.
    #[arg(long, value_name = "1.2x", default_value_t)]
    istio_version: IstioVersion,
    /// Who carries Gateway API out: istio, linkerd, envoy-gateway or generic.
    #[arg(long, value_name = "NAME", default_value = "istio", value_parser = gateway_impl)]
    gateway_impl: Implementation,
}

fn gateway_impl(name: &str) -> Result<Implementation, String> {
    Implementation::find(name).ok_or_else(|| "it is istio, linkerd, envoy-gateway or generic".to_owned())
}

impl InputArgs {
    fn read(&self, paths: &[String]) -> Result<Project, InputError> {
        self.read_for(Profile::Full, paths)
    }

    /// One of two meshes: a folder, or `git:REV` for the other one's folder at that revision.
    fn read_side(&self, path: &str, other: &str) -> Result<Project, InputError> {
        let Some(revision) = path.strip_prefix("git:") else {
            return self.read(std::slice::from_ref(&path.to_owned()));
        };
        self.read_revision(if other.starts_with("git:") { "." } else { other }, revision)
    }

    fn options(&self) -> ImportOptions {
        ImportOptions {
            default_namespace: self.default_namespace.clone(),
            istio_version: self.istio_version,
            gateway_impl: self.gateway_impl,
            ..ImportOptions::default()
        }
    }

    fn read_for(&self, profile: Profile, paths: &[String]) -> Result<Project, InputError> {
        Self::gather(paths)?.project(&self.options_for(profile))
    }

    fn options_for(&self, profile: Profile) -> ImportOptions {
        ImportOptions { profile, ..self.options() }
    }

    /// The texts of paths; without any, of the current folder.
    fn gather(paths: &[String]) -> Result<Gathered, InputError> {
        let here = [".".to_owned()];
        Gathered::read(if paths.is_empty() { &here } else { paths })
    }

    /// A folder as it was at a revision.
    fn read_revision(&self, folder: &str, revision: &str) -> Result<Project, InputError> {
        Project::read(&[format!("git:{revision}:{folder}")], &self.options())
    }
}

/// Colours of the terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Color {
    /// Where standard output is a terminal, unless `NO_COLOR` is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Color {
    fn wanted(self) -> bool {
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::Auto => anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never,
        }
    }
}

/// Why a command could not answer.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Input(#[from] InputError),
    #[error("{0}")]
    Usage(String),
    #[error("cannot write `{path}`: {source}")]
    Output { path: String, source: std::io::Error },
    #[error("internal fault, not a verdict: {0}")]
    Internal(#[from] InternalError),
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Internal(_) => INTERNAL,
            Self::Input(_) | Self::Usage(_) | Self::Output { .. } => BAD_INPUT,
        }
    }
}

/// Runs the command line of this process and gives its exit code.
pub fn run() -> u8 {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return if error.use_stderr() { BAD_INPUT } else { HOLDS };
        }
    };
    match panic::catch_unwind(|| answer(cli.command)) {
        Ok(Ok(code)) => code,
        Ok(Err(failure)) => {
            complain(&failure.to_string());
            failure.code()
        }
        Err(_) => {
            complain("internal fault, not a verdict: please report the lines above");
            INTERNAL
        }
    }
}

fn answer(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Verify(args) => verify::run(&args),
        Command::Simulate(args) => simulate::run(&args),
        Command::Compare(args) => compare::run(&args),
        Command::Hunt(args) => hunt::run(&args),
        Command::Test(args) => test::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Explain(args) => explain::run(&args),
        Command::Decide(args) => decide::run(&args),
        Command::Conformance(command) => conformance::run(&command),
        #[cfg(feature = "lsp")]
        Command::Lsp => lsp::run(),
        Command::Rules(args) => rules::run(&args),
        Command::Schema(args) => schema::run(&args),
        Command::Doctor => doctor::run(),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "meshproof", &mut script);
            print(&String::from_utf8_lossy(&script))
        }
        Command::Man { folder } => {
            make_folder(&folder)?;
            let mut command = Cli::command();
            command.build();
            man_pages(&folder, &command)
        }
    }
}

/// Writes the man page of a command and of those below it.
fn man_pages(folder: &str, command: &clap::Command) -> Result<u8, Failure> {
    let page = clap_mangen::Man::new(command.clone());
    let path = format!("{folder}/{}", page.get_filename());
    let mut text = Vec::new();
    page.render(&mut text).map_err(|source| Failure::Output { path: path.clone(), source })?;
    write_file(&path, &String::from_utf8_lossy(&text))?;
    let below = command.get_subcommands().filter(|below| !below.is_hide_set() && below.get_name() != "help");
    below.map(|below| man_pages(folder, below)).try_fold(HOLDS, |_, code| code)
}

/// Makes a folder for results.
fn make_folder(folder: &str) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|source| Failure::Output { path: folder.to_owned(), source })
}

/// The day by which suppressions are judged, as `YYYY-MM-DD` in UTC.
fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

/// A run needs all of its input: what could not be read ends it.
fn refuse_faults(project: &Project) -> Result<(), Failure> {
    let unreadable =
        project.imported.unreadable.then(|| "a document cannot be read: see `meshproof verify`".to_owned());
    let faults: Vec<String> = project.faults.iter().map(ToString::to_string).chain(unreadable).collect();
    if faults.is_empty() { Ok(()) } else { Err(Failure::Usage(faults.join("\n"))) }
}

/// Writes a result to a file, if one is named, else to standard output.
fn emit(output: Option<&str>, text: &str) -> Result<(), Failure> {
    match output {
        Some(path) => write_file(path, text),
        None => print(text).map(|_| ()),
    }
}

/// Writes a result to standard output. A reader that has left is no fault.
fn print(text: &str) -> Result<u8, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(source) if source.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::Output { path: "-".to_owned(), source })
        }
        _ => Ok(HOLDS),
    }
}

/// Writes a result to a file.
fn write_file(path: &str, text: &str) -> Result<(), Failure> {
    write_whole(Path::new(path), text, None).map_err(|source| Failure::Output { path: path.to_owned(), source })
}

/// Writes a file as a whole: through a neighbour that is renamed, so that no half of it is ever seen.
fn write_whole(path: &Path, text: &str, permissions: Option<fs::Permissions>) -> std::io::Result<()> {
    let mut neighbour = path.as_os_str().to_owned();
    neighbour.push(".partial");
    fs::write(&neighbour, text)?;
    if let Some(permissions) = permissions {
        fs::set_permissions(&neighbour, permissions)?;
    }
    fs::rename(&neighbour, path)
}

/// Tells the user what went wrong, on standard error.
fn complain(message: &str) {
    let _ = writeln!(anstream::stderr(), "error: {message}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
