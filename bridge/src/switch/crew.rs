//! One switch of several members, each with ports of its own, its own memory and all tables.
//!
//! The owner of the port where a frame comes in does all that is done on its way in, and keeps memory, reference count and
//! priority group until the last copy has left. The owner of the port where it leaves has the queue. Between them go
//! messages, in order:
//!
//! ```text
//!              ---- frame: a lease, what is remembered of it, its queue --->
//! ingress                                                                    egress
//!              <--- token: the lease back ---------------------------------
//!     all      <--- notice: an address, a link, a loop --------------------> all
//! ```
//! A copy for a port of one's own goes no way at all. A flood is as many frames and tokens as there are foreign ports.
//! Tables are replicas that notices keep alike: an address is told when it is learned or moves and once a sixteenth of the
//! ageing time while it is seen, so that each replica ages by itself. The limit of addresses binds each replica; two
//! members that learn the last ones at one moment may know different ones, to which the other floods.
//!
//! What must not enter: how messages travel, threads.

use std::collections::VecDeque;
use std::sync::Arc;

use dcbridge_config::{self as config, Config};
use dcbridge_scheduler::{FrameId, Grant, Loan, Meta, PortId, Priority, Refused, Shape, Time};

use super::Switch;
use super::books::{Reason, unit};
use super::rewrite::Remembered;
use super::table::cells_of;
use super::tally::Offered;
use crate::arena::{self, Arena, CELL, Lease};
use crate::state::Count;

/// Who owns which port: divides the ports and the buffer of a switch among its members.
#[derive(Clone, Debug)]
pub struct Crew {
    /// By port.
    owners: Arc<[u16]>,
    /// Cells of the buffer, by member.
    shares: Arc<[u32]>,
}

impl Crew {
    /// As many members as are configured, but none without a port. Ports go round. Each member's share of the buffer is
    /// what the lossless priority groups of its ports have to themselves, and of the rest as much as it has of the ports:
    /// so what `check` proves for the whole holds for each share.
    pub fn of(config: &Config) -> Crew {
        Crew::with(config, usize::from(config.worker.threads))
    }

    /// A crew of one.
    pub fn alone(config: &Config) -> Crew {
        Crew::with(config, 1)
    }

    fn with(config: &Config, members: usize) -> Crew {
        let ports = config.ports.len();
        let members = members.clamp(1, ports.max(1));
        let mut shares: Vec<u64> = vec![0; members];
        for (n, port) in config.ports.iter().enumerate() {
            shares[n % members] += u64::from(cells_of(config::set_apart(config, port)));
        }
        let all = config.bridge.buffer_bytes / CELL as u64;
        let shared = all.saturating_sub(shares.iter().sum());
        for n in 0..ports {
            shares[n % members] += shared / ports as u64;
        }
        let rest = all.saturating_sub(shares.iter().sum());
        shares[0] += rest;
        Crew {
            owners: (0..ports).map(|n| (n % members) as u16).collect(),
            shares: shares.into_iter().map(|cells| u32::try_from(cells).unwrap_or(u32::MAX)).collect(),
        }
    }

    /// How many members there are.
    pub fn members(&self) -> usize {
        self.shares.len()
    }

    /// The member that owns a port.
    pub fn owner(&self, port: PortId) -> usize {
        usize::from(self.owners[port.index()])
    }

    /// Cells of the buffer that a member has.
    pub(super) fn share(&self, member: usize) -> u32 {
        self.shares[member]
    }

    /// The arenas of all members, which know each other.
    pub fn arenas(&self) -> Vec<Arena> {
        let arena = |&cells| Arena::new(u64::from(cells) * CELL as u64);
        let mut arenas: Vec<Arena> = self.shares.iter().map(arena).collect();
        Arena::introduce(&mut arenas);
        arenas
    }
}

/// What goes from one member to another, in order.
#[derive(Debug)]
pub enum Message {
    /// A copy for a queue of the receiver's.
    Frame(Handed),
    /// Something that every member knows.
    Notice(Notice),
}

/// A copy of a frame for a queue of another member.
#[derive(Debug)]
pub struct Handed {
    lease: Lease,
    frame: Remembered,
    port: PortId,
    priority: Priority,
    loan: Loan,
    shape: Shape,
}

/// The copy of a frame has left, or was dropped and counted.
#[derive(Debug)]
pub struct Token {
    lease: Lease,
    port: PortId,
    priority: Priority,
}

/// What every member has to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// An address was seen.
    Address {
        /// Its VLAN.
        vid: u16,
        /// The address.
        mac: [u8; 6],
        /// Where.
        port: PortId,
    },
    /// A link came up or went down.
    Link(PortId, bool),
    /// A probe of the switch's own came back.
    Probe {
        /// The port that it left by.
        from: PortId,
        /// The port that it came by.
        by: PortId,
    },
}

/// What waits to be handed over.
enum Leaving {
    Frame { id: FrameId, port: PortId, priority: Priority, loan: Loan, shape: Shape },
    Notice(Notice, usize),
}

/// A member's view of its crew.
pub(super) struct Member {
    crew: Crew,
    number: usize,
    leaving: VecDeque<Leaving>,
    tokens: VecDeque<(usize, Token)>,
}

