//! Any Ethernet interface as a port, by a packet socket: a physical network card, the end of a veth pair, a bond.
//!
//! The interface stays its administrator's: the port hears and sends on it, beside the host's own stack, and changes
//! nothing but the promiscuous mode, which ends with the socket. There is no way to push back on who sends: the peer is
//! sent PFC frames, and a network card in DCB mode eats those that come, so pauses for us are honoured by the card.
//!
//! Superframes and unfinished checksums pass both ways. The kernel takes the outer VLAN tag out of received frames and
//! tells it beside; it is put back here.

mod open;
mod socket;

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, AsRawFd};

use self::socket::{HEADER_LEN, Socket};
use super::interface::{self, State};
use super::{
    Guarantee, Interest, Link, NEEDS_CSUM, Port, RxFrame, RxStatus, TxDesc, TxOutcome, VNET_HEADER_LEN,
    VnetHeader,
};
use crate::arena::{Arena, ROOM};
use crate::net::NetnsRef;

pub use open::open;

/// Frames that are taken at once. What the interface's queue has no room for is kept here, out of the scheduler's reach.
const TX_ROOM: usize = 32;
/// The two MAC addresses, in front of the tag.
const ADDRESSES: usize = 12;
const TAG: usize = 4;
const _: () = assert!(ROOM >= HEADER_LEN, "the offload header is read into the room in front of a frame");

/// What a packet port is to be.
#[derive(Clone, Debug)]
pub struct PacketOptions {
    /// Name of the interface.
    pub name: String,
    /// Namespace in which it is.
    pub netns: NetnsRef,
    /// L3 MTU in bytes that the switch counts on.
    pub mtu: u16,
}

/// An open packet port.
#[derive(Debug)]
pub struct PacketPort {
    socket: Socket,
    index: u32,
    notes: Vec<String>,
    /// The last frame had a tag: so the next is read with a gap for one, and need not be moved.
    tagged: bool,
    /// Frames, with their headers, that the socket had no room for.
    pending: Vec<u8>,
    /// Their lengths.
    pending_len: VecDeque<usize>,
    /// Frames that the socket lost and that were not reported yet.
    lost: u32,
    /// The interface is gone.
    gone: bool,
}

/// What a read of one frame came to.
enum Read1 {
    Frame(RxFrame),
    Lost,
    Empty,
    NoMemory,
}

impl PacketPort {
    fn new(socket: Socket, index: u32, notes: Vec<String>) -> PacketPort {
        PacketPort {
            socket,
            index,
            notes,
            tagged: false,
            pending: Vec::new(),
            pending_len: VecDeque::new(),
            lost: 0,
            gone: false,
        }
    }

