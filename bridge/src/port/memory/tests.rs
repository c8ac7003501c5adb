use ::smoltcp::iface::{Config, Interface, SocketSet};
use ::smoltcp::socket::udp;
use ::smoltcp::time::Instant;
use ::smoltcp::wire::{EthernetAddress, IpAddress, IpCidr};

use super::*;
use crate::port::MAX_HEAD;

fn desc(arena: &Arena, id: dcbridge_scheduler::FrameId) -> TxDesc {
    let len = arena.bytes(id).len() as u32;
    TxDesc { head: [0; MAX_HEAD], head_len: 0, body: id, off: 0, len, vnet: arena.vnet(id) }
}

fn is_readable(fd: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(fd, PollFlags::POLLIN)];
    poll(&mut fds, PollTimeout::ZERO).unwrap() > 0
}

#[test]
fn both_directions_are_bounded_and_say_when_there_is_room() {
    let (mut port, peer) = pair(MemoryOptions { capacity: 4, ..Default::default() }).unwrap();
    let mut arena = Arena::new(1 << 16);
    let mut out = Vec::new();
    assert!((0..4).all(|i| peer.send(&[i; 60])));
    assert!(!peer.send(&[9; 60]));
    assert!(port.rx(1, 3, &mut arena, &mut out).more);
    assert!(!port.rx(1, 3, &mut arena, &mut out).more);
    assert_eq!(out.iter().map(|f| arena.bytes(f.id)[0]).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(peer.room(), 4);

    assert_eq!(port.tx_room(), 4);
    let frames: Vec<TxDesc> = out.iter().map(|f| desc(&arena, f.id)).collect();
    let mut outcomes = Vec::new();
    port.tx(&frames, &mut arena, &mut outcomes);
    assert_eq!(outcomes, [TxOutcome::Sent; 4]);
    assert_eq!(port.tx_room(), 0);
    assert!(!is_readable(port.shared.wake_port.as_fd()));
    assert!(peer.wait(Duration::ZERO));
    assert_eq!(peer.take().unwrap().bytes, [0; 60]);
    assert!(is_readable(port.shared.wake_port.as_fd()), "the port hears that there is room again");
    assert_eq!(port.tx_room(), 1);
    assert_eq!(std::iter::from_fn(|| peer.take()).count(), 3);
    assert!(!peer.wait(Duration::ZERO));
}

#[test]
fn a_frame_from_another_thread_wakes_the_port() {
    let (mut port, peer) = pair(MemoryOptions::default()).unwrap();
    let mut arena = Arena::new(1 << 16);
    let vnet = VnetHeader { gso_type: 1, gso_size: 1448, ..Default::default() };
    let sender = std::thread::spawn(move || {
        assert!(peer.inject(MemoryFrame { bytes: vec![7; 100], vnet }));
        peer
    });
    let mut fds = [PollFd::new(port.shared.wake_port.as_fd(), PollFlags::POLLIN)];
    assert_eq!(poll(&mut fds, 5000u16).unwrap(), 1);
    let mut out = Vec::new();
    port.rx(1, 8, &mut arena, &mut out);
    assert_eq!(arena.vnet(out[0].id), vnet);
    drop(sender.join().unwrap());
    assert!(port.rx(1, 8, &mut arena, &mut out).closed.is_some());
    assert!(matches!(port.tick(), Link::Down(_)));
}

#[test]
fn a_link_that_is_down_refuses_frames() {
    let (mut port, peer) = pair(MemoryOptions::default()).unwrap();
    let mut arena = Arena::new(1 << 16);
    let id = arena.insert(&[1; 60], VnetHeader::default()).unwrap();
    peer.set_link(false);
    assert!(matches!(port.tick(), Link::Down(_)));
    let mut outcomes = Vec::new();
    let frame = desc(&arena, id);
    port.tx(std::slice::from_ref(&frame), &mut arena, &mut outcomes);
    peer.set_link(true);
    assert_eq!(port.tick(), Link::Up);
    port.tx(&[frame], &mut arena, &mut outcomes);
    assert_eq!(outcomes, [TxOutcome::Refused, TxOutcome::Sent]);
}

/// Moves everything from one port to the other.
fn forward(from: &mut MemoryPort, to: &mut MemoryPort, arena: &mut Arena) {
    let mut frames = Vec::new();
    from.rx(1, to.tx_room(), arena, &mut frames);
    for frame in frames {
        to.tx(&[desc(arena, frame.id)], arena, &mut Vec::new());
        arena.free(frame.id);
    }
}

#[test]
fn hosts_made_of_smoltcp_talk_through_two_ports() {
    let mut arena = Arena::new(1 << 16);
    let host = |n: u8| {
        let (port, mut peer) = pair(MemoryOptions::default()).unwrap();
        let mac = EthernetAddress([2, 0, 0, 0, 0, n]);
        let mut interface = Interface::new(Config::new(mac.into()), &mut peer, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            addresses.push(IpCidr::new(IpAddress::v4(10, 0, 0, n), 24)).unwrap();
        });
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
        let mut sockets = SocketSet::new(Vec::new());
        let socket = sockets.add(udp::Socket::new(buffer(), buffer()));
        sockets.get_mut::<udp::Socket<'_>>(socket).bind(5000).unwrap();
        (port, peer, interface, sockets, socket)
    };
    let (mut port_a, mut peer_a, mut interface_a, mut sockets_a, a) = host(1);
    let (mut port_b, mut peer_b, mut interface_b, mut sockets_b, b) = host(2);
    let to = (IpAddress::v4(10, 0, 0, 2), 5000);
    sockets_a.get_mut::<udp::Socket<'_>>(a).send_slice(b"through the switch", to).unwrap();
    for ms in 0..2000 {
        let now = Instant::from_millis(ms);
        interface_a.poll(now, &mut peer_a, &mut sockets_a);
        forward(&mut port_a, &mut port_b, &mut arena);
        interface_b.poll(now, &mut peer_b, &mut sockets_b);
        forward(&mut port_b, &mut port_a, &mut arena);
    }
    let (data, from) = sockets_b.get_mut::<udp::Socket<'_>>(b).recv().unwrap();
    assert_eq!(data, b"through the switch");
    assert_eq!(from.endpoint.addr, IpAddress::v4(10, 0, 0, 1));
    assert_eq!(arena.in_use(), 0);
}
