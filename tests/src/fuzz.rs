//! Bad frames and a restless world: a generator of whatever may arrive, and a switch that must survive it.
//!
//! Everything is drawn from one seed, so a failure is repeated by its seed. Between frames links flap, priorities are
//! paused, devices are replaced by such without offload, time passes. Each piece that leaves is looked at; the books are
//! added up now and then; at the end nothing may be left in memory.

use std::sync::Arc;

use dcbridge::arena::{Arena, MAX_FRAME};
use dcbridge::port::{MAX_HEAD, TxBatch, TxDesc, TxOutcome, VnetHeader};
use dcbridge::switch::classify::{Application, Selector};
use dcbridge::switch::operation::{Classes, Operation};
use dcbridge::switch::{Attachment, Setting, Switch};
use dcbridge_scheduler::{Grant, PortId, Priority, Time, Tsa};

use crate::virtual_time::{assert_balanced, config};

/// A small generator of numbers (splitmix64): even, quick, and the same everywhere.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Draws from a seed.
    pub const fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// Any number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: u64) -> u64 {
        ((u128::from(self.any()) * u128::from(n)) >> 64) as u64
    }

    /// Whether one in `n` comes true.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of several.
    pub fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }

    /// Any bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            let n = self.any().to_le_bytes();
            chunk.copy_from_slice(&n[..chunk.len()]);
        }
    }
}

/// The next frame: its bytes in `out`, and its offload header.
pub fn frame(random: &mut Random, out: &mut Vec<u8>) -> VnetHeader {
    out.clear();
    match random.below(16) {
        // Runts, down to nothing.
        0 => noise(random, 60, out),
        // Nothing but noise, of any length.
        1 => noise(random, 2_000, out),
        2 if random.one_in(40) => noise(random, MAX_FRAME as u64 + 1, out),
        _ => {
            plausible(random, out);
            if random.one_in(6) {
                // Cut off somewhere, most often in the headers.
                let len = if random.one_in(2) { 64 } else { out.len() as u64 };
                out.truncate(random.below(len + 1) as usize);
            }
            for _ in 0..random.one_of(&[0, 0, 0, 1, 4]) {
                if !out.is_empty() {
                    let at = random.below(out.len().min(120) as u64) as usize;
                    out[at] = random.any() as u8;
                }
            }
        }
    }
    vnet(random, out)
}

fn noise(random: &mut Random, below: u64, out: &mut Vec<u8>) {
    out.resize(random.below(below) as usize, 0);
    random.fill(out);
}

fn address(random: &mut Random) -> [u8; 6] {
    match random.below(20) {
        0 => [0xFF; 6],
        1 => [0; 6],
        2 => [0x01, 0x80, 0xC2, 0, 0, random.below(0x12) as u8],
        3 => [0x03, 0x00, 0x00, 0xDC, 0xB0, 0x01],
        4 => [0x01, 0x00, 0x5E, 1, 2, random.any() as u8],
        5 => [0x02, 1, random.any() as u8, random.any() as u8, random.any() as u8, 0],
        _ => [0x02, 0, 0, 0, 0, random.below(12) as u8],
    }
}

/// A frame that begins like one: addresses, up to four tags, a network and a transport header, a payload.
fn plausible(random: &mut Random, out: &mut Vec<u8>) {
    out.extend(address(random));
    out.extend(address(random));
    for _ in 0..random.one_of(&[0u8, 0, 0, 1, 1, 2, 3, 4]) {
        out.extend(random.one_of(&[0x8100u16, 0x8100, 0x88A8, 0x9100]).to_be_bytes());
        let odd = random.below(4096) as u16;
        let vid = random.one_of(&[0, 1, 10, 20, 4095, odd]);
        out.extend(((random.any() as u16 & 0xF000) | vid).to_be_bytes());
    }
    let payload = match random.below(24) {
        0 => random.below(65_000),
        1..4 => random.below(9_300),
        _ => random.below(1_600),
    } as usize;
    match random.below(10) {
        0 => out.extend(random.one_of(&[0x8808u16, 0x88CC, 0x88B6, 0x0806, 0x8906, 0x0000]).to_be_bytes()),
        1 => out.extend((random.any() as u16).to_be_bytes()),
        2..5 => ipv6(random, payload, out),
        _ => ipv4(random, payload, out),
    }
    let len = out.len();
    out.resize(len + payload, 0);
    let headers = out.len().min(len + 64);
    random.fill(&mut out[len..headers]);
}

