//! Interfaces that TAP ports make or attach to, and what becomes of them.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use dcbridge::arena::Arena;
use dcbridge::net::{Links, Netns, NetnsRef, in_netns};
use dcbridge::port::tap::{self, TapOptions, TapPort};
use dcbridge::port::{Guarantee, Link, Port, TxOutcome, VnetHeader};
use dcbridge::sim::frames::Spec;
use dcbridge_config::PrioritySet;
use dcbridge_tests::forward::{wait, whole};
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::paused;
use dcbridge_tests::taps::{PATIENCE, frame, ip_command, open, open_as, options, packet_socket, receive};

#[test]
fn opening_sets_the_interface_up_as_asked() {
    if !root_for("settings of a TAP") {
        return;
    }
    let host = Host::new("settings");
    let asked = TapOptions { mtu: 9000, txqueuelen: Some(7777), ..options(&host, "t0") };
    let port = open_as(&asked);
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
    assert!(reason.contains("ip link set dev t0 up"), "{reason}");
    port.tx(std::slice::from_ref(&desc), &mut arena, &mut outcomes);
    assert!(port.rx(1, 8, &mut arena, &mut Vec::new()).closed.is_none());
    host.links(|l| l.set_up("t0"));
    assert_eq!(port.tick(), Link::Up);
    port.tx(&[desc], &mut arena, &mut outcomes);
    assert_eq!(outcomes, [TxOutcome::Refused, TxOutcome::Sent]);
}

#[test]
fn a_renamed_interface_keeps_working() {
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
    assert!(matches!(port.tick(), Link::Down(reason) if reason.contains("ip link set dev other up")));
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
    let closed = port.rx(1, 8, &mut arena, &mut Vec::new()).closed.expect("closed").to_string();
    assert!(closed.contains("deleted"), "{closed}");
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
        let mut port = open_as(&TapOptions { queues, ..options(&host, name) });
        let reduced = name == "single" && queues > 1;
        assert_eq!(port.rx_queues(), if reduced { 1 } else { queues });
        assert_eq!(port.notes().len(), usize::from(reduced), "{:?}", port.notes());
        let mut arena = Arena::new(1 << 16);
        packet_socket(&host, name).send(&frame(99)).unwrap();
        let got = receive(&mut port, &mut arena);
        assert_eq!(arena.bytes(got.id), frame(99));
        drop(port);
        assert_eq!(host.links(|l| l.info("many")).txqueuelen, 321);
    }
    host.links(|l| l.add_veth("v0", "v1"));
    let error = tap::open(&options(&host, "v0")).unwrap_err().to_string();
    assert!(error.contains("is not a TAP"), "{error}");
}

/// Where nobody is ever paused, queues by priority are all that is changed, and nothing is said where they can't be had.
#[test]
fn queues_by_priority_without_a_lossless_class() {
    if !root_for("a TAP with a queue for each priority") {
        return;
    }
    let host = Host::new("by-priority");
    ip_command(&host, "tuntap add dev single mode tap");
    ip_command(&host, "tuntap add dev many mode tap multi_queue");
    ip_command(&host, "link set dev many txqueuelen 321");
    let superframe = || host.links(|l| l.info("many")).gso_max_size;
    let before = superframe();
    for (name, queues) in [("single", 1), ("many", 8), ("new", 8)] {
        let mut wanted = paused(&host, name, None);
        wanted.by_priority.as_mut().expect("queues by priority").lossless = PrioritySet::default();
        let mut port = open_as(&wanted);
        assert_eq!((port.rx_queues(), port.notes().len()), (queues, 0), "{name}: {:?}", port.notes());
        assert_eq!(port.guarantee(), Guarantee::None);
        assert!(port.edge().is_none());
        let mut arena = Arena::new(1 << 16);
        let packet = Spec { dscp: 24, ..Spec::default() }.udp(0).bytes;
        packet_socket(&host, name).send(&packet).unwrap();
        let got = receive(&mut port, &mut arena);
        assert_eq!(arena.bytes(got.id), packet);
        assert_eq!(got.queue, if queues == 8 { 3 } else { 0 }, "{name}");
    }
    assert_eq!((host.links(|l| l.info("many")).txqueuelen, superframe()), (321, before));
}

