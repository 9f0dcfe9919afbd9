//! One file for each property: what it states, how it is decided, checked again and shown.

pub(crate) mod retry_amplification;
pub(crate) mod timeout_inversion;