const PROTOCOLS: [u8; 8] = [6, 6, 6, 17, 17, 17, 1, 132];

fn ipv4(random: &mut Random, payload: usize, out: &mut Vec<u8>) {
    let protocol = random.one_of(&PROTOCOLS);
    let options = if random.one_in(8) { random.below(11) as usize } else { 0 };
    let transport = transport_len(protocol);
    out.extend(0x0800u16.to_be_bytes());
    let at = out.len();
    out.resize(at + 20 + 4 * options, 0);
    out[at] = 0x40 | (5 + options) as u8;
    out[at + 1] = random.any() as u8;
    let total = (20 + 4 * options + transport + payload) as u16;
    out[at + 2..at + 4].copy_from_slice(&total.to_be_bytes());
    if random.one_in(10) {
        out[at + 6] = random.any() as u8;
    }
    out[at + 8] = 64;
    out[at + 9] = protocol;
    out[at + 12..at + 20].copy_from_slice(&[10, 0, 0, random.any() as u8, 10, 0, 0, 2]);
    transport_header(random, protocol, payload, out);
}

fn ipv6(random: &mut Random, payload: usize, out: &mut Vec<u8>) {
    let protocol = random.one_of(&PROTOCOLS);
    let extension = random.one_in(6).then(|| random.one_of(&[0u8, 43, 44, 60, 51]));
    out.extend(0x86DDu16.to_be_bytes());
    let at = out.len();
    out.resize(at + 40, 0);
    out[at] = 0x60 | random.any() as u8 & 0x0F;
    out[at + 1] = random.any() as u8 & 0xF0;
    let len = payload + transport_len(protocol) + if extension.is_some() { 8 } else { 0 };
    out[at + 4..at + 6].copy_from_slice(&(len as u16).to_be_bytes());
    out[at + 6] = extension.unwrap_or(protocol);
    out[at + 7] = 64;
    random.fill(&mut out[at + 8..at + 40]);
    if extension.is_some() {
        let length = if random.one_in(4) { random.any() as u8 } else { 0 };
        out.extend([protocol, length, 0, 0, 0, 0, 0, 0]);
    }
    transport_header(random, protocol, payload, out);
}

const fn transport_len(protocol: u8) -> usize {
    match protocol {
        6 => 20,
        17 => 8,
        _ => 0,
    }
}

fn transport_header(random: &mut Random, protocol: u8, payload: usize, out: &mut Vec<u8>) {
    let at = out.len();
    out.resize(at + transport_len(protocol), 0);
    if protocol == 6 {
        random.fill(&mut out[at..at + 12]);
        let words = if random.one_in(8) { random.below(16) as u8 } else { 5 };
        out[at + 12] = words << 4;
        out[at + 13] = random.any() as u8;
    } else if protocol == 17 {
        random.fill(&mut out[at..at + 4]);
        out[at + 4..at + 6].copy_from_slice(&((payload + 8) as u16).to_be_bytes());
    }
}

/// An offload header: mostly none, often one that fits, sometimes a lie.
fn vnet(random: &mut Random, bytes: &[u8]) -> VnetHeader {
    match random.below(10) {
        0..4 => VnetHeader::default(),
        4..8 => fitting(random, bytes),
        8 => {
            let mut header = fitting(random, bytes);
            match random.below(6) {
                0 => header.flags = random.any() as u8,
                1 => header.gso_type = random.one_of(&[0, 1, 3, 4, 5, 0x81, 0xFF]),
                2 => header.gso_size = random.one_of(&[0, 1, 8, 1448, 65_535]),
                3 => header.csum_start = random.any() as u16,
                4 => header.csum_offset = random.one_of(&[0, 6, 16, 65_535]),
                _ => header.hdr_len = random.any() as u16,
            }
            header
        }
        _ => {
            let mut wire = [0; dcbridge::port::VNET_HEADER_LEN];
            random.fill(&mut wire);
            VnetHeader::from_bytes(&wire)
        }
    }
}

