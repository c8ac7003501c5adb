//! Frame sizes of the lab's traffic and what they cost on the wire. No I/O here.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Ethernet header, IPv4 header and UDP header in front of a payload.
pub const HEADERS: usize = 14 + 20 + 8;
/// Frame check sequence, which no host ever sees but every wire carries.
pub const FCS: usize = 4;
/// Preamble, start delimiter and the gap between frames.
const PREAMBLE_AND_GAP: usize = 20;
/// The shortest Ethernet frame, with FCS.
pub const SHORTEST: u16 = 64;
/// The longest frame of the lab, with FCS: its links have an MTU of 9000.
pub const LONGEST: u16 = 9018;
/// L3 MTU of all links of the lab.
pub const MTU: u16 = 9000;

/// The longest frame that `mixed` sends.
const MIXED_LONGEST: u16 = 9000;

/// Bytes that a UDP datagram over IPv4 of `payload` bytes takes on the wire: padded to the shortest frame, with FCS,
/// preamble and gap.
pub const fn wire_bytes(payload: usize) -> u64 {
    let frame = payload + HEADERS + FCS;
    let frame = if frame < SHORTEST as usize { SHORTEST as usize } else { frame };
    (frame + PREAMBLE_AND_GAP) as u64
}

/// UDP payload of a frame of `frame` bytes with FCS.
pub const fn payload_of(frame: u16) -> usize {
    let frame = if frame < SHORTEST { SHORTEST } else { frame };
    frame as usize - HEADERS - FCS
}

/// How long the frames of a flow are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameSize {
    /// All of the same length in bytes, with FCS.
    Fixed(u16),
    /// Each of another length: 64 to 9000 bytes, evenly distributed.
    Mixed,
}

impl FromStr for FrameSize {
    type Err = String;

    fn from_str(text: &str) -> Result<FrameSize, String> {
        if text == "mixed" {
            return Ok(FrameSize::Mixed);
        }
        match text.parse() {
            Ok(bytes) if (SHORTEST..=LONGEST).contains(&bytes) => Ok(FrameSize::Fixed(bytes)),
            _ => Err(format!("a frame has {SHORTEST} to {LONGEST} bytes, or write `mixed`")),
        }
    }
}

impl fmt::Display for FrameSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameSize::Fixed(bytes) => write!(f, "{bytes}-byte frames"),
            FrameSize::Mixed => write!(f, "frames of {SHORTEST} to {MIXED_LONGEST} bytes"),
        }
    }
}

impl Serialize for FrameSize {
    /// As on the command line: a number, or `"mixed"`.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            FrameSize::Fixed(bytes) => serializer.serialize_u16(*bytes),
            FrameSize::Mixed => serializer.serialize_str("mixed"),
        }
    }
}

/// The sequence of frame sizes of one flow; the same on every run for the same seed.
#[derive(Clone, Debug)]
pub struct Sizes {
    size: FrameSize,
    state: u64,
    next: u16,
}

impl Sizes {
    /// Sizes of a flow.
    pub fn new(size: FrameSize, seed: u64) -> Sizes {
        let mut sizes = Sizes { size, state: seed | 1, next: SHORTEST };
        sizes.advance();
        sizes
    }

    /// The size of the next frame.
    pub const fn peek(&self) -> u16 {
        self.next
    }

    /// Goes on to the next frame.
    pub fn advance(&mut self) {
        self.next = match self.size {
            FrameSize::Fixed(bytes) => bytes,
            FrameSize::Mixed => {
                // xorshift: even enough for sizes, and no dependency.
                self.state ^= self.state << 13;
                self.state ^= self.state >> 7;
                self.state ^= self.state << 17;
                let span = u64::from(MIXED_LONGEST - SHORTEST) + 1;
                SHORTEST + ((self.state >> 16) % span) as u16
            }
        };
    }

    /// Whether all frames have the same size, so that several can go to the kernel as one superframe.
    pub const fn uniform(&self) -> bool {
        matches!(self.size, FrameSize::Fixed(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_carries_padding_fcs_preamble_and_gap() {
        assert_eq!(wire_bytes(payload_of(64)), 84);
        assert_eq!(wire_bytes(0), 84, "a short datagram is padded");
        assert_eq!(wire_bytes(payload_of(1518)), 1538);
        assert_eq!(payload_of(LONGEST) + 28, usize::from(MTU));
    }

    #[test]
    fn mixed_sizes_fill_their_range_evenly() {
        let mut sizes = Sizes::new(FrameSize::Mixed, 7);
        let mut quarters = [0u32; 4];
        for _ in 0..8000 {
            let size = sizes.peek();
            assert!((SHORTEST..=MIXED_LONGEST).contains(&size));
            quarters[usize::from((size - SHORTEST) / 2235)] += 1;
            sizes.advance();
        }
        assert!(quarters.iter().all(|&n| (1800..2200).contains(&n)), "{quarters:?}");
    }

    #[test]
    fn a_size_reads_as_it_is_written() {
        assert_eq!("9000".parse(), Ok(FrameSize::Fixed(9000)));
        assert_eq!("mixed".parse(), Ok(FrameSize::Mixed));
        assert!("0".parse::<FrameSize>().unwrap_err().contains("64 to 9018"));
        assert_eq!(
            serde_json::to_string(&[FrameSize::Fixed(64), FrameSize::Mixed]).unwrap(),
            r#"[64,"mixed"]"#
        );
    }
}
