//! The frame that wakes a queue whose gate has opened: made, recognised, counted by nobody but the port.
//!
//! Its ethertype is one for local experiments, so it is known by eight random bytes. The host can see them; all it can
//! do with them is to have frames of its own dropped.

use dcbridge_scheduler::Priority;

/// IEEE 802 local experimental ethertype 1.
pub const ETHERTYPE: u16 = 0x88B5;
/// Cookie and queue.
pub const PAYLOAD: usize = 9;
const ETHERNET: usize = 14;
/// The shortest frame of Ethernet, without its checksum.
const LEN: usize = 60;
/// Locally administered, and of no station: no other port of the host wants it.
const ADDRESS: [u8; 6] = [0x02, 0x00, 0x00, 0xDC, 0xB0, 0x02];

/// What the kicks of one port are known by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie([u8; 8]);

impl Cookie {
    /// A new one.
    pub fn random() -> Cookie {
        use std::hash::{BuildHasher, RandomState};
        // Keyed by the kernel's random numbers.
        Cookie(RandomState::new().hash_one(0).to_ne_bytes())
    }

    /// Its bytes, as in the frame.
    pub fn bytes(self) -> [u8; 8] {
        self.0
    }
}

/// The kick of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kick {
    bytes: [u8; LEN],
}

impl Kick {
    /// For the queue of `priority`.
    pub fn new(cookie: Cookie, priority: Priority) -> Kick {
        let mut bytes = [0; LEN];
        bytes[..6].copy_from_slice(&ADDRESS);
        bytes[6..12].copy_from_slice(&ADDRESS);
        bytes[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
        bytes[ETHERNET..ETHERNET + 8].copy_from_slice(&cookie.0);
        bytes[ETHERNET + 8] = priority.get();
        Kick { bytes }
    }

    /// The frame.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether a received frame is a kick of the port with this cookie.
    pub fn is_one(frame: &[u8], cookie: Cookie) -> bool {
        frame.len() >= ETHERNET + PAYLOAD
            && frame[12..14] == ETHERTYPE.to_be_bytes()
            && frame[ETHERNET..ETHERNET + 8] == cookie.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_kick_of_this_port_is_one() {
        let (mine, other) = (Cookie::random(), Cookie::random());
        let kick = Kick::new(mine, Priority::new(3));
        assert!(Kick::is_one(kick.bytes(), mine));
        assert!(!Kick::is_one(kick.bytes(), other));
        assert!(!Kick::is_one(&kick.bytes()[..22], mine));
        let mut tagged = kick.bytes().to_vec();
        tagged.splice(12..12, [0x81, 0, 0x60, 0]);
        assert!(!Kick::is_one(&tagged, mine));
    }
}
