//! A host behind a TAP with a gate per priority, and the small loop that reads it: what a test of the host edge needs of
//! a switch.
//!
//! The loop counts by itself what comes out of the port, datagram by datagram: what is lost is lost before it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::port::tap::{ByPriority, TapOptions, TapPort};
use dcbridge::port::{MAX_HEAD, Port, TxDesc};
use dcbridge_config::PrioritySet;
use dcbridge_scheduler::Priority;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::TcpCongestion;

use crate::host::{Host, ip};
use crate::taps::PATIENCE;
use dcbridge::edge::steer::Mark;
use dcbridge::net::NetnsRef;

/// UDP port of priority 0; that of priority p is p more.
pub const UDP_PORT: u16 = 9000;
const BATCH: usize = 64;
/// More frames than a ring holds.
const RING: usize = 12_000;
/// How long the loop sleeps when there is nothing to read.
const IDLE: Duration = Duration::from_micros(30);
const UDP_HEADERS: usize = 14 + 20 + 8;
const GSO_UDP: u8 = 5;

/// A TAP whose host can be paused in priorities 3 and 4, with DSCP 8p for priority p.
pub fn paused(host: &Host, name: &str, line_rate: Option<u64>) -> TapOptions {
    paused_in(host.netns(), name, line_rate)
}

/// The same in a namespace.
pub fn paused_in(netns: NetnsRef, name: &str, line_rate: Option<u64>) -> TapOptions {
    TapOptions {
        by_priority: Some(ByPriority {
            lossless: [3, 4].into_iter().collect::<PrioritySet>(),
            trust: vec![Mark::Dscp],
            pcp_map: std::array::from_fn(|n| Priority::new(n as u8)),
            dscp_map: std::array::from_fn(|n| Priority::new((n / 8) as u8)),
            default: Priority::new(0),
            line_rate,
            journal: std::env::temp_dir().join(format!("dcbridge-test-{}", std::process::id())),
        }),
        name: name.to_owned(),
        netns,
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
    }
}

/// What came by one queue.
#[derive(Debug, Default)]
pub struct Seen {
    /// Datagrams.
    pub datagrams: AtomicU64,
    /// Frames and superframes.
    pub frames: AtomicU64,
    /// Datagrams that were missing before a later one.
    pub missing: AtomicU64,
    /// Frames after the gate was told to close.
    pub after: AtomicU64,
    /// Their bytes.
    pub after_bytes: AtomicU64,
    /// When the last of them came, in ns after the gate was told.
    pub after_ns: AtomicU64,
    /// Nanoseconds from opening the gate to the first frame.
    pub resumed_ns: AtomicU64,
    next: AtomicU64,
}

/// How the loop is steered and what it has seen.
#[derive(Debug, Default)]
pub struct Control {
    /// Gates that are to be closed.
    pub closed: AtomicU8,
    /// Closed priorities are read nevertheless: to see what still comes.
    pub serve_closed: AtomicBool,
    /// The loop reads one frame, then sleeps so long (µs); 0: it reads what there is.
    pub pause_us: AtomicU64,
    /// Longest call of `set_gate`, ns.
    pub set_gate_ns: AtomicU64,
    /// All calls, ns.
    pub set_gate_total_ns: AtomicU64,
    /// Longest time between two reads, ns.
    pub longest_stall_ns: AtomicU64,
    /// By queue.
    pub seen: [Seen; 8],
    /// Superframes of all queues.
    pub superframes: AtomicU64,
    /// Frames dropped by the host's side.
    pub host_drops: AtomicU64,
    stop: AtomicBool,
}

/// The running loop. Ends with its handle.
pub struct Pump {
    /// Its control.
    pub control: Arc<Control>,
    thread: Option<JoinHandle<TapPort>>,
}

impl Pump {
    /// Reads `port`; what it reads goes to `peer` and back, if there is one.
    pub fn new(port: TapPort, peer: Option<TapPort>) -> Pump {
        let control = Arc::new(Control::default());
        let theirs = Arc::clone(&control);
        let thread = std::thread::spawn(move || run(port, peer, &theirs));
        Pump { control, thread: Some(thread) }
    }

