//! TAP ports against the kernel.

use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::net::{Links, Netns, NetnsRef, in_netns};
use dcbridge::port::tap::{self, TapOptions, TapPort};
use dcbridge::port::{Link, Port, RxFrame, TxOutcome, VnetHeader};
use dcbridge_tests::copyloop;
use dcbridge_tests::forward::{Joined, wait, whole};
use dcbridge_tests::host::{Host, ip, mac};
use dcbridge_tests::packet::PacketSocket;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::traffic::tcp;

const PATIENCE: Duration = Duration::from_secs(5);

fn options(host: &Host, name: &str) -> TapOptions {
    TapOptions {
        name: name.to_owned(),
        netns: host.netns(),
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
    }
}

fn open(host: &Host, name: &str) -> TapPort {
    tap::open(&options(host, name)).unwrap_or_else(|e| panic!("{e}"))
}

fn packet_socket(host: &Host, interface: &str) -> PacketSocket {
    let index = host.links(|l| l.index(interface));
    host.run(|| Ok(PacketSocket::open(index).expect("packet socket")))
}

/// Reads until a frame is there.
fn receive(port: &mut TapPort, arena: &mut Arena) -> RxFrame {
    let mut out = Vec::new();
    let end = Instant::now() + PATIENCE;
    while out.is_empty() {
        wait(&[port]);
        let status = port.rx(0xff, 1, arena, &mut out);
        assert!(status.closed.is_none(), "{:?}", status.closed);
        assert!(Instant::now() < end, "no frame came");
    }
    out[0]
}

fn frame(len: usize) -> Vec<u8> {
    let mut frame = vec![0xff; 6];
    frame.extend([2, 0, 0, 0, 0, 9, 0x88, 0xb5]);
    frame.extend((frame.len()..len).map(|i| (i * 31 + i / 256) as u8));
    frame
}

#[test]
fn frames_pass_a_tap_byte_for_byte() {
    if !root_for("frames through a TAP") {
        return;
    }
    for offload in [true, false] {
        let host = Host::new("byte for byte");
        let mut port = tap::open(&TapOptions { offload, mtu: 9000, ..options(&host, "t0") })
            .unwrap_or_else(|e| panic!("{e}"));
        let socket = packet_socket(&host, "t0");
        let mut arena = Arena::new(1 << 20);
        for len in [14, 60, 64, 1514, 2048, 2049, 9014] {
            socket.send(&frame(len)).unwrap();
            let got = receive(&mut port, &mut arena);
            assert_eq!(arena.bytes(got.id), frame(len), "from the host, {len} bytes, offload {offload}");

            // With a head of its own, and without.
            let mut desc = whole(&arena, got.id);
            let mut outcomes = Vec::new();
            port.tx(&[desc.clone()], &mut arena, &mut outcomes);
            desc.head[..14].copy_from_slice(&frame(len)[..14]);
            desc.head[11] = 0x77;
            desc.head_len = 14;
            desc.off = 14;
            desc.len -= 14;
            port.tx(&[desc], &mut arena, &mut outcomes);
            assert_eq!(outcomes, [TxOutcome::Sent; 2]);
            let mut changed = frame(len);
            assert_eq!(socket.receive(PATIENCE).unwrap(), changed, "to the host");
            changed[11] = 0x77;
            assert_eq!(socket.receive(PATIENCE).unwrap(), changed, "to the host, with a head of its own");
            arena.free(got.id);
        }
        assert_eq!(arena.in_use(), 0);
    }
}

/// Two hosts, each with a TAP and the other as its neighbour.
fn two_hosts(offload: bool) -> [(Host, TapPort); 2] {
    [(1, "a"), (2, "b")].map(|(n, label)| {
        let host = Host::new(label);
        let port =
            tap::open(&TapOptions { offload, ..options(&host, "t0") }).unwrap_or_else(|e| panic!("{e}"));
        host.address("t0", n, &[3 - n]);
        (host, port)
    })
}

#[test]
fn kernel_tcp_crosses_two_ports_as_superframes() {
    if !root_for("TCP through two TAPs") {
        return;
    }
    let mut rates = Vec::new();
    for (offload, megabytes) in [(false, 60), (true, 600)] {
        let [(host_a, port_a), (host_b, port_b)] = two_hosts(offload);
        let joined = Joined::new(Box::new(port_a), Box::new(port_b));
        let rate = tcp((&host_a, 1), (&host_b, 2), megabytes << 20);
        let frames = joined.crossed.frames.load(Ordering::Relaxed);
        let superframes = joined.crossed.superframes.load(Ordering::Relaxed);
        println!("offload {offload}: {rate:.2} Gbit/s, {frames} frames, of these {superframes} superframes");
        assert_eq!(superframes > 0, offload);
        rates.push(rate);
    }
    let [(host_a, port_a), (host_b, port_b)] = two_hosts(true);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (a, b) = (port_a.into_queues(), port_b.into_queues());
        let stop = &stop;
        scope.spawn(move || copyloop::run(a[0].as_fd(), b[0].as_fd(), stop).unwrap());
        let rate = tcp((&host_a, 1), (&host_b, 2), 600 << 20);
        stop.store(true, Ordering::Relaxed);
        println!("plain copy loop: {rate:.2} Gbit/s");
    });
    assert!(rates[1] > rates[0], "offload makes TCP faster: {rates:?} Gbit/s");
}

