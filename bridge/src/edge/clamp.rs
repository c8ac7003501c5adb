//! The clamp: one token bucket (TBF) per queue below an `mq` root, open or closed by one prepared message.
//!
//! A bucket passes a frame when it holds as many tokens as the frame costs. *Closed* is a bucket in which every frame
//! costs 65535 bytes (`mpu`, its minimum packet unit) and that never holds as many: nothing passes, while frames up to
//! `MAX_FRAME` may still be queued. Every change fills the bucket, so a closed one that merely were slow would let one
//! bucketful out at each change. *Open* is 1.2 times the line rate, so that the ring behind it stays short.
//!
//! A frame longer than `MAX_FRAME` is cut into segments by TBF, or dropped if it can't be; hence `gso_max`.

use std::io;

use dcbridge_scheduler::Priority;

use super::netlink::{Message, Socket};

/// The longest frame that a bucket takes, in bytes as the kernel counts them: a superframe with the headers of all of
/// its segments. Below `mpu`, which has sixteen bits.
pub(super) const MAX_FRAME: u32 = 65_400;
/// Ethernet header and a tag.
pub(super) const ETHERNET_AND_TAG: u32 = 18;
/// IPv4 and TCP with timestamps.
const IP_AND_TCP: u32 = 52;
/// What the kernel takes off the longest superframe before it counts the segments that fit: room for all headers there could
/// be (`MAX_TCP_HEADER + 1`).
const KERNELS_HEADERS: u32 = 321;
/// Every frame costs as much where nothing passes.
const CLOSED_UNIT: u16 = u16::MAX;
/// Bytes per second of a closed bucket. Its timer runs for what is missing to the cost of a frame: 33 ms. The kernel
/// counts its bucket by 32 bits of nanoseconds, which has to be enough for `MAX_FRAME`.
const CLOSED_RATE: u64 = 16_000;
/// Preamble, gap and checksum: rates are in wire bytes.
pub(super) const WIRE_OVERHEAD: u16 = 24;
/// Bytes that wait in a bucket before it drops. What waits belongs to sockets, whose own limits come first.
const LIMIT: u32 = 256 << 20;
/// More than a TAP passes on (35 Gbit/s were measured), in bytes per second.
const UNLIMITED: u64 = 40_000_000_000 / 8;
/// Rate of a bucket that nobody ever waits for: at a rate that frames may reach for a moment, each superframe would wait
/// for a timer, and where setting one costs 10 us (a virtual machine), that halves what a host can send.
const AT_ONCE: u64 = 1000 * UNLIMITED;

/// Number of our `mq` root; that of queue p's bucket is `BUCKET + p`.
pub(super) const ROOT: u32 = 0xDCB0;
const BUCKET: u32 = 0xDCB8;
pub(super) const TC_H_ROOT: u32 = u32::MAX;
/// Length of `struct tcmsg`.
const TCMSG: usize = 20;
pub(super) const TCA_KIND: u16 = 1;
pub(super) const TCA_OPTIONS: u16 = 2;
const TCA_TBF_PARMS: u16 = 1;
const TCA_TBF_RATE64: u16 = 4;
const TCA_TBF_BURST: u16 = 6;
/// The kernel's tick of packet scheduling.
const TICK_NS: u64 = 64;
const ETHERNET: u8 = 1;

/// Rate of an open bucket in wire bytes per second, for a line of so many bits per second (`None`: unlimited).
pub fn open_rate(line_rate: Option<u64>) -> u64 {
    line_rate.map_or(UNLIMITED, |bits| (bits / 8 * 6 / 5).clamp(CLOSED_RATE, UNLIMITED))
}

/// The longest superframe (`gso_max_size`, bytes) that the host behind a clamp may make at this MTU: as many full segments as
/// one bucket takes, with the headers of each. At 1500 bytes 43 segments, which also fill their pages: with 42 each superframe
/// costs the switch a tenth more to write.
pub const fn gso_max(mtu: u32) -> u32 {
    let segments = MAX_FRAME / mtu.saturating_add(ETHERNET_AND_TAG);
    let longest = segments * mtu.saturating_sub(IP_AND_TCP) + KERNELS_HEADERS;
    if longest < MAX_FRAME { longest } else { MAX_FRAME - 1 }
}

/// What a host's root qdisc is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Root {
    /// What the kernel gives to every interface.
    Default,
    /// A clamp, ours or left behind by one that was killed.
    Clamp,
    /// One that somebody has chosen: its kind.
    Foreign(String),
}

/// Asks for the root qdisc of interface number `index`.
pub(super) fn root(netlink: &Socket, index: u32) -> io::Result<Root> {
    let mut found = Root::Default;
    let ask = Message::new(libc::RTM_GETQDISC, libc::NLM_F_DUMP as u16, &tcmsg(index, 0, 0));
    netlink.ask(&ask, |answer| {
        let Some((fixed, mut attributes)) = answer.parts(TCMSG) else { return };
        let number = |at: usize| fixed[at..at + 4].try_into().map_or(0, u32::from_ne_bytes);
        let (interface, handle, parent) = (number(4), number(8), number(12));
        if interface != index || parent != TC_H_ROOT || handle == 0 {
            return;
        }
        let kind = attributes.find(|&(kind, _)| kind == TCA_KIND).map_or(&b"?"[..], |(_, value)| value);
        let kind = String::from_utf8_lossy(kind).trim_end_matches('\0').to_owned();
        found = if handle == ROOT << 16 { Root::Clamp } else { Root::Foreign(kind) };
    })?;
    Ok(found)
}

