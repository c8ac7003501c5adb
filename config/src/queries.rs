//! Questions that readers ask of the checked configuration.

use crate::model::{Config, Port, PrioritySet, TrafficClass};

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
