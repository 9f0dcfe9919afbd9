//! The work of `topologies/chain4` in NeXosim, to be compared with the example `chain4` of the simulator:
//!
//!     cargo run --release --manifest-path sim/benches/nexosim/Cargo.toml -- [SECONDS]
//!
//! The same queues as in `chain4_simpy.py`: four services in a row, three replicas each, 256 places; exponential handlers
//! of 1 ms; 0.8 ms each way; the less loaded of two random replicas; a timer of 1 s for each try, cancelled by the
//! answer; one retry after up to 25 ms; 1 % of errors. There are no proxies in it: no routes, no pools, no breakers, no
//! headers. One thread, as its authors advise for models as small as these. Prints processor time per client request.

use std::{collections::VecDeque, time::Duration};

use nexosim::{
    model::{Context, Model, schedulable},
    ports::{EventSinkReader, Output},
    simulation::{EventKey, Mailbox, SimInit},
    time::MonotonicTime,
};
use serde::{Deserialize, Serialize};

const RATE: f64 = 10_000.0;
const WAY: Duration = Duration::from_micros(800);
const LIMIT: Duration = Duration::from_secs(1);
const PLACES: u32 = 256;
const REPLICAS: usize = 3;
const HOPS: usize = 4;

/// A try on its way to a server, or its answer on the way back.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Message {
    /// The caller's number among those of its hop.
    from: u32,
    /// The caller's call, and which try of it.
    call: u32,
    attempt: u64,
    is_ok: bool,
}

/// A call to the next hop.
#[derive(Serialize, Deserialize)]
struct Call {
    began: f64,
    tries: u32,
    attempt: u64,
    replica: u32,
    timer: Option<EventKey>,
    /// What the caller answers then; none: it is the client.
    serves: Option<Message>,
}

/// A replica of a service; the client is one without callers.
#[derive(Default, Serialize, Deserialize)]
struct Node {
    number: u32,
    draws: u64,
    busy: u32,
    queue: VecDeque<Message>,
    calls: Vec<Option<Call>>,
    free: Vec<u32>,
    attempts: u64,
    active: [u32; REPLICAS],
    /// To the next hop's replicas; none: the end of the chain.
    next: Vec<Output<Message>>,
    /// To the callers.
    back: Vec<Output<Message>>,
    /// Latencies of calls, as the other simulators keep them.
    latencies: Vec<f64>,
    requests: u64,
    done: Output<(u64, f64)>,
}

impl Node {
    fn draw(&mut self) -> f64 {
        self.draws = self.draws.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.draws;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn exponential(&mut self, mean: f64) -> Duration {
        Duration::from_secs_f64(-mean * (1.0 - self.draw()).ln())
    }

    /// Takes a place, or waits for one.
    fn begin(&mut self, request: Message, cx: &Context<Self>) {
        self.busy += 1;
        let time = self.exponential(0.001);
        cx.schedule_event(time, schedulable!(Self::served), request).unwrap();
    }

    async fn leave(&mut self, request: Message, is_ok: bool, cx: &Context<Self>) {
        self.busy -= 1;
        self.back[request.from as usize].send(Message { is_ok, ..request }).await;
        if let Some(next) = self.queue.pop_front() {
            self.begin(next, cx);
        }
    }

    async fn call(&mut self, serves: Option<Message>, cx: &Context<Self>) {
        let call = Call { began: now(cx), tries: 0, attempt: 0, replica: 0, timer: None, serves };
        let number = self.free.pop().unwrap_or_else(|| {
            self.calls.push(None);
            self.calls.len() as u32 - 1
        });
        self.calls[number as usize] = Some(call);
        self.try_once(number, cx).await;
    }

    async fn try_once(&mut self, number: u32, cx: &Context<Self>) {
        let mut pick = || (self.draw() * REPLICAS as f64) as usize;
        let (a, b) = (pick(), pick());
        let replica = if self.active[b] < self.active[a] { b } else { a };
        self.active[replica] += 1;
        self.attempts += 1;
        let attempt = self.attempts;
        let request = Message { from: self.number, call: number, attempt, is_ok: true };
        let timer = cx.schedule_keyed_event(LIMIT, schedulable!(Self::timed_out), request).unwrap();
        if let Some(call) = &mut self.calls[number as usize] {
            (call.tries, call.attempt, call.replica, call.timer) = (call.tries + 1, attempt, replica as u32, Some(timer));
        }
        self.next[replica].send(request).await;
    }

    /// A try is over: the call ends, or is tried again.
    async fn over(&mut self, number: u32, attempt: u64, is_ok: bool, cx: &Context<Self>) {
        let Some(call) = self.calls[number as usize].as_mut().filter(|call| call.attempt == attempt) else { return };
        if let Some(timer) = call.timer.take() {
            timer.cancel();
        }
        call.attempt = 0;
        let (tries, replica) = (call.tries, call.replica as usize);
        self.active[replica] -= 1;
        if !is_ok && tries < 2 {
            let pause = Duration::from_secs_f64(0.025 * self.draw()).max(Duration::from_nanos(1));
            cx.schedule_event(pause, schedulable!(Self::again), number).unwrap();
            return;
        }
        let Some(call) = self.calls[number as usize].take() else { return };
        self.free.push(number);
        self.latencies.push(now(cx) - call.began);
        match call.serves {
            Some(request) => self.leave(request, is_ok, cx).await,
            None => {
                self.requests += 1;
                self.done.send((self.requests, now(cx) - call.began)).await;
            }
        }
    }
}

fn now(cx: &Context<Node>) -> f64 {
    cx.time().duration_since(MonotonicTime::EPOCH).as_secs_f64()
}

#[Model]
impl Node {
    #[nexosim(init)]
    async fn init(&mut self, cx: &Context<Self>, _: &mut ()) {
        if self.back.is_empty() {
            let gap = self.exponential(1.0 / RATE);
            cx.schedule_event(gap, schedulable!(Self::arrival), ()).unwrap();
        }
    }

