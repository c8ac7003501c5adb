//! Step 5: which port an address is behind (802.1Q 8.7, 8.8).
//!
//! Addresses are learned per VLAN. An entry that isn't seen again ages out; one that is seen elsewhere moves; static
//! entries do neither. Learning is bounded for the switch and per port: beyond the bound frames still pass, by flooding.

use std::collections::HashMap;

use dcbridge_scheduler::{PortId, Time};
use foldhash::quality::FixedState;

#[derive(Clone, Copy)]
struct Entry {
    port: PortId,
    seen: Time,
    is_static: bool,
}

/// Address and VLAN in one number.
type Key = u64;

fn key(vid: u16, mac: [u8; 6]) -> Key {
    let mut bytes = [0; 8];
    bytes[..2].copy_from_slice(&vid.to_be_bytes());
    bytes[2..].copy_from_slice(&mac);
    u64::from_be_bytes(bytes)
}

/// An entry as the state shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learned {
    /// The address.
    pub mac: [u8; 6],
    /// Its VLAN.
    pub vid: u16,
    /// Its port.
    pub port: PortId,
    /// From the configuration.
    pub is_static: bool,
    /// Since it was last seen.
    pub age: Time,
}

/// The forwarding database.
pub struct Fdb {
    entries: HashMap<Key, Entry, FixedState>,
    learned: u32,
    per_port: Vec<u32>,
    static_per_port: Vec<u32>,
    port_limits: Vec<u32>,
    limit: u32,
    ageing: Time,
    /// Seen again in another period of 2^this time units, an address is worth telling. At most a sixteenth of the ageing
    /// time.
    period: u32,
    swept: Time,
    /// Addresses that moved to another port.
    pub moves: u64,
    /// Addresses that were not learned for a limit's sake.
    pub refused: u64,
}

impl Fdb {
    /// An empty database. The `seed` keys its hash: random where frames may be crafted, fixed where a run must repeat.
    pub fn new(limit: u32, port_limits: Vec<u32>, ageing: Time, seed: u64) -> Fdb {
        Fdb {
            entries: HashMap::with_hasher(FixedState::with_seed(seed)),
            learned: 0,
            per_port: vec![0; port_limits.len()],
            static_per_port: vec![0; port_limits.len()],
            period: ((ageing.0 / 16).max(1)).ilog2(),
            port_limits,
            limit,
            ageing,
            swept: Time::ZERO,
            moves: 0,
            refused: 0,
        }
    }

    /// Adds an entry that neither ages nor moves.
    pub fn insert_static(&mut self, vid: u16, mac: [u8; 6], port: PortId) {
        self.entries.insert(key(vid, mac), Entry { port, seen: Time::ZERO, is_static: true });
        self.static_per_port[port.index()] += 1;
    }

    /// `mac` was seen in `vid` at `port`. `true`: whoever has a replica has to be told.
    pub fn learn(&mut self, vid: u16, mac: [u8; 6], port: PortId, now: Time) -> bool {
        match self.entries.entry(key(vid, mac)) {
            std::collections::hash_map::Entry::Occupied(mut entry) => {
                let entry = entry.get_mut();
                if entry.is_static {
                    return false;
                }
                let again = (entry.seen.0 ^ now.0) >> self.period != 0;
                entry.seen = now;
                if entry.port == port {
                    again
                } else {
                    self.per_port[entry.port.index()] -= 1;
                    self.per_port[port.index()] += 1;
                    entry.port = port;
                    self.moves += 1;
                    true
                }
            }
            std::collections::hash_map::Entry::Vacant(entry) => {
                if self.learned >= self.limit || self.per_port[port.index()] >= self.port_limits[port.index()]
                {
                    self.refused += 1;
                    return false;
                }
                entry.insert(Entry { port, seen: now, is_static: false });
                self.per_port[port.index()] += 1;
                self.learned += 1;
                true
            }
        }
    }

