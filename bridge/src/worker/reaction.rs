//! How fast senders are told to pause: a histogram.

use crate::state::{REACTION_BOUNDS_US, REACTION_BUCKETS};

/// How long it took from the frame that closed or opened a gate to the flow-control frame.
#[derive(Default)]
pub(super) struct Reaction {
    pub(super) buckets: [u64; REACTION_BUCKETS],
    pub(super) sum_ns: u64,
}

impl Reaction {
    /// One frame took so long.
    pub(super) fn record(&mut self, ns: u64) {
        self.buckets[REACTION_BOUNDS_US.partition_point(|bound| bound * 1000 < ns)] += 1;
        self.sum_ns += ns;
    }
}
