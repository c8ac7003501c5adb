//! The four views as JSON (feature `serde`): what the control interface and people get to see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Cable, HIGH, LOW, agent, side_a, side_b, with};
use lldp_dcbx::dcbx::Mode;
use lldp_dcbx::wire::basic::{ManagementAddress, Text};
use lldp_dcbx::{Agent, AgentConfig, LocalInfo, Time};
use serde_json::{Value, json};

fn views(mode: Mode) -> Value {
    let mut cable = Cable::pair(with(side_a(), mode, true), with(side_b(), mode, false));
    cable.link(true);
    cable.run_secs(5);
    serde_json::to_value(cable.ends[0].views().unwrap()).unwrap()
}

#[test]
fn ieee() {
    let v = views(Mode::Ieee);
    assert_eq!(v["link_up"], true);
    assert_eq!(v["capability"], json!({"max_classes": 8, "pfc_priorities": 8, "credit_based": false}));
    assert_eq!(v["local"]["pfc"], json!([3]));
    assert_eq!(v["peer"]["mac"], "02:00:00:00:00:09");
    assert_eq!(v["peer"]["dialect"], "IEEE");
    assert_eq!(v["peer"]["ieee"]["pfc"]["good"]["enabled"], json!([1, 4]));
    assert_eq!(v["operational"]["pfc"], json!({"value": [1, 4], "active": true, "source": "peer"}));
    assert_eq!(v["operational"]["ets"]["source"], "peer");
    assert_eq!(v["operational"]["ets"]["value"]["bandwidth"], json!([75, 25, 0, 0, 0, 0, 0, 0]));
    assert_eq!(v["operational"]["ets"]["value"]["tsa"][0], "ets");
    let fcoe = json!({"selector": "ethertype", "protocol": 0x8906, "priority": 3, "source": "local"});
    assert_eq!(v["operational"]["app"]["value"][0], fcoe);
    assert_eq!(v["diagnosis"], json!([]));
}

#[test]
fn neighbours() {
    let info = LocalInfo {
        system_name: Some(Text::new("host \u{1b}[31m7")),
        management: vec![ManagementAddress::new(1, &[192, 0, 2, 7], 2).unwrap()],
        pvid: Some(5),
        max_frame_size: Some(9018),
        ..LocalInfo::default()
    };
    let config = AgentConfig { dcbx: None, info, ..AgentConfig::new(HIGH, "eth0") };
    let peer = Agent::new(config, HIGH, Time::from_secs(1)).unwrap();
    let mut cable = Cable::new(vec![agent(LOW, side_a()), peer]);
    cable.link(true);
    cable.run_secs(8);
    let v = serde_json::to_value(cable.ends[0].neighbor_views(cable.now)).unwrap();
    assert_eq!(v.as_array().unwrap().len(), 1);
    let n = &v[0];
    assert_eq!((&n["chassis"], &n["port"]), (&json!("02:00:00:00:00:09"), &json!("eth0")));
    assert_eq!((&n["group"], &n["speaks_dcbx"]), (&json!("nearest-bridge"), &json!(false)));
    assert_eq!((&n["management"], &n["pvid"]), (&json!(["192.0.2.7"]), &json!(5)));
    assert_eq!((&n["known_seconds"], &n["expires_seconds"]), (&json!(8), &json!(116)));
    assert_eq!(n["system_name"], "host \u{fffd}[31m7", "no control characters reach a terminal");
}

#[test]
fn cee() {
    let v = views(Mode::Cee);
    assert_eq!(v["operational"]["dialect"], "CEE");
    assert_eq!(v["peer"]["ieee"]["pfc"], "absent");
    let pfc = &v["peer"]["cee"]["good"]["pfc"];
    assert_eq!(pfc["said"]["head"]["willing"], false);
    assert_eq!(pfc["said"]["value"]["good"], json!([1, 4]));
    assert!(v["peer"]["cee"]["good"]["control"]["ack"].as_u64() > Some(0), "acknowledged by the peer");
}
