//! A host of a test: a network namespace that ends with its handle, also when the test panics.

use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::sync::Arc;

use dcbridge::net::{self, Links, Netns, NetnsRef, in_netns, sysctl};

/// A host. Its namespace has no name in the system: nothing is left behind, whatever happens.
#[derive(Clone)]
pub struct Host {
    netns: NetnsRef,
    fd: Arc<Netns>,
}

impl Host {
    /// A host with `lo` up and IPv6 off, so that it sends nothing by itself.
    ///
    /// # Panics
    /// When the namespace can't be made.
    pub fn new(label: &str) -> Host {
        let fd = Arc::new(Netns::anonymous(label).expect("namespace"));
        let host = Host { netns: NetnsRef::Open(Arc::clone(&fd)), fd };
        host.run(|| {
            sysctl::disable_ipv6("all")?;
            sysctl::disable_ipv6("default")?;
            Links::open()?.set_up("lo")
        });
        host
    }

    /// Its namespace.
    pub fn netns(&self) -> NetnsRef {
        self.netns.clone()
    }

    /// A path of its namespace that is good within this process, for the `netns` of a configured port.
    pub fn netns_path(&self) -> String {
        format!("/proc/self/fd/{}", self.fd.as_fd().as_raw_fd())
    }

    /// Runs `work` in the host and waits for it.
    ///
    /// # Panics
    /// When `work` fails.
    #[track_caller]
    pub fn run<T: Send>(&self, work: impl FnOnce() -> net::Result<T> + Send) -> T {
        in_netns(&self.netns, work).unwrap_or_else(|e| panic!("{e}"))
    }

    /// Changes its interfaces.
    ///
    /// # Panics
    /// When `work` fails.
    #[track_caller]
    pub fn links<T: Send>(&self, work: impl FnOnce(&Links) -> net::Result<T> + Send) -> T {
        self.run(|| work(&Links::open()?))
    }

    /// Gives an interface the address `10.0.0.n/24` and the MAC address `02::n`, and makes the other hosts in `others`
    /// known to it, so that no ARP is needed.
    ///
    /// # Panics
    /// When that fails.
    #[track_caller]
    pub fn address(&self, interface: &str, n: u8, others: &[u8]) {
        self.links(|links| {
            links.set_mac(interface, mac(n))?;
            links.add_address(interface, ip(n), 24)?;
            others.iter().try_for_each(|&other| links.add_neighbour(interface, ip(other), mac(other)))
        });
    }
}

/// IP address of the test's host n.
pub fn ip(n: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, n).into()
}

/// MAC address of the test's host n.
pub fn mac(n: u8) -> [u8; 6] {
    [2, 0, 0, 0, 0, n]
}
