//! A processor in virtual time: the very worker of the live program, on devices for which every read and every write takes
//! its time. What it can't carry overflows in the rings of its inputs, as it does in those of TAPs.
//!
//! Only the clock and the devices are made up; what is read when, and how much is sent in a turn, is the worker's.
//!
//! What must not enter: what has to hold (the tests say that).

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};

use dcbridge_config::{Config, Poll};
use dcbridge_scheduler::{PortId, Rate, Time};
use nix::sys::eventfd::{EfdFlags, EventFd};

use super::Packet;
use crate::arena::Arena;
use crate::port::{Interest, Link, Port, RxFrame, RxStatus, TxDesc, TxOutcome};
use crate::state::Snapshot;
use crate::switch::{Setting, Switch};
use crate::worker::{Clock, Command, Parts, Peers, Worker};

/// What the processor's time goes to.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// A read, and each of its bytes.
    pub read: (Time, Time),
    /// A write, and each of its bytes.
    pub write: (Time, Time),
    /// A turn, and a read that finds nothing.
    pub turn: Time,
}

/// Packets that a host offers over and over, from time zero on.
#[derive(Clone, Debug)]
pub struct Stream {
    /// The packets.
    pub packets: Vec<Packet>,
    /// Between two of them.
    pub gap: Time,
}

/// What looks at all that leaves by a port.
pub type Meter = Box<dyn FnMut(Time, &TxDesc, &Arena) + Send>;

/// A worker, and what is at its ports.
pub struct Processor {
    worker: Worker,
    clock: Arc<AtomicU64>,
    costs: Costs,
    inlets: Vec<Arc<Mutex<Inlet>>>,
    commands: mpsc::Sender<Command>,
    wake: Arc<EventFd>,
}

impl Processor {
    /// A processor that runs a switch; its ports have no devices yet.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(config: Config, costs: Costs) -> io::Result<Processor> {
        let config = Arc::new(config);
        let burst = Time::from_micros(u64::from(config.bridge.stall_budget_us));
        let arena = Arena::new(config.bridge.buffer_bytes);
        let switch = Switch::new(&config, &arena, Setting { seed: 1, identity: 1, burst });
        let wake = Arc::new(event()?);
        let clock = Arc::<AtomicU64>::default();
        let (commands, queue) = mpsc::channel();
        let line_rates = config.ports.iter().map(|p| p.line_rate.map(|r| Rate::from_bits_per_second(r.0)));
        let parts = Parts {
            switch,
            arena,
            line_rates: line_rates.collect(),
            lossless: config.traffic_classes.iter().any(|c| c.lossless),
            burst,
            poll: Poll::Busy,
            wake: Arc::clone(&wake),
            commands: queue,
            // What the worker tells is for nobody: it goes on all the same.
            events: tokio::sync::mpsc::unbounded_channel().0,
            peers: Peers::none(&wake),
            clock: Clock::Virtual(Arc::clone(&clock)),
        };
        let worker = Worker::new(parts)?;
        Ok(Processor { worker, clock, costs, inlets: Vec::new(), commands, wake })
    }

    /// Gives a port a device with a ring of so many packets, into which hosts send `streams`; `meter` sees what leaves.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn attach(
        &mut self,
        port: PortId,
        streams: Vec<Stream>,
        ring: usize,
        meter: Meter,
    ) -> io::Result<()> {
        let streams = streams.into_iter().map(|s| (s.gap, 0, s)).collect();
        let inlet = Inlet { streams, ring: VecDeque::new(), capacity: ring, drained: true, wake: event()? };
        let inlet = Arc::new(Mutex::new(inlet));
        self.inlets.push(Arc::clone(&inlet));
        let device = Device { inlet, clock: Arc::clone(&self.clock), costs: self.costs, meter };
        // The worker is ours and listens.
        let _ = self.commands.send(Command::Attach(port, Box::new(device)));
        self.wake.write(1)?;
        Ok(())
    }

    /// Lets time pass.
    pub fn run_until(&mut self, end: Time) {
        let now = || Time(self.clock.load(Ordering::Relaxed));
        while now() < end {
            for inlet in &self.inlets {
                lock(inlet).fill(now());
            }
            self.worker.step();
            self.clock.fetch_add(self.costs.turn.0.max(1), Ordering::Relaxed);
        }
    }

    /// The switch's own view.
    pub fn snapshot(&self) -> Snapshot {
        self.worker.snapshot()
    }
}

