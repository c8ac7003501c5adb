//! Sequence numbers of CEE and CIN: the number advances when settings change and the previous number
//! was acknowledged; what the peer sent last is acknowledged.
//!
//! Changed settings are sent at once, also while an acknowledgement is missing: a peer that never
//! acknowledges must not freeze this port. The number then follows as soon as the peer catches up, so a
//! peer that looks at numbers only learns of them too.

use alloc::vec::Vec;

use crate::wire::subtlv::Control;

/// State of the handshake on one port.
#[derive(Debug, Default)]
pub(crate) struct Handshake {
    seq: u32,
    settings: Vec<u8>,
    unannounced: bool,
}

impl Handshake {
    /// Starts over: the next settings are number 1.
    pub(crate) fn restart(&mut self) {
        *self = Self::default();
    }

    /// The control sub-TLV to send with these settings (the features' octets), given the peer's.
    pub(crate) fn update(&mut self, settings: Vec<u8>, peer: Option<Control>) -> Control {
        if self.settings != settings {
            self.settings = settings;
            self.unannounced = true;
        }
        let acknowledged = peer.is_none_or(|p| p.ack == self.seq);
        if self.unannounced && (self.seq == 0 || acknowledged) {
            // 0 means "nothing yet"; after the last number comes 1.
            self.seq = self.seq.checked_add(1).unwrap_or(1);
            self.unannounced = false;
        }
        let ack = peer.map_or(0, |p| p.seq);
        Control { oper_version: 0, max_version: 0, seq: self.seq, ack }
    }

    /// The number of the present settings.
    pub(crate) fn seq(&self) -> u32 {
        self.seq
    }
}
