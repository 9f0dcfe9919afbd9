//! A release that a scenario starts: what a controller of the manifests does with a new version, and what becomes of
//! the mesh on the way (`AR-1` to `AR-6`, `FL-1` to `FL-4`).

mod argo;
mod flagger;

use indexmap::IndexMap;

use super::{AnalysisMetric, Condition, Query};
use crate::{Located, Mesh, Nanos, RolloutStep, Scenario, Workload, WorkloadBehaviour, WorkloadId, did_you_mean};

/// A release that a scenario starts.
#[derive(Clone, Debug)]
pub struct Release {
    /// The Rollout or Canary, as `namespace/name`.
    pub name: String,
    /// When the new version comes.
    pub at: Nanos,
    /// How often Prometheus reads the proxies' counters.
    pub scrape: Nanos,
    /// When somebody lets it go on that waits without a time.
    pub resume: Vec<Nanos>,
    /// What its controller does.
    pub course: Course,
    /// Pods of the old version, of the new one, and of what was promoted where these are others.
    pub workloads: Vec<WorkloadId>,
    /// What the metrics call pods whose workload has another name here.
    pub called: Vec<(WorkloadId, String)>,
    /// What the mesh can be on the way; the first is how it begins.
    pub stages: Vec<Stage>,
    /// Time until pods of the new version are ready.
    pub start_up: Nanos,
    /// Time until more pods of the old version are ready.
    pub old_start_up: Nanos,
    /// What is passed over, for people.
    pub warnings: Vec<String>,
    shares: Vec<Shares>,
}

/// What a controller does.
#[derive(Clone, Debug)]
pub enum Course {
    /// Argo Rollouts' steps.
    Steps(ArgoCourse),
    /// Flagger's clock.
    Ticks(FlaggerCourse),
}

/// The steps of a Rollout's canary.
#[derive(Clone, Debug)]
pub struct ArgoCourse {
    /// In order.
    pub steps: Vec<ReleaseStep>,
    /// The analysis beside the steps, and the step with which it begins.
    pub background: Option<(usize, Vec<Measured>)>,
    /// Whether pods of the old version go as those of the new one come.
    pub dynamic_stable_scale: bool,
}

/// One step.
#[derive(Clone, Debug)]
pub enum ReleaseStep {
    /// The new version gets so many percent.
    Weight(u32),
    /// It waits; without a time until somebody lets it go on.
    Pause(Option<Nanos>),
    /// It waits for an analysis.
    Analysis(Vec<Measured>),
}

/// A metric of an analysis, ready to be measured.
#[derive(Clone, Debug)]
pub struct Measured {
    /// Its limits.
    pub metric: AnalysisMetric,
    /// What it asks for.
    pub query: Query,
    /// `successCondition`.
    pub success: Option<Condition>,
    /// `failureCondition`.
    pub failure: Option<Condition>,
    /// It never decides.
    pub is_dry: bool,
}

/// The clock of a Canary.
#[derive(Clone, Debug)]
pub struct FlaggerCourse {
    /// Time between two ticks.
    pub interval: Nanos,
    /// Failed checks before it is rolled back.
    pub threshold: u32,
    /// Weights of the new version, in order.
    pub weights: Vec<u32>,
    /// Its weights on the way back to the primary, the last is 0.
    pub promotion: Vec<u32>,
    /// `skipAnalysis`.
    pub skip_analysis: bool,
    /// What is checked, in order.
    pub checks: Vec<Check>,
}

/// A check of a Canary.
#[derive(Clone, Debug)]
pub struct Check {
    /// The metric's name.
    pub name: String,
    /// What it asks for.
    pub query: Query,
    /// The least that is good.
    pub min: Option<f64>,
    /// The most that is good.
    pub max: Option<f64>,
    /// Whether it is counted in whole milliseconds, as `request-duration` is.
    pub is_whole: bool,
}

/// What the mesh is at one point of a release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What the new version gets, in percent.
    pub weight: u32,
    /// Whether the primary runs the new version (Flagger).
    pub is_promoted: bool,
    /// Pods, by [`Release::workloads`].
    pub pods: Vec<u32>,
}

/// A VirtualService whose weights are set, with the names of its two destinations.
#[derive(Clone, Debug)]
struct Shares {
    route: String,
    old: String,
    new: String,
}

