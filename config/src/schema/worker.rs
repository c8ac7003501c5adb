//! `[worker]`: how the threads of the data path run. Declarations only, see `sections`.

use super::section;
use super::value::{Int, List, OneOf, Word};
use crate::model::{Io, Poll, Scheduling};

impl Word for Io {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("io_uring", Self::IoUring), ("readiness", Self::Readiness)];
}

impl Word for Poll {
    const WORDS: &'static [(&'static str, Self)] =
        &[("sleep", Self::Sleep), ("adaptive", Self::Adaptive), ("busy", Self::Busy)];
}

impl Word for Scheduling {
    const WORDS: &'static [(&'static str, Self)] =
        &[("auto", Self::Auto), ("normal", Self::Normal), ("realtime", Self::Realtime)];
}

section! {
    /// The threads that move frames. It pays to change this when a delay or a rate is to be the best that the machine has.
    struct WorkerSection in "[worker]" {
        /// How many there are: ports go round, the first to the first thread. One moves frames with the least work and delay, and is enough as long as it has a processor to itself and does not use it up (`dcbridge_worker_cpu_seconds_total`). More pay where it does and others are idle: a frame whose ports belong to two threads costs more work, and may have to wait until the other thread wakes up. Each has a part of the buffer, so that one crowded port can take less of it.
        threads: Int<1, 16> = Int(1);
        /// How frames are handed to the kernel: "io_uring" reads and writes the short frames that a turn has for a TAP by one system call, "readiness" makes a call for each frame. "auto" takes io_uring where it is allowed (containers and hardened machines often forbid it) and else readiness; `dcbridge run` says which. "io_uring" where it can't be had is an error.
        io: OneOf<Io> = OneOf(Io::Auto);
        /// What the thread does when there is nothing to do: "sleep" until a frame or a time comes; "adaptive" goes on looking for up to 100 us before it sleeps as long as that pays, which saves a wake-up for every frame of a conversation (not where there is only one processor, nor behind more than 3 Gbit/s, nor while it runs before all ordinary work); "busy" never sleeps and keeps a processor to itself.
        poll: OneOf<Poll> = OneOf(Poll::Adaptive);
        /// "realtime" asks for SCHED_FIFO: the thread then runs as soon as it is woken, before all ordinary work, also on a machine that is busy otherwise (it needs CAP_SYS_NICE; without it `dcbridge run` says so and goes on). "auto" does so while lossless frames come, because what comes while a thread waits for its turn is what headroom has to hold.
        scheduling: OneOf<Scheduling> = OneOf(Scheduling::Auto);
        /// The processor that the thread stays on, counted from 0, or a list of them, one for each thread. Best such that nobody else uses.
        cpu: List<Int<0, 1023>> => "any";
    }
}
