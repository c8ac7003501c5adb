//! A switch with a host behind each port that keeps what it gets.

use std::cell::RefCell;
use std::rc::Rc;

use dcbridge::sim::{NodeId, Packet, Sim};
use dcbridge::state::Snapshot;
use dcbridge_scheduler::{PortId, Time};
use dcbridge_tests::virtual_time::config;

type Kept = Rc<RefCell<Vec<Packet>>>;

pub struct Lan {
    pub sim: Sim,
    pub node: NodeId,
    kept: Vec<Kept>,
}

impl Lan {
    /// A switch from the text of its configuration.
    pub fn new(text: &str) -> Lan {
        let config = config(text);
        let ports = config.ports.len();
        let mut sim = Sim::new();
        let node = sim.add(config, 1);
        Lan::over(sim, node, ports)
    }

    /// Puts hosts behind the ports of a switch that is there.
    pub fn over(mut sim: Sim, node: NodeId, ports: usize) -> Lan {
        let kept: Vec<Kept> = (0..ports).map(|_| Kept::default()).collect();
        for (port, kept) in (0..).map(PortId).zip(&kept) {
            let kept = Rc::clone(kept);
            sim.sink((node, port), Box::new(move |_, packet| kept.borrow_mut().push(packet)));
        }
        Lan { sim, node, kept }
    }

    /// Lets a packet arrive and time for it to leave.
    pub fn send(&mut self, port: u16, packet: Packet) {
        self.inject(port, packet);
        let later = self.sim.now() + Time::from_micros(100);
        self.sim.run_until(later);
    }

    /// Lets a packet arrive.
    pub fn inject(&mut self, port: u16, packet: Packet) {
        self.sim.inject((self.node, PortId(port)), packet);
    }

    /// What came out of a port since the last call.
    pub fn take(&mut self, port: u16) -> Vec<Packet> {
        std::mem::take(&mut *self.kept[usize::from(port)].borrow_mut())
    }

    /// How many packets came out of each port since the last call.
    pub fn counts(&mut self) -> Vec<usize> {
        self.kept.iter().map(|kept| std::mem::take(&mut *kept.borrow_mut()).len()).collect()
    }

    /// Drops at a port: reason and frames.
    pub fn drops(&self, port: u16) -> Vec<(String, u64)> {
        let snapshot = self.snapshot();
        let port = &snapshot.ports[usize::from(port)];
        port.rx_drops.iter().chain(&port.tx_drops).map(|d| (d.reason.clone(), d.count.frames)).collect()
    }

    /// The switch's own view.
    pub fn snapshot(&self) -> Snapshot {
        self.sim.snapshot(self.node)
    }
}
