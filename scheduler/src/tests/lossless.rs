//! Priority groups, gates, pauses and lifetimes.

extern crate std;

use std::collections::VecDeque;
use std::vec::Vec;

use proptest::prelude::*;

use super::{GBIT, port, table};
use crate::*;

const P: PortId = PortId(0);

fn prio(n: u8) -> Priority {
    Priority::new(n)
}

/// One port; priority 1 lossless with the given limits, in a buffer of 1000 cells.
fn lossless(limits: GroupConfig) -> Scheduler {
    let mut s = Scheduler::new(&[port(10 * GBIT, table(&[50, 50]))], 1000, 4000);
    s.configure_group(P, prio(1), Some(limits));
    s
}

const LIMITS: GroupConfig =
    GroupConfig { reserved: 10, limit: QueueLimit::Static(90), headroom: 50, xon_offset: 20 };

fn offer(s: &mut Scheduler, id: u32, priority: u8, cells: u16) -> Result<(), Refused> {
    let p = prio(priority);
    let meta =
        Meta { id: FrameId(id), ingress: P, arrival: p, priority: p, cells, shape: Shape::frame(1514) };
    s.enqueue(P, &meta, Time::ZERO)
}

fn drain(s: &mut Scheduler, priority: u8) {
    let grant = s.discard(P, prio(priority)).unwrap();
    assert!(s.sent(grant.id));
}

#[test]
fn the_gate_closes_with_the_first_cell_of_headroom_and_frames_are_refused_behind_its_last() {
    let mut s = lossless(LIMITS);
    for id in 0..100 {
        assert_eq!(offer(&mut s, id, 1, 1), Ok(()));
        assert_eq!(s.gate_event(), None, "cell {id} is below the XOFF point");
    }
    for id in 100..150 {
        assert_eq!(offer(&mut s, id, 1, 1), Ok(()));
        let event = (id == 100).then_some((P, prio(1), false));
        assert_eq!(s.gate_event(), event, "XOFF once");
    }
    assert_eq!(offer(&mut s, 150, 1, 1), Err(Refused::HeadroomFull));
    assert_eq!(offer(&mut s, 151, 0, 1), Ok(()), "only that group is full");
    let held = s.group(P, prio(1));
    assert_eq!((held.reserved, held.shared, held.headroom, held.headroom_peak), (10, 90, 50, 50));
}

#[test]
fn the_gate_opens_below_the_limit_by_the_offset_and_once() {
    let mut s = lossless(LIMITS);
    for id in 0..120 {
        offer(&mut s, id, 1, 1).unwrap();
    }
    assert_eq!(s.gate_event(), Some((P, prio(1), false)));
    for left in (0..120).rev() {
        drain(&mut s, 1);
        // 10 reserved and 70 shared are left when the offset is reached.
        let opens = (left == 80).then_some((P, prio(1), true));
        assert_eq!(s.gate_event(), opens, "{left} cells left");
    }
    assert_eq!(s.occupancy().used, 0);
}

#[test]
fn a_shrinking_limit_closes_and_a_rising_one_opens() {
    let limits = GroupConfig { limit: QueueLimit::Dynamic(0), reserved: 0, headroom: 100, xon_offset: 10 };
    let mut s = lossless(limits);
    // Alpha 1: half of the 900 shared cells.
    let mut id = 0;
    while s.gate_event().is_none() {
        offer(&mut s, id, 1, 1).unwrap();
        id += 1;
    }
    assert_eq!(id, 451);
    let mut s = lossless(limits);
    for id in 0..200 {
        offer(&mut s, id, 1, 1).unwrap();
    }
    // A lossy class takes its part of what is left: the limit falls.
    for id in 1000..1400 {
        let _ = offer(&mut s, id, 0, 1);
    }
    let mut id = 500;
    while !s.group(P, prio(1)).closed {
        offer(&mut s, id, 1, 1).unwrap();
        id += 1;
    }
    assert!(s.group(P, prio(1)).shared < 400);
    assert_eq!(s.gate_event(), Some((P, prio(1), false)));
    // The lossy class drains: the gate opens though nothing of the group itself left (but its headroom).
    while s.group(P, prio(1)).headroom > 0 {
        drain(&mut s, 1);
    }
    while s.group(P, prio(1)).closed {
        drain(&mut s, 0);
    }
    assert_eq!(s.gate_event(), Some((P, prio(1), true)));
}

