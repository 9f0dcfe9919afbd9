//! Property-based regression tests of meshes: strategies that shrink well, and assertions over what a mesh decides.
//!
//! ```
//! use meshproof::{assert_holds, testing::meshes};
//! use proptest::prelude::*;
//!
//! proptest!(ProptestConfig::with_cases(4), |(mesh in meshes(1..4))| {
//!     // Whatever the mesh, each of its routes takes some request.
//!     assert_holds!(mesh, "MP0301");
//! });
//! ```
//!
//! A strategy gives a [`MeshSpec`]: a mesh as a few numbers, valid by construction, which becomes manifests and
//! behaviour as a user would write them. What fails is shrunk to fewer services, fewer calls and plainer policies, and
//! `proptest` keeps its seed beside the test. `MeshSpec::files` writes the smallest mesh down, for `meshproof verify`.

mod check;
mod spec;
mod strategy;

pub use check::{decides_the_same, holds, meets};
pub use spec::{Call, MeshSpec, RouteSpec, RuleSpec, ServiceSpec, Special};
pub use strategy::{changes, faults, loads, meshes, requests, scenarios};

/// Fails the case unless a rule finds nothing in the mesh; undecided is a failure as well.
///
/// `assert_holds!(mesh, "MP0401")`, in a function that returns a `Result<_, TestCaseError>`, such as the body of
/// `proptest!`.
#[macro_export]
macro_rules! assert_holds {
    ($mesh:expr, $code:expr) => {
        $crate::testing::holds(&$mesh, $code)?
    };
}

/// Fails the case unless the mesh meets an objective under a scenario.
///
/// `assert_objective!(mesh, scenario, "s0.attempts_per_request <= 2")`.
#[macro_export]
macro_rules! assert_objective {
    ($mesh:expr, $scenario:expr, $objective:expr) => {
        $crate::testing::meets(&$mesh, &$scenario, $objective)?
    };
}

/// Fails the case unless two meshes decide requests alike: who is allowed, which route, which backends, timeouts and
/// retries.
///
/// `assert_same_decisions!(before, after)`.
#[macro_export]
macro_rules! assert_same_decisions {
    ($before:expr, $after:expr) => {
        $crate::testing::decides_the_same(&$before, &$after)?
    };
}
