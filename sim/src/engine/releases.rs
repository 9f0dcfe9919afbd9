//! Releases: waking their controllers, doing what they decide, counting what they ask for.

use std::sync::Arc;

use meshproof_model::delivery::Release;

use super::{Engine, Event, NONE};
use crate::{
    delivery::{Controller, Counters, Decision, Record, Side},
    plan::{Change, Target},
};

/// A release in a run.
#[derive(Clone, Debug)]
pub(super) struct Delivery<'p> {
    controller: Controller<'p>,
    counters: Counters,
    stage: usize,
    /// When the controller is woken next.
    due: Option<u64>,
    /// Since when the new version has requests.
    exposed_since: Option<u64>,
    record: Record,
}

impl<'p> Delivery<'p> {
    pub(super) fn new(release: &'p Release) -> Self {
        Self {
            controller: Controller::new(release),
            counters: Counters::new(release.scrape),
            stage: 0,
            due: Some(release.at.get()),
            exposed_since: None,
            record: Record::default(),
        }
    }

    /// What has become of it at the end of the run.
    pub(super) fn finish(mut self, horizon: u64) -> Record {
        if self.record.end.is_none() {
            self.record.exposed += self.exposed_since.map_or(0, |since| horizon.saturating_sub(since));
        }
        self.record
    }

    /// Notes a decision.
    fn note(&mut self, now: u64, decision: &mut Decision, is_exposed: bool) {
        self.record.entries.append(&mut decision.entries);
        let is_over = decision.end.is_some();
        match self.exposed_since {
            Some(since) if is_over || !is_exposed => {
                self.record.exposed += now - since;
                self.exposed_since = None;
            }
            None if is_exposed && !is_over => self.exposed_since = Some(now),
            _ => {}
        }
        self.record.end = decision.end.map(|end| (end, now)).or(self.record.end);
    }
}

impl Engine<'_> {
    pub(super) fn start_releases(&mut self) {
        for (number, release) in (0..).zip(&self.plan.releases.all) {
            self.queue.push(release.at.get(), Event::Release { release: number });
        }
    }

    /// A controller wakes.
    pub(super) fn on_release(&mut self, number: u32) -> bool {
        let (plan, now) = (self.plan, self.now);
        let release = &plan.releases.all[number as usize];
        let entry = &mut self.releases[number as usize];
        if entry.due != Some(now) || now > plan.horizon {
            return false;
        }
        let counters = &entry.counters;
        let mut decision = entry.controller.wake(now, &mut |query| counters.answer(&plan.releases.names, now, query));
        let stage = decision.shift.and_then(|(weight, is_promoted)| release.stage(weight, is_promoted));
        let next = stage.unwrap_or(entry.stage);
        let before = std::mem::replace(&mut entry.stage, next);
        let weight = release.stages[next].weight;
        entry.record.weight_max = entry.record.weight_max.max(weight);
        entry.note(now, &mut decision, weight > 0);
        entry.due = decision.next.filter(|next| *next <= plan.horizon);
        if let Some(due) = entry.due {
            self.queue.push(due, Event::Release { release: number });
        }
        if before != next {
            self.shift(number, before);
        }
        true
    }

    /// The mesh goes from one stage of a release to the present one: proxies hear of it, and new pods are cold.
    fn shift(&mut self, number: u32, before: usize) {
        let releases = &self.plan.releases;
        let release = &releases.all[number as usize];
        let mut stages: Vec<usize> = self.releases.iter().map(|release| release.stage).collect();
        let now = &releases.states[releases.state(&stages)];
        let next = &release.stages[stages[number as usize]];
        stages[number as usize] = before;
        let was = &releases.states[releases.state(&stages)];
        let differing = (0..).zip(now.iter().zip(was)).filter(|(_, (now, was))| !Arc::ptr_eq(now, was));
        let specs = differing.map(|(index, (now, _))| (index, Arc::clone(now))).collect();
        let before = &release.stages[before];
        for (place, workload) in release.workloads.iter().enumerate() {
            let first = self.plan.workloads[workload.index()].first_node;
            // Flagger's canary has all its pods before it has requests.
            let had = if place == 1 && before.weight == 0 { 0 } else { before.pods[place] };
            for node in first + had..first + next.pods[place].max(had) {
                let entry = &mut self.nodes[node as usize];
                (entry.started, entry.cached) = (Some(self.now), 0);
            }
        }
        let change = (self.plan.changes.len() + self.issued.len()) as u32;
        self.issued.push(Change { at: self.now, specs, weights: Vec::new(), reason: String::new() });
        self.on_change(change);
    }

    /// A request that came to a server has ended there.
    pub(super) fn count_at_server(&mut self, target: Target, service: u32, status: u16, since: u64) {
        if self.releases.is_empty() {
            return;
        }
        if let Some(node) = target.node() {
            let workload = self.plan.nodes[node as usize].workload;
            self.count(Side::Destination, (workload, service), status, since);
        }
    }

    /// A proxy counts a request that has ended.
    pub(super) fn count(&mut self, side: Side, ends: (u32, u32), status: u16, since: u64) {
        if self.releases.is_empty() || ends.0 == NONE || ends.1 == NONE {
            return;
        }
        for release in self.plan.releases.watchers(ends.0) {
            let counters = &mut self.releases[*release as usize].counters;
            counters.record(self.now, side, ends, status, self.now.saturating_sub(since));
        }
    }
}
