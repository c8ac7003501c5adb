//! Two switches of this program, joined by a stream.

use std::time::Duration;

use dcbridge_tests::privilege::root_for;
use dcbridge_tests::program::Program;

use crate::{AGREED, PROGRAM, eventually, held, port};

fn sections(weights: (u8, u8), priorities: &str, trunk: &str, tap: &str) -> String {
    format!(
        "[[traffic_class]]\nname = \"default\"\ntc = 0\npriorities = \"rest\"\nbandwidth = {}\n\
         [[traffic_class]]\nname = \"storage\"\ntc = 1\npriorities = {priorities}\nbandwidth = {}\nlossless = true\n\
         [[port]]\nname = \"trunk\"\ntype = \"stream\"\nline_rate = \"1Gbit\"\n{trunk}\n\
         [[port]]\nname = \"{tap}\"\nline_rate = \"1Gbit\"\n",
        weights.0, weights.1
    )
}

#[test]
fn two_switches_agree_and_the_one_that_stays_has_its_own_back_when_the_other_ends() {
    if !root_for("two switches") {
        return;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let socket = directory.path().join("trunk").display().to_string();
    let host = dcbridge_tests::host::Host::new("pair");
    let netns = host.netns_path().replace("self", &std::process::id().to_string());
    let tap = |name: &str| format!("{name}\"\nnetns = \"{netns}");
    let listen = format!("listen = \"unix:{socket}\"\ndcbx = {{ willing = true }}");
    let connect = format!("connect = \"unix:{socket}\"");
    // The one that listens is up when the other is there.
    let (program, text) = (PROGRAM, sections((40, 60), "[3]", &listen, &tap("pa")));
    let willing = std::thread::spawn(move || Program::start(program, "name = \"a\"", &text));
    let other = Program::start(PROGRAM, "name = \"b\"", &sections((70, 30), "[4]", &connect, &tap("pb")));
    let willing = willing.join().expect("it starts");
    let theirs = (vec![(0, 0b1110_1111, 70), (1, 0b0001_0000, 30)], 0b0001_0000);
    let took = eventually(AGREED, "both hold what the other recommends", || {
        let now = (held(&port(&willing, "trunk")), held(&port(&other, "trunk")));
        (now != (theirs.clone(), theirs.clone())).then(|| format!("{now:?}"))
    });
    println!("two switches agree after {took:?}");
    let seen = port(&willing, "trunk").lldp.expect("LLDP is on").neighbors;
    assert_eq!(seen.len(), 1);
    assert!(seen[0].system_name.starts_with("b."), "{seen:?}");
    let ended = other.stop();
    assert!(ended.status.success(), "{}", ended.output);
    let own = (vec![(0, 0b1111_0111, 40), (1, 0b1000, 60)], 0b1000);
    eventually(Duration::from_secs(1), "the other has ended", || {
        let now = held(&port(&willing, "trunk"));
        (now != own).then(|| format!("{now:?}"))
    });
    assert!(willing.said().contains("it said goodbye"), "{}", willing.said());
}
