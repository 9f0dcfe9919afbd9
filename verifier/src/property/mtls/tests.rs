#![allow(clippy::unwrap_used, clippy::panic)]

use super::*;
use crate::z3::{Answer, check_all};

use MtlsMode::{Disable, Permissive, Strict};
use Outcome::{ApplicationTls, Fails, Mutual, Plaintext};

/// The table of the specification, 2.2: rows are how the client speaks, columns no sidecar, PERMISSIVE, STRICT, DISABLE.
const TABLE: [(&str, Transport, bool, [Outcome; 4]); 6] = [
    (
        "no sidecar, DISABLE, or automatic mTLS off",
        Transport::Plaintext,
        true,
        [Plaintext, Plaintext, Fails, Plaintext],
    ),
    ("the same on a TCP port", Transport::Plaintext, false, [Plaintext, Plaintext, Fails, Plaintext]),
    ("ISTIO_MUTUAL", Transport::IstioMutual, true, [Fails, Mutual, Mutual, Fails]),
    ("ISTIO_MUTUAL on a TCP port", Transport::IstioMutual, false, [Fails, Mutual, Mutual, Fails]),
    ("SIMPLE on an HTTP port", Transport::Tls, true, [Fails, Fails, Fails, Fails]),
    ("SIMPLE on a TCP port", Transport::Tls, false, [ApplicationTls, ApplicationTls, Fails, ApplicationTls]),
];

fn all_facts() -> impl Iterator<Item = (Facts, Outcome)> {
    TABLE.into_iter().flat_map(|(_, transport, is_http, row)| {
        let modes = [None, Some(Permissive), Some(Strict), Some(Disable)];
        modes.into_iter().zip(row).map(move |(mode, expected)| (Facts { transport, mode, is_http }, expected))
    })
}

#[test]
fn outcomes_are_those_of_the_table() {
    for (facts, expected) in all_facts() {
        assert_eq!(outcome(facts), expected, "{facts:?}");
    }
}

#[test]
fn the_proposition_says_the_same_of_every_link_and_of_every_pair() {
    let all: Vec<(Facts, Outcome)> = all_facts().collect();
    for bad in [Plaintext, Fails] {
        let mut queries = Vec::new();
        let mut expected = Vec::new();
        for (one, first) in &all {
            for (other, second) in &all {
                queries.push(proposition(&[*one, *other], bad));
                expected.push(*first == bad || *second == bad);
            }
        }
        let found = check_all(&queries, 1_000_000);
        let (mut yes, mut no) = (0, 0);
        for (answer, expected) in found.iter().zip(expected) {
            match answer {
                Answer::Sat(_) => yes += 1,
                Answer::Unsat => no += 1,
                Answer::Unknown(reason) => panic!("{reason}"),
            }
            assert_eq!(matches!(answer, Answer::Sat(_)), expected, "number {}", yes + no);
        }
        assert!(yes * 4 >= all.len() * all.len() && no * 10 >= all.len() * all.len(), "{yes} {no}: both occur");
    }
}
