//! Figures of one run, in integers: counts, and lengths of time in histograms. Floats come in the report.

use meshproof_proxy::{Note, ResponseFlags, StreamEnd};

use crate::{
    engine::{NONE, Node, Side, is_ok},
    histogram::Histogram,
    plan::{Link, Plan},
    queues::Queues,
    recovery::Recovery,
};

/// The width of a bin of the timeline, in nanoseconds.
pub(crate) const BIN: u64 = 1_000_000_000;
/// BOUND: with more services or workloads, the timeline leaves them out.
const SERVICES_ON_TIMELINE: usize = 64;
/// Numbers of requests in a replica that are told apart; the last one stands for all greater ones.
pub(crate) const JOBS: usize = meshproof_model::Figure::JOBS_MAX as usize + 1;

/// Figures of one client.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClientTally {
    pub(crate) ok: u64,
    pub(crate) failed: u64,
    /// Of those that were answered well: by the first try.
    pub(crate) first_try_ok: u64,
    /// Tries, the first of each request included.
    pub(crate) tries: u64,
    /// Time between tries.
    pub(crate) back_off_nanos: u128,
    pub(crate) latency: Histogram,
}

/// Figures of one service, as those see it who call it.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServiceTally {
    pub(crate) requests: u64,
    pub(crate) ok: u64,
    pub(crate) attempts: u64,
    pub(crate) retries: u64,
    pub(crate) responses: Vec<(u16, u64)>,
    /// By bit of [`ResponseFlags`].
    pub(crate) flags: Vec<(&'static str, u64)>,
    pub(crate) latency: Histogram,
    pub(crate) retry_overflow: u64,
    pub(crate) breaker_overflow: u64,
    pub(crate) ejections: u64,
    /// Connections that clients' proxies tried to open.
    pub(crate) connects: u64,
    /// The most connections that one client's proxy had at a time.
    pub(crate) connections: u32,
}

/// Figures of one caller and service.
#[derive(Clone, Debug, Default)]
pub(crate) struct EdgeTally {
    pub(crate) requests: u64,
    pub(crate) attempts: u64,
    /// Attempts over mutual TLS.
    pub(crate) encrypted: u64,
    /// The longest call, those of the warm-up included.
    pub(crate) longest: u64,
    /// Attempts by the workload that they went to.
    pub(crate) targets: Vec<(u32, u64)>,
}

/// Figures of one workload.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct WorkloadTally {
    pub(crate) busy_nanos: u128,
    pub(crate) queue_max: u32,
    /// Requests that came, and those of them that had to wait.
    pub(crate) arrived: u64,
    pub(crate) queued: u64,
    /// Time in the queue, that of requests that left it included.
    pub(crate) wait_nanos: u128,
    /// Time of a replica with so many requests, over all replicas.
    pub(crate) jobs_nanos: [u128; JOBS],
}

/// Figures of one queue of messages.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageTally {
    pub(crate) published: u64,
    /// Messages that found no room.
    pub(crate) refused: u64,
    /// Messages that were taken, each time counted.
    pub(crate) received: u64,
    pub(crate) done: u64,
    /// Messages that were put aside.
    pub(crate) dead: u64,
    pub(crate) depth_max: u64,
    /// From a message's sending until it is done.
    pub(crate) latency: Histogram,
}

/// One bin of the timeline.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bin {
    pub(crate) requests: u32,
    pub(crate) ok: u32,
    /// Of a client: answered well by the first try.
    pub(crate) first_try_ok: u32,
    pub(crate) attempts: u32,
    pub(crate) latency_micros: u64,
}

/// Figures over time: bins for the report, whole tallies where an objective must be judged over time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Series<T> {
    pub(crate) bins: Vec<Bin>,
    /// By part of the grid that [`Kept`] asks for.
    pub(crate) tallies: Vec<T>,
    grid: Grid,
}

/// An attempt that goes out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    /// When its stream began.
    pub(crate) started: u64,
    pub(crate) service: u32,
    pub(crate) edge: u32,
    /// The workload that it goes to.
    pub(crate) target: Option<u32>,
    pub(crate) link: Link,
    pub(crate) is_retry: bool,
}

/// Figures of one run.
#[derive(Clone, Debug)]
pub(crate) struct Measure {
    warm_up: u64,
    horizon: u64,
    pub(crate) clients: Vec<ClientTally>,
    pub(crate) services: Vec<ServiceTally>,
    pub(crate) edges: Vec<EdgeTally>,
    pub(crate) workloads: Vec<WorkloadTally>,
    pub(crate) messages: Vec<MessageTally>,
    pub(crate) client_series: Vec<Series<ClientTally>>,
    pub(crate) service_series: Vec<Series<ServiceTally>>,
    pub(crate) queues: Queues,
    /// Pods that are ready.
    pub(crate) pods: Queues,
    pub(crate) recovery: Recovery,
    /// Requests that have begun and not ended.
    pub(crate) in_flight: u64,
    /// All requests of clients, those of the warm-up included.
    pub(crate) client_requests: u64,
    /// Those of them that were answered well by their first try.
    pub(crate) first_tries_ok: u64,
    /// What has become of each release.
    pub(crate) releases: Vec<crate::delivery::Record>,
}