#[test]
fn opening_sets_the_interface_up_as_asked() {
    if !root_for("settings of a TAP") {
        return;
    }
    let host = Host::new("settings");
    let asked = TapOptions { mtu: 9000, txqueuelen: Some(7777), ..options(&host, "t0") };
    let port = tap::open(&asked).unwrap_or_else(|e| panic!("{e}"));
    assert!(port.notes().is_empty(), "{:?}", port.notes());
    assert_eq!((port.offload(), port.rx_queues()), (true, 1));
    let info = host.links(|l| l.info("t0"));
    assert_eq!((info.up, info.mtu, info.txqueuelen), (true, 9000, 7777));
    let _second = open(&host, "t1");
    assert_eq!(host.links(|l| l.info("t1")).txqueuelen, 4096);
    drop(port);
    assert!(host.links(Links::list).iter().all(|l| l.name != "t0"), "a TAP made by the port goes with it");
    let error = tap::open(&TapOptions { queues: 9, ..asked }).unwrap_err().to_string();
    assert!(error.contains("can't have 9 queues"), "{error}");
}

#[test]
fn set_down_and_up_again_changes_the_link() {
    if !root_for("the link of a TAP") {
        return;
    }
    let host = Host::new("link");
    let mut port = open(&host, "t0");
    let mut arena = Arena::new(1 << 16);
    let id = arena.insert(&frame(100), VnetHeader::default()).unwrap();
    let desc = whole(&arena, id);
    let mut outcomes = Vec::new();
    assert_eq!(port.tick(), Link::Up);
    host.links(|l| l.set_down("t0"));
    let Link::Down(reason) = port.tick() else { panic!("still up") };
    assert!(reason.contains("ip link set t0 up"), "{reason}");
    port.tx(std::slice::from_ref(&desc), &mut arena, &mut outcomes);
    assert!(port.rx(1, 8, &mut arena, &mut Vec::new()).closed.is_none());
    host.links(|l| l.set_up("t0"));
    assert_eq!(port.tick(), Link::Up);
    port.tx(&[desc], &mut arena, &mut outcomes);
    assert_eq!(outcomes, [TxOutcome::Refused, TxOutcome::Sent]);
}

#[test]
fn a_renamed_and_moved_interface_keeps_working() {
    if !root_for("a renamed TAP") {
        return;
    }
    let host = Host::new("renamed");
    let mut port = open(&host, "t0");
    host.links(|l| {
        l.set_down("t0")?;
        l.rename("t0", "other")?;
        l.set_up("other")
    });
    assert_eq!(port.tick(), Link::Up);
    let mut arena = Arena::new(1 << 16);
    packet_socket(&host, "other").send(&frame(99)).unwrap();
    let got = receive(&mut port, &mut arena);
    assert_eq!(arena.bytes(got.id), frame(99));
    host.links(|l| l.set_down("other"));
    assert!(matches!(port.tick(), Link::Down(reason) if reason.contains("ip link set other up")));
}

#[test]
fn an_interface_that_is_deleted_closes_the_port() {
    if !root_for("a deleted TAP") {
        return;
    }
    let host = Host::new("deleted");
    let mut port = open(&host, "t0");
    let mut arena = Arena::new(1 << 16);
    let id = arena.insert(&frame(100), VnetHeader::default()).unwrap();
    host.links(|l| l.delete("t0"));
    let Link::Down(reason) = port.tick() else { panic!("still up") };
    assert!(reason.contains("deleted"), "{reason}");
    let mut outcomes = Vec::new();
    let desc = whole(&arena, id);
    port.tx(&[desc], &mut arena, &mut outcomes);
    assert_eq!(outcomes, [TxOutcome::Refused]);
    let mut interests = Vec::new();
    port.interests(&mut interests);
    assert_eq!(interests.len(), 1, "whoever waits is woken and learns it");
    wait(&[&port]);
    assert!(port.rx(1, 8, &mut arena, &mut Vec::new()).closed.is_some());
    interests.clear();
    port.interests(&mut interests);
    assert!(interests.is_empty(), "nothing to wait for any more");
    assert_eq!(open(&host, "t0").tick(), Link::Up);
}

