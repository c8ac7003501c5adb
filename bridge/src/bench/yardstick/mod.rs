//! The yardsticks: the least that a program can do to join two TAPs, by three ways of doing I/O.
//!
//! One thread, no parsing, no queues, no memory of frames: what a switch costs is what it takes more than the loop that
//! does the same kind of I/O. What must not enter: anything that would make one of them a switch.

pub mod poll;
pub mod uring;
pub mod vnet;

use std::os::fd::{AsFd, OwnedFd};
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;

use clap::ValueEnum;

use super::failed;
use crate::cli::{Failure, Outcome, terminal};
use crate::net::NetnsRef;
use crate::port::tap::{self, TapOptions};

/// How often a loop looks whether it is to stop while nothing comes.
const LOOK_MS: u16 = 100;
/// Frames that are read from one side in a turn.
const TURN: usize = 64;
/// Longest superframe with its headers.
const LONGEST: usize = crate::port::VNET_HEADER_LEN + (1 << 17);

/// A way of doing I/O.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Waits with poll, then one read and one write; plain frames
    Poll,
    /// Waits with epoll, then up to 64 reads and writes; superframes
    Vnet,
    /// The same reads, and their writes in one call by io_uring; superframes
    Uring,
}

impl Kind {
    /// Its name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Poll => "poll",
            Kind::Vnet => "vnet",
            Kind::Uring => "uring",
        }
    }
}

/// Join two TAPs by the plainest loop there is, until it is killed: the yardstick that `bench` compares with
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// How it does I/O
    #[arg(value_enum)]
    kind: Kind,
    /// Network namespace of the first TAP: a name, a path, `pid:N`, or `-` for the current one
    netns_a: String,
    /// The first TAP; made if it does not exist
    tap_a: String,
    /// Network namespace of the second TAP
    netns_b: String,
    /// The second TAP
    tap_b: String,
    /// L3 MTU of both
    #[arg(long, default_value_t = 1500, value_name = "BYTES")]
    mtu: u16,
}

/// Runs a loop until a TAP is gone or the process is killed.
///
/// # Errors
/// When a TAP can't be opened or read.
pub fn run(args: &Args) -> Outcome {
    let a = open(args, &args.netns_a, &args.tap_a)?;
    let b = open(args, &args.netns_b, &args.tap_b)?;
    terminal::print(&format!("copying between {} and {}\n", args.tap_a, args.tap_b))?;
    let copy = match args.kind {
        Kind::Poll => poll::run,
        Kind::Vnet => vnet::run,
        Kind::Uring => uring::run,
    };
    copy(a.as_fd(), b.as_fd(), &AtomicBool::new(false)).map_err(|e| failed("the loop has ended", &e))?;
    Ok(ExitCode::SUCCESS)
}

fn open(args: &Args, netns: &str, name: &str) -> Result<OwnedFd, Failure> {
    let netns = NetnsRef::parse(Some(netns).filter(|&n| n != "-")).map_err(|e| Failure(e.to_string()))?;
    let options = TapOptions {
        name: name.to_owned(),
        netns,
        mtu: args.mtu,
        offload: args.kind != Kind::Poll,
        queues: 1,
        txqueuelen: None,
        by_priority: None,
    };
    let port = tap::open(&options).map_err(|e| Failure(e.to_string()))?;
    for note in port.notes() {
        tracing::warn!("{note}");
    }
    port.into_queues().pop().ok_or_else(|| Failure(format!("TAP {name} has no queue")))
}
