//! Sets up the host's side of a TAP: clamp, kicks, ring, and the journal of what was changed.

use std::fmt;
use std::io;
use std::path::Path;
use std::time::Duration;

use super::clamp::{self, Clamp, ETHERNET_AND_TAG, MAX_FRAME, Root, WIRE_OVERHEAD, gso_max, open_rate};
use super::gates::{Gates, Hand};
use super::journal::{Changed, Entry, Journal, restore_here};
use super::kick::Cookie;
use super::netlink::{Message, Socket};
use crate::net::{self, Links, Netns, NetnsRef};

/// How long a switch may stand still, and a gate change take: the ring holds what comes meanwhile.
const STALL: Duration = Duration::from_millis(5);
/// Frames of a ring, at least and at most. No host hands a TAP more than 2 million frames a second.
const RING: (u64, u64) = (1000, 10_000);
/// Wire bytes of the shortest frame.
const SHORTEST: u64 = 84;
/// Bytes of the shortest frame as a bucket counts them.
const SHORTEST_COUNTED: u64 = 60;

/// Length of `struct ifinfomsg`.
const IFINFOMSG: usize = 16;
const IFLA_TXQLEN: u16 = 13;
const IFLA_GSO_MAX_SIZE: u16 = 41;

/// What is to be set up.
#[derive(Debug)]
pub struct Wanted<'a> {
    /// The interface, in the calling thread's namespace.
    pub interface: &'a str,
    /// How that namespace is found again.
    pub netns: &'a NetnsRef,
    /// It was made by us and goes with us.
    pub ours: bool,
    /// Bits per second of the line; `None`: unlimited.
    pub line_rate: Option<u64>,
    /// Ring in frames; `None`: as long as the rate needs.
    pub txqueuelen: Option<u32>,
    /// By which kicks are known.
    pub cookie: Cookie,
    /// Where what is changed on a foreign interface is written down.
    pub journal: &'a Path,
}

/// Why a host can't be paused: a sentence without its subject, the interface.
#[derive(Debug)]
pub struct Obstacle(String);

impl Obstacle {
    pub(super) fn new(sentence: String) -> Obstacle {
        Obstacle(sentence)
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<net::Error> for Obstacle {
    fn from(error: net::Error) -> Obstacle {
        Obstacle(error.to_string())
    }
}

/// The host's side of a TAP, for as long as this lives.
#[derive(Debug)]
pub struct HostEdge {
    gates: Gates,
    journal: Option<Journal>,
    netns: NetnsRef,
    rate: u64,
    ring_frames: u32,
}

impl HostEdge {
    /// Sets it up, in the interface's namespace. Blocks.
    ///
    /// # Errors
    /// What is in the way; the interface is then as it was.
    pub fn open(wanted: &Wanted<'_>) -> Result<HostEdge, Obstacle> {
        let netlink = Socket::open().map_err(|e| Obstacle(format!("can't be reached by netlink: {e}")))?;
        if !wanted.ours {
            restore_here(wanted.journal, wanted.interface)?;
        }
        let now = Links::open()?.info(wanted.interface)?;
        if now.mtu + ETHERNET_AND_TAG > MAX_FRAME {
            return Err(Obstacle(format!(
                "has an MTU of {}, more than a clamp can hold back ({} at most)",
                now.mtu,
                MAX_FRAME - ETHERNET_AND_TAG
            )));
        }
        let qdisc = clamp::root(&netlink, now.index)
            .map_err(|e| Obstacle(format!("can't be asked for its queueing: {e}")))?;
        if let Root::Foreign(kind) = qdisc {
            return Err(Obstacle(format!(
                "has a queueing of its own ({kind}), which is not touched (tc qdisc del dev {} root)",
                wanted.interface
            )));
        }
        let rate = open_rate(wanted.line_rate);
        let ring = wanted.txqueuelen.unwrap_or_else(|| ring_frames(rate));
        // An administrator's longer ring is as good.
        let ring = if wanted.txqueuelen.is_none() { ring.max(now.txqueuelen) } else { ring };
        let longest = gso_max(now.mtu);
        let gso_max_size =
            now.gso_max_size.map(|was| Changed { was, is: was.min(longest) }).filter(|c| c.was != c.is);
        let journal = if wanted.ours {
            None
        } else {
            let entry = Entry {
                netns: Netns::id_of_this_thread().unwrap_or_default(),
                netns_path: wanted.netns.path(),
                interface: wanted.interface.to_owned(),
                index: now.index,
                txqueuelen: Changed { was: now.txqueuelen, is: ring },
                gso_max_size,
            };
            Some(Journal::begin(wanted.journal, entry).map_err(|e| {
                Obstacle(format!(
                    "is not changed, because {} can't be written: {e}",
                    wanted.journal.display()
                ))
            })?)
        };
        let (ring_now, gso) = ((ring != now.txqueuelen).then_some(ring), gso_max_size.map(|c| c.is));
        let gates = set_link(&netlink, now.index, ring_now, gso)
            .and_then(|()| Hand::new(now.index, wanted.cookie))
            .and_then(|hand| Ok((Clamp::install(netlink, now.index, rate)?, hand)))
            .and_then(|(clamp, hand)| Gates::start(clamp, hand));
        match gates {
            Ok(gates) => {
                Ok(HostEdge { gates, journal, netns: wanted.netns.clone(), rate, ring_frames: ring })
            }
            Err(e) => {
                // Half of it may have been done.
                if let Some(journal) = journal {
                    let _ = journal.undo(&NetnsRef::Current);
                }
                Err(Obstacle(refused(&e)))
            }
        }
    }

    /// Its gates.
    pub fn gates(&mut self) -> &mut Gates {
        &mut self.gates
    }

    /// The same, to look at.
    pub fn gates_state(&self) -> &Gates {
        &self.gates
    }

    /// Frame bytes that may still come behind a gate that is told to close.
    pub fn residual_bytes(&self) -> u32 {
        residual_at(self.rate)
    }

    /// How long a queue may not be found empty before its ring could be half full.
    pub fn patience(&self) -> Patience {
        let burst = u64::from(MAX_FRAME) / SHORTEST_COUNTED;
        Patience::new((u64::from(self.ring_frames) / 2).saturating_sub(burst).max(1), self.rate)
    }
}

/// Frame bytes that may still come from the host of a TAP behind a gate that is told to close, if the host can be paused and
/// its line has so many bits per second (`None`: unlimited).
pub fn residual_bytes(line_rate: Option<u64>) -> u32 {
    residual_at(open_rate(line_rate))
}

/// One bucket, and what an open one of that rate passes while the change takes as long as it may.
fn residual_at(rate: u64) -> u32 {
    let during = u128::from(rate) * STALL.as_nanos() / 1_000_000_000;
    u32::try_from(during).unwrap_or(u32::MAX).saturating_add(MAX_FRAME)
}

/// What a ring takes before it could be half full.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    frames: u64,
    /// Wire bytes per second.
    rate: u64,
}

impl Patience {
    /// Of a ring that so many frames fill half, at so many wire bytes per second.
    pub const fn new(frames: u64, rate: u64) -> Patience {
        Patience { frames, rate }
    }

