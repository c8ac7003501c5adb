//! A frame's way out: picked by the scheduler, rewritten, handed to the device, settled; or dropped and counted.

use dcbridge_scheduler::{Grant, PortId, Priority, Time};

use super::Switch;
use super::books::Reason;
use super::rewrite;
use crate::arena::Arena;
use crate::port::{TxBatch, TxOutcome};
use crate::state::Count;

impl Switch {
    /// The next piece for `port`, if something may go now. It is added to `out`, and has to be answered by `settle`.
    #[allow(clippy::inline_always)] // A grant that is read as soon as it is written has to wait for the cache.
    #[inline(always)]
    pub fn poll(&mut self, port: PortId, arena: &mut Arena, now: Time, out: &mut TxBatch) -> Option<Grant> {
        self.drop_stale(port, arena, now);
        loop {
            let grant = self.scheduler.poll(port, now)?;
            let frame = &self.frames[grant.id.index()];
            let action = self.forwarding.vlans(port).egress(frame.vid, frame.tag);
            let egress = &self.egress[port.index()];
            let (bytes, vnet) = (arena.bytes(grant.id), arena.vnet(grant.id));
            match rewrite::rewrite(bytes, vnet, frame, &grant, egress, action, out.next_place()) {
                Ok(()) => {
                    self.books[port.index()].in_flight.add(piece(&grant));
                    out.keep_next();
                    return Some(grant);
                }
                Err(reason) => self.lose(port, &grant, reason, arena),
            }
        }
    }

    /// What became of a piece.
    pub fn settle(&mut self, port: PortId, grant: &Grant, outcome: TxOutcome, arena: &mut Arena) {
        self.settle_all(port, std::iter::once((grant, outcome)), arena);
    }

    /// What became of pieces of one port, in their order. Those of one queue that were sent in a row are counted at once: most
    /// often it is all of them.
    pub fn settle_all<'a>(
        &mut self,
        port: PortId,
        pieces: impl Iterator<Item = (&'a Grant, TxOutcome)>,
        arena: &mut Arena,
    ) {
        let mut run = Run::default();
        for (grant, outcome) in pieces {
            if outcome == TxOutcome::Refused {
                self.books[port.index()].in_flight.subtract(piece(grant));
                self.lose(port, grant, Reason::DeviceRefused, arena);
                continue;
            }
            let of = (grant.priority.index(), usize::from(grant.class & 7));
            if run.of != of {
                self.enter(port, &run);
                run = Run { of, ..Run::default() };
            }
            run.sent.add(piece(grant));
            run.wire += u64::from(grant.wire);
            self.release(port, grant, arena);
        }
        self.enter(port, &run);
        self.take_gates();
    }

    /// Enters pieces that were sent into the books of their port.
    fn enter(&mut self, port: PortId, run: &Run) {
        let (books, (priority, class)) = (&mut self.books[port.index()], run.of);
        books.in_flight.subtract(run.sent);
        books.tx.add(run.sent);
        books.priorities[priority].tx.add(run.sent);
        books.class_tx[class].add(run.sent);
        books.class_wire[class] += run.wire;
    }

    pub(super) fn lose(&mut self, port: PortId, grant: &Grant, reason: Reason, arena: &mut Arena) {
        self.books[port.index()].dropped_out(reason, grant.priority, piece(grant));
        self.release(port, grant, arena);
        self.take_gates();
    }

    /// Lets go of a frame whose last piece this is; gates may change by that.
    fn release(&mut self, port: PortId, grant: &Grant, arena: &mut Arena) {
        if !grant.last {
            return;
        }
        if arena.is_adopted(grant.id) {
            self.return_lease(port, grant, arena);
        } else if self.scheduler.sent(grant.id) {
            arena.free(grant.id);
        }
    }

    /// Drops what has waited longer than its class allows.
    #[inline]
    pub(super) fn drop_stale(&mut self, port: PortId, arena: &mut Arena, now: Time) {
        while let Some(grant) = self.scheduler.stale(port, now) {
            self.lose(port, &grant, Reason::Lifetime, arena);
        }
    }

    /// Drops what is queued at a port.
    pub fn flush(&mut self, port: PortId, arena: &mut Arena) {
        for priority in Priority::all() {
            while let Some(grant) = self.scheduler.discard(port, priority) {
                self.lose(port, &grant, Reason::Flushed, arena);
            }
        }
    }
}

/// Pieces of one queue that were sent in a row.
#[derive(Default)]
struct Run {
    /// Priority and class.
    of: (usize, usize),
    sent: Count,
    wire: u64,
}

/// A piece in the books: a unit is counted with its end.
fn piece(grant: &Grant) -> Count {
    Count {
        units: u64::from(grant.last),
        frames: u64::from(grant.to - grant.from),
        bytes: u64::from(grant.bytes),
    }
}
