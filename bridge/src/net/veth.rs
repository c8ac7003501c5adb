//! Veth pairs with a queue per priority.

use std::os::fd::{AsFd, AsRawFd};

use futures_util::TryStreamExt;
use rtnetlink::packet_route::link::{InfoData, InfoKind, InfoVeth, LinkAttribute, LinkInfo, LinkMessage};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth};

use super::{Error, Links, Netns, Result};

/// A veth pair that is to be made.
#[derive(Clone, Copy, Debug)]
pub struct VethPair<'a> {
    /// The end in this namespace.
    pub name: &'a str,
    /// The other end.
    pub peer: &'a str,
    /// Where that goes.
    pub peer_netns: &'a Netns,
    /// Transmit and receive queues of both ends.
    pub queues: u32,
    /// L3 MTU of both ends.
    pub mtu: u32,
}

/// An end of a veth pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VethEnd {
    /// Number in its namespace.
    pub index: u32,
    /// Number of the other end in its namespace.
    pub peer_index: u32,
    /// Transmit queues.
    pub tx_queues: u32,
    /// Receive queues.
    pub rx_queues: u32,
}

impl Links {
    /// Makes a veth pair.
    ///
    /// # Errors
    /// When a name is taken, or the kernel won't.
    pub fn add_veth_pair(&self, pair: &VethPair<'_>) -> Result<()> {
        let queues = |message: &mut LinkMessage| {
            message.attributes.push(LinkAttribute::NumTxQueues(pair.queues));
            message.attributes.push(LinkAttribute::NumRxQueues(pair.queues));
        };
        let mut peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name(pair.peer)
            .mtu(pair.mtu)
            .setns_by_fd(pair.peer_netns.as_fd().as_raw_fd())
            .build();
        queues(&mut peer);
        let mut message = LinkVeth::new(pair.name, pair.peer)
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .mtu(pair.mtu)
            .build();
        queues(&mut message);
        self.run(
            || format!("the veth pair {}, {} can't be made", pair.name, pair.peer),
            self.handle.link().add(message).execute(),
        )
    }

    /// An end of a veth pair; `None`: there is no interface of that name.
    ///
    /// # Errors
    /// When it is something else, or the kernel can't be asked.
    pub fn veth(&self, name: &str) -> Result<Option<VethEnd>> {
        if !self.list()?.iter().any(|link| link.name == name) {
            return Ok(None);
        }
        let mut stream = Box::pin(self.handle.link().get().match_name(name).execute());
        let message = self.run(|| format!("interface {name} was not found"), stream.try_next())?;
        let Some(message) = message else { return Ok(None) };
        end(&message)
            .map(Some)
            .ok_or_else(|| Error::plain(format!("interface {name} exists and is no end of a veth pair")))
    }
}

fn end(message: &LinkMessage) -> Option<VethEnd> {
    let mut end = VethEnd { index: message.header.index, peer_index: 0, tx_queues: 1, rx_queues: 1 };
    let mut veth = false;
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::NumTxQueues(n) => end.tx_queues = *n,
            LinkAttribute::NumRxQueues(n) => end.rx_queues = *n,
            LinkAttribute::Link(index) => end.peer_index = *index,
            LinkAttribute::LinkInfo(infos) => {
                veth = infos.iter().any(|info| matches!(info, LinkInfo::Kind(InfoKind::Veth)));
            }
            _ => {}
        }
    }
    veth.then_some(end)
}