/// What an honest sender would say of a TCP or UDP frame, be it one.
fn fitting(random: &mut Random, bytes: &[u8]) -> VnetHeader {
    let mut at = 12;
    let word = |at: usize| bytes.get(at..at + 2).map_or(0, |b| u16::from_be_bytes([b[0], b[1]]));
    while matches!(word(at), 0x8100 | 0x88A8 | 0x9100) {
        at += 4;
    }
    let byte = |at: usize| usize::from(bytes.get(at).copied().unwrap_or(0));
    let (l4, protocol, v6) = match word(at) {
        0x0800 => (at + 2 + (byte(at + 2) & 15) * 4, byte(at + 11), false),
        0x86DD => (at + 42, byte(at + 8), true),
        _ => return VnetHeader::default(),
    };
    let (gso_type, csum_offset, headers) = match (protocol, v6) {
        (6, false) => (1, 16, l4 + (byte(l4 + 12) >> 4) * 4),
        (6, true) => (4, 16, l4 + (byte(l4 + 12) >> 4) * 4),
        (17, _) => (5, 6, l4 + 8),
        _ => return VnetHeader::default(),
    };
    let superframe = bytes.len() > 1514 || random.one_in(3);
    VnetHeader {
        flags: 1,
        gso_type: if superframe { gso_type } else { 0 },
        hdr_len: headers as u16,
        gso_size: if superframe { random.one_of(&[1448, 1448, 536, 100, 8948]) } else { 0 },
        csum_start: l4 as u16,
        csum_offset,
    }
}

const PORTS: u16 = 6;

/// Everything that can be configured of ports is at some port.
const CONFIG: &str = r#"
    [bridge]
    buffer = "4MB"
    ageing = 10
    fdb_limit = 100
    flood_rate = "5Gbit"
    [map]
    rewrite_pcp = { 5 = 1, 0 = 2 }
    rewrite_dscp = { 5 = 10, 3 = 26 }
    [defaults]
    trust = ["pcp", "dscp"]
    mtu = 9000
    [[traffic_class]]
    name = "storage"
    priorities = [3]
    bandwidth = 50
    lossless = true
    [[traffic_class]]
    name = "first"
    priorities = [7]
    tsa = "strict"
    max_rate = "500Mbit"
    [[traffic_class]]
    name = "assured"
    priorities = [1, 2]
    bandwidth = 20
    min_rate = "50Mbit"
    max_rate = "800Mbit"
    [[traffic_class]]
    name = "rest"
    priorities = "rest"
    bandwidth = 30
    queue_limit = "300KB"
    [[policy]]
    name = "storage"
    match = [{ iscsi = true }, { smb = true }, { rocev2 = true }]
    priority = 3
    [[policy]]
    name = "net"
    match = { src_ip = "10.0.0.0/25", dst_port = "1-9999" }
    priority = 5
    [[port]]
    name = "p0"
    [[port]]
    name = "p1"
    line_rate = "1Gbit"
    rewrite = ["pcp", "dscp"]
    [[port]]
    name = "access"
    line_rate = "2500Mbit"
    vlan = { pvid = 10 }
    mtu = 1500
    [[port]]
    name = "trunk"
    vlan = { tagged = ["10-20", 1], drop_untagged = true }
    rewrite = ["dscp"]
    [[port]]
    name = "hybrid"
    line_rate = "100Mbit"
    vlan = { pvid = 1, untagged = [10], tagged = [20] }
    isolated = true
    [[port]]
    name = "isolated"
    isolated = true
    line_rate = "10Gbit"
    fdb_limit = 5
    trust = []
    default_priority = 4
    [[fdb]]
    mac = "02:00:00:00:00:02"
    vlan = 1
    port = "p1"
"#;

/// What a run has seen, so that a test can tell that it was no walk in the park.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// Frames offered.
    pub offered: u64,
    /// Superframes that were taken for such.
    pub superframes: u64,
    /// Pieces that left.
    pub pieces: u64,
    /// Pieces with a head of their own.
    pub rewritten: u64,
    /// Drops by the books, in frames.
    pub dropped: u64,
    /// Most frames queued when the books were added up.
    pub queued: u64,
}

struct World {
    random: Random,
    switch: Switch,
    arena: Arena,
    now: Time,
    offload: [bool; PORTS as usize],
    descs: TxBatch,
    in_flight: Vec<(PortId, Grant)>,
    seen: Seen,
}

