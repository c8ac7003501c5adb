//! Looking after ports: links, what to watch, devices that come and go.

use std::os::fd::{BorrowedFd, RawFd};

use dcbridge_scheduler::{PortId, Time};
use nix::sys::epoll::{EpollEvent, EpollFlags};

use super::{Event, HOUSEKEEPING, INTEREST_SHIFT, Worker, sys};
use crate::port::{Guarantee, Link, Port};
use crate::switch::Attachment;

impl Worker {
    /// The device of a port is gone.
    pub(super) fn close(&mut self, id: PortId, reason: String, now: Time) {
        let slot = &mut self.slots[id.index()];
        self.readable.remove(id);
        self.restless.remove(id);
        slot.down_reason.clone_from(&reason);
        // Descriptors leave epoll when they are closed with the port.
        slot.port = None;
        slot.watched.clear();
        self.switch.set_link(id, false, &mut self.arena, now);
        let _ = self.events.send(Event::Closed(id, reason));
    }

    /// Watches what a port wants to be watched now.
    pub(super) fn watch(&mut self, id: PortId) {
        let slot = &mut self.slots[id.index()];
        let mut wanted = Vec::new();
        if let Some(port) = &slot.port {
            port.interests(&mut wanted);
        }
        if wanted == slot.watched {
            return;
        }
        for old in slot.watched.iter().filter(|w| !wanted.iter().any(|n| n.fd == w.fd)) {
            // The port may have closed it already.
            let _ = self.epoll.delete(borrowed(&old.fd));
        }
        for (n, new) in wanted.iter().enumerate() {
            let mut flags = EpollFlags::EPOLLET;
            flags.set(EpollFlags::EPOLLIN, new.read);
            flags.set(EpollFlags::EPOLLOUT, new.write);
            let mut event = EpollEvent::new(flags, (n as u64) << INTEREST_SHIFT | id.index() as u64);
            if self.epoll.modify(borrowed(&new.fd), &mut event).is_err()
                && let Err(error) = self.epoll.add(borrowed(&new.fd), event)
            {
                tracing::error!(port = id.0, %error, "a descriptor can't be watched");
            }
        }
        slot.watched = wanted;
        // Whatever became ready before it was watched made no edge.
        self.readable.insert(id);
    }

    /// What is done a few times a second.
    pub(super) fn housekeeping(&mut self, now: Time) {
        if self.switch.next_tick().is_some_and(|t| t <= now) {
            self.switch.tick(&mut self.arena, now);
            self.push_back(now);
        }
        if self.next_housekeeping > now {
            return;
        }
        self.next_housekeeping = now + HOUSEKEEPING;
        self.switch.tick(&mut self.arena, now);
        for index in 0..self.slots.len() {
            self.look_after(PortId(index as u16), now);
        }
    }

    /// Housekeeping of one port.
    pub(super) fn look_after(&mut self, id: PortId, now: Time) {
        let slot = &mut self.slots[id.index()];
        let Some(port) = &mut slot.port else { return };
        let link = port.tick();
        slot.host_edge_drops = port.host_edge_drops();
        let up = link == Link::Up;
        let was_up = self.switch.is_up(id);
        slot.down_reason = match &link {
            Link::Up => String::new(),
            Link::Down(reason) => reason.clone(),
        };
        self.switch.set_link(id, up, &mut self.arena, now);
        if up != was_up {
            let _ = self.events.send(Event::Link(id, link));
        }
        self.watch(id);
    }

    pub(super) fn attach(&mut self, id: PortId, port: Box<dyn Port>) {
        let device =
            Attachment { offload: port.offload(), rx_queues: port.rx_queues(), guarantee: port.guarantee() };
        self.switch.attach(id, device);
        if let Some((has, wants)) = self.switch.headroom_lack(id) {
            let _ = self.events.send(Event::ShortOfHeadroom { port: id, has, wants });
        }
        let slot = &mut self.slots[id.index()];
        slot.queues = device.rx_queues > 1;
        slot.stops = device.rx_queues == 1 && device.guarantee == Guarantee::Exact;
        slot.serve = u8::MAX;
        slot.port = Some(port);
        self.look_after(id, self.now());
    }
}

/// A descriptor that a port owns, for the length of a call.
fn borrowed(fd: &RawFd) -> BorrowedFd<'_> {
    sys::borrow(*fd)
}
