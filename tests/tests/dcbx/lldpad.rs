//! Against the real lldpad: every dialect, every combination of willing ends, and every way to lose it.

use std::time::Duration;

use dcbridge_tests::lldpad::{Cable, Capture, Lldpad, lldpad_for};
use dcbridge_tests::program::Program;
use serde_json::{Value, json};

use crate::{AGREED, PROGRAM, eventually, held, port};

/// Ours: two classes 75 : 25 with PFC for 1 and 4, iSCSI at 5.
const SECTIONS: &str = "
[[traffic_class]]
name = \"default\"
tc = 0
priorities = \"rest\"
bandwidth = 75
[[traffic_class]]
name = \"storage\"
tc = 1
priorities = [1, 4]
bandwidth = 25
lossless = true
[[policy]]
name = \"iscsi\"
match = { tcp_port = 3260 }
priority = 5
";
const OURS: ([(u8, u8, u8); 2], u8) = ([(0, 0b1110_1101, 75), (1, 0b0001_0010, 25)], 0b0001_0010);
/// Theirs: three classes 30 : 30 : 40 with PFC for 3, FCoE at 3.
const LLDPAD: &str =
    "--ets-up2tc 0,0,0,1,2,2,2,2 --ets-tcbw 30,30,40 --ets-tsa ets,ets,ets --pfc 3 --app 3,1,0x8906";
const THEIRS: ([(u8, u8, u8); 3], u8) = ([(0, 0b0111, 30), (1, 0b1000, 30), (2, 0b1111_0000, 40)], 0b1000);

/// The program at our end of a cable.
fn switch(cable: &Cable, willing: bool) -> Program {
    let sections = format!(
        "{SECTIONS}\n[lldp]\nmore_groups = [\"nearest-customer\"]\nmanagement_address = [\"192.0.2.1\"]\n\
         [[port]]\nname = \"d0\"\ntype = \"packet\"\nnetns = \"{}\"\ndcbx = {{ willing = {willing} }}\n\
         [[port]]\nname = \"host\"\ntype = \"tap\"\nlldp = false\nnetns = \"{}\"\n",
        cable.ours, cable.ours
    );
    Program::start(PROGRAM, "buffer = \"32MB\"", &sections)
}

/// What lldpad has installed: priorities with PFC and shares, whatever the dialect.
fn installed(state: &Value) -> (Value, Value) {
    let oper = &state["oper"];
    match state["active"].as_str() {
        Some("ieee") => (oper["ieee"]["pfc"]["prios"].clone(), oper["ieee"]["ets"]["tc_tx_bw"].clone()),
        _ if oper["cee"]["pfc"]["enabled"] == json!(true) => {
            (oper["cee"]["pfc"]["prios"].clone(), oper["cee"]["pg_tx"]["pg_bw"].clone())
        }
        _ => (json!([]), oper["cee"]["pg_tx"]["pg_bw"].clone()),
    }
}

/// What must hold: ours (classes; `None`: not compared, lldpad's CIN groups can't be configured), our lossless
/// priorities, lldpad's priorities with PFC.
struct Expected {
    classes: Option<Vec<(u8, u8, u8)>>,
    lossless: u8,
    theirs: Value,
}

fn expected(mode: &str, we: bool, they: bool, we_yield: bool) -> Expected {
    let (ours, theirs) = (OURS.0.to_vec(), THEIRS.0.to_vec());
    let both = |lossless: u8, list: Value| {
        let classes = match (mode, we) {
            ("ieee", true) => Some(theirs.clone()),
            ("cin", true) if !they => None,
            (_, true) if !they => Some(theirs.clone()),
            _ => Some(ours.clone()),
        };
        Expected { classes, lossless, theirs: list }
    };
    match (mode, we, they) {
        (_, true, false) => both(THEIRS.1, json!([3])),
        (_, false, true) => both(OURS.1, json!([1, 4])),
        // The lower address yields.
        ("ieee", true, true) if we_yield => both(THEIRS.1, json!([3])),
        ("ieee", true, true) => both(OURS.1, json!([1, 4])),
        ("ieee", false, false) => both(OURS.1, json!([3])),
        // Equally willing and different: PFC is off at both ends.
        _ => both(0, json!([])),
    }
}

