//! An interface that a port uses but does not own, seen by its number through any socket of its namespace: it may be
//! renamed or set down by its administrator, and it may vanish.
//!
//! Asking costs two system calls and needs no privilege, so ports do it in their `tick`.
//!
//! What must not enter: changes of an interface (that is `net`).

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd};

use nix::errno::Errno;

use super::Link;

/// What an interface looks like just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// It is there, under this name.
    Present {
        /// Its name now.
        name: String,
        /// Set up by its administrator.
        up: bool,
        /// With carrier.
        running: bool,
    },
    /// It was deleted, or moved to another namespace.
    Gone,
}

impl State {
    /// The same as a port says it.
    pub(super) fn link(&self) -> Link {
        match self {
            State::Present { up: true, running: true, .. } => Link::Up,
            State::Present { name, up: false, .. } => {
                Link::Down(format!("the interface is set down (ip link set dev {name} up)"))
            }
            State::Present { name, .. } => {
                Link::Down(format!("{name} has no carrier: its other end is down"))
            }
            State::Gone => Link::Down(GONE.to_owned()),
        }
    }
}

/// Why a port whose interface is gone is closed.
pub(super) const GONE: &str = "the interface was deleted";

/// Looks at interface number `index` of the namespace in which `socket` was made.
pub(super) fn state(socket: BorrowedFd<'_>, index: u32) -> State {
    let Ok(mut request) = name_request(socket, index) else { return State::Gone };
    let name: Vec<u8> = request.ifr_name.iter().take_while(|&&c| c != 0).map(|&c| c as u8).collect();
    if ask(socket, libc::SIOCGIFFLAGS, &mut request).is_err() {
        // Renamed or deleted between the two questions: the next look tells.
        return State::Gone;
    }
    // SAFETY: SIOCGIFFLAGS has set the flags member; any bit pattern of it is valid.
    let flags = i32::from(unsafe { request.ifr_ifru.ifru_flags });
    State::Present {
        name: String::from_utf8_lossy(&name).into_owned(),
        up: flags & libc::IFF_UP != 0,
        running: flags & libc::IFF_RUNNING != 0,
    }
}

/// The ARP hardware type (`ARPHRD_*`) of an interface.
pub(super) fn hardware_type(socket: BorrowedFd<'_>, index: u32) -> io::Result<u16> {
    let mut request = name_request(socket, index)?;
    ask(socket, libc::SIOCGIFHWADDR, &mut request)?;
    // SAFETY: SIOCGIFHWADDR has set the address member; any bit pattern of it is valid.
    Ok(unsafe { request.ifr_ifru.ifru_hwaddr }.sa_family)
}

/// A request that holds the present name of interface number `index`.
fn name_request(socket: BorrowedFd<'_>, index: u32) -> io::Result<libc::ifreq> {
    // SAFETY: an ifreq of zeroes is a valid one (an empty name, no address).
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    request.ifr_ifru.ifru_ifindex = index as libc::c_int;
    ask(socket, libc::SIOCGIFNAME, &mut request)?;
    Ok(request)
}

fn ask(socket: BorrowedFd<'_>, question: libc::c_ulong, request: &mut libc::ifreq) -> io::Result<()> {
    // SAFETY: all questions of this room take a pointer to an ifreq, which the kernel fills and does not keep.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), question as _, &raw mut *request) };
    Errno::result(answer)?;
    Ok(())
}
