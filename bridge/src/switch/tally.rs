//! What the frames of one batch add to the books, kept aside until the batch is through, or somebody else's turn comes: frames
//! that come together most often go to the same queue, and each counter is then touched once for all of them.
//!
//! What must not enter: frames that were dropped. The books have them at once.

use dcbridge_scheduler::{PortId, Priority};

use super::Switch;
use crate::state::Count;

/// Where frames go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Way {
    /// The one port that they leave by; `None`: several.
    pub(super) to: Option<PortId>,
    /// Priority on arrival.
    pub(super) arrival: Priority,
    /// Priority that they go on with.
    pub(super) priority: Priority,
}

/// What was offered to one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Offered {
    /// Bytes, whether there was room or not.
    pub(super) bytes: u64,
    /// Some were queued.
    pub(super) queued: bool,
    /// For some there was no room.
    pub(super) full: bool,
}

/// What a batch has brought so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// All of it.
    pub(super) rx: Count,
    /// In wire bytes.
    pub(super) wire: u64,
    /// Where the last frames went.
    way: Option<Way>,
    /// What was given that priority.
    classed: Count,
    /// What was offered to that queue.
    pub(super) offered: Offered,
}

impl Switch {
    /// A frame of a batch goes this way.
    #[inline]
    pub(super) fn goes(&mut self, port: PortId, way: Way, count: Count, tally: &mut Tally) {
        if tally.way != Some(way) {
            self.enter_way(port, tally);
            tally.way = Some(way);
        }
        tally.classed.add(count);
    }

    /// The batch is through.
    pub(super) fn enter_batch(&mut self, port: PortId, tally: &mut Tally) {
        self.enter_way(port, tally);
        let books = &mut self.books[port.index()];
        books.rx.add(tally.rx);
        books.rx_wire += tally.wire;
    }

    /// The next frames go another way.
    #[inline(never)]
    fn enter_way(&mut self, port: PortId, tally: &mut Tally) {
        let Some(Way { to, arrival, priority }) = tally.way.take() else { return };
        let (classed, offered) = (std::mem::take(&mut tally.classed), std::mem::take(&mut tally.offered));
        self.books[port.index()].priorities[priority.index()].rx.add(classed);
        self.lossless_came |= self.lossless[port.index()] & 1 << arrival.get() != 0;
        if let Some(to) = to {
            self.offered(to, arrival, priority, offered);
        }
    }

    /// This was offered to a queue of `to`.
    pub(super) fn offered(&mut self, to: PortId, arrival: Priority, priority: Priority, offered: Offered) {
        if offered.queued || offered.full {
            self.arrivals.add(to, priority, offered, arrival != priority);
        }
        if offered.queued {
            self.waiting.insert(to);
        }
    }
}