    /// How long that takes in frames of so many bytes, the shortest at least. No host hands a TAP more than `RING.1` frames
    /// in `STALL`.
    pub fn with_frames_of(&self, bytes: u64) -> Duration {
        let wire = (bytes + u64::from(WIRE_OVERHEAD)).max(SHORTEST);
        let per_second = (self.rate / wire).clamp(1, RING.1 * 1000 / STALL.as_millis() as u64);
        Duration::from_nanos(self.frames * 1_000_000_000 / per_second)
    }
}

impl Drop for HostEdge {
    fn drop(&mut self) {
        drop(self.gates.end());
        if let Some(journal) = self.journal.take()
            && let Err(error) = journal.undo(&self.netns)
        {
            tracing::warn!(%error, "the host's interface was not restored; the next start tries again");
        }
    }
}

/// Frames that a ring needs to hold what comes in `STALL` behind a bucket of this rate, in the shortest frames.
fn ring_frames(rate: u64) -> u32 {
    let during = rate / SHORTEST * STALL.as_millis() as u64 / 1000;
    // Twice: so much may already wait when the gate is told to close (`patience`).
    let burst = u64::from(MAX_FRAME) / SHORTEST_COUNTED;
    (2 * (during + burst)).clamp(RING.0, RING.1) as u32
}

fn refused(error: &io::Error) -> String {
    match error.raw_os_error() {
        Some(libc::EPERM | libc::EACCES) => "may not be changed: no CAP_NET_ADMIN and CAP_NET_RAW".to_owned(),
        Some(libc::ENOENT) => "can't be clamped: the kernel lacks sch_tbf (modprobe sch_tbf)".to_owned(),
        Some(libc::EOPNOTSUPP) => "can't be clamped: it has no queues of its own (mq)".to_owned(),
        _ => format!("can't be clamped: {error}"),
    }
}

/// Sets ring and longest superframe of an interface.
pub(super) fn set_link(
    netlink: &Socket,
    index: u32,
    txqueuelen: Option<u32>,
    gso_max_size: Option<u32>,
) -> io::Result<()> {
    let mut fixed = vec![0; IFINFOMSG];
    fixed[4..8].copy_from_slice(&index.to_ne_bytes());
    for (kind, value) in [(IFLA_TXQLEN, txqueuelen), (IFLA_GSO_MAX_SIZE, gso_max_size)] {
        if let Some(value) = value {
            let message = Message::new(libc::RTM_NEWLINK, 0, &fixed).attribute(kind, &value.to_ne_bytes());
            netlink.tell(&message)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_holds_what_the_shortest_frames_of_a_stall_are() {
        let hundred = ring_frames(open_rate(Some(100_000_000)));
        assert!((1000..10_000).contains(&hundred), "{hundred}");
        assert_eq!(ring_frames(open_rate(None)), 10_000);
    }
}