fn event() -> io::Result<EventFd> {
    Ok(EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC)?)
}

fn lock(inlet: &Mutex<Inlet>) -> MutexGuard<'_, Inlet> {
    inlet.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Where hosts send to.
struct Inlet {
    /// When each offers its next packet, and which.
    streams: Vec<(Time, usize, Stream)>,
    /// (stream, packet).
    ring: VecDeque<(usize, usize)>,
    capacity: usize,
    /// The worker was told that there is nothing.
    drained: bool,
    wake: EventFd,
}

impl Inlet {
    /// Takes what was offered until `now`; what finds the ring full is lost.
    fn fill(&mut self, now: Time) {
        while let Some(index) = (0..self.streams.len()).min_by_key(|&n| self.streams[n].0) {
            let (due, packet, stream) = &mut self.streams[index];
            if *due > now {
                break;
            }
            if self.ring.len() < self.capacity {
                self.ring.push_back((index, *packet));
            }
            *due = *due + stream.gap;
            *packet = (*packet + 1) % stream.packets.len();
        }
        if self.drained && !self.ring.is_empty() {
            self.drained = false;
            // It fails only when it is readable anyway.
            let _ = self.wake.write(1);
        }
    }
}

struct Device {
    inlet: Arc<Mutex<Inlet>>,
    clock: Arc<AtomicU64>,
    costs: Costs,
    meter: Meter,
}

impl Device {
    /// Time goes by; answers the present.
    fn work(&self, (once, byte): (Time, Time), bytes: usize) -> Time {
        let cost = once.0 + byte.0 * bytes as u64;
        Time(self.clock.fetch_add(cost, Ordering::Relaxed) + cost)
    }
}

impl Port for Device {
    fn rx(&mut self, serve: u8, budget: usize, arena: &mut Arena, out: &mut Vec<RxFrame>) -> RxStatus {
        let mut status = RxStatus::default();
        let mut inlet = lock(&self.inlet);
        for _ in 0..if serve & 1 == 0 { 0 } else { budget } {
            let Some((stream, packet)) = inlet.ring.pop_front() else {
                inlet.fill(self.work((self.costs.turn, Time::ZERO), 0));
                break;
            };
            let packet = &inlet.streams[stream].2.packets[packet];
            let now = self.work(self.costs.read, packet.bytes.len());
            match arena.insert(&packet.bytes, packet.vnet) {
                Some(id) => out.push(RxFrame { id, queue: 0 }),
                None => status.lost += 1,
            }
            inlet.fill(now);
        }
        status.more = !inlet.ring.is_empty();
        inlet.drained = !status.more;
        status
    }

    fn tx_room(&self) -> usize {
        usize::MAX
    }

    fn tx(&mut self, frames: &[TxDesc], arena: &mut Arena, outcomes: &mut Vec<TxOutcome>) {
        for frame in frames {
            let now = self.work(self.costs.write, frame.head().len() + frame.body(arena).len());
            (self.meter)(now, frame, arena);
            outcomes.push(TxOutcome::Sent);
        }
    }

    fn interests(&self, out: &mut Vec<Interest>) {
        let fd = lock(&self.inlet).wake.as_fd().as_raw_fd();
        out.push(Interest { fd, read: true, write: false });
    }

    fn tick(&mut self) -> Link {
        Link::Up
    }

    fn offload(&self) -> bool {
        true
    }
}
