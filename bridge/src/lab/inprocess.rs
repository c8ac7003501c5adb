//! Hosts inside this process: smoltcp's IP stack on memory ports, for machines that allow neither namespaces nor TAPs.
//!
//! The stack speaks IP; Ethernet headers and the DSCP are put on by the host's network card (`Card`), which knows all
//! neighbours. So nobody asks for addresses while the link is full, and flows can be marked, which smoltcp itself does
//! not do.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{self, Checksum, Device, DeviceCapabilities, Medium};
use smoltcp::socket::udp;
use smoltcp::wire::{
    EthernetAddress, EthernetFrame, EthernetProtocol, HardwareAddress, IpAddress, IpCidr, IpEndpoint,
    Ipv4Packet, UdpPacket,
};

use super::frames::{MTU, Sizes, payload_of, wire_bytes};
use super::generator::{Collect, Counters, Emit, Sent};
use super::hosts::Address;
use super::traffic::SendSpec;
use crate::net::Error;
use crate::port::memory::{MemoryOptions, MemoryPeer, MemoryPort, pair};

const ETHERNET: usize = 14;
/// Frames that the link between a host and the switch holds in each direction: some 50 ms of a fast link.
const LINK_FRAMES: usize = 4096;
/// Frames that are sent in one go.
const BURST: usize = 32;
/// Frames that are received before sockets are emptied.
const INTAKE: usize = 64;

/// A host's network card.
struct Card {
    peer: MemoryPeer,
    me: Address,
    neighbours: HashMap<Ipv4Addr, [u8; 6]>,
    /// DSCP by UDP destination port.
    marks: HashMap<u16, u8>,
}

impl Card {
    /// Puts the Ethernet header in front of the packet and marks it.
    fn finish(&self, frame: &mut [u8]) {
        let mut packet = Ipv4Packet::new_unchecked(&mut frame[ETHERNET..]);
        let to = packet.dst_addr();
        let port = UdpPacket::new_unchecked(packet.payload_mut()).dst_port();
        packet.set_dscp(self.marks.get(&port).copied().unwrap_or(0));
        packet.fill_checksum();
        let mut ethernet = EthernetFrame::new_unchecked(frame);
        ethernet.set_src_addr(EthernetAddress(self.me.mac));
        ethernet.set_dst_addr(EthernetAddress(self.neighbours.get(&to).copied().unwrap_or([0xff; 6])));
        ethernet.set_ethertype(EthernetProtocol::Ipv4);
    }
}

struct Received(Vec<u8>);

impl phy::RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        f(&self.0[ETHERNET..])
    }
}

struct Room<'a>(&'a Card);

