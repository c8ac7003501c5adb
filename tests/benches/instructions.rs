//! Instructions of the same loads, counted by callgrind: a figure that a busy machine does not move.
//!
//! Needs `valgrind` and a runner of the library's version, so it is behind a feature:
//!
//! ```sh
//! cargo install gungraun-runner --version 0.20.0
//! cargo bench -p dcbridge-tests --features instructions --bench instructions
//! ```

#![allow(unused_qualifications)] // the attribute macros of gungraun write paths in full

use std::hint::black_box;

use dcbridge_tests::load::{SchedulerLoad, SwitchLoad};
use gungraun::{library_benchmark, library_benchmark_group, main};

const STEPS: u32 = 1000;

fn scheduler(ports: u16, queued: u32) -> SchedulerLoad {
    SchedulerLoad::new(ports, queued)
}

#[library_benchmark]
#[bench::one_port(args = (1, 16), setup = scheduler)]
#[bench::ports_64(args = (64, 1024), setup = scheduler)]
#[bench::ports_64_backlog_100000(args = (64, 100_000), setup = scheduler)]
fn enqueue_dequeue_1000(mut load: SchedulerLoad) -> SchedulerLoad {
    for _ in 0..STEPS {
        black_box(&mut load).step();
    }
    load
}

#[library_benchmark]
#[bench::frames_64(args = (60), setup = SwitchLoad::new)]
#[bench::frames_1518(args = (1514), setup = SwitchLoad::new)]
fn rx_poll_settle_1000(mut load: SwitchLoad) -> SwitchLoad {
    for _ in 0..STEPS {
        black_box(&mut load).step();
    }
    load
}

#[library_benchmark]
#[bench::frames_64(args = (60), setup = SwitchLoad::new)]
fn batch_of_64(mut load: SwitchLoad) -> SwitchLoad {
    for _ in 0..16 {
        black_box(&mut load).batch();
    }
    load
}

library_benchmark_group!(
    name = frames,
    benchmarks = [enqueue_dequeue_1000, rx_poll_settle_1000, batch_of_64]
);
main!(library_benchmark_groups = frames);
