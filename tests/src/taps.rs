//! TAP ports in a host of a test, and the packet socket that sees what crosses them.

use std::process::Command;
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::port::tap::{self, TapOptions, TapPort};
use dcbridge::port::{Port, RxFrame};

use crate::forward::wait;
use crate::host::Host;
use crate::packet::PacketSocket;

/// How long a test waits for what should come at once.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A TAP as most tests want it.
pub fn options(host: &Host, name: &str) -> TapOptions {
    TapOptions {
        name: name.to_owned(),
        netns: host.netns(),
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
        by_priority: None,
    }
}

/// Opens a TAP in a host.
#[track_caller]
pub fn open(host: &Host, name: &str) -> TapPort {
    open_as(&options(host, name))
}

/// Opens a TAP.
///
/// # Panics
/// When that fails.
#[track_caller]
pub fn open_as(options: &TapOptions) -> TapPort {
    tap::open(options).unwrap_or_else(|e| panic!("{e}"))
}

/// A packet socket on an interface of a host.
///
/// # Panics
/// When that fails.
#[track_caller]
pub fn packet_socket(host: &Host, interface: &str) -> PacketSocket {
    let index = host.links(|l| l.index(interface));
    host.run(|| Ok(PacketSocket::open(index).expect("packet socket")))
}

/// Reads until a frame is there.
///
/// # Panics
/// When none comes.
#[track_caller]
pub fn receive(port: &mut TapPort, arena: &mut Arena) -> RxFrame {
    let mut out = Vec::new();
    let end = Instant::now() + PATIENCE;
    while out.is_empty() {
        wait(&[port]);
        let status = port.rx(0xff, 1, arena, &mut out);
        assert!(status.closed.is_none(), "{:?}", status.closed);
        assert!(Instant::now() < end, "no frame came");
    }
    out[0]
}

/// A broadcast of `len` bytes that no protocol answers.
pub fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend((frame.len()..len).map(|i| (i * 31 + i / 256) as u8));
    frame
}

/// Runs `ip` in a host.
///
/// # Panics
/// When there is no such command or it fails.
#[track_caller]
pub fn ip_command(host: &Host, arguments: &str) {
    let ran = host.run(|| Ok(Command::new("ip").args(arguments.split(' ')).status()));
    assert!(ran.expect("this test needs the `ip` command (iproute2)").success(), "ip {arguments}");
}
