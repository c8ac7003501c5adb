//! The steering program of a TAP and the switch's classifier are of one mind about every frame.

use std::cell::Cell;
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use dcbridge::arena::Arena;
use dcbridge::edge::Cookie;
use dcbridge::edge::bpf::{
    Alu, Assembler, Helper, Instruction, Kind, Register, Width, attach_egress, load, run,
};
use dcbridge::edge::steer::{self, Mark, SteerSpec};
use dcbridge::port::tap::{TapOptions, TapPort};
use dcbridge::port::{Port, VnetHeader};
use dcbridge::switch::classify::Classifier;
use dcbridge::switch::parse::parse;
use dcbridge_config::Config;
use dcbridge_scheduler::{PortId, Priority};
use dcbridge_tests::host::{Host, ip};
use dcbridge_tests::privilege::root_for;
use dcbridge_tests::pump::{paused, set_option};
use dcbridge_tests::taps::{open_as, packet_socket};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

/// Ports with every order of trust.
const CONFIG: &str = r#"
[bridge]
name = "br0"

[[port]]
name = "both"
type = "tap"
trust = ["pcp", "dscp"]

[[port]]
name = "dscp1"
type = "tap"
trust = ["dscp", "pcp"]

[[port]]
name = "pcp"
type = "tap"
trust = ["pcp"]

[[port]]
name = "none"
type = "tap"
trust = []
"#;

/// Its maps differ from one entry to the next.
fn config() -> Config {
    let mut config = match dcbridge_config::parse(CONFIG, "test.toml") {
        Ok((config, _)) => config,
        Err(e) => panic!("{}", dcbridge_config::render(&e, CONFIG, false)),
    };
    config.maps.pcp_to_priority = [1, 0, 3, 2, 5, 4, 7, 6];
    config.maps.dscp_to_priority = std::array::from_fn(|n| (n * 5 + n / 8 + 3) as u8 % 8);
    config
}

fn spec(config: &Config, port: usize) -> SteerSpec {
    let port = &config.ports[port];
    SteerSpec {
        trust: port.trust.iter().map(|&t| t.into()).collect(),
        pcp_map: config.maps.pcp_to_priority.map(Priority::new),
        dscp_map: config.maps.dscp_to_priority.map(Priority::new),
        default: Priority::new(port.default_priority),
        control: Priority::new(7),
        kick: Some(Cookie::random()),
    }
}

/// Frames as they are, and as they should not be: tags of all kinds, headers that lie, cut anywhere. One byte behind the
/// Ethernet header is the least that the kernel runs a program over.
fn frames() -> impl Strategy<Value = Vec<u8>> {
    let tag = (prop_oneof![4 => Just(0x8100u16), 1 => Just(0x88A8), 1 => Just(0x9100)], any::<u16>());
    let ethertype = prop_oneof![
        4 => Just(0x0800u16), 4 => Just(0x86DD), 1 => Just(0x8808), 1 => Just(0x88CC), 1 => Just(0x88B5),
        1 => any::<u16>()
    ];
    let first = prop_oneof![4 => Just(0x45u8), 2 => Just(0x60), 1 => 0x40u8..0x50, 1 => any::<u8>()];
    let network = (first, any::<u8>(), prop::collection::vec(any::<u8>(), 0..80));
    let cut = prop_oneof![3 => Just(usize::MAX), 1 => 15usize..80];
    (prop::collection::vec(tag, 0..6), ethertype, network, cut).prop_map(
        |(tags, ethertype, (first, second, rest), cut)| {
            let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
            for (kind, tci) in tags {
                frame.extend(kind.to_be_bytes());
                frame.extend(tci.to_be_bytes());
            }
            frame.extend(ethertype.to_be_bytes());
            frame.extend([first, second]);
            frame.extend(rest);
            frame.truncate(cut);
            frame
        },
    )
}

#[test]
fn the_program_answers_what_the_classifier_does() {
    if !root_for("a steering program") {
        return;
    }
    let config = config();
    let classifier = Classifier::new(&config);
    let programs: Vec<OwnedFd> = (0..config.ports.len())
        .map(|port| {
            steer::compile(&spec(&config, port)).load(Kind::Classifier).unwrap_or_else(|e| panic!("{e}"))
        })
        .collect();
    let seen: [Cell<u32>; 8] = Default::default();
    TestRunner::new(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(20_000) })
        .run(&frames(), |bytes| {
            let outer = u16::from_be_bytes([bytes[12], bytes[13]]);
            let cut = match outer {
                0x0800 => bytes.len() < 34,
                0x86DD => bytes.len() < 54,
                _ => false,
            };
            // The kernel runs no program over an IP header that is cut; behind a tag it does.
            let Ok(frame) = parse(&bytes, &VnetHeader::default()) else { return Ok(()) };
            if cut {
                return Ok(());
            }
            for (port, program) in programs.iter().enumerate() {
                let expected = match outer {
                    // Never forwarded, so never classified.
                    0x8808 | 0x88CC => Priority::new(7),
                    _ => classifier.classify(PortId(port as u16), None, &frame, 1).arrival,
                };
                let steered = run(program.as_fd(), &bytes).expect("test run");
                prop_assert_eq!(steered, u32::from(expected.get()), "port {}, {:?}", port, frame);
                let count = &seen[expected.index()];
                count.set(count.get() + 1);
            }
            Ok(())
        })
        .unwrap_or_else(|e| panic!("{e}"));
    println!("answers by priority: {:?}", seen.each_ref().map(Cell::get));
    assert!(seen.iter().all(|n| n.get() > 100), "every answer was asked for: {seen:?}");
}

