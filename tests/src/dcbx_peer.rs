//! A DCBX peer within the test: an agent of `lldp-dcbx` on a host's interface, that can change its mind while everything
//! runs.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use dcbridge::lab::hosts::Host;
use dcbridge::net::Links;
use lldp_dcbx::dcbx::DcbxConfig;
use lldp_dcbx::wire::ets::{EtsTable, Tsa};
use lldp_dcbx::{Agent, AgentConfig, Mac, PrioritySet, Time};

use crate::packet::PacketSocket;

/// Ethertype of LLDP.
pub const LLDP: u16 = 0x88CC;

/// A running peer; it ends with its handle, without a word.
pub struct DcbxPeer {
    changes: Option<Sender<DcbxConfig>>,
    thread: Option<JoinHandle<()>>,
}

/// A socket for LLDP frames on the interface of a host.
///
/// # Panics
/// When the kernel gives none.
pub fn lldp_socket(host: &Host) -> PacketSocket {
    let open = || {
        let index = Links::open()?.index(host.name())?;
        Ok(PacketSocket::open_for(index, LLDP).expect("a packet socket"))
    };
    host.within(open).unwrap_or_else(|e| panic!("{e}"))
}

impl DcbxPeer {
    /// Starts a peer at a host's interface.
    ///
    /// # Panics
    /// When there is no socket, or `config` is not legal.
    pub fn start(host: &Host, config: DcbxConfig) -> DcbxPeer {
        let mac = Mac(host.address().mac);
        let socket = lldp_socket(host);
        let config = AgentConfig { dcbx: Some(config), ..AgentConfig::new(mac, host.name()) };
        let agent = Agent::new(config, mac, Time::ZERO).expect("a legal configuration");
        let (changes, asked) = channel();
        let thread = std::thread::spawn(move || run(agent, &socket, &asked));
        DcbxPeer { changes: Some(changes), thread: Some(thread) }
    }

    /// Wants something else from now on.
    ///
    /// # Panics
    /// When the peer has ended.
    pub fn change(&self, config: DcbxConfig) {
        self.changes.as_ref().expect("running").send(config).expect("a peer");
    }
}

impl Drop for DcbxPeer {
    fn drop(&mut self) {
        self.changes = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn run(mut agent: Agent, socket: &PacketSocket, asked: &Receiver<DcbxConfig>) {
    let began = Instant::now();
    let now = || Time::from_nanos(began.elapsed().as_nanos() as u64);
    agent.handle_link(true, now());
    loop {
        match asked.try_recv() {
            Ok(config) => agent.update_dcbx(config, now()).expect("a legal configuration"),
            Err(TryRecvError::Empty) => {}
            Err(TryRecvError::Disconnected) => return,
        }
        while let Some(mut frame) = agent.poll_transmit(now()) {
            frame.resize(frame.len().max(60), 0);
            // The switch may be down just now.
            let _ = socket.send(&frame);
        }
        if let Ok(frame) = socket.receive(Duration::from_millis(20)) {
            agent.handle_frame(&frame, now());
        }
        agent.handle_timeout(now());
    }
}

/// Shares of the first classes in percent, the class of each priority, and priorities with PFC; nothing willing.
///
/// # Panics
/// When the shares don't sum to 100.
pub fn wants(shares: &[u8], class_of: [u8; 8], pfc: u8) -> DcbxConfig {
    let mut bandwidth = [0; 8];
    bandwidth[..shares.len()].copy_from_slice(shares);
    let tsa = std::array::from_fn(|class| if class < shares.len() { Tsa::Ets } else { Tsa::Strict });
    let ets = EtsTable::new(class_of, bandwidth, tsa).expect("legal");
    DcbxConfig { ets, ets_recommendation: Some(ets), pfc: PrioritySet(pfc), ..DcbxConfig::default() }
}
