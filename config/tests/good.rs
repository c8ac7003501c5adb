//! Files that are right: what is written arrives in the checked configuration.

use std::path::Path;

use dcbridge_config::*;

fn load(path: &str) -> Config {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path).expect("the file is committed");
    let name = path.file_name().expect("a file").to_string_lossy();
    let (config, warnings) =
        parse(&text, &name).unwrap_or_else(|errors| panic!("{}", render(&errors, &text, false)));
    assert!(warnings.is_empty(), "{}", render(&warnings, &text, false));
    config
}

#[test]
fn every_example_is_free_of_findings() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples");
    let mut seen = 0;
    for entry in std::fs::read_dir(directory).expect("docs/examples exists") {
        let path = entry.expect("readable").path();
        if path.extension().is_some_and(|extension| extension == "toml") {
            load(&path.to_string_lossy());
            seen += 1;
        }
    }
    assert!(seen >= 4, "only {seen} examples found");
}

#[test]
fn every_key_arrives() {
    let config = load("tests/full.toml");
    assert_eq!(config.bridge.buffer_bytes, 12_000_000);
    assert_eq!(config.bridge.stall_budget_us, 3_000);
    assert_eq!(config.bridge.flood_rate, Some(BitRate(1_000_000_000)));
    assert_eq!(config.metrics.listen, Some(([127, 0, 0, 1], 9464).into()));

    let numbers: Vec<_> = config.traffic_classes.iter().map(|class| class.tc).collect();
    assert_eq!(numbers, [0, 3, 5], "sorted by number");
    let smb = config.class_of(3).expect("priority 3 has a class");
    assert!(smb.lossless && smb.bandwidth == 50 && smb.queue_limit == QueueLimit::Dynamic(-2));
    let cluster = config.class_of(5).expect("priority 5 has a class");
    assert_eq!((cluster.tsa, cluster.bandwidth), (Tsa::Strict, 0));
    assert_eq!(cluster.max_rate, Some(BitRate(100_000_000)));
    assert_eq!(cluster.queue_limit, QueueLimit::Static(200_000));
    assert_eq!(config.lossless_priorities().iter().collect::<Vec<_>>(), [3]);
    assert_eq!((smb.reserved_bytes, smb.xon_offset_bytes, smb.lifetime_us), (40_000, 20_000, None));
    assert_eq!(config.class_of(0).and_then(|class| class.lifetime_us), Some(500_000));
    let action = WatchdogAction::Forward;
    let watchdog = Watchdog { detection_ms: 400, restoration_ms: 1_000, poll_ms: 100, action };
    assert_eq!(config.watchdog, Some(watchdog));

    assert_eq!(config.maps.pcp_to_priority, [0, 0, 2, 3, 4, 5, 6, 7]);
    assert_eq!(config.maps.dscp_to_priority[46], 5);
    assert_eq!(config.maps.dscp_to_priority[8], 1, "the rest is dscp >> 3");
    assert_eq!(config.maps.priority_to_pcp[6], 7);
    assert_eq!(config.maps.priority_to_dscp[3], Some(26));
    assert_eq!(config.maps.priority_to_dscp[0], None);

    assert_eq!(config.static_entries[0].mac, [2, 0, 0, 0, 0, 1]);
    assert_eq!(config.static_entries[1].vlan, 1, "the VLAN of untagged frames");
}

