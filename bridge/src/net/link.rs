//! Interfaces of a namespace, by rtnetlink.

use std::future::Future;
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{LinkAttribute, LinkFlags, LinkMessage};
use rtnetlink::{Handle, LinkBridge, LinkMessageBuilder, LinkUnspec, LinkVeth, new_connection};
use tokio::runtime::Runtime;

use super::{Error, Netns, NetnsRef, Result, in_netns};

/// What is known of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Number in its namespace.
    pub index: u32,
    /// Name.
    pub name: String,
    /// Set up by its administrator.
    pub up: bool,
    /// It has a carrier: a TAP, as long as somebody holds one of its queues.
    pub carrier: bool,
    /// L3 MTU in bytes.
    pub mtu: u32,
    /// MAC address; `None` for interfaces without one.
    pub mac: Option<[u8; 6]>,
    /// Length of the transmit queue in frames.
    pub txqueuelen: u32,
    /// Longest superframe in bytes, where the kernel tells.
    pub gso_max_size: Option<u32>,
}

/// A connection to the kernel's interfaces in one namespace. Its methods block; they must not be called inside an async
/// runtime.
pub struct Links {
    pub(super) handle: Handle,
    runtime: Runtime,
}

impl Links {
    /// Works on the interfaces of `netns`.
    ///
    /// # Errors
    /// When the namespace can't be entered; otherwise what `work` says.
    pub fn within<T, F>(netns: &NetnsRef, work: F) -> Result<T>
    where
        T: Send,
        F: FnOnce(&Links) -> Result<T> + Send,
    {
        in_netns(netns, || work(&Links::open()?))
    }

    /// Interfaces of the calling thread's namespace. To be called where blocking is allowed.
    ///
    /// # Errors
    /// When there is no netlink.
    pub fn open() -> Result<Links> {
        let failed = |e| Error::new("the kernel's interfaces can't be reached by netlink", e);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(failed)?;
        let (connection, handle, _) = {
            let _guard = runtime.enter();
            new_connection().map_err(failed)?
        };
        runtime.spawn(connection);
        Ok(Links { handle, runtime })
    }

    pub(super) fn run<T>(
        &self,
        what: impl FnOnce() -> String,
        work: impl Future<Output = std::result::Result<T, rtnetlink::Error>>,
    ) -> Result<T> {
        self.runtime.block_on(work).map_err(|e| Error::new(what(), io_error(e)))
    }

