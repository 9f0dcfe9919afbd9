//! `MP0601` plaintext-path and `MP0602` mtls-outage (`P3`).
//!
//! **Statements.** For each port of each workload: no client, inside the mesh or outside, can speak plaintext to it;
//! and every client of the mesh that calls it, or has a `DestinationRule` for it, agrees with it on TLS. Both over every
//! client, server and port that can reach each other (assumption A9).
//!
//! **Decided by** the table of `2.2` ([`outcome`]) on what lowering gives for each pair: the server's mode and the
//! client's transport. **Checked by** Z3 on the propositions behind the table ([`proposition`]): among the facts of a
//! server's links, is there one that is plaintext, or an outage?

use meshproof_model::{Protocol, Transport, istio::MtlsMode};

use crate::term::{Bool, Query};

mod judge;
pub(crate) mod links;
#[cfg(test)]
mod tests;

pub(crate) use judge::check;

/// What a connection between a client and a server comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// It works, and anybody can read it.
    Plaintext,
    /// It works over Istio's mutual TLS.
    Mutual,
    /// It works over TLS that the application itself serves.
    ApplicationTls,
    /// It fails.
    Fails,
}

/// What decides the outcome of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Facts {
    /// How the client speaks.
    pub transport: Transport,
    /// What the server accepts; `None`: it has no proxy.
    pub mode: Option<MtlsMode>,
    /// Whether the port is declared to speak HTTP.
    pub is_http: bool,
}

/// The table of `2.2`.
pub(crate) const fn outcome(facts: Facts) -> Outcome {
    match (facts.transport, facts.mode) {
        (Transport::Plaintext, Some(MtlsMode::Strict)) => Outcome::Fails,
        (Transport::Plaintext, _) => Outcome::Plaintext,
        (Transport::IstioMutual, Some(MtlsMode::Permissive | MtlsMode::Strict)) => Outcome::Mutual,
        (Transport::IstioMutual, None | Some(MtlsMode::Disable)) => Outcome::Fails,
        (Transport::Tls, Some(MtlsMode::Strict)) => Outcome::Fails,
        (Transport::Tls, _) if facts.is_http => Outcome::Fails,
        (Transport::Tls, _) => Outcome::ApplicationTls,
    }
}

/// Whether a port is declared to speak HTTP, so that it cannot serve TLS itself; a detected protocol is not.
pub(crate) const fn speaks_http(protocol: Protocol) -> bool {
    protocol.is_http() && !matches!(protocol, Protocol::Auto)
}

/// Is there, among these facts, one with this outcome ([`Outcome::Plaintext`] or [`Outcome::Fails`])?
pub(crate) fn proposition(facts: &[Facts], bad: Outcome) -> Query {
    let mut query = Query::default();
    let [plain, mutual, tls] = ["plain", "mutual", "tls"].map(|name| query.bool(name));
    let [proxy, strict, disable, http] = ["proxy", "strict", "disable", "http"].map(|name| query.bool(name));
    let is = |variable: &Bool, holds: bool| if holds { variable.clone() } else { !variable.clone() };
    // A link gives a value to each of them.
    let links = facts.iter().map(|facts| {
        Bool::And(vec![
            is(&plain, facts.transport == Transport::Plaintext),
            is(&mutual, facts.transport == Transport::IstioMutual),
            is(&tls, facts.transport == Transport::Tls),
            is(&proxy, facts.mode.is_some()),
            is(&strict, facts.mode == Some(MtlsMode::Strict)),
            is(&disable, facts.mode == Some(MtlsMode::Disable)),
            is(&http, facts.is_http),
        ])
    });
    query.assert(Bool::Or(links.collect()));
    query.assert(match bad {
        Outcome::Plaintext => Bool::And(vec![plain, !strict]),
        _ => Bool::Or(vec![
            Bool::And(vec![strict.clone(), !mutual.clone()]),
            Bool::And(vec![mutual, Bool::Or(vec![!proxy, disable])]),
            Bool::And(vec![tls, Bool::Or(vec![http, strict])]),
        ]),
    });
    query
}