#[test]
fn ports_take_their_own_settings_before_the_defaults() {
    let config = load("tests/full.toml");
    let tap0 = config.port("tap0").expect("configured");
    assert_eq!(tap0.line_rate, Some(BitRate(2_500_000_000)));
    assert_eq!(tap0.mtu, 9000, "jumbo_packet counts the Ethernet header");
    assert_eq!(tap0.trust, [Trust::Pcp, Trust::Dscp]);
    assert_eq!(tap0.kind, PortKind::Tap { netns: Some("pid:1".into()), offload: false });
    assert!(tap0.isolated && tap0.rewrite_pcp && tap0.rewrite_dscp);
    assert_eq!(tap0.vlan.untagged, [10, 11]);
    assert_eq!(tap0.vlan.tagged, [(20, 30), (40, 40)], "ranges are joined");
    assert!(!tap0.vlan.transparent);
    let three = PrioritySet(0b1000);
    assert_eq!(tap0.flow_control, FlowControl::Pfc { receive: PrioritySet::ALL, transmit: three });
    assert_eq!((tap0.pfc_rate, tap0.cable_metres), (Some(BitRate(2_500_000_000)), 100));
    assert_eq!((tap0.peer_reaction, tap0.headroom_bytes), (PeerReaction::Hardware, Some(200_000)));

    let tap1 = config.port("tap1").expect("configured");
    assert_eq!(tap1.mtu, 1500, "\"default\" resets");
    assert_eq!(tap1.line_rate, Some(BitRate(10_000_000_000)));
    assert_eq!((tap1.default_priority, tap1.fdb_limit), (1, Some(500)));
    assert_eq!(tap1.kind, PortKind::Tap { netns: Some("lab".into()), offload: true });
    assert!(tap1.vlan.transparent);
    assert_eq!(tap1.flow_control, FlowControl::Pfc { receive: three, transmit: three });
    assert_eq!((tap1.pfc_rate, tap1.cable_metres), (Some(BitRate(10_000_000_000)), 2));
    assert_eq!(
        (tap1.peer_reaction, tap1.headroom_bytes),
        (PeerReaction::Software { us: 200 }, Some(2_000_000))
    );

    let vm1 = config.port("vm1").expect("configured");
    assert_eq!((vm1.line_rate, vm1.mtu), (None, 9000));
    assert!(vm1.trust.is_empty());
    let listen = StreamEndpoint::ListenUnix("/run/vm1.sock".into());
    assert_eq!(vm1.kind, PortKind::Stream { endpoint: listen });

    let kind = |name: &str| config.port(name).expect("configured").kind.clone();
    assert_eq!(kind("veth0"), PortKind::Veth { netns: Some("lab".into()), peer: "eth0".into() });
    assert_eq!(kind("eth1"), PortKind::Packet { netns: Some("uplinks".into()) });
}

#[test]
fn policies_are_in_the_order_in_which_they_win() {
    let config = load("tests/full.toml");
    let order: Vec<_> = config.policies.iter().map(|p| (p.name.as_str(), p.precedence)).collect();
    assert_eq!(order, [("SMB Direct", 127), ("numbers", 127), ("words", 64), ("all", 0)]);
    let all = &config.policies[3];
    assert_eq!(all.any_of, [Match::default()], "matches every frame");
    let numbers = &config.policies[1].any_of;
    assert_eq!(numbers[0].protocols, [6]);
    assert_eq!(numbers[0].either_port, Some((80, 80)));
    assert_eq!(numbers[2].protocols, [6, 17]);
    assert_eq!((numbers[2].src_port, numbers[2].dst_port), (Some((1024, 65535)), Some((443, 443))));
    assert_eq!(numbers[3].dst_mac, Some([1, 0, 0x5e, 0, 0, 1]));
    assert_eq!(numbers[4].in_ports, ["tap0", "vm1"]);
}

#[test]
fn the_least_file_gets_sensible_defaults() {
    let (config, _) = parse("[[port]]\nname='a'\n[[port]]\nname='b'\n", "f").expect("legal");
    assert_eq!(config.bridge.control_socket, Path::new("/run/dcbridge/br0.sock"));
    assert_eq!(config.bridge.ageing_seconds, 300);
    let [class] = config.traffic_classes.as_slice() else { panic!("one class") };
    assert_eq!((class.priorities, class.bandwidth, class.lossless), (PrioritySet::ALL, 100, false));
    assert_eq!(config.ports[0].mtu, 1500);
    assert_eq!(config.ports[0].line_rate, Some(BitRate(10_000_000_000)));
    assert_eq!(BufferPlan::of(&config).shared_bytes, Some(12_000_000), "nothing is lossless");
    assert_eq!((config.ports[0].flow_control, config.watchdog), (FlowControl::Off, None));
}

/// Two ports, a lossless class of priority 3 with `class`, and the rest.
fn lossless(class: &str, rest: &str) -> Config {
    let text = format!(
        "[[port]]\nname='a'\n[[port]]\nname='b'\ntype='stream'\nlisten='unix:/b'\nmtu=9000\n\
         [[traffic_class]]\nname='s'\npriorities=[3]\nlossless=true\n{class}\n\
         [[traffic_class]]\nname='d'\npriorities='rest'\n{rest}\n"
    );
    parse(&text, "f").unwrap_or_else(|errors| panic!("{}", render(&errors, &text, false))).0
}

