//! `meshproof verify`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use meshproof_import::Profile;
use meshproof_model::{Mesh, RULES, Scenario, Severity, UNREADABLE_INTENT};
use meshproof_verifier::{Intents, VerifyOptions};

use super::{
    BAD_INPUT, Color, Failure, HOLDS, InputArgs, UNDECIDED, VACUOUS, VIOLATED,
    cache::{Answer, Entry},
    complain, fix, make_folder, write_file,
};
use crate::{
    Choice, Project, Verified,
    baseline::{self, Baseline},
    difference::without,
    fingerprint,
    project::Gathered,
    repair::{Repair, repair},
    report::{Format, Repaired, Verdict, Verification, render, witness_names},
    verify,
};

#[derive(Debug, clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(super) struct Args {
    /// Files, folders, or `-` for standard input; absent: the current folder.
    paths: Vec<String>,
    #[command(flatten)]
    input: InputArgs,
    /// How the result is printed; repeatable, each followed by its own --output.
    #[arg(long, value_name = "FORMAT")]
    format: Vec<Format>,
    /// Where the result of the --format before it goes; absent: standard output.
    #[arg(long, value_name = "FILE")]
    output: Vec<String>,
    /// The least severity that makes the exit code 1.
    #[arg(long, value_name = "SEVERITY", default_value = "error")]
    fail_on: FailOn,
    /// Only rules of this code or family; repeatable.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    select: Vec<String>,
    /// No rules of this code or family; repeatable.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Whose findings are wanted: ours, or those of `istioctl analyze` under its codes.
    #[arg(long, value_name = "PROFILE")]
    profile: Option<ProfileName>,
    /// Which of several objects is older, where manifests do not say and only one counts.
    #[arg(long, value_name = "ORDER", default_value = "name")]
    assume_order: Order,
    /// Only findings that this file does not hold count.
    #[arg(long, value_name = "FILE")]
    baseline: Option<String>,
    /// Write all findings into this file, for `--baseline`.
    #[arg(long, value_name = "FILE")]
    write_baseline: Option<String>,
    /// Only findings that were not there at this revision count: `git:REV`, of a single folder (and files of intents).
    #[arg(long, value_name = "git:REV", conflicts_with = "baseline")]
    since: Option<String>,
    /// Write the scenario that replays each violation into this folder.
    #[arg(long, value_name = "DIR")]
    witnesses: Option<String>,
    /// Write the queries that Z3 answers about certificates into this folder, as SMT-LIB for any solver.
    #[arg(long, value_name = "DIR")]
    emit_smt2: Option<String>,
    /// Change the files by the smallest edits that mend findings and bring no others, print them as a patch, and judge what
    /// is left.
    #[arg(long, conflicts_with_all = ["suggest", "since", "profile"])]
    fix: bool,
    /// Print these edits as a patch, and change nothing.
    #[arg(long, conflicts_with_all = ["since", "profile"])]
    suggest: bool,
    /// Let a second engine decide every verdict again, and hold runs under random failures to what is proved; exit code
    /// 70 where two disagree.
    #[arg(long)]
    paranoid: bool,
    /// Keep answers in this folder, and give them again where nothing has changed.
    #[arg(long, value_name = "DIR")]
    cache: Option<String>,
    /// An undecided property does not fail.
    #[arg(long)]
    allow_unknown: bool,
    /// A property that holds only because nothing matches it does not fail.
    #[arg(long)]
    allow_vacuous: bool,
    /// Threads; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Leave out the wall time, so that the same input gives the same bytes.
    #[arg(long)]
    no_timing: bool,
    /// Terminal colours.
    #[arg(long, value_name = "WHEN", default_value = "auto")]
    color: Color,
    /// Print nothing on success.
    #[arg(short, long)]
    quiet: bool,
}

/// Whose findings are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ProfileName {
    /// Those of `istioctl analyze`.
    IstioAnalyze,
}

/// Which of several objects is older.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Order {
    /// The first by name, then namespace.
    Name,
    /// Either: what differs is a finding.
    Any,
}

/// The least severity that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FailOn {
    /// Errors.
    Error,
    /// Warnings and errors.
    Warning,
    /// Anything.
    Info,
    /// Nothing.
    Never,
}