#[test]
fn lossy_frames_never_touch_what_is_set_apart() {
    let mut s = lossless(LIMITS);
    let mut classes = table(&[50, 50]);
    classes.queues = [QueueConfig { limit: QueueLimit::Buffer, lifetime: None }; 8];
    s.configure(P, &port(10 * GBIT, classes));
    let admitted = (0..2000).take_while(|&id| offer(&mut s, id, 0, 1).is_ok()).count();
    assert_eq!(admitted, 1000 - 60);
    for id in 2000..2060 {
        assert_eq!(offer(&mut s, id, 1, 1), Ok(()));
    }
    assert!(s.group(P, prio(1)).closed, "no shared part left: the headroom holds what comes");
}

#[test]
fn switching_lossless_off_releases_the_sender() {
    let mut s = lossless(LIMITS);
    for id in 0..120 {
        offer(&mut s, id, 1, 1).unwrap();
    }
    assert_eq!(s.gate_event(), Some((P, prio(1), false)));
    s.configure_group(P, prio(1), None);
    assert_eq!(s.gate_event(), Some((P, prio(1), true)));
    for _ in 0..120 {
        drain(&mut s, 1);
    }
    assert_eq!(s.occupancy().used, 0);
}

#[test]
fn a_timed_pause_ends_by_itself_to_the_tick_and_a_new_one_replaces_it() {
    let mut s = lossless(LIMITS);
    offer(&mut s, 1, 1, 1).unwrap();
    offer(&mut s, 2, 0, 1).unwrap();
    let us = Time::from_micros;
    s.pause(P, prio(1), us(100), us(10));
    assert_eq!(s.poll(P, us(10)).unwrap().id, FrameId(2));
    assert_eq!(s.next_wake(P), Some(us(100)));
    assert!(s.poll(P, Time(us(100).0 - 1)).is_none());
    s.pause(P, prio(1), us(300), us(50));
    assert!(s.poll(P, us(100)).is_none(), "replaced by a longer one");
    s.pause(P, prio(1), us(200), us(110));
    assert_eq!(s.next_wake(P), Some(us(200)), "and by a shorter one");
    assert_eq!(s.poll(P, us(200)).unwrap().id, FrameId(1));
    let state = s.backlog(P, prio(1), us(500));
    assert_eq!((state.paused, state.pauses, state.paused_for), (false, 1, us(190)));
}

#[test]
fn an_early_xon_ends_a_pause() {
    let mut s = lossless(LIMITS);
    offer(&mut s, 1, 1, 1).unwrap();
    s.pause(P, prio(1), Time::from_millis(5), Time::ZERO);
    s.resume(P, prio(1), Time::from_micros(3));
    assert!(s.poll(P, Time::from_micros(3)).is_some());
}

