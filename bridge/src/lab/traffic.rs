//! UDP traffic by kernel sockets: senders that hand superframes to the kernel (GSO), sinks that take them (GRO).
//!
//! Sockets belong to the namespace they were made in (`hosts` makes them there) and may be used from any thread.

use std::io::{self, IoSlice};
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;
use std::time::Duration;

use nix::cmsg_space;
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::sockopt::{Ipv4Tos, RcvBuf, RcvBufForce, SndBuf, SndBufForce, UdpGroSegment};
use nix::sys::socket::{ControlMessage, ControlMessageOwned, MsgFlags, recvmsg, sendmsg, setsockopt};

use super::frames::{FrameSize, HEADERS, Sizes, payload_of, wire_bytes};
use super::generator::{Collect, Counters, Emit, Sent};
use crate::edge::gso_max;

/// The kernel cuts one datagram into at most this many segments (`UDP_MAX_SEGMENTS` of older kernels).
const MAX_SEGMENTS: usize = 64;
/// Longest superframe's payload: with all headers it is below what the clamp of a lossless TAP passes whole.
const MAX_DATAGRAM: usize = 56_000;
const _: () = assert!(MAX_DATAGRAM + MAX_SEGMENTS * HEADERS < gso_max(1500) as usize);
/// What a sink may hold when nobody reads: many milliseconds, because the reader shares two cores with the switch.
const RECEIVE_BUFFER: usize = 8 << 20;
/// What a blocking sender has on its way: little, so that it feels the host's queues at once.
const BLOCKING_BUFFER: usize = 256 << 10;
/// Enough for a few superframes; a sender's pacing is its own.
const SEND_BUFFER: usize = 1 << 20;
/// Reads of one sink before the next has its turn.
const READS: usize = 256;

/// What a sender sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SendSpec {
    /// Where to.
    pub to: SocketAddrV4,
    /// DSCP of its packets.
    pub dscp: u8,
    /// Lengths of its frames.
    pub size: FrameSize,
    /// Makes the order of mixed sizes repeatable.
    pub seed: u64,
}

/// Sends one flow.
#[derive(Debug)]
pub struct UdpSender {
    socket: UdpSocket,
    sizes: Sizes,
    /// Segments that one call may carry; 1 where the kernel or the device can't cut.
    segments: usize,
    payload: Arc<[u8]>,
}

impl UdpSender {
    /// A sender in the calling thread's namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open(spec: &SendSpec) -> io::Result<UdpSender> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_nonblocking(true)?;
        setsockopt(&socket, Ipv4Tos, &(i32::from(spec.dscp) << 2))?;
        if setsockopt(&socket, SndBufForce, &SEND_BUFFER).is_err() {
            // Not root of the machine: as much as everybody may have.
            setsockopt(&socket, SndBuf, &SEND_BUFFER)?;
        }
        socket.connect(spec.to)?;
        let sizes = Sizes::new(spec.size, spec.seed);
        let segments = if sizes.uniform() { MAX_SEGMENTS } else { 1 };
        Ok(UdpSender { socket, sizes, segments, payload: vec![0xdc; MAX_DATAGRAM].into() })
    }

    /// Makes sends wait for room, at most for `limit`; then they are refused, and nothing was sent.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn block(&self, limit: Duration) -> io::Result<()> {
        setsockopt(&self.socket, SndBuf, &BLOCKING_BUFFER)?;
        self.socket.set_write_timeout(Some(limit))?;
        self.socket.set_nonblocking(false)
    }

    fn send_segments(&self, payload: usize, segments: usize) -> nix::Result<()> {
        let iov = [IoSlice::new(&self.payload[..payload * segments])];
        let cut = payload as u16;
        let gso = [ControlMessage::UdpGsoSegments(&cut)];
        let control: &[ControlMessage] = if segments > 1 { &gso } else { &[] };
        sendmsg::<()>(self.socket.as_raw_fd(), &iov, control, MsgFlags::empty(), None).map(drop)
    }
}

impl Emit for UdpSender {
    fn least(&self) -> u64 {
        wire_bytes(payload_of(self.sizes.peek()))
    }

    fn most(&self) -> u64 {
        let payload = payload_of(self.sizes.peek());
        self.segments.min(MAX_DATAGRAM / payload) as u64 * wire_bytes(payload)
    }

