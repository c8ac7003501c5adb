//! Shares of ETS classes.

use std::collections::VecDeque;

use dcbridge_scheduler::{
    ClassTable, FrameId, Meta, PortConfig, PortId, Priority, QueueLimit, Rate, Scheduler, Shape, Time, Tsa,
};
use dcbridge_tests::virtual_time::{Flow, OUT, Rig, Sizes, assert_balanced, ets_classes, share_error};

const GBIT: u64 = 1_000_000_000;
const SECOND: Time = Time::from_millis(1000);
const TOLERANCE: f64 = 0.001;

/// A 10 Gbit/s line and classes of which each is offered half as much again as its share.
fn over_offered(weights: &[u8]) -> Rig {
    let mut rig = Rig::new("10Gbit", &ets_classes(weights), "");
    for (number, &weight) in (0..).zip(weights) {
        rig.offer(Flow::new(number, 10 * GBIT / 100 * u64::from(weight) * 3 / 2));
    }
    rig
}

#[track_caller]
fn shared_by(got: &[u64], weights: &[u64]) {
    let error = share_error(got, weights);
    println!("{weights:?}: error {:.4} %", error * 100.0);
    assert!(error <= TOLERANCE, "{got:?} for weights {weights:?}");
}

#[test]
fn ets_uniform() {
    let got = over_offered(&[33, 33, 34]).run_until(SECOND);
    shared_by(&got[..3], &[33, 33, 34]);
}

#[test]
fn ets_5000_3500_1500() {
    let got = over_offered(&[50, 35, 15]).run_until(SECOND);
    shared_by(&got[..3], &[50, 35, 15]);
}

#[test]
fn ets_5000_2500() {
    let got = over_offered(&[67, 33]).run_until(SECOND);
    shared_by(&got[..2], &[67, 33]);
}

#[test]
fn ets_work_conserving() {
    let mut rig = Rig::new("10Gbit", &ets_classes(&[60, 30, 10]), "");
    rig.offer(Flow { until: SECOND, ..Flow::new(0, 9 * GBIT) });
    rig.offer(Flow::new(1, 9 * GBIT));
    rig.offer(Flow::new(2, 9 * GBIT));
    let all_three = rig.run_until(SECOND);
    shared_by(&all_three[..3], &[60, 30, 10]);
    // What the first had queued leaves.
    rig.run_until(Time::from_millis(1010));
    let without = rig.run_until(Time::from_millis(2010));
    assert_eq!(without[0], 0);
    shared_by(&without[1..3], &[75, 25]);
    let line = Rate::from_bits_per_second(10 * GBIT).bytes_in(SECOND);
    assert!(without.iter().sum::<u64>() as f64 >= 0.999 * line as f64, "{without:?}");
}

