//! The data path's thread: owns the switch, the frames' memory and the ports, and turns the wheel.
//!
//! ```text
//! turn:  receive from every port that has something -> send what may go -> housekeeping -> wait
//! ```
//! Receiving comes first, so that after a stall the queues know what there is before credit is spent. A turn is bounded
//! for every port, so none starves another. There is no timer per frame: a line that is busy is looked at again some
//! 100 us later and catches up by its credit.
//!
//! Descriptors are watched edge by edge: `readable` stays set until a port says that it is drained, so a port whose
//! ingress is metered can be left alone without waking anybody.
//!
//! What must not enter: opening devices, anything that blocks, formatting.

mod sys;

use std::os::fd::{AsFd, BorrowedFd, RawFd};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use dcbridge_scheduler::{Grant, PortId, Rate, Time};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::EventFd;
use nix::time::{ClockId, clock_gettime};
use tokio::sync::{mpsc, oneshot};

use crate::arena::Arena;
use crate::port::{Guarantee, Interest, Link, MAX_HEAD, Port, RxFrame, TxDesc, TxOutcome, VnetHeader};
use crate::state::{FdbEntry, Snapshot};
use crate::switch::watchdog::Storm;
use crate::switch::{Attachment, Finding, Switch};

/// Frames or superframes received from a port in a turn.
const RX_BATCH: usize = 32;
/// Pieces handed to a port at once.
const TX_BATCH: usize = 64;
/// Bytes sent to a port in a turn: more than what may be received from one, else receiving frames that will be dropped
/// could leave no time to send the others.
const TX_TURN_BYTES: u64 = 4 * 1024 * 1024;
/// A busy line is looked at again after this long at the earliest: a sleep costs more than a frame.
const COARSE: Time = Time::from_micros(100);
/// How often ports are asked for their link.
const HOUSEKEEPING: Time = Time::from_millis(250);
/// How long a switch that ends may go on sending what is queued.
const FAREWELL: Time = Time::from_millis(200);
/// Key of the event descriptor; ports have their number.
const COMMANDS: u64 = u64::MAX;

/// What the control side asks of the worker.
pub enum Command {
    /// A device for a port, new or again.
    Attach(PortId, Box<dyn Port>),
    /// All counters.
    Snapshot(oneshot::Sender<Snapshot>),
    /// The forwarding database.
    Fdb(oneshot::Sender<Vec<FdbEntry>>),
    /// The end; answers the last snapshot.
    Stop(oneshot::Sender<Snapshot>),
}

/// What the worker tells the control side.
#[derive(Debug)]
pub enum Event {
    /// A port's device is gone: it may be opened again.
    Closed(PortId, String),
    /// A link changed.
    Link(PortId, Link),
    /// Loop detection.
    Loop(Finding),
    /// The PFC watchdog.
    Storm(Storm),
}

/// How long it took from the frame that closed or opened a gate to the flow-control frame: powers of two of a
/// microsecond.
#[derive(Default)]
struct Reaction {
    buckets: [u64; crate::state::REACTION_BUCKETS],
    sum_ns: u64,
}

impl Reaction {
    fn record(&mut self, ns: u64) {
        let us = ns.div_ceil(1000).max(1);
        let bucket = us.next_power_of_two().trailing_zeros() as usize;
        self.buckets[bucket.min(crate::state::REACTION_BUCKETS - 1)] += 1;
        self.sum_ns += ns;
    }
}

struct Slot {
    port: Option<Box<dyn Port>>,
    readable: bool,
    watched: Vec<Interest>,
    /// The ingress meter: nothing is read before this.
    open_at: Time,
    line_rate: Option<Rate>,
    down_reason: String,
    /// Receive queues whose gate is open.
    serve: u8,
    /// The device has a queue for each priority.
    queues: bool,
    /// Not reading it stops its sender without loss.
    stops: bool,
    host_edge_drops: u64,
}