impl phy::TxToken for Room<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let mut frame = vec![0; ETHERNET + len];
        let result = f(&mut frame[ETHERNET..]);
        self.0.finish(&mut frame);
        // There was room, and only this end fills it.
        let _ = self.0.peer.send(&frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Received;
    type TxToken<'a> = Room<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(Received, Room<'_>)> {
        loop {
            let frame = self.peer.take()?.bytes;
            let is_ip = EthernetFrame::new_checked(frame.as_slice())
                .is_ok_and(|f| f.ethertype() == EthernetProtocol::Ipv4);
            if is_ip {
                return Some((Received(frame), Room(self)));
            }
        }
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Room<'_>> {
        (self.peer.room() > 0).then_some(Room(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ip;
        capabilities.max_transmission_unit = usize::from(MTU);
        // Memory does not corrupt frames; UDP over IPv4 may go without.
        capabilities.checksum.udp = Checksum::None;
        capabilities
    }
}

/// A host on a stack of its own.
struct Stack {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    epoch: Instant,
}

impl Stack {
    fn now(&self) -> smoltcp::time::Instant {
        smoltcp::time::Instant::from_micros(self.epoch.elapsed().as_micros() as i64)
    }

    fn open(&mut self, port: u16, packets: usize) -> io::Result<SocketHandle> {
        let buffer = || {
            let metadata = vec![udp::PacketMetadata::EMPTY; packets];
            udp::PacketBuffer::new(metadata, vec![0; packets * usize::from(MTU)])
        };
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(port).map_err(|e| io::Error::other(e.to_string()))?;
        Ok(self.sockets.add(socket))
    }

    /// Everything that waits in sockets goes to the card.
    fn flush(&mut self) {
        let now = self.now();
        while self.interface.poll_egress(now, &mut self.card, &mut self.sockets)
            == smoltcp::iface::PollResult::SocketStateChanged
        {}
    }
}

/// A host inside this process.
#[derive(Clone)]
pub struct StackHost {
    name: String,
    address: Address,
    stack: Arc<Mutex<Stack>>,
}

impl StackHost {
    /// A new host and the switch's end of its link. It knows all of `neighbours`.
    ///
    /// # Errors
    /// When the process has no descriptor left.
    pub fn new(name: &str, number: u8, neighbours: &[Address]) -> Result<(StackHost, MemoryPort), Error> {
        let options = MemoryOptions { capacity: LINK_FRAMES, offload: false, mtu: MTU };
        let failed = |e: io::Error| Error::new(format!("host {name} can't be made"), e);
        let (port, peer) = pair(options).map_err(failed)?;
        let me = Address::of(number);
        let neighbours = neighbours.iter().map(|n| (n.ip, n.mac)).collect();
        let mut card = Card { peer, me, neighbours, marks: HashMap::new() };
        let config = Config::new(HardwareAddress::Ip);
        let mut interface = Interface::new(config, &mut card, smoltcp::time::Instant::ZERO);
        let mut full = false;
        interface.update_ip_addrs(|all| full = all.push(IpCidr::new(IpAddress::Ipv4(me.ip), 24)).is_err());
        if full {
            return Err(failed(io::Error::other("no room for its address")));
        }
        let stack = Stack { card, interface, sockets: SocketSet::new(Vec::new()), epoch: Instant::now() };
        let stack = Arc::new(Mutex::new(stack));
        Ok((StackHost { name: name.to_owned(), address: me, stack }, port))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    pub const fn address(&self) -> Address {
        self.address
    }

    fn lock(&self) -> MutexGuard<'_, Stack> {
        lock(&self.stack)
    }

    /// A sender of this host.
    ///
    /// # Errors
    /// When its port is taken.
    pub fn udp_sender(&self, spec: &SendSpec) -> Result<StackSender, Error> {
        let failed = |e| Error::new(format!("host {} can't send to {}", self.name, spec.to), e);
        let mut stack = self.lock();
        // Any local port will do; that of the sink is unique among the host's flows.
        let socket = stack.open(spec.to.port(), BURST).map_err(failed)?;
        stack.card.marks.insert(spec.to.port(), spec.dscp);
        let sizes = Sizes::new(spec.size, spec.seed);
        Ok(StackSender {
            stack: Arc::clone(&self.stack),
            socket,
            to: spec.to,
            sizes,
            payload: vec![0xdc; 9000],
        })
    }

    /// A sink of this host, and where it counts. Sinks are read by `collector`.
    ///
    /// # Errors
    /// When the port is taken.
    pub fn udp_sink(&self, port: u16) -> Result<StackSink, Error> {
        let failed = |e| Error::new(format!("host {} can't receive on UDP port {port}", self.name), e);
        let socket = self.lock().open(port, 2 * INTAKE).map_err(failed)?;
        Ok(StackSink { socket, counters: Arc::default() })
    }

    /// Reads these sinks of this host.
    pub fn collector(&self, sinks: Vec<StackSink>) -> StackSinks {
        StackSinks { stack: Arc::clone(&self.stack), sinks }
    }
}

/// A thread that panicked inside smoltcp leaves a stack that still can be read; what it lost shows in the counts.
fn lock(stack: &Mutex<Stack>) -> MutexGuard<'_, Stack> {
    stack.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Sends one flow.
pub struct StackSender {
    stack: Arc<Mutex<Stack>>,
    socket: SocketHandle,
    to: SocketAddrV4,
    sizes: Sizes,
    payload: Vec<u8>,
}

impl Emit for StackSender {
    fn least(&self) -> u64 {
        wire_bytes(payload_of(self.sizes.peek()))
    }

    fn most(&self) -> u64 {
        BURST as u64 * self.least()
    }

    fn emit(&mut self, budget: u64) -> io::Result<Option<Sent>> {
        let mut guard = lock(&self.stack);
        let stack = &mut *guard;
        // What does not fit into the link would wait in the socket and be sent unpaced: so it isn't begun.
        let room = stack.card.peer.room().min(BURST);
        let socket = stack.sockets.get_mut::<udp::Socket<'_>>(self.socket);
        let to = IpEndpoint::new(IpAddress::Ipv4(*self.to.ip()), self.to.port());
        let mut sent = Sent { frames: 0, wire_bytes: 0 };
        while sent.frames < room as u64 {
            let payload = payload_of(self.sizes.peek());
            let wire = wire_bytes(payload);
            let over_budget = sent.frames > 0 && sent.wire_bytes + wire > budget;
            if over_budget || socket.send_slice(&self.payload[..payload], to).is_err() {
                break;
            }
            sent.frames += 1;
            sent.wire_bytes += wire;
            self.sizes.advance();
        }
        stack.flush();
        Ok((sent.frames > 0).then_some(sent))
    }
}

/// Receives one flow.
pub struct StackSink {
    socket: SocketHandle,
    counters: Arc<Counters>,
}

impl StackSink {
    /// Where it counts.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }
}

/// Several sinks of one host, read by one thread.
pub struct StackSinks {
    stack: Arc<Mutex<Stack>>,
    sinks: Vec<StackSink>,
}

impl Collect for StackSinks {
    fn collect(&mut self) -> io::Result<bool> {
        use smoltcp::iface::PollIngressSingleResult as Ingress;
        let mut guard = lock(&self.stack);
        let stack = &mut *guard;
        let mut any = false;
        loop {
            let now = stack.now();
            let mut taken = 0;
            while taken < INTAKE
                && stack.interface.poll_ingress_single(now, &mut stack.card, &mut stack.sockets)
                    != Ingress::None
            {
                taken += 1;
            }
            any |= taken > 0;
            for sink in &self.sinks {
                let socket = stack.sockets.get_mut::<udp::Socket<'_>>(sink.socket);
                while let Ok((data, _)) = socket.recv() {
                    sink.counters.count(1, wire_bytes(data.len()));
                }
            }
            if taken < INTAKE {
                return Ok(any);
            }
        }
    }

    fn wait(&mut self, limit: Duration) {
        // Nobody else uses the receiving host's stack while its sinks are read.
        lock(&self.stack).card.peer.wait(limit);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arena::Arena;
    use crate::lab::frames::FrameSize;
    use crate::port::{MAX_HEAD, Port, TxDesc};

    /// Sends on one host, carries the frames over by hand, receives on the other.
    #[test]
    fn frames_are_marked_addressed_and_counted_alike_at_both_ends() {
        let all = [Address::of(1), Address::of(2)];
        let (a, mut port_a) = StackHost::new("a", 1, &all).unwrap();
        let (b, mut port_b) = StackHost::new("b", 2, &all).unwrap();
        let to = SocketAddrV4::new(b.address().ip, 20_001);
        for (n, size) in
            [FrameSize::Fixed(64), FrameSize::Fixed(9018), FrameSize::Mixed].into_iter().enumerate()
        {
            let to = SocketAddrV4::new(*to.ip(), to.port() + n as u16);
            let mut sender = a.udp_sender(&SendSpec { to, dscp: 40, size, seed: 3 }).unwrap();
            let sink = b.udp_sink(to.port()).unwrap();
            let counters = sink.counters();
            let mut sinks = b.collector(vec![sink]);
            let sent = sender.emit(60_000).unwrap().expect("an empty link takes frames");
            assert!(sent.frames >= 1 && sent.wire_bytes <= 60_000.max(sender.least()));

            let mut arena = Arena::new(1 << 20);
            let mut frames = Vec::new();
            port_a.rx(1, 1000, &mut arena, &mut frames);
            assert_eq!(frames.len() as u64, sent.frames);
            for frame in frames {
                let bytes = arena.bytes(frame.id);
                assert_eq!((&bytes[..6], &bytes[6..12]), (&all[1].mac[..], &all[0].mac[..]));
                let packet = Ipv4Packet::new_checked(&bytes[ETHERNET..]).unwrap();
                assert!(packet.verify_checksum() && packet.dscp() == 40);
                let len = bytes.len() as u32;
                let desc = TxDesc {
                    head: [0; MAX_HEAD],
                    head_len: 0,
                    body: frame.id,
                    off: 0,
                    len,
                    vnet: arena.vnet(frame.id),
                };
                port_b.tx(&[desc], &mut arena, &mut Vec::new());
            }
            assert!(sinks.collect().unwrap());
            let stats = counters.stats();
            assert_eq!((stats.frames, stats.wire_bytes), (sent.frames, sent.wire_bytes), "{size:?}");
        }
    }

    #[test]
    fn a_full_link_refuses_and_loses_nothing() {
        let all = [Address::of(1), Address::of(2)];
        let (a, mut port) = StackHost::new("a", 1, &all).unwrap();
        let to = SocketAddrV4::new(all[1].ip, 20_001);
        let spec = SendSpec { to, dscp: 0, size: FrameSize::Fixed(64), seed: 1 };
        let mut sender = a.udp_sender(&spec).unwrap();
        let mut sent = 0;
        while let Some(more) = sender.emit(u64::MAX).unwrap() {
            sent += more.frames;
        }
        assert_eq!(sent, LINK_FRAMES as u64);
        let mut arena = Arena::new(4 << 20);
        let mut frames = Vec::new();
        while port.rx(1, 256, &mut arena, &mut frames).more {}
        assert_eq!(frames.len() as u64, sent);
        assert!(sender.emit(1000).unwrap().is_some(), "there is room again");
    }
}
