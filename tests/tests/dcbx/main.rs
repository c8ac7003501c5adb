//! DCBX on real interfaces: the program against the real lldpad, against itself, and against a peer that changes its mind
//! under load. Needs root, and the packages that a missing one names. To be run one test at a time
//! (`--test-threads=1`): some of them measure.

mod lldpad;
mod load;
mod pair;

use std::time::{Duration, Instant};

use dcbridge::state::Port;
use dcbridge_tests::program::Program;

const PROGRAM: &str = env!("CARGO_BIN_EXE_dcbridge-under-test");
/// Both ends have to agree within this time of link up.
const AGREED: Duration = Duration::from_secs(5);

/// Waits until a condition holds; it answers what is wrong as long as it does not.
///
/// # Panics
/// When it does not hold in time.
#[track_caller]
fn eventually(limit: Duration, what: &str, mut wrong: impl FnMut() -> Option<String>) -> Duration {
    let began = Instant::now();
    loop {
        let Some(still) = wrong() else { return began.elapsed() };
        assert!(began.elapsed() < limit, "{what}: not within {limit:?}: {still}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn port(program: &Program, name: &str) -> Port {
    let ports = program.state().ports;
    ports.into_iter().find(|port| port.name == name).unwrap_or_else(|| panic!("no port {name}"))
}

/// What the scheduler has at a port: (class, priorities, percent) and the lossless priorities.
fn held(port: &Port) -> (Vec<(u8, u8, u8)>, u8) {
    let percent = |share: Option<f64>| (share.unwrap_or(0.0) * 100.0).round() as u8;
    let classes = port.classes.iter().filter(|class| class.priorities != 0);
    let lossless = port.priorities.iter().enumerate().filter(|(_, p)| p.group.lossless);
    (
        classes.map(|c| (c.tc, c.priorities, percent(c.target_share))).collect(),
        lossless.fold(0, |set, (p, _)| set | 1 << p),
    )
}
