//! Frames to be sent by one call.
//!
//! What must not enter: whose turn it is, and how a device sends.

use dcbridge_scheduler::FrameId;

use super::{MAX_HEAD, TxDesc, VnetHeader};

const EMPTY: TxDesc = TxDesc {
    head: [0; MAX_HEAD],
    head_len: 0,
    body: FrameId(u32::MAX),
    off: 0,
    len: 0,
    vnet: VnetHeader { flags: 0, gso_type: 0, hdr_len: 0, gso_size: 0, csum_start: 0, csum_offset: 0 },
};

/// Frames in the order in which they leave. Its places are used again and again, and each is filled where it is: to hand on
/// all that a frame's own head may need costs more than to find out that most frames have none.
#[derive(Debug, Default)]
pub struct TxBatch {
    places: Vec<TxDesc>,
    used: usize,
}

impl TxBatch {
    /// Room for `frames` frames without an allocation.
    pub fn with_capacity(frames: usize) -> TxBatch {
        TxBatch { places: vec![EMPTY; frames], used: 0 }
    }

    /// No frames.
    pub fn clear(&mut self) {
        self.used = 0;
    }

    /// The place of the next frame. What it holds is of an earlier one: all of it but the unused part of `head` has to be
    /// set.
    #[inline]
    pub fn next_place(&mut self) -> &mut TxDesc {
        if self.used == self.places.len() {
            self.places.push(EMPTY);
        }
        &mut self.places[self.used]
    }

    /// The frame that is in the next place belongs to the batch.
    #[inline]
    pub fn keep_next(&mut self) {
        debug_assert!(self.used < self.places.len(), "nothing was put into a place");
        self.used = self.places.len().min(self.used + 1);
    }
}

impl std::ops::Deref for TxBatch {
    type Target = [TxDesc];

    fn deref(&self) -> &[TxDesc] {
        &self.places[..self.used]
    }
}