/// Whose figures are kept over time, and how finely.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    pub(crate) clients: Vec<usize>,
    pub(crate) services: Vec<usize>,
    pub(crate) grid: Grid,
}

/// Parts of a run of equal length, in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Grid {
    pub(crate) from: u64,
    pub(crate) width: u64,
    pub(crate) count: usize,
}

impl Grid {
    fn part(&self, now: u64) -> Option<usize> {
        let part = usize::try_from(now.checked_sub(self.from)?.checked_div(self.width)?).ok()?;
        (part < self.count).then_some(part)
    }
}

impl Measure {
    pub(crate) fn new(plan: &Plan, kept: &Kept) -> Self {
        let count = usize::try_from(plan.horizon.div_ceil(BIN)).unwrap_or(usize::MAX);
        let all_services = plan.services.len() <= SERVICES_ON_TIMELINE;
        Self {
            warm_up: plan.warm_up,
            horizon: plan.horizon,
            clients: vec![ClientTally::default(); plan.clients.len()],
            services: vec![ServiceTally::default(); plan.services.len()],
            edges: vec![EdgeTally::default(); plan.edges.len()],
            workloads: vec![WorkloadTally::default(); plan.workloads.len()],
            messages: vec![MessageTally::default(); plan.queues.len()],
            client_series: (0..plan.clients.len())
                .map(|at| Series::new(count, true, kept.clients.contains(&at).then_some(kept.grid)))
                .collect(),
            service_series: (0..plan.services.len())
                .map(|at| Series::new(count, all_services, kept.services.contains(&at).then_some(kept.grid)))
                .collect(),
            queues: Queues::new(
                plan.workloads.len(),
                if plan.workloads.len() <= SERVICES_ON_TIMELINE { count } else { 0 },
            ),
            pods: Queues::new(plan.workloads.len(), if plan.pods.is_some() { count } else { 0 }),
            recovery: Recovery::new(plan),
            in_flight: 0,
            client_requests: 0,
            first_tries_ok: 0,
            releases: Vec::new(),
        }
    }

    /// Only how many requests end, and how: what is copied often must be small.
    pub(crate) fn none(plan: &Plan) -> Self {
        let mut none = Self::new(plan, &Kept::default());
        (none.warm_up, none.horizon, none.queues) = (u64::MAX, 0, Queues::new(plan.workloads.len(), 0));
        none.client_series.iter_mut().for_each(|series| *series = Series::default());
        none.service_series.iter_mut().for_each(|series| *series = Series::default());
        none
    }

    /// A client's request has ended after so many tries.
    pub(crate) fn client(&mut self, now: u64, client: u32, started: u64, ok: bool, tries: u32) {
        self.client_requests += 1;
        let latency = now - started;
        let at_once = ok && tries == 1;
        self.first_tries_ok += u64::from(at_once);
        if started >= self.warm_up {
            self.clients[client as usize].add(latency, ok, tries);
        }
        self.recovery.client(now, client, at_once);
        let series = &mut self.client_series[client as usize];
        if let Some(bin) = series.bin(now, self.horizon) {
            bin.requests += 1;
            bin.ok += u32::from(ok);
            bin.first_try_ok += u32::from(at_once);
            bin.latency_micros += latency / 1000;
        }
        if let Some(tally) = series.tally(now, self.horizon) {
            tally.add(latency, ok, tries);
        }
    }

    /// A client pauses before its next try.
    pub(crate) fn backs_off(&mut self, client: u32, started: u64, pause: u64) {
        if started >= self.warm_up {
            self.clients[client as usize].back_off_nanos += u128::from(pause);
        }
    }

    /// A request reaches a handler, and waits or does not.
    pub(crate) fn work(&mut self, now: u64, workload: u32, waits: bool) {
        if now >= self.warm_up {
            let tally = &mut self.workloads[workload as usize];
            tally.arrived += 1;
            tally.queued += u64::from(waits);
        }
        if waits {
            self.queues.change(now, self.horizon, workload, 1);
        }
    }

    /// A request that waited begins to be worked on, or leaves.
    pub(crate) fn waited(&mut self, workload: u32, arrived: u64, now: u64) {
        if arrived >= self.warm_up {
            self.workloads[workload as usize].wait_nanos += u128::from(now - arrived);
        }
        if self.queues.change(now, self.horizon, workload, -1) == 0 {
            self.recovery.emptied(now, workload);
        }
    }

