//! The figures that objectives and comparisons name, taken from the tallies.

use meshproof_model::{Figure, ObjectiveSubject};

use crate::{
    delivery::End,
    histogram::Histogram,
    measure::{BIN, ClientTally, Measure, MessageTally, ServiceTally, WorkloadTally},
    number::Number,
    plan::Plan,
};

/// Seconds from the end of the warm-up to the horizon.
pub(crate) fn measured_s(plan: &Plan) -> f64 {
    plan.horizon.saturating_sub(plan.warm_up) as f64 / 1e9
}

/// A figure over the whole run, the warm-up left out.
pub(crate) fn figure(plan: &Plan, measure: &Measure, subject: ObjectiveSubject, figure: &Figure) -> Number {
    match (subject, figure) {
        (ObjectiveSubject::Client(client), _) => {
            measure.clients.get(client).map_or(Number::ABSENT, |tally| of_client(tally, figure, measured_s(plan)))
        }
        (ObjectiveSubject::Queue(queue), _) => {
            measure.messages.get(queue).map_or(Number::ABSENT, |tally| of_messages(tally, figure))
        }
        (ObjectiveSubject::Release(number), _) => {
            plan.releases.find(number).map_or(Number::ABSENT, |at| of_release(plan, measure, at, figure))
        }
        (ObjectiveSubject::Service(service), Figure::Utilisation) => utilisation(plan, measure, service.index()),
        (ObjectiveSubject::Service(service), Figure::QueueMax) => queue_max(plan, measure, service.index()),
        (ObjectiveSubject::Service(service), Figure::ReplicasMax) => {
            replicas(plan, measure, service.index()).into_iter().max().map_or(Number::ABSENT, Number::from)
        }
        (ObjectiveSubject::Service(service), Figure::ReplicasMin) => {
            replicas(plan, measure, service.index()).into_iter().min().map_or(Number::ABSENT, Number::from)
        }
        (ObjectiveSubject::Service(service), Figure::Queued) => queued(plan, measure, service.index()),
        (ObjectiveSubject::Service(service), Figure::QueueWait) => queue_wait(plan, measure, service.index()),
        (ObjectiveSubject::Service(service), Figure::JobsAtLeast(jobs)) => {
            jobs_at_least(plan, measure, service.index(), *jobs)
        }
        (ObjectiveSubject::Service(service), _) => of_service(&measure.services[service.index()], figure),
    }
}

/// A figure of a client over so many seconds.
pub(crate) fn of_client(tally: &ClientTally, figure: &Figure, seconds: f64) -> Number {
    let requests = tally.ok + tally.failed;
    match figure {
        Figure::Success => Number::ratio(tally.ok, requests),
        Figure::Requests => requests.into(),
        Figure::Ok => tally.ok.into(),
        Figure::Failed => tally.failed.into(),
        Figure::TriesPerRequest => Number::ratio(tally.tries, requests),
        Figure::FirstTry => Number::ratio(tally.first_try_ok, requests),
        Figure::BackingOff if seconds > 0.0 => Number::Real(tally.back_off_nanos as f64 / 1e9 / seconds),
        Figure::Goodput if seconds > 0.0 => Number::Real(tally.ok as f64 / seconds),
        _ if requests == 0 => Number::ABSENT,
        Figure::Quantile(thousandths) => Number::millis(tally.latency.quantile(u32::from(*thousandths) * 1000)),
        Figure::Mean => Number::millis(tally.latency.mean()),
        Figure::Max => Number::millis(tally.latency.max()),
        _ => Number::ABSENT,
    }
}

/// A figure of a release, by its number in the plan.
pub(crate) fn of_release(plan: &Plan, measure: &Measure, at: usize, figure: &Figure) -> Number {
    let Some((release, record)) = plan.releases.all.get(at).zip(measure.releases.get(at)) else {
        return Number::ABSENT;
    };
    let ended = |wanted: End| u64::from(record.end.is_some_and(|(end, _)| end == wanted));
    match figure {
        Figure::Promoted => ended(End::Promoted).into(),
        Figure::RolledBack => ended(End::RolledBack).into(),
        Figure::WeightMax => Number::ratio(record.weight_max.into(), 100),
        Figure::Exposed => Number::millis(record.exposed),
        Figure::Took => {
            let until = record.end.map_or(plan.horizon, |(_, at)| at);
            Number::millis(until.saturating_sub(release.at.get()))
        }
        _ => Number::ABSENT,
    }
}

/// A figure of a queue of messages.
pub(crate) fn of_messages(tally: &MessageTally, figure: &Figure) -> Number {
    match figure {
        Figure::Published => tally.published.into(),
        Figure::Refused => tally.refused.into(),
        Figure::Received => tally.received.into(),
        Figure::Done => tally.done.into(),
        Figure::DeadLetters => tally.dead.into(),
        Figure::DepthMax => tally.depth_max.into(),
        lengths => of_lengths(&tally.latency, lengths),
    }
}

/// A figure of lengths of time.
fn of_lengths(lengths: &Histogram, figure: &Figure) -> Number {
    match figure {
        _ if lengths.count() == 0 => Number::ABSENT,
        Figure::Quantile(thousandths) => Number::millis(lengths.quantile(u32::from(*thousandths) * 1000)),
        Figure::Mean => Number::millis(lengths.mean()),
        Figure::Max => Number::millis(lengths.max()),
        _ => Number::ABSENT,
    }
}

