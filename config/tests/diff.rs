//! Differences between two files, as a person reads them.

use dcbridge_config::{Config, diff, diff::Effect, parse};

const BASE: &str = include_str!("full.toml");

fn load(text: &str) -> Config {
    parse(text, "test.toml").expect("legal").0
}

/// The differences after one replacement in the full file.
fn after(from: &str, to: &str) -> Vec<(String, Effect)> {
    assert!(BASE.contains(from), "{from:?} is not in the file");
    let changes = diff(&load(BASE), &load(&BASE.replace(from, to)));
    changes.iter().map(|change| (change.to_string(), change.effect())).collect()
}

#[test]
fn a_file_does_not_differ_from_itself() {
    assert_eq!(diff(&load(BASE), &load(BASE)), []);
}

#[test]
fn a_setting_of_every_kind_is_told_with_its_effect() {
    let cases = [
        ("ageing = 300", "ageing = 60", "bridge: ageing 300 -> 60", Effect::Live),
        ("\"12MB\"", "\"24MB\"", "bridge: buffer 12MB -> 24MB", Effect::Restart),
        ("127.0.0.1:9464", "off", "metrics: listen 127.0.0.1:9464 -> off", Effect::Restart),
        ("ef = 5, \"48", "ef = 6, \"48", "map: dscp 46 = 5 -> 46 = 6", Effect::Live),
        ("max_rate = \"100Mbit\"", "", "traffic class cluster: max_rate 100Mbit -> none", Effect::Live),
        ("detection = \"400ms\"", "", "pfc_watchdog: detection 400ms -> 200ms", Effect::Live),
        ("lifetime = \"500ms\"", "", "traffic class default: lifetime 500ms -> off", Effect::Live),
        (
            "pfc_receive = \"all\"",
            "",
            "port tap0: flow_control pfc receive 0, 1, 2, 3, 4, 5, 6, 7 transmit 3 -> pfc 3",
            Effect::Live,
        ),
        (
            "\"hardware\"\nheadroom = \"200KB\"",
            "\"150us\"",
            "port tap0: peer_reaction hardware -> 150us, headroom 200KB -> 2MB",
            Effect::Live,
        ),
        ("tx_interval = 10", "", "lldp: tx_interval 10 -> 30", Effect::Live),
        ("lldp = false", "", "port tap1: lldp false -> true, dcbx off -> auto", Effect::Live),
        (
            "willing = true, role = \"manual\"",
            "role = \"auto-upstream\"",
            "port tap0: dcbx ieee, willing, keep-first -> ieee, role auto-upstream, keep-first",
            Effect::Live,
        ),
        ("jumbo_packet = 9014", "mtu = 1500", "port tap0: mtu 9000 -> 1500", Effect::Live),
        (
            "unix:/run/vm1.sock",
            "unix:/run/x",
            "port vm1: type stream, listen unix:/run/vm1.sock -> stream, listen unix:/run/x",
            Effect::PortReopened,
        ),
        (
            "match = { netdirect_port = 445 }",
            "match = [\"rocev2\", \"smb\"]",
            "policy SMB Direct: match protocol 6 port 445; or protocol 6 port 5445; or protocol 17 \
             destination port 4791; or ethertype 0x8915 -> protocol 17 destination port 4791; or \
             protocol 6 port 445",
            Effect::Live,
        ),
    ];
    for (from, to, told, effect) in cases {
        assert_eq!(after(from, to), [(told.replace('\n', ""), effect)], "{from} -> {to}");
    }
}

#[test]
fn things_come_and_go_by_name() {
    let told: Vec<_> = after("\"tap1\"", "\"tap9\"").into_iter().map(|(text, _)| text).collect();
    assert_eq!(
        told,
        [
            "port tap1: removed",
            "port tap9: added",
            "static entry 02:00:00:00:00:02 in VLAN 1 at tap1: removed",
            "static entry 02:00:00:00:00:02 in VLAN 1 at tap9: added",
        ]
    );
}

#[test]
fn another_order_of_policies_is_a_change() {
    let told = after("precedence = 0x40", "precedence = 200");
    let told: Vec<_> = told.iter().map(|(text, _)| text.as_str()).collect();
    assert_eq!(
        told,
        ["policy words: precedence 64 -> 200", "policies: new order words, SMB Direct, numbers, all"]
    );
}
