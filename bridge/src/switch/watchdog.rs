//! The PFC watchdog: a peer that pauses a priority for ever must not hold up the switch (a pause storm).
//!
//! Each (port, priority) is looked at every `poll`. It is in a storm when it has been paused without a break for the
//! detection time and frames wait. The storm is over when no real XOFF came for the restoration time; frames that only
//! carry XON do not keep it alive. What is done meanwhile is the action: drop what waits and what comes, go on sending as
//! if there were no pause, or only tell.
//!
//! Who is dropped is not asked to pause. If his group was full before the storm and is full still, he is asked when it is
//! over; what he sends until he has heard it is dropped as in the storm, since the headroom may be in use already.

use dcbridge_scheduler::{PortId, Priority, Time};

/// What is done in a storm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Drop what waits there and what comes, and ask nobody to pause.
    Drop,
    /// Ignore the pause.
    Forward,
    /// Tell.
    Alert,
}

/// Times and action.
#[derive(Clone, Copy, Debug)]
pub struct WatchdogConfig {
    /// Paused for so long: a storm.
    pub detection: Time,
    /// No XOFF for so long: over.
    pub restoration: Time,
    /// How often to look.
    pub poll: Time,
    /// What to do.
    pub action: Action,
}

/// A storm began or ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Storm {
    /// The egress port.
    pub port: PortId,
    /// The priority.
    pub priority: Priority,
    /// It began; else it ended.
    pub began: bool,
}

/// What the watchdog knows of one (port, priority).
#[derive(Clone, Copy, Debug, Default)]
pub struct Watched {
    /// The last real XOFF.
    last_xoff: Time,
    /// Whether it is in a storm.
    pub storm: bool,
    /// The storm is over, and the peer has just been asked to pause: what comes until the next look was on its way.
    pub settling: bool,
    /// Storms so far.
    pub detected: u64,
    /// Storms that ended.
    pub restored: u64,
}

/// What there is to see of a queue.
#[derive(Clone, Copy, Debug)]
pub struct Sight {
    /// Since when it has been paused, if it is.
    pub paused_since: Option<Time>,
    /// Whether frames wait.
    pub waiting: bool,
}

/// The watchdog of a switch.
pub struct Watchdog {
    config: WatchdogConfig,
    watched: Vec<[Watched; 8]>,
    next: Time,
}

impl Watchdog {
    /// Of so many ports.
    pub fn new(config: WatchdogConfig, ports: usize) -> Watchdog {
        Watchdog { config, watched: vec![[Watched::default(); 8]; ports], next: config.poll }
    }

    /// What is done in a storm.
    pub fn action(&self) -> Action {
        self.config.action
    }

    /// When to look next.
    pub fn next_wake(&self) -> Time {
        self.next
    }

    /// What is known of a priority at a port.
    pub fn watched(&self, port: PortId, priority: Priority) -> &Watched {
        &self.watched[port.index()][priority.index()]
    }

    /// A storm ended at a port whose peer has to pause: nothing of the priority is let in before the next look.
    pub fn settle(&mut self, port: PortId, priority: Priority) {
        self.watched[port.index()][priority.index()].settling = true;
    }

    /// The peer of a port may send the priority: it is let in.
    pub fn settled(&mut self, port: PortId, priority: Priority) {
        self.watched[port.index()][priority.index()].settling = false;
    }

    /// A real XOFF came.
    pub fn xoff(&mut self, port: PortId, priority: Priority, now: Time) {
        self.watched[port.index()][priority.index()].last_xoff = now;
    }

    /// Looks at all queues, if it is time.
    pub fn look(&mut self, now: Time, see: impl Fn(PortId, Priority) -> Sight) -> Vec<Storm> {
        let mut storms = Vec::new();
        if now < self.next {
            return storms;
        }
        self.next = now + self.config.poll;
        for (index, priorities) in self.watched.iter_mut().enumerate() {
            let port = PortId(index as u16);
            for (priority, watched) in Priority::all().zip(priorities) {
                let Sight { paused_since, waiting } = see(port, priority);
                watched.settling = false;
                if watched.storm {
                    if now - watched.last_xoff >= self.config.restoration {
                        watched.storm = false;
                        watched.restored += 1;
                        storms.push(Storm { port, priority, began: false });
                    }
                } else if waiting && paused_since.is_some_and(|t| now - t >= self.config.detection) {
                    watched.storm = true;
                    watched.detected += 1;
                    storms.push(Storm { port, priority, began: true });
                }
            }
        }
        storms
    }
}
