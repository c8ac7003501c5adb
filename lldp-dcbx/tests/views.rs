//! The four views as JSON (feature `serde`): what the control interface and people get to see.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::{Cable, side_a, side_b, with};
use lldp_dcbx::dcbx::Mode;
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
fn cee() {
    let v = views(Mode::Cee);
    assert_eq!(v["operational"]["dialect"], "CEE");
    assert_eq!(v["peer"]["ieee"]["pfc"], "absent");
    let pfc = &v["peer"]["cee"]["good"]["pfc"];
    assert_eq!(pfc["said"]["head"]["willing"], false);
    assert_eq!(pfc["said"]["value"]["good"], json!([1, 4]));
    assert!(v["peer"]["cee"]["good"]["control"]["ack"].as_u64() > Some(0), "acknowledged by the peer");
}
