//! The scheduler: deterministic; no sockets, no clock, no threads; time arrives as `now`.
#![no_std]
#![forbid(unsafe_code)]
extern crate alloc;
