//! Opening a packet port: the socket with its options, and the sentences for when that is not possible.

use std::io;
use std::os::fd::AsFd;

use nix::errno::Errno;
use nix::sys::socket::{setsockopt, sockopt};

use super::socket::Socket;
use super::{PacketOptions, PacketPort};
use crate::net::{Links, in_netns};
use crate::port::{OpenError, interface};

/// What the kernel keeps while the switch stands still: 5 ms at 10 Gbit/s, as the kernel counts memory (a full-size frame
/// costs it 2304 bytes).
const RECEIVE_BUFFER: usize = 16 << 20;

/// Opens a packet port.
///
/// # Errors
/// A sentence that says what is missing or in the way.
pub fn open(options: &PacketOptions) -> Result<PacketPort, OpenError> {
    in_netns(&options.netns, || open_here(options))
}

fn open_here(options: &PacketOptions) -> Result<PacketPort, OpenError> {
    let name = &options.name;
    let info = Links::open()?.info(name).map_err(|e| {
        OpenError::new(format!("{e} in {}: a packet port needs an interface that exists", options.netns))
    })?;
    let socket = Socket::open().map_err(|e| refused(options, "a packet socket", &e))?;
    let kind = interface::hardware_type(socket.as_fd(), info.index)
        .map_err(|e| refused(options, "its hardware type", &e))?;
    if !matches!(kind, libc::ARPHRD_ETHER | libc::ARPHRD_LOOPBACK) {
        return Err(OpenError::new(format!(
            "interface {name} in {} carries no Ethernet frames (hardware type {kind}): it can't be a port",
            options.netns
        )));
    }
    let set = |what: &str, option, value| socket.set(option, value).map_err(|e| refused(options, what, &e));
    set("frames without the host's own", libc::PACKET_IGNORE_OUTGOING, 1)?;
    set("offload headers", libc::PACKET_VNET_HDR, 1)?;
    set("VLAN tags", libc::PACKET_AUXDATA, 1)?;
    let mut notes = Vec::new();
    enlarge(&socket, name, &mut notes);
    socket.promiscuous(info.index).map_err(|e| refused(options, "promiscuous mode", &e))?;
    // Last: from here on frames come.
    socket.bind(info.index).map_err(|e| refused(options, "its frames", &e))?;
    if info.mtu < u32::from(options.mtu) {
        notes.push(format!(
            "{name} has an MTU of {}, the port one of {}: longer frames are refused by the interface (ip link set dev \
             {name} mtu {}, or `mtu = {}` for the port)",
            info.mtu, options.mtu, options.mtu, info.mtu
        ));
    }
    Ok(PacketPort::new(socket, info.index, notes))
}

fn enlarge(socket: &Socket, name: &str, notes: &mut Vec<String>) {
    if setsockopt(&socket.as_fd(), sockopt::RcvBufForce, &RECEIVE_BUFFER).is_ok() {
        return;
    }
    let _ = setsockopt(&socket.as_fd(), sockopt::RcvBuf, &RECEIVE_BUFFER);
    notes.push(format!(
        "{name}: without CAP_NET_ADMIN its receive buffer is as small as net.core.rmem_max says; bursts may be lost"
    ));
}

fn refused(options: &PacketOptions, what: &str, error: &io::Error) -> OpenError {
    let PacketOptions { name, netns, .. } = options;
    OpenError::new(match error.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => {
            format!("interface {name} in {netns} does not give {what}: run as root or with CAP_NET_RAW")
        }
        Some(Errno::EAFNOSUPPORT) => {
            format!(
                "interface {name} in {netns} can't be opened: the kernel has no packet sockets (modprobe af_packet)"
            )
        }
        _ => format!("interface {name} in {netns} does not give {what}: {error}"),
    })
}
