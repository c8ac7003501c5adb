//! UDP sockets that nobody reads: the kernel counts what they had no room for (`/proc/net/udp`, drops), so counting costs a
//! busy machine nothing.

use std::net::UdpSocket;

use dcbridge::lab::hosts::Host;
use nix::sys::socket::{setsockopt, sockopt::RcvBuf};

/// Sockets of a host.
pub struct Deaf {
    host: Host,
    sockets: Vec<UdpSocket>,
    first: u16,
}

impl Deaf {
    /// So many sockets, on ports from `first` on.
    ///
    /// # Panics
    /// When they can't be opened.
    pub fn open(host: &Host, first: u16, count: u16) -> Deaf {
        let bind = |port: u16| {
            let socket =
                host.within(|| Ok(UdpSocket::bind(("0.0.0.0", port)))).unwrap_or_else(|e| panic!("{e}"));
            let socket = socket.expect("a socket");
            // The least there is: all but a few packets are dropped.
            setsockopt(&socket, RcvBuf, &0).expect("a smaller buffer");
            socket
        };
        Deaf { host: host.clone(), sockets: (first..first + count).map(bind).collect(), first }
    }

    /// Packets that each has dropped so far.
    ///
    /// # Panics
    /// When they can't be read.
    pub fn dropped(&self) -> Vec<u64> {
        let read = || Ok(std::fs::read_to_string("/proc/thread-self/net/udp"));
        let table = self.host.within(read).unwrap_or_else(|e| panic!("{e}")).expect("/proc is mounted");
        let of = |port: u16| {
            let local = format!(":{port:04X}");
            let columns = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let mut lines = table.lines().skip(1).map(columns);
            let line = lines.find(|c| c.get(1).is_some_and(|address| address.ends_with(&local)));
            line.and_then(|c| c.last()?.parse().ok())
                .unwrap_or_else(|| panic!("port {port} is not in\n{table}"))
        };
        (self.first..).take(self.sockets.len()).map(of).collect()
    }
}
