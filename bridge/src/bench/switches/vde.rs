//! vde_switch of Virtual Distributed Ethernet: a TAP for each host.

use std::process::Command;
use std::time::{Duration, Instant};

use super::super::pair::NAMES;
use super::{Note, PATIENCE, Rig, Setup, find};
use crate::cli::Failure;

pub(super) fn start(rig: &mut Rig, _: &Setup) -> Result<(), Note> {
    let mut command = Command::new(find("vde_switch").unwrap_or_else(|| "vde_switch".into()));
    command.args(["-sock", &rig.directory().join("ctl").display().to_string()]);
    for name in NAMES {
        command.args(["-tap", name]);
    }
    rig.run(command)?;
    hand_over_when_there(rig)?;
    Ok(())
}

/// Its TAPs appear in its own namespace.
pub(super) fn hand_over_when_there(rig: &mut Rig) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    loop {
        let there = rig.pair.in_middle(|links| {
            let all = links.list()?;
            Ok(NAMES.iter().all(|name| all.iter().any(|link| link.name == *name)))
        });
        if there? {
            return Ok(rig.pair.hand_over()?);
        }
        rig.check()?;
        if Instant::now() > end {
            return Err(rig.silent("it made no TAPs"));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
