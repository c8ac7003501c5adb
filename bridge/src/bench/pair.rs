//! Two hosts, A and B, and a namespace between them for the switch that joins them.

use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use crate::lab::hosts::Host;
use crate::net::{Error, Links, Netns, NetnsRef, Result, in_netns, sysctl};

/// Names of the hosts, and of their interfaces.
pub const NAMES: [&str; 2] = ["bench-a", "bench-b"];
/// Names of the switch's ends where the hosts have veth pairs.
pub const FAR_ENDS: [&str; 2] = ["sw-a", "sw-b"];
/// Frames that a host's interface keeps for a switch that is late: the same for all.
const QUEUE: u32 = 4096;

/// Hosts and namespace. They end with their handle and the switch's processes.
#[derive(Clone, Debug)]
pub struct Pair {
    /// A and B.
    pub hosts: [Host; 2],
    /// Where the switch runs.
    pub middle: Arc<Netns>,
    /// L3 MTU of the hosts.
    pub mtu: u16,
}

impl Pair {
    /// Namespaces without interfaces.
    ///
    /// # Errors
    /// When the process may not make namespaces.
    pub fn new(mtu: u16) -> Result<Pair> {
        let middle = Arc::new(Netns::anonymous("bench-switch")?);
        in_netns(&NetnsRef::Open(Arc::clone(&middle)), || {
            sysctl::disable_ipv6("default")?;
            Links::open()?.set_up("lo")
        })?;
        Ok(Pair { hosts: [Host::new(NAMES[0], 1)?, Host::new(NAMES[1], 2)?], middle, mtu })
    }

    /// Lets the switch run in A's namespace, beside A's interface.
    pub fn put_switch_beside_a(&mut self) {
        self.middle = Arc::clone(self.hosts[0].netns());
    }

    /// Paths of the hosts' namespaces, good for other processes while this one lives.
    pub fn paths(&self) -> [String; 2] {
        let path =
            |host: &Host| format!("/proc/{}/fd/{}", std::process::id(), host.netns().as_fd().as_raw_fd());
        [path(&self.hosts[0]), path(&self.hosts[1])]
    }

    /// Works on the interfaces of the switch's namespace.
    ///
    /// # Errors
    /// What `work` says.
    pub fn in_middle<T: Send>(&self, work: impl FnOnce(&Links) -> Result<T> + Send) -> Result<T> {
        Links::within(&NetnsRef::Open(Arc::clone(&self.middle)), work)
    }

    /// Gives both hosts a veth pair whose other end is in the switch's namespace, up and with that MTU.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_veths(&self) -> Result<()> {
        for (host, far) in self.hosts.iter().zip(FAR_ENDS) {
            self.in_middle(|links| {
                links.add_veth_pair(&crate::net::VethPair {
                    name: far,
                    peer: host.name(),
                    peer_netns: host.netns(),
                    queues: 1,
                    mtu: u32::from(self.mtu),
                })?;
                links.set_up(far)
            })?;
        }
        Ok(())
    }

    /// Moves interfaces of the switch's namespace that have the hosts' names to the hosts.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn hand_over(&self) -> Result<()> {
        self.in_middle(|links| self.hosts.iter().try_for_each(|h| links.move_to(h.name(), h.netns())))
    }

    /// Whether both hosts have their interfaces.
    ///
    /// # Errors
    /// When a namespace can't be entered.
    pub fn has_interfaces(&self) -> Result<bool> {
        for host in &self.hosts {
            let all = host.within(|| Links::open()?.list())?;
            if !all.iter().any(|link| link.name == host.name()) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Addresses, neighbours, MTU and queue of both hosts' interfaces.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn configure(&self) -> Result<()> {
        let all = [self.hosts[0].address(), self.hosts[1].address()];
        for host in &self.hosts {
            host.within(|| {
                let links = Links::open()?;
                links.set_mtu(host.name(), u32::from(self.mtu))?;
                links.set_txqueuelen(host.name(), QUEUE)
            })?;
            host.configure(&all)?;
        }
        Ok(())
    }

    /// The counters of a host's interface.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn counters(&self, host: usize) -> Result<Counters> {
        let host = &self.hosts[host];
        let failed = |e| Error::new(format!("the counters of {} can't be read", host.name()), e);
        // The file keeps to the namespace in which it was opened.
        let file = host.within(|| File::open("/proc/thread-self/net/dev").map_err(failed))?;
        Ok(Counters { file, interface: host.name().to_owned() })
    }
}

/// What a host's kernel has counted at its interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Frames received.
    pub received: u64,
    /// Their bytes; some devices count the Ethernet header, some do not.
    pub bytes: u64,
    /// Frames sent, and those that found the switch's queue full.
    pub offered: u64,
}

/// Counters of an interface.
#[derive(Debug)]
pub struct Counters {
    file: File,
    interface: String,
}

impl Counters {
    /// Since the interface was made.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn read(&mut self) -> std::io::Result<Count> {
        let mut text = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut text)?;
        let gone = || std::io::Error::other(format!("interface {} is gone", self.interface));
        count_of(&text, &self.interface).ok_or_else(gone)
    }
}

/// A line of `net/dev`: received bytes, packets, errors, drops and four more, then the same of what was sent.
fn count_of(text: &str, interface: &str) -> Option<Count> {
    let line = text.lines().find_map(|l| l.trim_start().strip_prefix(interface)?.strip_prefix(':'))?;
    let figures: Vec<u64> = line.split_whitespace().map_while(|n| n.parse().ok()).collect();
    Some(Count {
        received: *figures.get(1)?,
        bytes: *figures.first()?,
        offered: figures.get(9)? + figures.get(11)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_in_the_kernels_table() {
        let text = "Inter-|   Receive\n face |bytes\n    lo: 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16\n\
                    bench-ab: 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0\nbench-a:100 20 0 0 0 0 0 0 900 70 0 5 0 0 0 0\n";
        assert_eq!(count_of(text, "bench-a"), Some(Count { received: 20, bytes: 100, offered: 75 }));
        assert_eq!(count_of(text, "bench"), None);
    }
}
