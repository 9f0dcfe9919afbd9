#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use proptest::{prelude::*, strategy::ValueTree as _, test_runner::TestRunner};

use super::*;

/// Handlers with needs, one pod each unless said.
fn dependencies(needs: Vec<Vec<Vec<usize>>>, pods: Vec<Vec<u32>>) -> Dependencies {
    let count = needs.len();
    let id = |node: usize| WorkloadId(u32::try_from(node).unwrap());
    Dependencies {
        needs: needs.into_iter().map(|groups| Need { groups }).collect(),
        workloads: (0..count).map(|node| Some(id(node))).collect(),
        pods,
        serves: (0..count).map(|node| vec![ServiceId(u32::try_from(node).unwrap())]).collect(),
    }
}

#[test]
fn the_fixpoint_and_the_rounds_agree_and_smallest_cuts_are_smallest() {
    let cases = crate::testing::cases(1_000);
    let node = proptest::collection::vec(proptest::collection::vec(0..6_usize, 1..3), 0..3);
    let mesh = proptest::collection::vec((node, proptest::collection::vec(0..3_u32, 2)), 6);
    let mut runner = TestRunner::deterministic();
    let (mut none, mut one, mut robust) = (0, 0, 0);
    for _ in 0..cases {
        let (needs, pods): (Vec<_>, Vec<_>) = mesh.new_tree(&mut runner).unwrap().current().into_iter().unzip();
        let dependencies = dependencies(needs, pods);
        let atoms: Vec<Failure> = (1..6)
            .map(|service| Failure::Service(ServiceId(service)))
            .chain([Failure::Zone(0), Failure::Zone(1)])
            .collect();
        let mut smallest = None;
        for failures in up_to(&atoms, 2) {
            let up = dependencies.up(&failures);
            let down = dependencies.down(&failures);
            assert!(up.iter().zip(&down).all(|(up, down)| up != down), "{failures:?} {dependencies:?}");
            if !up[0] && smallest.is_none() {
                smallest = Some(failures);
            }
        }
        // By enumeration over all sets of all sizes, as bits.
        let least = (0..1_u32 << atoms.len())
            .filter(|bits| {
                let chosen: Vec<Failure> = atoms
                    .iter()
                    .enumerate()
                    .filter(|(i, _)| bits >> i & 1 == 1)
                    .map(|(_, atom)| atom.clone())
                    .collect();
                dependencies.down(&chosen)[0]
            })
            .map(u32::count_ones)
            .min();
        assert_eq!(smallest.as_ref().map(|set| set.len() as u32), least.filter(|least| *least <= 2));
        *(match smallest.map(|set| set.len()) {
            Some(0) => &mut none,
            Some(1) => &mut one,
            _ => &mut robust,
        }) += 1;
    }
    assert!(none * 8 > cases && one * 8 > cases && robust * 8 > cases, "all occur: {none} {one} {robust}");
}

#[test]
fn a_cycle_holds_itself_up_until_something_outside_of_it_breaks() {
    // 0 -> 1 <-> 2 -> 3
    let mesh = dependencies(vec![vec![vec![1]], vec![vec![2]], vec![vec![1], vec![3]], vec![]], vec![vec![1]; 4]);
    assert_eq!(mesh.up(&[]), [true; 4]);
    assert_eq!(mesh.up(&[Failure::Service(ServiceId(3))]), [false; 4]);
    assert_eq!(mesh.up(&[Failure::ControlPlane]), [true; 4]);
}

#[test]
fn pods_and_zones_are_counted() {
    let mesh = dependencies(vec![vec![]], vec![vec![2, 1]]);
    let id = WorkloadId(0);
    for (failures, left) in [
        (vec![], 3),
        (vec![Failure::Zone(0)], 1),
        (vec![Failure::Zone(0), Failure::Pods(id, 1)], 0),
        (vec![Failure::Pods(id, 2)], 1),
        (vec![Failure::Service(ServiceId(0))], 0),
    ] {
        assert_eq!(mesh.left(id, &failures), left, "{failures:?}");
    }
    assert_eq!(up_to(&["a", "b", "c"], 2).len(), 1 + 3 + 3);
}
