//! Step 6: by which ports a frame leaves (802.1Q 8.6.3, 8.8).

use dcbridge_config as config;
use dcbridge_scheduler::{PortId, Rate, Time};

use super::books::Reason;
use super::fdb::Fdb;
use super::vlan::Membership;

const WORDS: usize = 4;
/// Most ports of a switch.
pub const MAX_PORTS: usize = WORDS * 64;

/// A set of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PortSet([u64; WORDS]);

impl PortSet {
    /// Without members.
    pub const EMPTY: PortSet = PortSet([0; WORDS]);

    /// Adds a port.
    pub fn insert(&mut self, port: PortId) {
        self.0[port.index() / 64] |= 1 << (port.0 % 64);
    }

    /// Adds the members of another set.
    pub fn insert_all(&mut self, others: PortSet) {
        for (word, more) in self.0.iter_mut().zip(others.0) {
            *word |= more;
        }
    }

    /// Takes a port out.
    pub fn remove(&mut self, port: PortId) {
        self.0[port.index() / 64] &= !(1 << (port.0 % 64));
    }

    /// Adds a port, or takes it out.
    pub fn set(&mut self, port: PortId, member: bool) {
        if member { self.insert(port) } else { self.remove(port) }
    }

    /// Whether it holds `port`.
    pub fn contains(&self, port: PortId) -> bool {
        self.0[port.index() / 64] & (1 << (port.0 % 64)) != 0
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    /// Its members, from the lowest up.
    pub fn iter(&self) -> impl Iterator<Item = PortId> + use<> {
        let words = self.0;
        (0..WORDS).flat_map(move |i| {
            let mut word = words[i];
            std::iter::from_fn(move || {
                (word != 0).then(|| {
                    let bit = word.trailing_zeros() as u16;
                    word &= word - 1;
                    PortId(i as u16 * 64 + bit)
                })
            })
        })
    }
}

impl FromIterator<PortId> for PortSet {
    fn from_iter<I: IntoIterator<Item = PortId>>(ports: I) -> Self {
        let mut set = PortSet::EMPTY;
        ports.into_iter().for_each(|p| set.insert(p));
        set
    }
}

/// Flooded traffic a port may offer: a rate, with a burst of this long.
const FLOOD_BURST: Time = Time::from_millis(100);

#[derive(Clone, Copy)]
struct FloodLimit {
    rate: Rate,
    tat: Time,
}

impl FloodLimit {
    fn conforms(&mut self, wire: u64, now: Time) -> bool {
        let tat = self.tat.max(now);
        if tat - now > FLOOD_BURST {
            return false;
        }
        self.tat = tat + self.rate.time_of(wire);
        true
    }
}

struct PortState {
    vlans: Membership,
    isolated: bool,
    up: bool,
    held: bool,
    flood: Option<FloodLimit>,
}

/// Ports as forwarding sees them.
pub struct Forwarding {
    ports: Vec<PortState>,
}

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// To the port that is known for it.
    One(PortId),
    /// To every port that could have it.
    Flood(PortSet),
}

impl Forwarding {
    /// From the configuration; all ports are down.
    pub fn new(config: &config::Config) -> Forwarding {
        let flood = config
            .bridge
            .flood_rate
            .map(|r| FloodLimit { rate: Rate::from_bits_per_second(r.0), tat: Time::ZERO });
        let ports = config
            .ports
            .iter()
            .map(|p| PortState {
                vlans: Membership::new(&p.vlan),
                isolated: p.isolated,
                up: false,
                held: false,
                flood,
            })
            .collect();
        Forwarding { ports }
    }

    /// VLANs of a port.
    pub fn vlans(&self, port: PortId) -> &Membership {
        &self.ports[port.index()].vlans
    }

    /// The link of a port came up or went down.
    pub fn set_up(&mut self, port: PortId, up: bool) {
        self.ports[port.index()].up = up;
    }

    /// Whether a port is up.
    pub fn is_up(&self, port: PortId) -> bool {
        self.ports[port.index()].up
    }

    /// Holds a port for loop detection, or lets it go.
    pub fn set_held(&mut self, port: PortId, held: bool) {
        self.ports[port.index()].held = held;
    }

    /// Whether a port is held.
    pub fn is_held(&self, port: PortId) -> bool {
        self.ports[port.index()].held
    }

    fn reaches(&self, from: PortId, to: PortId, vid: u16) -> bool {
        let (a, b) = (&self.ports[from.index()], &self.ports[to.index()]);
        from != to && b.up && !b.held && !(a.isolated && b.isolated) && b.vlans.carries(vid)
    }

    /// Where a frame of `vid` to `dst` goes that came by `from`.
    ///
    /// # Errors
    /// Why it goes nowhere.
    #[inline]
    pub fn destination(
        &self,
        fdb: &Fdb,
        from: PortId,
        vid: u16,
        dst: [u8; 6],
        now: Time,
    ) -> Result<Destination, Reason> {
        let is_group = dst[0] & 1 != 0;
        if !is_group && let Some(to) = fdb.lookup(vid, dst, now) {
            if to == from {
                return Err(Reason::SamePort);
            }
            return if self.reaches(from, to, vid) {
                Ok(Destination::One(to))
            } else {
                Err(Reason::NoDestination)
            };
        }
        self.all(from, vid)
    }

    /// All ports that could have a frame of `vid` that came by `from`.
    #[inline(never)]
    fn all(&self, from: PortId, vid: u16) -> Result<Destination, Reason> {
        let set: PortSet =
            (0..self.ports.len() as u16).map(PortId).filter(|&to| self.reaches(from, to, vid)).collect();
        if set.is_empty() { Err(Reason::NoDestination) } else { Ok(Destination::Flood(set)) }
    }

    /// Whether `port` may flood `wire` more bytes.
    pub fn may_flood(&mut self, port: PortId, wire: u64, now: Time) -> bool {
        self.ports[port.index()].flood.as_mut().is_none_or(|limit| limit.conforms(wire, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_of_ports_holds_what_was_put_in() {
        let ports = [0u16, 63, 64, 200, 255].map(PortId);
        let set: PortSet = ports.into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), ports);
        assert!(set.contains(PortId(64)) && !set.contains(PortId(65)));
        let mut fewer = set;
        fewer.remove(PortId(64));
        fewer.remove(PortId(65));
        assert_eq!(fewer.iter().collect::<Vec<_>>(), [0u16, 63, 200, 255].map(PortId));
        fewer.set(PortId(64), true);
        assert_eq!(fewer, set);
    }

    #[test]
    fn floods_beyond_the_rate_are_refused_and_time_heals() {
        let mut limit = FloodLimit { rate: Rate::from_bits_per_second(8_000_000), tat: Time::ZERO };
        let now = Time::from_millis(1000);
        // 1 MB/s with 100 ms of burst: some 100 frames of 1000 bytes.
        let passed = (0..1000).filter(|_| limit.conforms(1000, now)).count();
        assert!((100..=102).contains(&passed), "{passed}");
        assert!(limit.conforms(1000, now + Time::from_millis(10)));
    }
}