    /// All interfaces.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn list(&self) -> Result<Vec<LinkInfo>> {
        let request = self.handle.link().get().execute();
        let messages: Vec<LinkMessage> =
            self.run(|| "interfaces can't be listed".to_owned(), request.try_collect())?;
        Ok(messages.iter().map(info).collect())
    }

    /// One interface.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn info(&self, name: &str) -> Result<LinkInfo> {
        // An IFLA_IFNAME that is too long is answered with ERANGE; say what it means.
        let failed = || format!("interface {name} was not found");
        let mut stream = Box::pin(self.handle.link().get().match_name(name).execute());
        let message = self.run(failed, stream.try_next())?;
        message.map(|m| info(&m)).ok_or_else(|| Error::plain(failed()))
    }

    /// Number of an interface.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn index(&self, name: &str) -> Result<u32> {
        Ok(self.info(name)?.index)
    }

    fn change(
        &self,
        name: &str,
        what: &str,
        with: impl FnOnce(LinkMessageBuilder<LinkUnspec>) -> LinkMessageBuilder<LinkUnspec>,
    ) -> Result<()> {
        let message = with(LinkUnspec::new_with_index(self.index(name)?)).build();
        self.run(
            || format!("interface {name} can't be given {what}"),
            self.handle.link().change(message).execute(),
        )
    }

    /// Sets an interface up.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_up(&self, name: &str) -> Result<()> {
        self.change(name, "the state 'up'", LinkMessageBuilder::up)
    }

    /// Sets an interface down.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_down(&self, name: &str) -> Result<()> {
        self.change(name, "the state 'down'", LinkMessageBuilder::down)
    }

    /// Sets the L3 MTU in bytes.
    ///
    /// # Errors
    /// What the kernel says; EINVAL when the device does not take that much.
    pub fn set_mtu(&self, name: &str, mtu: u32) -> Result<()> {
        self.change(name, &format!("an MTU of {mtu}"), |m| m.mtu(mtu))
    }

    /// Sets the MAC address.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_mac(&self, name: &str, mac: [u8; 6]) -> Result<()> {
        self.change(name, "that MAC address", |m| m.address(mac.to_vec()))
    }

    /// Sets the length of the transmit queue, in frames. For a TAP it is the ring that its owner reads from.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn set_txqueuelen(&self, name: &str, frames: u32) -> Result<()> {
        self.change(name, &format!("a transmit queue of {frames} frames"), |m| m.txqueuelen(frames))
    }

    /// Renames an interface.
    ///
    /// # Errors
    /// What the kernel says; older kernels want it down for that.
    pub fn rename(&self, name: &str, new: &str) -> Result<()> {
        self.change(name, &format!("the name {new}"), |m| m.name(new))
    }

    /// Moves an interface to another namespace, where it is down and without addresses.
    ///
    /// # Errors
    /// When the name is taken there, or the kernel won't.
    pub fn move_to(&self, name: &str, netns: &Netns) -> Result<()> {
        self.change(name, "to another network namespace", |m| m.setns_by_fd(netns.as_fd().as_raw_fd()))
    }

    /// Makes a bridge of the kernel.
    ///
    /// # Errors
    /// When the name is taken.
    pub fn add_bridge(&self, name: &str) -> Result<()> {
        self.run(
            || format!("the bridge {name} can't be made"),
            self.handle.link().add(LinkBridge::new(name).build()).execute(),
        )
    }

    /// Makes an interface a port of a bridge.
    ///
    /// # Errors
    /// When there is none of these names, or the kernel won't.
    pub fn set_bridge(&self, name: &str, bridge: &str) -> Result<()> {
        let index = self.index(bridge)?;
        self.change(name, &format!("to the bridge {bridge}"), |m| m.controller(index))
    }

    /// Adds an IP address; one that is there already is fine.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_address(&self, name: &str, address: IpAddr, prefix_len: u8) -> Result<()> {
        let index = self.index(name)?;
        self.run(
            || format!("interface {name} can't be given the address {address}/{prefix_len}"),
            self.handle.address().add(index, address, prefix_len).replace().execute(),
        )
    }

    /// Adds a neighbour that is never asked for: no ARP, no neighbour discovery.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn add_neighbour(&self, name: &str, address: IpAddr, mac: [u8; 6]) -> Result<()> {
        let index = self.index(name)?;
        self.run(
            || format!("interface {name} can't be given the neighbour {address}"),
            self.handle.neighbours().add(index, address).link_layer_address(&mac).replace().execute(),
        )
    }

    /// Makes a veth pair, both ends in this namespace.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn add_veth(&self, name: &str, peer: &str) -> Result<()> {
        self.run(
            || format!("the veth pair {name}, {peer} can't be made"),
            self.handle.link().add(LinkVeth::new(name, peer).build()).execute(),
        )
    }

    /// Deletes an interface.
    ///
    /// # Errors
    /// When there is none of that name, or the kernel won't.
    pub fn delete(&self, name: &str) -> Result<()> {
        let index = self.index(name)?;
        self.run(|| format!("interface {name} can't be deleted"), self.handle.link().del(index).execute())
    }
}

fn info(message: &LinkMessage) -> LinkInfo {
    let mut info = LinkInfo {
        index: message.header.index,
        name: String::new(),
        up: message.header.flags.contains(LinkFlags::Up),
        carrier: false,
        mtu: 0,
        mac: None,
        txqueuelen: 0,
        gso_max_size: None,
    };
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => info.name.clone_from(name),
            LinkAttribute::Carrier(carrier) => info.carrier = *carrier != 0,
            LinkAttribute::Mtu(mtu) => info.mtu = *mtu,
            LinkAttribute::TxQueueLen(frames) => info.txqueuelen = *frames,
            LinkAttribute::GsoMaxSize(bytes) => info.gso_max_size = Some(*bytes),
            LinkAttribute::Address(mac) => info.mac = mac.as_slice().try_into().ok(),
            _ => {}
        }
    }
    info
}

fn io_error(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
