//! Heads that are prepared for a listener, so that a proxy loads and routes each kind of request once.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_proxy::{ListenerId, Peer, PreparedRequest, RequestHead, RequestKey};

use crate::plan::{Direction, Head, Plan, Spec};

/// BOUND: heads that one configuration keeps; others are loaded each time.
const KEPT: usize = 4096;
/// A head with more headers needs an allocation when it is loaded.
const HEADERS: usize = 8;

/// What tells requests of one configuration apart: the listener, the head, and the client's certificate.
pub(super) type Kind = (ListenerId, u32, u32);

/// Prepared heads, by the number of the configuration. `None`: it cannot be prepared.
#[derive(Clone, Debug, Default)]
pub(super) struct Prepared(Vec<BTreeMap<Kind, Option<Entry>>>);

/// One kind of request at one configuration.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) request: PreparedRequest,
    /// Whether the proxy decides nothing about it.
    pub(super) passes_through: bool,
}

impl Prepared {
    /// The prepared head; `None`: it must be loaded.
    pub(super) fn get(&mut self, plan: &Plan, spec: &Arc<Spec>, kind: Kind, head: &Head) -> Option<&Entry> {
        let number = spec.number as usize;
        if self.0.len() <= number {
            self.0.resize_with(number + 1, BTreeMap::new);
        }
        let known = &mut self.0[number];
        if known.len() >= KEPT && !known.contains_key(&kind) {
            return None;
        }
        let prepare = || {
            let request = with_head(plan, head, kind.2, 0, |head| PreparedRequest::new(&spec.table, kind.0, head))?;
            let passes_through = spec.direction == Direction::Inbound && request.passes_through();
            Some(Entry { request, passes_through })
        };
        known.entry(kind).or_insert_with(prepare).as_ref()
    }
}

/// Lends a head in the form in which proxies read it.
pub(super) fn with_head<T>(
    plan: &Plan,
    head: &Head,
    identity: u32,
    key: u64,
    read: impl FnOnce(&RequestHead<'_>) -> T,
) -> T {
    let mut few = [("", ""); HEADERS];
    let many: Vec<(&str, &str)>;
    let pairs = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers = if let Some(few) = few.get_mut(..head.headers.len()) {
        few.iter_mut().zip(pairs).for_each(|(slot, pair)| *slot = pair);
        &*few
    } else {
        many = pairs.collect();
        many.as_slice()
    };
    read(&RequestHead {
        key: RequestKey(key),
        method: &head.method,
        authority: &head.authority,
        path: &head.path,
        headers,
        tokens: &[],
        peer: Peer { identity: plan.identities.get(identity as usize), ..Peer::default() },
        http2: false,
    })
}
