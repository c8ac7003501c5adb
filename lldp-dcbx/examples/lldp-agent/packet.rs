//! A packet socket for LLDP frames on one interface. All `unsafe` of the example is here.

use std::ffi::CString;
use std::fs;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::time::Duration;

use lldp_dcbx::Mac;
use lldp_dcbx::lldp::Group;
use lldp_dcbx::wire::ETHERTYPE;

/// Octets of the largest frame that is looked at.
const MAX_FRAME: usize = 2048;

pub(crate) struct Socket {
    fd: OwnedFd,
    mac: Mac,
    sysfs: String,
}

impl Socket {
    /// Opens a socket that gets the LLDP frames of `iface`.
    pub(crate) fn open(iface: &str) -> io::Result<Self> {
        let sysfs = format!("/sys/class/net/{iface}");
        let mac = mac(&fs::read_to_string(format!("{sysfs}/address"))?)
            .ok_or_else(|| io::Error::other("not an Ethernet interface"))?;
        let name = CString::new(iface)?;
        // SAFETY: `name` is a string that ends with NUL and lives during the call.
        let index = unsafe { libc::if_nametoindex(name.as_ptr()) };
        if index == 0 {
            return Err(io::Error::last_os_error());
        }
        let kind = libc::SOCK_RAW | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no pointers are passed.
        let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: `fd` was just opened and belongs to nobody else.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        let socket = Self { fd, mac, sysfs };
        socket.bind(index.cast_signed())?;
        for group in Group::ALL {
            socket.join(index.cast_signed(), group.address())?;
        }
        Ok(socket)
    }

    pub(crate) fn mac(&self) -> Mac {
        self.mac
    }

    fn bind(&self, index: i32) -> io::Result<()> {
        // SAFETY: all zero is a valid value of this plain C structure.
        let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = ETHERTYPE.to_be();
        address.sll_ifindex = index;
        let size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
        // SAFETY: the pointer and size are those of `address`, which lives during the call.
        done(unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), size) })
    }

    fn join(&self, index: i32, group: Mac) -> io::Result<()> {
        let mut address = [0; 8];
        address[..6].copy_from_slice(&group.0);
        let request = libc::packet_mreq {
            mr_ifindex: index,
            mr_type: libc::PACKET_MR_MULTICAST as u16,
            mr_alen: 6,
            mr_address: address,
        };
        let size = size_of::<libc::packet_mreq>() as libc::socklen_t;
        let (level, option) = (libc::SOL_PACKET, libc::PACKET_ADD_MEMBERSHIP);
        // SAFETY: the pointer and size are those of `request`, which lives during the call.
        done(unsafe {
            libc::setsockopt(self.fd.as_raw_fd(), level, option, (&raw const request).cast(), size)
        })
    }

    /// The next frame that was received, if any; frames sent by this host are skipped.
    pub(crate) fn receive(&self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let mut frame = vec![0; MAX_FRAME];
            // SAFETY: all zero is a valid value of this plain C structure.
            let mut from: libc::sockaddr_ll = unsafe { mem::zeroed() };
            let mut size = size_of::<libc::sockaddr_ll>() as libc::socklen_t;
            // SAFETY: the buffer and the address are valid for writes of the sizes given with them.
            let n = unsafe {
                libc::recvfrom(
                    self.fd.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    0,
                    (&raw mut from).cast(),
                    &raw mut size,
                )
            };
            match usize::try_from(n) {
                Ok(n) if from.sll_pkttype != libc::PACKET_OUTGOING => {
                    frame.truncate(n);
                    return Ok(Some(frame));
                }
                Ok(_) => {}
                Err(_) => {
                    let e = io::Error::last_os_error();
                    // An interface that goes down reports it once; `link_up` tells the rest.
                    let nothing =
                        e.kind() == io::ErrorKind::WouldBlock || e.raw_os_error() == Some(libc::ENETDOWN);
                    return if nothing { Ok(None) } else { Err(e) };
                }
            }
        }
    }

    pub(crate) fn send(&self, frame: &[u8]) -> io::Result<()> {
        // SAFETY: the pointer and length are those of `frame`.
        let n = unsafe { libc::send(self.fd.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) };
        if n < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }

    /// Sleeps until a frame comes, at most for `limit`.
    pub(crate) fn wait(&self, limit: Duration) -> io::Result<()> {
        let mut poll = libc::pollfd { fd: self.fd.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // Rounded up, so that a deadline is over when the sleep is.
        let ms = i32::try_from(limit.as_millis() + 1).unwrap_or(i32::MAX);
        // SAFETY: one pollfd is passed, and it lives during the call.
        if unsafe { libc::poll(&raw mut poll, 1, ms) } < 0 {
            let e = io::Error::last_os_error();
            return if e.kind() == io::ErrorKind::Interrupted { Ok(()) } else { Err(e) };
        }
        Ok(())
    }

    /// Carrier. The operational state would be "dormant" while some peers negotiate.
    pub(crate) fn link_up(&self) -> io::Result<bool> {
        match fs::read_to_string(format!("{}/carrier", self.sysfs)) {
            Ok(s) => Ok(s.trim() == "1"),
            // Reading it fails while the interface is administratively down.
            Err(e) if e.raw_os_error() == Some(libc::EINVAL) => Ok(false),
            Err(e) => Err(e),
        }
    }
}

fn done(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn mac(text: &str) -> Option<Mac> {
    let octets: Option<Vec<u8>> = text.trim().split(':').map(|o| u8::from_str_radix(o, 16).ok()).collect();
    octets?.try_into().ok().map(Mac)
}
