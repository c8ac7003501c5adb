//! The configuration of dcbridge.
pub mod model;
pub use model::*;
