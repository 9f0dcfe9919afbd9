//! What `verify` gives: findings, proofs, what they rest on, and bounds that every simulated run must keep.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{Bounds, Finding, Mesh, Nanos, Rule, Subject, Value};
use serde::Serialize;

use crate::{Assumption, Intents};

/// What is judged, and how far.
#[derive(Clone, Debug)]
pub struct VerifyOptions {
    /// Numbers above which something is a finding.
    pub limits: Limits,
    /// Steps that Z3 may take for one query (Z3: `rlimit`). A query that needs more is undecided, never a pass.
    pub rlimit: u32,
    /// Threads; 0: as many as there are processors. The report is the same for any number.
    pub threads: usize,
    /// Codes to judge; `None`: all.
    pub select: Option<Vec<String>>,
    /// Users' own properties.
    pub intents: Intents,
    /// Requests per second of each client at the most, in thousandths, as scenarios say.
    pub demand: BTreeMap<String, u64>,
    /// The tightest latency that scenarios want of each client, at any quantile.
    pub objectives: BTreeMap<String, Nanos>,
    /// The longest outage of the control plane that scenarios have.
    pub outage: Option<Nanos>,
    /// Other meshes that intents name, by what they call them; [`VerifyOptions::SINCE`] is what objects change from.
    pub bases: BTreeMap<String, Arc<Mesh>>,
    /// Whether the queries that are put to Z3 on certificates are kept as SMT-LIB.
    pub keep_queries: bool,
    /// Whether a second engine decides every verdict again, those too that have an example or a certificate.
    pub paranoid: bool,
}

impl Default for VerifyOptions {
    /// Every rule, the default limits, 10 million steps.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            rlimit: 10_000_000,
            threads: 0,
            select: None,
            intents: Intents::default(),
            demand: BTreeMap::new(),
            objectives: BTreeMap::new(),
            outage: None,
            bases: BTreeMap::new(),
            keep_queries: false,
            paranoid: false,
        }
    }
}

impl VerifyOptions {
    /// The name under which [`VerifyOptions::bases`] holds the mesh that objects change from.
    pub const SINCE: &'static str = "--since";

    /// Whether a rule is judged.
    pub(crate) fn selects(&self, rule: &Rule) -> bool {
        self.select.as_ref().is_none_or(|codes| codes.iter().any(|code| code == rule.code))
    }
}

/// Numbers above which something is a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Requests at a service for one request at the entry (`MP0401`).
    pub retry_amplification: u64,
}

impl Default for Limits {
    /// 4 requests.
    fn default() -> Self {
        Self { retry_amplification: 4 }
    }
}

/// What was proved, refuted and left open.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// By file, line, column and code; those without a place come last.
    pub findings: Vec<Finding>,
    /// By code, then subject.
    pub proofs: Vec<Proof>,
    /// What the proofs rest on, by id; only those that some proof names.
    pub assumptions: Vec<Assumption>,
    /// Two engines that disagree: bugs of this program, never verdicts (exit code 70).
    pub disagreements: Vec<String>,
    /// What was asked of Z3 about certificates, as SMT-LIB, where it was wanted; all must be unsatisfiable unless a
    /// finding says so.
    pub queries: Vec<String>,
    /// What no simulated run may exceed.
    pub bounds: Bounds,
    /// The solver that re-checked.
    pub z3_version: String,
}

/// A property that holds for one subject.
#[derive(Clone, Debug, PartialEq)]
pub struct Proof {
    /// What holds is that this pattern is absent.
    pub rule: &'static Rule,
    /// What it is about.
    pub subject: Subject,
    /// The numbers of the verdict, with units in the keys.
    pub values: BTreeMap<&'static str, Value>,
    /// What it rests on: ids of [`Assumption`]s.
    pub assumptions: Vec<&'static str>,
    /// What decided it.
    pub engine: Engine,
    /// What checked it again.
    pub checked_by: Option<Engine>,
}

/// What decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Engine {
    /// A formula or a fixpoint in exact integers.
    Fixpoint,
    /// A product of automata.
    Dfa,
    /// An example that was found and evaluated.
    Sat,
    /// Z3.
    Z3,
}

impl Engine {
    /// As the JSON report names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Fixpoint => "fixpoint",
            Self::Dfa => "dfa",
            Self::Sat => "sat",
            Self::Z3 => "z3",
        }
    }
}

impl Proof {
    /// A pattern is absent for a subject.
    pub(crate) fn new(rule: &'static Rule, subject: Subject, engine: Engine, checked_by: Option<Engine>) -> Self {
        Self { rule, subject, values: BTreeMap::new(), assumptions: Vec::new(), engine, checked_by }
    }

    /// The same with a number; its key ends in the unit.
    pub(crate) fn value(mut self, key: &'static str, value: impl Into<Value>) -> Self {
        self.values.insert(key, value.into());
        self
    }

    /// The same resting on these, which may be given in any order.
    pub(crate) fn assuming(mut self, assumptions: impl IntoIterator<Item = &'static str>) -> Self {
        self.assumptions.extend(assumptions);
        self.assumptions.sort_by_key(|id| crate::assumption::ALL.iter().position(|known| known.id == *id));
        self.assumptions.dedup();
        self
    }
}

impl Report {
    /// Puts everything into its order, and keeps the assumptions that are used.
    pub(crate) fn finish(&mut self) {
        self.findings.sort_by(|a, b| order(a).cmp(&order(b)));
        self.proofs.sort_by_cached_key(|proof| (proof.rule.code, proof.subject.to_string()));
        self.assumptions = crate::assumption::ALL
            .iter()
            .filter(|assumption| self.proofs.iter().any(|proof| proof.assumptions.contains(&assumption.id)))
            .copied()
            .collect();
        self.disagreements.sort();
    }

    /// Takes over what another part found.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.findings.extend(other.findings);
        self.proofs.extend(other.proofs);
        self.disagreements.extend(other.disagreements);
        self.bounds.requests.extend(other.bounds.requests);
        self.bounds.connects.extend(other.bounds.connects);
        self.bounds.encrypted.extend(other.bounds.encrypted);
    }
}

fn order(finding: &Finding) -> impl Ord + use<'_> {
    let place = finding.location.as_ref().map(|at| (at.file, at.line, at.column));
    (place.is_none(), place, finding.rule.code, finding.subject.to_string(), finding.message.as_str())
}
