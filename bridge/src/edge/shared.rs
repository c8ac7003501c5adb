//! Memory that is shared with a program in the kernel.

use std::io;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU64;

use nix::sys::mman::{MapFlags, ProtFlags, mmap, munmap};

/// A piece of a map, as numbers of 64 bits.
#[derive(Debug)]
pub(super) struct Shared {
    at: NonNull<AtomicU64>,
    bytes: NonZeroUsize,
}

// SAFETY: it is an address of memory that belongs to this value alone in this process; whoever has the value may use it,
// and all access to the memory is atomic.
unsafe impl Send for Shared {}

impl Shared {
    /// Maps `bytes` bytes (whole pages) of a map, from `offset`.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn map(map: BorrowedFd<'_>, offset: usize, bytes: usize, write: bool) -> io::Result<Shared> {
        let bytes = NonZeroUsize::new(bytes).ok_or(io::ErrorKind::InvalidInput)?;
        let mut protection = ProtFlags::PROT_READ;
        protection.set(ProtFlags::PROT_WRITE, write);
        // SAFETY: a new mapping at an address of the kernel's choice, which is unmapped only when this value goes.
        let at = unsafe { mmap(None, bytes, protection, MapFlags::MAP_SHARED, map, offset as libc::off_t) }?;
        Ok(Shared { at: at.cast(), bytes })
    }

    /// Number `index`. A mapping without `write` must only be read.
    pub(super) fn number(&self, index: usize) -> &AtomicU64 {
        assert!(index < self.bytes.get() / size_of::<AtomicU64>());
        // SAFETY: within the mapping, which begins at a page, so it is aligned; any bits are a number; the kernel's side
        // changes it only as a whole.
        unsafe { self.at.add(index).as_ref() }
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's and nothing refers to it any more.
        let _ = unsafe { munmap(self.at.cast(), self.bytes.get()) };
    }
}
