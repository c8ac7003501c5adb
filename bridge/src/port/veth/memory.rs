//! Memory that is shared with the kernel's `AF_XDP`: the frames, and the rings by which they change hands.
//!
//! What must not enter: system calls other than mapping memory, and what is in a frame.

use std::io;
use std::marker::PhantomData;
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};

use nix::sys::mman::{MapFlags, ProtFlags, mmap, mmap_anonymous, munmap};

/// Mapped memory, this value's alone in this process.
#[derive(Debug)]
struct Mapping {
    at: NonNull<u8>,
    bytes: NonZeroUsize,
}

// SAFETY: it is an address of memory that belongs to this value alone in this process.
unsafe impl Send for Mapping {}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's and nothing refers to it any more.
        let _ = unsafe { munmap(self.at.cast(), self.bytes.get()) };
    }
}

const BOTH: ProtFlags = ProtFlags::PROT_READ.union(ProtFlags::PROT_WRITE);

/// The frames' memory, in chunks of one size.
#[derive(Debug)]
pub(super) struct Chunks {
    mapping: Mapping,
    chunk: usize,
}

impl Chunks {
    /// `count` chunks of `chunk` bytes (a power of two).
    pub(super) fn new(count: usize, chunk: usize) -> io::Result<Chunks> {
        let bytes = NonZeroUsize::new(count * chunk).ok_or(io::ErrorKind::InvalidInput)?;
        // SAFETY: a new mapping at an address of the kernel's choice, which is unmapped only when this value goes.
        let at = unsafe { mmap_anonymous(None, bytes, BOTH, MapFlags::MAP_PRIVATE) }?;
        Ok(Chunks { mapping: Mapping { at: at.cast(), bytes }, chunk })
    }

    pub(super) fn address(&self) -> u64 {
        self.mapping.at.as_ptr() as u64
    }

    pub(super) fn bytes(&self) -> usize {
        self.mapping.bytes.get()
    }

    /// Bytes of a chunk.
    pub(super) fn chunk(&self) -> usize {
        self.chunk
    }

    /// `len` bytes at `offset`, which the kernel has handed over. `None`: they are not all within the memory.
    pub(super) fn received(&self, offset: u64, len: u32) -> Option<&[u8]> {
        let (offset, len) = (usize::try_from(offset).ok()?, len as usize);
        if offset.checked_add(len)? > self.bytes() {
            return None;
        }
        // SAFETY: within the mapping; the kernel does not write to a chunk between handing it over and getting it back
        // through the fill ring, which takes `&mut` of the socket that owns this memory.
        Some(unsafe { std::slice::from_raw_parts(self.mapping.at.as_ptr().add(offset), len) })
    }

    /// The chunk that begins at `offset`, to be written to; the kernel does not have it. `None`: there is no such chunk.
    pub(super) fn chunk_mut(&mut self, offset: u64) -> Option<&mut [u8]> {
        let offset = usize::try_from(offset).ok()?;
        if !offset.is_multiple_of(self.chunk) || offset >= self.bytes() {
            return None;
        }
        // SAFETY: within the mapping, and borrowed as the mapping is.
        Some(unsafe { std::slice::from_raw_parts_mut(self.mapping.at.as_ptr().add(offset), self.chunk) })
    }
}

/// What a ring may hold: plain numbers.
///
/// # Safety
/// Any bits are a value.
pub(super) unsafe trait Entry: Copy {}
// SAFETY: any bits are a number.
unsafe impl Entry for u64 {}
// SAFETY: a struct of numbers.
unsafe impl Entry for libc::xdp_desc {}

/// A ring of which the kernel has the other end. Whether this end produces or consumes is up to its owner, who uses
/// `push` and `publish`, or `peek` and `release`.
#[derive(Debug)]
pub(super) struct Ring<T> {
    _mapping: Mapping,
    producer: NonNull<AtomicU32>,
    consumer: NonNull<AtomicU32>,
    entries: NonNull<T>,
    mask: u32,
    /// Our own index, ahead of what the kernel knows of it.
    own: u32,
    kind: PhantomData<T>,
}

