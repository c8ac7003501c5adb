//! What a port is to the data path: frames in, frames out, and descriptors to wait for.
//!
//! A port knows its device and nothing of switching. It never blocks. Opening a device may block and may need
//! privilege, so that happens before (`open`), on the control side; the worker only gets what is ready.
//!
//! What must not enter: classification, scheduling, configuration files.

use std::io;
use std::os::fd::RawFd;

use dcbridge_scheduler::{FrameId, Priority};

use crate::arena::Arena;

mod batch;
mod error;
mod interface;
pub mod memory;
mod open;
pub mod packet;
mod pieces;
pub mod ring;
pub mod stream;
mod sys;
pub mod tap;
pub mod veth;

pub use batch::TxBatch;
pub use error::OpenError;
pub use open::{OpenContext, Opened, open};

/// The offload header of a frame (`virtio_net_hdr`, 10 bytes on the device), in host order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VnetHeader {
    /// `NEEDS_CSUM` (1), `DATA_VALID` (2).
    pub flags: u8,
    /// 0 none, 1 TCP over IPv4, 4 TCP over IPv6, 5 UDP (USO); 0x80: with ECN.
    pub gso_type: u8,
    /// Bytes of all headers (a hint of the sender's).
    pub hdr_len: u16,
    /// Payload bytes of each segment.
    pub gso_size: u16,
    /// Where the checksum begins.
    pub csum_start: u16,
    /// Where it is to be written, from `csum_start`.
    pub csum_offset: u16,
}

/// Flag: the checksum at `csum_start + csum_offset` is not finished.
pub const NEEDS_CSUM: u8 = 1;
/// Flag: the checksum was found right.
const DATA_VALID: u8 = 2;
/// Bit of `gso_type`: the segments carry ECN's CWR as TCP needs it.
pub const GSO_ECN: u8 = 0x80;

/// Bytes of the header on the device: without the count of buffers, which virtio 1 puts behind it and which the kernel
/// would clear by a call of its own for each frame.
pub const VNET_HEADER_LEN: usize = 10;

impl VnetHeader {
    /// From the device's bytes. What has no meaning (fields that no flag speaks for, unknown flags) is taken as zero, so
    /// that nothing of it reaches another device, which might refuse the frame for it.
    pub fn from_bytes(b: &[u8; VNET_HEADER_LEN]) -> VnetHeader {
        let u16_at = |i: usize| u16::from_le_bytes([b[i], b[i + 1]]);
        let flags = b[0] & (NEEDS_CSUM | DATA_VALID);
        let segmented = b[1] & !GSO_ECN != 0;
        let unfinished = flags & NEEDS_CSUM != 0;
        VnetHeader {
            flags,
            gso_type: if segmented { b[1] } else { 0 },
            hdr_len: if segmented { u16_at(2) } else { 0 },
            gso_size: if segmented { u16_at(4) } else { 0 },
            csum_start: if unfinished { u16_at(6) } else { 0 },
            csum_offset: if unfinished { u16_at(8) } else { 0 },
        }
    }

    /// To the device's bytes.
    pub fn to_bytes(self) -> [u8; VNET_HEADER_LEN] {
        let mut b = [0; VNET_HEADER_LEN];
        b[0] = self.flags;
        b[1] = self.gso_type;
        b[2..4].copy_from_slice(&self.hdr_len.to_le_bytes());
        b[4..6].copy_from_slice(&self.gso_size.to_le_bytes());
        b[6..8].copy_from_slice(&self.csum_start.to_le_bytes());
        b[8..10].copy_from_slice(&self.csum_offset.to_le_bytes());
        b
    }
}

/// A received frame, owned by whoever holds it until it is freed in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RxFrame {
    /// Where its bytes are.
    pub id: FrameId,
    /// The receive queue it came by.
    pub queue: u8,
}

/// The longest head of its own that an outgoing frame may carry.
pub const MAX_HEAD: usize = 160;

