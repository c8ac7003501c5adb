use std::collections::VecDeque;
use std::io::ErrorKind;
use std::net::TcpStream;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::port::{MAX_HEAD, VnetHeader};

/// A directory that goes with the test.
struct Dir(PathBuf);

impl Dir {
    fn new(name: &str) -> Dir {
        let path = std::env::temp_dir().join(format!("dcbridge-stream-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Dir(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Dir {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A small generator: tests of chunking need variety, not randomness.
struct Lcg(u64);

impl Lcg {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % n
    }
}

fn until(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < end, "{what}: did not happen");
        std::thread::sleep(Duration::from_micros(200));
    }
}

fn desc(arena: &Arena, id: dcbridge_scheduler::FrameId, head_len: usize) -> TxDesc {
    let bytes = arena.bytes(id);
    let mut head = [0; MAX_HEAD];
    head[..head_len].copy_from_slice(&bytes[..head_len]);
    TxDesc {
        head,
        head_len: head_len as u8,
        body: id,
        off: head_len as u32,
        len: (bytes.len() - head_len) as u32,
        vnet: VnetHeader::default(),
    }
}

fn numbered(n: u32, len: usize) -> Vec<u8> {
    let mut frame = n.to_le_bytes().to_vec();
    frame.extend((4..len).map(|i| (i as u32).wrapping_mul(n | 1) as u8));
    frame
}

/// Sends `count` numbered frames from one port to the other, in batches as the ports allow.
fn carry(from: &mut StreamPort, to: &mut StreamPort, count: u32) {
    let mut arena = Arena::new(4 << 20);
    let mut lcg = Lcg(7);
    let mut expected = VecDeque::new();
    let (mut sent, mut received, mut full) = (0, 0, 0);
    let mut out = Vec::new();
    let end = Instant::now() + Duration::from_mins(1);
    while received < count {
        assert!(Instant::now() < end, "{received} of {count} frames came");
        from.tick();
        // Several batches before the other side reads, so that the socket fills and writes are cut.
        for _ in 0..lcg.below(20) {
            let batch = from.tx_room().min((count - sent) as usize).min(1 + lcg.below(TX_ROOM));
            let mut frames = Vec::new();
            for _ in 0..batch {
                let len = if lcg.below(200) == 0 { 40_000 } else { 4 + lcg.below(1600) };
                let frame = numbered(sent, len);
                let id = arena.insert(&frame, VnetHeader::default()).unwrap();
                frames.push(desc(&arena, id, lcg.below(4)));
                expected.push_back(frame);
                sent += 1;
            }
            let mut outcomes = Vec::new();
            from.tx(&frames, &mut arena, &mut outcomes);
            assert!(outcomes.iter().all(|&o| o == TxOutcome::Sent));
            for frame in &frames {
                arena.free(frame.body);
            }
            full += u32::from(from.tx_room() == 0);
        }
        let budget = 1 + lcg.below(200);
        assert!(to.rx(1, budget, &mut arena, &mut out).closed.is_none());
        assert!(out.len() <= budget);
        for frame in out.drain(..) {
            assert!(arena.bytes(frame.id) == expected.pop_front().unwrap(), "frame {received}");
            arena.free(frame.id);
            received += 1;
        }
    }
    assert!(full > 0, "the socket was never full: the test did not test partial writes");
    assert_eq!(arena.in_use(), 0);
}

fn connect(a: &mut StreamPort, b: &mut StreamPort) {
    until("a connection", || (a.tick(), b.tick()) == (Link::Up, Link::Up));
}

#[test]
fn nothing_is_lost_or_reordered_over_unix() {
    let dir = Dir::new("carry");
    let mut a = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
    let mut b = open(&StreamEndpoint::ConnectUnix(dir.socket())).unwrap();
    connect(&mut a, &mut b);
    carry(&mut a, &mut b, 50_000);
    carry(&mut b, &mut a, 50_000);
}

#[test]
fn nothing_is_lost_or_reordered_over_tcp() {
    let mut a = open(&StreamEndpoint::ListenTcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let mut b = open(&StreamEndpoint::ConnectTcp(a.local_address().unwrap())).unwrap();
    connect(&mut a, &mut b);
    carry(&mut a, &mut b, 50_000);
    carry(&mut b, &mut a, 50_000);
}

#[test]
fn a_stream_in_random_pieces_is_put_together() {
    let dir = Dir::new("chunks");
    let mut port = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
    let mut peer = UnixStream::connect(dir.socket()).unwrap();
    assert_eq!(port.tick(), Link::Up);
    let count = 100_000;
    let len = |n: u32| 4 + (n as usize * 37) % 300;
    let writer = std::thread::spawn(move || {
        let mut lcg = Lcg(3);
        let mut wire = Vec::new();
        for n in 0..count {
            wire.extend((len(n) as u32).to_be_bytes());
            wire.extend(numbered(n, len(n)));
            let all = n + 1 == count;
            while wire.len() > 8192 || (all && !wire.is_empty()) {
                let piece = (1 + lcg.below(12_000)).min(wire.len());
                peer.write_all(&wire[..piece]).unwrap();
                wire.drain(..piece);
            }
        }
        peer
    });
    let mut arena = Arena::new(1 << 20);
    let (mut out, mut received) = (Vec::new(), 0);
    until("all frames", || {
        port.rx(1, 256, &mut arena, &mut out);
        for frame in out.drain(..) {
            assert!(arena.bytes(frame.id) == numbered(received, len(received)), "frame {received}");
            arena.free(frame.id);
            received += 1;
        }
        received == count
    });
    drop(writer.join().unwrap());
    port.rx(1, 1, &mut arena, &mut out);
    let Link::Down(reason) = port.tick() else { panic!("still up") };
    assert!(reason.contains("the peer closed the connection"), "{reason}");
}

#[test]
fn a_peer_that_breaks_the_protocol_is_cut_off_and_may_come_again() {
    let dir = Dir::new("protocol");
    let mut port = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
    let mut arena = Arena::new(1 << 16);
    let mut out = Vec::new();
    for (round, wrong) in [&[0, 0, 0, 0], b"GET ", &[0, 1, 8, 1]].into_iter().enumerate() {
        let mut peer = UnixStream::connect(dir.socket()).unwrap();
        assert_eq!(port.tick(), Link::Up);
        // A good frame before it still counts.
        peer.write_all(&[0, 0, 0, 2, 5, 6]).unwrap();
        peer.write_all(wrong).unwrap();
        port.rx(1, 8, &mut arena, &mut out);
        let Link::Down(reason) = port.tick() else { panic!("still up") };
        assert!(reason.contains("protocol error"), "{reason}");
        assert_eq!(port.counters().protocol_errors, round as u64 + 1);
        // Reset, because bytes that it sent were not read, or ended.
        let end = peer.read(&mut [0; 8]);
        assert!(matches!(&end, Ok(0)) || end.is_err_and(|e| e.kind() == ErrorKind::ConnectionReset));
    }
    assert_eq!(out.len(), 3);
}

#[test]
fn a_second_peer_is_sent_away_and_the_first_stays() {
    let mut port = open(&StreamEndpoint::ListenTcp("127.0.0.1:0".parse().unwrap())).unwrap();
    let address = port.local_address().unwrap();
    let mut first = TcpStream::connect(address).unwrap();
    until("the first", || port.tick() == Link::Up);
    let mut second = TcpStream::connect(address).unwrap();
    second.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    until("a refusal", || {
        assert_eq!(port.tick(), Link::Up);
        port.counters().refused == 1
    });
    assert_eq!(second.read(&mut [0; 8]).unwrap(), 0, "closed");
    first.write_all(&[0, 0, 0, 3, 1, 2, 3]).unwrap();
    let (mut arena, mut out) = (Arena::new(1 << 16), Vec::new());
    until("a frame of the first", || {
        port.rx(1, 8, &mut arena, &mut out);
        out.len() == 1
    });
    assert_eq!(port.counters(), StreamCounters { connections: 1, refused: 1, protocol_errors: 0 });
}

#[test]
fn a_lost_peer_is_connected_to_again_and_frames_meanwhile_are_refused() {
    let dir = Dir::new("again");
    let mut b = open(&StreamEndpoint::ConnectUnix(dir.socket())).unwrap();
    let Link::Down(reason) = b.tick() else { panic!("up without a peer") };
    assert!(reason.contains("trying again") && reason.contains("connecting to"), "{reason}");
    let mut arena = Arena::new(1 << 16);
    let id = arena.insert(&[1; 60], VnetHeader::default()).unwrap();
    for round in 1..=2 {
        let mut outcomes = Vec::new();
        assert!(b.tx_room() > 0);
        let frame = desc(&arena, id, 0);
        b.tx(&[frame], &mut arena, &mut outcomes);
        assert_eq!(outcomes, [TxOutcome::Refused]);
        let mut a = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
        connect(&mut a, &mut b);
        assert_eq!(b.counters().connections, round);
        drop(a);
        b.rx(1, 1, &mut arena, &mut Vec::new());
        assert!(matches!(b.tick(), Link::Down(_)));
    }
}

/// A waiter that keeps a list of descriptors must never find a new one under an old one's number.
#[test]
fn between_two_peers_the_link_is_down_and_the_descriptor_is_let_go() {
    let dir = Dir::new("between");
    let mut port = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
    let watched = |port: &StreamPort| {
        let mut interests = Vec::new();
        port.interests(&mut interests);
        interests.iter().map(|i| i.fd).collect::<Vec<_>>()
    };
    let first = UnixStream::connect(dir.socket()).unwrap();
    assert_eq!(port.tick(), Link::Up);
    let with_first = watched(&port);
    let mut arena = Arena::new(1 << 16);
    // The second waits already when the first goes.
    drop(first);
    let _second = UnixStream::connect(dir.socket()).unwrap();
    port.rx(1, 8, &mut arena, &mut Vec::new());
    assert!(matches!(port.tick(), Link::Down(_)));
    let without = watched(&port);
    assert_eq!(with_first.len(), without.len() + 1);
    let old = with_first.iter().find(|fd| !without.contains(fd)).unwrap();
    assert!(std::path::Path::new(&format!("/proc/self/fd/{old}")).exists(), "still open when it is let go");
    assert_eq!(port.tick(), Link::Up);
}

/// What was sent before the end still comes, and then the end is seen, without another event of the socket.
#[test]
fn frames_sent_just_before_the_end_are_received() {
    let dir = Dir::new("end");
    let mut port = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
    let mut peer = UnixStream::connect(dir.socket()).unwrap();
    assert_eq!(port.tick(), Link::Up);
    peer.write_all(&[0, 0, 0, 2, 5, 6]).unwrap();
    drop(peer);
    let (mut arena, mut out) = (Arena::new(1 << 16), Vec::new());
    assert!(!port.rx(1, 8, &mut arena, &mut out).more);
    assert_eq!(out.len(), 1);
    assert!(matches!(port.tick(), Link::Down(_)));
}

#[test]
fn a_full_socket_asks_to_be_told_when_it_can_be_written() {
    let dir = Dir::new("full");
    let mut port = open(&StreamEndpoint::ListenUnix(dir.socket())).unwrap();
    let mut peer = UnixStream::connect(dir.socket()).unwrap();
    assert_eq!(port.tick(), Link::Up);
    let mut arena = Arena::new(1 << 20);
    let id = arena.insert(&[1; 9000], VnetHeader::default()).unwrap();
    let mut sent = 0;
    while port.tx_room() > 0 {
        let frame = desc(&arena, id, 14);
        port.tx(&[frame], &mut arena, &mut Vec::new());
        sent += 1;
        assert!(sent * 9000 < 4 << 20, "the socket takes megabytes: nothing would queue in the switch");
    }
    let wants_write = |port: &StreamPort| {
        let mut interests = Vec::new();
        port.interests(&mut interests);
        interests.iter().any(|i| i.write)
    };
    assert!(wants_write(&port));
    let mut left = sent * (LENGTH + 9000);
    let mut buffer = vec![0; 1 << 16];
    while left > 0 {
        left -= peer.read(&mut buffer).unwrap();
        assert_eq!(port.tick(), Link::Up);
    }
    assert!(!wants_write(&port));
    assert_eq!(port.tx_room(), TX_ROOM);
}

#[test]
fn socket_files_of_dead_processes_are_replaced_and_those_of_others_are_not() {
    let dir = Dir::new("stale");
    let endpoint = StreamEndpoint::ListenUnix(dir.socket());
    // Std does not remove the file when the listener ends: as after a kill.
    drop(UnixListener::bind(dir.socket()).unwrap());
    let port = open(&endpoint).unwrap();
    let error = open(&endpoint).err().unwrap().to_string();
    assert!(error.contains("another process listens on"), "{error}");
    assert!(dir.socket().exists());
    drop(port);
    assert!(!dir.socket().exists(), "removed with the port");

    std::fs::write(dir.socket(), "a file").unwrap();
    let error = open(&endpoint).err().unwrap().to_string();
    assert!(error.contains("is not a socket"), "{error}");
    assert!(dir.socket().exists());

    let error = open(&StreamEndpoint::ListenUnix(dir.0.join("no/such"))).err().unwrap().to_string();
    assert!(error.contains("make its directory first"), "{error}");
    let error = open(&StreamEndpoint::ListenUnix(dir.0.join("x".repeat(120)))).err().unwrap().to_string();
    assert!(error.contains("too long"), "{error}");
}
