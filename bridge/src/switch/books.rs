//! The books: plain counters of what came, went, was dropped and why.
//!
//! They balance at any time, in units and in frames, for the switch as a whole:
//! `rx + originated + copies = tx + rx_drops + tx_drops + consumed + queued`.

use dcbridge_scheduler::{Priority, Refused};

use crate::state::{Count, Drop};

macro_rules! reasons {
    ($($name:ident $text:literal $meaning:literal,)*) => {
        /// Why a frame was dropped.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Reason {
            $(#[doc = $meaning] $name,)*
        }

        impl Reason {
            /// All of them.
            pub const ALL: &[Reason] = &[$(Reason::$name,)*];

            /// Stable name, as in metrics.
            pub const fn name(self) -> &'static str {
                match self { $(Reason::$name => $text,)* }
            }

            /// One sentence for a person.
            pub const fn meaning(self) -> &'static str {
                match self { $(Reason::$name => $meaning,)* }
            }
        }
    };
}

reasons! {
    // On the way in.
    Runt "runt" "Shorter than an Ethernet header.",
    BadSource "bad_source" "The source address is zero or a group address.",
    BadOffload "bad_offload" "The offload header contradicts the frame.",
    NoMemory "no_memory" "No slot was free to receive into, or the frame was longer than any slot.",
    Oversize "oversize" "Longer than the MTU of the port it came by.",
    ReservedAddress "reserved_address" "Addressed to a group that a bridge never forwards (01-80-C2-00-00-0X).",
    MacControl "mac_control" "A MAC control frame at an address or with an opcode that is not ours.",
    LldpLimit "lldp_limit" "More LLDP frames than a neighbour, or all strangers of a port, may send, or a longer one than LLDP allows.",
    Untagged "untagged" "Without a VLAN tag on a port that wants tags.",
    VlanFilter "vlan_filter" "Of a VLAN that the port does not carry.",
    LoopHeld "loop_held" "The port is held: the switch heard itself there.",
    SamePort "same_port" "The destination is behind the port it came by.",
    NoDestination "no_destination" "No other port that could take it is up.",
    FloodLimit "flood_limit" "More flooded traffic than the port may offer (`flood_rate`).",
    HeadroomFull "headroom_full" "A lossless class lost it: its headroom was too small, or the sender did not pause.",
    // On the way out.
    QueueFull "queue_full" "The queue was at its limit (`queue_limit`).",
    BufferFull "buffer_full" "The shared buffer was full.",
    Lifetime "lifetime" "Waited longer than its class allows (`lifetime`).",
    Watchdog "watchdog" "The PFC watchdog drops what a storm holds up.",
    MtuExceeded "mtu_exceeded" "Longer than the MTU of the port it should leave by.",
    CannotRewrite "cannot_rewrite" "Headers too long to be rewritten or cut for a port without offloads.",
    DeviceRefused "device_refused" "The device did not take it (interface down or out of memory).",
    Flushed "flushed" "Was queued when the port went down or the switch ended.",
}

impl From<Refused> for Reason {
    fn from(refused: Refused) -> Reason {
        match refused {
            Refused::QueueFull => Reason::QueueFull,
            Refused::BufferFull => Reason::BufferFull,
            Refused::HeadroomFull => Reason::HeadroomFull,
        }
    }
}

/// How many reasons there are.
pub const REASONS: usize = Reason::ALL.len();

/// Counters of one priority at one port.
#[derive(Clone, Copy, Debug, Default)]
pub struct PriorityBooks {
    /// Received and given this priority.
    pub rx: Count,
    /// Sent.
    pub tx: Count,
    /// Dropped on the way out; or on the way in, because the priority group was full.
    pub dropped: Count,
}

/// Counters of one port.
#[derive(Clone, Debug)]
pub struct PortBooks {
    /// Received.
    pub rx: Count,
    /// Wire bytes received: what a line rate is measured in.
    pub rx_wire: u64,
    /// Sent.
    pub tx: Count,
    /// Handed to the device, which has not answered yet.
    pub in_flight: Count,
    /// Copies that were to leave here, handed to the worker that owns the port.
    pub handed: Count,
    /// Copies that the port's owner took from other workers. Those between two workers are the difference, and queued.
    pub taken: Count,
    /// Used up by the switch itself.
    pub consumed: Count,
    /// Made by the switch itself, to leave here.
    pub originated: Count,
    /// Extra copies made of frames that came by this port.
    pub copies: Count,
    /// Dropped on the way in, by reason.
    pub rx_drops: [Count; REASONS],
    /// Dropped on the way out, by reason.
    pub tx_drops: [Count; REASONS],
    /// By priority.
    pub priorities: [PriorityBooks; Priority::COUNT],
    /// Sent, by class number.
    pub class_tx: [Count; 8],
    /// Wire bytes sent, by class number.
    pub class_wire: [u64; 8],
}

impl PortBooks {
    /// Empty books.
    pub fn new() -> PortBooks {
        let zero = Count::default();
        PortBooks {
            rx: zero,
            rx_wire: 0,
            tx: zero,
            in_flight: zero,
            handed: zero,
            taken: zero,
            consumed: zero,
            originated: zero,
            copies: zero,
            rx_drops: [zero; REASONS],
            tx_drops: [zero; REASONS],
            priorities: [PriorityBooks::default(); Priority::COUNT],
            class_tx: [zero; 8],
            class_wire: [0; 8],
        }
    }

    /// A frame that came by this port was dropped.
    pub fn dropped_in(&mut self, reason: Reason, count: Count) {
        self.rx_drops[reason as usize].add(count);
    }

    /// A copy of a frame that came by this port was dropped: its priority group had no room.
    pub fn dropped_by_group(&mut self, reason: Reason, arrival: Priority, count: Count) {
        self.dropped_in(reason, count);
        self.priorities[arrival.index()].dropped.add(count);
    }

    /// A copy that was to leave by this port was dropped.
    pub fn dropped_out(&mut self, reason: Reason, priority: Priority, count: Count) {
        self.tx_drops[reason as usize].add(count);
        self.priorities[priority.index()].dropped.add(count);
    }
}

impl Default for PortBooks {
    fn default() -> Self {
        PortBooks::new()
    }
}

/// The drops that happened, for the state.
pub fn drops(counts: &[Count; REASONS]) -> Vec<Drop> {
    Reason::ALL
        .iter()
        .zip(counts)
        // The end of a superframe may have another fate than its begin: frames without a unit.
        .filter(|(_, count)| count.frames > 0)
        .map(|(reason, &count)| Drop {
            reason: reason.name().to_owned(),
            meaning: reason.meaning().to_owned(),
            count,
        })
        .collect()
}

/// One unit of `frames` frames and `bytes` bytes.
pub fn unit(frames: u32, bytes: u64) -> Count {
    Count { units: 1, frames: u64::from(frames), bytes }
}
