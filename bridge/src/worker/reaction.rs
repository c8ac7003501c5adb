//! How fast senders are told to pause: a histogram.

/// How long it took from the frame that closed or opened a gate to the flow-control frame: powers of two of a
/// microsecond.
#[derive(Default)]
pub(super) struct Reaction {
    pub(super) buckets: [u64; crate::state::REACTION_BUCKETS],
    pub(super) sum_ns: u64,
}

impl Reaction {
    /// One frame took so long.
    pub(super) fn record(&mut self, ns: u64) {
        let us = ns.div_ceil(1000).max(1);
        let bucket = us.next_power_of_two().trailing_zeros() as usize;
        self.buckets[bucket.min(crate::state::REACTION_BUCKETS - 1)] += 1;
        self.sum_ns += ns;
    }
}
