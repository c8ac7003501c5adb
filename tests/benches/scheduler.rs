//! What the scheduler costs: one frame in and one out. The target is 50 ns at 8 classes and 64 ports, whatever waits.

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dcbridge_tests::load::SchedulerLoad;

fn by_ports(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler/enqueue+dequeue/ports");
    for ports in [1u16, 8, 64] {
        let mut load = SchedulerLoad::new(ports, 16 * u32::from(ports));
        group.bench_function(BenchmarkId::from_parameter(ports), |b| b.iter(|| load.step()));
    }
}

fn by_backlog(c: &mut Criterion) {
    let mut group = c.benchmark_group("scheduler/enqueue+dequeue/queued frames at 64 ports");
    for queued in [0u32, 1_000, 10_000, 100_000] {
        let mut load = SchedulerLoad::new(64, queued);
        group.bench_function(BenchmarkId::from_parameter(queued), |b| b.iter(|| load.step()));
    }
}

criterion_group!(benches, by_ports, by_backlog);
criterion_main!(benches);