    fn emit(&mut self, budget: u64) -> io::Result<Option<Sent>> {
        let payload = payload_of(self.sizes.peek());
        let wire = wire_bytes(payload);
        let limit = self.segments.min(MAX_DATAGRAM / payload);
        let segments = ((budget / wire) as usize).clamp(1, limit);
        match self.send_segments(payload, segments) {
            Ok(()) => {
                self.sizes.advance();
                Ok(Some(Sent { frames: segments as u64, wire_bytes: segments as u64 * wire }))
            }
            Err(Errno::EAGAIN | Errno::ENOBUFS | Errno::EINTR) => Ok(None),
            // The device takes no superframes (EIO), or the kernel has no GSO for UDP (EINVAL): one by one then.
            Err(Errno::EIO | Errno::EINVAL) if segments > 1 => {
                self.segments = 1;
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Receives one flow and counts it.
#[derive(Debug)]
pub struct UdpSink {
    socket: UdpSocket,
    counters: Arc<Counters>,
}

impl UdpSink {
    /// A sink on a port of the calling thread's namespace.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn open(port: u16) -> io::Result<UdpSink> {
        let socket = UdpSocket::bind(("0.0.0.0", port))?;
        socket.set_nonblocking(true)?;
        if setsockopt(&socket, RcvBufForce, &RECEIVE_BUFFER).is_err() {
            setsockopt(&socket, RcvBuf, &RECEIVE_BUFFER)?;
        }
        // Without GRO (kernels before 5.0) every segment is a read of its own: slower, not wrong.
        let _ = setsockopt(&socket, UdpGroSegment, &true);
        Ok(UdpSink { socket, counters: Arc::default() })
    }

    /// Where it counts.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// Reads what is there; the bytes stay in the kernel, only lengths matter.
    fn drain(&self, control: &mut [u8]) -> io::Result<bool> {
        for reads in 0..READS {
            match recvmsg::<()>(self.socket.as_raw_fd(), &mut [], Some(control), MsgFlags::MSG_TRUNC) {
                Ok(message) => {
                    let segment = message.cmsgs()?.find_map(|c| match c {
                        ControlMessageOwned::UdpGroSegments(bytes) => usize::try_from(bytes).ok(),
                        _ => None,
                    });
                    let (frames, wire) = on_wire(message.bytes, segment);
                    self.counters.count(frames, wire);
                }
                Err(Errno::EAGAIN) => return Ok(reads > 0),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(true)
    }
}

/// Frames and wire bytes of a datagram of `bytes`, received in segments of `segment` bytes (the last may be shorter).
fn on_wire(bytes: usize, segment: Option<usize>) -> (u64, u64) {
    match segment {
        Some(segment) if segment > 0 && segment < bytes => {
            let (full, rest) = ((bytes / segment) as u64, bytes % segment);
            let last = if rest > 0 { wire_bytes(rest) } else { 0 };
            (full + u64::from(rest > 0), full * wire_bytes(segment) + last)
        }
        _ => (1, wire_bytes(bytes)),
    }
}

/// Several sinks that one thread reads.
#[derive(Debug)]
pub struct UdpSinks {
    sinks: Vec<UdpSink>,
    control: Vec<u8>,
}

impl UdpSinks {
    /// All of them.
    pub fn new(sinks: Vec<UdpSink>) -> UdpSinks {
        UdpSinks { sinks, control: cmsg_space!(i32) }
    }
}

impl Collect for UdpSinks {
    fn collect(&mut self) -> io::Result<bool> {
        let mut any = false;
        for sink in &self.sinks {
            any |= sink.drain(&mut self.control)?;
        }
        Ok(any)
    }

    fn wait(&mut self, limit: Duration) {
        let mut fds: Vec<PollFd> =
            self.sinks.iter().map(|s| PollFd::new(s.socket.as_fd(), PollFlags::POLLIN)).collect();
        // Interrupted or failed: `collect` is asked again in any case.
        let _ = poll(&mut fds, PollTimeout::try_from(limit).unwrap_or(PollTimeout::ZERO));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_superframe_counts_as_its_segments() {
        assert_eq!(on_wire(1472, None), (1, 1538));
        assert_eq!(on_wire(1472, Some(1472)), (1, 1538));
        assert_eq!(on_wire(4 * 1472, Some(1472)), (4, 4 * 1538));
        assert_eq!(on_wire(3 * 1472 + 10, Some(1472)), (4, 3 * 1538 + 84));
        assert_eq!(on_wire(0, Some(0)), (1, 84));
    }

    /// Over loopback: what sender and sink count is the same, with and without superframes.
    #[test]
    fn sender_and_sink_agree() {
        for size in [FrameSize::Fixed(64), FrameSize::Fixed(1518), FrameSize::Fixed(9018), FrameSize::Mixed] {
            let sink = UdpSink::open(0).unwrap();
            let port = sink.socket.local_addr().unwrap().port();
            let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, port);
            let counters = sink.counters();
            let mut sinks = UdpSinks::new(vec![sink]);
            let mut sender = UdpSender::open(&SendSpec { to, dscp: 24, size, seed: 1 }).unwrap();
            let (mut frames, mut wire) = (0, 0);
            for budget in [0, 5000, 40_000, 1 << 20] {
                assert!(sender.most() >= sender.least());
                let sent = sender.emit(budget).unwrap().expect("loopback takes a few frames at once");
                assert!(
                    sent.wire_bytes <= budget.max(sender.least()).max(wire_bytes(8972)),
                    "{size:?}: {sent:?}"
                );
                frames += sent.frames;
                wire += sent.wire_bytes;
            }
            sinks.wait(Duration::from_secs(2));
            while sinks.collect().unwrap() {}
            let stats = counters.stats();
            assert_eq!((stats.frames, stats.wire_bytes), (frames, wire), "{size:?}");
        }
    }
}
