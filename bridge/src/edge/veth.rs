//! The host's side of a veth port: what makes each priority a queue that stops when the switch does not take its frames.
//!
//! ```text
//! host's socket -> egress program -> mq/pfifo of the queue -> ring of the queue -> port
//!                  (queue = priority,   (stops when the ring
//!                   wakes the port)      is full)
//! ```
//! Nothing needs to be clamped: a ring that the port does not empty stops its queue by itself (Linux 6.16 and later).
//!
//! The egress program also wakes the port: while a queue is *armed*, the first frame towards it makes a descriptor
//! readable. A queue that is being read is not armed, so a busy one costs nothing.
//!
//! What must not enter: the switch's end of the pair (`port/veth`).

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};

use dcbridge_scheduler::Priority;

use super::bpf::{
    Alu, Assembler, Helper, Instruction, Jump, Kind, Map, MapKind, Register, Width, attach_egress, load,
};
use super::clamp::{self, Root};
use super::host::Obstacle;
use super::kick::Cookie;
use super::netlink::Socket;
use super::packet::PacketSocket;
use super::queues;
use super::shared::Shared;
use super::steer::{SteerSpec, compile};
use crate::net::{Feature, Features, Links};

/// Offloads that don't survive `AF_XDP`: checksums would be left unfinished, and tags beside the frame be lost.
const OFF: [Feature; 6] = [
    ("tx-checksum-ipv4", false),
    ("tx-checksum-ipv6", false),
    ("tx-checksum-ip-generic", false),
    ("tx-checksum-sctp", false),
    ("tx-vlan-hw-insert", false),
    ("tx-vlan-stag-hw-insert", false),
];

/// The ring through which the program wakes the port: 16 bytes for each wake.
const RING: u32 = 4096;
/// Eight flags of 64 bits.
const FLAGS: u32 = 64;
/// `BPF_RB_FORCE_WAKEUP`
const FORCE_WAKEUP: i32 = 2;
/// `TCX_NEXT`: what else there is on the egress has its turn.
const NEXT: i32 = -1;
/// Offsets in `struct __sk_buff`.
const QUEUE_MAPPING: i16 = 12;
const PRIORITY: i16 = 32;

/// The host's side, for as long as this lives.
#[derive(Debug)]
pub struct VethHost {
    interface: String,
    index: u32,
    features: Features,
    undo: Vec<Feature>,
    netlink: Socket,
    hand: PacketSocket,
    /// `SO_PRIORITY` of knocks, without its lowest three bits.
    magic: u32,
    /// Was set up by its administrator before, and its L3 MTU.
    before: (bool, u32),
    /// Closed, it takes the program off.
    _link: OwnedFd,
}

impl VethHost {
    /// Sets it up, in the interface's namespace. Blocks.
    ///
    /// # Errors
    /// What is in the way; the interface is then as it was.
    pub fn open(interface: &str, mtu: u32, spec: &SteerSpec) -> Result<(VethHost, Wake), Obstacle> {
        let netlink =
            Socket::open().map_err(|e| Obstacle::new(format!("can't be reached by netlink: {e}")))?;
        let info = Links::open()?.info(interface)?;
        let index = info.index;
        if let Root::Foreign(kind) = clamp::root(&netlink, index).map_err(|e| refused("its queueing", &e))? {
            return Err(Obstacle::new(format!(
                "has a queueing of its own ({kind}), which is not touched (tc qdisc del dev {interface} root)"
            )));
        }
        let wake = Wake::new().map_err(|e| refused("a map of eBPF", &e))?;
        let magic = magic();
        let program = load(Kind::Classifier, &program(&wake, spec, magic))
            .map_err(|e| Obstacle::new(format!("can't be given a program that sorts its frames: {e}")))?;
        let hand = PacketSocket::open(index).map_err(|e| refused("a packet socket", &e))?;
        let features = Features::open(interface)?;
        let link = attach_egress(program.as_fd(), index)
            .map_err(|e| refused("a program on its egress (Linux 6.6)", &e))?;
        let undo = features.set(&OFF)?;
        let interface = interface.to_owned();
        let before = (info.up, info.mtu);
        let host = VethHost { interface, index, features, undo, netlink, hand, magic, before, _link: link };
        match host.begin(mtu) {
            Ok(()) => Ok((host, wake)),
            Err(obstacle) => {
                // Half of it may have been done; the first obstacle is the one to tell.
                let _ = host.restore();
                Err(obstacle)
            }
        }
    }

    fn begin(&self, mtu: u32) -> Result<(), Obstacle> {
        queues::install(&self.netlink, self.index).map_err(|e| refused("a queue per priority (mq)", &e))?;
        let links = Links::open()?;
        links.set_mtu(&self.interface, mtu)?;
        Ok(links.set_up(&self.interface)?)
    }

    /// Sends a frame through the queue of a priority, whatever is in it.
    ///
    /// # Errors
    /// What the kernel says; `WouldBlock`: as many wait there as may.
    pub fn knock(&self, priority: Priority, frame: &[u8]) -> io::Result<()> {
        self.hand.set_priority(self.magic | u32::from(priority.get()))?;
        self.hand.send_frame(frame)
    }

