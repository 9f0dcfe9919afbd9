//! A deterministic discrete-event simulator of a mesh of real proxy cores.

#[allow(dead_code)]
mod digest;
#[allow(dead_code)]
mod dist;
#[allow(dead_code)]
mod entropy;
#[allow(dead_code)]
mod histogram;
#[allow(dead_code)]
mod load;
#[allow(dead_code)]
mod queue;
#[allow(dead_code)]
mod slab;
