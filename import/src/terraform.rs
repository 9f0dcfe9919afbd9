//! Plans and states of Terraform (`terraform show -json`): the Kubernetes manifests in them.

use crate::{object::text_of, yaml::Node};

/// A resource of a plan.
pub(crate) struct Planned<'n, 'a> {
    /// The way to it.
    pub path: String,
    /// Its address, such as `module.web.kubernetes_manifest.routes`.
    pub address: String,
    /// Its type, such as `kubernetes_manifest`.
    pub kind: String,
    /// The resource.
    pub node: &'n Node<'a>,
    /// The object that it applies, and the way to that; `None`: it is no manifest.
    pub manifest: Option<(&'n Node<'a>, String)>,
}

/// The resources of a plan or a state, modules after their parents; `None`: the document is neither.
pub(crate) fn resources<'n, 'a>(root: &'n Node<'a>) -> Option<Vec<Planned<'n, 'a>>> {
    root.entry("format_version")?;
    let values = ["planned_values", "values"].into_iter().find_map(|key| Some((key, root.entry(key)?)));
    let (key, values) = values?;
    let mut found = Vec::new();
    let mut modules = vec![(&values.value.entry("root_module")?.value, format!("{key}.root_module"))];
    while let Some((module, path)) = modules.pop() {
        for (i, node) in module.entry("resources").iter().flat_map(|list| list.value.items()).enumerate() {
            found.push(resource(node, format!("{path}.resources[{i}]")));
        }
        let children = module.entry("child_modules").into_iter().flat_map(|list| list.value.items());
        let children: Vec<_> =
            children.enumerate().map(|(i, child)| (child, format!("{path}.child_modules[{i}]"))).collect();
        modules.extend(children.into_iter().rev());
    }
    Some(found)
}

fn resource<'n, 'a>(node: &'n Node<'a>, path: String) -> Planned<'n, 'a> {
    let text = |key: &str| node.entry(key).and_then(|entry| text_of(&entry.value)).unwrap_or_default();
    let manifest = node.entry("values").and_then(|values| values.value.entry("manifest"));
    let manifest = manifest.filter(|manifest| !manifest.value.entries().is_empty());
    let manifest = manifest.map(|manifest| (&manifest.value, format!("{path}.values.manifest")));
    Planned { address: text("address"), kind: text("type"), node, manifest, path }
}