    /// What a person should know about how the port was opened.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    fn read(&mut self, arena: &mut Arena) -> Read1 {
        // A landing that can't be had leaves the frame in the socket; one that can't be kept has taken it out.
        let mut taken = false;
        let gap = if self.tagged { TAG } else { 0 };
        let mut tagged = self.tagged;
        let socket = &self.socket;
        let landed = arena.land(|landing| {
            let (first, rest) = landing.split_at_mut(ROOM + ADDRESSES);
            let got = socket.receive(&mut first[ROOM - HEADER_LEN..], &mut rest[gap..]);
            // The kernel consumes a frame whose offloads it can't describe, and says EINVAL.
            taken = got.as_ref().map_or_else(|e| e.kind() == io::ErrorKind::InvalidInput, |_| true);
            let got = got?;
            tagged = got.tag.is_some();
            let Some(mut len) = got.len.checked_sub(HEADER_LEN).filter(|&l| l > ADDRESSES && !got.cut) else {
                return Err(io::ErrorKind::InvalidData.into());
            };
            let mut vnet = header(&first[ROOM - HEADER_LEN..ROOM]);
            let behind = len - ADDRESSES;
            if let Some((protocol, tci)) = got.tag {
                if gap == 0 {
                    if behind + TAG > rest.len() {
                        return Err(io::ErrorKind::InvalidData.into());
                    }
                    rest.copy_within(..behind, TAG);
                }
                rest[..2].copy_from_slice(&protocol.to_be_bytes());
                rest[2..TAG].copy_from_slice(&tci.to_be_bytes());
                len += TAG;
                shift(&mut vnet);
            } else if gap > 0 {
                rest.copy_within(gap..gap + behind, 0);
            }
            Ok((len, vnet))
        });
        self.tagged = tagged;
        match landed {
            Ok(id) => Read1::Frame(RxFrame { id, queue: 0 }),
            Err(_) if taken => Read1::Lost,
            Err(e) if e.kind() == io::ErrorKind::OutOfMemory => Read1::NoMemory,
            // Nothing there; or the interface went down or away, which `tick` tells apart.
            Err(_) => Read1::Empty,
        }
    }

    /// Sends what the socket had no room for before.
    fn flush(&mut self) {
        let mut sent = 0;
        while let Some(&len) = self.pending_len.front() {
            match self.socket.send(&[IoSlice::new(&self.pending[sent..sent + len])]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // Refused after it was said to be sent: like a frame lost on the wire.
                Ok(()) | Err(_) => {}
            }
            sent += len;
            self.pending_len.pop_front();
        }
        self.pending.drain(..sent);
    }

    fn keep(&mut self, pieces: &[IoSlice<'_>]) {
        let before = self.pending.len();
        for piece in pieces {
            self.pending.extend_from_slice(piece);
        }
        self.pending_len.push_back(self.pending.len() - before);
    }

    fn send(&mut self, frame: &TxDesc, arena: &Arena) -> TxOutcome {
        let header = frame.vnet.to_bytes();
        let pieces = [
            IoSlice::new(&header[..HEADER_LEN]),
            IoSlice::new(frame.head()),
            IoSlice::new(frame.body(arena)),
        ];
        if !self.pending_len.is_empty() {
            // Frames must not overtake.
            self.keep(&pieces);
            return TxOutcome::Sent;
        }
        match self.socket.send(&pieces) {
            Ok(()) => TxOutcome::Sent,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.keep(&pieces);
                TxOutcome::Sent
            }
            // ENETDOWN, ENXIO: down or gone. ENOBUFS: the queue of the interface dropped it. EMSGSIZE: its MTU is less.
            Err(_) => TxOutcome::Refused,
        }
    }

    fn closed(&self) -> Option<io::Error> {
        self.gone.then(|| io::Error::new(io::ErrorKind::NotConnected, interface::GONE))
    }
}

/// The offload header as a packet socket writes it.
fn header(bytes: &[u8]) -> VnetHeader {
    let mut whole = [0; VNET_HEADER_LEN];
    whole[..HEADER_LEN].copy_from_slice(&bytes[..HEADER_LEN]);
    VnetHeader::from_bytes(&whole)
}

/// Moves what an offload header points to by the length of a tag.
fn shift(vnet: &mut VnetHeader) {
    if vnet.gso_type != 0 {
        vnet.hdr_len = vnet.hdr_len.saturating_add(TAG as u16);
    }
    if vnet.flags & NEEDS_CSUM != 0 {
        vnet.csum_start = vnet.csum_start.saturating_add(TAG as u16);
    }
}

impl Port for PacketPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus { closed: self.closed(), ..RxStatus::default() };
        if serve & 1 == 0 || status.closed.is_some() {
            return status;
        }
        status.lost = std::mem::take(&mut self.lost);
        for _ in 0..budget {
            match self.read(arena) {
                Read1::Frame(frame) => out.push(frame),
                Read1::Lost => status.lost += 1,
                Read1::NoMemory => {
                    status.more = true;
                    return status;
                }
                Read1::Empty => {
                    self.tick();
                    status.closed = self.closed();
                    return status;
                }
            }
        }
        status.more = true;
        status
    }

    fn tx_room(&self) -> usize {
        if self.pending_len.is_empty() { TX_ROOM } else { 0 }
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        for frame in frames {
            outcomes.push(self.send(frame, arena));
        }
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        if !self.gone {
            let write = !self.pending_len.is_empty();
            out.push(Interest { fd: self.socket.as_raw_fd(), read: true, write });
        }
    }

    fn tick(&mut self) -> Link {
        self.flush();
        self.lost = self.lost.saturating_add(self.socket.dropped());
        let state = interface::state(self.socket.as_fd(), self.index);
        self.gone |= state == State::Gone;
        state.link()
    }

    fn offload(&self) -> bool {
        true
    }

    fn guarantee(&self) -> Guarantee {
        Guarantee::FramesOnly
    }
}
