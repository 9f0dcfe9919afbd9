//! From the parameters of a case to a system: how it is laid out, how it works, what its clients and proxies do.

use super::parameters::{Parameters, Service, Workers};

/// A system that a case describes, in the words of the simulator.
#[derive(Clone, Debug)]
pub(super) struct System {
    pub(super) layout: Layout,
    /// Requests per second.
    pub(super) rate: f64,
    pub(super) is_constant: bool,
    pub(super) replicas: u32,
    pub(super) workers: u32,
    pub(super) is_shared: bool,
    pub(super) service: Service,
    pub(super) queue_limit: u32,
    /// The mean of an exponential patience in the queue, in milliseconds.
    pub(super) queue_patience_ms: Option<f64>,
    /// How often a handler fails.
    pub(super) failures: f64,
    /// After this a client leaves, in milliseconds.
    pub(super) patience_ms: Option<f64>,
    pub(super) client_retries: Option<ClientRetries>,
    pub(super) policy: Policy,
    pub(super) freeze: Option<Freeze>,
    /// Seconds that are not counted.
    pub(super) warm_up_s: f64,
    pub(super) horizon_s: f64,
}

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Layout {
    /// One station, asked straight.
    Station,
    /// Stations one after the other.
    Row(u32),
    /// One station behind a client's proxy.
    Proxied,
    /// Services that call each other; the last one fails.
    Chain(u32),
    /// So many at a time.
    FanOut(u32),
    /// Two versions, one of them with this weight.
    Split(f64),
}

/// A client's own retries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct ClientRetries {
    pub(super) max: u32,
    pub(super) back_off: BackOff,
}

/// The pause before a client's retry, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum BackOff {
    Constant(f64),
    Exponential(f64),
}

/// What proxies do.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Policy {
    pub(super) retries: u32,
    pub(super) max_requests: Option<u32>,
    pub(super) balancer: Option<&'static str>,
    pub(super) budget_percent: Option<f64>,
    /// Linkerd's: the ratio, and what is always allowed each second.
    pub(super) token_budget: Option<(f64, u32)>,
    pub(super) consecutive_errors: Option<u32>,
    /// After so many milliseconds without an answer another try starts beside the first one.
    pub(super) hedge_delay_ms: Option<f64>,
}

/// Nothing is worked on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Freeze {
    pub(super) at_s: f64,
    pub(super) during_s: f64,
}

/// Places enough that nobody waits.
const NO_QUEUEING: u32 = 1_000_000;
/// A queue that is never full.
const NO_LIMIT: u32 = 100_000_000;
/// A client that never gives up.
const FOR_EVER: u32 = 1_000_000;
/// Requests per second where a case leaves the rate open because nobody waits.
const ANY_RATE: f64 = 1000.0;
/// The same where ejections are counted: a host that is ejected for the shortest time, a millisecond or two, is asked
/// in vain until it is back, and those requests should be few.
const SELDOM: f64 = 250.0;
/// Requests of one run at least.
const RUN_REQUESTS: f64 = 200_000.0;
/// Requests of a run that must come out exactly.
const EXACT_REQUESTS: f64 = 200.0;
/// After a freeze a system has so many seconds to recover.
pub(super) const TO_RECOVER_S: f64 = 60.0;

impl System {
    pub(super) fn new(parameters: &Parameters) -> Result<Self, String> {
        let p = parameters;
        let service = service(p)?;
        let layout = layout(p);
        let (replicas, workers, is_shared) = servers(p)?;
        let rate = rate(p, replicas, workers, service);
        let freeze = freeze(p);
        let mut system = Self {
            layout,
            rate,
            is_constant: p.arrivals.as_deref() == Some("constant"),
            replicas,
            workers,
            is_shared,
            service,
            queue_limit: p.queue.unwrap_or(NO_LIMIT),
            queue_patience_ms: p.patience_mean_ms,
            failures: p.failure_prob.or(p.leaf_failure_prob).unwrap_or(0.0),
            patience_ms: patience(p, service),
            client_retries: client_retries(p),
            policy: policy(p)?,
            freeze,
            warm_up_s: 0.0,
            horizon_s: 0.0,
        };
        system.set_times(p);
        Ok(system)
    }

