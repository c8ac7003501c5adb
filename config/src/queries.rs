//! Questions that readers ask of the checked configuration.

use crate::model::{BitRate, Config, FlowControl, Port, PrioritySet, TrafficClass};

impl PrioritySet {
    /// All eight priorities.
    pub const ALL: Self = Self(0xff);

    /// Whether `priority` is in the set; a number above 7 never is.
    pub const fn contains(self, priority: u8) -> bool {
        priority < 8 && self.0 & (1 << priority) != 0
    }

    /// The priorities, lowest first.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..8).filter(move |&priority| self.contains(priority))
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many there are.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }
}

impl FromIterator<u8> for PrioritySet {
    /// Numbers above 7 are left out.
    fn from_iter<I: IntoIterator<Item = u8>>(priorities: I) -> Self {
        let bits = priorities.into_iter().filter(|&p| p < 8);
        Self(bits.fold(0, |set, priority| set | 1 << priority))
    }
}

impl std::fmt::Display for PrioritySet {
    /// `0, 1, 2`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (n, priority) in self.iter().enumerate() {
            let comma = if n == 0 { "" } else { ", " };
            write!(f, "{comma}{priority}")?;
        }
        Ok(())
    }
}

impl Config {
    /// The class of a priority; `None` only for a number above 7.
    pub fn class_of(&self, priority: u8) -> Option<&TrafficClass> {
        self.traffic_classes.iter().find(|class| class.priorities.contains(priority))
    }

    /// The priorities of all lossless classes.
    pub fn lossless_priorities(&self) -> PrioritySet {
        let lossless = self.traffic_classes.iter().filter(|class| class.lossless);
        lossless.flat_map(|class| class.priorities.iter()).collect()
    }

    /// The port called `name`.
    pub fn port(&self, name: &str) -> Option<&Port> {
        self.ports.iter().find(|port| port.name == name)
    }
}

/// Rate at which quanta are counted where there is neither a `pfc_rate` nor a line rate: what the peer most probably
/// takes for its own.
const PAUSE_RATE: BitRate = BitRate(10_000_000_000);
/// Bits of a pause quantum, and the most quanta that a pause can ask for (802.3 annex 31B).
const LONGEST_PAUSE_BITS: u64 = 512 * 65_535;

/// Ethernet header and two VLAN tags.
const FRAME_OVERHEAD: u32 = 14 + 2 * 4;

impl Port {
    /// The longest frame, in bytes without FCS.
    pub fn max_frame(&self) -> u32 {
        u32::from(self.mtu) + FRAME_OVERHEAD
    }

    /// Rate at which pause quanta are counted.
    pub fn pause_rate(&self) -> BitRate {
        self.pfc_rate.or(self.line_rate).unwrap_or(PAUSE_RATE)
    }

    /// The longest pause that one frame can ask for at this port, in nanoseconds.
    pub fn longest_pause_ns(&self) -> u64 {
        LONGEST_PAUSE_BITS * 1_000_000_000 / self.pause_rate().0.max(1)
    }

    /// Priorities whose priority groups at this port pause their senders, given those of the lossless classes.
    pub fn pausing(&self, lossless: PrioritySet) -> PrioritySet {
        match self.flow_control {
            FlowControl::Off => PrioritySet(0),
            FlowControl::Pause => lossless,
            FlowControl::Pfc { transmit, .. } => PrioritySet(transmit.0 & lossless.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_holds_what_was_put_in() {
        let set: PrioritySet = [3, 0, 7, 9].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [0, 3, 7]);
        assert!(set.contains(7) && !set.contains(9) && !set.contains(1));
        assert_eq!((set.len(), set.to_string().as_str()), (3, "0, 3, 7"));
        assert_eq!((0..8).collect::<PrioritySet>(), PrioritySet::ALL);
    }
}
