//! TAP ports against the kernel.

use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::port::tap::{self, TapOptions, TapPort};
use dcbridge::port::{Link, MAX_HEAD, Port, RxFrame, TxDesc, TxOutcome, VnetHeader};
use dcbridge_tests::host::Host;
use dcbridge_tests::packet::PacketSocket;
use dcbridge_tests::privilege::root_for;

const PATIENCE: Duration = Duration::from_secs(5);

fn options(host: &Host, name: &str) -> TapOptions {
    TapOptions {
        name: name.to_owned(),
        netns: host.netns(),
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
    }
}

fn open(host: &Host, name: &str) -> TapPort {
    tap::open(&options(host, name)).unwrap_or_else(|e| panic!("{e}"))
}

fn packet_socket(host: &Host, interface: &str) -> PacketSocket {
    let index = host.links(|l| l.index(interface));
    host.run(|| Ok(PacketSocket::open(index).unwrap()))
}

/// Reads until a frame is there.
fn receive(port: &mut dyn Port, arena: &mut Arena) -> RxFrame {
    let mut out = Vec::new();
    let end = Instant::now() + PATIENCE;
    while out.is_empty() {
        let status = port.rx(0xff, 1, arena, &mut out);
        assert!(status.closed.is_none(), "{:?}", status.closed);
        assert!(Instant::now() < end, "no frame came");
    }
    out[0]
}

fn whole(arena: &Arena, id: dcbridge_scheduler::FrameId) -> TxDesc {
    TxDesc {
        head: [0; MAX_HEAD],
        head_len: 0,
        body: id,
        off: 0,
        len: arena.bytes(id).len() as u32,
        vnet: arena.vnet(id),
    }
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend((frame.len()..len).map(|i| (i * 31 + i / 256) as u8));
    frame
}

#[test]
fn frames_pass_a_tap_byte_for_byte() {
    if !root_for("frames through a TAP") {
        return;
    }
    for offload in [true, false] {
        let host = Host::new("byte for byte");
        let mut port = tap::open(&TapOptions { offload, mtu: 9000, ..options(&host, "t0") })
            .unwrap_or_else(|e| panic!("{e}"));
        let socket = packet_socket(&host, "t0");
        let mut arena = Arena::new(1 << 20);
        for len in [14, 60, 64, 1514, 2048, 2049, 9014] {
            socket.send(&frame(len)).unwrap();
            let got = receive(&mut port, &mut arena);
            assert_eq!(arena.bytes(got.id), frame(len), "from the host, {len} bytes, offload {offload}");

            // With a head of its own, and without.
            let mut desc = whole(&arena, got.id);
            let mut outcomes = Vec::new();
            port.tx(&[desc.clone()], &mut arena, &mut outcomes);
            desc.head[..14].copy_from_slice(&frame(len)[..14]);
            desc.head[11] = 0x77;
            desc.head_len = 14;
            desc.off = 14;
            desc.len -= 14;
            port.tx(&[desc], &mut arena, &mut outcomes);
            assert_eq!(outcomes, [TxOutcome::Sent; 2]);
            let mut changed = frame(len);
            assert_eq!(socket.receive(PATIENCE).unwrap(), changed, "to the host");
            changed[11] = 0x77;
            assert_eq!(socket.receive(PATIENCE).unwrap(), changed, "to the host, with a head of its own");
            arena.free(got.id);
        }
        assert_eq!(arena.in_use(), 0);
    }
}
