//! The packet socket: system calls that have no safe wrapper.
//!
//! What must not enter: decisions. Every function is one call with checked arguments.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

use crate::port::pieces::Pieces;

/// Frames that go at once.
pub(super) const MANY: usize = 32;

/// Its auxiliary data with the header of the control message, rounded up.
const CONTROL_LEN: usize = 64;

const NOWHERE: [libc::iovec; 2] = [libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 }; 2];
// SAFETY: a mmsghdr of zeroes is a valid one (no name, no buffers).
const EMPTY: libc::mmsghdr = unsafe { mem::zeroed() };

/// A raw packet socket, non-blocking.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Received {
    /// Bytes, with the offload header.
    pub(super) len: usize,
    /// The frame was longer than there was room.
    pub(super) cut: bool,
    /// The VLAN tag that the kernel has taken out: protocol and control information.
    pub(super) tag: Option<(u16, u16)>,
}

impl Socket {
    /// A socket in the calling thread's namespace that hears nothing yet.
    pub(super) fn open() -> io::Result<Socket> {
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: socket takes three integers and answers a new descriptor.
        let fd = Errno::result(unsafe { libc::socket(libc::AF_PACKET, kind, 0) })?;
        // SAFETY: the descriptor was just made for us.
        Ok(Socket { fd: unsafe { OwnedFd::from_raw_fd(fd) } })
    }

    /// Sets an option of level `SOL_PACKET` that is an integer.
    pub(super) fn set(&self, option: libc::c_int, value: libc::c_int) -> io::Result<()> {
        self.set_raw(option, &value)
    }

