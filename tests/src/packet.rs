//! A packet socket: the host side of a test that must see every byte of a frame.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};
use nix::sys::time::{TimeVal, TimeValLike};

/// What waits unread, with the kernel's own part of it.
const ROOM: usize = 16 << 20;

/// Sends and receives whole frames on one interface.
pub struct PacketSocket {
    fd: OwnedFd,
}

impl PacketSocket {
    /// Opens a socket on interface number `index` of the calling thread's namespace. Outgoing frames of the host are
    /// not shown.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open(index: u32) -> io::Result<PacketSocket> {
        PacketSocket::open_for(index, libc::ETH_P_ALL as u16)
    }

    /// The same for frames of one ethertype only.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn open_for(index: u32, ethertype: u16) -> io::Result<PacketSocket> {
        let protocol = ethertype.to_be();
        // SAFETY: socket takes three integers and answers a new descriptor.
        let fd = unsafe {
            libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, i32::from(protocol))
        };
        Errno::result(fd)?;
        // SAFETY: the descriptor was just made for us.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        // SAFETY: a sockaddr_ll of zeroes is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = protocol;
        address.sll_ifindex = index as i32;
        // SAFETY: the pointer is to a sockaddr_ll of the given length that outlives the call.
        let bound = unsafe {
            libc::bind(
                fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(bound)?;
        let on: libc::c_int = 1;
        // SAFETY: the pointer is to an int of the given length that outlives the call.
        let set = unsafe {
            libc::setsockopt(
                fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_IGNORE_OUTGOING,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as libc::socklen_t,
            )
        };
        Errno::result(set)?;
        // A test may send all before it looks.
        setsockopt(&fd, sockopt::RcvBufForce, &ROOM)?;
        Ok(PacketSocket { fd })
    }

    /// Sends one frame.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn send(&self, frame: &[u8]) -> io::Result<()> {
        nix::unistd::write(&self.fd, frame)?;
        Ok(())
    }

    /// The next frame that comes within `patience`.
    ///
    /// # Errors
    /// `WouldBlock` when none came.
    pub fn receive(&self, patience: Duration) -> io::Result<Vec<u8>> {
        let wait = TimeVal::microseconds(patience.as_micros().max(1) as i64);
        setsockopt(&self.fd, sockopt::ReceiveTimeout, &wait)?;
        let mut frame = vec![0; 1 << 17];
        let len = nix::unistd::read(&self.fd, &mut frame)?;
        frame.truncate(len);
        Ok(frame)
    }
}
