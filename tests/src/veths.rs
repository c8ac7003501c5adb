//! Veth ports in a test: a host, a namespace that stands for the switch's, and a loop that waits for the port as the
//! switch's worker does, edge by edge.

use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::edge::steer::{Mark, SteerSpec};
use dcbridge::port::veth::{self, VethOptions, VethPort};
use dcbridge::port::{Interest, OpenError, Port, RxFrame, TxDesc};
use dcbridge_scheduler::Priority;
use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};
use nix::sys::eventfd::{EfdFlags, EventFd};
use nix::time::{ClockId, clock_gettime};

use crate::forward::whole;
use crate::host::Host;

const BATCH: usize = 64;
const TICK: Duration = Duration::from_millis(100);
const UDP_HEADERS: usize = 14 + 20 + 8;

/// Priorities by PCP, then DSCP (8p for p), then `SO_PRIORITY`.
pub fn options(host: &Host, name: &str, peer: &str) -> VethOptions {
    VethOptions {
        name: name.to_owned(),
        netns: host.netns(),
        peer: peer.to_owned(),
        mtu: 1500,
        steering: SteerSpec {
            trust: vec![Mark::Pcp, Mark::Dscp, Mark::Socket],
            pcp_map: std::array::from_fn(|n| Priority::new(n as u8)),
            dscp_map: std::array::from_fn(|n| Priority::new((n / 8) as u8)),
            default: Priority::new(0),
            control: Priority::new(7),
            kick: None,
        },
    }
}

/// Opens a port whose switch's end is in `switch`.
///
/// # Errors
/// What the port says.
pub fn try_open(switch: &Host, options: &VethOptions) -> Result<VethPort, OpenError> {
    switch.run(|| Ok(veth::open(options)))
}

/// The same for a test that needs it.
///
/// # Panics
/// When it can't be opened.
#[track_caller]
pub fn open(switch: &Host, options: &VethOptions) -> VethPort {
    try_open(switch, options).unwrap_or_else(|e| panic!("{e}"))
}

/// What came by one queue.
#[derive(Debug, Default)]
pub struct Seen {
    /// Frames.
    pub frames: AtomicU64,
    /// Numbered datagrams.
    pub datagrams: AtomicU64,
    /// Datagrams that were missing before a later one, or came too late.
    pub missing: AtomicU64,
    /// Frames that came while it was not served.
    pub after: AtomicU64,
    /// From opening the gate to the first frame, each time, in ns.
    pub resumed_ns: Mutex<Vec<u64>>,
    next: AtomicU64,
}

/// How the loop is steered and what it has seen.
#[derive(Debug)]
pub struct Control {
    closed: AtomicU8,
    wake: EventFd,
    stop: AtomicBool,
    /// By queue.
    pub seen: [Seen; 8],
    /// CPU time of the loop, in ns.
    pub cpu_ns: AtomicU64,
    /// Times that it waited.
    pub waits: AtomicU64,
}

/// The running loop.
pub struct Running {
    /// Its control.
    pub control: Arc<Control>,
    thread: Option<JoinHandle<VethPort>>,
}

impl Running {
    /// Reads `port`; what comes goes to `peer` and back, if there is one.
    ///
    /// # Panics
    /// When there are no descriptors.
    pub fn new(port: VethPort, peer: Option<Box<dyn Port>>) -> Running {
        let wake = EventFd::from_flags(EfdFlags::EFD_NONBLOCK | EfdFlags::EFD_CLOEXEC).expect("eventfd");
        let control = Arc::new(Control {
            closed: AtomicU8::new(0),
            wake,
            stop: AtomicBool::new(false),
            seen: Default::default(),
            cpu_ns: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        });
        let theirs = Arc::clone(&control);
        let thread = std::thread::spawn(move || {
            let mut turning = Turning::new(&theirs, peer);
            turning.run(port)
        });
        Running { control, thread: Some(thread) }
    }

    /// Closes or opens a gate.
    pub fn gate(&self, priority: u8, open: bool) {
        let bit = 1 << priority;
        if open {
            self.control.closed.fetch_and(!bit, Relaxed);
        } else {
            self.control.closed.fetch_or(bit, Relaxed);
        }
        let _ = self.control.wake.write(1);
    }

    /// CPU time of the loop so far.
    pub fn cpu(&self) -> Duration {
        Duration::from_nanos(self.control.cpu_ns.load(Relaxed))
    }