    /// Somebody else has learned that `mac` is in `vid` at `port`, and counts it.
    pub fn hear(&mut self, vid: u16, mac: [u8; 6], port: PortId, now: Time) {
        let counted = (self.moves, self.refused);
        self.learn(vid, mac, port, now);
        (self.moves, self.refused) = counted;
    }

    /// Entries at a port.
    pub fn count(&self, port: PortId) -> u32 {
        self.per_port[port.index()] + self.static_per_port[port.index()]
    }

    /// The port behind which `mac` is.
    pub fn lookup(&self, vid: u16, mac: [u8; 6], now: Time) -> Option<PortId> {
        let entry = self.entries.get(&key(vid, mac))?;
        (entry.is_static || now - entry.seen < self.ageing).then_some(entry.port)
    }

    /// Forgets what has aged; cheap when called often.
    pub fn age(&mut self, now: Time) {
        let pause = Time((self.ageing.0 / 16).max(Time::from_millis(100).0));
        if now - self.swept < pause {
            return;
        }
        self.swept = now;
        let (ageing, per_port) = (self.ageing, &mut self.per_port);
        self.entries.retain(|_, e| {
            let keep = e.is_static || now - e.seen < ageing;
            if !keep {
                per_port[e.port.index()] -= 1;
            }
            keep
        });
        self.learned = self.per_port.iter().sum();
    }

    /// Forgets what was learned at `port`: it went down.
    pub fn flush_port(&mut self, port: PortId) {
        self.entries.retain(|_, e| e.is_static || e.port != port);
        self.learned -= self.per_port[port.index()];
        self.per_port[port.index()] = 0;
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// All entries, sorted by VLAN and address.
    pub fn entries(&self, now: Time) -> Vec<Learned> {
        let mut all: Vec<Learned> = self
            .entries
            .iter()
            .map(|(key, e)| {
                let [_, _, mac @ ..] = key.to_be_bytes();
                Learned {
                    mac,
                    vid: (key >> 48) as u16,
                    port: e.port,
                    is_static: e.is_static,
                    age: if e.is_static { Time::ZERO } else { now - e.seen },
                }
            })
            .collect();
        all.sort_unstable_by_key(|e| (e.vid, e.mac));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn fdb() -> Fdb {
        Fdb::new(3, vec![2; 3], Time::from_millis(10_000), 1)
    }

    fn at(ms: u64) -> Time {
        Time::from_millis(ms)
    }

    #[test]
    fn addresses_are_learned_per_vlan_move_and_age() {
        let mut f = fdb();
        f.learn(1, A, PortId(0), at(0));
        assert_eq!(f.lookup(1, A, at(1)), Some(PortId(0)));
        assert_eq!(f.lookup(2, A, at(1)), None);
        f.learn(1, A, PortId(1), at(5_000));
        assert_eq!((f.lookup(1, A, at(14_999)), f.moves), (Some(PortId(1)), 1));
        assert_eq!(f.lookup(1, A, at(15_000)), None, "aged, though not yet swept");
        f.age(at(15_000));
        assert!(f.is_empty());
    }

    #[test]
    fn limits_bound_learning_and_ageing_makes_room() {
        let mut f = fdb();
        for i in 0..5 {
            f.learn(1, [2, 0, 0, 0, 1, i], PortId(0), at(0));
        }
        assert_eq!((f.len(), f.refused), (2, 3));
        f.learn(1, A, PortId(1), at(0));
        f.learn(1, B, PortId(1), at(0));
        assert_eq!((f.len(), f.refused), (3, 4), "the switch's own limit");
        f.age(at(20_000));
        f.learn(1, B, PortId(1), at(20_000));
        assert_eq!(f.lookup(1, B, at(20_000)), Some(PortId(1)));
    }

    #[test]
    fn static_entries_stay() {
        let mut f = fdb();
        f.insert_static(1, A, PortId(2));
        f.learn(1, A, PortId(0), at(1));
        f.age(at(100_000));
        f.flush_port(PortId(2));
        assert_eq!(f.lookup(1, A, at(100_000)), Some(PortId(2)));
        assert_eq!(f.moves, 0);
    }
}
