//! A naive model of retries, timeouts and breakers for one cluster with one host over HTTP/1.1. It keeps no timers and
//! cancels nothing: at each step it recomputes from the facts what happens next. Slow, and meant to be obvious.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(clippy::cast_possible_truncation, reason = "counts are small")]

use std::collections::BTreeSet;

use meshproof_proxy::{Draw, DrawKey, Entropy, RequestKey, StreamEnd};

use super::{Act, Call, Dial, Ended, Keyed};

/// Microseconds in a millisecond: the model counts in microseconds.
pub const MS: u64 = 1_000;

/// Everything that a run depends on; lengths of time in microseconds.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub calls: Vec<Call>,
    pub acts: Vec<Act>,
    pub dials: Vec<Dial>,
    pub timeout: u64,
    pub per_try: u64,
    pub hedge: bool,
    pub retry_on: Vec<&'static str>,
    pub num_retries: u32,
    pub base_ms: u64,
    pub max_connections: usize,
    pub max_pending: usize,
    pub max_requests: usize,
    pub retries: Retries,
    pub connect_timeout: u64,
}

/// The limit on retries.
#[derive(Clone, Copy, Debug)]
pub enum Retries {
    Max(usize),
    Budget { percent: usize, min: usize },
}

/// Counters that are compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    pub retries: u64,
    pub limit_exceeded: u64,
    pub retry_overflow: u64,
    pub pending_overflow: u64,
    pub active_overflow: u64,
    pub connections: u64,
    pub retry_success: u64,
}

#[derive(Clone, Debug, Default)]
struct Request {
    arrived: bool,
    complete_at: Option<u64>,
    tries: Vec<Try>,
    count: u32,
    policy: Option<Policy>,
    /// When the next try starts, and in which order that was decided.
    retry_at: Option<(u64, u64)>,
    global_at: Option<u64>,
    answered_by: Option<u32>,
    status: u16,
    flags: BTreeSet<&'static str>,
    ended: Option<Ended>,
}

#[derive(Clone, Copy, Debug)]
struct Policy {
    remaining: u32,
    holds_slot: bool,
    back_offs: u32,
}

#[derive(Clone, Copy, Debug)]
struct Try {
    number: u32,
    /// Since when it is on which connection, and what the host does with it.
    sent: Option<(u64, usize, Act)>,
    awaits_headers: bool,
    hedged: bool,
    per_try_at: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Connection {
    Dialling { since: u64, dial: Dial },
    Idle { since: u64 },
    Busy,
    Gone,
}

#[derive(Clone, Copy, Debug)]
enum Next {
    Arrives(usize),
    Completes(usize),
    Leaves(usize),
    Dialled(usize, bool),
    DialTimesOut(usize),
    Headers(usize, u32, u16, bool),
    Ends(usize, u32),
    Breaks(usize, u32, &'static str),
    Global(usize),
    PerTry(usize, u32),
    Retry(usize),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    No,
    Retry,
    Limit,
    Overflow,
}

/// The run of a plan.
#[derive(Debug)]
pub struct Model<'p> {
    plan: &'p Plan,
    now: u64,
    order: u64,
    requests: Vec<Request>,
    connections: Vec<Connection>,
    queue: Vec<(usize, u32)>,
    pub counts: Counts,
}

impl<'p> Model<'p> {
    /// Runs a plan to its end and gives how each request ended.
    pub fn run(plan: &'p Plan, end: u64) -> (Vec<Option<Ended>>, Counts) {
        let requests = vec![Request::default(); plan.calls.len()];
        let (connections, queue) = (Vec::new(), Vec::new());
        let mut model = Self { plan, now: 0, order: 0, requests, connections, queue, counts: Counts::default() };
        while let Some((at, _, _, next)) = model.next().filter(|(at, ..)| *at <= end) {
            model.now = at;
            model.step(next);
            model.serve_queue();
        }
        (model.requests.into_iter().map(|request| request.ended).collect(), model.counts)
    }