    /// Closes or opens a gate.
    pub fn gate(&self, priority: u8, open: bool) {
        let bit = 1 << priority;
        if open {
            self.control.closed.fetch_and(!bit, Relaxed);
        } else {
            self.control.closed.fetch_or(bit, Relaxed);
        }
    }

    /// Waits until as many datagrams have come by the two queues as were sent, but not forever; answers how many have.
    pub fn settled(&self, queues: [usize; 2], sent: [u64; 2]) -> [u64; 2] {
        let end = Instant::now() + PATIENCE;
        loop {
            let came = queues.map(|queue| self.control.seen[queue].datagrams.load(Relaxed));
            if came == sent || Instant::now() > end {
                return came;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Ends the loop and gives the port back.
    ///
    /// # Panics
    /// When the loop has panicked.
    pub fn end(mut self) -> TapPort {
        self.control.stop.store(true, Relaxed);
        self.thread.take().expect("it ends once").join().expect("the loop")
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.control.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Loop<'a> {
    control: &'a Control,
    told: [Instant; 8],
    resuming: u8,
}

/// A ring holds what comes in 5 ms. On a crowded machine an ordinary thread waits longer for its turn.
fn take_precedence() {
    let priority = libc::sched_param { sched_priority: 1 };
    // SAFETY: the parameters outlive the call; it changes an attribute of the calling thread only.
    let set = unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const priority) };
    assert_eq!(set, 0, "this test needs CAP_SYS_NICE: {}", std::io::Error::last_os_error());
}

fn run(mut port: TapPort, mut peer: Option<TapPort>, control: &Control) -> TapPort {
    take_precedence();
    let mut arena = Arena::new(32 << 20);
    let mut applied = 0u8;
    let mut state = Loop { control, told: [Instant::now(); 8], resuming: 0 };
    let (mut frames, mut descs, mut outcomes) = (Vec::new(), Vec::new(), Vec::new());
    let mut read_at = Instant::now();
    while !control.stop.load(Relaxed) {
        let closed = control.closed.load(Relaxed);
        for p in Priority::all().filter(|p| (applied ^ closed) >> p.get() & 1 != 0) {
            let open = closed >> p.get() & 1 == 0;
            if !open && peer.is_none() {
                // What is in the ring already does not come behind the gate.
                state.empty(&mut port, p, &mut arena);
            }
            let begin = Instant::now();
            state.told[p.index()] = begin;
            port.set_gate(p, open);
            let took = begin.elapsed().as_nanos() as u64;
            control.set_gate_ns.fetch_max(took, Relaxed);
            control.set_gate_total_ns.fetch_add(took, Relaxed);
            if open {
                state.resuming |= 1 << p.get();
            }
        }
        applied = closed;
        let pause = Duration::from_micros(control.pause_us.load(Relaxed));
        let serve = if control.serve_closed.load(Relaxed) { 0xff } else { !closed };
        let budget = if pause.is_zero() { BATCH } else { 1 };
        control.longest_stall_ns.fetch_max(read_at.elapsed().as_nanos() as u64, Relaxed);
        tell_ready(&mut port);
        let more = port.rx(serve, budget, &mut arena, &mut frames).more;
        read_at = Instant::now();
        for frame in &frames {
            state.see(frame.queue, arena.bytes(frame.id), &arena.vnet(frame.id), closed);
            let len = arena.bytes(frame.id).len() as u32;
            descs.push(TxDesc {
                head: [0; MAX_HEAD],
                head_len: 0,
                body: frame.id,
                off: 0,
                len,
                vnet: arena.vnet(frame.id),
            });
        }
        if let Some(peer) = &mut peer {
            peer.tx(&descs, &mut arena, &mut outcomes);
            back(peer, &mut port, &mut arena);
        }
        frames.drain(..).for_each(|frame| arena.free(frame.id));
        descs.clear();
        outcomes.clear();
        control.host_drops.store(port.host_edge_drops(), Relaxed);
        if !pause.is_zero() {
            std::thread::sleep(pause);
        } else if !more {
            std::thread::sleep(IDLE);
        }
    }
    port
}

/// Tells a port which of its descriptors can be read, as whoever waits for them has to.
fn tell_ready(port: &mut TapPort) {
    let mut interests = Vec::new();
    port.interests(&mut interests);
    // SAFETY: the port is open as long as it is borrowed here.
    let descriptors: Vec<_> = interests.iter().map(|i| unsafe { BorrowedFd::borrow_raw(i.fd) }).collect();
    let mut fds: Vec<_> = descriptors.iter().map(|fd| PollFd::new(*fd, PollFlags::POLLIN)).collect();
    poll(&mut fds, PollTimeout::ZERO).expect("poll");
    let ready: Vec<usize> = (0..fds.len()).filter(|&n| fds[n].any().unwrap_or(true)).collect();
    ready.into_iter().for_each(|n| port.ready(n));
}

fn back(from: &mut TapPort, to: &mut TapPort, arena: &mut Arena) {
    let (mut frames, mut outcomes) = (Vec::new(), Vec::new());
    from.rx(0xff, BATCH, arena, &mut frames);
    for frame in frames {
        let desc = crate::forward::whole(arena, frame.id);
        to.tx(&[desc], arena, &mut outcomes);
        arena.free(frame.id);
    }
}

impl Loop<'_> {
    /// Empties a ring, so that what comes from now on comes behind the gate: again, if the machine let us wait meanwhile.
    fn empty(&mut self, port: &mut TapPort, priority: Priority, arena: &mut Arena) {
        let mut frames = Vec::new();
        for _ in 0..RING / BATCH {
            let begin = Instant::now();
            let more = port.rx(1 << priority.get(), BATCH, arena, &mut frames).more;
            for frame in frames.drain(..) {
                self.see(frame.queue, arena.bytes(frame.id), &arena.vnet(frame.id), 0);
                arena.free(frame.id);
            }
            if !more && begin.elapsed() < Duration::from_micros(200) {
                break;
            }
        }
    }

    fn see(&mut self, queue: u8, bytes: &[u8], vnet: &dcbridge::port::VnetHeader, closed: u8) {
        let seen = &self.control.seen[usize::from(queue)];
        let told = self.told[usize::from(queue)];
        seen.frames.fetch_add(1, Relaxed);
        self.control.superframes.fetch_add(u64::from(vnet.gso_type != 0), Relaxed);
        if closed >> queue & 1 != 0 {
            seen.after.fetch_add(1, Relaxed);
            seen.after_bytes.fetch_add(bytes.len() as u64, Relaxed);
            seen.after_ns.fetch_max(told.elapsed().as_nanos() as u64, Relaxed);
        } else if self.resuming >> queue & 1 != 0 {
            self.resuming &= !(1 << queue);
            seen.resumed_ns.fetch_max(told.elapsed().as_nanos() as u64, Relaxed);
        }
        let ours = bytes.len() > UDP_HEADERS + 8 && bytes[12..14] == [8, 0] && bytes[23] == 17;
        if !ours {
            return;
        }
        let payload = &bytes[UDP_HEADERS..];
        let size = if vnet.gso_type == GSO_UDP { usize::from(vnet.gso_size) } else { payload.len() };
        for segment in payload.chunks(size) {
            let number = u64::from_ne_bytes(segment[..8].try_into().expect("eight bytes"));
            let expected = seen.next.swap(number + 1, Relaxed);
            seen.missing.fetch_add(number.saturating_sub(expected), Relaxed);
            seen.datagrams.fetch_add(1, Relaxed);
        }
    }
}

/// A program on the host that sends numbered datagrams of one priority as fast as it can.
pub struct Sender {
    /// Datagrams that the kernel took.
    pub sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Sender {
    /// Sends datagrams of `payload` bytes from `host` to host number `to`, `segments` of them by one call.
    ///
    /// # Panics
    /// When there is no socket.
    pub fn new(host: &Host, to: u8, priority: u8, payload: usize, segments: usize) -> Sender {
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let socket = host.run(|| Ok(std::net::UdpSocket::bind(("0.0.0.0", 0)).expect("socket")));
        socket.connect((ip(to), UDP_PORT + u16::from(priority))).expect("connect");
        set_option(&socket, libc::IPPROTO_IP, libc::IP_TOS, i32::from(priority) << 5);
        if segments > 1 {
            set_option(&socket, libc::SOL_UDP, libc::UDP_SEGMENT, payload as i32);
        }
        // A sender that is held back looks at `stop` now and then.
        socket.set_write_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut bytes = vec![0; payload * segments];
            let mut number = 0u64;
            while !stopped.load(Relaxed) {
                for (n, segment) in bytes.chunks_mut(payload).enumerate() {
                    segment[..8].copy_from_slice(&(number + n as u64).to_ne_bytes());
                }
                if socket.send(&bytes).is_ok() {
                    number += segments as u64;
                    count.store(number, Relaxed);
                }
            }
        });
        Sender { sent, stop, thread: Some(thread) }
    }

