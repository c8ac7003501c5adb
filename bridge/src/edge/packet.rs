//! A packet socket that only sends: by it kicks enter the host's queues like any frame of the host.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::Kick;

/// Sends on one interface of the namespace it was opened in.
#[derive(Debug)]
pub(super) struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens one on interface number `index` of the calling thread's namespace.
    ///
    /// # Errors
    /// What the kernel says; it needs `CAP_NET_RAW`.
    pub(super) fn open(index: u32) -> io::Result<PacketSocket> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: takes three integers and answers a new descriptor. Protocol 0: nothing is received.
        let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the descriptor was just made for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a sockaddr_ll of zeroes is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_ifindex = index as i32;
        let len = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer is to a sockaddr_ll of the length given that outlives the call.
        Errno::result(unsafe { libc::bind(fd.as_raw_fd(), (&raw const address).cast(), len) })?;
        Ok(PacketSocket { fd })
    }

    /// Gives the frames that follow the priority of `SO_PRIORITY`.
    ///
    /// # Errors
    /// What the kernel says; above 6 it needs `CAP_NET_ADMIN`.
    pub(super) fn set_priority(&self, priority: u32) -> io::Result<()> {
        nix::sys::socket::setsockopt(
            &self.fd,
            nix::sys::socket::sockopt::Priority,
            &(priority as libc::c_int),
        )?;
        Ok(())
    }

    /// Sends a frame.
    ///
    /// # Errors
    /// As `send`.
    pub(super) fn send_frame(&self, frame: &[u8]) -> io::Result<()> {
        nix::unistd::write(&self.fd, frame)?;
        Ok(())
    }

    /// Sends a kick. With it the kernel looks at everything that waits in the same queue.
    ///
    /// # Errors
    /// What the kernel says: the interface is down or gone, or no memory.
    pub(super) fn send(&self, kick: &Kick) -> io::Result<()> {
        self.send_frame(kick.bytes())
    }
}
