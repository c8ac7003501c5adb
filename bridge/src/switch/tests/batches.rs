//! Frames that come together, and pieces that are settled together, are in the books as if each had been alone.

use std::sync::Arc;

use dcbridge_scheduler::{Grant, PortId, Time};

use crate::arena::Arena;
use crate::port::{RxFrame, TxBatch, TxOutcome, VnetHeader};
use crate::sim::frames::Spec;
use crate::switch::crew::Crew;
use crate::switch::{Attachment, Setting, Switch};

const CONFIG: &str = "[bridge]\nloop_detection = false\nflood_rate = \"unlimited\"\n[defaults]\ntrust = [\"dscp\"]\n\
    [[traffic_class]]\nname = \"a\"\npriorities = [1, 2]\nbandwidth = 40\n\
    [[traffic_class]]\nname = \"b\"\npriorities = \"rest\"\nbandwidth = 60\n\
    [[port]]\nname = \"in\"\n[[port]]\nname = \"out\"\n[[port]]\nname = \"other\"\n";
const OUT: PortId = PortId(1);

/// A switch with all links up.
fn switch() -> (Switch, Arena) {
    let (config, _) = dcbridge_config::parse(CONFIG, "test").expect("it is right");
    let config = Arc::new(config);
    let crew = Crew::of(&config);
    let mut arena = crew.arenas().pop().expect("one worker");
    let setting = Setting { seed: 1, identity: 1, burst: Time::ZERO };
    let mut switch = Switch::member(&config, &arena, setting, &crew, 0);
    for port in (0..3).map(PortId) {
        switch.attach(port, Attachment::plain(true));
        switch.set_link(port, true, &mut arena, Time::ZERO);
    }
    (switch, arena)
}

/// A switch that has handed everything to the device of one port; and what that was.
fn handed_over() -> (Switch, Arena, Vec<Grant>) {
    let (mut switch, mut arena) = switch();
    for n in 0..60u8 {
        // To nobody that is known: each frame goes to two ports, and the other one keeps it.
        let spec = Spec {
            from: 0,
            to: Some(1),
            dscp: (n / 4 % 4) << 3,
            len: 60 + usize::from(n),
            ..Spec::default()
        };
        let id = arena.insert(&spec.udp(1).bytes, VnetHeader::default()).expect("memory");
        switch.rx(PortId(0), 0, id, &mut arena, Time::ZERO);
        if n % 3 == 0 {
            switch.flush(PortId(2), &mut arena);
        }
    }
    let (mut descs, mut grants) = (TxBatch::with_capacity(64), Vec::new());
    while let Some(at) = switch.next_tx(OUT) {
        grants.extend(switch.poll(OUT, &mut arena, at, &mut descs));
    }
    assert_eq!(grants.len(), 60, "{:?}", switch.books(PortId(0)));
    (switch, arena, grants)
}

#[test]
fn pieces_settled_together_are_in_the_books_like_single_ones() {
    let outcome = |n: usize| if n % 7 == 3 { TxOutcome::Refused } else { TxOutcome::Sent };
    let (mut single, mut arena, grants) = handed_over();
    for (n, grant) in grants.iter().enumerate() {
        single.settle(OUT, grant, outcome(n), &mut arena);
    }
    single.flush(PortId(2), &mut arena);
    let (mut together, mut arena, grants) = handed_over();
    let outcomes = (0..).map(outcome);
    together.settle_all(OUT, grants.iter().zip(outcomes), &mut arena);
    let books = together.books(OUT);
    assert_eq!(format!("{books:?}"), format!("{:?}", single.books(OUT)));
    let refused = (0..60).filter(|n| n % 7 == 3).count() as u64;
    assert_eq!((books.tx.frames, books.in_flight.frames), (60 - refused, 0));
    assert_eq!(books.class_tx.map(|c| c.frames).iter().sum::<u64>(), books.tx.frames);
    assert!(books.class_tx.iter().filter(|c| c.frames > 0).count() == 2, "of both classes");
    together.flush(PortId(2), &mut arena);
    assert_eq!(together.scheduler().occupancy().used, 0, "every frame was let go of");
    assert_eq!(together.scheduler().occupancy().used, single.scheduler().occupancy().used);
}

#[test]
fn frames_that_come_together_are_in_the_books_like_single_ones() {
    let frames: Vec<Vec<u8>> = (0..60u8)
        .map(|n| {
            // Runs of four, of several priorities, to a known station, to an unknown one and back where they come from.
            let to = [1, 1, 5, 0][usize::from(n / 16)];
            let spec = Spec {
                from: 0,
                to: Some(to),
                dscp: (n / 4 % 3) << 3,
                len: 60 + usize::from(n),
                ..Spec::default()
            };
            let mut bytes = spec.udp(1).bytes;
            // And some that are too short to be any.
            bytes.truncate(if n % 9 == 8 { 10 } else { bytes.len() });
            bytes
        })
        .collect();
    let receive = |together: bool| {
        let (mut switch, mut arena) = switch();
        let hello = Spec { from: 1, to: Some(0), ..Spec::default() }.udp(1).bytes;
        let id = arena.insert(&hello, VnetHeader::default()).expect("memory");
        switch.rx(OUT, 0, id, &mut arena, Time::ZERO);
        let insert = |bytes: &Vec<u8>| arena.insert(bytes, VnetHeader::default()).expect("memory");
        let ids: Vec<RxFrame> = frames.iter().map(insert).map(|id| RxFrame { id, queue: 0 }).collect();
        if together {
            switch.rx_all(PortId(0), &ids, &mut arena, Time::ZERO);
        } else {
            for f in &ids {
                switch.rx(PortId(0), f.queue, f.id, &mut arena, Time::ZERO);
            }
        }
        let books: Vec<String> = (0..3).map(|n| format!("{:?}", switch.books(PortId(n)))).collect();
        let waiting: Vec<PortId> = switch.waiting().iter().collect();
        let rx = switch.books(PortId(0)).rx.frames;
        let by_priority = switch.books(PortId(0)).priorities.map(|p| p.rx.frames);
        (books, waiting, switch.arrivals().collect::<Vec<_>>(), rx, by_priority)
    };
    let together = receive(true);
    assert_eq!(together, receive(false));
    assert_eq!(together.3, 60);
    assert!(together.4[..3].iter().all(|&frames| frames > 5), "{:?}", together.4);
}