    /// Datagrams that the kernel took so far.
    pub fn count(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Ends it; answers how many it has sent.
    ///
    /// # Panics
    /// When it has panicked.
    pub fn end(mut self) -> u64 {
        self.stop.store(true, Relaxed);
        self.thread.take().expect("it ends once").join().expect("sender");
        self.count()
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Programs that send by TCP, and receive it.
pub struct TcpFlow {
    stream: TcpStream,
    sent: Arc<AtomicU64>,
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl TcpFlow {
    /// A stream of one priority from host 1 to host 2.
    ///
    /// # Panics
    /// When it can't be connected.
    pub fn new(from: &Host, to: &Host, priority: u8) -> TcpFlow {
        TcpFlow::start(from, to, priority, None)
    }

    /// The same with a congestion control of its own.
    ///
    /// # Panics
    /// When it can't be connected, or the kernel does not know the congestion control.
    pub fn with(from: &Host, to: &Host, priority: u8, congestion: &str) -> TcpFlow {
        TcpFlow::start(from, to, priority, Some(congestion))
    }

    fn start(from: &Host, to: &Host, priority: u8, congestion: Option<&str>) -> TcpFlow {
        let listener = to.run(|| Ok(TcpListener::bind((ip(2), 0)).expect("listen")));
        let address = listener.local_addr().expect("address");
        let stream = from.run(|| Ok(TcpStream::connect_timeout(&address, PATIENCE).expect("connect")));
        set_option(&stream, libc::IPPROTO_IP, libc::IP_TOS, i32::from(priority) << 5);
        if let Some(name) = congestion {
            setsockopt(&stream, TcpCongestion, &name.into()).expect("congestion control");
        }
        stream.set_write_timeout(Some(Duration::from_millis(100))).expect("timeout");
        let (mut received, _) = listener.accept().expect("accept");
        let (sent, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (count, stopped) = (Arc::clone(&sent), Arc::clone(&stop));
        let mut writer = stream.try_clone().expect("clone");
        let bytes = vec![0; 1 << 17];
        let writes = std::thread::spawn(move || {
            while !stopped.load(Relaxed) {
                count.fetch_add(writer.write(&bytes).unwrap_or(0) as u64, Relaxed);
            }
            let _ = writer.shutdown(std::net::Shutdown::Write);
        });
        let reads = std::thread::spawn(move || {
            let mut bytes = vec![0; 1 << 18];
            while received.read(&mut bytes).is_ok_and(|len| len > 0) {}
        });
        TcpFlow { stream, sent, stop, threads: vec![writes, reads] }
    }

    /// Bytes that the kernel took so far.
    pub fn count(&self) -> u64 {
        self.sent.load(Relaxed)
    }

    /// Ends it; answers how many segments were sent again.
    ///
    /// # Panics
    /// When the kernel does not tell.
    pub fn end(mut self) -> u32 {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            thread.join().expect("a program of the flow");
        }
        // SAFETY: a tcp_info of zeroes is a valid one.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut len = size_of::<libc::tcp_info>() as libc::socklen_t;
        let fd = self.stream.as_raw_fd();
        // SAFETY: the pointers are to a tcp_info and its length, which outlive the call.
        let told = unsafe {
            libc::getsockopt(fd, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut len)
        };
        assert_eq!(told, 0, "TCP_INFO: {}", std::io::Error::last_os_error());
        info.tcpi_total_retrans
    }
}

/// Sets an integer option of a socket.
///
/// # Panics
/// When the kernel refuses it.
pub fn set_option(socket: &impl AsRawFd, level: i32, option: i32, value: i32) {
    // SAFETY: the pointer is to an int of the given length that outlives the call.
    let set = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            size_of::<i32>() as libc::socklen_t,
        )
    };
    assert_eq!(set, 0, "option {option}: {}", std::io::Error::last_os_error());
}
