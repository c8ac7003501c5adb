//! The `AF_XDP` socket of one queue: system calls that have no safe wrapper, and the frames that go through its rings.
//!
//! The kernel copies frames between its buffers and ours. Nothing comes by itself: the device's polling is switched off
//! (`napi`), and a `Bell` lets the kernel poll this queue once, up to `BUDGET` frames.

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use nix::errno::Errno;

use super::memory::{Chunks, Ring};

/// Frames that one bell may bring.
pub(super) const BUDGET: u32 = 64;
/// Chunks, and places in the ring, for received frames of a queue: a bell is only rung while the ring is empty, so it
/// never overflows.
pub(super) const RX_FRAMES: u32 = 2 * BUDGET;
/// The same for frames that are sent, on the one queue by which frames are sent.
pub(super) const TX_FRAMES: u32 = 256;
/// The kernel sends so many at one call.
const TX_AT_ONCE: u32 = 32;
/// Room that the kernel keeps in front of each received frame.
pub(super) const HEADROOM: usize = 256;

/// An `AF_XDP` socket on one queue.
#[derive(Debug)]
pub(super) struct Xsk {
    fd: OwnedFd,
    chunks: Chunks,
    rx: Ring<libc::xdp_desc>,
    fill: Ring<u64>,
    tx: Ring<libc::xdp_desc>,
    completion: Ring<u64>,
    /// Chunks for frames that are sent.
    free: Vec<u64>,
}

impl Xsk {
    /// Opens a socket on queue `queue` of interface number `index` of the calling thread's namespace; `chunk` bytes hold a
    /// frame. Only queue 0 sends.
    pub(super) fn open(index: u32, queue: u32, chunk: usize) -> io::Result<Xsk> {
        // SAFETY: socket takes three integers and answers a new descriptor.
        let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
        // SAFETY: the descriptor was just made for us.
        let fd = unsafe { OwnedFd::from_raw_fd(Errno::result(fd)?) };
        let tx_frames = if queue == 0 { TX_FRAMES } else { 1 };
        let chunks = Chunks::new((RX_FRAMES + tx_frames) as usize, chunk)?;
        let area = libc::xdp_umem_reg {
            addr: chunks.address(),
            len: chunks.bytes() as u64,
            chunk_size: chunk as u32,
            headroom: 0,
            flags: 0,
            tx_metadata_len: 0,
        };
        let set = |option, value: u32| set(fd.as_fd(), libc::SOL_XDP, option, &value);
        self::set(fd.as_fd(), libc::SOL_XDP, libc::XDP_UMEM_REG, &area)?;
        set(libc::XDP_UMEM_FILL_RING, RX_FRAMES)?;
        set(libc::XDP_UMEM_COMPLETION_RING, tx_frames)?;
        set(libc::XDP_RX_RING, RX_FRAMES)?;
        set(libc::XDP_TX_RING, tx_frames)?;
        let at: libc::xdp_mmap_offsets = ask(fd.as_fd(), libc::SOL_XDP, libc::XDP_MMAP_OFFSETS)?;
        let s = fd.as_fd();
        let mut xsk = Xsk {
            rx: Ring::map(s, libc::XDP_PGOFF_RX_RING, &at.rx, RX_FRAMES)?,
            tx: Ring::map(s, libc::XDP_PGOFF_TX_RING, &at.tx, tx_frames)?,
            fill: Ring::map(s, libc::XDP_UMEM_PGOFF_FILL_RING as i64, &at.fr, RX_FRAMES)?,
            completion: Ring::map(s, libc::XDP_UMEM_PGOFF_COMPLETION_RING as i64, &at.cr, tx_frames)?,
            free: (0..u64::from(tx_frames)).map(|n| (u64::from(RX_FRAMES) + n) * chunk as u64).collect(),
            chunks,
            fd,
        };
        for n in 0..u64::from(RX_FRAMES) {
            xsk.fill.push(n * chunk as u64);
        }
        xsk.fill.publish();
        xsk.bind(index, queue)?;
        Ok(xsk)
    }

    fn bind(&self, index: u32, queue: u32) -> io::Result<()> {
        let address = libc::sockaddr_xdp {
            sxdp_family: libc::AF_XDP as u16,
            sxdp_flags: libc::XDP_COPY | libc::XDP_USE_NEED_WAKEUP,
            sxdp_ifindex: index,
            sxdp_queue_id: queue,
            sxdp_shared_umem_fd: 0,
        };
        let len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
        // SAFETY: the pointer is to a sockaddr_xdp of the length given that outlives the call.
        Errno::result(unsafe { libc::bind(self.fd.as_raw_fd(), (&raw const address).cast(), len) })?;
        Ok(())
    }

