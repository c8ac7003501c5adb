//! What is measured: dcbridge, its peers, and the plain loops that show what the I/O alone costs. A switch is an entry of
//! `ALL` and a function that joins the two hosts of a `Pair`; how fast it is, is nobody's business here.

mod dcbridge;
mod kernel;
mod loops;
mod ovs;
mod vde;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use dcbridge_config::BitRate;

use super::failed;
use super::load::pingpong;
use super::pair::Pair;
use super::process::Process;
use super::run::Note;
use super::scratch::Scratch;
use crate::cli::Failure;

/// How long a switch may take until the first frame crosses it.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(20);

/// What the hosts' interfaces are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Io {
    /// TAPs.
    Tap,
    /// Veth pairs.
    Veth,
}

/// What a switch is to be for a scenario.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setup {
    /// L3 MTU of the hosts.
    pub mtu: u16,
    /// Three classes, 60/30/10, share a line of this rate to host B; `None`: no line is slow.
    pub line: Option<BitRate>,
}

/// A program that a switch needs and the Debian package that brings it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Needs {
    /// Name of the program.
    pub program: &'static str,
    /// Name of the package.
    pub package: &'static str,
}

/// One switch.
#[derive(Debug)]
pub struct Switch {
    /// Its name on the command line and in tables.
    pub name: &'static str,
    /// What it is, in a line.
    pub about: &'static str,
    /// What the hosts' interfaces are.
    pub io: Io,
    /// A loop that only copies: a yardstick.
    pub plain: bool,
    /// It has no process of its own.
    pub in_kernel: bool,
    /// It takes a processor also while nothing comes, so that it has to be stopped while others are measured.
    pub spins: bool,
    /// It divides a line among classes, for `ets-htb`.
    pub shares: bool,
    /// It also joins hosts without a line rate, for all other scenarios.
    pub joins: bool,
    /// Largest L3 MTU.
    pub max_mtu: u16,
    /// What it needs beside the kernel.
    pub needs: &'static [Needs],
    start: fn(&mut Rig, &Setup) -> Result<(), Note>,
}

const ANY_MTU: u16 = 9000;
/// What a frame's page holds beside AF_XDP's headroom.
const XDP_MTU: u16 = 3000;

const TAP: Switch = Switch {
    name: "",
    about: "",
    io: Io::Tap,
    plain: false,
    in_kernel: false,
    spins: false,
    shares: false,
    joins: true,
    max_mtu: ANY_MTU,
    needs: &[],
    start: dcbridge::tap,
};
const VETH: Switch = Switch { io: Io::Veth, ..TAP };
const LOOP: Switch = Switch { plain: true, ..TAP };
const KERNEL: Switch = Switch { in_kernel: true, ..VETH };
const OVS: &[Needs] = &[Needs { program: "ovs-vswitchd", package: "openvswitch-switch" }];
const TC: &[Needs] = &[Needs { program: "tc", package: "iproute2" }];

/// All of them, in the order in which they take turns.
pub const ALL: [Switch; 14] = [
    Switch { name: "dcbridge", about: "TAP ports; ETS, PFC, DCBX, metrics", shares: true, ..TAP },
    Switch { name: "dcbridge-one", about: "TAP ports; one class", start: dcbridge::one_class, ..TAP },
    Switch {
        name: "dcbridge-veth",
        about: "veth ports (AF_XDP); as dcbridge",
        max_mtu: XDP_MTU,
        start: dcbridge::veth,
        ..VETH
    },
    Switch {
        name: "dcbridge-packet",
        about: "packet ports on veth; as dcbridge",
        start: dcbridge::packet,
        ..VETH
    },
    Switch { name: "loop-poll", about: "poll, a read and a write per frame", start: loops::poll, ..LOOP },
    Switch { name: "loop-vnet", about: "epoll, superframes", start: loops::vnet, ..LOOP },
    Switch { name: "loop-uring", about: "io_uring, superframes", start: loops::uring, ..LOOP },
    Switch { name: "kernel-bridge", about: "Linux bridge, no filters", start: kernel::bridge, ..KERNEL },
    Switch {
        name: "kernel-htb",
        about: "Linux bridge, HTB on its way to B",
        shares: true,
        joins: false,
        needs: TC,
        start: kernel::htb,
        ..KERNEL
    },
    Switch { name: "ovs", about: "Open vSwitch in userspace, TAP", needs: OVS, start: ovs::tap, ..TAP },
    Switch {
        name: "ovs-tso",
        about: "the same with userspace-tso-enable",
        needs: OVS,
        start: ovs::tap_tso,
        ..TAP
    },
    Switch {
        name: "ovs-xdp",
        about: "Open vSwitch in userspace, AF_XDP on veth",
        needs: OVS,
        spins: true,
        max_mtu: XDP_MTU,
        start: ovs::afxdp,
        ..VETH
    },
    Switch {
        name: "vde",
        about: "vde_switch, TAP",
        needs: &[Needs { program: "vde_switch", package: "vde2" }],
        max_mtu: 1500,
        start: vde::start,
        ..TAP
    },
    Switch {
        name: "veth",
        about: "no switch: one veth pair, the floor of the hosts themselves",
        start: kernel::wire,
        ..KERNEL
    },
];

