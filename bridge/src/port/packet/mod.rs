//! Any Ethernet interface as a port, by a packet socket: a physical network card, the end of a veth pair, a bond.
//!
//! The interface stays its administrator's: the port hears and sends on it, beside the host's own stack, and changes
//! nothing but the promiscuous mode, which ends with the socket. There is no way to push back on who sends: the peer is
//! sent PFC frames, and a network card in DCB mode eats those that come, so pauses for us are honoured by the card.
//!
//! Superframes and unfinished checksums pass both ways. The kernel takes the outer VLAN tag out of received frames and
//! tells it beside; it is put back here.

mod open;
mod receive;
mod send;
mod socket;

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};

use self::socket::Socket;
use super::interface::{self, State};
use super::{Guarantee, Interest, Link, Port, RxFrame, RxStatus, TxDesc, TxOutcome};
use crate::arena::Arena;
use crate::net::NetnsRef;

pub use open::open;

/// Frames that are taken at once. What the interface's queue has no room for is kept here, out of the scheduler's reach.
const TX_ROOM: usize = 32;
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
    /// Frames that are expected: as many are asked for by one call.
    expected: usize,
    /// Frames, with their headers, that the socket had no room for.
    pending: Vec<u8>,
    /// Their lengths.
    pending_len: VecDeque<usize>,
    /// Frames that the socket lost and that were not reported yet.
    lost: u32,
    /// The interface is gone.
    gone: bool,
}

impl PacketPort {
    fn new(socket: Socket, index: u32, notes: Vec<String>) -> PacketPort {
        PacketPort {
            socket,
            index,
            notes,
            tagged: false,
            expected: 1,
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

    fn closed(&self) -> Option<io::Error> {
        self.gone.then(|| io::Error::new(io::ErrorKind::NotConnected, interface::GONE))
    }
}

impl Port for PacketPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus { closed: self.closed(), ..RxStatus::default() };
        if serve & 1 == 0 || status.closed.is_some() {
            return status;
        }
        status.lost = std::mem::take(&mut self.lost);
        self.drain(budget, arena, out, &mut status);
        status
    }

    fn tx_room(&self) -> usize {
        if self.pending_len.is_empty() { TX_ROOM } else { 0 }
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        self.send(frames, arena, outcomes);
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
