//! The data path's thread: owns the switch, the frames' memory and the ports, and turns the wheel.
//!
//! ```text
//! turn:  receive from every port that has something -> send what may go -> housekeeping -> wait
//! ```
//! Receiving comes first, so that after a stall the queues know what there is before credit is spent. A turn is bounded
//! for every port, so none starves another. There is no timer per frame: a line that is busy is looked at again some
//! 250 us later and catches up by its credit; only a strict class has the line as soon as it is free.
//!
//! Descriptors are watched edge by edge: a port stays among the `readable` ones until it says that it is drained, so one
//! whose ingress is metered can be left alone without waking anybody.
//!
//! A turn costs what there is to do, not what there are ports: it looks at those that can be read, at those where
//! something waits, and at no others. Only housekeeping, four times a second, asks all of them.
//!
//! Several workers share a switch by ports. What one has for a port of another goes by a ring (`peers`), and a turn begins
//! with what came by the rings.
//!
//! What must not enter: opening devices, anything that blocks, formatting.

mod bell;
mod care;
mod commands;
mod exchange;
mod haste;
mod look;
mod own;
mod pace;
mod peers;
mod reaction;
mod receive;
mod sync;
mod sys;
mod transmit;

use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use dcbridge_config::{self as config, Poll};
use dcbridge_scheduler::{Grant, PortId, Rate, Time};
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags};
use nix::sys::eventfd::EventFd;
use tokio::sync::mpsc;

use crate::arena::{Arena, CELL};
use crate::port::{Interest, Port, RxFrame, TxBatch, TxOutcome, ring};
use crate::switch::Switch;
use crate::switch::forward::PortSet;
pub use commands::{Command, Event};
use haste::Haste;
use look::Look;
use pace::{Feeds, Pace};
pub use peers::Peers;
use reaction::Reaction;

/// Frames or superframes received in a turn, shared by the ports that have some; each gets `RX_LEAST`. What a strict class
/// waits for is a turn, so it hardly grows with the ports; to turn less often is worth a twentieth with short frames.
const RX_TURN: usize = 64;
const RX_LEAST: usize = 16;
/// As many of them at once, as long as they are short: what is read in a row costs less.
const RX_CALL_SHORT: usize = 32;
/// Superframes at once: `RX_TURN_BYTES` of them; fewer from an input that is metered.
const RX_CALL: usize = 16;
const RX_CALL_METERED: usize = 4;
/// Bytes below which frames are short, on the average.
const SHORT: u64 = 2048;
/// Bytes after which it is enough: some 300 us of copying. With less, acknowledgements are fetched one by one between
/// superframes and wake the sender for each, which costs a tenth of TCP.
const RX_TURN_BYTES: u64 = 1024 * 1024;
/// The same where an input is metered: superframes of 64 KB are half a millisecond each at 1 Gbit/s.
const RX_TURN_BYTES_METERED: u64 = 64 * 1024;
/// Pieces handed to a port at once.
const TX_BATCH: usize = 64;
/// Bytes sent to a port in a turn: more than what may be received from one, else receiving frames that will be dropped
/// could leave no time to send the others.
const TX_TURN_BYTES: u64 = 4 * 1024 * 1024;
/// While the processor is the bottleneck, each class that competes should have this part of the buffer queued, at least.
const STANDING: u64 = 64;
/// A busy line is looked at again after this long at the earliest, and after so many bytes of it, and an input that is
/// metered: a sleep costs more than a frame. Unless a strict class waits.
const COARSE: Time = Time::from_micros(250);
const COARSE_BYTES: u64 = 4 * 1538;
const METERED: Time = Time::from_micros(100);
/// How often the descriptors are asked while there is enough to do: to ask costs as much as half a frame.
const ASK: Time = Time::from_micros(20);
/// How often ports are asked for their link.
const HOUSEKEEPING: Time = Time::from_millis(250);
/// How long a switch that ends may go on sending what is queued.
const FAREWELL: Time = Time::from_millis(200);
/// Most workers of a switch, as the configuration allows.
const MAX_WORKERS: usize = 16;
/// Key of the event descriptor; others have their port's number, and above that which of its interests they are.
const COMMANDS: u64 = u64::MAX;
const INTEREST_SHIFT: u32 = u16::BITS;