/// Sends `frames` frames drawn from `seed` through a switch.
///
/// # Panics
/// When something is wrong: this is what it is for.
pub fn run(seed: u64, frames: u64) -> Seen {
    let config = Arc::new(config(CONFIG));
    let mut arena = Arena::new(config.bridge.buffer_bytes);
    let mut switch =
        Switch::new(&config, &arena, Setting { seed, identity: seed, burst: Time::from_millis(5) });
    for port in switch.ports() {
        switch.attach(port, Attachment::plain(true));
        switch.set_link(port, true, &mut arena, Time::ZERO);
    }
    let mut world = World {
        random: Random::new(seed),
        switch,
        arena,
        now: Time::ZERO,
        offload: [true; PORTS as usize],
        descs: TxBatch::default(),
        in_flight: Vec::new(),
        seen: Seen::default(),
    };
    let mut bytes = Vec::with_capacity(MAX_FRAME);
    for n in 0..frames {
        world.receive(&mut bytes);
        world.pass_time();
        if world.random.one_in(50) {
            world.meddle();
        }
        world.send();
        if n % 5_000 == 0 {
            world.add_up();
        }
    }
    world.end()
}

impl World {
    fn port(&mut self) -> PortId {
        PortId(self.random.below(u64::from(PORTS)) as u16)
    }

    fn receive(&mut self, bytes: &mut Vec<u8>) {
        let port = self.port();
        let vnet = frame(&mut self.random, bytes);
        self.seen.offered += 1;
        self.seen.superframes += u64::from(vnet.gso_type != 0);
        // As a device hands it over.
        let vnet = VnetHeader::from_bytes(&vnet.to_bytes());
        match self.arena.insert(bytes, vnet) {
            Some(id) => self.switch.rx(port, 0, id, &mut self.arena, self.now),
            None => self.switch.rx_lost(port, 1),
        }
    }

    fn pass_time(&mut self) {
        let nanoseconds = match self.random.below(1000) {
            0 => 50_000_000,
            1..20 => 200_000,
            _ => 2_000,
        };
        self.now = self.now + Time::from_nanos(self.random.below(nanoseconds));
        if self.switch.next_tick().is_some_and(|t| t <= self.now) || self.random.one_in(500) {
            self.switch.tick(&mut self.arena, self.now);
            let _ = self.switch.findings().count();
        }
    }

    /// Links, pauses, devices, what DCBX settles.
    fn meddle(&mut self) {
        let port = self.port();
        match self.random.below(10) {
            0..5 => {
                let priority = Priority::new(self.random.any() as u8);
                let paused = self.random.one_in(2);
                let until = if paused { Time::NEVER } else { Time::ZERO };
                self.switch.pause(port, priority, until, self.now);
            }
            5 => {
                let up = !self.random.one_in(3);
                self.switch.set_link(port, up, &mut self.arena, self.now);
            }
            6 => {
                // As the worker does: all that the old device was given is settled before there is a new one.
                self.settle_all();
                let offload = self.random.one_in(2);
                self.offload[port.index()] = offload;
                self.switch.attach(port, Attachment::plain(offload));
            }
            7 => self.switch.flush(port, &mut self.arena),
            _ => {
                let operation = self.operation();
                self.switch.operate(port, operation, self.now);
                // The agents' side takes what it was handed.
                while self.switch.heard().is_some() {}
            }
        }
    }

    /// Anything that DCBX could settle, nothing included.
    fn operation(&mut self) -> Operation {
        let random = &mut self.random;
        let classes = random.one_in(2).then(|| Classes {
            class_of: std::array::from_fn(|_| random.below(8) as u8),
            tsa: std::array::from_fn(|_| match random.below(4) {
                0 => Tsa::Strict,
                _ => Tsa::Ets { weight: random.below(101) as u8 },
            }),
        });
        let pfc = random.one_in(2).then(|| random.any() as u8);
        let applications = (0..random.below(4)).map(|_| {
            let number = random.any() as u16;
            let selector = match random.below(6) {
                5 => Selector::Default,
                4 => Selector::AnyPort(number),
                0 => Selector::Ethertype(number),
                1 => Selector::Stream(number),
                2 => Selector::Dscp(number as u8 & 63),
                _ => Selector::Datagram(number),
            };
            Application { selector, priority: Priority::new(random.any() as u8) }
        });
        Operation { classes, pfc, applications: applications.collect() }
    }

