//! The system calls of ports that have no safe wrapper: TUN ioctls and taking a descriptor of another process. And
//! `read` and `write` without the C library, in whose way they are points where a thread may be cancelled: with more
//! than one thread this costs 60 ns a call.
//!
//! What must not enter: decisions. Every function is one call with checked arguments.

use std::io::{self, IoSlice};
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use nix::errno::Errno;

mod ioctl {
    // linux/if_tun.h. The kernel declares most of them as taking an int although they take a pointer.
    nix::ioctl_write_ptr_bad!(tun_set_iff, nix::request_code_write!(b'T', 202, 4), libc::ifreq);
    nix::ioctl_read_bad!(tun_get_iff, nix::request_code_read!(b'T', 210, 4), libc::ifreq);
    nix::ioctl_write_int!(tun_set_offload, b'T', 208);
    nix::ioctl_write_ptr!(tun_set_vnet_header_size, b'T', 216, libc::c_int);
    nix::ioctl_write_ptr!(tun_set_vnet_le, b'T', 220, libc::c_int);
    nix::ioctl_write_ptr_bad!(tun_set_steering, nix::request_code_read!(b'T', 224, 4), libc::c_int);
    nix::ioctl_none!(tun_get_dev_netns, b'T', 227);
}

/// Fails when another interface has the name already (`linux/if_tun.h`).
pub(super) const IFF_TUN_EXCL: i32 = 0x8000;

/// Attaches a descriptor of `/dev/net/tun` to an interface, or makes it. `name` has at most 15 bytes.
pub(super) fn set_interface(fd: BorrowedFd<'_>, name: &str, flags: i32) -> io::Result<()> {
    let request = request(name, flags)?;
    // SAFETY: `request` is a valid ifreq that outlives the call; the kernel copies it.
    unsafe { ioctl::tun_set_iff(fd.as_raw_fd(), &raw const request) }?;
    Ok(())
}

/// Name and flags of the interface that a descriptor is attached to; `EBADFD` when it has none any more.
pub(super) fn interface(fd: BorrowedFd<'_>) -> io::Result<(String, i32)> {
    let mut request = request("", 0)?;
    // SAFETY: the kernel fills the ifreq that `request` is, and keeps no pointer to it.
    unsafe { ioctl::tun_get_iff(fd.as_raw_fd(), &raw mut request) }?;
    let name: Vec<u8> = request.ifr_name.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    // SAFETY: TUNGETIFF sets the flags member; any bit pattern of it is valid.
    let flags = unsafe { request.ifr_ifru.ifru_flags };
    Ok((String::from_utf8_lossy(&name).into_owned(), i32::from(flags) & 0xffff))
}

fn request(name: &str, flags: i32) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq of zeroes is a valid one (an empty name, no address).
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    if name.len() >= request.ifr_name.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = flags as libc::c_short;
    Ok(request)
}

/// Sets which offloads the interface may hand to its owner (`TUN_F_*`).
pub(super) fn set_offload(fd: BorrowedFd<'_>, offload: u32) -> io::Result<()> {
    // SAFETY: the argument is a plain integer.
    unsafe { ioctl::tun_set_offload(fd.as_raw_fd(), libc::c_ulong::from(offload)) }?;
    Ok(())
}

/// Sets the length of the offload header, and that its fields are little-endian.
pub(super) fn set_vnet_header(fd: BorrowedFd<'_>, len: usize) -> io::Result<()> {
    let len = len as libc::c_int;
    let little_endian: libc::c_int = 1;
    // SAFETY: both pointers are to integers that outlive the calls; the kernel only reads them.
    unsafe {
        ioctl::tun_set_vnet_header_size(fd.as_raw_fd(), &raw const len)?;
        ioctl::tun_set_vnet_le(fd.as_raw_fd(), &raw const little_endian)?;
    }
    Ok(())
}

/// Lets `program` choose the queue of every frame, or the kernel by flow (`None`).
pub(super) fn set_steering(fd: BorrowedFd<'_>, program: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let program: libc::c_int = program.map_or(-1, |p| p.as_raw_fd());
    // SAFETY: the pointer is to an integer that outlives the call; the kernel only reads it.
    unsafe { ioctl::tun_set_steering(fd.as_raw_fd(), &raw const program) }?;
    Ok(())
}

/// The namespace that the interface of a TUN descriptor lives in.
pub(super) fn interface_netns(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: the call takes no argument and answers a new descriptor, or a negative number with errno set.
    let netns = unsafe { ioctl::tun_get_dev_netns(fd.as_raw_fd()) }?;
    // SAFETY: the descriptor was just made for us and nobody else knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(netns) })
}

/// `read`.
pub(super) fn read(fd: BorrowedFd<'_>, place: &mut [u8]) -> io::Result<usize> {
    // SAFETY: the pointer is to as many bytes as are said, borrowed for the call to be written to.
    let read = unsafe { libc::syscall(libc::SYS_read, fd.as_raw_fd(), place.as_mut_ptr(), place.len()) };
    Ok(Errno::result(read)? as usize)
}

/// `write`, again when a signal came between.
pub(super) fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    // SAFETY: the pointer is to as many bytes as are said, borrowed for the call to be read.
    written(|| unsafe { libc::syscall(libc::SYS_write, fd.as_raw_fd(), bytes.as_ptr(), bytes.len()) })
}

/// `writev`, again when a signal came between.
pub(super) fn writev(fd: BorrowedFd<'_>, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
    // SAFETY: an `IoSlice` is an iovec; there are as many as are said, borrowed for the call with what they point to.
    written(|| unsafe { libc::syscall(libc::SYS_writev, fd.as_raw_fd(), pieces.as_ptr(), pieces.len()) })
}

fn written(call: impl Fn() -> libc::c_long) -> io::Result<usize> {
    loop {
        match Errno::result(call()) {
            Ok(written) => return Ok(written as usize),
            Err(Errno::EINTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
}

/// A copy of descriptor `fd` of process `pid`.
pub(super) fn descriptor_of(pid: u32, fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and answers a new descriptor.
    let pidfd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid as libc::pid_t, 0) };
    let pidfd = Errno::result(pidfd)? as RawFd;
    // SAFETY: the descriptor was just made for us.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    // SAFETY: pidfd_getfd takes integers and answers a new descriptor.
    let copy = unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), fd, 0) };
    let copy = Errno::result(copy)? as RawFd;
    // SAFETY: the descriptor was just made for us.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// A second descriptor of the same open file, closed on exec. `owner` keeps `fd` open during the call.
pub(super) fn duplicate<T: AsRawFd>(owner: &T) -> io::Result<OwnedFd> {
    // SAFETY: `owner` holds its descriptor open for as long as it is borrowed.
    let fd = unsafe { BorrowedFd::borrow_raw(owner.as_raw_fd()) };
    fd.try_clone_to_owned()
}
