//! Kubernetes: what a pod's template says of its life (`K-2`, `K-4`).

use super::Strategy;
use crate::{Located, Location, Nanos};

/// The life of a workload's pods.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PodLife {
    /// How pods are replaced (`K-3`).
    pub strategy: Strategy,
    /// `minReadySeconds`; absent: 0.
    pub min_ready: Option<Located<Nanos>>,
    /// `progressDeadlineSeconds`; absent: 600.
    pub progress_deadline: Option<Located<Nanos>>,
    /// `terminationGracePeriodSeconds`; absent: 30.
    pub termination_grace: Option<Located<Nanos>>,
    /// Its containers.
    pub containers: Vec<ContainerLife>,
}

/// The life of a container.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ContainerLife {
    /// Its name.
    pub name: String,
    /// `readinessProbe`: without one a container is ready as soon as it runs.
    pub readiness: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Hook>,
    /// `lifecycle.postStart`.
    pub post_start: Option<Hook>,
    /// `resources.requests.cpu` in thousandths of a core.
    pub cpu_request_milli: Option<Located<u32>>,
    /// `resources.limits.cpu` in thousandths of a core.
    pub cpu_limit_milli: Option<Located<u32>>,
}

/// What is done before a container stops, or after it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hook {
    /// Where it begins.
    pub at: Location,
    /// How long it takes at least, where it says: a sleep.
    pub sleep: Option<Nanos>,
}

/// How the kubelet asks a container; what is absent has Kubernetes' default (`K-2`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where it begins.
    pub at: Location,
    /// What it does.
    pub action: ProbeAction,
    /// `initialDelaySeconds`; absent: 0.
    pub initial_delay: Option<Located<u32>>,
    /// `periodSeconds`; absent: 10.
    pub period: Option<Located<u32>>,
    /// `timeoutSeconds`; absent: 1.
    pub timeout: Option<Located<u32>>,
    /// `successThreshold`; absent: 1.
    pub success_threshold: Option<Located<u32>>,
    /// `failureThreshold`; absent: 3.
    pub failure_threshold: Option<Located<u32>>,
}

/// What a probe does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProbeAction {
    /// Asks for a path.
    HttpGet {
        /// The path.
        path: String,
        /// The port, a number or a name.
        port: String,
    },
    /// Opens a connection to a port, a number or a name.
    TcpSocket(String),
    /// Asks gRPC's health service on a port.
    Grpc(u16),
    /// Runs a command, or nothing that is known.
    Exec,
}

impl Probe {
    /// The longest time from a failure to its consequence: the failures in a row, the last answer's limit and the
    /// probe that had just gone well (`K-2`).
    pub fn detection(&self) -> Nanos {
        let value = |written: &Option<Located<u32>>, default: u32| {
            u64::from(written.as_ref().map_or(default, |written| written.value).max(1))
        };
        let failures = value(&self.failure_threshold, 3);
        Nanos::from_secs(failures * value(&self.period, 10) + value(&self.timeout, 1))
    }
}

impl PodLife {
    /// Time from the order to stop until SIGKILL.
    pub fn grace(&self) -> Nanos {
        self.termination_grace.as_ref().map_or(Nanos::from_secs(30), |grace| grace.value)
    }

    /// How long a pod that ends may be sent requests that it does not take, if it stops at once and others learn of
    /// it after `propagation` (`K-4`): what the shortest sleep of its containers' `preStop` does not cover.
    pub fn failure_window(&self, propagation: Nanos) -> Nanos {
        let sleep = |container: &ContainerLife| {
            container.pre_stop.as_ref().and_then(|hook| hook.sleep).unwrap_or_default().min(self.grace())
        };
        let covered = self.containers.iter().map(sleep).min().unwrap_or_default();
        Nanos::new(propagation.get().saturating_sub(covered.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kubernetes::tests::located;

    #[test]
    fn k2_a_failure_shows_after_the_threshold() {
        let probe = Probe {
            at: located(()).at,
            action: ProbeAction::Exec,
            initial_delay: None,
            period: None,
            timeout: None,
            success_threshold: None,
            failure_threshold: None,
        };
        assert_eq!(probe.detection().as_millis(), 31_000, "K-2");
        let quick = Probe { period: Some(located(2)), failure_threshold: Some(located(1)), ..probe };
        assert_eq!(quick.detection().as_millis(), 3_000, "K-2");
    }

    #[test]
    fn t49_k4_a_pod_that_ends_is_still_sent_requests() {
        let two = Nanos::from_secs(2);
        let plain = PodLife { containers: vec![ContainerLife::default()], ..PodLife::default() };
        assert_eq!((plain.failure_window(two), plain.grace().as_millis()), (two, 30_000), "T49 K-4");
        let hook = Hook { at: located(()).at, sleep: Some(Nanos::from_secs(5)) };
        let sleeps = ContainerLife { pre_stop: Some(hook), ..ContainerLife::default() };
        let covered = PodLife { containers: vec![sleeps], ..PodLife::default() };
        assert_eq!(covered.failure_window(two), Nanos::ZERO, "K-4");
        let short = PodLife { termination_grace: Some(located(Nanos::from_secs(1))), ..covered };
        assert_eq!(short.failure_window(two), Nanos::from_secs(1), "K-4 the grace ends it");
    }
}
