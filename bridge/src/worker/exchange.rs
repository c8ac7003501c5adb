//! What a turn does for the other workers: takes what they hand over, before ports are read, and hands them theirs.

use std::time::Duration;

use super::{MAX_WORKERS, Worker};

/// Messages taken from each other worker in a turn: as many frames as a port may bring.
const MESSAGES: usize = 256;
/// A full ring to another worker is tried again after this long.
const PEERS_RETRY: Duration = Duration::from_micros(100);

impl Worker {
    /// Takes what the others have handed over. `true`: there is more.
    pub(super) fn take_in(&mut self) -> bool {
        if !self.peers.exist() {
            return false;
        }
        let now = self.now();
        let mut came = false;
        while let Some(token) = self.peers.next_token() {
            self.switch.take_token(token, &mut self.arena);
        }
        let mut budget = [MESSAGES; MAX_WORKERS];
        while let Some(message) = self.peers.next_message(&mut budget) {
            self.switch.take_message(message, &mut self.arena, now);
            came = true;
        }
        if came {
            self.came = now;
        }
        let more = self.peers.has_message();
        for (to, arrived) in self.switch.arrivals() {
            self.slots[to.index()].pace.feed(arrived, more);
        }
        self.push_back(now);
        more
    }

    /// Hands the others what the switch has for them, and wakes those who sleep.
    pub(super) fn hand_out(&mut self) {
        if !self.peers.exist() {
            return;
        }
        while let Some((to, message)) = self.switch.next_message(&mut self.arena) {
            self.peers.send(to, message);
        }
        while let Some((to, token)) = self.switch.next_token() {
            self.peers.give_back(to, token);
        }
        self.peers.ring();
    }

    /// Waits for descriptors, the others, or time. `true`: there are commands.
    pub(super) fn rest(&mut self, timeout: Duration) -> bool {
        if timeout.is_zero() || !self.peers.exist() {
            return self.wait(timeout);
        }
        // What waits for room in a ring is moved on by nobody else.
        let longest = if self.peers.waits() { PEERS_RETRY } else { timeout };
        let sleeps = self.peers.lie_down(self.switch.scheduler().holds_senders());
        let commands = self.wait(if sleeps { timeout.min(longest) } else { Duration::ZERO });
        self.peers.get_up();
        commands
    }
}