#[test]
fn a_busy_tap_names_its_holder() {
    if !root_for("a busy TAP") {
        return;
    }
    let host = Host::new("busy");
    let elsewhere = Host::new("elsewhere");
    let us = format!("process {}", std::process::id());
    ip_command(&host, "tuntap add dev single mode tap");
    for name in ["t0", "single"] {
        let _holder = open(&host, name);
        let error = tap::open(&options(&host, name)).unwrap_err().to_string();
        assert!(error.contains("in use by") && error.contains(&us) && error.contains(name), "{error}");
        // The same name in another namespace is another interface.
        open(&elsewhere, name);
    }
}

#[test]
fn a_tap_that_becomes_free_shortly_is_waited_for() {
    if !root_for("a TAP of an ending process") {
        return;
    }
    let host = Host::new("shortly");
    let holder = open(&host, "t0");
    let ends = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        drop(holder);
    });
    assert_eq!(open(&host, "t0").tick(), Link::Up);
    ends.join().unwrap();
}

fn ip_command(host: &Host, arguments: &str) {
    let ran = host.run(|| Ok(Command::new("ip").args(arguments.split(' ')).status()));
    assert!(ran.expect("this test needs the `ip` command (iproute2)").success(), "ip {arguments}");
}

#[test]
fn persistent_taps_of_others_are_attached_to() {
    if !root_for("persistent TAPs") {
        return;
    }
    let host = Host::new("persistent");
    ip_command(&host, "tuntap add dev single mode tap");
    ip_command(&host, "tuntap add dev many mode tap multi_queue");
    ip_command(&host, "link set dev many txqueuelen 321");
    for (name, queues) in [("single", 1), ("many", 1), ("many", 8), ("single", 8)] {
        let mut port =
            tap::open(&TapOptions { queues, ..options(&host, name) }).unwrap_or_else(|e| panic!("{e}"));
        let reduced = name == "single" && queues > 1;
        assert_eq!(port.rx_queues(), if reduced { 1 } else { queues });
        assert_eq!(port.notes().len(), usize::from(reduced), "{:?}", port.notes());
        let mut arena = Arena::new(1 << 16);
        let socket = packet_socket(&host, name);
        let mut out = Vec::new();
        let end = Instant::now() + PATIENCE;
        // A persistent TAP has no carrier without a process. The kernel takes notice of a new one with some delay and
        // drops until then.
        while out.is_empty() {
            assert!(Instant::now() < end, "no frame came by {name} with {queues} queues");
            socket.send(&frame(99)).unwrap();
            wait(&[&port]);
            port.rx(0xff, 1, &mut arena, &mut out);
        }
        assert_eq!(arena.bytes(out[0].id), frame(99));
        drop(port);
        assert_eq!(host.links(|l| l.info("many")).txqueuelen, 321);
    }
    host.links(|l| l.add_veth("v0", "v1"));
    let error = tap::open(&options(&host, "v0")).unwrap_err().to_string();
    assert!(error.contains("is not a TAP"), "{error}");
}

#[test]
fn queues_are_read_only_when_they_are_served() {
    if !root_for("a TAP with eight queues") {
        return;
    }
    let host = Host::new("queues");
    let mut port =
        tap::open(&TapOptions { queues: 8, ..options(&host, "t0") }).unwrap_or_else(|e| panic!("{e}"));
    host.address("t0", 1, &[2]);
    let flows = 64;
    send_flows(&host, flows);
    let mut arena = Arena::new(1 << 20);
    let mut by_queue = Vec::new();
    for queue in 0..8u8 {
        let mut out = Vec::new();
        assert!(!port.rx(1 << queue, 1000, &mut arena, &mut out).more);
        assert!(out.iter().all(|f| f.queue == queue && arena.bytes(f.id)[..6] == mac(2)));
        by_queue.push(out.len());
    }
    assert_eq!(by_queue.iter().sum::<usize>(), flows);
    assert!(by_queue.iter().filter(|&&n| n > 0).count() > 1, "the kernel spreads flows over the queues");
    send_flows(&host, flows);
    let mut out = Vec::new();
    while port.rx(0xff, 1, &mut arena, &mut out).more {}
    assert_eq!(out.len(), flows, "a budget of one frame reaches all queues in the end");
    let by_queue: Vec<usize> = by_queue.iter().map(|n| 2 * n).collect();
    assert_eq!(by_queue, sent_by_queue(&host, "t0"), "our queue n is the kernel's queue n");
}

