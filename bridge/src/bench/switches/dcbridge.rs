//! This very program, as `dcbridge run` with a configuration.

use std::fs;
use std::process::Command;

use super::super::failed;
use super::super::pair::{FAR_ENDS, NAMES};
use super::super::{THIS_PROGRAM, ets};
use super::{Note, Rig, Setup};

/// Everything that a converged network has: shares, a class without loss, a strict one. Headroom for whole rings of hosts
/// without a line rate would take all of the buffer.
const CLASSES: &str = r#"
[[traffic_class]]
name = "storage"
priorities = [3]
bandwidth = 50
lossless = true

[[traffic_class]]
name = "cluster"
priorities = [7]
tsa = "strict"

[[traffic_class]]
name = "default"
priorities = "rest"
bandwidth = 50

[defaults]
trust = ["pcp", "dscp"]
headroom = "2MB"
"#;

/// TAP ports.
pub(super) fn tap(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    let classes = if setup.line.is_some() { ets::classes() } else { CLASSES.to_owned() };
    let ports = taps(rig, setup);
    run(rig, setup, &classes, &ports)
}

/// TAP ports, and nothing else than what every switch does.
pub(super) fn one_class(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    let ports = taps(rig, setup);
    run(rig, setup, "", &ports)
}

/// Veth ports.
pub(super) fn veth(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    let ports = [0, 1].map(|n| {
        let [far, name, path] = [FAR_ENDS[n], NAMES[n], &rig.pair.paths()[n]];
        port(far, &format!("type = \"veth\"\npeer = \"{name}\"\nnetns = \"{path}\"\n"))
    });
    run(rig, setup, CLASSES, &ports.concat())
}

/// Packet ports on the far ends of veth pairs.
pub(super) fn packet(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    rig.pair.add_veths()?;
    run(rig, setup, CLASSES, &FAR_ENDS.map(|far| port(far, "type = \"packet\"\n")).concat())
}

fn taps(rig: &Rig, setup: &Setup) -> String {
    let paths = rig.pair.paths();
    let mut ports = [0, 1].map(|n| port(NAMES[n], &format!("netns = \"{}\"\n", paths[n])));
    if let Some(line) = setup.line {
        ports[1] += &format!("line_rate = {}\n", line.0);
    }
    ports.concat()
}

fn port(name: &str, more: &str) -> String {
    format!("\n[[port]]\nname = \"{name}\"\n{more}")
}

/// A port without a line rate of its own has none: the processor is the limit.
fn run(rig: &mut Rig, setup: &Setup, classes: &str, ports: &str) -> Result<(), Note> {
    let (file, socket) = (rig.directory().join("switch.toml"), rig.directory().join("socket"));
    let mut config = format!("[bridge]\ncontrol_socket = \"{}\"\n{classes}", socket.display());
    if !config.contains("[defaults]") {
        config += "[defaults]\n";
    }
    config += &format!("line_rate = \"unlimited\"\nmtu = {}\n{ports}", setup.mtu);
    fs::write(&file, config).map_err(|e| failed(format!("{} can't be written", file.display()), &e))?;
    let mut command = Command::new(THIS_PROGRAM);
    command.arg("run").arg(&file);
    rig.run(command)?;
    Ok(())
}
