//! Maps: memory that programs and this process share.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use super::sys::bpf;

const MAP_CREATE: libc::c_int = 0;
const MAP_UPDATE: libc::c_int = 2;
/// `BPF_F_MMAPABLE`
const MAPPABLE: u32 = 1 << 10;

/// What a map is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// One value of so many bytes, which can be mapped into memory.
    Value(u32),
    /// Sockets of `AF_XDP` by number, so many.
    XdpSockets(u32),
    /// A ring of so many bytes (a power of two, whole pages), whose descriptor becomes readable.
    Ring(u32),
}

#[derive(Default)]
#[repr(C)]
struct CreateAttributes {
    kind: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    flags: u32,
    /// The kernel's union is longer than the part that is used.
    rest: [u32; 13],
}

#[derive(Default)]
#[repr(C)]
struct ElementAttributes {
    map: u32,
    padding: u32,
    key: u64,
    value: u64,
    flags: u64,
}

/// A map; it lives as long as this or a program that uses it.
#[derive(Debug)]
pub struct Map {
    fd: OwnedFd,
}

impl Map {
    /// Makes one.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn new(kind: MapKind) -> io::Result<Map> {
        let (kind, key_size, value_size, max_entries, flags) = match kind {
            MapKind::Value(bytes) => (2, 4, bytes, 1, MAPPABLE),
            MapKind::XdpSockets(count) => (17, 4, 4, count, 0),
            MapKind::Ring(bytes) => (27, 0, 0, bytes, 0),
        };
        let mut attributes = CreateAttributes {
            kind,
            key_size,
            value_size,
            max_entries,
            flags,
            ..CreateAttributes::default()
        };
        let fd = bpf(MAP_CREATE, &mut attributes)?;
        // SAFETY: the kernel has just made the descriptor for us.
        Ok(Map { fd: unsafe { OwnedFd::from_raw_fd(fd as RawFd) } })
    }

    /// Puts a descriptor into entry `key`.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn put(&self, key: u32, value: BorrowedFd<'_>) -> io::Result<()> {
        let value = value.as_raw_fd();
        let mut attributes = ElementAttributes {
            map: self.fd.as_raw_fd() as u32,
            key: (&raw const key) as u64,
            value: (&raw const value) as u64,
            ..ElementAttributes::default()
        };
        bpf(MAP_UPDATE, &mut attributes)?;
        Ok(())
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
