//! Manifests on top of manifests, as `kubectl apply` and `kubectl delete` change them.

use meshproof_model::{ResourceRef, Sources};

use crate::{
    ImportOptions, SetError,
    edit::{Tree, group_of, is_list, objects, resource_of, tree},
    yaml,
};

/// The same sources with the objects of another text in place of those of the same kind, namespace and name, and the
/// names of these objects. What stays, stays where it is.
pub fn apply(sources: &Sources, options: &ImportOptions, path: &str, text: &str) -> (Sources, Vec<ResourceRef>) {
    let mut names = Vec::new();
    for document in &yaml::parse(text).documents {
        for object in objects(&document.root) {
            names.extend(resource_of(object, options).map(|name| (group_of(object), name)));
        }
    }
    let is_named = |group: &str, name: &ResourceRef| names.iter().any(|(other, known)| group == other && name == known);
    let (mut out, _) = without(sources, options, is_named);
    out.add(path, text);
    (out, names.into_iter().map(|(_, name)| name).collect())
}

/// The same sources without some objects, each named `KIND/NAMESPACE/NAME`, and their names.
///
/// # Errors
/// If a text has another form, or there is no such object.
pub fn delete(
    sources: &Sources,
    options: &ImportOptions,
    wanted: &[String],
) -> Result<(Sources, Vec<ResourceRef>), SetError> {
    let mut out = sources.clone();
    let mut names = Vec::new();
    for text in wanted {
        let [kind, namespace, name] = text.trim().split('/').collect::<Vec<_>>()[..] else {
            return Err(SetError::Object(text.clone()));
        };
        let known = ResourceRef { kind: kind.into(), namespace: namespace.into(), name: name.into() };
        let (rest, is_found) = without(&out, options, |_, object| *object == known);
        if !is_found {
            return Err(SetError::NoSuchObject(text.clone()));
        }
        out = rest;
        names.push(known);
    }
    Ok((out, names))
}

/// Takes objects away; lines are left empty in their place. Says whether there was any.
fn without(sources: &Sources, options: &ImportOptions, goes: impl Fn(&str, &ResourceRef) -> bool) -> (Sources, bool) {
    let mut out = Sources::default();
    let mut is_found = false;
    for (id, source) in sources.iter() {
        if crate::registry::is_other(sources.path(id)) {
            out.add(sources.path(id), source.text.clone());
            continue;
        }
        let mut written = String::new();
        for part in yaml::document_texts(&source.text) {
            let parsed = yaml::parse(part);
            let Some(root) = parsed.documents.first().map(|document| &document.root) else {
                written.push_str(part);
                continue;
            };
            let object_goes = |object: &&yaml::Node<'_>| {
                resource_of(object, options).is_some_and(|name| goes(&group_of(object), &name))
            };
            let all = objects(root);
            let stay: Vec<_> = all.iter().copied().filter(|object| !object_goes(object)).collect();
            if stay.len() == all.len() {
                written.push_str(part);
                continue;
            }
            is_found = true;
            if stay.is_empty() || !is_list(root) {
                written.extend(std::iter::repeat_n('\n', part.matches('\n').count()));
                continue;
            }
            let mut list = tree(root);
            if let Some(items) = list.child("items") {
                *items = Tree::List(stay.into_iter().map(tree).collect());
            }
            written.push_str("---\n");
            list.write(&mut written, 0);
            written.push('\n');
        }
        out.add(sources.path(id), written);
    }
    (out, is_found)
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test may stop")]
mod tests {
    use super::*;
    use crate::leaves;

    const THREE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---
apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: n}\nspec: {}\n---
kind: List\nitems:\n- apiVersion: networking.istio.io/v1\n  kind: Gateway\n  metadata: {name: g, namespace: n}
- apiVersion: gateway.networking.k8s.io/v1\n  kind: Gateway\n  metadata: {name: g, namespace: n}\n";

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.add("three.yaml", THREE);
        sources
    }

    fn names(sources: &Sources) -> Vec<String> {
        let leaves = leaves(sources, &ImportOptions::default());
        leaves.keys().filter_map(|leaf| leaf.strip_suffix(" metadata.name")).map(str::to_owned).collect()
    }

    #[test]
    fn objects_take_the_place_of_their_namesakes() {
        let strict = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: n}\n\
            spec: {mtls: {mode: STRICT}}\n---\napiVersion: networking.istio.io/v1\nkind: Gateway\n\
            metadata: {name: g, namespace: n}\nspec: {servers: []}\n";
        let (after, changed) = apply(&sources(), &ImportOptions::default(), "strict.yaml", strict);
        assert_eq!(
            changed.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["PeerAuthentication n/p", "Gateway n/g"]
        );
        assert_eq!(names(&after), ["Gateway n/g", "PeerAuthentication n/p", "Service default/a"]);
        let old = &after.iter().next().expect("the first text").1.text;
        assert!(!old.contains("PeerAuthentication") && !old.contains("networking.istio.io/v1\""), "{old}");
        assert!(old.contains("gateway.networking.k8s.io/v1"), "a namesake of another group stays: {old}");
        let line = |text: &str, what: &str| text.lines().position(|line| line.contains(what));
        assert_eq!(line(old, "kind: Service"), line(THREE, "kind: Service"));
    }

    #[test]
    fn objects_are_taken_away_by_name() {
        let options = ImportOptions::default();
        let (after, _) = delete(&sources(), &options, &["Service/default/a".to_owned()]).expect("an object");
        assert_eq!(names(&after), ["Gateway n/g", "PeerAuthentication n/p"]);
        for (text, expected) in [("Service/a", "write `KIND/NAMESPACE/NAME`"), ("Service/n/a", "there is no object")] {
            let error = delete(&sources(), &options, &[text.to_owned()]).expect_err("an error").to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
