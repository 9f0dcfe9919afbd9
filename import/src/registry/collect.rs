//! From documents to objects: lists are unrolled, what is no object is named.

use meshproof_model::{
    FieldPath, FileId, Finding, INVALID_VALUE, Location, ResourceRef, Subject, UNRENDERED_TEMPLATE, Unmodelled,
};

use super::{Known, Reader, Trees};
use crate::{
    envoy, helm,
    kinds::{self, Reading},
    kubernetes::workload,
    object::{NoObject, Object, head, locate},
    terraform::{self, Planned},
    unmodelled,
    yaml::{Document, Node},
};

impl Reader<'_> {
    /// The objects of a document; lists are unrolled.
    pub(super) fn document<'a>(&mut self, file: FileId, document: &'a Document<'a>, trees: &mut Trees<'a>) {
        let first = trees.objects.len();
        self.tree(file, document, &document.root, &FieldPath::default(), trees);
        let subject = |objects: &[Known<'a>]| match objects.get(first) {
            Some((object, _)) => Subject::Resource(object.meta.resource.clone()),
            None => Subject::Mesh,
        };
        for duplicate in &document.duplicates {
            let message = format!("`{}` is written twice in one object; the last one counts", duplicate.key);
            let finding = Finding::new(&INVALID_VALUE, subject(&trees.objects), message)
                .at(locate(file, duplicate.second, duplicate.path.as_str()))
                .related(locate(file, duplicate.first, duplicate.path.as_str()), "the first one")
                .help("keep one of them");
            self.out.findings.push(finding);
        }
    }

    /// The manifests of a Terraform plan.
    fn planned<'a>(
        &mut self,
        file: FileId,
        document: &'a Document<'a>,
        planned: Vec<Planned<'a, 'a>>,
        trees: &mut Trees<'a>,
    ) {
        for resource in planned {
            match resource.manifest {
                Some((manifest, path)) => self.tree(file, document, manifest, &FieldPath::from(path), trees),
                None => self.out.mesh.unmodelled.push(Unmodelled {
                    at: locate(file, head(resource.node), resource.path.as_str()),
                    reason: "of a plan only `kubernetes_manifest` resources are read".to_owned(),
                    matters: resource.kind.starts_with("kubernetes_") || resource.kind == "helm_release",
                    resource: ResourceRef { kind: resource.kind, namespace: String::new(), name: resource.address },
                }),
            }
        }
    }

    /// The objects at a place of a document.
    fn tree<'a>(
        &mut self,
        file: FileId,
        document: &'a Document<'a>,
        root: &'a Node<'a>,
        path: &FieldPath,
        trees: &mut Trees<'a>,
    ) {
        if let Some(planned) = terraform::resources(root) {
            return self.planned(file, document, planned, trees);
        }
        let object = match Object::new(file, root, path.clone(), &self.options.default_namespace) {
            Ok(object) => object,
            Err(reason) => {
                if reason == NoObject::Other {
                    trees.others.push((file, root));
                }
                return self.no_object(file, root, path, &reason);
            }
        };
        let kind = kinds::find(&object.group, &object.meta.resource.kind);
        if kind.is_some_and(|kind| kind.reading == Reading::List) {
            if let Some(items) = root.entry("items") {
                for (i, item) in items.value.items().iter().enumerate() {
                    self.tree(file, document, item, &path.key("items").index(i), trees);
                }
            }
            return;
        }
        let mut object = object;
        if is_cluster_wide(&object) {
            object.meta.resource.namespace = String::new();
        }
        if document.braces
            && let Some(at) = helm::action(&object)
        {
            self.out.unreadable = true;
            self.out.findings.push(unrendered(at));
            return;
        }
        if let Some(hook) = helm::unapplied_hook(&object) {
            let reason = format!("a Helm hook that no install or upgrade applies: `{hook}`");
            return self.out.mesh.unmodelled.push(Unmodelled { matters: false, ..unmodelled::whole(&object, reason) });
        }
        if object.meta.resource.name.is_empty() {
            if kind.is_some_and(|kind| kind.schema.is_some()) {
                return self.no_object(file, root, path, &NoObject::Lacks("metadata.name"));
            }
            self.sources.path(file).clone_into(&mut object.meta.resource.name);
        }
        if kind.is_some_and(|kind| kind.reading == Reading::Workload) && !workload::has_template(&object) {
            let reason = "a fragment without pods, as `kubectl kustomize` merges them: render it and read that";
            return self.out.mesh.unmodelled.push(unmodelled::whole(&object, reason));
        }
        trees.objects.push((object, kind));
    }

    fn no_object(&mut self, file: FileId, root: &Node<'_>, path: &FieldPath, reason: &NoObject) {
        let at = locate(file, head(root), path.clone());
        match reason {
            NoObject::Other if envoy::is_dump(root) => {
                let name = self.sources.path(file).to_owned();
                envoy::read(file, root, &name, &mut self.out.mesh);
            }
            NoObject::Other => {
                let resource = ResourceRef {
                    kind: "Document".to_owned(),
                    namespace: String::new(),
                    name: self.sources.path(file).to_owned(),
                };
                let reason = "this is no object of Kubernetes: it has not both `apiVersion` and `kind`".to_owned();
                self.out.mesh.unmodelled.push(Unmodelled { resource, at, reason, matters: true });
            }
            NoObject::Lacks(field) => {
                let message = format!("this object has no `{field}`, so it is nothing that can be applied");
                self.out.findings.push(Finding::new(&INVALID_VALUE, Subject::Mesh, message).at(at));
            }
        }
    }
}

pub(super) fn unrendered(at: Location) -> Finding {
    Finding::new(&UNRENDERED_TEMPLATE, Subject::Mesh, "this is a template that was not rendered")
        .at(at)
        .help("render it first, such as `helm template . | meshproof verify -`")
}

/// Kinds whose objects live in no namespace.
fn is_cluster_wide(object: &Object<'_>) -> bool {
    const KINDS: &[&str] = &[
        "Namespace",
        "Node",
        "PersistentVolume",
        "ClusterRole",
        "ClusterRoleBinding",
        "CustomResourceDefinition",
        "MutatingWebhookConfiguration",
        "ValidatingWebhookConfiguration",
        "PriorityClass",
        "StorageClass",
        "APIService",
        "IngressClass",
        "GatewayClass",
        "ClusterIssuer",
        "PodSecurityPolicy",
        "ClusterAnalysisTemplate",
    ];
    KINDS.contains(&object.meta.resource.kind.as_str())
}
