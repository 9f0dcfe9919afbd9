//! How many requests wait, by workload and over time.

use crate::measure::BIN;

/// The queues of all workloads, replicas added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queues {
    /// Requests that wait, by workload.
    pub(crate) waiting: Vec<u32>,
    /// By workload and bin: the last length of the queue, [`UNCHANGED`] where nothing changed.
    series: Vec<Vec<u32>>,
}

const UNCHANGED: u32 = u32::MAX;

impl Queues {
    /// Nobody waits. With no bins, nothing is kept over time.
    pub(crate) fn new(workloads: usize, bins: usize) -> Self {
        let kept = if bins > 0 { workloads } else { 0 };
        Self { waiting: vec![0; workloads], series: vec![vec![UNCHANGED; bins]; kept] }
    }

    /// One more waits, or one less; gives how many wait now.
    pub(crate) fn change(&mut self, now: u64, horizon: u64, workload: u32, by: i32) -> u32 {
        let waiting = &mut self.waiting[workload as usize];
        *waiting = waiting.saturating_add_signed(by);
        if now < horizon
            && let Some(bin) =
                self.series.get_mut(workload as usize).and_then(|bins| bins.get_mut((now / BIN) as usize))
        {
            *bin = *waiting;
        }
        *waiting
    }

    /// How many waited at the end of each bin; empty where it was not kept.
    pub(crate) fn lengths(&self, workload: usize) -> Vec<u32> {
        let mut last = 0;
        let bins = self.series.get(workload).into_iter().flatten();
        bins.map(|length| {
            last = if *length == UNCHANGED { last } else { *length };
            last
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_keeps_its_length_until_it_changes() {
        let mut queues = Queues::new(2, 5);
        let horizon = 5 * BIN;
        for (at, by) in [(0, 1), (BIN / 2, 1), (2 * BIN, 1), (2 * BIN + 5, -1), (3 * BIN, -1), (horizon, -1)] {
            queues.change(at, horizon, 1, by);
        }
        assert_eq!(queues.lengths(1), [2, 2, 2, 1, 1]);
        assert_eq!(queues.lengths(0), [0; 5]);
        assert_eq!(queues.waiting, [0, 0]);
    }
}
