//! Opening and closing ports leaves no descriptor open. Alone in its program, because it counts all of the process.

use dcbridge::port::tap::{self, TapOptions};
use dcbridge_tests::host::Host;
use dcbridge_tests::privilege::root_for;

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").expect("proc").count()
}

#[test]
fn seventy_rounds_leave_no_descriptor_open() {
    if !root_for("descriptors of TAPs") {
        return;
    }
    let host = Host::new("descriptors");
    host.links(|l| l.add_veth("v0", "v1"));
    let options = |name: &str, queues, offload| TapOptions {
        name: name.to_owned(),
        netns: host.netns(),
        mtu: 1500,
        offload,
        queues,
        txqueuelen: None,
        by_priority: None,
    };
    // What libraries open once and keep.
    drop(tap::open(&options("t0", 1, true)).unwrap());
    let before = open_descriptors();
    for round in 0..70 {
        let port = tap::open(&options("t0", if round % 2 == 0 { 1 } else { 8 }, round % 3 != 0)).unwrap();
        assert_eq!(open_descriptors() - before, if round % 2 == 0 { 1 } else { 8 });
        drop(port);
        tap::open(&options("v0", 4, true)).unwrap_err();
        tap::open(&options("bad/name", 4, true)).unwrap_err();
    }
    assert_eq!(open_descriptors(), before);
}