fn cell(mode: &str, we: bool, they: bool) {
    let cable = Cable::new();
    let capture = Capture::start(&cable);
    let switch = switch(&cable, we);
    let mac = port(&switch, "d0").lldp.expect("LLDP is on").mac;
    let willing = if they { "yes" } else { "no" };
    let lldpad = Lldpad::start(&cable, &format!("--mode {mode} --willing {willing} {LLDPAD}"));
    // lldpad's end has the lowest address that is.
    let want = expected(mode, we, they, false);
    let what = format!("{mode}, we {we}, lldpad {they}");
    let took = eventually(AGREED, &what, || {
        let ours = port(&switch, "d0");
        let dcbx = ours.lldp.as_ref().and_then(|l| l.dcbx.clone()).expect("DCBX is on");
        let theirs = installed(&lldpad.state());
        let (classes, lossless) = held(&ours);
        let classes_right = want.classes.as_ref().is_none_or(|want| *want == classes);
        let right = dcbx.dialect.eq_ignore_ascii_case(mode)
            && classes_right
            && lossless == want.lossless
            && theirs.0 == want.theirs;
        (!right).then(|| {
            format!("{classes:?} {lossless:#b} {} {:?}, lldpad {theirs:?}", dcbx.dialect, dcbx.diagnosis)
        })
    });
    println!("{what}: both ends agree after {took:?}");
    drop(lldpad);
    drop(switch);
    let (frames, bad) = capture.decode(&mac);
    assert!(frames > 0, "{what}: nothing of ours was captured");
    // tshark 4.0 takes CIN priority groups for CEE ones and calls the frame malformed.
    assert!(bad.is_empty() || mode == "cin", "{what}: tshark finds fault with\n{bad}");
}

/// Both ends agree in every dialect, whoever is willing.
#[test]
fn dcbx_matrix() {
    if !lldpad_for("DCBX against lldpad") {
        return;
    }
    for mode in ["ieee", "cee", "cin"] {
        for (we, they) in [(true, false), (false, true), (true, true), (false, false)] {
            cell(mode, we, they);
        }
    }
}

/// The kernel gathers changes of a carrier for up to a second, and the program looks four times a second.
const LINK_SEEN: Duration = Duration::from_secs(2);

fn back_to_own(limit: Duration, what: &str, program: &Program) -> Duration {
    eventually(limit, what, || {
        let now = held(&port(program, "d0"));
        (now != (OURS.0.to_vec(), OURS.1)).then(|| format!("{now:?}"))
    })
}

fn agreed(program: &Program, what: &str) -> Duration {
    eventually(AGREED, what, || {
        let now = held(&port(program, "d0"));
        (now != (THEIRS.0.to_vec(), THEIRS.1)).then(|| format!("{now:?}"))
    })
}

/// A peer that is lost in any way leaves the configuration.
#[test]
fn dcbx_peer_lost() {
    if !lldpad_for("losing lldpad") {
        return;
    }
    let cable = Cable::new();
    let switch = switch(&cable, true);
    let start = || Lldpad::start(&cable, &format!("--mode ieee --willing no --ttl 5 {LLDPAD}"));

    let lldpad = start();
    agreed(&switch, "first");
    lldpad.stop();
    let took = back_to_own(Duration::from_secs(1), "it said goodbye", &switch);
    println!("goodbye: own values after {took:?}");

    let lldpad = start();
    agreed(&switch, "second");
    lldpad.kill();
    let took = back_to_own(Duration::from_secs(7), "its time to live of 5 s ran out", &switch);
    println!("silence: own values after {took:?}");

    let _lldpad = start();
    agreed(&switch, "third");
    cable.set_up(false);
    let took = back_to_own(LINK_SEEN, "the link went down", &switch);
    println!("link down: own values after {took:?}");
}

/// Thirty flaps leave no trace.
#[test]
fn dcbx_flaps() {
    if !lldpad_for("flaps with lldpad") {
        return;
    }
    let cable = Cable::new();
    let switch = switch(&cable, true);
    let _lldpad = Lldpad::start(&cable, &format!("--mode ieee --willing no {LLDPAD}"));
    let mut slowest = agreed(&switch, "first");
    for flap in 1..=30 {
        cable.set_up(false);
        back_to_own(LINK_SEEN, &format!("flap {flap}, down"), &switch);
        cable.set_up(true);
        slowest = slowest.max(agreed(&switch, &format!("flap {flap}, up")));
    }
    let dcbx = port(&switch, "d0").lldp.and_then(|lldp| lldp.dcbx).expect("DCBX is on");
    assert_eq!(dcbx.agreement, "agreed", "{:?}", dcbx.diagnosis);
    println!("30 flaps: agreed again within {slowest:?}, {} changes of what holds", dcbx.renegotiations);
}
