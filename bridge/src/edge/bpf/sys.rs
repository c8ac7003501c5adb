//! `bpf(2)`: loading a program, running it over a frame, attaching it to an interface's egress.

use std::fmt;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use super::Instruction;

/// What a program may do and what its answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// Reads a frame, answers a number: what a TAP is steered by.
    SocketFilter = 1,
    /// May change a frame, answers what becomes of it: 0, it goes on.
    Classifier = 3,
    /// Sees a frame before the stack does, answers what becomes of it.
    Xdp = 6,
}

const PROG_LOAD: libc::c_int = 5;
const PROG_TEST_RUN: libc::c_int = 10;
const LINK_CREATE: libc::c_int = 28;
const TCX_EGRESS: u32 = 47;
const XDP: u32 = 37;
/// In the driver, not behind it.
const XDP_FLAGS_DRV_MODE: u32 = 1 << 2;
const LOG: usize = 64 * 1024;

#[derive(Default)]
#[repr(C)]
struct LoadAttributes {
    kind: u32,
    count: u32,
    instructions: u64,
    license: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
}

#[derive(Default)]
#[repr(C)]
struct RunAttributes {
    program: u32,
    answer: u32,
    data_size_in: u32,
    data_size_out: u32,
    data_in: u64,
    data_out: u64,
    repeat: u32,
    duration: u32,
    context_size_in: u32,
    context_size_out: u32,
    context_in: u64,
    context_out: u64,
}

#[derive(Default)]
#[repr(C)]
struct LinkAttributes {
    program: u32,
    interface: u32,
    attach_type: u32,
    flags: u32,
    /// The kernel's union is longer than the part that is used.
    rest: [u64; 6],
}

/// Why a program was not loaded.
#[derive(Debug)]
pub struct LoadError {
    /// What the kernel answered.
    pub errno: Errno,
    /// What its verifier wrote.
    pub log: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.errno {
            Errno::EPERM | Errno::EACCES => "no CAP_BPF",
            Errno::ENOSYS => "a kernel without eBPF",
            other => other.desc(),
        })?;
        match self.log.lines().last() {
            Some(line) => write!(f, " ({line})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for LoadError {}

pub(super) fn bpf<T>(command: libc::c_int, attributes: &mut T) -> Result<libc::c_long, Errno> {
    // SAFETY: `attributes` is a zero-padded `union bpf_attr` of the command, of the length given; the buffers that it
    // points to outlive the call (each caller below holds them).
    let answer =
        unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attributes), size_of::<T>()) };
    Errno::result(answer)
}

/// Loads a program. It lives as long as the descriptor or whatever it is attached to.
///
/// # Errors
/// What the kernel says, with the last words of its verifier.
pub fn load(kind: Kind, program: &[Instruction]) -> Result<OwnedFd, LoadError> {
    match try_load(kind, program, &mut []) {
        // The reason is only written down when asked for.
        Err(errno) if !matches!(errno, Errno::EPERM | Errno::ENOSYS) => {
            let mut log = vec![0; LOG];
            match try_load(kind, program, &mut log) {
                Ok(fd) => Ok(fd),
                Err(errno) => {
                    let end = log.iter().position(|&b| b == 0).unwrap_or(0);
                    Err(LoadError { errno, log: String::from_utf8_lossy(&log[..end]).trim_end().to_owned() })
                }
            }
        }
        Err(errno) => Err(LoadError { errno, log: String::new() }),
        Ok(fd) => Ok(fd),
    }
}

fn try_load(kind: Kind, program: &[Instruction], log: &mut [u8]) -> Result<OwnedFd, Errno> {
    let mut attributes = LoadAttributes {
        kind: kind as u32,
        count: program.len() as u32,
        instructions: program.as_ptr() as u64,
        license: c"Dual MIT/GPL".as_ptr() as u64,
        ..LoadAttributes::default()
    };
    if !log.is_empty() {
        attributes.log_level = 1;
        attributes.log_size = log.len() as u32;
        attributes.log = log.as_mut_ptr() as u64;
    }
    attributes.name[..8].copy_from_slice(b"dcbridge");
    let fd = bpf(PROG_LOAD, &mut attributes)?;
    // SAFETY: the kernel has just made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Runs a [`Kind::Classifier`] over a frame of at least 15 bytes and answers what it answers.
///
/// # Errors
/// What the kernel says.
pub fn run(program: BorrowedFd<'_>, frame: &[u8]) -> io::Result<u32> {
    let mut attributes = RunAttributes {
        program: program.as_raw_fd() as u32,
        data_size_in: frame.len() as u32,
        data_in: frame.as_ptr() as u64,
        repeat: 1,
        ..RunAttributes::default()
    };
    bpf(PROG_TEST_RUN, &mut attributes)?;
    Ok(attributes.answer)
}

/// Lets a [`Kind::Classifier`] see every frame that leaves interface number `interface` of the calling thread's
/// namespace, until the descriptor is closed.
///
/// # Errors
/// What the kernel says; before Linux 6.6 there is no such place.
pub fn attach_egress(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    attach(program, interface, TCX_EGRESS, 0)
}

/// Lets a [`Kind::Xdp`] see every frame that interface number `interface` of the calling thread's namespace receives, in
/// its driver, until the descriptor is closed.
///
/// # Errors
/// What the kernel says; `EBUSY`: there is another one.
pub fn attach_xdp(program: BorrowedFd<'_>, interface: u32) -> io::Result<OwnedFd> {
    attach(program, interface, XDP, XDP_FLAGS_DRV_MODE)
}

fn attach(program: BorrowedFd<'_>, interface: u32, attach_type: u32, flags: u32) -> io::Result<OwnedFd> {
    let mut attributes = LinkAttributes {
        program: program.as_raw_fd() as u32,
        interface,
        attach_type,
        flags,
        ..LinkAttributes::default()
    };
    let fd = bpf(LINK_CREATE, &mut attributes)?;
    // SAFETY: the kernel has just made the descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}
