//! The plain loops, each as a process of its own like any switch (`dcbridge bench yardstick`).

use std::process::Command;

use super::super::THIS_PROGRAM;
use super::super::pair::NAMES;
use super::super::yardstick::Kind;
use super::{Note, Rig, Setup};

pub(super) fn poll(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    run(rig, setup, Kind::Poll)
}

pub(super) fn vnet(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    run(rig, setup, Kind::Vnet)
}

pub(super) fn uring(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    run(rig, setup, Kind::Uring)
}

fn run(rig: &mut Rig, setup: &Setup, kind: Kind) -> Result<(), Note> {
    let [a, b] = rig.pair.paths();
    let mut command = Command::new(THIS_PROGRAM);
    command.args(["bench", "yardstick", kind.name(), &a, NAMES[0], &b, NAMES[1]]);
    command.args(["--mtu", &setup.mtu.to_string()]);
    rig.run(command)?;
    Ok(())
}