struct Slot {
    port: Option<Box<dyn Port>>,
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
    /// Frames of the switch's own for which the device had no room.
    own: VecDeque<Vec<u8>>,
    pace: Pace,
    feeds: Feeds,
    /// The frames that came last were short.
    short: bool,
}

/// What tells the worker the time.
pub enum Clock {
    /// Since it began.
    Real(Instant),
    /// Somebody who counts 10 ps: a simulation.
    Virtual(Arc<AtomicU64>),
}

/// The worker.
pub struct Worker {
    switch: Switch,
    arena: Arena,
    slots: Vec<Slot>,
    /// Ports that were not drained since something came.
    readable: PortSet,
    /// Ports that were drained and don't tell when something comes.
    restless: PortSet,
    /// Ports with frames of the switch's own that wait.
    own: PortSet,
    epoll: Epoll,
    wake: Arc<EventFd>,
    commands: Receiver<Command>,
    events: mpsc::UnboundedSender<Event>,
    clock: Clock,
    burst: Time,
    look: Look,
    haste: Haste,
    io: &'static str,
    next_housekeeping: Time,
    /// When frames last came.
    came: Time,
    /// When the descriptors were asked.
    asked: Time,
    /// Bytes received in this turn.
    turn_rx_bytes: u64,
    /// Bytes that should wait in a queue while the processor is the bottleneck.
    standing: u64,
    turns: u64,
    wakeups: u64,
    /// Some class is lossless.
    lossless: bool,
    /// Ports whose flow-control frame found the device full.
    delayed: Vec<PortId>,
    reaction: Reaction,
    peers: Peers,
    /// Nothing is received any more.
    leaving: bool,
    /// One clone for each LLDP frame that the control side has not looked at yet.
    handed_over: Arc<()>,
    received: Vec<RxFrame>,
    descs: TxBatch,
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
    /// What it does when there is nothing to do.
    pub poll: Poll,
    /// Written to after a command was sent.
    pub wake: Arc<EventFd>,
    /// Commands.
    pub commands: Receiver<Command>,
    /// Events.
    pub events: mpsc::UnboundedSender<Event>,
    /// The other workers.
    pub peers: Peers,
    /// The time, the same for all workers.
    pub clock: Clock,
}

