//! The scheduler against a reference model and against the promises in its essays.

use std::collections::{BTreeMap, VecDeque};
use std::vec::Vec;

use proptest::prelude::*;

mod lending;
mod lossless;
mod strict;

use super::*;

extern crate std;

const GBIT: u64 = 1_000_000_000;

fn table(weights: &[u8]) -> ClassTable {
    let mut table = ClassTable::default();
    for (i, &weight) in weights.iter().enumerate() {
        table.classes[i].tsa = if weight == 0 { Tsa::Strict } else { Tsa::Ets { weight } };
        table.class_of[i] = i as u8;
    }
    table.queues = [QueueConfig { limit: QueueLimit::Buffer, lifetime: None }; 8];
    table
}

fn port(rate: u64, classes: ClassTable) -> PortConfig {
    PortConfig {
        line_rate: Some(Rate::from_bits_per_second(rate)),
        burst: Time::ZERO,
        max_frame: 9018,
        superframes: true,
        classes,
    }
}

/// A port whose queues never run dry.
struct Flood {
    scheduler: Scheduler,
    now: Time,
    free: Vec<FrameId>,
    /// Wire bytes by priority.
    sent: [u64; 8],
    shapes: [Vec<Shape>; 8],
    turn: usize,
}

impl Flood {
    fn new(config: PortConfig, shapes: [Vec<Shape>; 8]) -> Flood {
        let frames = 1000;
        Flood {
            scheduler: Scheduler::new(&[config], 1 << 20, frames),
            now: Time::ZERO,
            free: (0..frames as u32).map(FrameId).collect(),
            sent: [0; 8],
            shapes,
            turn: 0,
        }
    }

    fn refill(&mut self, priority: Priority) {
        let shapes = &self.shapes[priority.index()];
        while !shapes.is_empty() && self.scheduler.backlog(PortId(0), priority, self.now).units < 4 {
            let shape = shapes[self.turn % shapes.len()];
            self.turn += 1;
            let id = self.free.pop().unwrap();
            let meta = Meta { id, ingress: PortId(0), arrival: priority, priority, cells: 1, shape };
            self.scheduler.enqueue(PortId(0), &meta, self.now).unwrap();
        }
    }

    fn run(&mut self, span: Time) {
        let end = self.now + span;
        Priority::all().for_each(|p| self.refill(p));
        while let Some(wake) = self.scheduler.next_wake(PortId(0)).filter(|&w| w < end) {
            self.now = self.now.max(wake);
            while let Some(grant) = self.scheduler.poll(PortId(0), self.now) {
                self.sent[grant.priority.index()] += u64::from(grant.wire);
                if grant.last {
                    assert!(self.scheduler.sent(grant.id));
                    self.free.push(grant.id);
                }
                self.refill(grant.priority);
            }
        }
        self.now = end;
    }

    fn shares(&self) -> [f64; 8] {
        let total: u64 = self.sent.iter().sum();
        self.sent.map(|s| s as f64 / total as f64)
    }
}

fn frames(lens: &[u32]) -> Vec<Shape> {
    lens.iter().map(|&l| Shape::frame(l)).collect()
}

fn superframes() -> Vec<Shape> {
    std::vec![Shape { segs: 45, seg_len: 1514, last_len: 500 }]
}

fn only(classes: usize, each: impl Fn(usize) -> Vec<Shape>) -> [Vec<Shape>; 8] {
    core::array::from_fn(|i| if i < classes { each(i) } else { Vec::new() })
}

#[test]
fn shares_are_exact_to_a_thousandth_at_every_rate_and_size() {
    let weights: [&[u8]; 4] = [&[60, 30, 10], &[33, 33, 34], &[1, 99], &[5, 10, 15, 20, 25, 10, 10, 5]];
    for rate in [10 * GBIT, 100 * GBIT, 400 * GBIT] {
        for weights in weights {
            let mixes: [fn(usize) -> Vec<Shape>; 3] = [
                |_| superframes(),
                |i| frames(&[[60, 9014, 508, 1514, 60, 9014, 200, 1514][i]]),
                |_| frames(&[60, 508, 1514, 9014]),
            ];
            for mix in mixes {
                let mut flood = Flood::new(port(rate, table(weights)), only(weights.len(), mix));
                flood.run(Time::from_millis(100));
                for (share, weight) in flood.shares().iter().zip(weights) {
                    let target = f64::from(*weight) / 100.0;
                    assert!((share - target).abs() < 0.001, "{weights:?} at {rate}: {share} for {target}");
                }
                let line = Rate::from_bits_per_second(rate).bytes_in(Time::from_millis(100));
                let used = flood.sent.iter().sum::<u64>() as f64 / line as f64;
                assert!(used > 0.999, "line used to {used}");
            }
        }
    }
}

