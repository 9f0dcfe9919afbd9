//! What is wrong with the faults of a scenario, and with what handlers have beside places and calls.

use std::fmt::Display;

use crate::{
    Fault, Mesh, Place, Placement, Replicas, ScenarioProblem, Share, WorkloadBehaviour,
    check::{Errors, check_status},
};

impl Mesh {
    pub(crate) fn check_fault(&self, path: &str, fault: &Fault, errors: &mut Errors) {
        if let Some((workload, replicas)) = fault.workload() {
            self.check_workload_name(format_args!("{path}.workload"), workload, errors);
            if let (Replicas::Count(count), Some(id)) = (replicas, self.named_workload(workload))
                && count > self.workload(id).replicas.value
            {
                let message = format!("`{workload}` has only {} replicas", self.workload(id).replicas.value);
                errors.value(format_args!("{path}.replicas"), message);
            }
        }
        let (from, until) = fault.span();
        if from == until && !matches!(fault, Fault::CacheLoss { .. }) {
            errors.value(format_args!("{path}.during"), "a fault lasts longer than no time");
        }
        match fault {
            Fault::Slow { factor, .. } if !(factor.is_finite() && *factor >= 0.0) => {
                errors.value(format_args!("{path}.factor"), "the factor is a number from zero on");
            }
            Fault::Errors { status, .. } => check_status(format_args!("{path}.status"), *status, errors),
            Fault::ClusterLoss { cluster, .. } => self.check_cluster(format_args!("{path}.cluster"), cluster, errors),
            Fault::ZoneLoss { zone, .. } => self.check_zone(format_args!("{path}.zone"), zone, errors),
            Fault::Partition { from, to, .. } => {
                self.check_place(format_args!("{path}.from"), from, errors);
                self.check_place(format_args!("{path}.to"), to, errors);
            }
            Fault::Link { from, to, delay, loss, .. } => {
                self.check_place(format_args!("{path}.from"), from, errors);
                self.check_place(format_args!("{path}.to"), to, errors);
                errors.distribution(format_args!("{path}.delay"), delay);
                if *loss >= Share::ALL {
                    errors.value(format_args!("{path}.loss"), "a link that loses everything is a `Partition`");
                }
            }
            Fault::Dns { service: Some(service), .. } => {
                let known: Vec<String> = self.service_ids().map(|id| self.service(id).full_name()).collect();
                if !known.contains(service) {
                    let known = known.iter().map(String::as_str);
                    errors.unknown(format_args!("{path}.service"), "service", service, known);
                }
            }
            Fault::Crash { .. }
            | Fault::Slow { .. }
            | Fault::Freeze { .. }
            | Fault::Capacity { .. }
            | Fault::CacheLoss { .. }
            | Fault::Dns { .. }
            | Fault::ControlPlane { .. }
            | Fault::CertificateExpiry { .. } => {}
        }
    }

    fn check_place(&self, path: impl Display, place: &Place, errors: &mut Errors) {
        match place {
            Place::Anywhere | Place::Outside => {}
            Place::Zone(zone) => self.check_zone(path, zone, errors),
            Place::Cluster(cluster) => self.check_cluster(path, cluster, errors),
            Place::Workload(workload) => self.check_workload_name(path, workload, errors),
        }
    }

    pub(crate) fn check_zone(&self, path: impl Display, zone: &str, errors: &mut Errors) {
        let zones = &self.behaviour.placement.zones;
        if !zones.iter().any(|known| known == zone) {
            errors.unknown(path, "zone", zone, zones.iter().map(String::as_str));
        }
    }

    fn check_cluster(&self, path: impl Display, cluster: &str, errors: &mut Errors) {
        let clusters = &self.behaviour.placement.clusters;
        if !clusters.contains_key(cluster) {
            errors.unknown(path, "cluster", cluster, clusters.keys().map(String::as_str));
        }
    }

    /// Zones, clusters, and what runs where.
    pub(crate) fn check_placement(&self, placement: &Placement, errors: &mut Errors) {
        if placement.zones.is_empty() {
            errors.value("placement.zones", "at least one zone is needed");
        }
        let lists = [("clusters", &placement.clusters), ("only", &placement.only)];
        for (field, name, zones) in
            lists.into_iter().flat_map(|(field, list)| list.iter().map(move |(name, zones)| (field, name, zones)))
        {
            let path = format!("placement.{field}.{name}");
            if zones.is_empty() {
                errors.value(&path, "at least one zone is needed");
            }
            for zone in zones {
                self.check_zone(&path, zone, errors);
            }
            if field == "only" {
                self.check_workload_name(&path, name, errors);
            }
        }
        for zone in &placement.zones {
            if placement.clusters.values().filter(|zones| zones.contains(zone)).count() > 1 {
                errors.value("placement.clusters", format!("zone `{zone}` belongs to several clusters"));
            }
        }
    }

    /// What a handler has beside places, queue, time and calls.
    pub(crate) fn check_handler(&self, path: &str, behaviour: &WorkloadBehaviour, errors: &mut Errors) {
        if behaviour.warm_up.is_some_and(|slow| !(slow.factor.is_finite() && slow.factor >= 0.0)) {
            errors.value(format_args!("{path}.warm_up.factor"), "the factor is a number from zero on");
        }
        if let Some(cache) = &behaviour.cache {
            errors.distribution(format_args!("{path}.cache.time"), &cache.time);
        }
        if let Some(pauses) = &behaviour.pauses {
            errors.distribution(format_args!("{path}.pauses.every"), &pauses.every);
            errors.distribution(format_args!("{path}.pauses.length"), &pauses.length);
            if pauses.every.max() == Some(crate::Nanos::ZERO) {
                errors.value(format_args!("{path}.pauses.every"), "the time between two pauses is above zero");
            }
        }
        for (number, publication) in behaviour.publishes.iter().enumerate() {
            self.check_queue(format_args!("{path}.publishes[{number}].queue"), &publication.queue, errors);
        }
        if let Some(consumption) = &behaviour.consumes {
            self.check_queue(format_args!("{path}.consumes.queue"), &consumption.queue, errors);
            if consumption.batch == 0 {
                errors.add(format_args!("{path}.consumes.batch"), ScenarioProblem::ZeroCapacity);
            }
        }
    }

    pub(crate) fn check_queues(&self, errors: &mut Errors) {
        for (name, queue) in &self.behaviour.queues {
            let path = format!("queues.{name}");
            if queue.limit == 0 {
                errors.add(format_args!("{path}.limit"), ScenarioProblem::ZeroCapacity);
            }
            if queue.max_receives == Some(0) {
                errors.value(format_args!("{path}.max_receives"), "a message is taken at least once");
            }
            if queue.visibility_timeout.is_zero() {
                errors.value(format_args!("{path}.visibility_timeout"), "the visibility timeout is above zero");
            }
            if let Some(dead_letters) = &queue.dead_letters {
                self.check_queue(format_args!("{path}.dead_letters"), dead_letters, errors);
            }
        }
    }

    fn check_queue(&self, path: impl Display, name: &str, errors: &mut Errors) {
        let queues = &self.behaviour.queues;
        if !queues.contains_key(name) {
            errors.unknown(path, "queue", name, queues.keys().map(String::as_str));
        }
    }
}
