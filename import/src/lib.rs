//! Manifests in, a mesh and everything odd about them out.
//!
//! Nothing is skipped silently: an object becomes part of the [`Mesh`], or it stands in [`Mesh::unmodelled`] with what
//! that means, or a finding says why it cannot be read. Reading never fails as a whole.

mod analysis;
mod apply;
mod calls;
mod cx;
mod delivery;
mod duration;
mod edit;
mod envoy;
mod field;
mod gateway_api;
mod gateways;
mod helm;
mod istio;
mod kinds;
mod kubernetes;
mod linkerd;
mod lints;
mod object;
mod rate_limit;
mod references;
mod registry;
mod schema;
mod stand_in;
mod suppression;
mod terraform;
mod unmodelled;
mod written;
mod yaml;

use meshproof_model::{Finding, IstioVersion, Mesh, Sources, gateway_api::Implementation};

pub use apply::{apply, delete};
pub use edit::{SetError, leaves, set};
pub use suppression::{Suppression, SuppressionScope, is_date};
pub use written::{Parts, Step, Written, document_at};

/// How manifests are read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportOptions {
    /// Where objects live that do not say.
    pub default_namespace: String,
    /// Whether unknown fields and kinds, and what is not modelled, are errors.
    pub strict: bool,
    /// The version of Istio whose defaults count.
    pub istio_version: IstioVersion,
    /// What full host names end in, after `.svc.`.
    pub cluster_domain: String,
    /// Who carries Gateway API out: what the API leaves open, each decides for itself.
    pub gateway_impl: Implementation,
    /// Whose findings are wanted.
    pub profile: Profile,
}

/// Whose findings are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// Ours.
    #[default]
    Full,
    /// Those of `istioctl analyze`, as it gives them: the manifests are the whole mesh.
    IstioAnalyze,
}

impl Default for ImportOptions {
    /// `default`, lenient, the newest Istio, `cluster.local`, Gateway API by Istio.
    fn default() -> Self {
        Self {
            default_namespace: "default".to_owned(),
            strict: false,
            istio_version: IstioVersion::NEWEST,
            cluster_domain: "cluster.local".to_owned(),
            gateway_impl: Implementation::Istio,
            profile: Profile::Full,
        }
    }
}

/// What the manifests say.
#[derive(Clone, Debug, Default)]
pub struct Imported {
    /// The mesh.
    pub mesh: Mesh,
    /// What is odd, by file, line, column and code.
    pub findings: Vec<Finding>,
    /// What shall not be reported.
    pub suppressions: Vec<Suppression>,
    /// Whether some document could not be read.
    pub unreadable: bool,
    /// How many objects were read, whatever their kind.
    pub objects: usize,
}

/// Reads manifests, YAML or JSON; other files of a mesh (`*.ron`, `*.intent`, `*.toml`) are passed over.
pub fn import(sources: &Sources, options: &ImportOptions) -> Imported {
    registry::import(sources, options)
}

#[cfg(test)]
mod tests;