    /// Everything that may happen, the earliest first; events of the network before timers.
    fn next(&self) -> Option<(u64, u8, u64, Next)> {
        let mut all = Vec::new();
        for (i, (request, call)) in self.requests.iter().zip(&self.plan.calls).enumerate() {
            if !request.arrived {
                all.push((call.at, 0, 0, Next::Arrives(i)));
            }
            if !request.arrived || request.ended.is_some() {
                continue;
            }
            if let Some(after) = call.body_after.filter(|_| request.complete_at.is_none()) {
                all.push((call.at + after, 0, 0, Next::Completes(i)));
            }
            if let Some(after) = call.leaves_after {
                all.push((call.at + after, 0, 0, Next::Leaves(i)));
            }
            if let Some(at) = request.global_at {
                all.push((at, 1, 0, Next::Global(i)));
            }
            if let Some((at, order)) = request.retry_at {
                all.push((at, 1, order, Next::Retry(i)));
            }
            for one in &request.tries {
                if let Some(at) = one.per_try_at.filter(|_| request.answered_by.is_none()) {
                    all.push((at, 1, 0, Next::PerTry(i, one.number)));
                }
                if let Some((since, _, act)) = one.sent {
                    all.push(host_acts(i, one, since, act));
                }
            }
        }
        for (c, connection) in self.connections.iter().enumerate() {
            if let Connection::Dialling { since, dial } = *connection {
                all.push((since + self.plan.connect_timeout, 1, 0, Next::DialTimesOut(c)));
                match dial {
                    Dial::Open { after } => all.push((since + after, 0, 0, Next::Dialled(c, true))),
                    Dial::Refuse { after } => all.push((since + after, 0, 0, Next::Dialled(c, false))),
                    Dial::Hang => {}
                }
            }
        }
        all.into_iter().min_by_key(|(at, class, order, _)| (*at, *class, *order))
    }

    fn step(&mut self, next: Next) {
        match next {
            Next::Arrives(i) => self.arrive(i),
            Next::Completes(i) => self.complete(i),
            Next::Leaves(i) => {
                self.requests[i].flags.insert("DC");
                if self.requests[i].answered_by.is_none() {
                    self.requests[i].status = 0;
                }
                self.end(i, StreamEnd::ClientGone);
            }
            Next::Dialled(c, true) => self.connections[c] = Connection::Idle { since: self.now },
            Next::Dialled(c, false) | Next::DialTimesOut(c) => {
                self.connections[c] = Connection::Gone;
                // Each of them counts as pending until its own retry is decided.
                for (i, n) in self.queue.clone() {
                    self.reset(i, n, "UF");
                }
            }
            Next::Headers(i, n, status, end) => self.headers(i, n, status, end),
            Next::Ends(i, n) => self.finish(i, n),
            Next::Breaks(i, n, flag) => {
                if let Some((_, c, _)) = self.attempt(i, n).and_then(|one| one.sent) {
                    self.connections[c] = Connection::Gone;
                }
                self.reset(i, n, flag);
            }
            Next::Global(i) => {
                self.requests[i].global_at = None;
                self.time_out(i);
            }
            Next::PerTry(i, n) => self.per_try(i, n),
            Next::Retry(i) => {
                self.requests[i].retry_at = None;
                self.counts.retries += 1;
                self.start_try(i);
            }
        }
    }

    fn arrive(&mut self, i: usize) {
        let has_policy = !self.plan.retry_on.is_empty();
        let request = &mut self.requests[i];
        request.arrived = true;
        request.policy =
            has_policy.then_some(Policy { remaining: self.plan.num_retries, holds_slot: false, back_offs: 0 });
        if self.plan.calls[i].body_after.is_none() {
            request.complete_at = Some(self.now);
        }
        self.start_try(i);
        if self.requests[i].ended.is_none() && self.requests[i].complete_at.is_some() {
            self.start_limits(i);
        }
    }

    fn complete(&mut self, i: usize) {
        self.requests[i].complete_at = Some(self.now);
        self.start_limits(i);
    }

    /// The limits of the answer begin, unless the only try has failed before.
    fn start_limits(&mut self, i: usize) {
        let (timeout, per_try, now) = (self.plan.timeout, self.per_try_limit(), self.now);
        let request = &mut self.requests[i];
        if request.tries.is_empty() {
            return;
        }
        request.global_at = (timeout > 0).then_some(now + timeout);
        for one in &mut request.tries {
            if one.sent.is_some() && one.awaits_headers {
                one.per_try_at = (per_try > 0).then_some(now + per_try);
            }
        }
    }

    fn per_try_limit(&self) -> u64 {
        let ignored = self.plan.timeout > 0 && self.plan.per_try >= self.plan.timeout;
        if ignored { 0 } else { self.plan.per_try }
    }

    fn start_try(&mut self, i: usize) {
        let request = &mut self.requests[i];
        request.count += 1;
        let number = request.count;
        request.tries.push(Try { number, sent: None, awaits_headers: true, hedged: false, per_try_at: None });
        if self.idle_connection().is_some() {
            self.attach(i, number);
        } else if self.queue.len() >= self.plan.max_pending {
            self.counts.pending_overflow += 1;
            self.reset(i, number, "UO");
        } else {
            self.queue.push((i, number));
            self.open_connections();
        }
    }

    /// The one that became idle last.
    fn idle_connection(&self) -> Option<usize> {
        let idle = self.connections.iter().enumerate().filter_map(|(c, connection)| match connection {
            Connection::Idle { since } => Some((*since, c)),
            _ => None,
        });
        idle.max().map(|(_, c)| c)
    }

