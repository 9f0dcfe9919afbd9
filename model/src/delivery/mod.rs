//! What changes a mesh step by step: rollouts, canaries, waves, scalers.

/// What changes a mesh step by step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {}
