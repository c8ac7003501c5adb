//! Loads for a switch with many ports, VLANs, addresses and policies: what a frame costs as they grow.
//!
//! Stations are spread evenly over ports and VLANs, and each frame goes from one drawn at random to another of its VLAN,
//! so that every table is hit all over.
//!
//! What must not enter: measuring (the benchmark does that).

use std::fmt::Write as _;
use std::sync::Arc;

use dcbridge::arena::Arena;
use dcbridge::port::{TxBatch, TxOutcome, VnetHeader};
use dcbridge::sim::frames::Spec;
use dcbridge::switch::{Attachment, Setting, Switch};
use dcbridge_scheduler::{PortId, Time};

use crate::virtual_time::{config, ets_classes};

/// Time between two frames: lines without a rate are always free, and nothing ages.
const PACE: Time = Time::from_nanos(100);
/// Where the destination port of a tagged UDP frame is.
const UDP_PORT: usize = 14 + 4 + 20 + 2;
/// Where the VLAN is.
const TCI: usize = 14;

/// How large a switch is.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// Ports, at least 2.
    pub ports: u16,
    /// Tagged VLANs that every port carries, at most 4093.
    pub vlans: u16,
    /// Learned addresses, a multiple of `ports`.
    pub addresses: u32,
    /// Policies, of common kinds.
    pub policies: u16,
}

impl Extent {
    /// What the others are while one grows.
    pub const SMALL: Extent = Extent { ports: 4, vlans: 1, addresses: 16, policies: 0 };

    /// The configuration of such a switch with this buffer.
    pub fn config(&self, buffer: &str) -> String {
        let mut text = format!(
            "[bridge]\nloop_detection = false\nflood_rate = \"unlimited\"\nbuffer = \"{buffer}\"\n{}\n\
             [defaults]\ntrust = [\"pcp\"]\nline_rate = \"unlimited\"\n",
            ets_classes(&[30, 20, 15, 10, 10, 5, 5, 5])
        );
        for n in 0..self.policies {
            let (high, low) = (n / 256, n % 256);
            let condition = match n % 4 {
                0 => format!("udp_port = {}", 1000 + n),
                1 => format!("dst_ip = \"10.{high}.{low}.0/24\""),
                2 => format!("src_mac = \"06:00:00:01:{high:02x}:{low:02x}\""),
                _ => format!("vlan = {}, dscp = 10", n + 1),
            };
            let _ = writeln!(
                text,
                "[[policy]]\nname = \"p{n}\"\nmatch = {{ {condition} }}\npriority = {}",
                n % 8
            );
        }
        for n in 0..self.ports {
            // VLAN 1 is the ports' own, of frames without a tag.
            let _ = writeln!(
                text,
                "[[port]]\nname = \"p{n}\"\nvlan = {{ tagged = [\"2-{}\"] }}",
                self.vlans.max(2) + 1
            );
        }
        text
    }
}

/// Such a switch, and stations that send.
pub struct WideLoad {
    extent: Extent,
    switch: Switch,
    arena: Arena,
    frame: Vec<u8>,
    now: Time,
    state: u64,
    descs: TxBatch,
}

impl WideLoad {
    /// A switch of this extent that has learned all its addresses.
    ///
    /// # Panics
    /// When it has not: then it would be measured how it floods.
    pub fn new(extent: Extent, buffer: &str) -> WideLoad {
        let config = Arc::new(config(&extent.config(buffer)));
        let mut arena = Arena::new(config.bridge.buffer_bytes);
        let mut switch = Switch::new(&config, &arena, Setting { seed: 1, identity: 1, burst: Time::ZERO });
        for port in switch.ports() {
            switch.attach(port, Attachment::plain(true));
            switch.set_link(port, true, &mut arena, Time::ZERO);
        }
        let frame = Spec { tag: Some((2, 0)), len: 60, ..Spec::default() }.udp(1).bytes;
        let descs = TxBatch::with_capacity(8);
        let mut load = WideLoad { extent, switch, arena, frame, now: Time::ZERO, state: 1, descs };
        for station in 0..extent.addresses {
            // To itself: learned, and flooded nowhere.
            load.receive(station, station);
        }
        assert_eq!(load.switch.fdb().len(), extent.addresses as usize, "{extent:?}");
        load
    }

    /// The switch, to look at.
    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    fn draw(&mut self, below: u32) -> u32 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (((self.state >> 32) * u64::from(below)) >> 32) as u32
    }

    /// The port of a station: those with numbers in a row are at different ones and, `ports` at a time, in one VLAN.
    fn port_of(&self, station: u32) -> PortId {
        PortId((station % u32::from(self.extent.ports)) as u16)
    }

    /// A frame comes from one station to another.
    fn receive(&mut self, from: u32, to: u32) {
        let row = from / u32::from(self.extent.ports);
        let vid = 2 + (row % u32::from(self.extent.vlans)) as u16;
        let pcp = (self.state as u16 & 7) << 13;
        let udp_port = 1000 + self.draw(1000) as u16;
        self.frame[2..6].copy_from_slice(&to.to_be_bytes());
        self.frame[8..12].copy_from_slice(&from.to_be_bytes());
        self.frame[TCI..TCI + 2].copy_from_slice(&(pcp | vid).to_be_bytes());
        self.frame[UDP_PORT..UDP_PORT + 2].copy_from_slice(&udp_port.to_be_bytes());
        let id = self.arena.insert(&self.frame, VnetHeader::default()).expect("memory");
        self.switch.rx(self.port_of(from), 0, id, &mut self.arena, self.now);
    }

    /// A port sends; false: it has nothing.
    fn send(&mut self, port: PortId) -> bool {
        self.descs.clear();
        let Some(grant) = self.switch.poll(port, &mut self.arena, self.now, &mut self.descs) else {
            return false;
        };
        self.switch.settle(port, &grant, TxOutcome::Sent, &mut self.arena);
        true
    }

    fn pair(&mut self) -> (u32, u32) {
        self.now = self.now + PACE;
        let ports = u32::from(self.extent.ports);
        let from = self.draw(self.extent.addresses);
        let row = from - from % ports;
        (from, row + (from % ports + 1 + self.draw(ports - 1)) % ports)
    }

    /// One frame: in, through, out. Making it and copying it into memory is part of it.
    ///
    /// # Panics
    /// When it does not come out where it should.
    pub fn step(&mut self) {
        let (from, to) = self.pair();
        self.receive(from, to);
        assert!(self.send(self.port_of(to)), "a frame to a known station leaves at once");
    }

    /// Queues frames until the buffer takes no more, and lets all of them leave: what memory a switch has touched then.
    pub fn fill(&mut self) {
        let mut dropped = 0;
        while dropped < 1000 {
            let (from, to) = self.pair();
            let queued = self.arena.in_use();
            self.receive(from, to);
            dropped += u32::from(self.arena.in_use() == queued);
        }
        for port in 0..self.extent.ports {
            while self.send(PortId(port)) {}
        }
    }
}