    /// No received frame waits in the ring.
    pub(super) fn is_empty(&self) -> bool {
        self.rx.peek().is_none()
    }

    /// The next received frame; it stays until it is taken.
    pub(super) fn peek(&self) -> Option<&[u8]> {
        let desc = self.rx.peek()?;
        // The kernel only hands over what it was given.
        Some(self.chunks.received(desc.addr, desc.len).unwrap_or_default())
    }

    /// Takes the frame that was looked at and gives its memory back to the kernel.
    pub(super) fn take(&mut self) {
        let Some(desc) = self.rx.peek() else { return };
        let chunk = desc.addr & !(self.chunks.chunk() as u64 - 1);
        self.rx.take();
        self.fill.push(chunk);
        self.fill.publish();
    }

    /// Frames that can be sent now.
    pub(super) fn tx_room(&self) -> usize {
        self.free.len()
    }

    /// Takes back the memory of frames that were sent.
    pub(super) fn reap(&mut self) {
        while let Some(chunk) = self.completion.peek() {
            self.completion.take();
            self.free.push(chunk);
        }
    }

    /// Puts a frame made of two parts in the queue. False: there is no room, or it is too long.
    pub(super) fn put(&mut self, head: &[u8], body: &[u8]) -> bool {
        let len = head.len() + body.len();
        let Some(&chunk) = self.free.last() else { return false };
        let Some(to) = self.chunks.chunk_mut(chunk).and_then(|bytes| bytes.get_mut(..len)) else {
            return false;
        };
        to[..head.len()].copy_from_slice(head);
        to[head.len()..].copy_from_slice(body);
        if !self.tx.push(libc::xdp_desc { addr: chunk, len: len as u32, options: 0 }) {
            return false;
        }
        self.free.pop();
        true
    }

    /// Sends what was put. False: some of it waits, because the host holds as much as it may.
    pub(super) fn send(&mut self) -> bool {
        self.tx.publish();
        let mut left = self.tx.left();
        // At most so many calls, each of which sends some.
        for _ in 0..=TX_FRAMES / TX_AT_ONCE {
            if left == 0 {
                return true;
            }
            // SAFETY: no buffer is handed over.
            unsafe {
                libc::sendto(
                    self.fd.as_raw_fd(),
                    std::ptr::null(),
                    0,
                    libc::MSG_DONTWAIT,
                    std::ptr::null(),
                    0,
                )
            };
            let now = self.tx.left();
            if now == left {
                return false;
            }
            left = now;
        }
        left == 0
    }

    /// Frames that the kernel has lost: there was no room for them, or they were too long.
    pub(super) fn dropped(&self) -> u64 {
        let statistics: io::Result<libc::xdp_statistics> =
            ask(self.fd.as_fd(), libc::SOL_XDP, libc::XDP_STATISTICS);
        statistics.map_or(0, |s| s.rx_dropped + s.rx_ring_full)
    }
}

impl AsFd for Xsk {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Sets an option of a socket.
pub(super) fn set<T: Copy>(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    option: libc::c_int,
    value: &T,
) -> io::Result<()> {
    let len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointer is to a value of the length given that outlives the call; the kernel copies it.
    let set = unsafe { libc::setsockopt(fd.as_raw_fd(), level, option, (&raw const *value).cast(), len) };
    Errno::result(set)?;
    Ok(())
}

/// What may be read from the kernel by `getsockopt`: structs of numbers.
///
/// # Safety
/// Any bits are a value.
pub(super) unsafe trait Answer: Copy {}
// SAFETY: any bits are a number.
unsafe impl Answer for u32 {}
// SAFETY: a struct of numbers.
unsafe impl Answer for libc::xdp_statistics {}
// SAFETY: a struct of structs of numbers.
unsafe impl Answer for libc::xdp_mmap_offsets {}

/// Asks for an option of a socket.
pub(super) fn ask<T: Answer>(fd: BorrowedFd<'_>, level: libc::c_int, option: libc::c_int) -> io::Result<T> {
    // SAFETY: any bits are a value, also zeroes.
    let mut value: T = unsafe { mem::zeroed() };
    let mut len = size_of::<T>() as libc::socklen_t;
    // SAFETY: the pointers are to a value and its length; both outlive the call.
    let asked =
        unsafe { libc::getsockopt(fd.as_raw_fd(), level, option, (&raw mut value).cast(), &raw mut len) };
    Errno::result(asked)?;
    if (len as usize) < size_of::<T>() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(value)
}