    fn send(&mut self) {
        let port = self.port();
        for _ in 0..self.random.below(6) {
            self.descs.clear();
            let Some(grant) = self.switch.poll(port, &mut self.arena, self.now, &mut self.descs) else {
                break;
            };
            self.look_at(port, &grant);
            self.in_flight.push((port, grant));
        }
        if self.in_flight.len() > 40 || self.random.one_in(4) {
            self.settle_all();
        }
    }

    /// Whatever leaves is a frame, within its memory, and of a kind that its port takes.
    fn look_at(&mut self, port: PortId, grant: &Grant) {
        assert_eq!(self.descs.len(), 1, "one piece for one grant");
        let desc = &self.descs[0];
        assert!(usize::from(desc.head_len) <= MAX_HEAD);
        let whole = self.arena.bytes(desc.body).len();
        let end = desc.off as usize + desc.len as usize;
        assert!(end <= whole, "a piece of {desc:?} beyond its frame of {whole} bytes");
        let (head, body) = (desc.head(), desc.body(&self.arena));
        let len = head.len() + body.len();
        assert!(len >= 14, "a runt leaves: {desc:?}");
        let first: Vec<u8> = head.iter().chain(body).take(14).copied().collect();
        assert!(first[..5] != [0x01, 0x80, 0xC2, 0, 0] || first[5] > 0x0F, "a reserved address leaves");
        assert!(first[6] & 1 == 0, "a frame from a group leaves");
        let frames = u32::from(grant.to - grant.from);
        assert!(frames >= 1 && (desc.vnet.gso_type != 0 || frames == 1), "{grant:?} {desc:?}");
        if !self.offload[port.index()] {
            assert_eq!(desc.vnet, VnetHeader::default(), "a port without offload");
        }
        if desc.vnet.gso_type == 0 {
            assert_eq!(grant.bytes as usize, len, "what is charged is what leaves");
        } else {
            let headers = segment_headers(desc, &self.arena);
            let segments = len - headers + headers * frames as usize;
            assert_eq!(grant.bytes as usize, segments, "each segment repeats the headers: {desc:?}");
        }
        self.seen.pieces += 1;
        self.seen.rewritten += u64::from(desc.head_len > 0);
    }

    fn settle_all(&mut self) {
        for (port, grant) in self.in_flight.drain(..) {
            let outcome = if self.random.one_in(100) { TxOutcome::Refused } else { TxOutcome::Sent };
            self.switch.settle(port, &grant, outcome, &mut self.arena);
        }
    }

    fn add_up(&mut self) {
        let snapshot = self.switch.snapshot(self.now);
        assert_balanced(&snapshot);
        let queued = snapshot.ports.iter().map(|p| p.queued.frames).sum();
        self.seen.queued = self.seen.queued.max(queued);
        assert!(snapshot.buffer.used_bytes <= snapshot.buffer.size_bytes);
        assert_eq!(snapshot.buffer.used_bytes == 0, self.arena.in_use() == 0, "buffer and memory agree");
        assert!(snapshot.fdb.entries <= 101);
    }

    fn end(mut self) -> Seen {
        self.settle_all();
        for port in self.switch.ports() {
            self.switch.flush(port, &mut self.arena);
        }
        self.add_up();
        assert_eq!(self.arena.in_use(), 0, "memory of frames is lost");
        let snapshot = self.switch.snapshot(self.now);
        assert_eq!(snapshot.buffer.used_bytes, 0, "buffer accounts are not back at zero");
        for port in &snapshot.ports {
            assert_eq!(port.queued.frames + port.queued.bytes + port.queued.units, 0);
            assert!(port.priorities.iter().all(|p| p.occupied_bytes == 0));
        }
        let drops = |p: &dcbridge::state::Port| {
            p.rx_drops.iter().chain(&p.tx_drops).map(|d| d.count.frames).sum::<u64>()
        };
        self.seen.dropped = snapshot.ports.iter().map(drops).sum();
        self.seen
    }
}

/// Bytes of headers that each segment of a superframe repeats.
fn segment_headers(desc: &TxDesc, arena: &Arena) -> usize {
    let l4 = usize::from(desc.vnet.csum_start);
    if desc.vnet.gso_type & 0x7F == 5 {
        return l4 + 8;
    }
    let bytes: Vec<u8> = desc.head().iter().chain(desc.body(arena)).copied().collect();
    let words =
        bytes.get(l4 + 12).unwrap_or_else(|| panic!("a whole TCP header: {desc:?} {bytes:02x?}")) >> 4;
    l4 + 4 * usize::from(words)
}
