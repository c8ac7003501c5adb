//! The program by which the kernel chooses the queue of a TAP, and what else a TAP with a queue per priority needs.

use std::os::fd::{AsFd, OwnedFd};

use dcbridge_scheduler::Priority;

use super::lossless::Lossless;
use super::{ByPriority, TapOptions};
use crate::edge::bpf::Kind;
use crate::edge::steer::{self, SteerSpec};
use crate::edge::{Cookie, HostEdge, Wanted};
use crate::port::ring::RingFile;
use crate::port::sys;

/// A program that is loaded and waits for the interface.
pub(super) struct Steering {
    program: OwnedFd,
    cookie: Cookie,
}

impl Steering {
    pub(super) fn load(wanted: &ByPriority) -> Result<Steering, String> {
        let cookie = Cookie::random();
        let never_paused = Priority::all().rev().find(|p| !wanted.lossless.contains(p.get()));
        let spec = SteerSpec {
            trust: wanted.trust.clone(),
            pcp_map: wanted.pcp_map,
            dscp_map: wanted.dscp_map,
            default: wanted.default,
            control: never_paused.unwrap_or(Priority::new(7)),
            kick: Some(cookie),
        };
        let program = steer::compile(&spec).load(Kind::SocketFilter);
        let program = program.map_err(|e| format!("needs a steering program, which was not loaded: {e}"))?;
        Ok(Steering { program, cookie })
    }

    /// Steers.
    pub(super) fn begin(&self, queue: &RingFile) -> Result<(), String> {
        sys::set_steering(queue.as_fd(), Some(self.program.as_fd()))
            .map_err(|e| format!("takes no steering program ({e}; it needs Linux 4.16)"))
    }

    /// Steers, and sets up the host's side. To be called when everything else is as it is to be.
    pub(super) fn edge(
        self,
        queue: &RingFile,
        options: &TapOptions,
        wanted: &ByPriority,
        created: bool,
    ) -> Result<Lossless, String> {
        self.begin(queue)?;
        let edge = HostEdge::open(&Wanted {
            interface: &options.name,
            netns: &options.netns,
            ours: created,
            line_rate: wanted.line_rate,
            txqueuelen: options.txqueuelen,
            cookie: self.cookie,
            journal: &wanted.journal,
        });
        Ok(Lossless::new(edge.map_err(|e| e.to_string())?, self.cookie, wanted.lossless))
    }
}
