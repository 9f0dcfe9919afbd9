//! Subsets and what happens when none matches.

use super::*;
use crate::config::{SubsetFallback, SubsetSelector, Subsets};

fn labels(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

fn with_subsets(change: impl FnOnce(&mut Subsets)) -> Cluster {
    let metadata: [&[(&str, &str)]; 4] = [&[("v", "1"), ("env", "a")], &[("v", "1"), ("env", "b")], &[("v", "2")], &[]];
    let hosts = metadata.iter().enumerate().map(|(n, pairs)| Host { metadata: labels(pairs), ..host(n) }).collect();
    let selector =
        |keys: &[&str], fallback| SubsetSelector { keys: keys.iter().map(|key| (*key).to_owned()).collect(), fallback };
    let mut subsets = Subsets {
        selectors: vec![selector(&["v"], None), selector(&["env", "v"], Some(SubsetFallback::AnyEndpoint))],
        fallback: SubsetFallback::NoFallback,
        default_subset: labels(&[("v", "2")]),
        panic_mode_any: false,
    };
    change(&mut subsets);
    Cluster { subsets: Some(subsets), ..Cluster::new("c", hosts) }
}

#[test]
fn labels_and_fallbacks_choose_the_hosts() {
    use SubsetFallback::{AnyEndpoint, DefaultSubset, NoFallback};
    type Case<'a> = (SubsetFallback, &'a [(&'a str, &'a str)], &'a [usize]);
    let table: [Case<'_>; 9] = [
        (NoFallback, &[("v", "1")], &[0, 1]),
        (NoFallback, &[("v", "1"), ("env", "b")], &[1]),
        (NoFallback, &[("v", "3")], &[]),
        // These keys have their own fallback.
        (NoFallback, &[("v", "1"), ("env", "c")], &[0, 1, 2, 3]),
        // No selector has these keys.
        (NoFallback, &[("env", "a")], &[]),
        (NoFallback, &[], &[]),
        (AnyEndpoint, &[("v", "3")], &[0, 1, 2, 3]),
        (DefaultSubset, &[("v", "3")], &[2]),
        (DefaultSubset, &[], &[2]),
    ];
    for (fallback, wanted, used) in table {
        let mut rig = Rig::new(&with_subsets(|subsets| subsets.fallback = fallback));
        let wanted = labels(wanted);
        let mut got: Vec<_> = (0..12)
            .filter_map(|_| {
                rig.requests += 1;
                let mut tried = Tried::default();
                let request = rig.requests;
                rig.call(|hosts, cx| {
                    hosts.pick(cx, &mut Pick { metadata_match: &wanted, ..want(request, 1, &mut tried) })
                })
            })
            .map(HostId::index)
            .collect();
        got.sort_unstable();
        got.dedup();
        assert_eq!(got, used, "{wanted:?} with {fallback:?}");
    }
}

#[test]
fn panic_helps_only_after_a_fallback() {
    let default = labels(&[("v", "9")]);
    let mut rig = Rig::new(&with_subsets(|subsets| {
        subsets.panic_mode_any = true;
        subsets.default_subset = default.clone();
    }));
    assert_eq!(rig.pick(), None);
    let mut rig = Rig::new(&with_subsets(|subsets| {
        subsets.panic_mode_any = true;
        subsets.fallback = SubsetFallback::DefaultSubset;
        subsets.default_subset = default;
    }));
    assert!(rig.pick().is_some());
    assert_eq!(rig.stat(Counter::LbSubsetsFallbackPanic), 1);
}
