//! Hosts of a lab: each a network namespace of its own, without a name in the system, with one interface that the
//! switch makes there. When the process ends, however it ends, the kernel removes them: nothing is ever left to clean.

use std::fs::File;
use std::io::{Read, Seek};
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use super::traffic::{SendSpec, UdpSender, UdpSink};
use crate::net::{Error, Links, Netns, NetnsRef, Result, in_netns, sysctl};

/// Prefix length of the lab's network.
const PREFIX: u8 = 24;

/// How a host is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// IPv4.
    pub ip: Ipv4Addr,
    /// MAC, locally administered.
    pub mac: [u8; 6],
}

impl Address {
    /// The address of host `number`, 1 to 254.
    pub const fn of(number: u8) -> Address {
        Address { ip: Ipv4Addr::new(10, 83, 0, number), mac: [0x02, 0xdc, 0xb0, 0, 0, number] }
    }
}

/// A host in a namespace.
#[derive(Clone, Debug)]
pub struct Host {
    name: String,
    address: Address,
    netns: Arc<Netns>,
}

impl Host {
    /// A new host, still without interface. `number` (1 to 254) makes its address.
    ///
    /// # Errors
    /// When the process may not make namespaces.
    pub fn new(name: &str, number: u8) -> Result<Host> {
        let netns = Arc::new(Netns::anonymous(name)?);
        // Before any interface is there: a host that speaks IPv6 by itself would disturb the counting; one that never
        // says a word would be flooded to, which is limited.
        in_netns(&NetnsRef::Open(Arc::clone(&netns)), || {
            sysctl::disable_ipv6("default")?;
            sysctl::announce_addresses()
        })?;
        Ok(Host { name: name.to_owned(), address: Address::of(number), netns })
    }

    /// Its name, which is also its interface's.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How it is reached.
    pub const fn address(&self) -> Address {
        self.address
    }

    /// A path of its namespace that is good within this process, for a port's `netns`.
    pub fn netns_path(&self) -> String {
        format!("/proc/self/fd/{}", self.netns.as_fd().as_raw_fd())
    }

    /// Its namespace.
    pub const fn netns(&self) -> &Arc<Netns> {
        &self.netns
    }

    /// Runs `work` inside the host, on a thread of its own.
    ///
    /// # Errors
    /// When the namespace can't be entered; otherwise what `work` says.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_netns(&NetnsRef::Open(Arc::clone(&self.netns)), work)
    }

    /// Gives the interface, once it is there, its addresses and the neighbours, so that nobody has to ask for them.
    ///
    /// # Errors
    /// When there is no such interface, or what the kernel says.
    pub fn configure(&self, neighbours: &[Address]) -> Result<()> {
        let me = self.address;
        Links::within(&NetnsRef::Open(Arc::clone(&self.netns)), |links| {
            links.add_address(&self.name, IpAddr::V4(me.ip), PREFIX)?;
            // Whichever of these two comes last announces the address. Both forget neighbours.
            links.set_mac(&self.name, me.mac)?;
            links.set_up(&self.name)?;
            for other in neighbours.iter().filter(|n| **n != me) {
                links.add_neighbour(&self.name, IpAddr::V4(other.ip), other.mac)?;
            }
            Ok(())
        })
    }

    /// A sender of this host.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn udp_sender(&self, spec: &SendSpec) -> Result<UdpSender> {
        let failed = |e| Error::new(format!("host {} can't send to {}", self.name, spec.to), e);
        self.within(|| UdpSender::open(spec).map_err(failed))
    }

    /// A sink of this host.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn udp_sink(&self, port: u16) -> Result<UdpSink> {
        let failed = |e| Error::new(format!("host {} can't receive on UDP port {port}", self.name), e);
        self.within(|| UdpSink::open(port).map_err(failed))
    }

    /// The host's UDP counters.
    ///
    /// # Errors
    /// When `/proc` is not mounted.
    pub fn udp_counters(&self) -> Result<UdpCounters> {
        let failed = |e| Error::new(format!("the UDP counters of host {} can't be read", self.name), e);
        // The file keeps to the namespace in which it was opened.
        let file = self.within(|| File::open("/proc/thread-self/net/snmp").map_err(failed))?;
        Ok(UdpCounters { file })
    }
}

/// A host's own UDP counters, as its kernel keeps them.
#[derive(Debug)]
pub struct UdpCounters {
    file: File,
}

impl UdpCounters {
    /// Packets (a superframe counts once) that found their socket full.
    ///
    /// # Errors
    /// When they can't be read.
    pub fn receive_overflows(&mut self) -> std::io::Result<u64> {
        let mut text = String::new();
        self.file.rewind()?;
        self.file.read_to_string(&mut text)?;
        udp_value(&text, "RcvbufErrors").ok_or_else(|| std::io::Error::other("no RcvbufErrors in net/snmp"))
    }
}

/// A value of the two `Udp:` lines of `net/snmp`: names, then figures.
fn udp_value(text: &str, name: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|l| l.strip_prefix("Udp:")).map(str::split_whitespace);
    let (names, values) = (lines.next()?, lines.next()?);
    names.zip(values).find(|(n, _)| *n == name)?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_found_by_its_name() {
        let text = "Ip: Forwarding\nIp: 1\nUdp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors\n\
                    Udp: 10 2 3 40 7\nUdpLite: InDatagrams RcvbufErrors\nUdpLite: 0 99\n";
        assert_eq!(udp_value(text, "RcvbufErrors"), Some(7));
        assert_eq!(udp_value(text, "InDatagrams"), Some(10));
        assert_eq!(udp_value(text, "Missing"), None);
        assert_eq!(udp_value("", "RcvbufErrors"), None);
    }

    #[test]
    fn addresses_are_unicast_and_locally_administered() {
        for n in [1, 9, 254] {
            let address = Address::of(n);
            assert_eq!(address.mac[0] & 3, 2);
            assert_ne!(address, Address::of(n - 1));
        }
    }
}
