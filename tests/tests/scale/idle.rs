//! 64 TAPs: what they cost while nobody sends, and that all of them pass frames.

use std::net::{SocketAddrV4, UdpSocket};
use std::time::Duration;

use dcbridge_tests::live::{Network, one_of_three};
use dcbridge_tests::privilege::root_for;

use crate::{PROGRAM, busy};

const PORTS: usize = 64;
const SPAN: Duration = Duration::from_secs(20);
/// Of one processor.
const MOST_BUSY: f64 = 0.01;
const MOST_RESIDENT_KIB: u64 = 64 << 10;
/// As a switch is run: with LLDP, DCBX and metrics.
const AGENTS: &str = "[lldp]\nenabled = true\n[metrics]\nlisten = \"127.0.0.1:0\"\n";

fn network(bridge: &str, sections: &str) -> Network {
    let names: Vec<String> = (0..PORTS).map(|n| format!("p{n}")).collect();
    let ports: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    Network::new(PROGRAM, bridge, sections, &ports)
}

fn resident_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("VmRSS");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

fn idle(title: &str, bridge: &str, sections: &str) {
    let network = network(bridge, &format!("{AGENTS}{sections}"));
    // LLDP speaks a few times in a row to a new neighbour.
    std::thread::sleep(Duration::from_secs(5));
    let pid = network.program.pid();
    one_of_three(title, || {
        let busy = busy(pid, SPAN);
        let resident = resident_kib(pid);
        let figures = format!("{:.2} % of a processor, {resident} KiB resident", busy * 100.0);
        let verdict = match (busy < MOST_BUSY, resident < MOST_RESIDENT_KIB) {
            (false, _) => Err("1 % of a processor is allowed".to_owned()),
            (_, false) => Err("64 MiB are allowed".to_owned()),
            _ => Ok(()),
        };
        (figures, verdict)
    });
}

#[test]
fn idle_ports_cost_next_to_nothing() {
    if root_for("64 idle TAPs") {
        idle("64 idle ports", "", "");
    }
}

#[test]
fn idle_ports_with_a_lossless_class_cost_next_to_nothing() {
    if root_for("64 idle TAPs with a lossless class") {
        let classes = "[[traffic_class]]\nname = \"lossless\"\npriorities = [3]\nbandwidth = 50\nlossless = true\n\
                       [[traffic_class]]\nname = \"rest\"\npriorities = \"rest\"\nbandwidth = 50\n\
                       [defaults]\nline_rate = \"1Gbit\"\n";
        idle("64 idle ports, one class lossless", "buffer = \"64MB\"", classes);
    }
}

/// Packets that each host's interface has received and sent, and dropped in either direction: its own counts.
fn counters(network: &Network) -> Vec<[u64; 4]> {
    let read = |host: usize| {
        let done = network.command_in(host, "cat").arg("/proc/net/dev").output();
        let table = String::from_utf8(done.expect("nsenter (package util-linux) is installed").stdout);
        let table = table.expect("text");
        let name = format!("{}:", network.hosts[host].name());
        let line = table.lines().find_map(|line| line.trim().strip_prefix(&name)).expect("the interface");
        let columns: Vec<u64> = line.split_whitespace().map(|n| n.parse().expect("a number")).collect();
        [columns[1], columns[9], columns[3], columns[11]]
    };
    (0..network.hosts.len()).map(read).collect()
}

#[test]
fn frames_pass_between_any_two_of_64_ports() {
    if !root_for("traffic between 64 TAPs") {
        return;
    }
    const SINK: u16 = 9000;
    let network = network("loop_detection = false", "");
    let open = |host: &dcbridge::lab::hosts::Host| {
        let bound = host.within(|| Ok(UdpSocket::bind(("0.0.0.0", SINK))));
        bound.unwrap_or_else(|e| panic!("{e}")).expect("a socket")
    };
    let sockets: Vec<UdpSocket> = network.hosts.iter().map(open).collect();
    let mut expected = counters(&network);
    let mut state = 1u64;
    let mut draw = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    for _ in 0..500 {
        let from = draw(PORTS);
        let to = (from + 1 + draw(PORTS - 1)) % PORTS;
        let count = 1 + draw(40);
        let payload = vec![0; 18 + draw(1455)];
        for _ in 0..count {
            let address = SocketAddrV4::new(network.hosts[to].address().ip, SINK);
            sockets[from].send_to(&payload, address).expect("a host that sends");
        }
        expected[from][1] += count as u64;
        expected[to][0] += count as u64;
    }
    std::thread::sleep(Duration::from_millis(500));
    let got = counters(&network);
    for (host, (got, expected)) in got.iter().zip(&expected).enumerate() {
        assert_eq!(got, expected, "host {host}: received, sent, receive drops, transmit drops");
    }
    let total: u64 = got.iter().map(|c| c[0]).sum();
    println!("{total} frames have arrived at {PORTS} interfaces");
}