impl FailOn {
    /// The least severity that makes the verdict `violated`: what never fails is judged all the same.
    const fn threshold(self) -> Severity {
        match self {
            Self::Error | Self::Never => Severity::Error,
            Self::Warning => Severity::Warning,
            Self::Info => Severity::Info,
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    if args.output.len() > args.format.len().max(1) {
        return Err(Failure::Usage("more --output than --format".to_owned()));
    }
    if let Some(code) = args.select.iter().chain(&args.ignore).find(|code| !names_a_rule(code)) {
        return Err(Failure::Usage(format!("no rule has a code that begins with `{code}`: see `meshproof rules`")));
    }
    let started = Instant::now();
    let profile = args.profile.map_or(Profile::Full, |ProfileName::IstioAnalyze| Profile::IstioAnalyze);
    if args.fix {
        fix::refuse(&args.paths)?;
    }
    let gathered = InputArgs::gather(&args.paths)?;
    let entry = args.cache.as_deref().filter(|_| is_kept(args)).and_then(|folder| entry(args, folder, &gathered));
    if let Some(answer) = entry.as_ref().and_then(Entry::known) {
        return answer.give();
    }
    let mut project = gathered.project(&args.input.options_for(profile))?;
    for fault in &project.faults {
        complain(&fault.to_string());
    }
    let since = args.since.as_deref().map(|since| revision(args, since)).transpose()?;
    let choice = Choice {
        bases: bases(args, &project, since.as_ref()),
        select: args.select.clone(),
        ignore: args.ignore.clone(),
        strict: args.input.strict,
        threads: args.threads,
        today: Some(super::today()),
        keep_queries: args.emit_smt2.is_some(),
        paranoid: args.paranoid,
        profile,
        any_order: args.assume_order == Order::Any,
    };
    let mut verified = verify(&project, &choice)?;
    if let Some(folder) = &args.emit_smt2 {
        write_queries(folder, &verified.queries)?;
    }
    if let Some(path) = &args.write_baseline {
        write_file(path, &baseline::write(&verified.findings))?;
    }
    let known = match &args.baseline {
        Some(path) => Some(Baseline::read(path).map_err(|error| Failure::Usage(error.to_string()))?),
        None => None,
    };
    let (mut fixes, mut patch, mut untried) = (Vec::new(), String::new(), 0);
    if args.fix || args.suggest {
        let repair = repaired(args, &project, &verified, &choice, known.as_ref())?;
        (fixes, patch, untried) = (repair.fixes, repair.patch, repair.untried);
        if let Some(mended) = repair.mended.filter(|_| args.fix) {
            (project, verified) = mended;
        }
    }
    let mut in_baseline = known.map(|known| known.leave_out(&mut verified.findings));
    if let Some(since) = &since {
        let before = verify(since, &Choice { bases: BTreeMap::new(), ..choice.clone() })?.findings;
        let total = verified.findings.len();
        verified.findings = without(verified.findings, &before);
        in_baseline = Some(total - verified.findings.len());
    }
    let verification = Verification {
        sources: &project.sources,
        mesh: &project.imported.mesh,
        path: project.paths.join(" "),
        findings: verified.findings,
        proofs: verified.proofs,
        assumptions: verified.assumptions,
        suppressed: verified.suppressed,
        in_baseline,
        repair: (args.fix || args.suggest).then_some(Repaired {
            fixes: &fixes,
            patch: &patch,
            untried,
            is_applied: args.fix,
        }),
        fail_on: args.fail_on.threshold(),
        seconds: (!args.no_timing).then(|| started.elapsed().as_secs_f64()),
    };
    if let Some(folder) = &args.witnesses {
        write_witnesses(folder, &verification)?;
    }
    let code = exit_code(args, &project, &verification);
    let formats = if args.format.is_empty() { &[Format::Full][..] } else { &args.format };
    let mut answer = Answer { code, outputs: Vec::new() };
    for (index, format) in formats.iter().enumerate() {
        let output = args.output.get(index);
        if output.is_some() || !args.quiet || code != HOLDS {
            let text = render(&verification, *format, args.color.wanted() && output.is_none());
            answer.outputs.push((output.cloned(), text));
        }
    }
    // What is complained about is no part of an answer.
    if let Some(entry) = entry.filter(|_| code != BAD_INPUT && project.faults.is_empty()) {
        entry.keep(&answer)?;
    }
    answer.give()
}

/// Whether nothing but the answer is asked for, and nothing but the texts and the command line decides it.
const fn is_kept(args: &Args) -> bool {
    !args.fix
        && !args.suggest
        && args.since.is_none()
        && args.witnesses.is_none()
        && args.emit_smt2.is_none()
        && args.write_baseline.is_none()
}

/// Where the answer to this question is kept; `None`: it depends on more than what was read.
fn entry(args: &Args, folder: &str, gathered: &Gathered) -> Option<Entry> {
    if !gathered.is_whole() || !Intents::read(gathered.sources()).references().is_empty() {
        return None;
    }
    let baseline = args.baseline.as_ref().map(|path| crate::project::read_text(path)).transpose().ok()?;
    let question = format!("{args:?} {} {}", super::today(), args.color.wanted());
    let texts = gathered.texts().map(|(what, path, text)| [what.to_owned(), path, text.to_owned()]);
    let more = [["question".to_owned(), question, baseline.unwrap_or_default()]];
    Entry::new(folder, more.into_iter().chain(texts))
}

/// What mends findings that the baseline does not hold; with `--fix` it is written.
fn repaired(
    args: &Args,
    project: &Project,
    verified: &Verified,
    choice: &Choice,
    known: Option<&Baseline>,
) -> Result<Repair, Failure> {
    let mut wanted = verified.findings.clone();
    known.map(|known| known.leave_out(&mut wanted));
    let wanted: BTreeSet<String> = wanted.iter().map(fingerprint).collect();
    let repair = repair(project, verified, choice, |finding| wanted.contains(&fingerprint(finding)));
    if let Some((after, _)) = repair.mended.as_ref().filter(|_| args.fix) {
        fix::write(project, after)?;
    }
    Ok(repair)
}

/// Meshes that intents compare this one with; what cannot be read is told, and the intent is not decided.
fn bases(args: &Args, project: &Project, since: Option<&Project>) -> BTreeMap<String, Arc<Mesh>> {
    let mut bases = BTreeMap::new();
    for reference in Intents::read(&project.sources).references() {
        let read = match reference.strip_prefix("git:") {
            Some(_) => revision(args, &reference),
            None => args.input.read(std::slice::from_ref(&reference)).map_err(Failure::from),
        };
        match read {
            Ok(read) => {
                bases.insert(reference, Arc::new(read.imported.mesh));
            }
            Err(error) => complain(&error.to_string()),
        }
    }
    bases.extend(since.map(|since| (VerifyOptions::SINCE.to_owned(), Arc::new(since.imported.mesh.clone()))));
    bases
}

/// The folder that is judged, as it was.
fn revision(args: &Args, since: &str) -> Result<Project, Failure> {
    let Some(revision) = since.strip_prefix("git:") else {
        return Err(Failure::Usage(format!("`--since` is a revision such as `git:main`, and not `{since}`")));
    };
    // Intents are today's, whatever the revision held.
    let paths: Vec<&String> = args.paths.iter().filter(|path| !path.ends_with(".intent")).collect();
    let folder = match paths.as_slice() {
        [] => ".",
        [one] if *one != "-" => one,
        _ => return Err(Failure::Usage(format!("`{since}` needs a single folder, beside files of intents"))),
    };
    Ok(args.input.read_revision(folder, revision)?)
}

/// Whether some rule's code begins so.
fn names_a_rule(code: &str) -> bool {
    !code.is_empty() && RULES.iter().any(|rule| rule.code.starts_with(code))
}

fn exit_code(args: &Args, project: &Project, verification: &Verification<'_>) -> u8 {
    let refused = verification.findings.iter().any(|finding| finding.rule.code == UNREADABLE_INTENT.code);
    if project.imported.unreadable || !project.faults.is_empty() || refused {
        return BAD_INPUT;
    }
    match verification.verdict() {
        Verdict::Violated if args.fail_on != FailOn::Never => VIOLATED,
        Verdict::Unknown if !args.allow_unknown => UNDECIDED,
        Verdict::Vacuous if !args.allow_vacuous => VACUOUS,
        _ => HOLDS,
    }
}

/// One file for each query, by number.
fn write_queries(folder: &str, queries: &[String]) -> Result<(), Failure> {
    make_folder(folder)?;
    for (number, script) in queries.iter().enumerate() {
        write_file(&format!("{folder}/{number:05}.smt2"), script)?;
    }
    Ok(())
}

fn write_witnesses(folder: &str, verification: &Verification<'_>) -> Result<(), Failure> {
    make_folder(folder)?;
    for (finding, name) in verification.findings.iter().zip(witness_names(&verification.findings)) {
        let Some(witness) = &finding.witness else { continue };
        if let (Some(scenario), Some(name)) = (&witness.scenario, name) {
            let scenario = Scenario { shows: witness.expectation.clone(), ..scenario.clone() };
            let text = meshproof_model::write_scenario(&scenario).map_err(|error| Failure::Usage(error.to_string()))?;
            write_file(
                &format!("{folder}/{name}"),
                &format!("// Replays {}: {}\n{text}", finding.rule.code, finding.message),
            )?;
        }
    }
    Ok(())
}
