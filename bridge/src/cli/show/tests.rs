//! What a person sees, from hand-made snapshots.

use super::*;
use crate::cli::table::Canvas;
use crate::control::fixture;
use crate::control::view::Fdb;
use crate::state::Worker;

fn fdb() -> Fdb {
    Fdb { summary: fixture::snapshot().fdb, entries: fixture::fdb() }
}

#[test]
fn the_overview() {
    let (earlier, now) = fixture::window();
    insta::assert_snapshot!(overview::overview(&earlier, &now, Canvas::PLAIN));
}

#[test]
fn the_overview_of_several_workers() {
    let (mut earlier, mut now) = fixture::window();
    let worker =
        |cpu_ns, handed| Worker { scheduling: "realtime".to_owned(), cpu_ns, handed, ..Worker::default() };
    earlier.workers = vec![worker(0, 0), worker(0, 0)];
    let span = now.uptime_ns - earlier.uptime_ns;
    now.workers = vec![worker(span / 2, 12_345), worker(span / 4, 0)];
    let text = overview::overview(&earlier, &now, Canvas::PLAIN);
    let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(lines.contains(&vec!["0", "realtime", "50.0", "%", "12.3", "k", "0"]), "{text}");
    assert!(lines.contains(&vec!["1", "realtime", "25.0", "%", "0", "0"]), "{text}");
}

#[test]
fn the_overview_of_a_switch_at_rest() {
    let mut now = fixture::snapshot();
    for port in &mut now.ports {
        port.priorities.iter_mut().for_each(|p| *p = crate::state::PriorityState::default());
    }
    insta::assert_snapshot!(overview::overview(&now.clone(), &now, Canvas::PLAIN));
}

#[test]
fn a_narrow_terminal_still_shows_what_matters() {
    let (earlier, now) = fixture::window();
    let text = overview::overview(&earlier, &now, Canvas { color: false, width: Some(60) });
    for line in text.lines().skip(1) {
        assert!(line.chars().count() <= 60, "{line:?} is wider than 60\n{text}");
    }
    for wanted in ["1.00 Gbit/s", "smb-direct", "75.0 %", "60.0 %", "paused: 3"] {
        assert!(text.contains(wanted), "{wanted} is missing from\n{text}");
    }
}

#[test]
fn ports() {
    insta::assert_snapshot!(tables::ports(&fixture::snapshot(), Canvas::PLAIN));
}

#[test]
fn classes() {
    let (earlier, now) = fixture::window();
    insta::assert_snapshot!(tables::classes(&earlier, &now, Canvas::PLAIN));
}

#[test]
fn a_class_that_waits_below_its_share_stands_out() {
    let (earlier, mut now) = fixture::window();
    now.ports[0].priorities[0].occupied_bytes = 64;
    let canvas = Canvas { color: true, width: None };
    let text = tables::classes(&earlier, &now, canvas);
    assert!(text.contains(&canvas.paint("25.0 %", crate::cli::table::Tone::Warn)), "{text}");
    now.ports[0].priorities[0].occupied_bytes = 0;
    let text = tables::classes(&earlier, &now, canvas);
    assert!(
        !text.contains(&canvas.paint("25.0 %", crate::cli::table::Tone::Warn)),
        "it asks for no more\n{text}"
    );
}

#[test]
fn queues() {
    insta::assert_snapshot!(tables::queues(&fixture::snapshot(), Canvas::PLAIN));
}

#[test]
fn drops() {
    insta::assert_snapshot!(tables::drops_of(&fixture::snapshot(), Canvas::PLAIN));
}

#[test]
fn addresses() {
    insta::assert_snapshot!(tables::fdb(&fdb(), Canvas::PLAIN));
}

#[test]
fn neighbours() {
    insta::assert_snapshot!(lldp::lldp(&fixture::snapshot(), None, Canvas::PLAIN));
}

#[test]
fn a_neighbour_in_full() {
    insta::assert_snapshot!(lldp::lldp(&fixture::snapshot(), Some("tap0"), Canvas::PLAIN));
}

#[test]
fn negotiations() {
    insta::assert_snapshot!(dcbx::dcbx(&fixture::snapshot(), None, Canvas::PLAIN));
}

#[test]
fn four_views_of_a_port() {
    insta::assert_snapshot!(dcbx::dcbx(&fixture::snapshot(), Some("tap0"), Canvas::PLAIN));
}

#[test]
fn ports_without_lldp_and_ports_that_are_not_there_are_told_apart() {
    let now = fixture::snapshot();
    for text in [lldp::lldp(&now, Some("tap9"), Canvas::PLAIN), dcbx::dcbx(&now, Some("tap9"), Canvas::PLAIN)]
    {
        assert_eq!(text, "No port is named \"tap9\"; ports of this switch: tap0, tap1.\n");
    }
    assert!(lldp::lldp(&now, Some("tap1"), Canvas::PLAIN).contains("does not speak LLDP"));
    assert!(dcbx::dcbx(&now, Some("tap1"), Canvas::PLAIN).contains("has no DCBX"));
}

#[test]
fn what_is_empty_says_why() {
    let empty = Snapshot { name: "br0".to_owned(), uptime_ns: 3_000_000_000, ..Snapshot::default() };
    let at = Canvas::PLAIN;
    let nothing = "since the switch began, 3 s ago.\n";
    assert_eq!(tables::drops_of(&empty, at), format!("Nothing was dropped {nothing}"));
    assert_eq!(tables::queues(&empty, at), format!("No queue has held a frame {nothing}"));
    assert!(tables::ports(&empty, at).contains("[[port]]"));
    assert!(tables::classes(&empty, &empty, at).contains("no ports"));
    assert!(overview::overview(&empty, &empty, at).contains("[[port]]"));
    assert!(tables::fdb(&Fdb::default(), at).contains("frames are flooded"));
}

#[test]
fn rates_survive_a_restart_between_two_pictures() {
    let (earlier, now) = fixture::window();
    let text = overview::overview(&now, &earlier, Canvas::PLAIN);
    assert!(text.contains("0 bit/s"), "counters that went back are no rate\n{text}");
}

#[test]
fn priorities_read_as_ranges() {
    let shown = [0, 0b1000, 0b1101_0111, 0b11, 0xff].map(priority_list);
    assert_eq!(shown, ["", "3", "0-2,4,6,7", "0,1", "0-7"]);
}

fn args(socket: Option<&str>, name: Option<&str>) -> Args {
    Args {
        what: None,
        port: None,
        json: false,
        socket: socket.map(PathBuf::from),
        name: name.map(str::to_owned),
        watch: false,
    }
}

#[test]
fn the_only_switch_that_runs_needs_no_name() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let find = |args: &Args| socket(args, at).map_err(|failure| failure.0);
    assert_eq!(find(&args(None, None)), Ok(at.join("br0.sock")), "nothing runs: the default is asked");
    assert_eq!(find(&args(None, Some("x"))), Ok(at.join("x.sock")));
    assert_eq!(find(&args(Some("/tmp/y"), None)), Ok(PathBuf::from("/tmp/y")));

    drop(std::os::unix::net::UnixListener::bind(at.join("dead.sock")).unwrap());
    let _lab = std::os::unix::net::UnixListener::bind(at.join("lab.sock")).unwrap();
    assert_eq!(find(&args(None, None)), Ok(at.join("lab.sock")), "a dead socket is no switch");

    let _lab1 = std::os::unix::net::UnixListener::bind(at.join("lab1.sock")).unwrap();
    let error = find(&args(None, None)).unwrap_err();
    assert_eq!(error, "several switches run: lab, lab1; say which one with `--name lab`");
}
