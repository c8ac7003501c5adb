//! The packet socket: system calls that have no safe wrapper.
//!
//! What must not enter: decisions. Every function is one call with checked arguments.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

/// Bytes of the offload header on a packet socket: `virtio_net_hdr` without the count of buffers.
pub(super) const HEADER_LEN: usize = 10;
/// Its auxiliary data with the header of the control message, rounded up.
const CONTROL_LEN: usize = 64;

/// A raw packet socket, non-blocking.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
}

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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

    /// Reads a frame into two places, one after the other.
    pub(super) fn receive(&self, first: &mut [u8], second: &mut [u8]) -> io::Result<Received> {
        let mut control = Control([0; CONTROL_LEN]);
        let mut places = [place(first), place(second)];
        // SAFETY: a msghdr of zeroes is a valid one (no name, no buffers).
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = places.as_mut_ptr();
        message.msg_iovlen = places.len() as _;
        message.msg_control = control.0.as_mut_ptr().cast();
        message.msg_controllen = CONTROL_LEN as _;
        // SAFETY: the message points to buffers of the lengths it says, which are borrowed for the call.
        let len = unsafe { libc::recvmsg(self.fd.as_raw_fd(), &raw mut message, 0) };
        let len = Errno::result(len)? as usize;
        Ok(Received { len, cut: message.msg_flags & libc::MSG_TRUNC != 0, tag: tag(&message) })
    }

    /// Sends a frame that lies in pieces.
    pub(super) fn send(&self, pieces: &[IoSlice<'_>]) -> io::Result<()> {
        loop {
            match nix::sys::uio::writev(&self.fd, pieces) {
                Ok(_) => return Ok(()),
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

/// Room for control messages, aligned as their headers want it.
#[repr(C, align(8))]
struct Control([u8; CONTROL_LEN]);

fn place(bytes: &mut [u8]) -> libc::iovec {
    libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() }
}

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