    /// Puts everything back as it was; to be called in the interface's namespace.
    ///
    /// # Errors
    /// What could not be undone.
    pub fn restore(self) -> Result<(), Obstacle> {
        self.features.set(&self.undo)?;
        clamp::remove(&self.netlink, self.index).map_err(|e| refused("its former queueing", &e))?;
        let (links, (up, mtu)) = (Links::open()?, self.before);
        links.set_mtu(&self.interface, mtu)?;
        if !up {
            links.set_down(&self.interface)?;
        }
        Ok(())
    }
}

fn refused(what: &str, error: &io::Error) -> Obstacle {
    Obstacle::new(match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => {
            format!("can't be given {what}: no CAP_BPF, CAP_NET_ADMIN and CAP_NET_RAW (run as root)")
        }
        _ => format!("can't be given {what}: {error}"),
    })
}

/// A number that a program of the host won't use as a priority by chance.
fn magic() -> u32 {
    let [a, b, c, d, ..] = Cookie::random().bytes();
    u32::from_ne_bytes([a, b, c, d]) & 0x3fff_fff8 | 0x4000_0000
}

/// Sorts a frame into the queue of its priority, and wakes the port if that queue is armed.
fn program(wake: &Wake, spec: &SteerSpec, magic: u32) -> Vec<Instruction> {
    use Register::{R0, R1, R2, R3, R4, R6, R7, R8, R10};
    let mut a = Assembler::new();
    let [ordinary, sorted, done] = std::array::from_fn(|_| a.label());
    a.alu(Alu::Move, R6, R1);
    a.load(Width::Word, R7, R6, PRIORITY);
    a.alu(Alu::Move, R2, R7);
    a.alu_number(Alu::ShiftRight, R2, 3);
    a.jump_number(Jump::NotEqual, R2, (magic >> 3) as i32, ordinary);
    a.jump_always(sorted);
    a.place(ordinary);
    a.call_function();
    a.alu(Alu::Move, R7, R0);
    a.place(sorted);
    a.alu_number(Alu::And, R7, 7);
    // The kernel keeps the queue plus one, where 0 is none.
    a.alu(Alu::Move, R1, R7);
    a.alu_number(Alu::Add, R1, 1);
    a.store(Width::Word, R6, QUEUE_MAPPING, R1);
    a.load_map_value(R8, wake.armed_map.as_fd());
    a.alu(Alu::Move, R1, R7);
    a.alu_number(Alu::ShiftLeft, R1, 3);
    a.alu(Alu::Add, R8, R1);
    a.load(Width::Double, R1, R8, 0);
    a.jump_number(Jump::Equal, R1, 0, done);
    a.alu_number(Alu::Move, R1, 0);
    a.store(Width::Double, R8, 0, R1);
    a.store(Width::Double, R10, -8, R7);
    a.load_map(R1, wake.ring_map.as_fd());
    a.alu(Alu::Move, R2, R10);
    a.alu_number(Alu::Add, R2, -8);
    a.alu_number(Alu::Move, R3, 8);
    a.alu_number(Alu::Move, R4, FORCE_WAKEUP);
    a.call(Helper::RingOutput);
    a.place(done);
    a.alu_number(Alu::Move, R0, NEXT);
    a.exit();
    a.finish_with(compile(spec).instructions())
}

/// What the egress program wakes the port by.
#[derive(Debug)]
pub struct Wake {
    armed_map: Map,
    ring_map: Map,
    /// A flag for each queue: 1, its first frame wakes the port and takes the flag back.
    armed: Shared,
    /// How far the ring was read.
    consumed: Shared,
    /// How far it was written.
    produced: Shared,
}

impl Wake {
    fn new() -> io::Result<Wake> {
        let armed_map = Map::new(MapKind::Value(FLAGS))?;
        let ring_map = Map::new(MapKind::Ring(RING))?;
        let page = RING as usize;
        Ok(Wake {
            armed: Shared::map(armed_map.as_fd(), 0, page, true)?,
            consumed: Shared::map(ring_map.as_fd(), 0, page, true)?,
            produced: Shared::map(ring_map.as_fd(), page, page, false)?,
            armed_map,
            ring_map,
        })
    }

    fn flag(&self, queue: u8) -> &AtomicU64 {
        self.armed.number(usize::from(queue & 7))
    }

    /// From now on the first frame towards a queue wakes the port.
    pub fn arm(&self, queue: u8) {
        // Before whatever is read of the queue afterwards.
        self.flag(queue).store(1, Ordering::SeqCst);
        std::sync::atomic::fence(Ordering::SeqCst);
    }

    /// Takes that back.
    pub fn disarm(&self, queue: u8) {
        self.flag(queue).store(0, Ordering::Relaxed);
    }

    /// Whether a queue is still armed: no frame came since.
    pub fn is_armed(&self, queue: u8) -> bool {
        self.flag(queue).load(Ordering::Acquire) != 0
    }

    /// Has heard all wakes so far.
    pub fn hear(&self) {
        let produced = self.produced.number(0).load(Ordering::Acquire);
        self.consumed.number(0).store(produced, Ordering::Release);
    }
}

impl AsFd for Wake {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.ring_map.as_fd()
    }
}

impl AsRawFd for Wake {
    fn as_raw_fd(&self) -> RawFd {
        self.ring_map.as_fd().as_raw_fd()
    }
}
