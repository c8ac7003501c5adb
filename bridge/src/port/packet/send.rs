//! How frames are sent by a packet socket: several by one call. What the interface's queue has no room for is kept, in order.

use std::io::{self, IoSlice};

use super::PacketPort;
use super::socket::MANY;
use crate::arena::Arena;
use crate::port::pieces::{FRONTS, Pieces, no_pieces, pieces, put_header, with_fronts};
use crate::port::{TxDesc, TxOutcome, VNET_HEADER_LEN};

const _: () = assert!(MANY <= FRONTS);

impl PacketPort {
    /// Sends frames in order and says of each what became of it.
    pub(super) fn send(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        with_fronts(|fronts| {
            for few in frames.chunks(MANY) {
                for frame in few {
                    put_header(frame, VNET_HEADER_LEN, arena);
                }
                let mut writes = [no_pieces(); MANY];
                for ((frame, front), write) in few.iter().zip(&mut *fronts).zip(&mut writes) {
                    // A frame of nothing is refused, as it has to be that is not as long as was said.
                    pieces(frame, VNET_HEADER_LEN, arena, false, front, write);
                }
                self.send_in_order(&writes[..few.len()], outcomes);
            }
        });
    }

    fn send_in_order(&mut self, mut frames: &[Pieces<'_>], outcomes: &mut Vec<TxOutcome>) {
        while !frames.is_empty() {
            // Frames must not overtake those that wait.
            let sent = if self.pending_len.is_empty() {
                self.socket.send(frames)
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            };
            let done = match sent {
                Ok(sent) => {
                    outcomes.extend(std::iter::repeat_n(TxOutcome::Sent, sent));
                    sent
                }
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    for pieces in frames {
                        self.keep(pieces);
                    }
                    outcomes.extend(std::iter::repeat_n(TxOutcome::Sent, frames.len()));
                    return;
                }
                // ENETDOWN, ENXIO: down or gone. ENOBUFS: the queue of the interface dropped it. EMSGSIZE: its MTU is less.
                Err(_) => {
                    outcomes.push(TxOutcome::Refused);
                    1
                }
            };
            frames = &frames[done.min(frames.len())..];
        }
    }

    /// Sends what the socket had no room for before.
    pub(super) fn flush(&mut self) {
        let mut sent = 0;
        while let Some(&len) = self.pending_len.front() {
            let whole = IoSlice::new(&self.pending[sent..sent + len]);
            match self.socket.send(&[[whole, IoSlice::new(&[])]]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                // Refused after it was said to be sent: like a frame lost on the wire.
                Ok(_) | Err(_) => {}
            }
            sent += len;
            self.pending_len.pop_front();
        }
        self.pending.drain(..sent);
    }

    fn keep(&mut self, pieces: &Pieces<'_>) {
        let before = self.pending.len();
        for piece in pieces {
            self.pending.extend_from_slice(piece);
        }
        self.pending_len.push_back(self.pending.len() - before);
    }
}