/// A figure of a service, as its callers see it.
pub(crate) fn of_service(tally: &ServiceTally, figure: &Figure) -> Number {
    match figure {
        Figure::Success => Number::ratio(tally.ok, tally.requests),
        Figure::Requests => tally.requests.into(),
        Figure::Ok => tally.ok.into(),
        Figure::Failed => (tally.requests - tally.ok).into(),
        Figure::Attempts => tally.attempts.into(),
        Figure::AttemptsPerRequest => Number::ratio(tally.attempts, tally.requests),
        Figure::Connections => u64::from(tally.connections).into(),
        Figure::Responses(status) => counted(&tally.responses, status).into(),
        Figure::Flags(flag) => counted(&tally.flags, &flag.as_str()).into(),
        Figure::Retries => tally.retries.into(),
        Figure::RetryOverflow => tally.retry_overflow.into(),
        Figure::BreakerOverflow => tally.breaker_overflow.into(),
        Figure::Ejections => tally.ejections.into(),
        Figure::RateLimited => counted(&tally.responses, &429).into(),
        Figure::ReplicasMax | Figure::ReplicasMin => Number::ABSENT,
        Figure::Goodput | Figure::Utilisation | Figure::QueueMax | Figure::Queued | Figure::QueueWait => Number::ABSENT,
        Figure::JobsAtLeast(_) | Figure::TriesPerRequest | Figure::FirstTry | Figure::BackingOff => Number::ABSENT,
        Figure::Published | Figure::Refused | Figure::Received | Figure::Done => Number::ABSENT,
        Figure::DeadLetters | Figure::DepthMax => Number::ABSENT,
        Figure::Promoted | Figure::RolledBack | Figure::WeightMax | Figure::Exposed | Figure::Took => Number::ABSENT,
        _ if tally.requests == 0 => Number::ABSENT,
        Figure::Quantile(thousandths) => Number::millis(tally.latency.quantile(u32::from(*thousandths) * 1000)),
        Figure::Mean => Number::millis(tally.latency.mean()),
        Figure::Max => Number::millis(tally.latency.max()),
    }
}

/// The share of the places for work of a service's workloads that were taken.
pub(crate) fn utilisation(plan: &Plan, measure: &Measure, service: usize) -> Number {
    let (mut busy, mut capacity) = (0_u128, 0_u128);
    for workload in &plan.services[service].workloads {
        let (entry, tally) = (&plan.workloads[*workload as usize], &measure.workloads[*workload as usize]);
        if entry.gateway.is_none() {
            busy += tally.busy_nanos;
            // Time of all replicas; where pods come and go, of those that were there.
            let time = match entry.group {
                Some(_) => tally.jobs_nanos.iter().sum(),
                None => u128::from(entry.replicas) * u128::from(plan.horizon.saturating_sub(plan.warm_up)),
            };
            capacity += u128::from(entry.concurrency) * time;
        }
    }
    if capacity == 0 { Number::ABSENT } else { Number::Real(busy as f64 / capacity as f64) }
}

/// How many replicas of a service were ready at the end of each second after the warm-up.
pub(crate) fn replicas(plan: &Plan, measure: &Measure, service: usize) -> Vec<u64> {
    let mut sum = vec![0; usize::try_from(plan.horizon.div_ceil(BIN)).unwrap_or(0)];
    for workload in &plan.services[service].workloads {
        let entry = &plan.workloads[*workload as usize];
        match entry.group {
            Some(_) => {
                let ready = measure.pods.lengths(*workload as usize);
                sum.iter_mut().zip(ready).for_each(|(sum, ready)| *sum += u64::from(ready));
            }
            None => sum.iter_mut().for_each(|sum| *sum += u64::from(entry.replicas)),
        }
    }
    sum.into_iter().skip(usize::try_from(plan.warm_up / BIN).unwrap_or(0)).collect()
}

/// The most requests that waited in one replica of a service.
pub(crate) fn queue_max(plan: &Plan, measure: &Measure, service: usize) -> Number {
    let of = |workload: &u32| u64::from(measure.workloads[*workload as usize].queue_max);
    plan.services[service].workloads.iter().map(of).max().unwrap_or(0).into()
}

/// The share of the requests at a service's workloads that had to wait.
pub(crate) fn queued(plan: &Plan, measure: &Measure, service: usize) -> Number {
    let (mut queued, mut arrived) = (0, 0);
    for tally in tallies(plan, measure, service) {
        queued += tally.queued;
        arrived += tally.arrived;
    }
    Number::ratio(queued, arrived)
}

/// The mean time in the queues of a service's workloads, in milliseconds.
pub(crate) fn queue_wait(plan: &Plan, measure: &Measure, service: usize) -> Number {
    let (mut wait, mut arrived) = (0, 0);
    for tally in tallies(plan, measure, service) {
        wait += tally.wait_nanos;
        arrived += tally.arrived;
    }
    if arrived == 0 { Number::ABSENT } else { Number::Real(wait as f64 / 1e6 / arrived as f64) }
}

/// The share of the time in which a replica has at least so many requests.
pub(crate) fn jobs_at_least(plan: &Plan, measure: &Measure, service: usize, jobs: u8) -> Number {
    let (mut part, mut whole) = (0_u128, 0_u128);
    for tally in tallies(plan, measure, service) {
        part += tally.jobs_nanos.iter().skip(usize::from(jobs)).sum::<u128>();
        whole += tally.jobs_nanos.iter().sum::<u128>();
    }
    if whole == 0 { Number::ABSENT } else { Number::Real(part as f64 / whole as f64) }
}

fn tallies<'a>(plan: &'a Plan, measure: &'a Measure, service: usize) -> impl Iterator<Item = &'a WorkloadTally> {
    plan.services[service].workloads.iter().map(|workload| &measure.workloads[*workload as usize])
}

fn counted<K: PartialEq>(counters: &[(K, u64)], key: &K) -> u64 {
    counters.iter().find(|(known, _)| known == key).map_or(0, |(_, count)| *count)
}
