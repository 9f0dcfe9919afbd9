//! Defaults that differ between versions of Istio, by the rule that describes them (0.8).

use std::{fmt, str::FromStr};

/// A version of Istio; the patch does not matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct IstioVersion(u16);

/// A default and the first version that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// The rule of the book.
    pub rule: &'static str,
    /// The first version that follows the rule as it stands.
    pub since: IstioVersion,
    /// What holds before.
    pub before: &'static str,
}

/// Every default that changed between the oldest and the newest version that are known.
pub static CHANGES: &[Change] = &[
    Change { rule: "RT-11", since: IstioVersion(24), before: "503 is retried by default" },
    Change {
        rule: "DR-3",
        since: IstioVersion(24),
        before: "DestinationRules of one host and namespace merge whatever their `exportTo`, and the first one's counts",
    },
    Change { rule: "RT-17", since: IstioVersion(24), before: "servers' own proxies retry nothing" },
    Change {
        rule: "DR-19",
        since: IstioVersion(32),
        before: "pods that are not ready are not sent to clients, and Envoy's panic threshold of 50 % holds where there \
                 is no outlier detection",
    },
];

impl IstioVersion {
    /// The oldest version whose defaults are known.
    pub const OLDEST: Self = Self(22);
    /// The newest one.
    pub const NEWEST: Self = Self(32);

    /// The version that the name of a revision tells, as Istio's guide to upgrades writes them: `1-23-4`. `None`: the name
    /// is another one, such as `canary`.
    pub fn of_revision(name: &str) -> Option<Self> {
        name.replace('-', ".").parse().ok()
    }

    /// Whether it follows a rule as the book states it; one that never changed, always.
    pub fn follows(self, rule: &str) -> bool {
        CHANGES.iter().find(|change| change.rule == rule).is_none_or(|change| self >= change.since)
    }
}

impl Default for IstioVersion {
    /// The newest.
    fn default() -> Self {
        Self::NEWEST
    }
}

impl fmt::Display for IstioVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}", self.0)
    }
}

/// Why a text is no version.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of Istio that is known: {oldest} to {newest} are", oldest = IstioVersion::OLDEST, newest = IstioVersion::NEWEST)]
pub struct UnknownVersion(String);

impl FromStr for IstioVersion {
    type Err = UnknownVersion;

    fn from_str(text: &str) -> Result<Self, UnknownVersion> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).split('.');
        let (major, minor) = (parts.next(), parts.next().and_then(|minor| minor.parse().ok()).map(Self));
        let known = minor.filter(|minor| (Self::OLDEST..=Self::NEWEST).contains(minor));
        known.filter(|_| major == Some("1")).ok_or_else(|| UnknownVersion(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_their_rules_known() {
        for (text, expect) in [("1.22", Some(22)), ("v1.24.3", Some(24)), ("1.32", Some(32))] {
            assert_eq!(text.parse().ok(), expect.map(IstioVersion), "{text}");
        }
        for text in ["", "1", "1.21", "1.33", "2.24", "x"] {
            assert!(text.parse::<IstioVersion>().is_err(), "{text}");
        }
        for (name, expect) in [("1-23-4", Some(23)), ("1-24", Some(24)), ("canary", None), ("1-99-0", None), ("", None)]
        {
            assert_eq!(IstioVersion::of_revision(name), expect.map(IstioVersion), "{name}");
        }
        let old = IstioVersion(23);
        assert!(!old.follows("RT-11") && !old.follows("DR-19") && old.follows("RT-10"));
        assert!(IstioVersion(24).follows("RT-11") && !IstioVersion(24).follows("DR-19"));
        assert!(CHANGES.iter().all(|change| IstioVersion::NEWEST.follows(change.rule)));
    }
}
