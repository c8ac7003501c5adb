//! What keeps lossless classes lossless: gates that close and open, flow-control frames both ways, and the watchdog that
//! limits them.

use dcbridge_scheduler::pfc::FRAME_LEN;
use dcbridge_scheduler::{PortId, Priority, Time};

use super::books::Reason;
use super::parse::{ETHERNET, TAG};
use super::watchdog::{Action, Sight, Storm};
use super::{Gate, Switch};
use crate::arena::{self, Arena};

impl Switch {
    /// A PFC or PAUSE frame came.
    pub(super) fn flow_control(&mut self, port: PortId, body: &[u8], now: Time) {
        let Some(asked) = self.flow.receive(port, body) else { return };
        self.lossless_came = true;
        for priority in Priority::all().filter(|p| asked.priorities & (1 << p.get()) != 0) {
            let time = asked.times[priority.index()];
            if time == Time::ZERO {
                self.scheduler.resume(port, priority, now);
                continue;
            }
            let mut obeyed = true;
            if let Some(watchdog) = &mut self.watchdog {
                watchdog.xoff(port, priority, now);
                obeyed = !watchdog.watched(port, priority).storm || watchdog.action() == Action::Alert;
            }
            if obeyed {
                self.scheduler.pause(port, priority, now + time, now);
            }
        }
    }

    /// Whether the watchdog drops what comes of a priority by a port.
    pub(super) fn drops_in(&self, port: PortId, priority: Priority) -> bool {
        let settling = || self.watchdog.as_ref().is_some_and(|w| w.watched(port, priority).settling);
        self.drops(port, priority) || settling()
    }

    /// Whether the watchdog drops what belongs to a priority at a port.
    pub(super) fn drops(&self, port: PortId, priority: Priority) -> bool {
        self.watchdog.as_ref().is_some_and(|w| w.action() == Action::Drop && w.watched(port, priority).storm)
    }

    /// Gates that changed: to the peer by flow control, and to whoever owns the ports.
    #[inline]
    pub(super) fn take_gates(&mut self) {
        if self.scheduler.has_gate_events() {
            self.take_changed_gates();
        }
    }

    #[inline(never)]
    fn take_changed_gates(&mut self) {
        while let Some((port, priority, open)) = self.scheduler.gate_event() {
            if open || !self.drops(port, priority) {
                self.flow.gate(port, priority, open);
            }
            if let Some(watchdog) = self.watchdog.as_mut().filter(|_| open) {
                watchdog.settled(port, priority);
            }
            self.gates.push(Gate { port, priority, open });
        }
    }

    /// Lets the watchdog look, and does what it decides.
    pub(super) fn watch(&mut self, arena: &mut Arena, now: Time) {
        let Some(watchdog) = &mut self.watchdog else { return };
        let scheduler = &self.scheduler;
        let storms = watchdog.look(now, |port, priority| {
            let backlog = scheduler.backlog(port, priority, now);
            Sight { paused_since: backlog.paused.then_some(backlog.paused_since), waiting: backlog.units > 0 }
        });
        let action = watchdog.action();
        for storm in storms {
            if storm.began && action != Action::Alert {
                self.scheduler.resume(storm.port, storm.priority, now);
            }
            if storm.began && action == Action::Drop {
                while let Some(grant) = self.scheduler.discard(storm.port, storm.priority) {
                    self.lose(storm.port, &grant, Reason::Watchdog, arena);
                }
                // Nobody is asked to pause for what will be dropped.
                self.flow.gate(storm.port, storm.priority, true);
            }
            let closed = self.scheduler.group(storm.port, storm.priority).closed;
            if !storm.began && action == Action::Drop && closed {
                self.flow.gate(storm.port, storm.priority, false);
                if let Some(watchdog) = &mut self.watchdog {
                    watchdog.settle(storm.port, storm.priority);
                }
            }
            self.storms.push(storm);
        }
    }

    /// Ports that have a flow-control frame to send, more urgent than anything else.
    pub fn urgent(&mut self) -> Option<PortId> {
        self.flow.urgent.pop()
    }

    /// The flow-control frame that `port` should send now. It goes before all data, and waits for nothing. To be answered
    /// by [`Switch::urgent_sent`].
    pub fn flow_frame(&mut self, port: PortId, now: Time) -> Option<[u8; FRAME_LEN]> {
        let frame = self.flow.frame(port, now)?;
        self.urgent_frame(port, FRAME_LEN, now);
        Some(frame)
    }

    /// Whether a port that stops its sender by not being read may be read: as long as no closed priority group has
    /// used up half of its headroom. Until then flow-control frames had their chance.
    pub fn may_read(&self, port: PortId) -> bool {
        Priority::all().all(|priority| {
            let held = self.scheduler.group(port, priority);
            !held.closed
                || self.scheduler.group_config(port, priority).is_none_or(|c| held.headroom * 2 < c.headroom)
        })
    }

    /// Frames that may come by a port, however long, before one of its gates closes: so many may be read at once though a
    /// sender is to be paused between two of its frames.
    pub fn calm(&self, port: PortId) -> usize {
        let longest = if self.egress[port.index()].offload {
            arena::MAX_FRAME
        } else {
            usize::from(self.facts[port.index()].mtu) + ETHERNET + TAG
        };
        (self.scheduler.calm(port) / arena::cells(longest)) as usize
    }

    /// Whether `gates` has something to tell.
    pub fn gates_changed(&self) -> bool {
        !self.gates.is_empty()
    }

    /// Gates that changed since the last call, in order.
    pub fn gates(&mut self) -> std::vec::Drain<'_, Gate> {
        self.gates.drain(..)
    }

    /// Storms that began or ended since the last call.
    pub fn storms(&mut self) -> std::vec::Drain<'_, Storm> {
        self.storms.drain(..)
    }

    /// Pauses a priority at an egress port until an instant (`Time::NEVER`: until it is released), as a peer's PFC frame
    /// does; `Time::ZERO` releases it.
    pub fn pause(&mut self, port: PortId, priority: Priority, until: Time, now: Time) {
        if until == Time::ZERO {
            self.scheduler.resume(port, priority, now);
        } else {
            self.scheduler.pause(port, priority, until, now);
        }
    }
}
