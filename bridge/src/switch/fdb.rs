//! Step 5: which port an address is behind (802.1Q 8.7, 8.8).
//!
//! Addresses are learned per VLAN. An entry that isn't seen again ages out; one that is seen elsewhere moves; static
//! entries do neither. Learning is bounded for the switch and per port: beyond the bound frames still pass, by flooding.
//!
//! Nothing here takes longer the more there is: the table has its size from the start, what has aged is not found any more
//! and is removed a few thousand places at a time, and a port is flushed by a number that its entries don't have.

mod table;

use dcbridge_scheduler::{PortId, Time};

use table::{Entry, Key, Table};

/// Places that are looked at in a row: some 50 us, if nothing of it is in the cache.
const SWEEP: usize = 8192;
/// Places that are looked at when there is no room: for the frame that finds none this is a few 100 ns more.
const MAKE_ROOM: usize = 64;

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

/// What is known at a port.
#[derive(Clone, Copy)]
struct PortState {
    /// From the configuration.
    fixed: u32,
    learned: u32,
    limit: u32,
    /// How often it was flushed.
    flushes: u32,
}

impl PortState {
    fn new(limit: u32) -> PortState {
        PortState { fixed: 0, learned: 0, limit, flushes: 0 }
    }
}

/// The forwarding database.
pub struct Fdb {
    table: Table,
    learned: u32,
    ports: Vec<PortState>,
    limit: u32,
    ageing: Time,
    /// Seen again in another period of 2^this time units, an address is worth telling. At most a sixteenth of the ageing
    /// time.
    period: u32,
    /// Until when the table was swept, and the place at which to go on.
    swept: Time,
    at: usize,
    /// Addresses that moved to another port.
    pub moves: u64,
    /// Addresses that were not learned for a limit's sake.
    pub refused: u64,
}

impl Fdb {
    /// An empty database for `fixed` static entries and those that are learned. The `seed` keys its hash: random where
    /// frames may be crafted, fixed where a run must repeat.
    pub fn new(limit: u32, port_limits: Vec<u32>, fixed: usize, ageing: Time, seed: u64) -> Fdb {
        Fdb {
            table: Table::new(limit as usize + fixed, seed),
            learned: 0,
            ports: port_limits.into_iter().map(PortState::new).collect(),
            period: (ageing.0 / 16).max(1).ilog2(),
            limit,
            ageing,
            swept: Time::ZERO,
            at: 0,
            moves: 0,
            refused: 0,
        }
    }

    /// Adds an entry that neither ages nor moves.
    pub fn insert_static(&mut self, vid: u16, mac: [u8; 6], port: PortId) {
        let entry = Entry { port, seen: Time::ZERO, is_static: true, flushes: 0 };
        let before = self.table.len();
        self.table.put(key(vid, mac), &entry);
        self.ports[port.index()].fixed += (self.table.len() - before) as u32;
    }

    /// Whether an entry was learned before its port was flushed: then it is none.
    fn is_flushed(ports: &[PortState], entry: &Entry) -> bool {
        !entry.is_static && entry.flushes != ports[entry.port.index()].flushes
    }

    /// The entry at the place of a key.
    fn get(&self, at: usize) -> Option<Entry> {
        self.table.get(at).filter(|entry| !Fdb::is_flushed(&self.ports, entry))
    }

    /// `mac` was seen in `vid` at `port`. `true`: whoever has a replica has to be told.
    pub fn learn(&mut self, vid: u16, mac: [u8; 6], port: PortId, now: Time) -> bool {
        let key = key(vid, mac);
        let at = self.table.place(key);
        match self.get(at) {
            Some(entry) if entry.is_static => false,
            Some(entry) if entry.port == port => {
                self.table.touch(at, now);
                (entry.seen.0 ^ now.0) >> self.period != 0
            }
            before => self.enter(key, before, port, now),
        }
    }

    /// A new address at `port`, or one that has moved there. `false`: it can't be learned.
    #[inline(never)]
    fn enter(&mut self, key: Key, before: Option<Entry>, port: PortId, now: Time) -> bool {
        let here = self.ports[port.index()];
        if let Some(entry) = before {
            self.ports[entry.port.index()].learned -= 1;
            self.moves += 1;
        } else {
            if self.learned >= self.limit || here.learned >= here.limit || !self.has_room(now) {
                self.refused += 1;
                return false;
            }
            self.learned += 1;
        }
        self.ports[port.index()].learned += 1;
        self.table.put(key, &Entry { port, seen: now, is_static: false, flushes: here.flushes });
        true
    }

    /// Whether there is a place for one more; what was flushed may still be there.
    fn has_room(&mut self, now: Time) -> bool {
        if self.table.is_crowded() {
            self.sweep(MAKE_ROOM, now);
        }
        !self.table.is_crowded()
    }