// SAFETY: the pointers are into the mapping, which goes along.
unsafe impl<T: Send> Send for Ring<T> {}

impl<T: Entry> Ring<T> {
    /// Maps the ring of `size` entries (a power of two) that is at page offset `page` of an `AF_XDP` socket, laid out as the
    /// kernel says in `offsets`.
    pub(super) fn map(
        socket: BorrowedFd<'_>,
        page: i64,
        offsets: &libc::xdp_ring_offset,
        size: u32,
    ) -> io::Result<Ring<T>> {
        let end = offsets.desc as usize + size as usize * size_of::<T>();
        let bytes = NonZeroUsize::new(end).ok_or(io::ErrorKind::InvalidInput)?;
        let flags = MapFlags::MAP_SHARED | MapFlags::MAP_POPULATE;
        // SAFETY: a new mapping at an address of the kernel's choice, which is unmapped only when this value goes.
        let at: NonNull<u8> = unsafe { mmap(None, bytes, BOTH, flags, socket, page) }?.cast();
        let mapping = Mapping { at, bytes };
        let aligned = |offset: u64, to: usize| (offset as usize).is_multiple_of(to);
        if offsets.producer as usize + 4 > end
            || offsets.consumer as usize + 4 > end
            || !aligned(offsets.producer, 4)
            || !aligned(offsets.consumer, 4)
            || !aligned(offsets.desc, align_of::<T>())
            || !size.is_power_of_two()
        {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: all three are within the mapping and aligned, as was just checked.
        let (producer, consumer, entries) = unsafe {
            (
                at.add(offsets.producer as usize).cast(),
                at.add(offsets.consumer as usize).cast(),
                at.add(offsets.desc as usize).cast(),
            )
        };
        Ok(Ring { _mapping: mapping, producer, consumer, entries, mask: size - 1, own: 0, kind: PhantomData })
    }

    fn producer(&self) -> &AtomicU32 {
        // SAFETY: within the mapping and aligned (see `map`); the kernel changes it only as a whole.
        unsafe { self.producer.as_ref() }
    }

    fn consumer(&self) -> &AtomicU32 {
        // SAFETY: as above.
        unsafe { self.consumer.as_ref() }
    }

    fn entry(&self, index: u32) -> NonNull<T> {
        // SAFETY: the mask keeps it within the `size` entries that were mapped.
        unsafe { self.entries.add((index & self.mask) as usize) }
    }

    /// Consuming end: the next entry; it stays until it is taken.
    pub(super) fn peek(&self) -> Option<T> {
        if self.own == self.producer().load(Ordering::Acquire) {
            return None;
        }
        // SAFETY: the kernel has written the entry before it moved the producer's index, and leaves it alone until ours
        // is behind it.
        Some(unsafe { self.entry(self.own).read() })
    }

    /// Consuming end: takes the entry that was looked at, and gives its place back.
    pub(super) fn take(&mut self) {
        self.own = self.own.wrapping_add(1);
        self.consumer().store(self.own, Ordering::Release);
    }

    /// Producing end: free places.
    pub(super) fn room(&self) -> u32 {
        self.mask + 1 - self.own.wrapping_sub(self.consumer().load(Ordering::Acquire))
    }

    /// Producing end: entries that the kernel has not taken.
    pub(super) fn left(&self) -> u32 {
        self.own.wrapping_sub(self.consumer().load(Ordering::Acquire))
    }

    /// Producing end: puts an entry in; the kernel sees it after `publish`. False: the ring is full.
    pub(super) fn push(&mut self, entry: T) -> bool {
        if self.room() == 0 {
            return false;
        }
        // SAFETY: the place is free: the kernel reads it only when our index is behind it.
        unsafe { self.entry(self.own).write(entry) };
        self.own = self.own.wrapping_add(1);
        true
    }

    /// Producing end: shows the kernel what was put in.
    pub(super) fn publish(&self) {
        self.producer().store(self.own, Ordering::Release);
    }
}
