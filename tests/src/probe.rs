//! How long frames are under way: stamped by the sender, stamped again by the receiving kernel when the frame enters it.
//!
//! The receiver's own wake-up is not in the figure, since its kernel notes the time.

use std::io::IoSliceMut;
use std::net::{SocketAddrV4, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use dcbridge::lab::hosts::Host;
use nix::cmsg_space;
use nix::sys::socket::sockopt::{Ipv4Tos, ReceiveTimestampns};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

const PORT: u16 = 4999;

/// What probes measured.
#[derive(Clone, Debug)]
pub struct Delays {
    /// Sorted.
    pub each: Vec<Duration>,
    /// Probes that did not arrive.
    pub lost: usize,
}

impl Delays {
    /// The delay that so many of 1000 do not exceed.
    pub fn per_mille(&self, n: usize) -> Duration {
        let last = self.each.len().saturating_sub(1);
        self.each.get((self.each.len() * n / 1000).min(last)).copied().unwrap_or(Duration::MAX)
    }
}

/// Sends a probe of `bytes` (with FCS) every `period` for `span` from one host to another.
///
/// # Panics
/// When sockets fail.
pub fn probe(from: &Host, to: &Host, dscp: u8, bytes: u16, period: Duration, span: Duration) -> Delays {
    let receiver = to.within(|| Ok(UdpSocket::bind(("0.0.0.0", PORT)))).expect("namespace").expect("a sink");
    setsockopt(&receiver, ReceiveTimestampns, &true).expect("kernel time stamps");
    receiver.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    let sender = from.within(|| Ok(UdpSocket::bind("0.0.0.0:0"))).expect("namespace").expect("a socket");
    setsockopt(&sender, Ipv4Tos, &(i32::from(dscp) << 2)).expect("a DSCP");
    sender.connect(SocketAddrV4::new(to.address().ip, PORT)).expect("an address");
    let mut payload = vec![0; usize::from(bytes) - 46];
    std::thread::scope(|scope| {
        let collected = scope.spawn(|| collect(&receiver));
        let (begin, mut sent) = (Instant::now(), 0);
        while begin.elapsed() < span {
            payload[..8].copy_from_slice(&now().to_be_bytes());
            sent += usize::from(sender.send(&payload).is_ok());
            let next = period * sent as u32;
            std::thread::sleep(next.saturating_sub(begin.elapsed()));
        }
        let mut each = collected.join().expect("the receiver");
        each.sort_unstable();
        let lost = sent - each.len().min(sent);
        Delays { each, lost }
    })
}

fn now() -> u64 {
    nanoseconds(clock_gettime(ClockId::CLOCK_REALTIME).expect("a clock"))
}

fn nanoseconds(time: TimeSpec) -> u64 {
    time.tv_sec() as u64 * 1_000_000_000 + time.tv_nsec() as u64
}

/// Delays until nothing has come for a while.
fn collect(receiver: &UdpSocket) -> Vec<Duration> {
    let (mut delays, mut control) = (Vec::new(), cmsg_space!(TimeSpec));
    let mut stamp = [0; 8];
    loop {
        let arrived = {
            let mut iov = [IoSliceMut::new(&mut stamp)];
            match recvmsg::<()>(receiver.as_raw_fd(), &mut iov, Some(&mut control), MsgFlags::empty()) {
                Ok(message) => message.cmsgs().ok().and_then(|mut all| {
                    all.find_map(|c| match c {
                        ControlMessageOwned::ScmTimestampns(time) => Some(nanoseconds(time)),
                        _ => None,
                    })
                }),
                Err(_) => return delays,
            }
        };
        let arrived = arrived.expect("the kernel stamps what it receives");
        delays.push(Duration::from_nanos(arrived.saturating_sub(u64::from_be_bytes(stamp))));
    }
}