#[test]
fn a_lossless_class_brings_its_own_defaults() {
    let config = lossless("", "");
    let three = PrioritySet(0b1000);
    for port in &config.ports {
        assert_eq!(port.flow_control, FlowControl::Pfc { receive: three, transmit: three });
        assert_eq!((port.pfc_rate, port.cable_metres, port.headroom_bytes), (None, 5, None));
    }
    assert_eq!(config.ports[0].peer_reaction, PeerReaction::Software { us: 100 });
    assert_eq!(config.ports[1].peer_reaction, PeerReaction::Software { us: 500 });
    let class = config.class_of(3).expect("priority 3 has a class");
    let frames = 2 * u64::from(config.ports[1].max_frame());
    assert_eq!((class.reserved_bytes, class.xon_offset_bytes), (frames, frames), "of the largest MTU");
    let lossy = config.class_of(0).expect("priority 0 has a class");
    assert_eq!((lossy.reserved_bytes, lossy.lifetime_us), (0, None));
    assert_eq!(config.bridge.stall_budget_us, 3_355, "no longer than the pauses at 10 Gbit/s");
}

#[test]
fn quanta_are_counted_at_the_rate_that_both_ends_know() {
    let of = |port: &str| {
        let (config, _) = parse(&format!("[[port]]\nname='a'\n{port}\n"), "f").expect("legal");
        (config.ports[0].pause_rate().0, config.ports[0].longest_pause_ns())
    };
    assert_eq!(of("line_rate='1Gbit'"), (1_000_000_000, 33_553_920));
    assert_eq!(of("line_rate='1Gbit'\npfc_rate='25Gbit'"), (25_000_000_000, 1_342_156));
    assert_eq!(of("line_rate='unlimited'").0, 10_000_000_000);
}

#[test]
fn the_watchdog_is_off_until_it_is_named() {
    let action = WatchdogAction::Drop;
    let standard = Watchdog { detection_ms: 200, restoration_ms: 200, poll_ms: 200, action };
    assert_eq!(lossless("", "").watchdog, None);
    assert_eq!(lossless("", "[pfc_watchdog]").watchdog, Some(standard));
    let quick = lossless("", "[pfc_watchdog]\ndetection='100ms'").watchdog.expect("on");
    assert_eq!(quick.poll_ms, 100, "never less often than it should detect");
}

#[test]
fn classes_without_bandwidth_share_what_is_left() {
    let class = |name: &str, priorities: &str, rest: &str| {
        format!("[[traffic_class]]\nname='{name}'\npriorities={priorities}\n{rest}\n")
    };
    let text = class("a", "[0]", "bandwidth=31")
        + &class("b", "[1]", "")
        + &class("c", "'rest'", "")
        + "[[port]]\nname='a'\n[[port]]\nname='b'\n";
    let (config, _) = parse(&text, "f").expect("legal");
    let shares: Vec<_> = config.traffic_classes.iter().map(|class| class.bandwidth).collect();
    assert_eq!(shares, [31, 35, 34]);
}

#[test]
fn dcbx_is_on_and_not_willing_unless_the_file_says_otherwise() {
    let text = "[defaults]\ndcbx = { willing = true }\n[[port]]\nname = 'a'\n[[port]]\nname = 'b'\n\
                dcbx = { role = 'auto-downstream' }\n[[port]]\nname = 'c'\nlldp = false\n[[port]]\nname = 'd'\n\
                dcbx = { mode = 'off' }\n";
    let shown = |text: &str| {
        let (config, findings) = parse(text, "f").expect("legal");
        assert_eq!(findings, []);
        let dcbx = config.ports.iter().map(|p| p.dcbx.map_or("off".to_owned(), |d| d.to_string()));
        (config.ports[0].flow_control, dcbx.collect::<Vec<_>>())
    };
    let (flow, dcbx) = shown(text);
    assert_eq!(dcbx, ["auto, willing", "auto, role auto-downstream", "off", "off"]);
    let none = PrioritySet(0);
    let pfc = FlowControl::Pfc { receive: none, transmit: none };
    assert_eq!(flow, pfc, "a port that may learn lossless priorities can pause");
    let (flow, dcbx) = shown("[[port]]\nname = 'a'\n[[port]]\nname = 'b'\n");
    assert_eq!((flow, dcbx), (FlowControl::Off, vec!["auto".to_owned(), "auto".to_owned()]));
}
