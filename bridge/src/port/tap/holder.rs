//! Who holds a TAP: found in `/proc`, as far as the caller may look there.

use std::fs;
use std::os::fd::{AsFd, RawFd};

use crate::net::Netns;
use crate::port::sys;

/// A process that has a TAP open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Holder {
    pub(super) pid: u32,
    pub(super) command: String,
    /// It was seen that the interface is in the caller's namespace, not only that it has the name.
    pub(super) certain: bool,
}

impl std::fmt::Display for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (process {})", self.command, self.pid)
    }
}

/// Processes that have the TAP `name` of the calling thread's namespace open.
pub(super) fn of(name: &str) -> Vec<Holder> {
    let here = Netns::of_this_thread().ok();
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok())
        .filter_map(|pid| {
            let certain = holds(pid, name, here.as_ref())?;
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            Some(Holder { pid, command: command.trim_end().to_owned(), certain })
        })
        .collect()
}

/// `None`: the process does not hold it.
fn holds(pid: u32, name: &str, here: Option<&Netns>) -> Option<bool> {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    descriptors.flatten().find_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        // Seen from another mount namespace the node may be spelled otherwise; its name is the same.
        if !target.ends_with("net/tun") {
            return None;
        }
        let fd: RawFd = entry.file_name().to_str()?.parse().ok()?;
        let details = fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
        let interface = details.lines().find_map(|line| line.strip_prefix("iff:"))?;
        if interface.trim() != name {
            return None;
        }
        match here.and_then(|here| is_here(pid, fd, here)) {
            Some(false) => None,
            known => Some(known.is_some()),
        }
    })
}

/// Whether the interface behind a descriptor of another process is in the namespace `here`; `None`: can't be known.
fn is_here(pid: u32, fd: RawFd, here: &Netns) -> Option<bool> {
    let copy = sys::descriptor_of(pid, fd).ok()?;
    let netns = sys::interface_netns(copy.as_fd()).ok()?;
    Some(here.is_same(netns.as_fd()))
}
