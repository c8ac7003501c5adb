//! A Linux host behind a TAP is paused by priority, down to its sockets, and loses nothing.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use dcbridge::edge;
use dcbridge::port::tap::TapOptions;
use dcbridge::port::tap::TapPort;
use dcbridge::port::{Guarantee, Port};
use dcbridge_scheduler::Priority;
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::{Pump, Sender, TcpFlow, paused};
use dcbridge_tests::taps::{PATIENCE, ip_command, open_as, options};

/// These tests measure time: one after the other.
static ALONE: Mutex<()> = Mutex::new(());

const GIGABIT: u64 = 1_000_000_000;
const PAUSES: u64 = 200;
/// How long a change may take for the stated residual to hold.
const STALL: Duration = Duration::from_millis(5);

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

/// Waits until a sender has filled what it may fill while its gate is closed.
#[track_caller]
fn held_back(sender: &Sender) {
    let end = Instant::now() + Duration::from_secs(5);
    loop {
        let before = sender.count();
        sleep(100);
        if sender.count() == before {
            return;
        }
        assert!(Instant::now() < end, "it goes on sending behind a closed gate");
    }
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
    held_back(&three);
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

/// 5 to 100 ms, in no order.
fn pauses(count: u64) -> impl Iterator<Item = u64> {
    (0..count).map(|n| 5 + n * 37 % 96)
}

/// Pauses priority 3 again and again, with a program that sends datagrams in each of two classes; nothing is lost, and
/// no more comes behind a gate than is said.
fn pause_udp(what: &str, mtu: u16, payload: usize, segments: usize) {
    let _alone = ALONE.lock();
    let (host, port) = host_with(mtu, Some(GIGABIT));
    let Guarantee::BoundedByHeadroom { residual_bytes } = port.guarantee() else { panic!("no guarantee") };
    let pump = Pump::new(port, None);
    // The rings are emptied also while a gate is closed: to see what comes behind it.
    pump.control.serve_closed.store(true, Relaxed);
    let three = Sender::new(&host, 2, 3, payload, segments);
    let four = Sender::new(&host, 2, 4, payload, segments);
    sleep(100);
    let seen = &pump.control.seen[3];
    let (mut most_bytes, mut most_frames) = (0, 0);
    let (mut last, mut resumed) = (Vec::new(), Vec::new());
    for millis in pauses(PAUSES) {
        pump.gate(3, false);
        sleep(millis);
        pump.gate(3, true);
        most_bytes = most_bytes.max(seen.after_bytes.swap(0, Relaxed));
        most_frames = most_frames.max(seen.after.swap(0, Relaxed));
        last.push(seen.after_ns.swap(0, Relaxed) / 1000);
        sleep(5);
        resumed.push(seen.resumed_ns.swap(0, Relaxed) / 1000);
    }
    let sent = [three.end(), four.end()];
    let came = pump.settled([3, 4], sent);
    let missing = [3, 4].map(|p: usize| pump.control.seen[p].missing.load(Relaxed));
    sleep(500);
    let drops = pump.control.host_drops.load(Relaxed);
    let set_gate = pump.control.set_gate_total_ns.load(Relaxed) / (2 * PAUSES);
    let set_gate_max = pump.control.set_gate_ns.load(Relaxed) / 1000;
    let pump_stall = pump.control.longest_stall_ns.load(Relaxed);
    let port = pump.end();
    let cost = port.edge().expect("an edge").gates_state().cost();
    println!(
        "{what}: {} + {} datagrams; behind a gate at most {most_frames} frames, {most_bytes} bytes (stated {residual_bytes}); \
         the last after {} (p50, p99, max us); resumed after {}; set_gate {set_gate} ns, max {set_gate_max} us; \
         a change {:?}, slowest {:?}; kicks {}; longest stall {pump_stall} ns",
        sent[0],
        sent[1],
        spread(&mut last),
        spread(&mut resumed),
        cost.total / cost.changes.max(1) as u32,
        cost.slowest,
        port.kicks(),
    );
    let stall = Duration::from_nanos(pump_stall);
    assert_eq!(
        came, sent,
        "what was sent has come (the loop stood still for {stall:?}, a ring outlasts {STALL:?})"
    );
    assert_eq!(missing, [0, 0]);
    assert_eq!(drops, 0);
    // What is said holds while a change takes 5 ms at most; a crowded machine may take longer.
    let beyond =
        cost.slowest.saturating_sub(STALL).as_nanos() as u64 * edge::open_rate(Some(GIGABIT)) / 1_000_000_000;
    assert!(most_bytes < u64::from(residual_bytes) + beyond, "{most_bytes} bytes came behind a gate");
    // On a busy machine the loop may sleep over a change.
    assert!(cost.changes >= PAUSES);
}

fn spread(values: &mut [u64]) -> String {
    values.sort_unstable();
    let at = |percent: usize| values[(values.len() - 1) * percent / 100];
    format!("{} {} {}", at(50), at(99), at(100))
}

#[test]
fn plain_datagrams_outlast_two_hundred_pauses() {
    if root_for("pauses of UDP") {
        pause_udp("1400 bytes", 1500, 1400, 1);
    }
}

#[test]
fn small_datagrams_outlast_two_hundred_pauses() {
    if root_for("pauses of small UDP") {
        pause_udp("60 bytes", 1500, 60, 1);
    }
}

#[test]
fn jumbo_datagrams_outlast_two_hundred_pauses() {
    if root_for("pauses of jumbo UDP") {
        pause_udp("8900 bytes", 9000, 8900, 1);
    }
}

#[test]
fn superframes_of_datagrams_outlast_two_hundred_pauses() {
    if root_for("pauses of UDP superframes") {
        pause_udp("40 x 1400 bytes", 1500, 1400, 40);
        pause_udp("45 x 1440 bytes, longer than a superframe may be", 1500, 1440, 45);
    }
}

#[test]
fn kernel_tcp_sends_nothing_again_because_of_pauses() {
    if !root_for("pauses of TCP") {
        return;
    }
    let _alone = ALONE.lock();
    for (mtu, line_rate) in [(1500, Some(GIGABIT)), (9000, Some(GIGABIT)), (1500, None)] {
        let (host, port) = host_with(mtu, line_rate);
        let peer = Host::new("peer");
        let far = open_as(&TapOptions { mtu, ..options(&peer, "t0") });
        peer.address("t0", 2, &[1]);
        let pump = Pump::new(port, Some(far));
        let streams = [3, 4].map(|p| TcpFlow::new(&host, &peer, p));
        sleep(200);
        let before = streams.each_ref().map(TcpFlow::count);
        let begin = Instant::now();
        let mut resumed = Vec::new();
        for millis in pauses(PAUSES) {
            pump.gate(3, false);
            sleep(millis);
            pump.gate(3, true);
            sleep(10);
            resumed.push(pump.control.seen[3].resumed_ns.swap(0, Relaxed) / 1000);
        }
        let took = begin.elapsed().as_secs_f64();
        let rates = [0, 1].map(|n| (streams[n].count() - before[n]) as f64 * 8.0 / took / 1e6);
        let again = streams.map(TcpFlow::end);
        let superframes = pump.control.superframes.load(Relaxed);
        println!(
            "TCP, MTU {mtu}, line {line_rate:?}: {:.0} Mbit/s paused class, {:.0} beside; {superframes} superframes; \
             resumed after {} us; sent again: {again:?}",
            rates[0],
            rates[1],
            spread(&mut resumed)
        );
        if line_rate.is_some() {
            assert_eq!(again[0], 0, "retransmits in the paused class");
        }
        // What waits in a ring is not known to TCP to wait: it may ask by sending its last segment again. Nothing more.
        for host in [&host, &peer] {
            for counter in ["TCPFastRetrans", "TCPSlowStartRetrans", "TCPLostRetransmit", "TCPTimeouts"] {
                assert_eq!(netstat(host, counter), 0, "{counter}");
            }
        }
        assert_eq!(pump.control.host_drops.load(Relaxed), 0);
        assert!(superframes > 0);
    }
}

/// A counter of a host's network stack.
fn netstat(host: &Host, counter: &str) -> u64 {
    let text = host.run(|| Ok(std::fs::read_to_string("/proc/thread-self/net/netstat").expect("netstat")));
    let lines: Vec<&str> = text.lines().collect();
    let found = lines.chunks(2).find_map(|pair| {
        let at = pair[0].split(' ').position(|name| name == counter)?;
        pair[1].split(' ').nth(at)?.parse().ok()
    });
    found.unwrap_or_else(|| panic!("the kernel has no counter {counter}"))
}

/// A port that is read too slowly for what its host sends.
#[test]
fn a_ring_that_is_not_emptied_holds_its_host_back_without_being_told() {
    if !root_for("a ring that fills") {
        return;
    }
    let _alone = ALONE.lock();
    for (payload, line_rate) in [(60, Some(GIGABIT)), (60, None), (1400, Some(GIGABIT))] {
        let (host, port) = host_with(1500, line_rate);
        let pump = Pump::new(port, None);
        pump.control.pause_us.store(100, Relaxed);
        let senders = [2, 3].map(|p| Sender::new(&host, 2, p, payload, 1));
        sleep(2000);
        pump.control.pause_us.store(0, Relaxed);
        sleep(100);
        let sent = senders.map(Sender::end);
        let came = pump.settled([2, 3], sent);
        sleep(500);
        println!("{payload} bytes, line {line_rate:?}: sent {sent:?}, came {came:?}");
        assert_eq!(came, sent);
        assert_eq!(pump.control.host_drops.load(Relaxed), 0);
    }
}

/// A port in another process, which ends with the test.
struct Child(std::process::Child);

impl Child {
    /// Opens a port on `interface` of `host` and waits until it is open; answers what was said about it.
    fn new(host: &Host, interface: &str, journal: &Path, through: &[&str]) -> (Child, Vec<String>) {
        let binary = env!("CARGO_BIN_EXE_edge-port");
        let mut words = through.to_vec();
        words.extend([binary, interface, journal.to_str().expect("a path of ours")]);
        let child = host.run(|| {
            let mut command = Command::new(words[0]);
            Ok(command.args(&words[1..]).stdout(Stdio::piped()).spawn().expect("start the port"))
        });
        let mut child = Child(child);
        let mut said = Vec::new();
        for line in BufReader::new(child.0.stdout.take().expect("piped")).lines() {
            match line.expect("text") {
                line if line == "open" => return (child, said),
                line => said.push(line),
            }
        }
        panic!("the port has ended: {said:?}");
    }

    fn kill(mut self) {
        self.0.kill().expect("kill");
        self.0.wait().expect("wait");
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn qdiscs(host: &Host, interface: &str) -> String {
    let words = ["qdisc", "show", "dev", interface];
    let output = host.run(|| Ok(Command::new("tc").args(words).output())).expect("this test needs `tc`");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a test may find changed on an interface.
fn settings(host: &Host, interface: &str) -> (u32, Option<u32>, bool) {
    let info = host.links(|l| l.info(interface));
    (info.txqueuelen, info.gso_max_size, qdiscs(host, interface).contains("tbf"))
}

#[test]
fn what_a_killed_switch_has_left_is_undone_by_the_next_start() {
    if !root_for("a killed switch") {
        return;
    }
    let journal = tempfile::tempdir().expect("directory");
    let files = || std::fs::read_dir(journal.path()).expect("journal").count();
    let host = Host::new("killed");
    ip_command(&host, "tuntap add dev t0 mode tap multi_queue");
    ip_command(&host, "link set dev t0 txqueuelen 321 up");
    let before = settings(&host, "t0");
    let (child, said) = Child::new(&host, "t0", journal.path(), &[]);
    assert!(said.iter().any(|line| line.contains("BoundedByHeadroom")), "{said:?}");
    let changed = settings(&host, "t0");
    assert_ne!(changed.0, before.0);
    assert!(changed.2, "a clamp is there");
    let restore = || host.run(|| Ok(edge::restore_all(journal.path())));
    assert_eq!(restore(), [""; 0]);
    assert_eq!(settings(&host, "t0"), changed, "what a living switch uses stays");
    child.kill();
    assert_eq!(settings(&host, "t0"), changed, "a persistent interface keeps what was changed");
    assert_eq!(files(), 1);

    // Another namespace with an interface of the same name and number is not meant.
    let other = Host::new("not meant");
    ip_command(&other, "tuntap add dev t0 mode tap multi_queue");
    let others = settings(&other, "t0");
    assert_eq!(restore(), [""; 0]);
    assert_eq!(settings(&host, "t0"), before, "the next start restores it");
    assert_eq!(settings(&other, "t0"), others);
    assert_eq!(files(), 0);

    // The same when the next start opens the interface again and ends in order.
    let (child, _) = Child::new(&host, "t0", journal.path(), &[]);
    child.kill();
    let mut wanted = paused(&host, "t0", Some(GIGABIT));
    wanted.by_priority.as_mut().expect("queues by priority").journal = journal.path().to_owned();
    let port = open_as(&wanted);
    assert!(matches!(port.guarantee(), Guarantee::BoundedByHeadroom { .. }), "{:?}", port.notes());
    assert_eq!(settings(&host, "t0"), changed);
    drop(port);
    assert_eq!(settings(&host, "t0"), before);
    assert_eq!(files(), 0);
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    if !root_for("hosts that can't be paused") {
        return;
    }
    let journal = tempfile::tempdir().expect("directory");
    let host = Host::new("can't be paused");
    let said = |through: &[&str], interface: &str| {
        let (_child, said) = Child::new(&host, interface, journal.path(), through);
        assert!(said.iter().any(|line| line == "guarantee None, 1 queues"), "{said:?}");
        said.join("; ")
    };
    let without_bpf =
        said(&["setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin"], "t0");
    assert!(without_bpf.contains("no CAP_BPF"), "{without_bpf}");
    ip_command(&host, "tuntap add dev single mode tap");
    let single = said(&[], "single");
    assert!(single.contains("single queue"), "{single}");
    ip_command(&host, "tuntap add dev chosen mode tap multi_queue");
    let output = host.run(|| {
        Ok(Command::new("tc")
            .args("qdisc add dev chosen root tbf rate 1mbit burst 9000 limit 9000".split(' '))
            .status())
    });
    assert!(output.expect("tc").success());
    let chosen = said(&[], "chosen");
    assert!(chosen.contains("queueing of its own (tbf)"), "{chosen}");
    assert!(qdiscs(&host, "chosen").contains("tbf"), "it is not touched");
    assert_eq!(std::fs::read_dir(journal.path()).expect("journal").count(), 0);
}

#[test]
fn a_host_that_changes_its_queueing_ends_the_guarantee() {
    if !root_for("a host that changes its queueing") {
        return;
    }
    let _alone = ALONE.lock();
    let (host, mut port) = host_with(1500, None);
    let removed = host.run(|| Ok(Command::new("tc").args(["qdisc", "del", "dev", "t0", "root"]).status()));
    assert!(removed.expect("tc").success());
    port.set_gate(Priority::new(3), false);
    let end = Instant::now() + PATIENCE;
    while port.guarantee() != Guarantee::None {
        assert!(Instant::now() < end, "{:?}", port.guarantee());
        sleep(1);
    }
}