/// A frame to send: `head`, then `body[off..off + len]`.
#[derive(Clone, Debug)]
#[repr(align(64))] // All but the head lies in one cache line.
pub struct TxDesc {
    /// Rewritten headers; empty when the body is sent as it is.
    pub head: [u8; MAX_HEAD],
    /// Bytes of `head` that count.
    pub head_len: u8,
    /// The frame in the arena.
    pub body: FrameId,
    /// First byte of the body that is sent.
    pub off: u32,
    /// Bytes of the body that are sent.
    pub len: u32,
    /// Offload header (for ports that take one; others only get frames without offload).
    pub vnet: VnetHeader,
}

impl TxDesc {
    /// The bytes that go first.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len).min(MAX_HEAD)]
    }

    /// The bytes that follow; empty when the frame in the arena is not as long as was said.
    pub fn body<'a>(&self, arena: &'a Arena) -> &'a [u8] {
        let from = self.off as usize;
        let body = arena.bytes(self.body).get(from..from + self.len as usize);
        debug_assert!(body.is_some(), "{self:?} reaches beyond its frame");
        body.unwrap_or_default()
    }
}

/// What a read brought.
#[derive(Debug, Default)]
pub struct RxStatus {
    /// The budget ended before the device was empty: call again.
    pub more: bool,
    /// The device was found empty, and what comes next makes no descriptor ready before `doze`.
    pub restless: bool,
    /// Frames that the device gave and that could not be kept: longer than `MAX_FRAME` or no memory.
    pub lost: u32,
    /// The device is gone; nothing more will come until the port is opened anew.
    pub closed: Option<io::Error>,
}

/// What became of a frame that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxOutcome {
    /// The device took it.
    Sent,
    /// The device refused it (link down, no buffers): it is gone.
    Refused,
}

/// What a port's descriptors can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Interest {
    /// The descriptor.
    pub fd: RawFd,
    /// Wait until it can be read.
    pub read: bool,
    /// Wait until it can be written.
    pub write: bool,
}

/// Link state as a port sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Frames pass.
    Up,
    /// No frames pass; the reason is for a person.
    Down(String),
}

/// What a closed gate guarantees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guarantee {
    /// Nothing comes after the pause.
    Exact,
    /// Up to so many bytes more come, which the headroom has to hold.
    BoundedByHeadroom {
        /// Frame bytes.
        residual_bytes: u32,
    },
    /// The peer is sent PFC frames; what it makes of them is its own affair.
    FramesOnly,
    /// Nothing: the sender can't be paused.
    None,
}

/// A device of the data path.
pub trait Port: Send {
    /// Reads up to `budget` frames from the queues in the bitmap `serve` (bit n: receive queue n; a port with one queue
    /// looks at bit 0) and appends them to `out`.
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus;

    /// How many frames `tx` will surely take now; 0 while the device is full.
    fn tx_room(&self) -> usize;

    /// Sends `frames` (at most `tx_room` of them), in order, and says of each what became of it.
    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>);

    /// What to wait for. Asked again whenever `tx_room` was 0, after `tick`, and after `rx` or `tx`
    /// returned something else than before; a port with nothing to wait for leaves `out` empty.
    fn interests(&self, out: &mut Vec<Interest>);

    /// Lets the next frame make a descriptor ready; to be called before waiting for one after `rx` was *restless*. True: there
    /// is something already.
    fn doze(&mut self) -> bool {
        false
    }

    /// Something has become ready at the `n`-th of the `interests`, counted from 0: a port with several descriptors learns by
    /// it which of them to read.
    fn ready(&mut self, _n: usize) {}

    /// Housekeeping, some ten times a second and whenever a descriptor became ready: reconnects, accepts, looks at the
    /// link. Answers the link state.
    fn tick(&mut self) -> Link;

    /// Whether frames may carry offloads (superframes, unfinished checksums).
    fn offload(&self) -> bool;

    /// Receive queues: 1, or 8 when there is one per priority.
    fn rx_queues(&self) -> u8 {
        1
    }

    /// Opens or closes the gate of a priority: whether the host may send it. A port that can't push back ignores it.
    fn set_gate(&mut self, _priority: Priority, _open: bool) {}

    /// What a closed gate guarantees.
    fn guarantee(&self) -> Guarantee {
        Guarantee::None
    }

    /// Frames that the host's side of the device has dropped since the port was opened, because we did not take them in
    /// time: violations of the headroom. Up to date within half a second.
    fn host_edge_drops(&self) -> u64 {
        0
    }
}