    fn set_raw<T: Copy>(&self, option: libc::c_int, value: &T) -> io::Result<()> {
        // SAFETY: the pointer is to a value of the given size that outlives the call; the kernel copies it.
        let set = unsafe {
            libc::setsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                option,
                (&raw const *value).cast(),
                size_of::<T>() as libc::socklen_t,
            )
        };
        Errno::result(set)?;
        Ok(())
    }

    /// Lets the interface hand over frames for any address, for as long as the socket lives.
    pub(super) fn promiscuous(&self, index: u32) -> io::Result<()> {
        let membership = libc::packet_mreq {
            mr_ifindex: index as libc::c_int,
            mr_type: libc::PACKET_MR_PROMISC as libc::c_ushort,
            mr_alen: 0,
            mr_address: [0; 8],
        };
        self.set_raw(libc::PACKET_ADD_MEMBERSHIP, &membership)
    }

    /// Begins to hear all frames of an interface.
    pub(super) fn bind(&self, index: u32) -> io::Result<()> {
        // SAFETY: a sockaddr_ll of zeroes is a valid one.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as libc::c_ushort;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = index as libc::c_int;
        // SAFETY: the pointer is to a sockaddr_ll of the given length that outlives the call.
        let bound = unsafe {
            libc::bind(
                self.fd.as_raw_fd(),
                (&raw const address).cast(),
                size_of::<libc::sockaddr_ll>() as libc::socklen_t,
            )
        };
        Errno::result(bound)?;
        Ok(())
    }

    /// Reads as many frames as there are, each into its two places, one after the other, without waiting. The second may be
    /// empty, which costs less. Answers how many came; `received` has then what is to be said of each. At most `MANY`, and
    /// as many of both.
    ///
    /// # Errors
    /// What the kernel says when the first read fails.
    pub(super) fn receive(
        &self,
        places: &mut [[&mut [u8]; 2]],
        received: &mut [Received],
    ) -> io::Result<usize> {
        let mut controls = [const { Control([0; CONTROL_LEN]) }; MANY];
        let mut buffers = [NOWHERE; MANY];
        for (buffer, place) in buffers.iter_mut().zip(places.iter_mut()) {
            *buffer = place
                .each_mut()
                .map(|bytes| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
        }
        let mut messages = [EMPTY; MANY];
        for ((message, buffer), control) in messages.iter_mut().zip(&mut buffers).zip(&mut controls) {
            message.msg_hdr.msg_iov = buffer.as_mut_ptr();
            message.msg_hdr.msg_iovlen = used(buffer[1].iov_len);
            message.msg_hdr.msg_control = control.0.as_mut_ptr().cast();
            message.msg_hdr.msg_controllen = CONTROL_LEN as _;
        }
        let count = places.len().min(received.len()).min(MANY);
        // SAFETY: there are `count` messages; each points to buffers of the lengths it says, which are borrowed for the call.
        let came = unsafe {
            libc::recvmmsg(
                self.fd.as_raw_fd(),
                messages.as_mut_ptr(),
                count as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                std::ptr::null_mut(),
            )
        };
        let came = Errno::result(came)? as usize;
        for (received, message) in received.iter_mut().zip(&messages[..came.min(count)]) {
            *received = Received {
                len: message.msg_len as usize,
                cut: message.msg_hdr.msg_flags & libc::MSG_TRUNC != 0,
                tag: tag(&message.msg_hdr),
            };
        }
        Ok(came)
    }

    /// Sends frames that lie in pieces, in order, as many as there is room for. Answers how many were sent. At most `MANY`.
    ///
    /// # Errors
    /// What the kernel says when the first is not sent.
    pub(super) fn send(&self, frames: &[Pieces<'_>]) -> io::Result<usize> {
        let mut messages = [EMPTY; MANY];
        for (message, pieces) in messages.iter_mut().zip(frames) {
            // An `IoSlice` is an `iovec`; the kernel only reads from it.
            message.msg_hdr.msg_iov = pieces.as_ptr().cast_mut().cast();
            message.msg_hdr.msg_iovlen = used(pieces[1].len());
        }
        let count = frames.len().min(MANY) as libc::c_uint;
        loop {
            // SAFETY: there are `count` messages; each points to pieces that are borrowed for the call.
            let sent = unsafe {
                libc::sendmmsg(self.fd.as_raw_fd(), messages.as_mut_ptr(), count, libc::MSG_DONTWAIT as _)
            };
            match Errno::result(sent) {
                Ok(sent) => return Ok(sent as usize),
                Err(Errno::EINTR) => {}
                Err(e) => return Err(e.into()),
            }
        }
    }

    /// Frames that the kernel had no room for since this was last asked.
    pub(super) fn dropped(&self) -> u32 {
        let mut statistics = libc::tpacket_stats { tp_packets: 0, tp_drops: 0 };
        let mut len = size_of::<libc::tpacket_stats>() as libc::socklen_t;
        // SAFETY: the pointers are to a tpacket_stats and its length; both outlive the call.
        let asked = unsafe {
            libc::getsockopt(
                self.fd.as_raw_fd(),
                libc::SOL_PACKET,
                libc::PACKET_STATISTICS,
                (&raw mut statistics).cast(),
                &raw mut len,
            )
        };
        if asked == 0 { statistics.tp_drops } else { 0 }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// Pieces of two that there are, when the second has so many bytes.
fn used(second: usize) -> usize {
    if second == 0 { 1 } else { 2 }
}

/// Room for control messages, aligned as their headers want it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

/// The VLAN tag in the auxiliary data of a message that `recvmsg` has filled.
fn tag(message: &libc::msghdr) -> Option<(u16, u16)> {
    // SAFETY: the kernel has filled the control buffer and its length, as CMSG_FIRSTHDR expects; the buffer is alive.
    let header = unsafe { libc::CMSG_FIRSTHDR(&raw const *message).as_ref() }?;
    if header.cmsg_level != libc::SOL_PACKET || header.cmsg_type != libc::PACKET_AUXDATA {
        return None;
    }
    // SAFETY: a control message of this type holds a tpacket_auxdata; it is read as bytes may lie, and any bit pattern
    // of it is valid.
    let data =
        unsafe { libc::CMSG_DATA(&raw const *header).cast::<libc::tpacket_auxdata>().read_unaligned() };
    if data.tp_status & libc::TP_STATUS_VLAN_VALID == 0 {
        return None;
    }
    let protocol = match data.tp_status & libc::TP_STATUS_VLAN_TPID_VALID {
        0 => libc::ETH_P_8021Q as u16,
        _ => data.tp_vlan_tpid,
    };
    Some((protocol, data.tp_vlan_tci))
}
