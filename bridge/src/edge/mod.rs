//! The host edge: how closing the gate of a priority pushes back on a Linux host behind a TAP.
//!
//! ```text
//! host's socket -> steering program -> mq/TBF of the queue -> ring of the queue -> port
//!                  (queue = priority)  (open: 1.2 x line,      (holds what comes until
//!                                       closed: nothing)        the TBF has closed)
//! ```
//! A full TAP ring drops, so a gate has to close before the ring. The TBF does: what it holds back still belongs to its
//! socket, so the sender blocks. A closed TBF would look again at its frames only when its timer ends; a *kick* frame,
//! sent inside the host's namespace, lets it look at once.
//!
//! What must not enter: when a gate closes (the scheduler decides), frames of others, configuration files.

pub mod bpf;
mod clamp;
mod gates;
mod host;
mod journal;
mod kick;
mod netlink;
mod packet;
mod queues;
mod shared;
pub mod steer;
mod veth;

pub use clamp::{gso_max, open_rate};
pub use gates::{Cost, Gates};
pub use host::{HostEdge, Obstacle, Patience, Wanted, residual_bytes};
pub use journal::{Journal, default_directory, restore_all};
pub use kick::{Cookie, Kick};
pub use veth::{VethHost, Wake};
