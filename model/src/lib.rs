//! What a service mesh means, in the field's own words, with the place in the text each fact came from.

mod behaviour;
mod finding;
pub mod istio;
mod mesh;
mod quantity;
mod rule;
mod scenario;
mod source;

pub use behaviour::*;
pub use finding::*;
pub use mesh::*;
pub use meshproof_proxy::{Nanos, Time};
pub use quantity::*;
pub use rule::*;
pub use scenario::*;
pub use source::*;
