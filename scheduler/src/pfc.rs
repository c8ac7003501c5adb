//! MAC control frames: priority-based flow control (802.1Q clause 36) and PAUSE (802.3 annex 31B).
//!
//! `Parsed` is the checked view of received bytes, lenient: short and long frames, any source address, bits that should
//! be zero. `Pfc` is what we send: it can only hold legal states.
//!
//! What must not enter: timers (a port has them), who is paused, why.

use crate::time::{Rate, Time};

/// Destination of MAC control frames.
pub const ADDRESS: [u8; 6] = [0x01, 0x80, 0xC2, 0x00, 0x00, 0x01];
/// Their ethertype.
pub const ETHERTYPE: u16 = 0x8808;
const PAUSE: u16 = 0x0001;
const PFC: u16 = 0x0101;
/// Bytes of a frame that we send: the shortest Ethernet frame, without FCS.
pub const FRAME_LEN: usize = 60;
const HEADER: usize = 14;
/// Opcode, vector and eight times.
const PFC_BODY: usize = 2 + 2 + 16;
const PAUSE_BODY: usize = 2 + 2;

/// How long a number of quanta lasts at a rate: one is 512 bit times.
pub const fn quanta(count: u16, rate: Rate) -> Time {
    rate.time_of(count as u64 * 64)
}

/// A received MAC control frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// Priority-based: times of the priorities in `enabled`; others are not touched.
    Pfc {
        /// Bit n: priority n.
        enabled: u8,
        /// Quanta by priority; 0 is XON.
        times: [u16; 8],
        /// Bits of the vector's high octet were set: ignored, and counted.
        odd_vector: bool,
    },
    /// Of the whole port, quanta.
    Pause(u16),
    /// Another opcode.
    Unknown(u16),
    /// Too short for its opcode.
    Malformed,
}

/// Reads what follows the ethertype.
pub fn parse(body: &[u8]) -> Parsed {
    let word = |at: usize| body.get(at..at + 2).map(|b| u16::from_be_bytes([b[0], b[1]]));
    match word(0) {
        Some(PFC) if body.len() >= PFC_BODY => {
            let vector = word(2).unwrap_or(0);
            let times = core::array::from_fn(|n| word(4 + 2 * n).unwrap_or(0));
            Parsed::Pfc { enabled: vector as u8, times, odd_vector: vector > 0xFF }
        }
        Some(PAUSE) if body.len() >= PAUSE_BODY => Parsed::Pause(word(2).unwrap_or(0)),
        None | Some(PFC | PAUSE) => Parsed::Malformed,
        Some(other) => Parsed::Unknown(other),
    }
}

/// A frame that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Sets the times of the priorities in `enabled`.
    Pfc {
        /// Bit n: priority n.
        enabled: u8,
        /// Quanta by priority; 0 is XON. Priorities that are not enabled are sent as 0.
        times: [u16; 8],
    },
    /// Pauses the whole port for so many quanta.
    Pause(u16),
}

impl Frame {
    /// The whole frame, padded.
    pub fn emit(&self, source: [u8; 6]) -> [u8; FRAME_LEN] {
        let mut frame = [0; FRAME_LEN];
        frame[..6].copy_from_slice(&ADDRESS);
        frame[6..12].copy_from_slice(&source);
        frame[12..HEADER].copy_from_slice(&ETHERTYPE.to_be_bytes());
        let mut put = |at: usize, value: u16| {
            frame[HEADER + at..HEADER + at + 2].copy_from_slice(&value.to_be_bytes());
        };
        match *self {
            Frame::Pfc { enabled, times } => {
                put(0, PFC);
                put(2, u16::from(enabled));
                for (n, time) in times.into_iter().enumerate() {
                    put(4 + 2 * n, if enabled & (1 << n) != 0 { time } else { 0 });
                }
            }
            Frame::Pause(time) => {
                put(0, PAUSE);
                put(2, time);
            }
        }
        frame
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_pfc_frame_looks_like_the_standard_says() {
        let mut times = [0; 8];
        times[3] = 0xFFFF;
        times[5] = 0x0102;
        times[7] = 9;
        let bytes = Frame::Pfc { enabled: 1 << 3 | 1 << 5, times }.emit([2, 0, 0, 0, 0, 1]);
        let mut expected = [0u8; FRAME_LEN];
        expected[..18].copy_from_slice(&[
            0x01, 0x80, 0xC2, 0, 0, 1, 2, 0, 0, 0, 0, 1, 0x88, 0x08, 0x01, 0x01, 0x00, 0x28,
        ]);
        expected[24..26].copy_from_slice(&[0xFF, 0xFF]);
        expected[28..30].copy_from_slice(&[0x01, 0x02]);
        assert_eq!(bytes, expected, "priority 7 is not enabled: its time is not sent");
    }

    #[test]
    fn lenient_where_peers_differ_and_strict_where_bytes_are_missing() {
        let frame = Frame::Pfc { enabled: 0x81, times: [1, 0, 0, 0, 0, 0, 0, 8] }.emit([0; 6]);
        let body = &frame[HEADER..];
        assert!(matches!(parse(&body[..20]), Parsed::Pfc { enabled: 0x81, odd_vector: false, .. }));
        assert_eq!(parse(&body[..19]), Parsed::Malformed);
        let mut odd = [0; 20];
        odd.copy_from_slice(&body[..20]);
        odd[2] = 0xFF;
        assert!(matches!(parse(&odd), Parsed::Pfc { enabled: 0x81, odd_vector: true, .. }));
        assert_eq!(parse(&[0, 1, 0, 5]), Parsed::Pause(5));
        assert_eq!(parse(&[0, 1, 0]), Parsed::Malformed);
        assert_eq!(parse(&[0, 6, 0, 0]), Parsed::Unknown(6));
        assert_eq!(parse(&[]), Parsed::Malformed);
    }

    #[test]
    fn a_quantum_is_512_bit_times() {
        assert_eq!(quanta(1, Rate::from_bits_per_second(1_000_000_000)), Time::from_nanos(512));
        let longest = quanta(65535, Rate::from_bits_per_second(10_000_000_000));
        assert_eq!(longest, Time::from_nanos(3_355_392));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_understood(enabled: u8, times: [u16; 8], source: [u8; 6]) {
            let frame = Frame::Pfc { enabled, times }.emit(source);
            let Parsed::Pfc { enabled: e, times: t, odd_vector } = parse(&frame[HEADER..]) else {
                panic!("not PFC");
            };
            prop_assert_eq!((e, odd_vector), (enabled, false));
            for n in 0..8 {
                prop_assert_eq!(t[n], if enabled & (1 << n) != 0 { times[n] } else { 0 });
            }
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            parse(&bytes);
        }
    }
}
