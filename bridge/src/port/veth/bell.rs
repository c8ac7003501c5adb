//! Bells: how the kernel is asked to poll one queue of a device, once.
//!
//! A socket that busy-polls polls the queue that its last frame came by. `AF_XDP` sockets can't on a veth pair: they don't
//! learn which queue that is. UDP sockets do, from a frame that comes to them by the kernel's own stack. So each queue
//! gets a UDP socket that receives a single broadcast through it, before `AF_XDP` takes all frames; from then on
//! reading the socket, which never has anything, is the bell.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};

use nix::sys::socket::{MsgFlags, recv, setsockopt, sockopt};

use super::socket::{BUDGET, ask, set};

// linux: not in libc.
const SO_PREFER_BUSY_POLL: libc::c_int = 69;
const SO_BUSY_POLL_BUDGET: libc::c_int = 70;
/// Longest time that one bell may poll in microseconds; one that does not wait polls once.
const BUSY_POLL_US: libc::c_int = 20;
const ETHERNET: usize = 14;
const IP: usize = 20;
const UDP: usize = 8;
/// The shortest frame of Ethernet, without its checksum.
const LEN: usize = 60;

/// The bell of one queue.
#[derive(Debug)]
pub(super) struct Bell {
    socket: UdpSocket,
    port: u16,
}

impl Bell {
    /// Makes one for interface `name` of the calling thread's namespace; it rings nowhere before its first frame.
    pub(super) fn new(name: &str) -> io::Result<Bell> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        setsockopt(&socket, sockopt::BindToDevice, &name.into())?;
        for (option, value) in [
            (SO_PREFER_BUSY_POLL, 1),
            (libc::SO_BUSY_POLL, BUSY_POLL_US),
            (SO_BUSY_POLL_BUDGET, BUDGET as libc::c_int),
        ] {
            set(socket.as_fd(), libc::SOL_SOCKET, option, &value)?;
        }
        let port = socket.local_addr()?.port();
        Ok(Bell { socket, port })
    }

    /// Whether it knows what to poll.
    pub(super) fn works(&self) -> bool {
        let id: io::Result<u32> = ask(self.socket.as_fd(), libc::SOL_SOCKET, libc::SO_INCOMING_NAPI_ID);
        id.is_ok_and(|id| id != 0)
    }

    /// Polls the queue once, up to `BUDGET` frames.
    pub(super) fn ring(&self) {
        // Whether there was something is seen in the queue; a device that is gone is noticed elsewhere.
        let _ = recv(self.socket.as_raw_fd(), &mut [0], MsgFlags::MSG_DONTWAIT);
    }

    /// The frame that teaches it: one that any host takes without having an address, as DHCP's first.
    pub(super) fn lesson(&self) -> [u8; LEN] {
        let mut frame = [0; LEN];
        frame[..6].fill(0xff);
        frame[6] = 0x02;
        frame[12..ETHERNET].copy_from_slice(&(libc::ETH_P_IP as u16).to_be_bytes());
        let ip = &mut frame[ETHERNET..ETHERNET + IP];
        // Version 4, five words; from 0.0.0.0 to 255.255.255.255.
        ip[0] = 0x45;
        ip[2..4].copy_from_slice(&((IP + UDP) as u16).to_be_bytes());
        ip[8] = 1;
        ip[9] = libc::IPPROTO_UDP as u8;
        ip[16..20].fill(0xff);
        let sum: u32 = ip.chunks(2).map(|w| u32::from(u16::from_be_bytes([w[0], w[1]]))).sum();
        let sum = !((sum & 0xffff) + (sum >> 16)) as u16;
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        let udp = &mut frame[ETHERNET + IP..ETHERNET + IP + UDP];
        udp[..2].copy_from_slice(&self.port.to_be_bytes());
        udp[2..4].copy_from_slice(&self.port.to_be_bytes());
        udp[4..6].copy_from_slice(&(UDP as u16).to_be_bytes());
        frame
    }
}