    fn open_connections(&mut self) {
        loop {
            let alive = self.connections.iter().filter(|c| **c != Connection::Gone).count();
            let coming = |c: &&Connection| matches!(c, Connection::Dialling { .. } | Connection::Idle { .. });
            let coming = self.connections.iter().filter(coming).count();
            let may = alive == 0 || alive < self.plan.max_connections;
            if self.queue.len() <= coming || !may {
                return;
            }
            let dial = self.plan.dials[self.connections.len().min(self.plan.dials.len() - 1)];
            self.connections.push(Connection::Dialling { since: self.now, dial });
            self.counts.connections += 1;
        }
    }

    fn serve_queue(&mut self) {
        while !self.queue.is_empty() && self.idle_connection().is_some() {
            let (i, n) = self.queue.remove(0);
            self.attach(i, n);
        }
        self.open_connections();
    }

    fn active(&self) -> usize {
        self.requests.iter().flat_map(|request| &request.tries).filter(|one| one.sent.is_some()).count()
    }

    fn attach(&mut self, i: usize, n: u32) {
        if self.active() >= self.plan.max_requests {
            self.counts.active_overflow += 1;
            return self.reset(i, n, "UO");
        }
        let Some(c) = self.idle_connection() else { return };
        self.connections[c] = Connection::Busy;
        let act = self.plan.acts[(self.counts.sent as usize).min(self.plan.acts.len() - 1)];
        self.counts.sent += 1;
        let (now, per_try) = (self.now, self.per_try_limit());
        let is_complete = self.requests[i].complete_at.is_some();
        if let Some(one) = self.attempt(i, n) {
            one.sent = Some((now, c, act));
            one.per_try_at = (per_try > 0 && is_complete).then_some(now + per_try);
        }
    }

    fn attempt(&mut self, i: usize, n: u32) -> Option<&mut Try> {
        self.requests[i].tries.iter_mut().find(|one| one.number == n)
    }

    fn headers(&mut self, i: usize, n: u32, status: u16, end: bool) {
        let Some(one) = self.attempt(i, n) else { return };
        one.awaits_headers = false;
        let hedged = one.hedged;
        let on = |name| self.plan.retry_on.contains(&name);
        let is_failure = on("5xx") && (500..600).contains(&status)
            || on("gateway-error") && (502..=504).contains(&status)
            || on("retriable-4xx") && status == 409;
        let mut could_not = false;
        if self.requests[i].policy.is_some() {
            if hedged {
                could_not = is_failure;
            } else {
                match self.should_retry(i, is_failure) {
                    Verdict::Retry => return self.release(i, n, end),
                    Verdict::No => {}
                    Verdict::Limit | Verdict::Overflow => could_not = true,
                }
            }
        }
        if could_not && self.others_may_answer(i, n) {
            return self.release(i, n, end);
        }
        self.forget_retries(i);
        let others: Vec<_> = self.requests[i].tries.iter().map(|one| one.number).filter(|other| *other != n).collect();
        for other in others {
            self.release(i, other, false);
        }
        self.requests[i].answered_by = Some(n);
        self.requests[i].status = status;
        if end {
            self.finish(i, n);
        }
    }

    fn finish(&mut self, i: usize, n: u32) {
        let is_complete = self.requests[i].complete_at.is_some();
        self.release(i, n, is_complete);
        self.end(i, StreamEnd::Complete);
    }

    fn reset(&mut self, i: usize, n: u32, flag: &'static str) {
        let answered = self.requests[i].answered_by.is_some();
        if self.retries_reset(i, n, flag) {
            return self.release(i, n, false);
        }
        self.release(i, n, false);
        if self.others_may_answer(i, n) {
            return;
        }
        self.requests[i].flags.insert(flag);
        if answered {
            return self.end(i, StreamEnd::Reset);
        }
        self.requests[i].status = 503;
        self.end(i, StreamEnd::Complete);
    }

    fn retries_reset(&mut self, i: usize, n: u32, flag: &str) -> bool {
        let request = &self.requests[i];
        let Some(one) = request.tries.iter().find(|one| one.number == n) else { return false };
        if request.answered_by.is_some() || one.hedged || request.policy.is_none() {
            return false;
        }
        let on = |name| self.plan.retry_on.contains(&name);
        let is_failure = flag != "UO"
            && (on("5xx")
                || on("gateway-error")
                || on("reset")
                || on("connect-failure") && flag == "UF"
                || on("reset-before-request") && one.sent.is_none());
        self.should_retry(i, is_failure) == Verdict::Retry
    }

