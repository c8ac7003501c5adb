//! A hash table of a fixed size: it never grows, so no frame has to wait until everything has been moved, and it can be
//! walked a piece at a time. Linear probing; what is removed leaves no tombstones.
//!
//! Its memory is taken at start and touched only where something was put.
//!
//! What must not enter: what entries mean.

use std::hash::BuildHasher;

use dcbridge_scheduler::{PortId, Time};
use foldhash::quality::FixedState;

/// Address and VLAN in one number; never 0, since no frame has VLAN 0.
pub(super) type Key = u64;

/// An entry.
#[derive(Clone, Copy)]
pub(super) struct Entry {
    pub(super) port: PortId,
    pub(super) seen: Time,
    pub(super) is_static: bool,
    /// How often its port had been flushed when it was learned.
    pub(super) flushes: u32,
}

/// Key, time, and the rest: three numbers, so that a table that nobody has touched is made of the kernel's empty pages.
type Slot = [u64; 3];
const EMPTY: Slot = [0; 3];

fn slot(key: Key, entry: &Entry) -> Slot {
    let rest = u64::from(entry.flushes) << 32 | u64::from(entry.is_static) << 16 | u64::from(entry.port.0);
    [key, entry.seen.0, rest]
}

fn entry([_, seen, rest]: &Slot) -> Entry {
    Entry {
        port: PortId(*rest as u16),
        seen: Time(*seen),
        is_static: rest >> 16 & 1 != 0,
        flushes: (rest >> 32) as u32,
    }
}

/// The table.
pub(super) struct Table {
    slots: Vec<Slot>,
    hash: FixedState,
    len: usize,
}

impl Table {
    /// With room for at least `entries`, half empty then.
    pub(super) fn new(entries: usize, seed: u64) -> Table {
        let slots = (2 * entries).next_power_of_two().max(8);
        Table { slots: vec![EMPTY; slots], hash: FixedState::with_seed(seed), len: 0 }
    }

    /// How many entries there are.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Places for entries.
    pub(super) fn size(&self) -> usize {
        self.slots.len()
    }

    /// Whether it is so full that looking up would become slow: nothing may be put in.
    pub(super) fn is_crowded(&self) -> bool {
        self.len >= self.slots.len() / 8 * 7
    }

    fn home(&self, key: Key) -> usize {
        self.hash.hash_one(key) as usize & (self.slots.len() - 1)
    }

    fn next(&self, at: usize) -> usize {
        (at + 1) & (self.slots.len() - 1)
    }

    /// Where a key is, or the empty place where it would be. It holds until something is put in or removed.
    pub(super) fn place(&self, key: Key) -> usize {
        let mut at = self.home(key);
        while self.slots[at][0] != key && self.slots[at][0] != 0 {
            at = self.next(at);
        }
        at
    }

    /// The entry at the place of a key, if it is there.
    pub(super) fn get(&self, at: usize) -> Option<Entry> {
        let slot = self.slots.get(at)?;
        (slot[0] != 0).then(|| entry(slot))
    }

    /// The entry at a place that has one was seen again.
    pub(super) fn touch(&mut self, at: usize, now: Time) {
        if let Some([_, seen, _]) = self.slots.get_mut(at) {
            *seen = now.0;
        }
    }

    /// Puts an entry in, or replaces the one of its key. Only while the table is not crowded, or holds the key.
    pub(super) fn put(&mut self, key: Key, entry: &Entry) {
        let at = self.place(key);
        self.len += usize::from(self.slots[at][0] == 0);
        self.slots[at] = slot(key, entry);
    }

    /// Removes the entries at `count` places from `from` on that are not to be kept, and answers where to go on.
    pub(super) fn sweep(&mut self, from: usize, count: usize, mut keep: impl FnMut(&Entry) -> bool) -> usize {
        let mut at = from & (self.slots.len() - 1);
        for _ in 0..count {
            // What moves up into a place that becomes empty is looked at, too.
            while self.slots[at][0] != 0 && !keep(&entry(&self.slots[at])) {
                self.remove(at);
            }
            at = self.next(at);
        }
        at
    }

    /// Empties a place; entries behind it that would not be found any more move up.
    fn remove(&mut self, mut hole: usize) {
        self.len -= 1;
        let mask = self.slots.len() - 1;
        let mut at = hole;
        loop {
            at = self.next(at);
            let key = self.slots[at][0];
            if key == 0 {
                break;
            }
            // It may move to the hole unless its home is behind that.
            let (from_home, from_hole) =
                (at.wrapping_sub(self.home(key)) & mask, at.wrapping_sub(hole) & mask);
            if from_home >= from_hole {
                self.slots[hole] = self.slots[at];
                hole = at;
            }
        }
        self.slots[hole] = EMPTY;
    }

    /// All entries, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Key, Entry)> + '_ {
        self.slots.iter().filter(|slot| slot[0] != 0).map(|slot| (slot[0], entry(slot)))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn entry_of(port: u16) -> Entry {
        Entry {
            port: PortId(port),
            seen: Time(u64::from(port)),
            is_static: port.is_multiple_of(2),
            flushes: 7,
        }
    }

    proptest! {
        /// Few places and keys, so that they collide and wrap around.
        #[test]
        fn it_holds_what_a_map_holds(
            steps in prop::collection::vec((1u64..24, 0u16..6, any::<bool>()), 1..200), seed in any::<u64>()
        ) {
            let mut table = Table::new(8, seed);
            let mut map = HashMap::new();
            let mut at = 0;
            for (key, port, sweep) in steps {
                if sweep {
                    at = table.sweep(at, 5, |entry| entry.port.0 != port);
                    // Only a whole round has surely seen everything.
                    table.sweep(0, table.size(), |entry| entry.port.0 != port);
                    map.retain(|_, kept| *kept != port);
                } else if !table.is_crowded() || map.contains_key(&key) {
                    table.put(key, &entry_of(port));
                    map.insert(key, port);
                }
                prop_assert_eq!(table.len(), map.len());
                for key in 1..24 {
                    let found = table.get(table.place(key)).map(|e| (e.port.0, e.seen.0, e.is_static, e.flushes));
                    let expected = map.get(&key).map(|&p| (p, u64::from(p), p % 2 == 0, 7));
                    prop_assert_eq!(found, expected);
                }
            }
            prop_assert_eq!(table.iter().count(), map.len());
        }
    }
}
