//! What a frame costs between two devices: received (with its copy into memory), forwarded, granted, settled.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dcbridge_tests::load::{BATCH, SwitchLoad};

fn frames(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch/rx+poll+settle");
    group.throughput(Throughput::Elements(1));
    for len in [60usize, 1514] {
        let mut load = SwitchLoad::new(len);
        group.bench_function(BenchmarkId::from_parameter(format!("{} bytes", len + 4)), |b| {
            b.iter(|| load.step())
        });
    }
}

fn batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch/rx+poll+settle in batches");
    group.throughput(Throughput::Elements(BATCH.into()));
    let mut load = SwitchLoad::new(60);
    group.bench_function("64 bytes", |b| b.iter(|| load.batch()));
}

fn crossing(c: &mut Criterion) {
    let mut group = c.benchmark_group("switch/from one worker to another");
    group.throughput(Throughput::Elements(1));
    for len in [60usize, 1514] {
        let mut load = SwitchLoad::with_workers(len, 2);
        group.bench_function(BenchmarkId::from_parameter(format!("{} bytes", len + 4)), |b| {
            b.iter(|| load.step())
        });
    }
}

criterion_group!(benches, frames, batches, crossing);
criterion_main!(benches);
