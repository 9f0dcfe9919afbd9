//! Gateway API's kinds: from fields to the model's types, each leaf with its place.

pub(crate) mod duration;
pub(crate) mod filter;
pub(crate) mod gateway;
pub(crate) mod policy;
pub(crate) mod references;
pub(crate) mod refs;
pub(crate) mod route;
pub(crate) mod stand_in;