/// The worker.
pub struct Worker {
    switch: Switch,
    arena: Arena,
    slots: Vec<Slot>,
    epoll: Epoll,
    wake: Arc<EventFd>,
    commands: Receiver<Command>,
    events: mpsc::UnboundedSender<Event>,
    began: Instant,
    burst: Time,
    next_housekeeping: Time,
    turns: u64,
    wakeups: u64,
    /// Some class is lossless.
    lossless: bool,
    /// Ports whose flow-control frame found the device full.
    delayed: Vec<PortId>,
    reaction: Reaction,
    received: Vec<RxFrame>,
    descs: Vec<TxDesc>,
    grants: Vec<Grant>,
    outcomes: Vec<TxOutcome>,
}

/// What a worker is made of.
pub struct Parts {
    /// The switch, its ports down.
    pub switch: Switch,
    /// Memory.
    pub arena: Arena,
    /// Line rates by port.
    pub line_rates: Vec<Option<Rate>>,
    /// Whether some class is lossless.
    pub lossless: bool,
    /// How late the worker may come and still catch up.
    pub burst: Time,
    /// Written to after a command was sent.
    pub wake: Arc<EventFd>,
    /// Commands.
    pub commands: Receiver<Command>,
    /// Events.
    pub events: mpsc::UnboundedSender<Event>,
}