    /// How long a run lasts: long against the time in which the system forgets how it began.
    fn set_times(&mut self, p: &Parameters) {
        if let Some(Freeze { at_s, during_s }) = self.freeze {
            self.warm_up_s = 0.0;
            let to_drain = p.outage_s.map_or(0.0, |outage| 4.0 * self.load() * outage / (1.0 - self.load()).max(0.05));
            self.horizon_s = p.run_s.unwrap_or(at_s + during_s + TO_RECOVER_S.max(to_drain));
            return;
        }
        // What refuses requests has little to forget.
        let load = if self.policy.max_requests.is_some() { self.load().min(0.5) } else { self.load() };
        let idle = (1.0 - load).max(0.05);
        let memory_s = self.service.mean() / 1e3 * (1.0 + self.service.variation()) / (idle * idle);
        let pauses_s = match self.client_retries {
            Some(ClientRetries { back_off: BackOff::Constant(ms) | BackOff::Exponential(ms), .. }) => ms / 1e3 / idle,
            None => 0.0,
        };
        self.warm_up_s = (10.0 * (memory_s + pauses_s)).max(0.1);
        let counted = p.requests.unwrap_or(RUN_REQUESTS / self.hops());
        let counted_s = (counted / self.rate).max(3.0 * self.warm_up_s);
        self.horizon_s = self.warm_up_s + counted_s;
    }

    /// A short run of which everything counts, for what must come out exactly.
    pub(super) fn count_all(&mut self) {
        (self.warm_up_s, self.horizon_s) = (0.0, EXACT_REQUESTS / self.rate);
    }

    /// The share of the places that are taken, if nothing is tried again.
    pub(super) fn load(&self) -> f64 {
        let places = f64::from(self.replicas) * f64::from(self.workers);
        let work = match self.layout {
            Layout::FanOut(_) | Layout::Split(_) | Layout::Chain(_) => 0.0,
            _ => self.rate * self.service.mean() / 1e3,
        };
        (work / places / (1.0 - self.failures).max(0.01)).min(1.0)
    }

    /// Requests between services for one of a client, nothing tried again.
    fn hops(&self) -> f64 {
        match self.layout {
            Layout::Station | Layout::Proxied | Layout::Split(_) => 1.0,
            Layout::Row(hops) | Layout::Chain(hops) | Layout::FanOut(hops) => f64::from(hops),
        }
    }

    /// Requests between services in one run, nothing tried again.
    pub(super) fn requests(&self) -> f64 {
        self.rate * self.horizon_s * self.hops()
    }
}

fn service(p: &Parameters) -> Result<Service, String> {
    if let Some(text) = &p.service {
        return Service::parse(text).ok_or_else(|| format!("a service time `{text}` is not known"));
    }
    let is_fluid = p.arrivals.as_deref() == Some("constant");
    Ok(match (p.service_mean_ms, p.capacity_rps) {
        (Some(mean), _) if is_fluid => Service::Constant(mean),
        (Some(mean), _) => Service::Exponential(mean),
        (None, Some(capacity)) if is_fluid || p.outage_s.is_none() => Service::Constant(1e3 / capacity),
        (None, Some(capacity)) => Service::Exponential(1e3 / capacity),
        // A budget counts what is in flight: tries must last long against the pauses between them.
        (None, None) if p.attempt_duration.is_some() => Service::Constant(2000.0),
        // Closed forms of stations that say nothing else are those of exponential services.
        (None, None) if p.rho.is_some() || p.leaf.is_some() => Service::Exponential(1.0),
        (None, None) => Service::Constant(1.0),
    })
}

fn layout(p: &Parameters) -> Layout {
    let behind_proxy = p.in_flight_limit.is_some()
        || p.budget_percent.is_some()
        || p.budget_ratio.is_some()
        || p.consecutive_5xx.is_some()
        || p.hedge_delay_ms.is_some()
        || p.rho.is_some()
        || (p.failure_prob.is_some() && p.max_retries.is_some());
    match (p.depth, p.fanout, p.weight, p.stations) {
        (Some(depth), ..) => Layout::Chain(depth),
        (_, Some(fan_out), ..) => Layout::FanOut(fan_out),
        (_, _, Some(weight), _) => Layout::Split(weight),
        (_, _, _, Some(stations)) if stations > 1 => Layout::Row(stations),
        _ if behind_proxy => Layout::Proxied,
        _ => Layout::Station,
    }
}

