//! QEMU's `-netdev stream` as a port: frames through a Unix or TCP socket, each behind its length. It needs no
//! privilege, and it pushes back: what is not read stays in the peer.
//!
//! The connection comes and goes; the port stays. While there is no peer the link is down and frames are refused.

mod endpoint;
mod framing;

#[cfg(test)]
mod tests;

use std::array;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::time::Instant;

use dcbridge_config::StreamEndpoint;
use nix::sys::socket::{Shutdown, shutdown};
use tracing::{info, warn};

use self::endpoint::{Endpoint, Event};
use self::framing::{LENGTH, Reassembly};
use super::{Guarantee, Interest, Link, OpenError, Port, RxFrame, RxStatus, TxDesc, TxOutcome};
use crate::arena::Arena;

/// Frames of one `writev`. What the socket does not take of them is kept here and is out of reach of the scheduler,
/// so there are only as many as make the system call cheap.
const TX_ROOM: usize = 32;
/// Length, head and body of each.
const SLICES: usize = 3 * TX_ROOM;

/// What happened to a stream port's connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounters {
    /// Peers that were connected.
    pub connections: u64,
    /// Peers that were sent away because there was one.
    pub refused: u64,
    /// Connections that were closed because the peer broke the protocol.
    pub protocol_errors: u64,
}

/// A stream port.
pub struct StreamPort {
    endpoint: Endpoint,
    peer: Option<File>,
    /// The former peer's socket, shut down. It stays open until whoever waits has been told, by `tick`, to forget its
    /// descriptor: another one must not get its number before that.
    former: Option<File>,
    /// `tick` has said that the former peer is gone.
    former_told: bool,
    inbound: Reassembly,
    /// Frames, or the rest of one, that the socket did not take.
    pending: Vec<u8>,
    /// Bytes of `pending` that the socket has taken since.
    flushed: usize,
    /// Why there is no peer.
    down: String,
    counters: StreamCounters,
}

/// Opens a stream port: starts to listen, or to connect. A peer need not be there.
///
/// # Errors
/// When the address can't be listened on: a sentence that says what to do.
pub fn open(endpoint: &StreamEndpoint) -> Result<StreamPort, OpenError> {
    let endpoint = Endpoint::new(endpoint)?;
    let mut port = StreamPort {
        down: "no peer yet".to_owned(),
        endpoint,
        peer: None,
        former: None,
        former_told: false,
        inbound: Reassembly::new(),
        pending: Vec::new(),
        flushed: 0,
        counters: StreamCounters::default(),
    };
    port.tick();
    Ok(port)
}

impl StreamPort {
    /// What happened to its connections.
    pub fn counters(&self) -> StreamCounters {
        self.counters
    }

    /// Address of a TCP listener, with the port number that the kernel chose for 0.
    pub fn local_address(&self) -> Option<SocketAddr> {
        self.endpoint.local_address()
    }

    fn connected(&mut self, peer: File) {
        info!("{}: a peer is connected", self.endpoint.describe());
        self.counters.connections += 1;
        self.peer = Some(peer);
        self.inbound.clear();
        self.forget_pending();
    }

    fn disconnect(&mut self, why: String) {
        info!("{}: {why}", self.endpoint.describe());
        self.former = self.peer.take();
        self.former_told = false;
        if let Some(former) = &self.former {
            let _ = shutdown(former.as_raw_fd(), Shutdown::Both);
        }
        self.down = why;
        self.inbound.clear();
        self.forget_pending();
        self.endpoint.lost(Instant::now());
    }

    fn link_down(&self) -> Link {
        Link::Down(format!("{}: {}", self.endpoint.describe(), self.down))
    }

    fn forget_pending(&mut self) {
        self.pending.clear();
        self.flushed = 0;
    }

    /// Writes what the socket did not take before.
    fn flush(&mut self) {
        while self.flushed < self.pending.len() {
            let Some(mut peer) = self.peer.as_ref() else { return };
            match peer.write(&self.pending[self.flushed..]) {
                Ok(n) => self.flushed += n,
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return self.disconnect(lost(&e)),
            }
        }
        self.forget_pending();
    }