#[test]
fn the_pieces_of_classes_mix_as_their_weights_say() {
    // 5 Gbit/s: pieces of 62 KB, A B C A A B A A B A.
    let mut flood = Flood::new(port(5 * GBIT, table(&[60, 30, 10])), only(3, |_| superframes()));
    let mut pieces = Vec::new();
    Priority::all().for_each(|p| flood.refill(p));
    while pieces.len() < 1000 {
        let now = flood.scheduler.next_wake(PortId(0)).unwrap();
        let grant = flood.scheduler.poll(PortId(0), now).unwrap();
        if grant.wire > 30_000 {
            pieces.push(grant.priority.index());
        }
        if grant.last {
            assert!(flood.scheduler.sent(grant.id));
            flood.free.push(grant.id);
        }
        flood.now = now;
        flood.refill(grant.priority);
    }
    for (class, longest) in [(0, 3), (1, 4), (2, 10)] {
        let at: Vec<usize> = (0..pieces.len()).filter(|&n| pieces[n] == class).collect();
        let apart = at.windows(2).map(|w| w[1] - w[0]).max().unwrap();
        assert!(apart <= longest, "class {class}: a piece only {apart} pieces after the last");
    }
}

#[test]
fn strict_goes_first_and_a_cap_leaves_the_rest_to_the_shares() {
    let mut classes = table(&[60, 40, 0]);
    classes.classes[2].max_rate = Some(Rate::from_bits_per_second(GBIT));
    let mut flood = Flood::new(port(10 * GBIT, classes), only(3, |_| frames(&[1514])));
    flood.run(Time::from_millis(200));
    let shares = flood.shares();
    assert!((shares[2] - 0.1).abs() < 0.001, "{shares:?}");
    assert!((shares[0] - 0.54).abs() < 0.001, "{shares:?}");
    let mut flood = Flood::new(port(10 * GBIT, table(&[60, 40, 0])), only(3, |_| frames(&[1514])));
    flood.run(Time::from_millis(10));
    assert!(flood.shares()[2] > 0.999, "an uncapped strict class takes the line");
}

#[test]
fn a_capped_class_reaches_the_smaller_of_its_rate_and_its_share() {
    for (mbit, mix) in [
        (500, frames(&[1514])),
        (1500, frames(&[60, 9014, 300])),
        (4500, superframes()),
        (7000, frames(&[1514])),
        (7000, superframes()),
    ] {
        let mut classes = table(&[50, 30, 20]);
        classes.classes[0].max_rate = Some(Rate::from_bits_per_second(mbit * GBIT / 1000));
        let mut flood = Flood::new(port(10 * GBIT, classes), only(3, |_| mix.clone()));
        flood.run(Time::from_millis(200));
        let shares = flood.shares();
        let capped = (mbit as f64 / 10_000.0).min(0.5);
        assert!((shares[0] - capped).abs() < 0.002, "{mbit} Mbit/s: {shares:?}");
        assert!((shares[1] - (1.0 - capped) * 0.6).abs() < 0.002, "{mbit} Mbit/s: {shares:?}");
        let line = Rate::from_bits_per_second(10 * GBIT).bytes_in(Time::from_millis(200));
        assert!(flood.sent.iter().sum::<u64>() as f64 / line as f64 > 0.999, "the line is used");
    }
}

#[test]
fn a_minimum_is_a_floor_under_the_share() {
    for (minimum, expected) in [(GBIT, 0.2), (5 * GBIT, 0.5)] {
        let mut classes = table(&[80, 20]);
        classes.classes[1].min_rate = Some(Rate::from_bits_per_second(minimum));
        let mut flood = Flood::new(port(10 * GBIT, classes), only(2, |_| frames(&[1514])));
        flood.run(Time::from_millis(200));
        let share = flood.shares()[1];
        assert!((share - expected).abs() < 0.01, "minimum {minimum}: share {share}, expected {expected}");
    }
}

#[test]
fn an_idle_class_leaves_its_share_to_the_others_by_weight() {
    let mut flood = Flood::new(
        port(10 * GBIT, table(&[60, 30, 10])),
        core::array::from_fn(|i| if i == 1 || i == 2 { frames(&[1514]) } else { Vec::new() }),
    );
    flood.run(Time::from_millis(100));
    assert!((flood.shares()[1] - 0.75).abs() < 0.001, "{:?}", flood.shares());
}