#[test]
fn ets_mixed_sizes() {
    let mut rig = Rig::new("10Gbit", &ets_classes(&[40, 30, 20, 10]), "");
    for (number, sizes) in
        (0..).zip([&[64u16] as &'static [u16], &[512], &[1504], &[9004]].map(Sizes::Frames))
    {
        rig.offer(Flow { sizes, ..Flow::new(number, 5 * GBIT) });
    }
    let got = rig.run_until(SECOND);
    shared_by(&got[..4], &[40, 30, 20, 10]);
    assert!(rig.got(0).frames > 100 * rig.got(3).frames, "frames are not what is shared");
    assert_balanced(&rig.snapshot());
}

#[test]
fn line_use() {
    for (gbit, sizes) in [
        (1, Sizes::Frames(&[64])),
        (10, Sizes::Frames(&[64, 9018, 777])),
        (25, Sizes::Superframes(1518)),
        (400, Sizes::Superframes(9018)),
    ] {
        // The smallest class alone, offered hardly more than the line carries.
        let mut rig = Rig::new(&format!("{gbit}Gbit"), &ets_classes(&[1, 99]), "");
        rig.offer(Flow { sizes, ..Flow::new(0, gbit * GBIT / 100 * 101) });
        let (begin, end) = (Time::from_millis(10), Time::from_millis(110));
        rig.run_until(begin);
        let got = rig.run_until(end)[0] as f64;
        let used = got / Rate::from_bits_per_second(gbit * GBIT).bytes_in(end - begin) as f64;
        println!("{gbit} Gbit/s, {sizes:?}: {:.3} %", used * 100.0);
        assert!((0.999..1.001).contains(&used), "{gbit} Gbit/s, {sizes:?}: {used}");
    }
}

#[test]
fn last_packet() {
    let mut rig = Rig::new("10Gbit", &ets_classes(&[8, 30, 62]), "buffer = \"192MB\"");
    let pause = |rig: &mut Rig, paused| {
        rig.sim.with((rig.node, OUT), |switch, _, now| {
            for priority in [0, 1] {
                let until = if paused { Time::NEVER } else { Time::ZERO };
                switch.pause(OUT, Priority::new(priority), until, now);
            }
        });
    };
    pause(&mut rig, true);
    let burst = Time::from_millis(20);
    for number in [0, 1] {
        rig.offer(Flow { until: burst, ..Flow::new(number, 10 * GBIT) });
    }
    rig.run_until(burst);
    assert_eq!(rig.got.borrow().wire, 0, "nothing passes a pause");
    let queued = rig.offered(0);
    assert!(queued > 20_000_000 && rig.offered(1) == queued, "equal bursts");
    pause(&mut rig, false);
    let mut end = burst;
    while rig.got(1).wire < queued {
        end = end + Time::from_micros(5);
        rig.run_until(end);
        assert!(end < Time::from_millis(200), "the faster class does not come to its end");
    }
    let (slower, faster) = (rig.got(0).wire as f64, rig.got(1).wire as f64);
    println!("{slower} : {faster}, {:.3} for 8 : 30", slower / faster * 30.0 / 8.0);
    assert!((slower / faster * 30.0 / 8.0 - 1.0).abs() < 0.02, "{slower} : {faster}");
    rig.run_until(Time::from_millis(200));
    assert_eq!(rig.got(0).wire, queued, "nothing was lost");
}

/// A scheduler whose queues never run dry and which numbers what it queues.
struct Loaded {
    scheduler: Scheduler,
    now: Time,
    free: Vec<FrameId>,
    queued: [VecDeque<FrameId>; 3],
    wire: [u64; 3],
}

fn port(weights: [u8; 3]) -> PortConfig {
    let mut classes = ClassTable { class_of: [2; 8], ..ClassTable::default() };
    for (n, weight) in weights.into_iter().enumerate() {
        classes.classes[n].tsa = Tsa::Ets { weight };
        classes.queues[n].limit = QueueLimit::Buffer;
        classes.class_of[n] = n as u8;
    }
    let line_rate = Some(Rate::from_bits_per_second(10 * GBIT));
    PortConfig { line_rate, burst: Time::ZERO, max_frame: 1518, superframes: true, classes }
}

impl Loaded {
    fn refill(&mut self) {
        for (priority, queue) in (0..).zip(&mut self.queued) {
            while queue.len() < 100 {
                let id = self.free.pop().expect("more frames than can be queued");
                let meta = Meta {
                    id,
                    ingress: PortId(0),
                    arrival: Priority::new(priority),
                    priority: Priority::new(priority),
                    cells: 6,
                    shape: Shape::frame(1514),
                };
                self.scheduler.enqueue(PortId(0), &meta, self.now).expect("there is room");
                queue.push_back(id);
            }
        }
    }

    /// What is sent until `end`: every grant must be the oldest of its queue, whole.
    fn run_until(&mut self, end: Time) -> [u64; 3] {
        let before = self.wire;
        while self.now < end {
            self.refill();
            while let Some(grant) = self.scheduler.poll(PortId(0), self.now) {
                let queue = grant.priority.index();
                assert_eq!(self.queued[queue].pop_front(), Some(grant.id), "lost or reordered");
                self.wire[queue] += 1514 + 24;
                assert!(self.scheduler.sent(grant.id));
                self.free.push(grant.id);
            }
            self.now = self.scheduler.next_wake(PortId(0)).expect("something waits");
        }
        std::array::from_fn(|i| self.wire[i] - before[i])
    }
}

/// At the scheduler: the program has no way yet to change weights while it runs.
#[test]
fn ets_live_change() {
    let scheduler = Scheduler::new(&[port([60, 30, 10])], 10_000, 1000);
    let free = (0..1000).map(FrameId).collect();
    let mut loaded =
        Loaded { scheduler, now: Time::ZERO, free, queued: Default::default(), wire: Default::default() };
    shared_by(&loaded.run_until(SECOND), &[60, 30, 10]);
    loaded.scheduler.configure(PortId(0), &port([10, 10, 80]));
    shared_by(&loaded.run_until(Time::from_millis(2000)), &[10, 10, 80]);
    loaded.scheduler.configure(PortId(0), &port([98, 1, 1]));
    shared_by(&loaded.run_until(Time::from_millis(3000)), &[98, 1, 1]);
}