impl Release {
    /// The stage at a weight; `None`: it never has that weight.
    pub fn stage(&self, weight: u32, is_promoted: bool) -> Option<usize> {
        self.stages.iter().position(|stage| stage.weight == weight && stage.is_promoted == is_promoted)
    }

    /// What the old and the new version are called in its routes.
    pub fn destinations(&self) -> [&str; 2] {
        self.shares.first().map_or(["stable", "canary"], |shares| [shares.old.as_str(), shares.new.as_str()])
    }

    /// Every query that it asks.
    pub fn queries(&self) -> Vec<&Query> {
        match &self.course {
            Course::Steps(course) => {
                let inline = course.steps.iter().flat_map(|step| match step {
                    ReleaseStep::Analysis(metrics) => metrics.as_slice(),
                    ReleaseStep::Weight(_) | ReleaseStep::Pause(_) => &[],
                });
                let beside = course.background.iter().flat_map(|(_, metrics)| metrics);
                inline.chain(beside).map(|measured| &measured.query).collect()
            }
            Course::Ticks(course) => course.checks.iter().map(|check| &check.query).collect(),
        }
    }
}

impl Mesh {
    /// Names of what a scenario can release, as `namespace/name`: Rollouts, then Canaries.
    pub fn releasable(&self) -> Vec<String> {
        let metas = self.delivery.rollouts.iter().map(|rollout| &rollout.meta);
        let metas = metas.chain(self.delivery.canaries.iter().map(|canary| &canary.meta));
        metas.map(|meta| format!("{}/{}", meta.namespace(), meta.name())).collect()
    }

    /// The mesh with the pods of the new versions that a scenario releases, as many as there can be on the way, and the
    /// releases; `None`: it releases nothing.
    ///
    /// # Errors
    /// Which steps of the rollout cannot be, with the reason.
    pub fn with_releases(&self, scenario: &Scenario) -> Result<Option<(Self, Vec<Release>)>, Vec<(usize, String)>> {
        let is_release = |step: &RolloutStep| matches!(step, RolloutStep::Release { .. });
        if !scenario.rollout.iter().any(is_release) {
            return Ok(None);
        }
        let (mut mesh, mut releases, mut errors) = (self.clone(), Vec::<Release>::new(), Vec::new());
        for (number, step) in scenario.rollout.iter().enumerate() {
            let RolloutStep::Release { of, .. } = step else {
                errors.push((number, "beside a release there are no other changes of the configuration".to_owned()));
                continue;
            };
            if releases.iter().any(|release| release.name == *of) {
                errors.push((number, format!("`{of}` is released twice")));
                continue;
            }
            match mesh.release(step) {
                Ok(release) => releases.push(release),
                Err(message) => errors.push((number, message)),
            }
        }
        mesh.pod_blocks = mesh.workloads.iter().map(|workload| workload.replicas.value).collect();
        if errors.is_empty() { Ok(Some((mesh, releases))) } else { Err(errors) }
    }

    /// The mesh at one point of each of its releases.
    #[must_use]
    pub fn at_stages(&self, releases: &[Release], stages: &[usize]) -> Self {
        let mut mesh = self.clone();
        for (release, stage) in releases.iter().zip(stages) {
            let Some(stage) = release.stages.get(*stage) else { continue };
            for (workload, pods) in release.workloads.iter().zip(&stage.pods) {
                mesh.workloads[workload.index()].replicas.value = *pods;
            }
            for shares in &release.shares {
                let weights =
                    IndexMap::from([(shares.old.clone(), 100 - stage.weight), (shares.new.clone(), stage.weight)]);
                // Where the release was made it was tried on this route.
                if let Ok(next) = mesh.with_weights(&shares.route, &weights) {
                    mesh = next;
                }
            }
        }
        mesh
    }