#[test]
fn a_paused_priority_does_not_block_its_class() {
    let mut classes = table(&[50, 50]);
    classes.class_of = [0, 1, 1, 1, 0, 0, 0, 0];
    let mut flood = Flood::new(port(10 * GBIT, classes), only(4, |_| frames(&[1514])));
    flood.scheduler.pause(PortId(0), Priority::new(2), Time::NEVER, Time::ZERO);
    flood.run(Time::from_millis(50));
    let shares = flood.shares();
    assert_eq!(flood.sent[2], 0);
    assert!((shares[1] - 0.25).abs() < 0.001 && (shares[3] - 0.25).abs() < 0.001, "{shares:?}");
    flood.scheduler.resume(PortId(0), Priority::new(2), flood.now);
    let paused = flood.scheduler.backlog(PortId(0), Priority::new(2), flood.now).paused_for;
    assert_eq!(paused, Time::from_millis(50));
    flood.sent = [0; 8];
    flood.run(Time::from_millis(50));
    assert!((flood.shares()[2] - 1.0 / 6.0).abs() < 0.001, "{:?}", flood.shares());
}

#[test]
fn new_weights_hold_at_once() {
    let mut flood = Flood::new(port(10 * GBIT, table(&[80, 20])), only(2, |_| superframes()));
    flood.run(Time::from_millis(50));
    flood.scheduler.configure(PortId(0), &port(10 * GBIT, table(&[20, 80])));
    flood.sent = [0; 8];
    flood.run(Time::from_millis(50));
    assert!((flood.shares()[0] - 0.2).abs() < 0.003, "{:?}", flood.shares());
}

#[test]
fn a_priority_that_moves_to_another_class_takes_its_queue_along() {
    let classes = table(&[80, 20]);
    let mut flood = Flood::new(port(10 * GBIT, classes), only(3, |_| superframes()));
    flood.run(Time::from_millis(50));
    // Priority 2 was in class 0 with priority 0; now it shares class 1 with priority 1.
    let moved = ClassTable { class_of: [0, 1, 1, 0, 0, 0, 0, 0], ..classes };
    flood.scheduler.configure(PortId(0), &port(10 * GBIT, moved));
    flood.sent = [0; 8];
    flood.run(Time::from_millis(50));
    for (share, target) in flood.shares().into_iter().zip([0.8, 0.1, 0.1]) {
        assert!((share - target).abs() < 0.003, "{:?}", flood.shares());
    }
}

#[test]
fn a_strict_frame_waits_for_one_cut_at_most() {
    for rate in [GBIT / 10, GBIT, 10 * GBIT] {
        let config = port(rate, table(&[100, 0]));
        let mut flood = Flood::new(config, only(1, |_| superframes()));
        flood.run(Time::from_millis(20));
        let meta = Meta {
            id: flood.free.pop().unwrap(),
            ingress: PortId(0),
            arrival: Priority::new(1),
            priority: Priority::new(1),
            cells: 1,
            shape: Shape::frame(60),
        };
        flood.scheduler.enqueue(PortId(0), &meta, flood.now).unwrap();
        let wake = flood.scheduler.next_wake(PortId(0)).unwrap();
        assert_eq!(flood.scheduler.poll(PortId(0), wake).unwrap().id, meta.id);
        let one_frame = Rate::from_bits_per_second(rate).time_of(1538);
        assert!(wake - flood.now <= Time::from_micros(100).max(one_frame), "{rate}: {:?}", wake - flood.now);
    }
}

#[test]
fn thresholds_refuse_by_queue_and_by_buffer() {
    let mut classes = table(&[50, 50]);
    classes.queues[0].limit = QueueLimit::Static(10);
    classes.queues[1].limit = QueueLimit::Dynamic(0);
    let mut s = Scheduler::new(&[port(GBIT, classes)], 100, 200);
    let mut next = 0;
    let mut offer = |s: &mut Scheduler, priority: u8, cells: u16| {
        next += 1;
        let p = Priority::new(priority);
        let shape = Shape::frame(60);
        let meta = Meta { id: FrameId(next), ingress: PortId(0), arrival: p, priority: p, cells, shape };
        s.enqueue(PortId(0), &meta, Time::ZERO)
    };
    for _ in 0..10 {
        assert_eq!(offer(&mut s, 0, 1), Ok(()));
    }
    assert_eq!(offer(&mut s, 0, 1), Err(Refused::QueueFull));
    // alpha 1: a queue may hold as much as is left: half of the 90 cells.
    let admitted = (0..90).take_while(|_| offer(&mut s, 1, 1).is_ok()).count();
    assert_eq!(admitted, 45);
    assert_eq!(offer(&mut s, 1, 1), Err(Refused::QueueFull));
    assert_eq!(s.occupancy().used, 55);
    assert_eq!(s.group(PortId(0), Priority::new(1)).cells(), 45);
}

