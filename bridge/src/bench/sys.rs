//! The few system calls of the bench that have no safe wrapper.
//!
//! What must not enter: decisions. Every function is one call with checked arguments.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use nix::errno::Errno;
use nix::sched::{CloneFlags, setns};
use nix::sys::signal::Signal;

use crate::net::Netns;

/// Lets a command run in a network namespace, in a process group of its own, and end with the thread that starts it,
/// however that ends.
pub(super) fn confine(command: &mut Command, netns: &Arc<Netns>) {
    let netns = Arc::clone(netns);
    let parent = nix::unistd::getpid();
    command.process_group(0);
    // SAFETY: between fork and exec it makes three system calls and touches no memory that another thread could hold
    // locked; the descriptor of the namespace is alive in the closure.
    unsafe {
        command.pre_exec(move || {
            nix::sys::prctl::set_pdeathsig(Signal::SIGKILL)?;
            // The parent may have ended before that was asked for.
            if nix::unistd::getppid() != parent {
                return Err(Errno::ESRCH.into());
            }
            setns(netns.as_fd(), CloneFlags::CLONE_NEWNET)?;
            Ok(())
        });
    }
}

/// A packet socket that only sends.
#[derive(Debug)]
pub(super) struct FrameSocket {
    fd: OwnedFd,
}

impl FrameSocket {
    /// On interface number `index` of the calling thread's namespace.
    pub(super) fn open(index: u32) -> io::Result<FrameSocket> {
        // Protocol 0: nothing is received.
        // SAFETY: socket takes three integers and answers a new descriptor.
        let fd = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        Errno::result(fd)?;
        // SAFETY: the descriptor was just made for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a sockaddr_ll of zeroes is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        address.sll_ifindex = index as libc::c_int;
        // SAFETY: the pointer is to a sockaddr_ll of the given length that outlives the call.
        let bound = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(bound)?;
        Ok(FrameSocket { fd })
    }

    /// The socket itself, for its options.
    pub(super) const fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// Sends the same frame `count` times in one call. Answers how many the kernel took; the one after the last of them
    /// was refused.
    pub(super) fn send_many(&self, frame: &[u8], count: usize) -> io::Result<usize> {
        let mut place = libc::iovec { iov_base: frame.as_ptr().cast_mut().cast(), iov_len: frame.len() };
        // SAFETY: an mmsghdr of zeroes is a valid one (no name, no buffers).
        let mut messages: [libc::mmsghdr; BATCH] = unsafe { mem::zeroed() };
        for message in &mut messages {
            message.msg_hdr.msg_iov = &raw mut place;
            message.msg_hdr.msg_iovlen = 1;
        }
        // SAFETY: `count` is at most the number of messages; all point to one place that outlives the call, and that to
        // the frame, which the kernel only reads.
        let sent = unsafe {
            libc::sendmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr(), count.min(BATCH) as libc::c_uint, 0)
        };
        Ok(Errno::result(sent)? as usize)
    }
}

/// Most frames of one call.
pub(super) const BATCH: usize = 64;