/// The same flows each time.
fn send_flows(host: &Host, flows: usize) {
    host.run(|| {
        for flow in 0..flows as u16 {
            let socket = std::net::UdpSocket::bind((ip(1), 20_000 + flow)).expect("socket");
            socket.send_to(b"hello", (ip(2), 9)).expect("send");
        }
        Ok(())
    });
}

/// What the kernel's queues of an interface have sent, from the statistics of their qdiscs.
fn sent_by_queue(host: &Host, interface: &str) -> Vec<usize> {
    let tc = ["-s", "qdisc", "show", "dev", interface];
    let output =
        host.run(|| Ok(Command::new("tc").args(tc).output())).expect("this test needs `tc` (iproute2)");
    let text = String::from_utf8_lossy(&output.stdout);
    let mut sent: Vec<(usize, usize)> = text
        .split("qdisc ")
        .filter_map(|qdisc| {
            let number = |after: &str, at: usize| qdisc.split_once(after)?.1.split(' ').nth(at)?.parse().ok();
            Some((number("parent :", 0)?, number("Sent ", 2)?))
        })
        .collect();
    sent.sort_unstable();
    sent.into_iter().map(|(_, packets)| packets).collect()
}

#[test]
fn a_budget_ends_a_read_and_says_so() {
    if !root_for("the budget of a read") {
        return;
    }
    let host = Host::new("budget");
    let mut port = open(&host, "t0");
    let socket = packet_socket(&host, "t0");
    (0..10).for_each(|_| socket.send(&frame(60)).unwrap());
    let mut arena = Arena::new(1 << 20);
    let mut out = Vec::new();
    assert!(!port.rx(0, 100, &mut arena, &mut out).more);
    assert!(out.is_empty(), "nothing is read that is not served");
    assert!(port.rx(1, 4, &mut arena, &mut out).more);
    assert_eq!(out.len(), 4);
    assert!(!port.rx(1, 100, &mut arena, &mut out).more);
    assert_eq!(out.len(), 10);
}

#[test]
fn looking_at_the_link_costs_next_to_nothing() {
    if !root_for("the cost of looking at links") {
        return;
    }
    let host = Host::new("ticks");
    let mut ports: Vec<TapPort> = (0..64).map(|n| open(&host, &format!("t{n}"))).collect();
    let rounds = 100;
    let cpu_time = || nix::time::clock_gettime(nix::time::ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    let begin = cpu_time();
    for _ in 0..rounds {
        assert!(ports.iter_mut().all(|p| p.tick() == Link::Up));
    }
    let each = Duration::from(cpu_time() - begin) / (rounds * 64);
    println!("tick of a TAP: {each:?}");
    // 64 ports ten times a second: below a hundredth of a core.
    assert!(each * 640 < Duration::from_millis(10), "{each:?}");
}

/// A name of `ip netns` that goes with the test.
struct Name(String);

impl Drop for Name {
    fn drop(&mut self) {
        let _ = Netns::delete(&self.0);
    }
}

#[test]
fn named_namespaces_are_those_of_ip_netns() {
    if !root_for("a named network namespace") {
        return;
    }
    let name = Name(format!("dcbridge-test-{}", std::process::id()));
    Netns::create(&name.0).unwrap();
    let error = Netns::create(&name.0).unwrap_err().to_string();
    assert!(error.contains("exists already"), "{error}");
    let listed = || {
        let list =
            Command::new("ip").args(["netns", "list"]).output().expect("this test needs the `ip` command");
        String::from_utf8(list.stdout).unwrap().lines().any(|l| l.split(' ').next() == Some(&name.0))
    };
    assert!(listed());
    let port = tap::open(&TapOptions {
        name: "t0".into(),
        netns: NetnsRef::Name(name.0.clone()),
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
    })
    .unwrap_or_else(|e| panic!("{e}"));
    let seen = Command::new("ip").args(["-n", &name.0, "link", "show", "t0"]).output().unwrap();
    assert!(seen.status.success());
    let path = NetnsRef::Path(format!("/run/netns/{}", name.0).into());
    let id = |netns: &NetnsRef| {
        in_netns(netns, || Ok::<_, dcbridge::net::Error>(Netns::id_of_this_thread())).unwrap()
    };
    assert_eq!(id(&path), id(&NetnsRef::Name(name.0.clone())));
    assert_ne!(id(&path), id(&NetnsRef::Current));
    assert_eq!(id(&NetnsRef::Pid(std::process::id())), id(&NetnsRef::Current));
    let wrong = in_netns(&NetnsRef::Path("/dev/null".into()), || Ok::<_, dcbridge::net::Error>(()));
    assert!(wrong.unwrap_err().to_string().contains("it is no network namespace"));
    drop(port);
    Netns::delete(&name.0).unwrap();
    assert!(!listed());
    assert!(Netns::delete(&name.0).is_err());
}
