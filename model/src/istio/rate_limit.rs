//! Limits that a rate limit service keeps, and the descriptors that proxies ask it about (`RL-1`, `RL-2`).

use crate::{Located, Location, Meta};

/// The configuration of a rate limit service for one domain (Envoy's reference service).
#[derive(Clone, Debug, PartialEq)]
pub struct RateLimitService {
    /// The object that holds it.
    pub meta: Meta,
    /// The domain; filters name it.
    pub domain: Located<String>,
    /// The first level of its tree.
    pub descriptors: Vec<LimitNode>,
}

/// A node of the tree of descriptors.
#[derive(Clone, Debug, PartialEq)]
pub struct LimitNode {
    /// Where it begins.
    pub at: Location,
    /// The key.
    pub key: String,
    /// The value, with a `*` at its end for all that begin so; absent: any.
    pub value: Option<String>,
    /// Its limit; absent: none for descriptors that end here.
    pub limit: Option<Rate>,
    /// Whether what is over the limit is only counted.
    pub shadow_mode: bool,
    /// The next level.
    pub descriptors: Vec<LimitNode>,
}

/// So many requests in a window that begins with the unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// `requests_per_unit`; absent where there is no limit.
    pub requests: Option<u32>,
    /// `second`, `minute`, `hour`, `day`, `week`, `month` or `year`.
    pub unit: String,
}

/// One entry of a descriptor, as a proxy makes it of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescriptorEntry {
    /// The key.
    pub key: String,
    /// The value, where it does not depend on the request.
    pub value: Option<String>,
}

impl RateLimitService {
    /// The nodes that hold for a descriptor: it must fit to its full depth. A value that depends on the request may be
    /// any that is written.
    pub fn nodes(&self, descriptor: &[DescriptorEntry]) -> Vec<&LimitNode> {
        let mut level: Vec<&LimitNode> = self.descriptors.iter().collect();
        let mut found = Vec::new();
        for (depth, entry) in descriptor.iter().enumerate() {
            found = matching(&level, entry);
            if depth + 1 < descriptor.len() {
                level = found.iter().flat_map(|node| &node.descriptors).collect();
            }
        }
        found
    }
}

/// The nodes of a level for an entry: of a value that is known the exact one, else the longest beginning, else the one
/// without a value.
fn matching<'n>(level: &[&'n LimitNode], entry: &DescriptorEntry) -> Vec<&'n LimitNode> {
    let of_key: Vec<&LimitNode> = level.iter().copied().filter(|node| node.key == entry.key).collect();
    let Some(value) = &entry.value else { return of_key };
    let exact = of_key.iter().copied().find(|node| node.value.as_ref() == Some(value));
    let starts = |node: &&LimitNode| {
        let start = node.value.as_deref().and_then(|own| own.strip_suffix('*'));
        start.is_some_and(|start| value.starts_with(start))
    };
    let longest = || of_key.iter().copied().filter(starts).max_by_key(|node| node.value.as_ref().map(String::len));
    let any = || of_key.iter().copied().find(|node| node.value.is_none());
    exact.or_else(longest).or_else(any).into_iter().collect()
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.requests {
            Some(requests) => write!(f, "{requests} per {}", self.unit),
            None => f.write_str("unlimited"),
        }
    }
}
