//! The real lldpad as the DCBX peer of a port: a veth cable between two namespaces with names, the program at one end,
//! lldpad (run by the tool `lldpad-peer`) at the other.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::privilege::root_for;

/// What these tests need, with the Debian package it is in.
const NEEDED: [(&str, &str); 6] = [
    ("ip", "iproute2"),
    ("lldpad", "lldpad"),
    ("tcpdump", "tcpdump"),
    ("tshark", "tshark"),
    ("jq", "jq"),
    ("cc", "gcc"),
];

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// Whether a test against lldpad can run: as root, with everything it needs. `LLDPAD_PEER=none` leaves such tests out,
/// and says so.
///
/// # Panics
/// When it can't and was not left out on purpose.
#[track_caller]
pub fn lldpad_for(what: &str) -> bool {
    if std::env::var_os("LLDPAD_PEER").is_some_and(|tool| tool == "none") {
        eprintln!("left out (LLDPAD_PEER=none): {what}");
        return false;
    }
    root_for(what) && tool().exists()
}

/// Where the tool is: `LLDPAD_PEER`, or beside the repository.
#[track_caller]
fn tool() -> PathBuf {
    let path = format!("{}:/usr/sbin:/sbin", std::env::var("PATH").unwrap_or_default());
    for (command, package) in NEEDED {
        let there = path.split(':').any(|directory| PathBuf::from(directory).join(command).exists());
        assert!(there, "this test needs `{command}`: apt-get install {package}");
    }
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/tools/lldpad-peer/lldpad-peer");
    let tool = std::env::var_os("LLDPAD_PEER").map_or_else(|| PathBuf::from(beside), PathBuf::from);
    assert!(tool.exists(), "no lldpad-peer at {}: set LLDPAD_PEER", tool.display());
    tool
}

#[track_caller]
fn ip(arguments: &str) {
    let status = Command::new("ip").args(arguments.split(' ')).status().expect("ip (iproute2)");
    assert!(status.success(), "ip {arguments}");
}

/// Two namespaces joined by a cable: `d0` in the first, `p0` in the second. All of it ends with its handle.
pub struct Cable {
    /// Namespace of the switch's end.
    pub ours: String,
    /// Namespace of the peer's end.
    pub theirs: String,
}

impl Cable {
    /// A cable whose ends are up.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn new() -> Cable {
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = |end| format!("dcbx-{}-{number}{end}", std::process::id());
        let cable = Cable { ours: name('a'), theirs: name('b') };
        for netns in [&cable.ours, &cable.theirs] {
            ip(&format!("netns add {netns}"));
        }
        ip(&format!("-n {} link add d0 type veth peer name p0 netns {}", cable.ours, cable.theirs));
        ip(&format!("-n {} link set p0 address 02:00:00:00:00:01", cable.theirs));
        cable.set_up(true);
        ip(&format!("-n {} link set d0 up", cable.ours));
        cable
    }

    /// Pulls the cable at the peer's end, or plugs it in again.
    ///
    /// # Panics
    /// When that fails.
    pub fn set_up(&self, up: bool) {
        ip(&format!("-n {} link set p0 {}", self.theirs, if up { "up" } else { "down" }));
    }
}

impl Default for Cable {
    fn default() -> Cable {
        Cable::new()
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        for netns in [&self.ours, &self.theirs] {
            let _ = Command::new("ip").args(["netns", "del", netns]).status();
        }
    }
}

/// A running lldpad at the peer's end of a cable.
pub struct Lldpad {
    netns: String,
    tool: PathBuf,
    directory: tempfile::TempDir,
}

impl Lldpad {
    /// Starts it with options of the tool.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(cable: &Cable, options: &str) -> Lldpad {
        let directory = tempfile::tempdir().expect("a directory");
        let lldpad = Lldpad { netns: cable.theirs.clone(), tool: tool(), directory };
        let done = lldpad.run("start", options).output().expect("bash");
        assert!(done.status.success(), "lldpad does not start: {}", String::from_utf8_lossy(&done.stderr));
        lldpad
    }

    fn run(&self, what: &str, options: &str) -> Command {
        let mut command = Command::new(&self.tool);
        command.args([what, &self.netns, "p0"]).args(options.split_whitespace());
        command.env("LLDPAD_PEER_DIR", self.directory.path());
        command
    }

    /// What it knows and has installed.
    ///
    /// # Panics
    /// When the tool fails.
    pub fn state(&self) -> Value {
        let done = self.run("state", "").output().expect("bash");
        serde_json::from_slice(&done.stdout).expect("JSON")
    }

    /// Ends it regularly: it says goodbye.
    pub fn stop(&self) {
        let _ = self.run("stop", "").output();
    }

    /// Kills it: it says nothing.
    pub fn kill(&self) {
        let _ = self.run("stop", "--now").output();
    }
}

impl Drop for Lldpad {
    fn drop(&mut self) {
        self.kill();
    }
}

/// LLDP frames on the cable, written to a file.
pub struct Capture {
    dump: Child,
    directory: tempfile::TempDir,
}

impl Capture {
    /// Begins at the peer's end.
    ///
    /// # Panics
    /// When tcpdump does not start.
    pub fn start(cable: &Cable) -> Capture {
        let directory = tempfile::tempdir().expect("a directory");
        let file = directory.path().join("lldp.pcap");
        let dump = Command::new("ip")
            .args([
                "netns",
                "exec",
                &cable.theirs,
                "tcpdump",
                "-U",
                "--immediate-mode",
                "-Z",
                "root",
                "-i",
                "p0",
                "-w",
            ])
            .arg(&file)
            .args(["ether", "proto", "0x88cc"])
            .stderr(Stdio::null())
            .spawn()
            .expect("tcpdump");
        let end = Instant::now() + Duration::from_secs(5);
        while std::fs::metadata(&file).map_or(0, |m| m.len()) < 24 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(20));
        }
        Capture { dump, directory }
    }

    /// How many frames of `source` tshark decoded, and those that it finds fault with.
    ///
    /// # Panics
    /// When tshark fails.
    pub fn decode(mut self, source: &str) -> (usize, String) {
        let _ = self.dump.kill();
        let _ = self.dump.wait();
        let file = self.directory.path().join("lldp.pcap");
        let tshark = |filter: &str| {
            let filter = format!("eth.src == {source} && {filter}");
            let done = Command::new("tshark").arg("-r").arg(&file).args(["-Y", &filter]).output();
            String::from_utf8_lossy(&done.expect("tshark").stdout).into_owned()
        };
        // Expert messages from warnings up.
        (tshark("lldp").lines().count(), tshark("(_ws.malformed || _ws.expert.severity >= 6291456)"))
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        let _ = self.dump.kill();
        let _ = self.dump.wait();
    }
}