#[test]
fn frames_grow_stale_only_where_a_lifetime_is_set() {
    let mut classes = table(&[50, 50]);
    classes.queues[0].lifetime = Some(Time::from_millis(10));
    let mut s = Scheduler::new(&[port(10 * GBIT, classes)], 1000, 100);
    offer(&mut s, 1, 0, 1).unwrap();
    offer(&mut s, 2, 1, 1).unwrap();
    assert!(s.stale(P, Time::from_millis(10)).is_none());
    assert_eq!(s.stale(P, Time::from_millis(11)).unwrap().id, FrameId(1));
    assert!(s.stale(P, Time::from_millis(999)).is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Burst { ingress: u16, priority: u8, frames: u8, cells: u16 },
    Drain { egress: u16, frames: u8 },
    Reserve { priority: u8, headroom: u32, th: i8 },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..2u16, 0..4u8, 1..30u8, 1..40u16)
            .prop_map(|(ingress, priority, frames, cells)| Step::Burst { ingress, priority, frames, cells }),
        6 => (0..2u16, 1..40u8).prop_map(|(egress, frames)| Step::Drain { egress, frames }),
        1 => (2..4u8, 100..300u32, -4..3i8)
            .prop_map(|(priority, headroom, th)| Step::Reserve { priority, headroom, th }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Senders that stop within their headroom lose nothing, whatever the others do; accounts always add up.
    #[test]
    fn obedient_senders_lose_nothing(steps in prop::collection::vec(step(), 1..300)) {
        let config = port(10 * GBIT, table(&[25, 25, 25, 25]));
        let mut s = Scheduler::new(&[config; 2], 6000, 20_000);
        let set = |s: &mut Scheduler, ingress: u16, priority: u8, headroom: u32, th: i8| {
            let limits = GroupConfig { reserved: 20, limit: QueueLimit::Dynamic(th), headroom, xon_offset: 40 };
            s.configure_group(PortId(ingress), prio(priority), Some(limits));
        };
        for ingress in 0..2 {
            for priority in 2..4 {
                set(&mut s, ingress, priority, 200, 0);
            }
        }
        let mut free: VecDeque<u32> = (0..20_000).collect();
        // By ingress and priority: whether the gate is open, and what may still come after it closed.
        let mut open = [[true; 8]; 2];
        let mut grace = [[0u32; 8]; 2];
        let mut used = 0u32;
        let mut cells_of = std::vec![0u16; 20_000];
        for step in steps {
            match step {
                Step::Burst { ingress, priority, frames, cells } => for _ in 0..frames {
                    let (i, q) = (ingress as usize, priority as usize);
                    if priority >= 2 && !open[i][q] {
                        if grace[i][q] < u32::from(cells) {
                            break;
                        }
                        grace[i][q] -= u32::from(cells);
                    }
                    let id = free.pop_front().unwrap();
                    let p = prio(priority);
                    let meta = Meta {
                        id: FrameId(id), ingress: PortId(ingress), arrival: p, priority: p, cells,
                        shape: Shape::frame(1514),
                    };
                    match s.enqueue(PortId(1 - ingress), &meta, Time::ZERO) {
                        Ok(()) => {
                            used += u32::from(cells);
                            cells_of[id as usize] = cells;
                        }
                        Err(refused) => {
                            free.push_back(id);
                            prop_assert!(priority < 2, "a lossless frame was refused: {refused:?}");
                        }
                    }
                    while let Some((port, priority, is_open)) = s.gate_event() {
                        let (i, q) = (port.index(), priority.index());
                        open[i][q] = is_open;
                        // The frame that closed it is in the headroom already; so are those before it.
                        let limits = s.group_config(port, priority).unwrap();
                        grace[i][q] = limits.headroom.saturating_sub(s.group(port, priority).headroom);
                    }
                },
                Step::Drain { egress, frames } => for _ in 0..frames {
                    let Some(priority) = (0..4).find(|&p| s.backlog(PortId(egress), prio(p), Time::ZERO).units > 0)
                    else { break };
                    let grant = s.discard(PortId(egress), prio(priority)).unwrap();
                    prop_assert!(s.sent(grant.id));
                    used -= u32::from(cells_of[grant.id.index()]);
                    free.push_back(grant.id.0);
                    while let Some((port, priority, is_open)) = s.gate_event() {
                        open[port.index()][priority.index()] = is_open;
                    }
                },
                Step::Reserve { priority, headroom, th } => {
                    // New limits come while nothing is held of the group, else what is there may exceed them.
                    for ingress in 0..2 {
                        if s.group(PortId(ingress), prio(priority)).cells() == 0 && s.occupancy().used < 1000 {
                            set(&mut s, ingress, priority, headroom, th);
                        }
                    }
                    while let Some((port, priority, is_open)) = s.gate_event() {
                        open[port.index()][priority.index()] = is_open;
                    }
                }
            }
            prop_assert_eq!(s.occupancy().used, used);
            let groups: Vec<u32> =
                (0..2).flat_map(|i| (0..8).map(move |q| (i, q))).map(|(i, q)| s.group(PortId(i), prio(q)).cells()).collect();
            prop_assert_eq!(groups.iter().sum::<u32>(), used);
            for (i, ports) in open.iter().enumerate() {
                for (q, &is_open) in ports.iter().enumerate().skip(2).take(2) {
                    let group = s.group(PortId(i as u16), prio(q as u8));
                    prop_assert_eq!(group.closed, !is_open);
                    prop_assert!(!(group.cells() == 0 && group.closed), "an empty group is never paused");
                }
            }
        }
    }
}

/// A lossless priority is limited where it comes in, whatever the queue's limit says; frames of others are not exempt.
#[test]
fn a_queue_limit_binds_only_what_is_not_limited_at_ingress() {
    let mut classes = table(&[100]);
    classes.queues[3].limit = QueueLimit::Static(10);
    let mut s = Scheduler::new(&[port(GBIT, classes); 2], 1000, 100);
    let three = Priority::new(3);
    let offer = |s: &mut Scheduler, id, ingress, arrival| {
        let meta =
            Meta { id: FrameId(id), ingress, arrival, priority: three, cells: 8, shape: Shape::frame(1000) };
        s.enqueue(P, &meta, Time::ZERO)
    };
    s.configure_group(PortId(1), three, Some(LIMITS));
    for id in 0..5 {
        assert_eq!(offer(&mut s, id, PortId(1), three), Ok(()), "40 cells of a group that pauses at 100");
    }
    assert_eq!(offer(&mut s, 5, PortId(0), three), Err(Refused::QueueFull), "nobody can be paused for these");
    assert_eq!(offer(&mut s, 6, PortId(1), Priority::new(0)), Err(Refused::QueueFull), "nor for these");
    s.configure_group(PortId(1), three, None);
    assert_eq!(offer(&mut s, 7, PortId(1), three), Err(Refused::QueueFull), "not lossless any more");
}

#[test]
fn what_a_port_may_bring_before_a_gate_closes_is_what_the_group_has_left() {
    let mut s = lossless(LIMITS);
    assert_eq!(s.calm(P), 100);
    offer(&mut s, 0, 1, 30).unwrap();
    assert_eq!(s.calm(P), 70);
    offer(&mut s, 1, 1, 71).unwrap();
    assert_eq!((s.calm(P), s.gate_event()), (0, Some((P, prio(1), false))));
    s.configure_group(P, prio(1), None);
    assert_eq!(s.calm(P), u32::MAX, "nobody is paused");
}

proptest! {
    /// Whichever priorities the frames have, and whatever was there before.
    #[test]
    fn no_gate_closes_before_as_many_cells_as_were_said_have_come(
        alphas in prop::array::uniform2(-3i8..4),
        before in prop::collection::vec((0u8..3, 1u16..40), 0..30),
        then in prop::collection::vec((0u8..3, 1u16..40), 1..60),
    ) {
        let mut s = Scheduler::new(&[port(10 * GBIT, table(&[40, 30, 30]))], 1000, 4000);
        for (priority, alpha) in [1, 2].into_iter().zip(alphas) {
            let limit = QueueLimit::Dynamic(alpha);
            let limits = GroupConfig { limit, reserved: 7, headroom: 100, xon_offset: 10 };
            s.configure_group(P, prio(priority), Some(limits));
        }
        let mut ids = 0..;
        for (priority, cells) in before {
            let _ = offer(&mut s, ids.next().unwrap(), priority, cells);
        }
        while s.gate_event().is_some() {}
        let mut calm = s.calm(P);
        for (priority, cells) in then {
            let Some(left) = calm.checked_sub(u32::from(cells)) else { break };
            calm = left;
            let _ = offer(&mut s, ids.next().unwrap(), priority, cells);
            prop_assert_eq!(s.gate_event(), None);
        }
    }
}
