//! Meshes between two others: some of the objects that change are applied already, the rest are as they were.

use std::{collections::BTreeSet, fmt::Debug};

use meshproof_model::{InferredCall, Mesh, Meta, ResourceRef};

/// The objects that differ between two meshes, of the kinds that decide about requests; by kind, namespace and name.
pub(crate) fn changed(base: &Mesh, head: &Mesh) -> Vec<ResourceRef> {
    let mut found = BTreeSet::new();
    macro_rules! compare {
        ($($list:ident)*) => {
            $(differing(&base.$list, &head.$list, |object| &object.meta, &mut found);)*
        };
    }
    compare!(services workloads virtual_services destination_rules gateways peer_authentications sidecars
        request_authentications authorization_policies);
    found.into_iter().collect()
}

fn differing<T: Debug>(base: &[T], head: &[T], meta: fn(&T) -> &Meta, found: &mut BTreeSet<ResourceRef>) {
    let named = |list: &[T]| -> BTreeSet<(ResourceRef, String)> {
        list.iter().map(|object| (meta(object).resource.clone(), unplaced(object))).collect()
    };
    let (old, new) = (named(base), named(head));
    found.extend(old.symmetric_difference(&new).map(|(resource, _)| resource.clone()));
}

/// An object without the places of its parts: these change with every line that is added above it.
pub(crate) fn unplaced(object: &impl Debug) -> String {
    let mut rest = format!("{object:?}");
    let mut out = String::with_capacity(rest.len());
    while let Some(start) = rest.find("Location {") {
        out.push_str(&rest[..start]);
        // Its last part is the path, in quotes.
        let end = rest[start..].find("\" }").map_or(rest.len(), |end| start + end + 3);
        rest = rest[end..].to_owned();
    }
    out + &rest
}

/// The mesh in which these objects are as in `head` and all others that change as in `base`.
pub(crate) fn mixed(base: &Mesh, head: &Mesh, changed: &[ResourceRef], applied: &BTreeSet<&ResourceRef>) -> Mesh {
    let mut mesh = base.clone();
    macro_rules! mix {
        ($($list:ident)*) => {
            $(mesh.$list = mixed_list(&base.$list, &head.$list, |object| &object.meta, changed, applied);)*
        };
    }
    mix!(services workloads virtual_services destination_rules gateways peer_authentications sidecars
        request_authentications authorization_policies);
    let from = |mesh: &Mesh, call: &InferredCall| mesh.workload(call.from).meta.resource.clone();
    let is_new = |call: &InferredCall| applied.contains(&from(head, call));
    let is_old = |call: &InferredCall| !applied.contains(&from(base, call));
    let calls = base.inferred_calls.iter().filter(|call| is_old(call)).map(|call| (base, call));
    let calls = calls.chain(head.inferred_calls.iter().filter(|call| is_new(call)).map(|call| (head, call)));
    let inferred = calls.filter_map(|(of, call)| {
        let from = mesh.named_workload(&of.workload(call.from).full_name())?;
        let to = mesh.find_host(&of.service(call.to).host)?;
        Some(InferredCall { from, to, ..call.clone() })
    });
    let inferred: Vec<InferredCall> = inferred.collect();
    mesh.inferred_calls = inferred;
    mesh
}

fn mixed_list<T: Clone>(
    base: &[T],
    head: &[T],
    meta: fn(&T) -> &Meta,
    changed: &[ResourceRef],
    applied: &BTreeSet<&ResourceRef>,
) -> Vec<T> {
    let is_applied = |object: &&T| applied.contains(&meta(object).resource);
    let is_changed = |object: &&T| changed.contains(&meta(object).resource);
    let kept = base.iter().filter(|object| !is_changed(object) || !is_applied(object));
    kept.chain(head.iter().filter(|object| is_changed(object) && is_applied(object))).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::unplaced;
    use crate::graph::Graph;

    #[test]
    fn places_do_not_make_a_difference_and_all_else_does() {
        let at = |line: u32, value: u32| meshproof_model::Located::new(value, Graph::place(line));
        assert_eq!(unplaced(&at(1, 7)), unplaced(&at(2, 7)));
        assert_ne!(unplaced(&at(1, 7)), unplaced(&at(1, 8)));
        assert_eq!(unplaced(&vec![at(1, 7), at(2, 8)]), "[Located { value: 7, at:  }, Located { value: 8, at:  }]");
    }
}
