//! Turns properties of a mesh into fixpoints and SMT queries, and the answers into checked verdicts.
//!
//! Engines form a ladder: a closed form or a fixpoint in exact integers decides where the statement is monotone,
//! and Z3 checks its certificate again; where there is a choice to make, Z3 decides. Two engines that disagree are a
//! bug of this program and never a verdict; a query that meets its limit is undecided and never a pass.
#![allow(dead_code)]

pub mod assumption;
mod graph;
mod property;
mod report;
mod term;
#[cfg(test)]
mod testing;
mod z3;

pub use assumption::Assumption;
pub use report::*;
pub use z3::z3_version;