    /// So many more pods of a workload are ready.
    pub(crate) fn ready(&mut self, now: u64, workload: u32, by: i32) {
        self.pods.change(now, self.horizon, workload, by);
    }

    /// A fault has ended.
    pub(crate) fn fault_over(&mut self, now: u64, fault: u32) {
        self.recovery.begin(now, fault, &self.queues.waiting);
    }

    /// A stream of a client's proxy has ended.
    pub(crate) fn stream(&mut self, now: u64, side: &Side, status: u16, flags: ResponseFlags, how: StreamEnd) {
        if side.service == NONE {
            return;
        }
        self.answer(now, side.started, side.service, side.edge, status, how);
        if flags.is_empty() {
            return;
        }
        let service = side.service as usize;
        if side.started >= self.warm_up {
            self.services[service].add_flags(flags);
        }
        if let Some(tally) = self.service_series[service].tally(now, self.horizon) {
            tally.add_flags(flags);
        }
    }

    /// A request to a service has ended for its caller.
    pub(crate) fn answer(&mut self, now: u64, started: u64, service: u32, edge: u32, status: u16, how: StreamEnd) {
        let ok = how == StreamEnd::Complete && is_ok(status);
        let latency = now - started;
        if let Some(edge) = self.edges.get_mut(edge as usize) {
            edge.longest = edge.longest.max(latency);
        }
        if started >= self.warm_up {
            self.services[service as usize].add(latency, status, ok);
            if let Some(edge) = self.edges.get_mut(edge as usize) {
                edge.requests += 1;
            }
        }
        let series = &mut self.service_series[service as usize];
        if let Some(bin) = series.bin(now, self.horizon) {
            bin.requests += 1;
            bin.ok += u32::from(ok);
            bin.latency_micros += latency / 1000;
        }
        if let Some(tally) = series.tally(now, self.horizon) {
            tally.add(latency, status, ok);
        }
    }

    /// An attempt goes out.
    pub(crate) fn attempt(&mut self, now: u64, sent: &Sent) {
        let Some(entry) = self.services.get_mut(sent.service as usize) else { return };
        let is_retry = sent.is_retry;
        if sent.started >= self.warm_up {
            entry.attempts += 1;
            entry.retries += u64::from(is_retry);
            if let Some(edge) = self.edges.get_mut(sent.edge as usize) {
                edge.attempts += 1;
                edge.encrypted += u64::from(matches!(sent.link, Link::Tls { is_mutual: true, .. }));
                if let Some(target) = sent.target {
                    count(&mut edge.targets, target, 1);
                }
            }
        }
        let series = &mut self.service_series[sent.service as usize];
        if let Some(bin) = series.bin(now, self.horizon) {
            bin.attempts += 1;
        }
        if let Some(tally) = series.tally(now, self.horizon) {
            tally.attempts += 1;
            tally.retries += u64::from(is_retry);
        }
    }

    /// One client's proxy has so many connections to a service.
    pub(crate) fn connection(&mut self, now: u64, service: u32, open: u32) {
        let warm = (now >= self.warm_up).then(|| &mut self.services[service as usize]);
        let tally = self.service_series[service as usize].tally(now, self.horizon);
        for tally in warm.into_iter().chain(tally) {
            tally.connects += 1;
            tally.connections = open.max(tally.connections);
        }
    }

    /// A client's proxy tells that something happened.
    pub(crate) fn note(&mut self, now: u64, service: u32, note: Note) {
        if now >= self.warm_up {
            self.services[service as usize].add_note(note);
        }
        if let Some(tally) = self.service_series[service as usize].tally(now, self.horizon) {
            tally.add_note(note);
        }
    }

    fn message_tally(&mut self, now: u64, queue: u32) -> Option<&mut MessageTally> {
        (self.warm_up..self.horizon).contains(&now).then(|| &mut self.messages[queue as usize])
    }

    /// A handler sends a message.
    pub(crate) fn published(&mut self, now: u64, queue: u32, is_refused: bool) {
        let Some(tally) = self.message_tally(now, queue) else { return };
        tally.published += u64::from(!is_refused);
        tally.refused += u64::from(is_refused);
    }

    /// So many messages wait.
    pub(crate) fn queue_depth(&mut self, now: u64, queue: u32, depth: u64) {
        if let Some(tally) = self.message_tally(now, queue) {
            tally.depth_max = tally.depth_max.max(depth);
        }
    }

    /// A consumer takes a message.
    pub(crate) fn received(&mut self, now: u64, queue: u32) {
        if let Some(tally) = self.message_tally(now, queue) {
            tally.received += 1;
        }
    }

    /// A message that was sent then is done.
    pub(crate) fn message_done(&mut self, now: u64, queue: u32, sent_at: u64) {
        if let Some(tally) = self.message_tally(now, queue) {
            tally.done += 1;
            tally.latency.record(now - sent_at);
        }
    }

