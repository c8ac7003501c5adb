//! Where `bell` has its atomics from. The test that tries every order has others here.

pub use std::sync::atomic::{AtomicU8, Ordering, fence};