    /// Somebody else has learned that `mac` is in `vid` at `port`, and counts it.
    pub fn hear(&mut self, vid: u16, mac: [u8; 6], port: PortId, now: Time) {
        let counted = (self.moves, self.refused);
        self.learn(vid, mac, port, now);
        (self.moves, self.refused) = counted;
    }

    /// Entries at a port.
    pub fn count(&self, port: PortId) -> u32 {
        let PortState { learned, fixed, .. } = self.ports[port.index()];
        learned + fixed
    }

    /// The port behind which `mac` is.
    pub fn lookup(&self, vid: u16, mac: [u8; 6], now: Time) -> Option<PortId> {
        let entry = self.get(self.table.place(key(vid, mac)))?;
        (entry.is_static || now - entry.seen < self.ageing).then_some(entry.port)
    }

    /// Removes what has aged, some of it at each call: all within a sixteenth of the ageing time, if it is called often.
    pub fn age(&mut self, now: Time) {
        let size = self.table.size();
        let round = Time((self.ageing.0 / 16).max(Time::from_millis(100).0));
        let place = Time((round.0 / size as u64).max(1));
        let due = usize::try_from((now - self.swept).0 / place.0).unwrap_or(usize::MAX);
        if due < SWEEP.min(size) {
            return;
        }
        self.swept = now;
        self.sweep(SWEEP.min(size), now);
    }

    fn sweep(&mut self, places: usize, now: Time) {
        let Fdb { table, ports, learned, ageing, .. } = self;
        self.at = table.sweep(self.at, places, |entry| {
            if Fdb::is_flushed(ports, entry) {
                return false;
            }
            let keep = entry.is_static || now - entry.seen < *ageing;
            if !keep {
                ports[entry.port.index()].learned -= 1;
                *learned -= 1;
            }
            keep
        });
    }

    /// Forgets what was learned at `port`: it went down.
    pub fn flush_port(&mut self, port: PortId) {
        let port = &mut self.ports[port.index()];
        port.flushes = port.flushes.wrapping_add(1);
        self.learned -= std::mem::take(&mut port.learned);
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.ports.iter().map(|port| (port.learned + port.fixed) as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All entries, in no order: a hundred thousand of them are copied in a millisecond, but not sorted in one.
    pub fn entries(&self, now: Time) -> Vec<Learned> {
        let live = self.table.iter().filter(|(_, entry)| !Fdb::is_flushed(&self.ports, entry));
        live.map(|(key, e)| {
            let [_, _, mac @ ..] = key.to_be_bytes();
            Learned {
                mac,
                vid: (key >> 48) as u16,
                port: e.port,
                is_static: e.is_static,
                age: if e.is_static { Time::ZERO } else { now - e.seen },
            }
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [u8; 6] = [2, 0, 0, 0, 0, 1];
    const B: [u8; 6] = [2, 0, 0, 0, 0, 2];

    fn fdb() -> Fdb {
        Fdb::new(3, vec![2; 3], 1, Time::from_millis(10_000), 1)
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

    fn address(n: u32) -> [u8; 6] {
        let number = n.to_be_bytes();
        [2, 0, number[0], number[1], number[2], number[3]]
    }

    #[test]
    fn a_hundred_thousand_age_a_few_thousand_at_a_time() {
        let mut f = Fdb::new(100_000, vec![u32::MAX; 2], 0, at(300_000), 1);
        for n in 0..100_010 {
            f.learn(1, address(n), PortId((n % 2) as u16), at(0));
        }
        assert_eq!((f.len(), f.refused), (100_000, 10));
        let (mut now, mut most) = (300_000, 0);
        while !f.is_empty() {
            assert!(now < 330_000, "{} are still there", f.len());
            let before = f.len();
            now += 250;
            f.age(at(now));
            most = most.max(before - f.len());
        }
        assert!(most <= SWEEP, "{most} at once");
    }

    #[test]
    fn a_port_that_flaps_forgets_at_once_and_learns_as_much_again() {
        let mut f = Fdb::new(1000, vec![u32::MAX; 2], 1, at(300_000), 1);
        f.insert_static(2, A, PortId(0));
        for round in 0..20 {
            for n in 0..1000 {
                f.learn(1, address(1000 * round + n), PortId(0), at(1));
            }
            assert_eq!((f.len(), f.refused, f.entries(at(1)).len()), (1001, 0, 1001), "round {round}");
            f.flush_port(PortId(0));
            assert_eq!((f.len(), f.lookup(1, address(1000 * round), at(1))), (1, None));
            assert_eq!(f.lookup(2, A, at(1)), Some(PortId(0)));
        }
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
