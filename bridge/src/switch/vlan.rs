//! Step 4 and part of the egress: which VLAN a frame belongs to, who carries it, and with or without a tag
//! (802.1Q 6.9, 8.6.2, 8.6.4).

use dcbridge_config::PortVlan;

use super::books::Reason;
use super::parse::Tag;

const WORDS: usize = 4096 / 64;

/// A set of VLANs.
#[derive(Clone)]
pub struct VlanSet(Box<[u64; WORDS]>);

impl VlanSet {
    /// Without members.
    pub fn new() -> VlanSet {
        VlanSet(Box::new([0; WORDS]))
    }

    /// Adds a VLAN.
    pub fn insert(&mut self, vid: u16) {
        self.0[usize::from(vid & 0xFFF) / 64] |= 1 << (vid % 64);
    }

    /// Whether it holds `vid`.
    pub fn contains(&self, vid: u16) -> bool {
        self.0[usize::from(vid & 0xFFF) / 64] & (1 << (vid % 64)) != 0
    }
}

impl Default for VlanSet {
    fn default() -> Self {
        VlanSet::new()
    }
}

/// What to do with the outer tag of a frame that leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TagAction {
    /// As it came.
    Keep,
    /// Away with it.
    Pop,
    /// A new one, or this one in place of the old.
    Set,
}

/// VLANs of one port.
#[derive(Clone)]
pub struct Membership {
    pvid: Option<u16>,
    drop_untagged: bool,
    transparent: bool,
    untagged: VlanSet,
    tagged: VlanSet,
}

impl Membership {
    /// From the configuration.
    pub fn new(config: &PortVlan) -> Membership {
        let mut untagged = VlanSet::new();
        config.untagged.iter().chain(&config.pvid).for_each(|&v| untagged.insert(v));
        let mut tagged = VlanSet::new();
        config.tagged.iter().flat_map(|&(from, to)| from..=to).for_each(|v| tagged.insert(v));
        Membership {
            pvid: config.pvid,
            drop_untagged: config.drop_untagged,
            transparent: config.transparent,
            untagged,
            tagged,
        }
    }

    /// The VLAN of a frame that came by this port.
    ///
    /// # Errors
    /// Why it may not enter.
    pub fn classify(&self, tag: Option<Tag>) -> Result<u16, Reason> {
        match tag.map(|t| t.vid).filter(|&vid| vid != 0) {
            // 4095 is reserved (802.1Q table 9-2).
            Some(0xFFF) => Err(Reason::VlanFilter),
            Some(vid) if self.carries(vid) => Ok(vid),
            Some(_) => Err(Reason::VlanFilter),
            None if self.drop_untagged => Err(Reason::Untagged),
            None => self.pvid.ok_or(Reason::Untagged),
        }
    }

    /// Whether frames of `vid` may leave here.
    pub fn carries(&self, vid: u16) -> bool {
        self.transparent || self.untagged.contains(vid) || self.tagged.contains(vid)
    }

    /// What happens to the tag of a frame of `vid` that leaves here.
    pub fn egress(&self, vid: u16, tag: Option<Tag>) -> TagAction {
        // No VLAN at all: a frame of the switch's own.
        if vid == 0 {
            return TagAction::Keep;
        }
        let untagged = if self.transparent { self.pvid == Some(vid) } else { self.untagged.contains(vid) };
        match tag {
            Some(tag) if tag.vid == vid && (self.transparent || !untagged) => TagAction::Keep,
            // A priority tag: where tags pass as they come, it does too; else no bridge sends one (802.1Q 6.9.2).
            Some(tag) if tag.vid == 0 && untagged && self.transparent => TagAction::Keep,
            Some(_) if untagged => TagAction::Pop,
            None if untagged => TagAction::Keep,
            _ => TagAction::Set,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(vid: u16) -> Option<Tag> {
        (vid != u16::MAX).then_some(Tag { pcp: 3, dei: false, vid })
    }

    fn aware() -> Membership {
        Membership::new(&PortVlan {
            pvid: Some(10),
            untagged: vec![11],
            tagged: vec![(20, 29)],
            drop_untagged: false,
            transparent: false,
        })
    }

    fn transparent() -> Membership {
        Membership::new(&PortVlan {
            pvid: Some(1),
            untagged: vec![],
            tagged: vec![],
            drop_untagged: false,
            transparent: true,
        })
    }

    #[test]
    fn frames_enter_by_tag_or_pvid() {
        assert_eq!(aware().classify(None), Ok(10));
        assert_eq!(aware().classify(tag(0)), Ok(10), "a priority tag names no VLAN");
        assert_eq!(aware().classify(tag(25)), Ok(25));
        assert_eq!(aware().classify(tag(11)), Ok(11));
        assert_eq!(aware().classify(tag(30)), Err(Reason::VlanFilter));
        assert_eq!(transparent().classify(tag(30)), Ok(30));
        assert_eq!(transparent().classify(tag(4095)), Err(Reason::VlanFilter));
        assert_eq!(transparent().classify(None), Ok(1));
    }

    #[test]
    fn frames_leave_with_the_tag_their_vlan_has_there() {
        assert_eq!(aware().egress(10, None), TagAction::Keep);
        assert_eq!(aware().egress(10, tag(10)), TagAction::Pop);
        assert_eq!(aware().egress(10, tag(0)), TagAction::Pop);
        assert_eq!(aware().egress(20, None), TagAction::Set);
        assert_eq!(aware().egress(20, tag(0)), TagAction::Set);
        assert_eq!(aware().egress(20, tag(20)), TagAction::Keep);
        assert_eq!(transparent().egress(1, None), TagAction::Keep);
        assert_eq!(transparent().egress(1, tag(0)), TagAction::Keep);
        assert_eq!(transparent().egress(1, tag(1)), TagAction::Keep);
        assert_eq!(transparent().egress(10, None), TagAction::Set);
        assert_eq!(transparent().egress(20, tag(20)), TagAction::Keep);
    }
}