impl Switch {
    /// The first thing that it needs and that is not there.
    pub fn missing(&self) -> Option<Needs> {
        self.needs.iter().copied().find(|n| find(n.program).is_none())
    }

    /// Whether it is told apart by a scenario of this setup.
    pub const fn fits(&self, setup: &Setup) -> bool {
        if setup.line.is_some() { self.shares } else { self.joins }
    }

    /// Starts it: hosts that it joins, tried out.
    ///
    /// # Errors
    /// When it can't be started or no frame crosses it.
    pub fn start(&self, setup: &Setup, scratch: &Scratch) -> Result<Rig, Note> {
        let pair = Pair::new(setup.mtu)?;
        let directory = scratch.directory(self.name)?;
        let mut rig = Rig { pair, directory, spins: self.spins, processes: Vec::new() };
        (self.start)(&mut rig, setup)?;
        rig.settle()?;
        Ok(rig)
    }
}

/// Where a program is: in `PATH`, or where administrators' programs are, which `PATH` may leave out.
fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let places = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    places.map(|place| place.join(program)).find(|file| file.is_file())
}

/// A switch that runs, and its hosts.
#[derive(Debug)]
pub struct Rig {
    /// The hosts.
    pub pair: Pair,
    directory: PathBuf,
    spins: bool,
    processes: Vec<Process>,
}

impl Rig {
    /// Waits until the hosts have their interfaces, gives them addresses and tries whether frames cross.
    fn settle(&mut self) -> Result<(), Failure> {
        let end = Instant::now() + PATIENCE;
        while !self.pair.has_interfaces()? {
            self.check()?;
            if Instant::now() > end {
                return Err(self.silent("the hosts got no interfaces from it"));
            }
            std::thread::sleep(PAUSE);
        }
        self.pair.configure()?;
        while !pingpong::answers(&self.pair)? {
            self.check()?;
            if Instant::now() > end {
                return Err(self.silent("no frame crosses it"));
            }
        }
        Ok(())
    }

    fn silent(&self, what: &str) -> Failure {
        let said: Vec<String> = self.processes.iter().map(Process::said).collect();
        let seconds = PATIENCE.as_secs();
        Failure(format!("{what} after {seconds} s; its last words: {}", said.join("; ")))
    }

    /// An error if one of its processes has ended.
    ///
    /// # Errors
    /// When one has.
    pub fn check(&mut self) -> Result<(), Failure> {
        self.processes.iter_mut().try_for_each(Process::check)
    }

    /// Holds it still while others are measured, or lets it go on. One that sleeps by itself is left alone: being stopped
    /// would change it.
    pub fn hold(&self, still: bool) {
        for process in self.processes.iter().filter(|_| self.spins) {
            process.hold(still);
        }
    }

    /// Processor time of the switch itself; `None` where the kernel is the switch.
    pub fn cpu(&self) -> Option<Duration> {
        if self.processes.is_empty() { None } else { self.processes.iter().map(Process::cpu).sum() }
    }

    /// Memory of the switch itself in bytes; `None` where the kernel is the switch.
    pub fn resident(&self) -> Option<u64> {
        if self.processes.is_empty() { None } else { self.processes.iter().map(Process::resident).sum() }
    }

    fn directory(&self) -> &Path {
        &self.directory
    }

    fn run(&mut self, command: std::process::Command) -> Result<(), Failure> {
        let process = Process::start(command, &self.pair.middle, &self.directory)?;
        self.processes.push(process);
        Ok(())
    }
}

/// Runs a tool in the switch's namespace to its end.
fn tool(rig: &Rig, command: &mut std::process::Command) -> Result<String, Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let netns = crate::net::NetnsRef::Open(std::sync::Arc::clone(&rig.pair.middle));
    let ran = crate::net::in_netns::<_, crate::net::Error, _>(&netns, || Ok(command.output()))?;
    let output = ran.map_err(|e| failed(format!("{name} can't be started"), &e))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure(format!("{name} failed ({}): {}", output.status, said.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_switch_has_a_name_of_its_own_and_a_scenario() {
        let mut names: Vec<&str> = ALL.iter().map(|s| s.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), ALL.len());
        for switch in &ALL {
            assert!(!switch.name.is_empty() && !switch.about.is_empty());
            assert!(switch.shares || switch.joins, "{}", switch.name);
        }
    }
}
