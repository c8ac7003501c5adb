//! A Linux host behind a TAP is paused by priority, down to its sockets, and loses nothing.

use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dcbridge::port::tap::TapPort;
use dcbridge::port::{Guarantee, Port};
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::{Pump, Sender, paused};
use dcbridge_tests::taps::open_as;

/// These tests measure time: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

const GIGABIT: u64 = 1_000_000_000;

fn host_with(mtu: u16, line_rate: Option<u64>) -> (Host, TapPort) {
    let host = Host::new("paused");
    let mut wanted = paused(&host, "t0", line_rate);
    wanted.mtu = mtu;
    let port = open_as(&wanted);
    assert!(port.notes().is_empty(), "{:?}", port.notes());
    assert_eq!(port.rx_queues(), 8);
    assert!(matches!(port.guarantee(), Guarantee::BoundedByHeadroom { .. }));
    host.address("t0", 1, &[2]);
    (host, port)
}

fn sleep(millis: u64) {
    std::thread::sleep(Duration::from_millis(millis));
}

#[test]
fn a_sender_blocks_while_its_gate_is_closed_and_the_other_class_goes_on() {
    if !root_for("a paused sender") {
        return;
    }
    let _alone = ALONE.lock();
    let (host, port) = host_with(1500, Some(GIGABIT));
    let pump = Pump::new(port, None);
    let (three, four) = (Sender::new(&host, 2, 3, 1400, 1), Sender::new(&host, 2, 4, 1400, 1));
    sleep(300);
    assert!(three.count() > 0 && four.count() > 0);
    let before = four.count();
    let begin = Instant::now();
    sleep(200);
    let unpaused = (four.count() - before) as f64 / begin.elapsed().as_secs_f64();
    pump.control.serve_closed.store(true, Relaxed);
    pump.gate(3, false);
    sleep(50);
    let (sent, before, begin) = (three.count(), four.count(), Instant::now());
    let came = pump.control.seen[3].after.load(Relaxed);
    sleep(500);
    let beside = (four.count() - before) as f64 / begin.elapsed().as_secs_f64();
    assert_eq!(three.count(), sent, "the sender is held back");
    assert_eq!(pump.control.seen[3].after.load(Relaxed), came, "nothing comes");
    pump.gate(3, true);
    sleep(100);
    assert!(three.count() > sent, "it goes on");
    let seen = &pump.control.seen[3];
    println!(
        "prio 4: {:.0}/s unpaused, {:.0}/s beside a paused class; after the pause {} frames, {} bytes, last {} us; resumed {} us",
        unpaused,
        beside,
        seen.after.load(Relaxed),
        seen.after_bytes.load(Relaxed),
        seen.after_ns.load(Relaxed) / 1000,
        seen.resumed_ns.load(Relaxed) / 1000
    );
}
