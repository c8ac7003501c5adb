//! Interfaces that come, are found, and go: nothing is left behind, and what was changed is put back.

use std::time::Instant;

use dcbridge::arena::Arena;
use dcbridge::port::veth::VethOptions;
use dcbridge::port::{Link, Port};
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::taps::{PATIENCE, frame, ip_command, packet_socket};
use dcbridge_tests::traffic::tcp_watched;
use dcbridge_tests::veths::{open, options, try_open};

use super::{receive, sleep};

#[test]
fn reopening_leaves_no_descriptor_and_no_interface() {
    if !root_for("reopening a veth") {
        return;
    }
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    let descriptors = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let interfaces = |host: &Host| host.links(dcbridge::net::Links::list).len();
    let before = (interfaces(&host), interfaces(&switch));
    // What libraries open once and keep.
    drop(open(&switch, &options(&host, "v0", "eth0")));
    let mut count = descriptors();
    for _ in 0..20 {
        let begin = Instant::now();
        let port = open(&switch, &options(&host, "v0", "eth0"));
        let opened = begin.elapsed();
        let begin = Instant::now();
        drop(port);
        println!("opened in {opened:?}, closed in {:?}", begin.elapsed());
        let end = Instant::now() + PATIENCE;
        while (interfaces(&host), interfaces(&switch)) != before {
            assert!(
                Instant::now() < end,
                "an interface is left: {:?}, {before:?} before",
                (interfaces(&host), interfaces(&switch))
            );
            sleep(10);
        }
        // Other tests of this program open and close theirs meanwhile.
        count = count.min(descriptors());
    }
    assert!(descriptors() <= count + 200, "{} descriptors, {count} before", descriptors());
}

/// What `ip`, `tc` and `ethtool` say of an end of a pair.
fn settings(host: &Host, name: &str) -> String {
    let commands = [
        format!("ip -o link show dev {name}"),
        format!("tc qdisc show dev {name}"),
        format!("ethtool -k {name}"),
    ];
    let said = commands.map(|command| {
        let mut words = command.split(' ').map(str::to_owned);
        let mut run = std::process::Command::new(words.next().unwrap());
        let output = host.run(|| Ok(run.args(words).output().expect("this test needs ip, tc and ethtool")));
        String::from_utf8(output.stdout).unwrap()
    });
    said.join("\n")
}

#[test]
fn a_pair_that_existed_is_put_back_as_it_was() {
    if !root_for("an existing veth pair") {
        return;
    }
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    ip_command(
        &switch,
        "link add v0 numtxqueues 8 numrxqueues 8 mtu 1400 type veth peer name eth0 numtxqueues 8 numrxqueues 8",
    );
    let pid = std::process::id();
    // The namespace of the host is one without a name: it is reached by an open file of this process.
    let dcbridge::net::NetnsRef::Open(netns) = host.netns() else { panic!("open") };
    let fd = std::os::fd::AsRawFd::as_raw_fd(&std::os::fd::AsFd::as_fd(&*netns));
    ip_command(&switch, &format!("link set eth0 netns /proc/{pid}/fd/{fd}"));
    host.links(|l| l.set_up("eth0"));
    switch.links(|l| l.set_up("v0"));
    sleep(1100);
    let before = (settings(&host, "eth0"), settings(&switch, "v0"));
    let mut port = open(&switch, &options(&host, "v0", "eth0"));
    assert_ne!(settings(&host, "eth0"), before.0);
    assert_eq!(port.tick(), Link::Up);
    let mut arena = Arena::new(1 << 20);
    packet_socket(&host, "eth0").send(&frame(99)).unwrap();
    let got = receive(&mut port, &mut arena);
    assert_eq!(arena.bytes(got.id), frame(99));
    drop(port);
    sleep(1100);
    let after = (settings(&host, "eth0"), settings(&switch, "v0"));
    let differ: Vec<_> = before
        .0
        .lines()
        .zip(after.0.lines())
        .chain(before.1.lines().zip(after.1.lines()))
        .filter(|(a, b)| a != b)
        .collect();
    assert!(after == before, "{differ:?}");
    // It is a pair like any other again: the kernel passes frames by itself.
    switch.address("v0", 2, &[1]);
    host.address("eth0", 1, &[2]);
    assert!(tcp_watched((&host, 1), (&switch, 2), 1 << 20).gbps > 0.0);

    let other = try_open(&switch, &options(&switch, "v0", "eth9")).unwrap_err().to_string();
    assert!(other.contains("its other end is not eth9"), "{other}");
    host.links(|l| l.delete("eth0"));
    ip_command(
        &switch,
        "link add v0 numtxqueues 2 numrxqueues 2 type veth peer name eth0 numtxqueues 8 numrxqueues 8",
    );
    let few = try_open(&switch, &options(&switch, "v0", "eth0")).unwrap_err().to_string();
    assert!(few.contains("has 2 queues") && few.contains("numtxqueues 8"), "{few}");
    let long = try_open(&switch, &VethOptions { mtu: 9000, ..options(&switch, "v1", "eth1") });
    assert!(long.unwrap_err().to_string().contains("at most 3500"));
    assert_eq!(settings(&switch, "v1"), settings(&switch, "v2"), "nothing was made");
}

#[test]
fn a_deleted_host_end_closes_the_port() {
    if !root_for("a deleted veth") {
        return;
    }
    let (host, switch) = (Host::new("host"), Host::new("switch"));
    let mut port = open(&switch, &options(&host, "v0", "eth0"));
    host.links(|l| l.set_down("eth0"));
    let end = Instant::now() + PATIENCE;
    while port.tick() == Link::Up {
        assert!(Instant::now() < end, "the link is still up");
        sleep(50);
    }
    assert!(port.rx(0xff, 8, &mut Arena::new(1 << 16), &mut Vec::new()).closed.is_none());
    host.links(|l| l.set_up("eth0"));
    while port.tick() != Link::Up {
        assert!(Instant::now() < end, "the link is still down");
        sleep(50);
    }
    host.links(|l| l.delete("eth0"));
    assert!(matches!(port.tick(), Link::Down(why) if why.contains("deleted")));
    let mut interests = Vec::new();
    port.interests(&mut interests);
    assert!(interests.is_empty(), "whoever waits learns it");
    assert!(port.rx(0xff, 8, &mut Arena::new(1 << 16), &mut Vec::new()).closed.is_some());
}