    /// Sends at most `TX_ROOM` frames; false: the connection is gone.
    fn send(&mut self, frames: &[TxDesc], arena: &Arena) -> bool {
        let Some(mut peer) = self.peer.as_ref() else { return false };
        let lengths: [[u8; LENGTH]; TX_ROOM] = array::from_fn(|i| {
            frames
                .get(i)
                .map_or([0; LENGTH], |f| ((f.head().len() + f.body(arena).len()) as u32).to_be_bytes())
        });
        let mut slices: [IoSlice<'_>; SLICES] = array::from_fn(|_| IoSlice::new(&[]));
        for (frame, (slices, length)) in frames.iter().zip(slices.chunks_exact_mut(3).zip(&lengths)) {
            slices[0] = IoSlice::new(length);
            slices[1] = IoSlice::new(frame.head());
            slices[2] = IoSlice::new(frame.body(arena));
        }
        let slices = &mut slices[..3 * frames.len()];
        let mut written = if self.pending.is_empty() {
            match peer.write_vectored(slices) {
                Ok(n) => n,
                Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => 0,
                Err(e) => {
                    self.disconnect(lost(&e));
                    return false;
                }
            }
        } else {
            // Frames must not overtake the rest of an earlier one.
            0
        };
        for slice in slices {
            let taken = written.min(slice.len());
            self.pending.extend_from_slice(&slice[taken..]);
            written -= taken;
        }
        true
    }
}

fn lost(error: &io::Error) -> String {
    format!("the connection was lost ({error})")
}

impl Port for StreamPort {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus::default();
        if serve & 1 == 0 {
            return status;
        }
        let mut left = budget;
        loop {
            loop {
                let frame = match self.inbound.peek() {
                    Ok(Some(frame)) => frame,
                    Ok(None) => break,
                    Err(bad) => {
                        self.counters.protocol_errors += 1;
                        self.disconnect(bad.to_string());
                        return status;
                    }
                };
                let id = if left == 0 { None } else { arena.insert(frame, super::VnetHeader::default()) };
                let Some(id) = id else {
                    // The frame stays here, and the ones behind it in the peer.
                    status.more = true;
                    return status;
                };
                out.push(RxFrame { id, queue: 0 });
                left -= 1;
                let len = frame.len();
                self.inbound.advance(len);
            }
            let Some(mut peer) = self.peer.as_ref() else { return status };
            // Until the socket says that it is empty, or that it has ended: a short read would hide the end from a
            // waiter that is told of changes only.
            match peer.read(self.inbound.space()) {
                Ok(0) => {
                    self.disconnect("the peer closed the connection".to_owned());
                    return status;
                }
                Ok(n) => self.inbound.filled(n),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return status,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => {
                    self.disconnect(lost(&e));
                    return status;
                }
            }
        }
    }

    fn tx_room(&self) -> usize {
        if self.pending.is_empty() { TX_ROOM } else { 0 }
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        for batch in frames.chunks(TX_ROOM) {
            let outcome = if self.send(batch, arena) { TxOutcome::Sent } else { TxOutcome::Refused };
            outcomes.extend(batch.iter().map(|_| outcome));
        }
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        self.endpoint.interests(out);
        if let Some(peer) = &self.peer {
            out.push(Interest { fd: peer.as_raw_fd(), read: true, write: !self.pending.is_empty() });
        }
    }

    fn tick(&mut self) -> Link {
        self.flush();
        // Between two peers the link is seen down once, so that what was learned of the first one is forgotten.
        if self.former.is_some() && !self.former_told {
            self.former_told = true;
            return self.link_down();
        }
        self.former = None;
        match self.endpoint.poll(self.peer.is_some(), Instant::now()) {
            Event::Nothing => {}
            Event::Connected(peer) => self.connected(peer),
            Event::Refused => {
                self.counters.refused += 1;
                // Somebody may try for ever: each warning says of twice as many.
                if self.counters.refused.is_power_of_two() {
                    warn!(
                        "{}: a second peer was sent away, there is one already ({} times so far)",
                        self.endpoint.describe(),
                        self.counters.refused
                    );
                }
            }
            Event::Failed(error) => self.down = format!("{error}; trying again"),
        }
        if self.peer.is_some() {
            return Link::Up;
        }
        self.link_down()
    }

    /// The socket holds what is not read, and its other end waits.
    fn guarantee(&self) -> Guarantee {
        Guarantee::Exact
    }

    fn offload(&self) -> bool {
        false
    }
}