    fn release(&mut self, step: &RolloutStep) -> Result<Release, String> {
        let RolloutStep::Release { of, at, build, resume, scrape } = step else { return Err(String::new()) };
        if scrape.is_zero() {
            return Err("the time between two scrapes is above zero".to_owned());
        }
        let is_named = |meta: &crate::Meta| format!("{}/{}", meta.namespace(), meta.name()) == *of;
        let rollout = self.delivery.rollouts.iter().find(|rollout| is_named(&rollout.meta)).cloned();
        let canary = self.delivery.canaries.iter().find(|canary| is_named(&canary.meta)).cloned();
        let release = Release {
            name: of.clone(),
            at: *at,
            scrape: *scrape,
            resume: resume.clone(),
            course: Course::Steps(ArgoCourse { steps: Vec::new(), background: None, dynamic_stable_scale: false }),
            workloads: Vec::new(),
            called: Vec::new(),
            stages: Vec::new(),
            start_up: Nanos::ZERO,
            old_start_up: Nanos::ZERO,
            warnings: Vec::new(),
            shares: Vec::new(),
        };
        let mut release = match (rollout, canary) {
            (Some(rollout), _) => argo::release(self, &rollout, build, release)?,
            (None, Some(canary)) => flagger::release(self, &canary, build, release)?,
            (None, None) => {
                let known = self.releasable();
                let hint = did_you_mean(of, known.iter().map(String::as_str))
                    .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
                return Err(format!("there is no Rollout and no Canary `{of}`{hint}"));
            }
        };
        let start_up = |mesh: &Self, number: usize| {
            let behaviour = mesh.behaviour.workloads.get(&mesh.workload(release.workloads[number]).full_name());
            behaviour.map_or_else(|| WorkloadBehaviour::default().start_up, |behaviour| behaviour.start_up)
        };
        (release.old_start_up, release.start_up) = (start_up(self, 0), start_up(self, 1));
        Ok(release)
    }

    /// Adds a workload that differs from another one in its name, its labels and what `build` says, and gives its id.
    fn add_version(
        &mut self,
        like: WorkloadId,
        name: String,
        labels: impl IntoIterator<Item = (String, String)>,
    ) -> Result<WorkloadId, String> {
        let mut workload: Workload = self.workload(like).clone();
        if self.find_workload(workload.meta.namespace(), &name).is_some() {
            return Err(format!("the pods of the new version would be called `{name}`, which is taken"));
        }
        workload.meta.resource.name = name;
        workload.labels.extend(labels);
        let id = WorkloadId(u32::try_from(self.workloads.len()).unwrap_or(u32::MAX));
        self.workloads.push(workload);
        let inferred: Vec<_> = self.inferred_calls.iter().filter(|call| call.from == like).cloned().collect();
        self.inferred_calls.extend(inferred.into_iter().map(|call| crate::InferredCall { from: id, ..call }));
        Ok(id)
    }

    /// Gives a workload the behaviour of another one, changed by a build.
    fn behave_as(&mut self, workload: WorkloadId, like: &str, build: &crate::Build) {
        let name = self.workload(workload).full_name();
        let known = self.behaviour.workloads.get(like).cloned();
        if known.is_none() && build.is_same() {
            return;
        }
        let mut behaviour = known.unwrap_or_else(|| WorkloadBehaviour {
            // A workload that is described makes the calls of its description only.
            calls: self.described_calls(workload),
            ..WorkloadBehaviour::default()
        });
        build.change(&mut behaviour);
        self.behaviour.workloads.insert(name, behaviour);
    }

    /// What the manifests suggest that a workload calls, as `mesh.ron` would write it.
    fn described_calls(&self, workload: WorkloadId) -> Vec<Vec<crate::CallBehaviour>> {
        let own = self.inferred_calls.iter().filter(|call| call.from == workload);
        let described = own.map(|call| {
            vec![crate::CallBehaviour {
                to: format!("{}:{}", self.service(call.to).full_name(), call.port),
                method: crate::behaviour::get(),
                path: "/".to_owned(),
                host: None,
                headers: IndexMap::new(),
                body: crate::Bytes::new(0),
                optional: false,
                times: crate::behaviour::one(),
                share: crate::behaviour::always(),
            }]
        });
        described.collect()
    }

    /// Sets how many pods a workload has.
    fn set_pods(&mut self, workload: WorkloadId, pods: u32) {
        let replicas = &mut self.workloads[workload.index()].replicas;
        *replicas = Located::new(pods, replicas.at.clone());
    }
}

/// A text with its `{{ variable }}` replaced.
fn filled(text: &str, value: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    let mut filled = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("{{") {
        let (variable, after) = after.split_once("}}").ok_or("`{{` is not closed")?;
        let variable = variable.trim();
        filled.push_str(before);
        filled
            .push_str(&value(variable).ok_or_else(|| format!("`{{{{ {variable} }}}}` has no value that a run knows"))?);
        rest = after;
    }
    filled.push_str(rest);
    Ok(filled)
}