#[test]
fn a_flooded_frame_is_charged_once_and_freed_with_its_last_copy() {
    let config = port(GBIT, table(&[100]));
    let mut s = Scheduler::new(&[config; 3], 10, 10);
    let p = Priority::new(0);
    let meta = Meta {
        id: FrameId(1),
        ingress: PortId(0),
        arrival: p,
        priority: p,
        cells: 6,
        shape: Shape::frame(1514),
    };
    for out in [1, 2] {
        s.enqueue(PortId(out), &meta, Time::ZERO).unwrap();
    }
    assert_eq!(s.occupancy().used, 6);
    assert!(s.poll(PortId(1), Time::ZERO).unwrap().last);
    assert!(!s.sent(FrameId(1)));
    assert_eq!(s.occupancy().used, 6);
    assert!(s.discard(PortId(2), p).unwrap().last);
    assert!(s.sent(FrameId(1)));
    assert_eq!(s.occupancy().used, 0);
}

#[derive(Clone, Debug)]
enum Step {
    Offer {
        priority: u8,
        segs: u16,
        len: u32,
        cells: u16,
    },
    Wait {
        us: u64,
    },
    Drain {
        most: u8,
    },
    Pause {
        priority: u8,
        on: bool,
    },
    Discard {
        priority: u8,
    },
    /// Weights by class (0: strict), and the class of each priority.
    Classes {
        weights: Vec<u8>,
        class_of: [u8; 8],
    },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (0..8u8, 1..50u16, 14..9018u32, 1..300u16)
            .prop_map(|(priority, segs, len, cells)| Step::Offer { priority, segs, len, cells }),
        3 => (0..200u64).prop_map(|us| Step::Wait { us }),
        6 => (1..20u8).prop_map(|most| Step::Drain { most }),
        1 => (0..8u8, any::<bool>()).prop_map(|(priority, on)| Step::Pause { priority, on }),
        1 => (0..8u8).prop_map(|priority| Step::Discard { priority }),
        1 => (prop::collection::vec(0..100u8, 8), prop::array::uniform8(0..8u8))
            .prop_map(|(weights, class_of)| Step::Classes { weights, class_of }),
    ]
}

/// What must be true of any scheduler: plain queues, and nothing clever.
#[derive(Default)]
struct Model {
    queues: BTreeMap<u8, VecDeque<(FrameId, Shape, u16)>>,
    paused: u8,
}

impl Model {
    fn eligible(&self) -> bool {
        self.queues.iter().any(|(p, q)| !q.is_empty() && self.paused & (1 << p) == 0)
    }