impl Worker {
    /// A worker without devices.
    ///
    /// # Errors
    /// When the kernel gives no epoll descriptor.
    pub fn new(parts: Parts) -> nix::Result<Worker> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC)?;
        epoll.add(&parts.wake, EpollEvent::new(EpollFlags::EPOLLIN, COMMANDS))?;
        let standing = u64::from(parts.switch.scheduler().occupancy().size) * CELL as u64 / STANDING;
        let slots = parts
            .line_rates
            .into_iter()
            .map(|line_rate| Slot {
                port: None,
                watched: Vec::new(),
                open_at: Time::ZERO,
                line_rate,
                down_reason: "not opened yet".to_owned(),
                serve: u8::MAX,
                queues: false,
                stops: false,
                host_edge_drops: 0,
                own: VecDeque::new(),
                pace: Pace::default(),
                feeds: Feeds::default(),
                short: false,
            })
            .collect();
        Ok(Worker {
            switch: parts.switch,
            arena: parts.arena,
            slots,
            readable: PortSet::EMPTY,
            restless: PortSet::EMPTY,
            own: PortSet::EMPTY,
            epoll,
            wake: parts.wake,
            commands: parts.commands,
            events: parts.events,
            clock: parts.clock,
            burst: parts.burst,
            look: Look::new(parts.poll, sys::processors()),
            haste: Haste::Normal,
            io: "readiness",
            came: Time::ZERO,
            asked: Time::ZERO,
            turn_rx_bytes: 0,
            standing,
            next_housekeeping: Time::ZERO,
            turns: 0,
            wakeups: 0,
            lossless: parts.lossless,
            delayed: Vec::new(),
            reaction: Reaction::default(),
            peers: parts.peers,
            leaving: false,
            handed_over: Arc::default(),
            received: Vec::with_capacity(RX_CALL_SHORT),
            descs: TxBatch::with_capacity(TX_BATCH),
            grants: Vec::with_capacity(TX_BATCH),
            outcomes: Vec::with_capacity(TX_BATCH),
        })
    }

    pub(super) fn now(&self) -> Time {
        match &self.clock {
            Clock::Real(began) => Time::from_nanos(began.elapsed().as_nanos() as u64),
            Clock::Virtual(now) => Time(now.load(Ordering::Relaxed)),
        }
    }

    /// Settles how the calling thread runs, which is to be the worker's. Answers what could not be had: sentences for a
    /// person.
    pub fn settle_in(
        &mut self,
        io: config::Io,
        scheduling: config::Scheduling,
        cpu: Option<u16>,
    ) -> Vec<String> {
        let mut missing = Vec::new();
        if io != config::Io::Readiness {
            match ring::enable() {
                Ok(()) => self.io = "io_uring",
                Err(refused) if io == config::Io::IoUring => missing.push(refused),
                // Readiness is as good, only slower; `dcbridge run` says which it is.
                Err(_) => {}
            }
        }
        match Haste::begin(scheduling, self.lossless) {
            Ok(haste) => self.haste = haste,
            Err(refused) => missing.push(refused),
        }
        if let Some(cpu) = cpu
            && let Err(error) = sys::stay_on(usize::from(cpu))
        {
            missing.push(format!("the worker can't stay on processor {cpu}: {error}"));
        }
        missing
    }

    /// Runs until `Command::Stop`, or until nobody can send commands any more.
    pub fn run(mut self) {
        sys::exact_timers();
        let mut busy = false;
        loop {
            let (idle, before) = (!busy, self.came);
            busy = self.turn();
            if idle && self.came != before {
                self.look.came(self.came - before);
            }
            let now = self.now();
            let looks =
                busy || self.look.goes_on(now - self.came, self.haste.is_on()) || self.something_came();
            if looks {
                self.readable.insert_all(self.restless);
            }
            if busy && now - self.asked < ASK {
                continue;
            }
            self.asked = now;
            let timeout = if looks { Duration::ZERO } else { self.next_wake(now) };
            let asked = self.rest(timeout);
            if asked && !self.obey() {
                break;
            }
        }
    }

    /// A turn. `true`: there is more to do at once.
    fn turn(&mut self) -> bool {
        self.turns += 1;
        let more = self.take_in();
        let busy = self.receive() || more;
        self.hand_out();
        let busy = self.transmit() || busy;
        let now = self.now();
        self.housekeeping(now);
        self.hand_out();
        self.look.at(self.turn_rx_bytes, now);
        self.haste.heed(self.switch.lossless_came(), now);
        busy
    }

    /// A turn, and what has happened meanwhile, for whoever is the clock. `false`: end.
    pub fn step(&mut self) -> bool {
        self.turn();
        !self.wait(Duration::ZERO) || self.obey()
    }

    /// How long nothing will be due.
    pub(super) fn next_wake(&self, now: Time) -> Duration {
        let mut wake = self.next_housekeeping;
        if let Some(tick) = self.switch.next_tick() {
            wake = wake.min(tick);
        }
        for id in self.readable.iter() {
            let slot = &self.slots[id.index()];
            if slot.port.is_some() && (!slot.stops || self.switch.may_read(id)) {
                wake = wake.min(slot.open_at.max(now + METERED));
            }
        }
        for id in self.switch.waiting().iter() {
            if let Some(tx) = self.switch.next_tx(id)
                && self.has_room(id)
            {
                let earliest = if self.switch.waits_strictly(id) { now } else { now + self.coarse(id) };
                wake = wake.min(tx.max(earliest));
            }
        }
        Duration::from_nanos((wake - now).as_nanos())
    }

    /// How long a busy line is left alone.
    fn coarse(&self, id: PortId) -> Time {
        self.slots[id.index()].line_rate.map_or(COARSE, |rate| rate.time_of(COARSE_BYTES).max(COARSE))
    }

    /// Waits for descriptors or time. `true`: there are commands.
    pub(super) fn wait(&mut self, timeout: Duration) -> bool {
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
            if let Some(port) = &mut self.slots[id.index()].port {
                port.ready((event.data() >> INTEREST_SHIFT) as usize);
            }
            if !self.readable.contains(id) {
                // It was drained until now: idle time is no credit.
                let slot = &mut self.slots[id.index()];
                slot.open_at = slot.open_at.max(now);
                self.readable.insert(id);
            }
            // A port that is down may be about to accept a peer.
            let notable = EpollFlags::EPOLLOUT | EpollFlags::EPOLLHUP | EpollFlags::EPOLLERR;
            if event.events().intersects(notable) || !self.switch.is_up(id) {
                self.look_after(id, now);
            }
        }
        commands
    }
}