fn port_that_trusts(host: &Host, trust: &[Mark]) -> TapPort {
    let mut wanted: TapOptions = paused(host, "t0", None);
    if let Some(by_priority) = &mut wanted.by_priority {
        by_priority.trust = trust.to_vec();
        by_priority.default = Priority::new(2);
    }
    let port = open_as(&wanted);
    assert!(port.notes().is_empty(), "{:?}", port.notes());
    host.address("t0", 1, &[2]);
    port
}

/// The queue by which the next frame comes.
fn queue_of_next(port: &mut TapPort) -> u8 {
    let mut arena = Arena::new(1 << 20);
    let mut out = Vec::new();
    let end = Instant::now() + Duration::from_secs(5);
    while out.is_empty() {
        port.rx(0xff, 1, &mut arena, &mut out);
        assert!(Instant::now() < end, "no frame came");
        std::thread::sleep(Duration::from_micros(100));
    }
    out[0].queue
}

fn send(host: &Host, set: impl FnOnce(&std::net::UdpSocket) + Send) {
    host.run(|| {
        let socket = std::net::UdpSocket::bind(("0.0.0.0", 0)).expect("socket");
        set(&socket);
        socket.send_to(b"hello", (ip(2), 9)).expect("send");
        Ok(())
    });
}

#[test]
fn programs_of_the_host_choose_their_queue_by_socket_option() {
    if !root_for("steering by SO_PRIORITY") {
        return;
    }
    let host = Host::new("so_priority");
    let mut port = port_that_trusts(&host, &[Mark::Socket]);
    for priority in 1..8 {
        send(&host, |s| set_option(s, libc::SOL_SOCKET, libc::SO_PRIORITY, priority));
        assert_eq!(i32::from(queue_of_next(&mut port)), priority);
    }
    send(&host, |_| {});
    assert_eq!(queue_of_next(&mut port), 2, "not set: the default");
    send(&host, |s| set_option(s, libc::SOL_SOCKET, libc::SO_PRIORITY, 0x1_0003));
    assert_eq!(queue_of_next(&mut port), 2, "a traffic control handle is no priority");
}

#[test]
fn the_dscp_chooses_the_queue() {
    if !root_for("steering by DSCP") {
        return;
    }
    let host = Host::new("dscp");
    let mut port = port_that_trusts(&host, &[Mark::Dscp]);
    for dscp in 0..64 {
        send(&host, |s| set_option(s, libc::IPPROTO_IP, libc::IP_TOS, dscp << 2));
        assert_eq!(i32::from(queue_of_next(&mut port)), dscp >> 3, "DSCP {dscp}");
    }
}

/// A frame with a PCP, tagged inside.
fn tagged(pcp: u8) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x81, 0x00, pcp << 5, 7, 0x88, 0xb6];
    frame.resize(64, 0);
    frame
}

#[test]
fn the_pcp_chooses_the_queue_inside_and_beside_the_frame() {
    if !root_for("steering by PCP") {
        return;
    }
    let host = Host::new("pcp");
    let mut port = port_that_trusts(&host, &[Mark::Pcp]);
    let socket = packet_socket(&host, "t0");
    for pcp in 0..8 {
        socket.send(&tagged(pcp)).expect("send");
        assert_eq!(queue_of_next(&mut port), pcp, "inside");
    }
    send(&host, |_| {});
    assert_eq!(queue_of_next(&mut port), 2, "without a tag: the default");
    let index = host.links(|l| l.index("t0"));
    let tagging = load(Kind::Classifier, &pushes_tag()).unwrap_or_else(|e| panic!("{e}"));
    let _link = host.run(|| Ok(attach_egress(tagging.as_fd(), index).expect("TCX")));
    for priority in 0..8 {
        send(&host, |s| set_option(s, libc::SOL_SOCKET, libc::SO_PRIORITY, priority));
        assert_eq!(i32::from(queue_of_next(&mut port)), priority, "beside");
    }
}

/// Gives every frame a C-VLAN tag with the socket's priority, as a VLAN interface would.
fn pushes_tag() -> Vec<Instruction> {
    use Register::{R0, R1, R2, R3};
    const PRIORITY: i16 = 32;
    let mut a = Assembler::new();
    a.load(Width::Word, R3, R1, PRIORITY);
    a.alu_number(Alu::ShiftLeft, R3, 13);
    a.alu_number(Alu::Move, R2, i32::from(0x8100u16.to_be()));
    a.call(Helper::VlanPush);
    // TCX_PASS
    a.alu_number(Alu::Move, R0, 0);
    a.exit();
    a.finish()
}

#[test]
fn kicks_and_control_frames_have_queues_of_their_own() {
    if !root_for("kicks and control frames") {
        return;
    }
    let config = config();
    let spec = spec(&config, 0);
    let program = steer::compile(&spec).load(Kind::Classifier).unwrap_or_else(|e| panic!("{e}"));
    let cookie = spec.kick.expect("a cookie");
    for priority in Priority::all() {
        let kick = dcbridge::edge::Kick::new(cookie, priority);
        assert_eq!(run(program.as_fd(), kick.bytes()).expect("run"), u32::from(priority.get()));
        let foreign = dcbridge::edge::Kick::new(Cookie::random(), priority);
        assert_eq!(run(program.as_fd(), foreign.bytes()).expect("run"), u32::from(spec.default.get()));
    }
    println!("{} instructions", steer::compile(&spec).len());
}

#[test]
fn a_wrong_program_is_refused_with_the_verifiers_words() {
    if !root_for("the verifier") {
        return;
    }
    let mut a = Assembler::new();
    a.alu(Alu::Move, Register::R0, Register::R5);
    a.exit();
    let error = load(Kind::SocketFilter, &a.finish()).expect_err("R5 holds nothing");
    assert!(error.log.contains("R5"), "{error}");
}
