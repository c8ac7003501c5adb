//! Frames in a byte stream: each behind its length, 4 bytes, most significant first (QEMU `-netdev stream`).
//!
//! What must not enter: sockets.

use std::fmt;

use crate::arena::MAX_FRAME;

/// Bytes of the length in front of a frame.
pub(super) const LENGTH: usize = 4;
/// Bytes that are read at once. It bounds what lies between the peer and admission to the switch.
const BUFFER: usize = 256 * 1024;
const _: () =
    assert!(BUFFER >= 2 * (LENGTH + MAX_FRAME), "a partial frame must leave room for the next read");

/// A length that no frame has: the peer speaks something else, or lost its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadLength(u32);

impl fmt::Display for BadLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "protocol error: the peer announced a frame of {} bytes (1 to {MAX_FRAME} are possible)",
            self.0
        )
    }
}

/// Bytes that came and are not yet taken as frames.
pub(super) struct Reassembly {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Reassembly {
    pub(super) fn new() -> Reassembly {
        Reassembly { buffer: vec![0; BUFFER].into_boxed_slice(), start: 0, end: 0 }
    }

    /// Forgets everything: a new connection begins with a length.
    pub(super) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// The first frame, when all of it is there.
    pub(super) fn peek(&self) -> Result<Option<&[u8]>, BadLength> {
        let bytes = &self.buffer[self.start..self.end];
        let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        if length == 0 || length as usize > MAX_FRAME {
            return Err(BadLength(length));
        }
        Ok(rest.get(..length as usize))
    }

    /// Takes away the frame of `len` bytes that `peek` gave.
    pub(super) fn advance(&mut self, len: usize) {
        self.start += LENGTH + len;
        if self.start >= self.end {
            self.clear();
        }
    }

    /// Where to read to; never empty when `peek` gave no frame.
    pub(super) fn space(&mut self) -> &mut [u8] {
        if self.start > 0 && self.end > BUFFER / 2 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// `n` bytes were read to `space`.
    pub(super) fn filled(&mut self, n: usize) {
        self.end += n;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(r: &mut Reassembly, bytes: &[u8]) {
        let space = r.space();
        space[..bytes.len()].copy_from_slice(bytes);
        r.filled(bytes.len());
    }

    #[test]
    fn frames_come_out_whole_however_the_stream_is_cut() {
        let lengths = [1, 14, 60, 1514, 9014, MAX_FRAME, 2, 65_549];
        let frame = |i: usize| vec![i as u8 + 1; lengths[i % lengths.len()]];
        let count = 64;
        let mut wire = Vec::new();
        for i in 0..count {
            let frame = frame(i);
            wire.extend((frame.len() as u32).to_be_bytes());
            wire.extend(frame);
        }
        for cut in [1009, 1514, 4096, 65_536, BUFFER] {
            let mut r = Reassembly::new();
            let (mut sent, mut got) = (0, 0);
            while got < count {
                let n = cut.min(wire.len() - sent).min(r.space().len());
                feed(&mut r, &wire[sent..sent + n]);
                sent += n;
                while let Some(bytes) = r.peek().unwrap() {
                    assert!(bytes == frame(got), "frame {got} in pieces of {cut}");
                    let len = bytes.len();
                    r.advance(len);
                    got += 1;
                }
            }
            assert_eq!(sent, wire.len());
            assert!(r.peek().unwrap().is_none());
        }
    }

    #[test]
    fn lengths_that_no_frame_has_are_errors() {
        for wrong in [0, MAX_FRAME as u32 + 1, u32::MAX, u32::from_be_bytes(*b"GET ")] {
            let mut r = Reassembly::new();
            feed(&mut r, &wrong.to_be_bytes());
            assert_eq!(r.peek(), Err(BadLength(wrong)));
            assert!(BadLength(wrong).to_string().contains(&wrong.to_string()));
        }
    }
}
