//! Zone-aware balancing: which zone's hosts a request goes to (Envoy: `ZoneAwareLoadBalancerBase`).

use crate::hosts::table::ZoneOptions;

/// What the zones of the upstream cluster and of the own cluster allow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum ZoneRouting {
    /// Zones do not matter.
    #[default]
    Off,
    /// Everything stays in the own zone, which is the first locality.
    Direct,
    /// A part stays; the rest goes where there is spare capacity.
    Residual {
        /// Of 10,000 requests.
        local: u64,
        /// Spare capacity of each locality, summed up from the first.
        residual: Vec<u64>,
    },
}

/// Why zones are not used although they are configured (Envoy: `lb_zone_*` counters).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ZoneFault {
    /// The own zone has no proxy of the own cluster.
    LocalClusterNotOk,
    /// Too few healthy hosts.
    ClusterTooSmall,
}

/// The localities of one priority in their order: name and number of healthy hosts.
pub(super) type Zones<'a> = [(&'a str, u32)];

impl ZoneRouting {
    /// Decides for a set of healthy hosts. `zones` are the upstream's, with the own zone first if it is there.
    ///
    /// The proxies of the own cluster are taken as healthy, so that cluster never panics.
    pub(super) fn plan(options: &ZoneOptions, own: Option<&str>, zones: &Zones<'_>) -> (Self, Option<ZoneFault>) {
        let local_cluster = || options.own_cluster_hosts.iter().filter(|(_, count)| *count > 0);
        if zones.len() < 2 || local_cluster().count() < 2 {
            return (Self::Off, None);
        }
        if !local_cluster().any(|(zone, _)| own == Some(zone)) {
            return (Self::Off, Some(ZoneFault::LocalClusterNotOk));
        }
        let healthy: u64 = zones.iter().map(|(_, count)| u64::from(*count)).sum();
        if healthy < u64::from(options.min_cluster_size) {
            return (Self::Off, Some(ZoneFault::ClusterTooSmall));
        }
        (Self::spread(options, own, zones, healthy), None)
    }

    fn spread(options: &ZoneOptions, own: Option<&str>, zones: &Zones<'_>, healthy: u64) -> Self {
        let peers: u64 = options.own_cluster_hosts.iter().map(|(_, count)| u64::from(*count)).sum();
        let shares: Vec<(u64, u64)> = zones
            .iter()
            .map(|(zone, count)| {
                let here = options.own_cluster_hosts.iter().find(|(name, _)| name == zone).map_or(0, |entry| entry.1);
                // The zone of an empty group of hosts is unknown to Envoy; both shares are zero then.
                let here = if *count == 0 { 0 } else { here };
                (ten_thousandths(here, peers), ten_thousandths(*count, healthy))
            })
            .collect();
        let own_share = shares.first().filter(|_| zones.first().map(|zone| zone.0) == own);
        if own_share.is_some_and(|(local, upstream)| *upstream > 0 && upstream >= local) {
            return Self::Direct;
        }
        let local = own_share.map_or(0, |(local, upstream)| (upstream * 10_000).checked_div(*local).unwrap_or(0));
        let mut sum = 0;
        let residual = shares
            .iter()
            .enumerate()
            .map(|(index, (local, upstream))| {
                let is_own = index == 0 && own_share.is_some();
                sum += if is_own { 0 } else { upstream.saturating_sub(*local) };
                sum
            })
            .collect();
        Self::Residual { local, residual }
    }
}

fn ten_thousandths(part: u32, whole: u64) -> u64 {
    (10_000 * u64::from(part)).checked_div(whole).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(own: &[(&str, u32)], min_cluster_size: u32) -> ZoneOptions {
        let own_cluster_hosts = own.iter().map(|(zone, count)| ((*zone).to_owned(), *count)).collect();
        ZoneOptions { routing_enabled: 100, min_cluster_size, own_cluster_hosts }
    }

    #[test]
    fn shares_are_those_of_the_specification() {
        let own = options(&[("a", 4), ("b", 4), ("c", 2)], 6);
        let got = ZoneRouting::plan(&own, Some("a"), &[("a", 2), ("b", 4), ("c", 2)]);
        // 62.5 % stay; 10 and 5 points of spare capacity share the other 37.5 %: 25 and 12.5 %.
        assert_eq!(got, (ZoneRouting::Residual { local: 6250, residual: vec![0, 1000, 1500] }, None));
    }

    #[test]
    fn some_clusters_ignore_zones() {
        type Case<'a> = (&'a [(&'a str, u32)], &'a Zones<'a>, u32, ZoneRouting, Option<ZoneFault>);
        let table: [Case<'_>; 6] = [
            (&[("a", 1), ("b", 1)], &[("a", 6)], 6, ZoneRouting::Off, None),
            (&[("a", 1)], &[("a", 3), ("b", 3)], 6, ZoneRouting::Off, None),
            (&[("b", 1), ("c", 1)], &[("a", 3), ("b", 3)], 6, ZoneRouting::Off, Some(ZoneFault::LocalClusterNotOk)),
            (&[("a", 1), ("b", 1)], &[("a", 3), ("b", 2)], 6, ZoneRouting::Off, Some(ZoneFault::ClusterTooSmall)),
            (&[("a", 1), ("b", 1)], &[("a", 3), ("b", 3)], 6, ZoneRouting::Direct, None),
            // Nothing at home: all of it goes to spare capacity.
            (
                &[("a", 1), ("b", 1)],
                &[("b", 3), ("c", 3)],
                6,
                ZoneRouting::Residual { local: 0, residual: vec![0, 5000] },
                None,
            ),
        ];
        for (own, zones, size, routing, fault) in table {
            assert_eq!(ZoneRouting::plan(&options(own, size), Some("a"), zones), (routing, fault), "{zones:?}");
        }
    }
}