    fn accept(&mut self, grant: &Grant) {
        let queue = self.queues.get_mut(&grant.priority.get()).expect("a queue that holds something");
        let (id, shape, sent) = queue.front_mut().expect("a frame that was queued");
        assert_eq!(*id, grant.id, "first in, first out");
        assert_eq!(*sent, grant.from, "no segment lost or sent twice");
        assert_eq!(shape.bytes(grant.from, grant.to), u64::from(grant.bytes));
        assert_eq!(shape.wire(grant.from, grant.to), u64::from(grant.wire));
        assert_eq!(grant.last, grant.to == shape.segs);
        *sent = grant.to;
        if grant.last {
            queue.pop_front();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn whatever_happens_nothing_is_lost_doubled_or_reordered(steps in prop::collection::vec(step(), 1..300)) {
        let config = |weights: &[u8]| port(10 * GBIT, table(weights));
        let mut s = Scheduler::new(&[config(&[10; 8])], 2000, 400);
        let mut model = Model::default();
        let mut free: Vec<FrameId> = (0..400).map(FrameId).collect();
        let mut now = Time::ZERO;
        let mut used = 0u32;
        let mut cells_of = BTreeMap::new();
        for step in steps {
            match step {
                Step::Offer { priority, segs, len, cells } => {
                    let Some(id) = free.pop() else { continue };
                    let shape = Shape { segs, seg_len: len, last_len: len / 2 + 7 };
                    let p = Priority::new(priority);
                    let meta = Meta { id, ingress: PortId(0), arrival: p, priority: p, cells, shape };
                    match s.enqueue(PortId(0), &meta, now) {
                        Ok(()) => {
                            model.queues.entry(priority).or_default().push_back((id, shape, 0));
                            used += u32::from(cells);
                            cells_of.insert(id, cells);
                        }
                        Err(refused) => {
                            prop_assert_eq!(refused, Refused::BufferFull);
                            prop_assert!(used + u32::from(cells) > 2000);
                            free.push(id);
                        }
                    }
                }
                Step::Wait { us } => now = now + Time::from_micros(us),
                Step::Drain { most } => for _ in 0..most {
                    if let Some(wake) = s.next_wake(PortId(0)) {
                        now = now.max(wake);
                    }
                    let Some(grant) = s.poll(PortId(0), now) else {
                        // Work conservation: at its wake time the line is free, so only an empty port says no.
                        prop_assert!(!model.eligible());
                        break;
                    };
                    prop_assert!(model.paused & (1 << grant.priority.get()) == 0, "a paused queue sent");
                    model.accept(&grant);
                    if grant.last {
                        prop_assert!(s.sent(grant.id));
                        used -= u32::from(cells_of[&grant.id]);
                        free.push(grant.id);
                    }
                },
                Step::Pause { priority, on } => {
                    model.paused = model.paused & !(1 << priority) | u8::from(on) << priority;
                    if on {
                        s.pause(PortId(0), Priority::new(priority), Time::NEVER, now);
                    } else {
                        s.resume(PortId(0), Priority::new(priority), now);
                    }
                }
                Step::Discard { priority } => if let Some(grant) = s.discard(PortId(0), Priority::new(priority)) {
                    model.accept(&grant);
                    prop_assert!(grant.last);
                    prop_assert!(s.sent(grant.id));
                    used -= u32::from(cells_of[&grant.id]);
                    free.push(grant.id);
                },
                Step::Classes { weights, class_of } => {
                    s.configure(PortId(0), &port(10 * GBIT, ClassTable { class_of, ..table(&weights) }));
                }
            }
            prop_assert_eq!(s.occupancy().used, used);
            for p in Priority::all() {
                let backlog = s.backlog(PortId(0), p, now);
                let queue = model.queues.get(&p.get());
                prop_assert_eq!(backlog.units, queue.map_or(0, |q| q.len() as u64));
                let frames: u64 = queue.map_or(0, |q| q.iter().map(|(_, s, at)| u64::from(s.segs - at)).sum());
                prop_assert_eq!(backlog.frames, frames);
            }
        }
    }

    /// Two classes that are never empty get bytes as their weights say, to within a round's quantum and a frame or piece
    /// of each, over any span: not only in the long run.
    #[test]
    fn the_share_error_is_bounded_over_every_span(
        weights in prop::collection::vec(1..100u8, 2..8),
        lens in prop::collection::vec(60..9000u32, 8),
        segs in prop::collection::vec(prop::sample::select(std::vec![1u16, 1, 5, 45]), 8),
        rate in prop::sample::select(std::vec![GBIT / 10, GBIT, 10 * GBIT, 100 * GBIT]),
        spans in prop::collection::vec(1..2000u64, 5),
    ) {
        let config = port(rate, table(&weights));
        let shape = |i: usize| {
            let len = if segs[i] == 1 { lens[i] } else { lens[i].min(1514) };
            Shape { segs: segs[i], seg_len: len, last_len: len }
        };
        let mut flood = Flood::new(config, only(weights.len(), |i| std::vec![shape(i)]));
        let least = f64::from(*weights.iter().min().unwrap());
        let cut = (Rate::from_bits_per_second(rate).bytes_in(Time::from_micros(100)) as f64).min(69_400.0);
        // Bytes a round for each unit of weight, as the essay in `ets` says.
        let unit = (cut / 8.0).max(9018.0 + 24.0) / least + 1.0;
        let largest = |i: usize| {
            let all = shape(i).wire(0, segs[i]) as f64;
            if segs[i] == 1 { all } else { all.min(cut).max(f64::from(lens[i]) + 24.0) }
        };
        for span in spans {
            flood.sent = [0; 8];
            flood.run(Time::from_micros(span));
            for (i, &wi) in weights.iter().enumerate() {
                for (j, &wj) in weights.iter().enumerate() {
                    let (wi, wj) = (f64::from(wi), f64::from(wj));
                    let gap = (flood.sent[i] as f64 / wi - flood.sent[j] as f64 / wj).abs();
                    let bound = unit + largest(i) / wi + largest(j) / wj;
                    prop_assert!(gap <= bound, "classes {i} and {j}: {gap} above {bound}");
                }
            }
        }
    }
}
