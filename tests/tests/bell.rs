//! The bell between workers, in every order that the memory model allows: nothing that is handed over is slept over, and
//! nobody is woken twice for it. The bell is the program's own file, with loom's atomics.

use std::sync::Arc as StdArc;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;

#[path = "../../bridge/src/worker/bell.rs"]
mod bell;

mod sync {
    pub use loom::sync::atomic::{AtomicU8, Ordering, fence};
}

use bell::Bell;

/// What matters of a ring: a push publishes, a look acquires. And the descriptor: how often the worker was woken.
struct Pair {
    bell: Bell,
    frames: AtomicUsize,
    tokens: AtomicUsize,
    woken: AtomicUsize,
}

impl Pair {
    fn new() -> Arc<Pair> {
        let zero = || AtomicUsize::new(0);
        Arc::new(Pair { bell: Bell::new(), frames: zero(), tokens: zero(), woken: zero() })
    }

    fn put(&self, frame: bool) {
        let ring = if frame { &self.frames } else { &self.tokens };
        ring.fetch_add(1, Ordering::Release);
        if self.bell.ring(frame) {
            self.woken.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lies down, unless something is there. `true`: it sleeps.
    fn lie_down(&self, for_tokens_too: bool) -> bool {
        self.bell.lie_down(for_tokens_too);
        let frames = self.frames.load(Ordering::Acquire) > 0;
        let come = frames || (for_tokens_too && self.tokens.load(Ordering::Acquire) > 0);
        if come {
            self.bell.get_up();
        }
        !come
    }
}

/// Every order of a worker that lies down and of `senders` that put something: how it must end.
fn every_order(senders: &'static [bool], for_tokens_too: bool, check: fn(slept: bool, woken: usize)) {
    let orders = StdArc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = StdArc::clone(&orders);
    loom::model(move || {
        counted.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let pair = Pair::new();
        let threads: Vec<_> = senders
            .iter()
            .map(|&frame| {
                let pair = Arc::clone(&pair);
                thread::spawn(move || pair.put(frame))
            })
            .collect();
        let slept = pair.lie_down(for_tokens_too);
        for thread in threads {
            thread.join().expect("a sender");
        }
        check(slept, pair.woken.load(Ordering::Relaxed));
    });
    assert!(orders.load(std::sync::atomic::Ordering::Relaxed) > 1, "there was something to try");
}

#[test]
fn a_frame_is_not_slept_over() {
    every_order(&[true], false, |slept, woken| assert!(!slept || woken == 1, "asleep, and nobody wakes it"));
}

#[test]
fn of_two_who_hand_over_one_wakes() {
    every_order(&[true, true], false, |slept, woken| {
        assert!(!slept || woken >= 1);
        assert!(woken <= 1, "woken {woken} times");
    });
}

#[test]
fn a_token_wakes_only_who_waits_for_it() {
    every_order(&[false], true, |slept, woken| assert!(!slept || woken == 1));
    every_order(&[false], false, |slept, woken| assert!(slept && woken == 0));
}