    /// A message is put aside.
    pub(crate) fn buried(&mut self, now: u64, queue: u32) {
        if let Some(tally) = self.message_tally(now, queue) {
            tally.dead += 1;
        }
    }

    /// A replica's share of its workload's figures.
    pub(crate) fn workload(&mut self, workload: u32, node: &Node) {
        let tally = &mut self.workloads[workload as usize];
        tally.busy_nanos += node.busy_nanos;
        tally.queue_max = tally.queue_max.max(node.queue_max);
        for (sum, nanos) in tally.jobs_nanos.iter_mut().zip(node.jobs_nanos) {
            *sum += u128::from(nanos);
        }
    }
}

/// Figures that can be added up.
pub(crate) trait Merge {
    /// Adds those of another part of the run.
    fn merge(&mut self, other: &Self);
}

impl Merge for ClientTally {
    fn merge(&mut self, other: &Self) {
        self.ok += other.ok;
        self.failed += other.failed;
        self.first_try_ok += other.first_try_ok;
        self.tries += other.tries;
        self.back_off_nanos += other.back_off_nanos;
        self.latency.merge(&other.latency);
    }
}

impl ClientTally {
    fn add(&mut self, latency: u64, ok: bool, tries: u32) {
        self.tries += u64::from(tries);
        self.first_try_ok += u64::from(ok && tries == 1);
        if ok {
            self.ok += 1;
        } else {
            self.failed += 1;
        }
        self.latency.record(latency);
    }
}

impl ServiceTally {
    fn add(&mut self, latency: u64, status: u16, ok: bool) {
        self.requests += 1;
        self.ok += u64::from(ok);
        self.latency.record(latency);
        count(&mut self.responses, status, 1);
    }

    fn add_flags(&mut self, flags: ResponseFlags) {
        for flag in flags.iter() {
            count(&mut self.flags, flag.code(), 1);
        }
    }

    fn add_note(&mut self, note: Note) {
        match note {
            Note::Ejected(..) => self.ejections += 1,
            Note::RetryOverflow(_) => self.retry_overflow += 1,
            Note::Overflow(_) => self.breaker_overflow += 1,
            Note::Unejected(..) | Note::Panic(_) => {}
        }
    }
}

impl Merge for ServiceTally {
    fn merge(&mut self, other: &Self) {
        self.requests += other.requests;
        self.ok += other.ok;
        self.attempts += other.attempts;
        self.retries += other.retries;
        self.retry_overflow += other.retry_overflow;
        self.breaker_overflow += other.breaker_overflow;
        self.ejections += other.ejections;
        self.connects += other.connects;
        self.connections = self.connections.max(other.connections);
        self.latency.merge(&other.latency);
        for (status, more) in &other.responses {
            count(&mut self.responses, *status, *more);
        }
        for (flag, more) in &other.flags {
            count(&mut self.flags, *flag, *more);
        }
    }
}

/// Adds to a counter of a short list.
fn count<K: PartialEq>(counters: &mut Vec<(K, u64)>, key: K, more: u64) {
    match counters.iter_mut().find(|(known, _)| *known == key) {
        Some((_, counter)) => *counter += more,
        None => counters.push((key, more)),
    }
}

impl<T: Clone + Default> Series<T> {
    fn new(count: usize, has_bins: bool, grid: Option<Grid>) -> Self {
        let (bins, grid) = (if has_bins { count } else { 0 }, grid.unwrap_or_default());
        Self { bins: vec![Bin::default(); bins], tallies: vec![T::default(); grid.count], grid }
    }

    /// The tallies after the warm-up added up to at most so many batches, each with its length in seconds.
    pub(crate) fn batches(&self, count: usize, warm_up: u64) -> impl Iterator<Item = (T, f64)>
    where
        T: Merge,
    {
        let first = usize::try_from(warm_up.saturating_sub(self.grid.from).div_ceil(self.grid.width.max(1)))
            .unwrap_or(usize::MAX);
        let kept = self.tallies.get(first..).unwrap_or_default();
        let size = kept.len().div_ceil(count.max(1)).max(1);
        kept.chunks(size).map(move |batch| {
            let mut sum = T::default();
            for tally in batch {
                sum.merge(tally);
            }
            (sum, self.grid.width as f64 / 1e9 * batch.len() as f64)
        })
    }

    /// The bin of a time; `None` after the horizon.
    fn bin(&mut self, now: u64, horizon: u64) -> Option<&mut Bin> {
        if now >= horizon { None } else { self.bins.get_mut((now / BIN) as usize) }
    }

    fn tally(&mut self, now: u64, horizon: u64) -> Option<&mut T> {
        if now >= horizon { None } else { self.tallies.get_mut(self.grid.part(now)?) }
    }
}
