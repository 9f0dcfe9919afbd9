//! When a mesh is well again after a fault.
//!
//! A client is served again from the first of [`STEADY`] requests in a row that are answered well by their first try;
//! a workload has worked off what a fault left behind when nobody waits in its queues.

use crate::plan::Plan;

/// So many good first tries in a row are no luck.
pub(crate) const STEADY: u32 = 100;

/// What is known after the end of one fault.
#[derive(Clone, Debug)]
pub(crate) struct AfterFault {
    /// None of the workloads if it hit none.
    workload: u32,
    /// When the fault ended; `None`: not yet.
    pub(crate) ended: Option<u64>,
    /// When nobody waited in the workload that the fault hit.
    pub(crate) emptied: Option<u64>,
    /// By client: when it was served again.
    pub(crate) served: Vec<Option<u64>>,
}

/// The good first tries in a row of a client.
#[derive(Clone, Copy, Debug, Default)]
struct Streak {
    length: u32,
    began: u64,
}

/// Watches clients and queues after faults.
#[derive(Clone, Debug)]
pub(crate) struct Recovery {
    pub(crate) faults: Vec<AfterFault>,
    streaks: Vec<Streak>,
    /// By client: faults that have ended and after which it has not been served again.
    open: Vec<u32>,
    /// Faults that have ended and whose queues have not been empty since.
    full: u32,
}

impl Recovery {
    pub(crate) fn new(plan: &Plan) -> Self {
        let clients = plan.clients.len();
        let after = |fault: &crate::plan::Fault| AfterFault {
            workload: fault.hits.workload().unwrap_or(u32::MAX),
            ended: None,
            emptied: None,
            served: vec![None; clients],
        };
        Self {
            faults: plan.faults.iter().map(after).collect(),
            streaks: vec![Streak::default(); clients],
            open: vec![0; clients],
            full: 0,
        }
    }

    /// A fault has ended; so many wait in each workload.
    pub(crate) fn begin(&mut self, now: u64, fault: u32, waiting: &[u32]) {
        let Some(after) = self.faults.get_mut(fault as usize) else { return };
        after.ended = Some(now);
        if waiting.get(after.workload as usize).is_none_or(|waiting| *waiting == 0) {
            after.emptied = Some(now);
        } else {
            self.full += 1;
        }
        self.open.iter_mut().for_each(|open| *open += 1);
        self.streaks.fill(Streak::default());
    }

    /// A client's request has ended.
    pub(crate) fn client(&mut self, now: u64, client: u32, at_once: bool) {
        let client = client as usize;
        if self.open[client] == 0 {
            return;
        }
        let streak = &mut self.streaks[client];
        if !at_once {
            *streak = Streak::default();
            return;
        }
        if streak.length == 0 {
            streak.began = now;
        }
        streak.length += 1;
        if streak.length < STEADY {
            return;
        }
        let began = streak.began;
        for after in self.faults.iter_mut().filter(|after| after.ended.is_some()) {
            after.served[client].get_or_insert(began);
        }
        self.open[client] = 0;
    }

    /// Nobody waits in a workload any more.
    pub(crate) fn emptied(&mut self, now: u64, workload: u32) {
        if self.full == 0 {
            return;
        }
        for after in &mut self.faults {
            if after.ended.is_some() && after.workload == workload && after.emptied.is_none() {
                after.emptied = Some(now);
                self.full -= 1;
            }
        }
    }
}