/// A child process that ends with the test.
struct Child(std::process::Child);

impl Drop for Child {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A copy loop of the bench between the TAPs ta and tb of `host`, that is started by `through` and copies.
fn copyloop(host: &Host, kind: &str, through: &[&str]) -> Child {
    let mut words = through.to_vec();
    words.extend([
        env!("CARGO_BIN_EXE_dcbridge-under-test"),
        "bench",
        "yardstick",
        kind,
        "-",
        "ta",
        "-",
        "tb",
    ]);
    let mut child = host.run(|| {
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).stdout(Stdio::piped()).stderr(Stdio::piped());
        Ok(Child(command.spawn().unwrap_or_else(|e| panic!("this test needs `{}`: {e}", words[0]))))
    });
    let mut said = String::new();
    BufReader::new(child.0.stdout.take().unwrap()).read_line(&mut said).unwrap();
    assert!(said.contains("copying between ta and tb"), "{said}");
    child
}

/// The kernel closes the files that an `io_uring` knows some time after the process has ended.
#[test]
fn what_a_killed_process_has_left_open_is_waited_for() {
    if !root_for("a process that is killed") {
        return;
    }
    let host = Host::new("killed");
    for name in ["ta", "tb"] {
        ip_command(&host, &format!("tuntap add dev {name} mode tap multi_queue"));
    }
    for _ in 0..3 {
        let mut child = copyloop(&host, "uring", &[]);
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        let mut wanted = paused(&host, "ta", None);
        wanted.by_priority.as_mut().expect("queues by priority").lossless = PrioritySet::default();
        let mut port = open_as(&wanted);
        assert_eq!(port.notes(), [""; 0], "nobody else has it");
        // A queue of the other's that is closed now would put ours into another order.
        std::thread::sleep(Duration::from_millis(200));
        let mut arena = Arena::new(1 << 16);
        for priority in 0..8 {
            let packet = Spec { dscp: priority << 3, ..Spec::default() }.udp(0).bytes;
            packet_socket(&host, "ta").send(&packet).unwrap();
            let got = receive(&mut port, &mut arena);
            assert_eq!((arena.bytes(got.id), got.queue), (&packet[..], priority));
        }
    }
}

/// As for a user without privilege whose administrator has made a TAP for him.
#[test]
fn a_tap_made_for_a_user_needs_no_capability() {
    if !root_for("a TAP without CAP_NET_ADMIN") {
        return;
    }
    let host = Host::new("made for a user");
    for name in ["ta", "tb"] {
        ip_command(&host, &format!("tuntap add dev {name} mode tap multi_queue user root"));
    }
    ip_command(&host, "link set dev ta up");
    let mut copyloop =
        copyloop(&host, "vnet", &["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"]);
    host.links(|l| l.set_up("tb"));
    let (a, b) = (packet_socket(&host, "ta"), packet_socket(&host, "tb"));
    a.send(&frame(99)).unwrap();
    assert_eq!(b.receive(PATIENCE).unwrap(), frame(99));
    copyloop.0.kill().unwrap();
    let notes = std::io::read_to_string(copyloop.0.stderr.take().unwrap()).unwrap();
    assert!(notes.contains("ip link set dev tb up"), "{notes}");
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
    let port = open_as(&TapOptions {
        name: "t0".into(),
        netns: NetnsRef::Name(name.0.clone()),
        mtu: 1500,
        offload: true,
        queues: 1,
        txqueuelen: None,
        by_priority: None,
    });
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

    let host = Host::new("moved from");
    let mut port = open(&host, "t1");
    ip_command(&host, &format!("link set dev t1 netns {}", name.0));
    assert!(matches!(port.tick(), Link::Down(_)), "the kernel sets a moved interface down");
    Links::within(&path, |l| l.set_up("t1")).unwrap();
    assert_eq!(port.tick(), Link::Up, "a port follows its interface to another namespace");
    drop(port);
    Netns::delete(&name.0).unwrap();
    assert!(!listed());
    assert!(Netns::delete(&name.0).is_err());
}