    fn should_retry(&mut self, i: usize, is_failure: bool) -> Verdict {
        let Some(mut policy) = self.requests[i].policy else { return Verdict::No };
        if policy.back_offs > 0 && !is_failure {
            self.counts.retry_success += 1;
        }
        policy.holds_slot = false;
        self.requests[i].policy = Some(policy);
        if !is_failure {
            return Verdict::No;
        }
        if policy.remaining == 0 {
            self.counts.limit_exceeded += 1;
            self.requests[i].flags.insert("URX");
            return Verdict::Limit;
        }
        policy.remaining -= 1;
        self.requests[i].policy = Some(policy);
        let under_way = self.requests.iter().filter(|r| r.policy.is_some_and(|policy| policy.holds_slot)).count();
        let allowed = match self.plan.retries {
            Retries::Max(max) => max,
            Retries::Budget { percent, min } => ((self.active() + self.queue.len()) * percent / 100).max(min),
        };
        if under_way >= allowed {
            self.counts.retry_overflow += 1;
            self.requests[i].flags.insert("UO");
            return Verdict::Overflow;
        }
        policy.holds_slot = true;
        policy.back_offs += 1;
        let interval = (1..policy.back_offs).fold(self.plan.base_ms, |next, _| {
            let max = self.plan.base_ms * 10;
            if next < max / 2 { next * 2 } else { max }
        });
        let key =
            DrawKey { request: RequestKey(i as u64 + 1), attempt: self.requests[i].count + 1, what: Draw::BackOff };
        let wait = Keyed(self.plan.seed).draw(key) % interval * MS;
        self.order += 1;
        self.requests[i].policy = Some(policy);
        self.requests[i].retry_at = Some((self.now + wait, self.order));
        Verdict::Retry
    }

    fn others_may_answer(&self, i: usize, n: u32) -> bool {
        let request = &self.requests[i];
        request.retry_at.is_some() || request.tries.iter().any(|one| one.number != n && one.awaits_headers)
    }

    fn per_try(&mut self, i: usize, n: u32) {
        let Some(one) = self.attempt(i, n) else { return };
        one.per_try_at = None;
        let hedged = one.hedged;
        if self.plan.hedge {
            let may = !hedged && self.requests[i].policy.is_some();
            if may
                && self.should_retry(i, true) == Verdict::Retry
                && let Some(one) = self.attempt(i, n)
            {
                one.hedged = true;
            }
            return;
        }
        if self.retries_reset(i, n, "UT") {
            return self.release(i, n, false);
        }
        self.release(i, n, false);
        self.time_out(i);
    }

    fn time_out(&mut self, i: usize) {
        self.requests[i].flags.insert("UT");
        if self.requests[i].answered_by.is_some() {
            return self.end(i, StreamEnd::Reset);
        }
        self.requests[i].status = 504;
        self.end(i, StreamEnd::Complete);
    }

    /// Takes a try out of the world; its connection serves again only if both directions came to their end.
    fn release(&mut self, i: usize, n: u32, is_complete: bool) {
        self.queue.retain(|waiting| *waiting != (i, n));
        let Some(place) = self.requests[i].tries.iter().position(|one| one.number == n) else { return };
        if let Some((_, c, _)) = self.requests[i].tries.remove(place).sent
            && self.connections[c] == Connection::Busy
        {
            self.connections[c] = if is_complete { Connection::Idle { since: self.now } } else { Connection::Gone };
        }
    }

    fn forget_retries(&mut self, i: usize) {
        self.requests[i].policy = None;
        self.requests[i].retry_at = None;
    }

    fn end(&mut self, i: usize, how: StreamEnd) {
        let numbers: Vec<_> = self.requests[i].tries.iter().map(|one| one.number).collect();
        for n in numbers {
            self.release(i, n, false);
        }
        self.forget_retries(i);
        let request = &mut self.requests[i];
        assert!(request.ended.is_none(), "request {i} ends twice");
        let flags = request.flags.iter().copied().collect::<Vec<_>>().join(",");
        let (status, attempts) = (request.status, request.count);
        request.ended = Some(Ended { at: self.now, status, flags, details: String::new(), attempts, how });
    }
}

/// What the host does next with a try that was sent at `since`.
fn host_acts(i: usize, one: &Try, since: u64, act: Act) -> (u64, u8, u64, Next) {
    const NEVER: u64 = u64::MAX;
    let n = one.number;
    match act {
        Act::Answer { status, after, body } if one.awaits_headers => {
            (since + after, 0, 0, Next::Headers(i, n, status, body.is_none()))
        }
        Act::Answer { after, body, .. } => (since + after + body.unwrap_or(0), 0, 0, Next::Ends(i, n)),
        Act::Cut { status, after, .. } if one.awaits_headers => {
            (since + after, 0, 0, Next::Headers(i, n, status, false))
        }
        Act::Cut { after, then, .. } => (since + after + then, 0, 0, Next::Breaks(i, n, "UPE")),
        Act::Close { after } => (since + after, 0, 0, Next::Breaks(i, n, "UC")),
        Act::Silent => (NEVER, 0, 0, Next::Ends(i, n)),
    }
}
