//! Several schedulers of one switch, each with the queues of its own ports and a share of the buffer.
//!
//! Where a frame came in, it is charged, to its priority group and to that share, until its last copy has left, whoever
//! sends it. Where it leaves, it waits. A copy that has to go from one to the other is *lent*:
//!
//! ```text
//! owner of the ingress port:  lend ------------- copy ------------> borrow    owner of the egress port
//!                             repaid <---------- token ------------ give_back
//! ```
//! Each scheduler divides its share among the queues by the same rule, and knows how much of it is in each queue of the
//! switch. So a dynamic limit binds each share's part of a queue, and the sum of the parts is bound by the sum of the
//! shares. A fixed limit binds the whole queue, which only the borrower sees: he refuses what is too much (what was lent is not
//! all in the queue: some of it is on its way, there or back). What is
//! lossless is limited where it comes in, as ever.
//!
//! What must not enter: how copies and tokens travel.

use crate::ids::{FrameId, PortId, Priority};
use crate::{Meta, Refused, Scheduler, Time, group};

/// What the borrower has to know of a copy that was lent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loan {
    /// The queue's limit binds it.
    pub limited: bool,
}

impl Scheduler {
    /// Charges a copy for a queue of a `port` that another scheduler serves. To be answered by `repaid`.
    ///
    /// # Errors
    /// Why it was refused; nothing was charged then.
    pub fn lend(&mut self, port: PortId, meta: &Meta) -> Result<Loan, Refused> {
        if self.ports[port.index()].is_dynamic(meta.priority) {
            self.check_limit(port, meta)?;
        }
        if self.lendable == 0 {
            return Err(Refused::BufferFull);
        }
        self.buffer.hold(meta.id, meta.cells, group(meta.ingress, meta.arrival))?;
        self.ports[port.index()].lend(meta.priority, meta.cells);
        self.lendable -= 1;
        Ok(Loan { limited: !self.is_limited_at_ingress(meta) })
    }

    /// A copy that was lent has left, or was refused: `true` when nobody needs the frame any more.
    #[must_use]
    pub fn repaid(&mut self, port: PortId, priority: Priority, id: FrameId) -> bool {
        self.lendable += 1;
        self.ports[port.index()].repaid(priority, self.buffer.cells(id));
        self.buffer.release(id)
    }

    /// Queues a copy that another scheduler has lent, under a number that is none of this one's frames. The answer to its
    /// last grant is `give_back`.
    ///
    /// # Errors
    /// Why it was refused; nothing was queued then.
    pub fn borrow(&mut self, port: PortId, meta: &Meta, loan: Loan, now: Time) -> Result<(), Refused> {
        let egress = &mut self.ports[port.index()];
        if loan.limited && egress.is_over(meta.priority, meta.cells) {
            return Err(Refused::QueueFull);
        }
        if self.slab.is_exhausted() {
            return Err(Refused::BufferFull);
        }
        egress.set_borrowed(meta.priority, i32::from(meta.cells));
        egress.push(&mut self.slab, meta, now);
        Ok(())
    }

    /// A borrowed copy has left its queue.
    pub fn give_back(&mut self, port: PortId, priority: Priority, cells: u16) {
        self.ports[port.index()].set_borrowed(priority, -i32::from(cells));
    }
}
