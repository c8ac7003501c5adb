//! A queue of its own for each priority of a host whose device pushes back by itself: `mq` with a `pfifo` on each queue.
//!
//! What the device does not take stays in the pfifo and in the accounts of its socket, which blocks when they are full.

use std::io;

use super::clamp::{ROOT, TC_H_ROOT, TCA_KIND, TCA_OPTIONS, tcmsg};
use super::netlink::{Message, Socket};

/// Frames that wait for one queue of the device. Sockets are limited by their own buffers long before: this is so many
/// that the frames of some hundred sockets fit, because a full pfifo drops.
const LIMIT: u32 = 20_000;

/// Puts the queues on interface number `index`, in place of its default.
pub(super) fn install(netlink: &Socket, index: u32) -> io::Result<()> {
    let make = (libc::NLM_F_CREATE | libc::NLM_F_REPLACE) as u16;
    let root = tcmsg(index, ROOT << 16, TC_H_ROOT);
    netlink.tell(&Message::new(libc::RTM_NEWQDISC, make, &root).attribute(TCA_KIND, b"mq\0"))?;
    for queue in 0..8 {
        let leaf = tcmsg(index, 0, ROOT << 16 | (queue + 1));
        let message = Message::new(libc::RTM_NEWQDISC, make, &leaf)
            .attribute(TCA_KIND, b"pfifo\0")
            .attribute(TCA_OPTIONS, &LIMIT.to_ne_bytes());
        netlink.tell(&message)?;
    }
    Ok(())
}
