//! DCBX: what the neighbour's TLVs mean for this port (802.1Q clause 38; CEE 1.01; CIN).
//!
//! ```text
//! peer       the neighbour's TLVs, feature by feature, as good or bad
//! dialect    which of IEEE, CEE and CIN this port speaks, and when it may change
//! ieee       asymmetric, symmetric and informational rules
//! legacy     CEE and CIN: decision table, sequence numbers, conversion
//! diagnosis  why both ends do not agree, as one sentence each
//! port       all of it together, for one port
//! ```
//!
//! Frames, timers of LLDP and the roles of ports stay out of here.

pub mod config;
pub mod diagnosis;
pub mod dialect;
pub(crate) mod ieee;
pub mod legacy;
pub mod operational;
pub mod peer;
pub(crate) mod port;

pub use config::{Capability, ConfigError, DcbxConfig, FeatureFlags, Mode, MultiPeer, Origin};
pub use diagnosis::{Diagnosis, Feature};
pub use dialect::{Because, Dialect};
pub use operational::{AppRule, Defence, Negotiated, Operational, Source};
