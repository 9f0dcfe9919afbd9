//! What a service mesh means, in the field's own words, with the place in the text each fact came from.

mod behaviour;
mod bounds;
mod call_graph;
mod calls;
mod check;
mod finding;
pub mod istio;
mod lower;
mod mesh;
mod names;
mod objective;
mod quantity;
mod rollout;
mod ron;
mod rule;
mod scenario;
mod source;
mod suggest;
mod unique;

pub use behaviour::*;
pub use bounds::*;
pub use call_graph::*;
pub use calls::*;
pub use check::*;
pub use finding::*;
pub use lower::*;
pub use mesh::*;
pub use meshproof_proxy::{Nanos, Time};
pub use names::*;
pub use objective::*;
pub use quantity::*;
pub use ron::*;
pub use rule::*;
pub use scenario::*;
pub use source::*;
pub use suggest::*;
