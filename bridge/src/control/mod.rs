//! The control side of a running switch: its state as JSON on a Unix socket, the read-only listener with `/metrics` and
//! a page for the browser, and the client that `dcbridge show` uses.
//!
//! ```text
//!   worker -- Snapshot --> source -> service -+-> api (JSON) ----+-> server: Unix socket (0660)
//!                                             +-> metrics (text) +-> server: TCP, loopback by default
//!                                             +-> page (HTML) ---+
//! ```
//! Nothing of the data path enters here: the switch is asked for one consistent snapshot at a time.

pub mod api;
pub mod client;
pub mod metrics;
pub mod sampler;
pub mod server;
pub mod service;
pub mod socket;
pub mod source;
pub mod view;

mod page;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

pub use api::router;
pub use client::Client;
pub use service::Service;
pub use source::StateSource;
