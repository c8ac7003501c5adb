//! A strict class beside superframes: it waits for a segment, not for what a caller got as one piece.

use std::vec::Vec;

use super::*;

const BULK: Priority = Priority::new(0);
const STRICT: Priority = Priority::new(1);
const SUPERFRAME: Shape = Shape { segs: 40, seg_len: 1514, last_len: 1514 };

/// A line of 1 Gbit/s with a bulk and a strict class.
struct Line {
    scheduler: Scheduler,
    next: u32,
}

impl Line {
    fn new() -> Line {
        let config = port(GBIT, table(&[100, 0]));
        Line { scheduler: Scheduler::new(&[config], 1 << 20, 10_000), next: 0 }
    }

    fn queue(&mut self, priority: Priority, shape: Shape, now: Time) {
        let id = FrameId(self.next);
        self.next += 1;
        let meta = Meta { id, ingress: PortId(0), arrival: priority, priority, cells: 1, shape };
        self.scheduler.enqueue(PortId(0), &meta, now).unwrap();
    }

    /// Everything that goes at `now`: priorities and wire bytes.
    fn sent(&mut self, now: Time) -> Vec<(Priority, u32)> {
        let mut sent = Vec::new();
        while let Some(grant) = self.scheduler.poll(PortId(0), now) {
            sent.push((grant.priority, grant.wire));
        }
        sent
    }
}

/// Makes the strict frame eligible, at the earliest at the instant that is answered.
type Change = fn(&mut Line, Time) -> Time;

fn us(us: u64) -> Time {
    Time::from_micros(us)
}

#[test]
fn a_strict_frame_goes_between_the_segments_of_a_piece_and_the_line_is_busy_longer() {
    let mut line = Line::new();
    line.queue(BULK, SUPERFRAME, Time::ZERO);
    // 8 segments are 98.4 us.
    assert_eq!(line.sent(Time::ZERO), [(BULK, 8 * 1538)]);
    line.queue(STRICT, Shape::frame(1226), us(10));
    assert_eq!(line.scheduler.next_wake(PortId(0)), Some(Time::ZERO), "at once");
    assert_eq!(line.sent(us(10)), [(STRICT, 1250)]);
    // A strict frame more is 10 us more.
    assert_eq!(line.scheduler.next_wake(PortId(0)), Some(Time::from_nanos(98_432 + 10_000)));
    assert_eq!(line.sent(us(108)), []);
    assert_eq!(line.sent(us(109)), [(BULK, 8 * 1538)]);
}

#[test]
fn behind_single_frames_a_strict_class_waits_for_the_one_on_the_line() {
    let mut line = Line::new();
    line.queue(BULK, Shape::frame(9014), Time::ZERO);
    assert_eq!(line.sent(Time::ZERO).len(), 1);
    line.queue(STRICT, Shape::frame(60), us(10));
    assert_eq!(line.sent(us(72)), []);
    assert_eq!(line.sent(us(73)), [(STRICT, 84)]);
}

#[test]
fn a_strict_flood_stays_below_the_rate_of_the_line() {
    let mut line = Line::new();
    line.queue(BULK, SUPERFRAME, Time::ZERO);
    let mut bytes = line.sent(Time::ZERO).iter().map(|&(_, wire)| u64::from(wire)).sum::<u64>();
    for at in 0..2000 {
        for _ in 0..4 {
            line.queue(STRICT, Shape::frame(300), us(at));
        }
        let sent = line.sent(us(at));
        assert!(sent.iter().all(|&(priority, _)| priority == STRICT));
        bytes += sent.iter().map(|&(_, wire)| u64::from(wire)).sum::<u64>();
        // A piece may be ahead of the line, and the frame that then begins.
        let carried = at * 125;
        assert!(bytes <= carried + 2 * 8 * 1538 + 324, "{bytes} bytes in {at} us");
    }
    assert!(bytes > 1999 * 125);
}

#[test]
fn a_strict_class_that_its_maximum_rate_holds_wakes_nobody_before_its_time() {
    let mut classes = table(&[100, 0]);
    classes.classes[1].max_rate = Some(Rate::from_bits_per_second(GBIT / 100));
    let mut line = Line { scheduler: Scheduler::new(&[port(GBIT, classes)], 1 << 20, 10_000), next: 0 };
    line.queue(STRICT, Shape::frame(1226), Time::ZERO);
    line.queue(STRICT, Shape::frame(1226), Time::ZERO);
    line.queue(BULK, SUPERFRAME, Time::ZERO);
    let mut sent = [0, 0];
    let mut now = Time::ZERO;
    while let Some(wake) = line.scheduler.next_wake(PortId(0)) {
        now = now.max(wake);
        let went = line.sent(now);
        assert!(!went.is_empty(), "woken at {now:?} for nothing");
        for (priority, wire) in went {
            sent[priority.index()] += wire;
        }
    }
    assert_eq!(sent, [40 * 1538, 2 * 1250]);
    // The second strict frame had to wait for 1250 bytes at 10 Mbit/s.
    assert!(now >= us(1000), "{now:?}");
}

#[test]
fn whatever_makes_a_strict_frame_eligible_it_goes_before_the_next_of_a_long_turn() {
    let frame = Shape::frame(60);
    let next = |line: &mut Line, now: &mut Time| {
        *now = (*now).max(line.scheduler.next_wake(PortId(0)).unwrap());
        line.scheduler.poll(PortId(0), *now).unwrap().priority
    };
    let changes: [(&str, Change); 4] = [
        ("it comes", |line, now| {
            line.queue(STRICT, Shape::frame(60), now);
            now
        }),
        ("its pause is ended", |line, now| {
            line.scheduler.resume(PortId(0), STRICT, now);
            now
        }),
        ("its pause ends by itself", |line, now| {
            line.scheduler.pause(PortId(0), STRICT, now + us(1), now);
            now + us(1)
        }),
        ("its class becomes strict", |line, now| {
            line.scheduler.configure(PortId(0), &port(GBIT, table(&[100, 0])));
            now
        }),
    ];
    for (name, change) in changes {
        let mut line = Line::new();
        if name == "its class becomes strict" {
            line.scheduler.configure(PortId(0), &port(GBIT, table(&[99, 1])));
        }
        let mut now = Time::ZERO;
        for _ in 0..20 {
            line.queue(BULK, frame, now);
        }
        if name.contains("pause") {
            line.scheduler.pause(PortId(0), STRICT, Time::NEVER, now);
        }
        if name != "it comes" {
            line.queue(STRICT, frame, now);
        }
        for _ in 0..5 {
            assert_eq!(next(&mut line, &mut now), BULK, "{name}");
        }
        now = change(&mut line, now);
        assert_eq!(next(&mut line, &mut now), STRICT, "{name}");
        assert_eq!(next(&mut line, &mut now), BULK, "{name}");
        // And who is paused in its turn sends nothing more.
        line.scheduler.pause(PortId(0), BULK, Time::NEVER, now);
        assert_eq!(line.scheduler.next_wake(PortId(0)), None, "{name}");
        assert_eq!(line.scheduler.poll(PortId(0), now + us(100)), None, "{name}");
    }
}
