//! Open vSwitch with its userspace datapath: its own database and daemon with private files, in the namespace of the rig.
//! A service of the machine is neither asked nor touched.

use std::process::Command;
use std::time::Instant;

use super::super::pair::{FAR_ENDS, NAMES};
use super::vde::hand_over_when_there;
use super::{Note, PATIENCE, PAUSE, Rig, Setup, find, tool};
use crate::cli::Failure;

const DEFAULT_MTU: u16 = 1500;
const SCHEMA: &str = "/usr/share/openvswitch/vswitch.ovsschema";

/// TAP ports.
pub(super) fn tap(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    if setup.mtu > DEFAULT_MTU {
        // It knows the MTU only of interfaces of its own namespace, and cuts what is longer than 1518 bytes that comes by
        // others.
        rig.pair.put_switch_beside_a();
    }
    start(rig, setup, false)?;
    tap_ports(rig, setup)?;
    Ok(())
}

/// TAP ports with superframes.
pub(super) fn tap_tso(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    start(rig, setup, true)?;
    tap_ports(rig, setup)?;
    Ok(())
}

/// AF_XDP ports on veth pairs.
pub(super) fn afxdp(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    rig.pair.add_veths()?;
    // What AF_XDP shows is what was put on the wire: a checksum left to hardware would stay unfinished.
    for host in &rig.pair.hosts {
        let features = host
            .within(|| crate::net::Features::open(host.name())?.set(&[("tx-checksum-ip-generic", false)]));
        features?;
    }
    start(rig, setup, false)?;
    for far in FAR_ENDS {
        vsctl(rig, &format!("add-port br0 {far} -- set interface {far} type=afxdp"))?;
    }
    // The daemon tells at the interface what it could not do.
    for far in FAR_ENDS {
        wait(rig, &format!("get interface {far} ofport"), |port| port.parse::<i32>().is_ok_and(|n| n > 0))
            .map_err(|_| {
                let error = vsctl(rig, &format!("get interface {far} error")).unwrap_or_default();
                Note::Absent(format!("this build of Open vSwitch opens no AF_XDP port ({})", error.trim()))
            })?;
    }
    Ok(())
}

fn tap_ports(rig: &mut Rig, setup: &Setup) -> Result<(), Failure> {
    for name in NAMES {
        vsctl(
            rig,
            &format!("add-port br0 {name} -- set interface {name} type=tap mtu_request={}", setup.mtu),
        )?;
    }
    hand_over_when_there(rig)?;
    Ok(())
}

/// Database and daemon, and an empty bridge.
fn start(rig: &mut Rig, _: &Setup, superframes: bool) -> Result<(), Failure> {
    let directory = rig.directory().to_owned();
    let database = directory.join("conf.db");
    // From an earlier scenario.
    let _ = std::fs::remove_file(&database);
    tool(rig, command(rig, "ovsdb-tool").arg("create").arg(&database).arg(SCHEMA))?;
    let mut server = command(rig, "ovsdb-server");
    server.arg(&database).arg(format!("--remote=punix:{}", directory.join("db.sock").display()));
    rig.run(server)?;
    let end = Instant::now() + PATIENCE;
    while !directory.join("db.sock").exists() {
        rig.check()?;
        if Instant::now() > end {
            return Err(rig.silent("its database does not come up"));
        }
        std::thread::sleep(PAUSE);
    }
    vsctl(rig, "init")?;
    if superframes {
        vsctl(rig, "set Open_vSwitch . other_config:userspace-tso-enable=true")?;
    }
    vsctl(rig, "add-br br0 -- set bridge br0 datapath_type=netdev")?;
    let mut daemon = command(rig, "ovs-vswitchd");
    daemon.arg(format!("unix:{}", directory.join("db.sock").display()));
    rig.run(daemon)?;
    wait(rig, "get interface br0 ofport", |port| port.parse::<i32>().is_ok_and(|n| n > 0))
}

/// A program of Open vSwitch that keeps all its files in the rig's directory.
fn command(rig: &Rig, program: &str) -> Command {
    let mut command = Command::new(find(program).unwrap_or_else(|| program.into()));
    for variable in ["OVS_RUNDIR", "OVS_LOGDIR", "OVS_DBDIR", "OVS_SYSCONFDIR"] {
        command.env(variable, rig.directory());
    }
    command
}

fn vsctl(rig: &Rig, words: &str) -> Result<String, Failure> {
    let database = format!("--db=unix:{}", rig.directory().join("db.sock").display());
    let mut command = command(rig, "ovs-vsctl");
    tool(rig, command.args(["--no-wait", &database]).args(words.split(' ')))
}

fn wait(rig: &mut Rig, question: &str, good: impl Fn(&str) -> bool) -> Result<(), Failure> {
    let end = Instant::now() + PATIENCE;
    while !vsctl(rig, question).is_ok_and(|answer| good(answer.trim())) {
        rig.check()?;
        if Instant::now() > end {
            return Err(rig.silent(&format!("it does not get on (`ovs-vsctl {question}`)")));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}