impl Worker {
    /// A worker without devices.
    ///
    /// # Errors
    /// When the kernel gives no epoll descriptor.
    pub fn new(parts: Parts) -> nix::Result<Worker> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&parts.wake, EpollEvent::new(EpollFlags::EPOLLIN, COMMANDS))?;
        let slots = parts
            .line_rates
            .into_iter()
            .map(|line_rate| Slot {
                port: None,
                readable: false,
                watched: Vec::new(),
                open_at: Time::ZERO,
                line_rate,
                down_reason: "not opened yet".to_owned(),
                serve: u8::MAX,
                queues: false,
                stops: false,
                host_edge_drops: 0,
            })
            .collect();
        Ok(Worker {
            switch: parts.switch,
            arena: parts.arena,
            slots,
            epoll,
            wake: parts.wake,
            commands: parts.commands,
            events: parts.events,
            began: Instant::now(),
            burst: parts.burst,
            next_housekeeping: Time::ZERO,
            turns: 0,
            wakeups: 0,
            lossless: parts.lossless,
            delayed: Vec::new(),
            reaction: Reaction::default(),
            received: Vec::with_capacity(RX_BATCH),
            descs: Vec::with_capacity(TX_BATCH),
            grants: Vec::with_capacity(TX_BATCH),
            outcomes: Vec::with_capacity(TX_BATCH),
        })
    }

    fn now(&self) -> Time {
        Time::from_nanos(self.began.elapsed().as_nanos() as u64)
    }

    /// Runs until `Command::Stop`, or until nobody can send commands any more.
    pub fn run(mut self) {
        sys::exact_timers();
        loop {
            self.turns += 1;
            let busy = self.receive();
            let busy = self.transmit() || busy;
            let now = self.now();
            self.housekeeping(now);
            let timeout = if busy { Duration::ZERO } else { self.next_wake(now) };
            if self.wait(timeout) && !self.obey() {
                break;
            }
        }
    }

    /// Takes frames from all ports that have some. `true`: some port has more.
    fn receive(&mut self) -> bool {
        let mut busy = false;
        for index in 0..self.slots.len() {
            let id = PortId(index as u16);
            // A lossless sender is paused between two of its frames, not between two batches.
            let (calls, batch) = if self.lossless { (RX_BATCH, 1) } else { (1, RX_BATCH) };
            for _ in 0..calls {
                if !self.receive_from(id, batch) {
                    break;
                }
            }
            let slot = &self.slots[index];
            busy |= slot.readable && slot.port.is_some() && self.may_receive(id, self.now());
        }
        busy
    }

    /// Whether a port may be read at `now`.
    fn may_receive(&self, id: PortId, now: Time) -> bool {
        let slot = &self.slots[id.index()];
        slot.readable && slot.open_at <= now && (!slot.stops || self.switch.may_read(id))
    }

    /// Takes a batch from a port. `false`: there is nothing more, or it may not be read on.
    fn receive_from(&mut self, id: PortId, batch: usize) -> bool {
        let now = self.now();
        if !self.may_receive(id, now) {
            return false;
        }
        let slot = &mut self.slots[id.index()];
        let Some(port) = &mut slot.port else { return false };
        self.received.clear();
        let status = port.rx(slot.serve, batch, &mut self.arena, &mut self.received);
        slot.readable = status.more;
        let wire_before = self.switch.books(id).rx_wire;
        for frame in &self.received {
            self.switch.rx(id, frame.queue, frame.id, &mut self.arena, now);
        }
        if status.lost > 0 {
            self.switch.rx_lost(id, status.lost);
        }
        if let Some(rate) = slot.line_rate {
            let wire = self.switch.books(id).rx_wire - wire_before;
            slot.open_at = slot.open_at.max(now.saturating_sub(self.burst)) + rate.time_of(wire);
        }
        let more = status.more;
        if let Some(error) = status.closed {
            self.close(id, error.to_string(), now);
        }
        self.push_back(now);
        more
    }

    /// Carries out gates that changed: at the device, and by flow-control frames, which go before everything else.
    fn push_back(&mut self, since: Time) {
        for gate in self.switch.gates() {
            let slot = &mut self.slots[gate.port.index()];
            if slot.queues {
                let bit = 1 << gate.priority.get();
                slot.serve = if gate.open { slot.serve | bit } else { slot.serve & !bit };
            }
            // What was left in a queue that was not served made its edge before.
            slot.readable |= gate.open;
            if let Some(port) = &mut slot.port {
                port.set_gate(gate.priority, gate.open);
            }
        }
        while let Some(id) = self.switch.urgent() {
            self.send_flow(id, since);
        }
    }

    /// Sends a flow-control frame, or remembers that it has to be.
    fn send_flow(&mut self, id: PortId, since: Time) {
        let now = self.now();
        let Some(port) = &mut self.slots[id.index()].port else { return };
        if port.tx_room() == 0 {
            self.delayed.push(id);
            return;
        }
        let Some(frame) = self.switch.flow_frame(id, now) else { return };
        let outcome = match self.arena.insert(&frame, VnetHeader::default()) {
            Some(body) => {
                let desc = TxDesc {
                    head: [0; MAX_HEAD],
                    head_len: 0,
                    body,
                    off: 0,
                    len: frame.len() as u32,
                    vnet: VnetHeader::default(),
                };
                self.outcomes.clear();
                port.tx(&[desc], &mut self.arena, &mut self.outcomes);
                self.arena.free(body);
                self.outcomes.first().copied().unwrap_or(TxOutcome::Refused)
            }
            None => TxOutcome::Refused,
        };
        self.switch.flow_sent(id, outcome);
        self.reaction.record((self.now() - since).as_nanos());
    }

    /// Sends what may go now. `true`: some port could go on at once.
    fn transmit(&mut self) -> bool {
        let mut busy = false;
        for id in std::mem::take(&mut self.delayed) {
            self.send_flow(id, self.now());
        }
        for index in 0..self.slots.len() {
            let id = PortId(index as u16);
            let mut bytes = 0;
            while self.switch.has_backlog(id) {
                let (sent, more) = self.transmit_port(id);
                bytes += sent;
                if !more || bytes >= TX_TURN_BYTES {
                    busy |= more;
                    break;
                }
            }
        }
        for finding in self.switch.findings() {
            // Nobody listens any more: the switch is ending.
            let _ = self.events.send(Event::Loop(finding));
        }
        for storm in self.switch.storms() {
            let _ = self.events.send(Event::Storm(storm));
        }
        self.push_back(self.now());
        busy
    }

    /// Hands a batch to one port. Answers its bytes, and whether the port could go on at once.
    fn transmit_port(&mut self, id: PortId) -> (u64, bool) {
        let now = self.now();
        let slot = &mut self.slots[id.index()];
        let Some(port) = &mut slot.port else { return (0, false) };
        let mut room = port.tx_room().min(TX_BATCH);
        if room == 0 {
            self.watch(id);
            return (0, false);
        }
        self.descs.clear();
        self.grants.clear();
        let mut bytes = 0;
        while room > 0 {
            let Some(grant) = self.switch.poll(id, &mut self.arena, now, &mut self.descs) else { break };
            bytes += u64::from(grant.bytes);
            self.grants.push(grant);
            room -= 1;
        }
        if self.grants.is_empty() {
            return (0, false);
        }
        self.outcomes.clear();
        port.tx(&self.descs, &mut self.arena, &mut self.outcomes);
        let outcomes = self.outcomes.iter().copied().chain(std::iter::repeat(TxOutcome::Refused));
        for (grant, outcome) in self.grants.iter().zip(outcomes) {
            self.switch.settle(id, grant, outcome, &mut self.arena);
        }
        (bytes, self.switch.next_tx(id).is_some_and(|wake| wake <= now))
    }

    /// The device of a port is gone.
    fn close(&mut self, id: PortId, reason: String, now: Time) {
        let slot = &mut self.slots[id.index()];
        slot.readable = false;
        slot.down_reason.clone_from(&reason);
        // Descriptors leave epoll when they are closed with the port.
        slot.port = None;
        slot.watched.clear();
        self.switch.set_link(id, false, &mut self.arena, now);
        let _ = self.events.send(Event::Closed(id, reason));
    }

    /// Watches what a port wants to be watched now.
    fn watch(&mut self, id: PortId) {
        let slot = &mut self.slots[id.index()];
        let mut wanted = Vec::new();
        if let Some(port) = &slot.port {
            port.interests(&mut wanted);
        }
        if wanted == slot.watched {
            return;
        }
        for old in slot.watched.iter().filter(|w| !wanted.iter().any(|n| n.fd == w.fd)) {
            // The port may have closed it already.
            let _ = self.epoll.delete(borrowed(&old.fd));
        }
        for new in &wanted {
            let mut flags = EpollFlags::EPOLLET;
            flags.set(EpollFlags::EPOLLIN, new.read);
            flags.set(EpollFlags::EPOLLOUT, new.write);
            let mut event = EpollEvent::new(flags, id.index() as u64);
            if self.epoll.modify(borrowed(&new.fd), &mut event).is_err()
                && let Err(error) = self.epoll.add(borrowed(&new.fd), event)
            {
                tracing::error!(port = id.0, %error, "a descriptor can't be watched");
            }
        }
        slot.watched = wanted;
        // Whatever became ready before it was watched made no edge.
        slot.readable = true;
    }

    /// What is done a few times a second.
    fn housekeeping(&mut self, now: Time) {
        if self.switch.next_tick().is_some_and(|t| t <= now) {
            self.switch.tick(&mut self.arena, now);
            self.push_back(now);
        }
        if self.next_housekeeping > now {
            return;
        }
        self.next_housekeeping = now + HOUSEKEEPING;
        self.switch.tick(&mut self.arena, now);
        for index in 0..self.slots.len() {
            self.look_after(PortId(index as u16), now);
        }
    }

    /// Housekeeping of one port.
    fn look_after(&mut self, id: PortId, now: Time) {
        let slot = &mut self.slots[id.index()];
        let Some(port) = &mut slot.port else { return };
        let link = port.tick();
        let up = link == Link::Up;
        let was_up = self.switch.is_up(id);
        slot.down_reason = match &link {
            Link::Up => String::new(),
            Link::Down(reason) => reason.clone(),
        };
        self.switch.set_link(id, up, &mut self.arena, now);
        if up != was_up {
            let _ = self.events.send(Event::Link(id, link));
        }
        self.watch(id);
    }

    /// How long nothing will be due.
    fn next_wake(&self, now: Time) -> Duration {
        let mut wake = self.next_housekeeping;
        if let Some(tick) = self.switch.next_tick() {
            wake = wake.min(tick);
        }
        for (index, slot) in self.slots.iter().enumerate() {
            let Some(port) = &slot.port else { continue };
            if slot.readable && (!slot.stops || self.switch.may_read(PortId(index as u16))) {
                wake = wake.min(slot.open_at.max(now + COARSE));
            }
            if let Some(tx) = self.switch.next_tx(PortId(index as u16))
                && port.tx_room() > 0
            {
                wake = wake.min(tx.max(now + COARSE));
            }
        }
        Duration::from_nanos((wake - now).as_nanos())
    }

    /// Waits for descriptors or time. `true`: there are commands.
    fn wait(&mut self, timeout: Duration) -> bool {
        let mut events = [EpollEvent::empty(); 64];
        let n = sys::epoll_wait(self.epoll.0.as_fd(), &mut events, timeout);
        if !timeout.is_zero() {
            self.wakeups += 1;
        }
        let now = self.now();
        let mut commands = false;
        for event in &events[..n] {
            if event.data() == COMMANDS {
                commands = true;
                continue;
            }
            let id = PortId(event.data() as u16);
            let slot = &mut self.slots[id.index()];
            if !slot.readable {
                // It was drained until now: idle time is no credit.
                slot.open_at = slot.open_at.max(now);
                slot.readable = true;
            }
            // A port that is down may be about to accept a peer.
            let notable = EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            if event.events().intersects(notable) || !self.switch.is_up(id) {
                self.look_after(id, now);
            }
        }
        commands
    }

    /// Does what the control side asks. `false`: end.
    fn obey(&mut self) -> bool {
        // Reading resets the counter; commands that come later write again.
        let _ = self.wake.read();
        loop {
            match self.commands.try_recv() {
                Ok(Command::Attach(id, port)) => self.attach(id, port),
                Ok(Command::Snapshot(answer)) => {
                    let _ = answer.send(self.snapshot());
                }
                Ok(Command::Fdb(answer)) => {
                    let _ = answer.send(self.switch.fdb_state(self.now()));
                }
                Ok(Command::Stop(answer)) => {
                    self.farewell();
                    let _ = answer.send(self.snapshot());
                    return false;
                }
                Err(std::sync::mpsc::TryRecvError::Empty) => return true,
                Err(std::sync::mpsc::TryRecvError::Disconnected) => return false,
            }
        }
    }

    fn attach(&mut self, id: PortId, port: Box<dyn Port>) {
        let device =
            Attachment { offload: port.offload(), rx_queues: port.rx_queues(), guarantee: port.guarantee() };
        self.switch.attach(id, device);
        let slot = &mut self.slots[id.index()];
        slot.queues = device.rx_queues > 1;
        slot.stops = device.rx_queues == 1 && device.guarantee == Guarantee::Exact;
        slot.serve = u8::MAX;
        slot.port = Some(port);
        self.look_after(id, self.now());
    }

    /// Sends what is queued while that takes no longer than a moment, and drops the rest, counted.
    fn farewell(&mut self) {
        let end = self.now() + FAREWELL;
        while self.now() < end && self.switch.ports().any(|p| self.switch.has_backlog(p)) {
            if !self.transmit() {
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        for id in self.switch.ports() {
            self.switch.flush(id, &mut self.arena);
        }
    }

    fn snapshot(&self) -> Snapshot {
        let mut snapshot = self.switch.snapshot(self.now());
        for (port, slot) in snapshot.ports.iter_mut().zip(&self.slots) {
            port.down_reason.clone_from(&slot.down_reason);
            port.host_edge_drops = slot.host_edge_drops;
        }
        snapshot.worker = crate::state::Worker {
            io: "readiness".to_owned(),
            turns: self.turns,
            wakeups: self.wakeups,
            late_ns: self.switch.late().as_nanos(),
            cpu_ns: clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID)
                .map_or(0, |t| t.tv_sec() as u64 * 1_000_000_000 + t.tv_nsec() as u64),
            flow_reaction: self.reaction.buckets.to_vec(),
            flow_reaction_sum_ns: self.reaction.sum_ns,
        };
        snapshot
    }
}

/// A descriptor that a port owns, for the length of a call.
fn borrowed(fd: &RawFd) -> BorrowedFd<'_> {
    sys::borrow(*fd)
}
