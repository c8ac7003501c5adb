//! LLDP and DCBX: deterministic; no sockets, no clock, no threads; time arrives as `now`.
//!
//! The rooms, in the order of a received frame's way:
//!
//! ```text
//! wire    bytes <-> TLVs; checked views, and `Repr`s that hold legal states only
//! lldp    one agent per port and group address: transmit, receive and ageing machines (802.1AB 9)
//! dcbx    what the neighbour's DCBX TLVs mean for this port: IEEE, CEE 1.01, CIN; diagnosis
//! agent   the port: up to three LLDP agents and DCBX on the nearest-bridge one
//! roles   the switch: which port's peer configures all the others
//! views   what a person or a program may look at
//! ```
//!
//! Where this departs from the letter of a standard, and why:
//!
//! - Link down forgets all neighbours at once; 802.1AB lets them age. Values of a peer that may be
//!   another one when the link returns must not drive a scheduler.
//! - One place in the neighbour table is kept for a neighbour that speaks DCBX, so that a crowd without
//!   DCBX can't keep the peer out. A refused newcomer with DCBX counts as a further peer.
//! - Application entries of an IEEE peer are installed only where the application feature is `willing`
//!   (802.1Q leaves the use of informational attributes open).
//! - CEE and CIN: changed settings are sent before the previous ones were acknowledged, and the peer's
//!   are used without waiting (see `dcbx::legacy::handshake`); a port also names the peer's applications
//!   (see `dcbx::legacy::evaluate`), without which lldpad commits nothing; logical links are not sent.
//! - In mode `auto`, a port that waits for its change of dialect sends no DCBX TLVs meanwhile: an lldpad
//!   set to IEEE gives up for good when it hears a legacy one.
//! - The MBC bit of PFC is sent as 0 and never acted on: sources disagree on its sense.
//!
//! The caller hands in frames, link changes and time, and takes out frames to send, the next wake-up
//! and events:
//!
//! ```
//! use lldp_dcbx::{Agent, AgentConfig, Mac, Time};
//!
//! let mac = Mac([0x02, 0, 0, 0, 0, 1]);
//! let mut agent = Agent::new(AgentConfig::new(mac, "p0"), mac, Time::ZERO).expect("defaults are legal");
//! agent.handle_link(true, Time::ZERO);
//! let frame = agent.poll_transmit(Time::ZERO).expect("link up sends at once");
//! assert_eq!(&frame[12..14], [0x88, 0xcc]);
//! assert!(agent.poll_timeout().is_some());
//! ```
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;

pub mod agent;
pub mod dcbx;
pub mod error;
pub mod lldp;
pub mod machine;
pub mod roles;
pub mod time;
pub mod types;
pub mod views;
pub mod wire;

pub use agent::{Agent, AgentConfig, Event, LocalInfo};
pub use dcbx::{DcbxConfig, Diagnosis, Operational};
pub use error::{ErrorCounts, Malformed, Unsupported, Violation};
pub use time::Time;
pub use types::{Mac, Priority, PrioritySet};
pub use views::{NeighborView, PortViews};