    /// Ends the loop and gives the port back.
    ///
    /// # Panics
    /// When the loop has panicked.
    pub fn end(mut self) -> VethPort {
        self.control.stop.store(true, Relaxed);
        let _ = self.control.wake.write(1);
        self.thread.take().expect("it ends once").join().expect("the loop")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop.store(true, Relaxed);
        let _ = self.control.wake.write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Turning<'a> {
    control: &'a Control,
    peer: Option<Box<dyn Port>>,
    epoll: Epoll,
    arena: Arena,
    applied: u8,
    opened: [Option<Instant>; 8],
    frames: Vec<RxFrame>,
    descs: Vec<TxDesc>,
}

impl Turning<'_> {
    fn new(control: &Control, peer: Option<Box<dyn Port>>) -> Turning<'_> {
        let epoll = Epoll::new(EpollCreateFlags::EPOLL_CLOEXEC).expect("epoll");
        epoll
            .add(&control.wake, EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 0))
            .expect("watch");
        Turning {
            control,
            peer,
            epoll,
            arena: Arena::new(16 << 20),
            applied: 0,
            opened: [None; 8],
            frames: Vec::new(),
            descs: Vec::new(),
        }
    }

    fn watch(&self, port: &dyn Port) {
        let mut interests: Vec<Interest> = Vec::new();
        port.interests(&mut interests);
        for interest in interests {
            // SAFETY: the port keeps its descriptors open for as long as it lives, which is longer than this call.
            let fd = unsafe { BorrowedFd::borrow_raw(interest.fd) };
            let event = EpollEvent::new(EpollFlags::EPOLLIN | EpollFlags::EPOLLET, 1);
            self.epoll.add(fd.as_fd(), event).expect("watch");
        }
    }

    fn run(&mut self, mut port: VethPort) -> VethPort {
        self.watch(&port);
        if let Some(peer) = &self.peer {
            self.watch(&**peer);
        }
        let mut ticked = Instant::now();
        while !self.control.stop.load(Relaxed) {
            self.gates(&mut port);
            let mut more = self.turn(&mut port);
            if let Some(mut peer) = self.peer.take() {
                more |= self.carry(&mut *peer, &mut port);
                self.peer = Some(peer);
            }
            if ticked.elapsed() >= TICK {
                ticked = Instant::now();
                port.tick();
                self.peer.as_mut().map(|peer| peer.tick());
            }
            let cpu = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("clock");
            self.control.cpu_ns.store(Duration::from(cpu).as_nanos() as u64, Relaxed);
            let mut came = || port.doze() | self.peer.as_mut().is_some_and(|peer| peer.doze());
            if !more && !came() {
                self.control.waits.fetch_add(1, Relaxed);
                let mut events = [EpollEvent::empty(); 8];
                let _ = self.epoll.wait(&mut events, EpollTimeout::from(TICK.as_millis() as u16));
                let _ = self.control.wake.read();
            }
        }
        port
    }

    fn gates(&mut self, port: &mut VethPort) {
        let closed = self.control.closed.load(Relaxed);
        for p in Priority::all().filter(|p| (self.applied ^ closed) >> p.get() & 1 != 0) {
            let open = closed >> p.get() & 1 == 0;
            port.set_gate(p, open);
            self.opened[p.index()] = open.then(Instant::now);
        }
        self.applied = closed;
    }

    fn turn(&mut self, port: &mut VethPort) -> bool {
        let room = self.peer.as_ref().map_or(BATCH, |peer| peer.tx_room().min(BATCH));
        let status = port.rx(!self.applied, room, &mut self.arena, &mut self.frames);
        assert!(status.closed.is_none() && status.lost == 0, "{status:?}");
        for n in 0..self.frames.len() {
            let frame = self.frames[n];
            self.see(frame);
            self.descs.push(whole(&self.arena, frame.id));
        }
        if let Some(peer) = &mut self.peer {
            peer.tx(&self.descs, &mut self.arena, &mut Vec::new());
        }
        self.descs.clear();
        self.frames.drain(..).for_each(|frame| self.arena.free(frame.id));
        status.more
    }

    fn carry(&mut self, from: &mut dyn Port, to: &mut VethPort) -> bool {
        let status = from.rx(0xff, to.tx_room().min(BATCH), &mut self.arena, &mut self.frames);
        self.descs.extend(self.frames.iter().map(|frame| whole(&self.arena, frame.id)));
        to.tx(&self.descs, &mut self.arena, &mut Vec::new());
        self.descs.clear();
        self.frames.drain(..).for_each(|frame| self.arena.free(frame.id));
        status.more
    }

    fn see(&mut self, frame: RxFrame) {
        let seen = &self.control.seen[usize::from(frame.queue)];
        seen.frames.fetch_add(1, Relaxed);
        if self.applied >> frame.queue & 1 != 0 {
            seen.after.fetch_add(1, Relaxed);
        }
        if let Some(opened) = self.opened[usize::from(frame.queue)].take() {
            seen.resumed_ns.lock().expect("nobody panics").push(opened.elapsed().as_nanos() as u64);
        }
        let bytes = self.arena.bytes(frame.id);
        if bytes.len() < UDP_HEADERS + 8 || bytes[12..14] != [8, 0] || bytes[23] != 17 {
            return;
        }
        let number = u64::from_ne_bytes(bytes[UDP_HEADERS..UDP_HEADERS + 8].try_into().expect("eight bytes"));
        let expected = seen.next.swap(number + 1, Relaxed);
        seen.missing.fetch_add(number.abs_diff(expected), Relaxed);
        seen.datagrams.fetch_add(1, Relaxed);
    }
}