/// Replicas, places of each, and whether all share them.
fn servers(p: &Parameters) -> Result<(u32, u32, bool), String> {
    let replicas = if p.rho.is_some() { p.servers.unwrap_or(1) } else { 1 };
    Ok(match &p.workers {
        Some(Workers::Count(workers)) => (replicas, *workers, false),
        Some(Workers::Named(name)) if name.contains("sharing") => (replicas, 1, true),
        Some(Workers::Named(name)) => return Err(format!("workers of the kind `{name}` are not known")),
        None if p.rho.is_some() => (replicas, 1, false),
        None if p.capacity_rps.is_some() => (replicas, 1, false),
        None => match (p.servers, p.in_flight_limit) {
            (Some(servers), _) => (1, servers, false),
            // Without workers, each request that is let in has one.
            (None, Some(limit)) => (1, limit, false),
            (None, None) => (1, NO_QUEUEING, false),
        },
    })
}

fn rate(p: &Parameters, replicas: u32, workers: u32, service: Service) -> f64 {
    let capacity = f64::from(replicas) * f64::from(workers) * 1e3 / service.mean();
    match (p.lambda_rps, p.rho) {
        (Some(rate), _) => rate,
        (None, Some(rho)) => rho * capacity,
        // Tries of one host, one after the other.
        (None, None) if p.consecutive_5xx.is_some() => SELDOM,
        (None, None) => ANY_RATE,
    }
}

fn patience(p: &Parameters, service: Service) -> Option<f64> {
    // A fan-out is slower than a quantile of its leaves if its client, who waits so long, leaves.
    let quantile = |text: &str| -> Option<f64> {
        let percent: f64 = text.strip_prefix('p')?.parse().ok()?;
        Some(-service.mean() * (1.0 - percent / 100.0).ln())
    };
    p.timeout_ms.or_else(|| p.leaf.as_deref().and_then(quantile))
}

fn client_retries(p: &Parameters) -> Option<ClientRetries> {
    if let Some(mean) = p.backoff_mean_ms {
        return Some(ClientRetries { max: p.max_retries.unwrap_or(FOR_EVER), back_off: BackOff::Exponential(mean) });
    }
    let back_off = BackOff::Constant(p.backoff_ms.unwrap_or(0.0));
    if p.retries.as_deref().is_some_and(|text| text.contains("unlimited")) {
        return Some(ClientRetries { max: FOR_EVER, back_off });
    }
    // Retries of failures are the proxy's; those of requests that take too long are the client's.
    let max = p.max_retries.filter(|_| p.failure_prob.is_none() && p.depth.is_none())?;
    Some(ClientRetries { max, back_off })
}

fn policy(p: &Parameters) -> Result<Policy, String> {
    let balancer = match (p.rho, p.d, p.arrivals.as_deref()) {
        (None, ..) => None,
        (Some(_), Some(1), _) => Some("RANDOM"),
        (Some(_), Some(2), _) => Some("LEAST_REQUEST"),
        (Some(_), Some(d), _) => return Err(format!("a balancer that draws {d} hosts cannot be written")),
        (Some(_), None, Some(text)) if text.contains("round robin") => Some("ROUND_ROBIN"),
        (Some(_), None, _) => Some("RANDOM"),
    };
    let retries = match p.max_retries.filter(|_| p.failure_prob.is_some()).or(p.max_retries_per_hop) {
        Some(retries) => retries,
        // Enough for the budget to be the limit.
        None if p.budget_percent.is_some() => 3,
        None if p.hedge_delay_ms.is_some() => 1,
        None => 0,
    };
    Ok(Policy {
        retries,
        max_requests: p.in_flight_limit,
        balancer,
        budget_percent: p.budget_percent,
        token_budget: p.budget_ratio.map(|ratio| (ratio, p.min_retries_per_s.unwrap_or(0))),
        consecutive_errors: p.consecutive_5xx,
        hedge_delay_ms: p.hedge_delay_ms,
    })
}

fn freeze(p: &Parameters) -> Option<Freeze> {
    let during_s = p.freeze_s.or(p.outage_s)?;
    Some(Freeze { at_s: p.pause_at_s.unwrap_or(5.0), during_s })
}