impl Member {
    pub(super) fn new(crew: &Crew, number: usize) -> Member {
        Member { crew: crew.clone(), number, leaving: VecDeque::new(), tokens: VecDeque::new() }
    }

    /// Whether a port is one's own.
    #[inline]
    pub(super) fn owns(&self, port: PortId) -> bool {
        self.crew.owner(port) == self.number
    }

    /// Tells all others.
    pub(super) fn tell(&mut self, notice: Notice) {
        let others = (0..self.crew.members()).filter(|&member| member != self.number);
        self.leaving.extend(others.map(|member| Leaving::Notice(notice, member)));
    }
}

impl Switch {
    /// Offers a copy to a queue of another member.
    pub(super) fn hand_over(&mut self, port: PortId, meta: &Meta) -> Result<(), Refused> {
        let loan = self.scheduler.lend(port, meta)?;
        let &Meta { id, priority, shape, .. } = meta;
        self.books[port.index()].handed.add(whole(shape));
        self.member.leaving.push_back(Leaving::Frame { id, port, priority, loan, shape });
        Ok(())
    }

    /// The next message for another member, and for which.
    pub fn next_message(&mut self, arena: &mut Arena) -> Option<(usize, Message)> {
        loop {
            let (id, port, priority, loan, shape) = match self.member.leaving.pop_front()? {
                Leaving::Notice(notice, member) => return Some((member, Message::Notice(notice))),
                Leaving::Frame { id, port, priority, loan, shape } => (id, port, priority, loan, shape),
            };
            let frame = self.frames[id.index()];
            if let Some(lease) = arena.lend(id) {
                let member = self.member.crew.owner(port);
                return Some((member, Message::Frame(Handed { lease, frame, port, priority, loan, shape })));
            }
            // Lent more often than can be counted.
            let books = &mut self.books[port.index()];
            books.taken.add(whole(shape));
            books.dropped_out(Reason::BufferFull, priority, whole(shape));
            self.repaid(port, priority, id, arena);
        }
    }

    /// The next token for another member, and for which.
    pub fn next_token(&mut self) -> Option<(usize, Token)> {
        self.member.tokens.pop_front()
    }

    /// A message of another member came.
    pub fn take_message(&mut self, message: Message, arena: &mut Arena, now: Time) {
        match message {
            Message::Frame(handed) => self.take_over(handed, arena, now),
            Message::Notice(Notice::Address { vid, mac, port }) => self.fdb.hear(vid, mac, port, now),
            Message::Notice(Notice::Link(port, up)) => self.link_changed(port, up),
            Message::Notice(Notice::Probe { from, by }) => self.probe_seen(from, by, now),
        }
    }

    /// A token came back.
    pub fn take_token(&mut self, token: Token, arena: &mut Arena) {
        if let Some(id) = arena.take_back(token.lease) {
            self.repaid(token.port, token.priority, id, arena);
        }
    }

    fn repaid(&mut self, port: PortId, priority: Priority, id: FrameId, arena: &mut Arena) {
        if self.scheduler.repaid(port, priority, id) {
            arena.free(id);
            self.take_gates();
        }
    }

    /// Queues another member's copy.
    fn take_over(&mut self, handed: Handed, arena: &mut Arena, now: Time) {
        let Handed { lease, frame, port, priority, loan, shape } = handed;
        let cells = arena::cells(lease.frame_len()) as u16;
        // Of a stranger's memory there is nothing to be read; the crew has none.
        let Ok(id) = arena.adopt(lease) else { return };
        if self.frames.len() <= id.index() {
            self.frames.resize(id.index() + 1, Remembered::EMPTY);
        }
        self.frames[id.index()] = frame;
        self.books[port.index()].taken.add(whole(shape));
        let meta = Meta { id, ingress: port, arrival: priority, priority, cells, shape };
        let refused = if !self.forwarding.is_up(port) {
            Some(Reason::Flushed)
        } else if self.drops(port, priority) {
            Some(Reason::Watchdog)
        } else {
            self.scheduler.borrow(port, &meta, loan, now).err().map(Reason::from)
        };
        let (queued, full) = (refused.is_none(), refused.is_some());
        self.offered(port, priority, priority, Offered { bytes: whole(shape).bytes, queued, full });
        if let Some(reason) = refused {
            self.books[port.index()].dropped_out(reason, priority, whole(shape));
            if let Some((owner, lease)) = arena.give_back(id) {
                self.member.tokens.push_back((owner, Token { lease, port, priority }));
            }
        }
    }

    /// Another member's copy has left its queue.
    pub(super) fn return_lease(&mut self, port: PortId, grant: &Grant, arena: &mut Arena) {
        let Some((owner, lease)) = arena.give_back(grant.id) else { return };
        let priority = grant.priority;
        self.scheduler.give_back(port, priority, arena::cells(lease.frame_len()) as u16);
        self.member.tokens.push_back((owner, Token { lease, port, priority }));
    }
}

/// A copy as a whole.
fn whole(shape: Shape) -> Count {
    unit(u32::from(shape.segs), shape.bytes(0, shape.segs))
}
