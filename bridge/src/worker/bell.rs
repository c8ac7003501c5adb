//! Who hands something over wakes the receiver if, and only if, it sleeps for that.
//!
//! The receiver says that it lies down and then looks once more whether something is there; who hands over puts it there
//! and then looks whether the receiver lies. A fence between both steps on both sides: so one of the two sees the other,
//! and nothing is slept over. (`tests/tests/bell.rs` lets loom try every order that the memory model allows.)
//!
//! What must not enter: what is handed over, descriptors.

use super::sync::{AtomicU8, Ordering, fence};

const AWAKE: u8 = 0;
/// To be woken for frames.
const DOZING: u8 = 1;
/// To be woken for tokens as well: somebody waits for a gate to open.
const WAITING: u8 = 2;

/// The bell of a worker.
pub struct Bell(AtomicU8);

impl Bell {
    /// Of a worker that is awake.
    pub fn new() -> Bell {
        Bell(AtomicU8::new(AWAKE))
    }

    /// The worker is about to sleep. It has to look once more before it does, and to get up if there is something.
    pub fn lie_down(&self, for_tokens_too: bool) {
        self.0.store(if for_tokens_too { WAITING } else { DOZING }, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The worker is awake.
    pub fn get_up(&self) {
        self.0.store(AWAKE, Ordering::Relaxed);
    }

    /// Something was handed over, frames or only tokens. `true`: whoever hears this has to wake the worker.
    pub fn ring(&self, frames: bool) -> bool {
        fence(Ordering::SeqCst);
        let state = self.0.load(Ordering::Relaxed);
        let wakes = state == WAITING || (frames && state == DOZING);
        // The first one wakes it.
        wakes && self.0.swap(AWAKE, Ordering::Relaxed) != AWAKE
    }
}
