//! In steady state nothing is allocated: neither by the scheduler nor by the switch.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use dcbridge_tests::load::{SchedulerLoad, SwitchLoad};

/// The system's allocator, which counts what this thread asks of it.
struct Counting;

thread_local! {
    static ASKED: Cell<u64> = const { Cell::new(0) };
}

fn ask() {
    // A thread that is ending has no counter any more, and nobody asks for it.
    let _ = ASKED.try_with(|asked| asked.set(asked.get() + 1));
}

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ask();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        ask();
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ask();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often `work` asks the allocator for anything, after it has run for a while.
fn asked(mut work: impl FnMut()) -> u64 {
    (0..10_000).for_each(|_| work());
    let before = ASKED.get();
    (0..100_000).for_each(|_| work());
    ASKED.get() - before
}

#[test]
fn the_counter_counts() {
    assert_eq!(asked(|| drop(std::hint::black_box(vec![1u8; 100]))), 200_000);
}

#[test]
fn the_scheduler_allocates_nothing() {
    for (ports, queued) in [(1, 0), (64, 1000), (64, 100_000)] {
        let mut load = SchedulerLoad::new(ports, queued);
        assert_eq!(asked(|| load.step()), 0, "{ports} ports, {queued} frames");
    }
}

#[test]
fn the_switch_allocates_nothing() {
    for len in [60, 1514] {
        let mut load = SwitchLoad::new(len);
        assert_eq!(asked(|| load.step()), 0, "{len} bytes");
    }
}