    #[nexosim(schedulable)]
    async fn arrival(&mut self, _: (), cx: &Context<Self>) {
        let gap = self.exponential(1.0 / RATE).max(Duration::from_nanos(1));
        cx.schedule_event(gap, schedulable!(Self::arrival), ()).unwrap();
        self.call(None, cx).await;
    }

    /// A try leaves its caller.
    pub fn request(&mut self, request: Message, cx: &Context<Self>) {
        cx.schedule_event(WAY, schedulable!(Self::arrived), request).unwrap();
    }

    #[nexosim(schedulable)]
    fn arrived(&mut self, request: Message, cx: &Context<Self>) {
        if self.busy < PLACES { self.begin(request, cx) } else { self.queue.push_back(request) }
    }

    #[nexosim(schedulable)]
    async fn served(&mut self, request: Message, cx: &Context<Self>) {
        let is_ok = self.draw() >= 0.01;
        if is_ok && !self.next.is_empty() {
            self.call(Some(request), cx).await;
        } else {
            self.leave(request, is_ok, cx).await;
        }
    }

    /// An answer leaves its server.
    pub fn answer(&mut self, answer: Message, cx: &Context<Self>) {
        cx.schedule_event(WAY, schedulable!(Self::answered), answer).unwrap();
    }

    #[nexosim(schedulable)]
    async fn answered(&mut self, answer: Message, cx: &Context<Self>) {
        self.over(answer.call, answer.attempt, answer.is_ok, cx).await;
    }

    #[nexosim(schedulable)]
    async fn timed_out(&mut self, request: Message, cx: &Context<Self>) {
        self.over(request.call, request.attempt, false, cx).await;
    }

    #[nexosim(schedulable)]
    async fn again(&mut self, number: u32, cx: &Context<Self>) {
        self.try_once(number, cx).await;
    }
}

/// Seconds of processor time of all threads so far.
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn main() {
    let seconds: f64 = std::env::args().nth(1).map_or(10.0, |text| text.parse().unwrap());
    // The client, then the services.
    let count = |hop: usize| if hop == 0 { 1 } else { REPLICAS };
    let mailboxes: Vec<Vec<Mailbox<Node>>> =
        (0..=HOPS).map(|hop| (0..count(hop)).map(|_| Mailbox::with_capacity(1024)).collect()).collect();
    let (sink, mut answers) = nexosim::ports::event_queue(nexosim::ports::SinkState::Enabled);
    let mut bench = SimInit::with_num_threads(1);
    let mut nodes = Vec::new();
    for hop in 0..=HOPS {
        for number in 0..count(hop) {
            let mut node = Node { number: number as u32, draws: (hop * 8 + number) as u64, ..Node::default() };
            for mailbox in mailboxes.get(hop + 1).into_iter().flatten() {
                let mut output = Output::default();
                output.connect(Node::request, mailbox);
                node.next.push(output);
            }
            for mailbox in hop.checked_sub(1).and_then(|before| mailboxes.get(before)).into_iter().flatten() {
                let mut output = Output::default();
                output.connect(Node::answer, mailbox);
                node.back.push(output);
            }
            if hop == 0 {
                node.done.connect_sink(sink.clone());
            }
            nodes.push((node, format!("{hop}-{number}")));
        }
    }
    for ((node, name), mailbox) in nodes.into_iter().zip(mailboxes.into_iter().flatten()) {
        bench = bench.add_model(node, mailbox, &name);
    }
    let mut simulation = bench.init(MonotonicTime::EPOCH).unwrap();
    let before = cpu_seconds();
    let (mut requests, mut sum) = (0, 0.0);
    for second in 1..=(seconds as u64) {
        simulation.step_until(MonotonicTime::EPOCH + Duration::from_secs(second)).unwrap();
        while let Some((number, latency)) = answers.try_read() {
            (requests, sum) = (number, sum + latency);
        }
    }
    let spent = cpu_seconds() - before;
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM")).unwrap_or_default();
    println!("{requests} requests, mean {:.3} ms", 1000.0 * sum / requests as f64);
    println!("{spent:.2} s of processor time, {:.2} us per request; {peak}", spent * 1e6 / requests as f64);
}
