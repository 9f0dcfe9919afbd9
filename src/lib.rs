//! meshproof