/// Takes the clamp off interface number `index`; the kernel then puts its default there.
pub(super) fn remove(netlink: &Socket, index: u32) -> io::Result<()> {
    netlink.tell(&Message::new(libc::RTM_DELQDISC, 0, &tcmsg(index, ROOT << 16, TC_H_ROOT)))
}

/// The buckets of one interface.
#[derive(Debug)]
pub(super) struct Clamp {
    netlink: Socket,
    open: [Message; 8],
    closed: [Message; 8],
}

impl Clamp {
    /// Puts buckets on all eight queues of interface number `index`, all open at `rate` wire bytes per second.
    pub(super) fn install(netlink: Socket, index: u32, rate: u64) -> io::Result<Clamp> {
        let make = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
        let root = tcmsg(index, ROOT << 16, TC_H_ROOT);
        netlink.tell(&Message::new(libc::RTM_NEWQDISC, make, &root).attribute(TCA_KIND, b"mq\0"))?;
        let message = |p: usize, flags, state: State| bucket(index, p as u32, flags, state);
        let rate = if rate < UNLIMITED { rate } else { AT_ONCE };
        for p in 0..8 {
            netlink.tell(&message(p, make, State::Open(rate)))?;
        }
        Ok(Clamp {
            netlink,
            open: std::array::from_fn(|p| message(p, 0, State::Open(rate))),
            closed: std::array::from_fn(|p| message(p, 0, State::Closed)),
        })
    }

    /// Opens or closes a bucket. What waits in it is not looked at before the next frame comes.
    pub(super) fn set(&self, priority: Priority, open: bool) -> io::Result<()> {
        let messages = if open { &self.open } else { &self.closed };
        self.netlink.tell(&messages[priority.index()])
    }

    /// The connection that it works by.
    pub(super) fn netlink(&self) -> &Socket {
        &self.netlink
    }
}

#[derive(Clone, Copy)]
enum State {
    Open(u64),
    Closed,
}

fn bucket(index: u32, queue: u32, flags: u16, state: State) -> Message {
    let (rate, unit, overhead) = match state {
        State::Open(rate) => (rate, 0, WIRE_OVERHEAD),
        State::Closed => (CLOSED_RATE, CLOSED_UNIT, 0),
    };
    // struct tc_tbf_qopt: rate, peak rate (none), limit, bucket in ticks, bucket of the peak rate.
    let mut parms = Vec::with_capacity(36);
    parms.extend([0, ETHERNET]);
    parms.extend(overhead.to_ne_bytes());
    parms.extend([0; 2]);
    parms.extend(unit.to_ne_bytes());
    parms.extend(u32::try_from(rate).unwrap_or(u32::MAX).to_ne_bytes());
    parms.extend([0; 12]);
    parms.extend(LIMIT.to_ne_bytes());
    let bucket_ticks = u64::from(MAX_FRAME) * 1_000_000_000 / rate / TICK_NS;
    parms.extend(u32::try_from(bucket_ticks).unwrap_or(u32::MAX).to_ne_bytes());
    parms.extend([0; 4]);
    let (parent, handle) = (ROOT << 16 | (queue + 1), (BUCKET + queue) << 16);
    Message::new(libc::RTM_NEWQDISC, flags, &tcmsg(index, handle, parent))
        .attribute(TCA_KIND, b"tbf\0")
        .nested(TCA_OPTIONS, |m| {
            let m = m.attribute(TCA_TBF_PARMS, &parms);
            match state {
                State::Open(rate) => m
                    .attribute(TCA_TBF_RATE64, &rate.to_ne_bytes())
                    .attribute(TCA_TBF_BURST, &MAX_FRAME.to_ne_bytes()),
                // Given in bytes, the kernel would make the bucket hold a frame at the closed unit.
                State::Closed => m,
            }
        })
}

pub(super) fn tcmsg(index: u32, handle: u32, parent: u32) -> Vec<u8> {
    let mut fixed = vec![libc::AF_UNSPEC as u8, 0, 0, 0];
    for number in [index, handle, parent, 0] {
        fixed.extend(number.to_ne_bytes());
    }
    fixed
}

const _: () = assert!(MAX_FRAME < CLOSED_UNIT as u32);
const _: () = assert!(MAX_FRAME as u64 * 1_000_000_000 / CLOSED_RATE < u32::MAX as u64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_superframe_is_as_long_as_its_bucket_takes_with_all_headers() {
        let of = |mtu: u32| {
            let payload = gso_max(mtu) - KERNELS_HEADERS;
            (payload / (mtu - 52), payload / (mtu - 52) * (mtu + 14))
        };
        assert_eq!(of(1500), (43, 65_102), "44 would cost 66 616");
        assert_eq!(of(9000), (7, 63_098));
        for mtu in 576..10_000 {
            let (segments, cost) = of(mtu);
            assert!(cost <= MAX_FRAME && (segments + 1) * (mtu + ETHERNET_AND_TAG) > MAX_FRAME, "{mtu}");
        }
        assert_eq!((gso_max(65_382), gso_max(u32::MAX)), (MAX_FRAME - 1, KERNELS_HEADERS));
    }

    #[test]
    fn an_open_bucket_is_a_fifth_faster_than_the_line() {
        assert_eq!(open_rate(Some(1_000_000_000)), 150_000_000);
        assert_eq!(open_rate(None), UNLIMITED);
        assert!(open_rate(Some(1)) > 0);
    }
}
