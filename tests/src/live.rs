//! Scenarios on real interfaces: hosts in namespaces, the program between them, traffic of the lab's generator, counted
//! by the receiving hosts' sockets.

use std::fmt::Write as _;
use std::net::SocketAddrV4;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dcbridge::lab::frames::FrameSize;
use dcbridge::lab::generator::{self, Counters, Running};
use dcbridge::lab::hosts::{Address, Host, UdpCounters};
use dcbridge::lab::measure::FlowStats;
use dcbridge::lab::traffic::{SendSpec, UdpSinks};

use crate::program::Program;

/// UDP port of the first flow's sink.
const SINKS: u16 = 5000;

/// Hosts and the switch between them.
pub struct Network {
    /// Hosts; number `n` is behind port `n`.
    pub hosts: Vec<Host>,
    /// The switch.
    pub program: Program,
}

impl Network {
    /// Hosts behind TAP ports with these names and settings, joined by `program`. `sections` has the classes. Hosts count
    /// every frame, so LLDP is off unless `sections` has something to say about it.
    ///
    /// # Panics
    /// When it can't be made.
    pub fn new(program: &str, bridge: &str, sections: &str, ports: &[(&str, &str)]) -> Network {
        let hosts: Vec<Host> = (1..)
            .zip(ports)
            .map(|(number, (name, _))| Host::new(name, number).unwrap_or_else(|e| panic!("{e}")))
            .collect();
        let mut text = sections.to_owned();
        if !text.contains("[lldp]") {
            text.push_str("\n[lldp]\nenabled = false\n");
        }
        for (host, (name, settings)) in hosts.iter().zip(ports) {
            // The child enters our namespaces by our descriptors.
            let netns = host.netns_path().replace("self", &std::process::id().to_string());
            let _ = write!(text, "\n[[port]]\nname = \"{name}\"\nnetns = \"{netns}\"\n{settings}\n");
        }
        let program = Program::start(program, bridge, &text);
        let addresses: Vec<Address> = hosts.iter().map(Host::address).collect();
        for host in &hosts {
            host.configure(&addresses).unwrap_or_else(|e| panic!("{e}"));
        }
        let network = Network { hosts, program };
        network.introduced();
        network
    }

    /// A program to be run in the namespace of a host.
    pub fn command_in(&self, host: usize, program: &str) -> Command {
        let netns = self.hosts[host].netns_path().replace("self", &std::process::id().to_string());
        let mut command = Command::new("nsenter");
        command.args([&format!("--net={netns}"), program]);
        command
    }

    /// Frames that the interface of a host has dropped since it was made, because nobody took them in time: its own
    /// count (`/proc/net/dev`, transmit drops).
    ///
    /// # Panics
    /// When it can't be read.
    pub fn dropped_by_interface(&self, host: usize) -> u64 {
        self.counted_by_interface(host, 8 + 3)
    }

    /// Frames that the interface of a host has received, by its own count.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn received_by_interface(&self, host: usize) -> u64 {
        self.counted_by_interface(host, 1)
    }

    /// Frames that the interface of a host has handed over, by its own count.
    ///
    /// # Panics
    /// When it can't be read.
    pub fn sent_by_interface(&self, host: usize) -> u64 {
        self.counted_by_interface(host, 8 + 1)
    }

    /// A column of `/proc/net/dev`: eight of receiving, then bytes, packets, errors, drops of transmitting.
    fn counted_by_interface(&self, host: usize, column: usize) -> u64 {
        let done = self.command_in(host, "cat").arg("/proc/net/dev").output();
        let done = done.expect("nsenter (package util-linux) is installed");
        let table = String::from_utf8_lossy(&done.stdout);
        let name = self.hosts[host].name();
        let line = table.lines().find_map(|l| l.trim().strip_prefix(name)?.strip_prefix(':'));
        let count = line.and_then(|l| l.split_whitespace().nth(column)?.parse().ok());
        count.unwrap_or_else(|| panic!("{} is not in\n{table}", name))
    }

    /// Waits until the switch has heard of every host: what is sent to a stranger is flooded.
    fn introduced(&self) {
        let end = Instant::now() + Duration::from_secs(10);
        while self.program.state().ports.iter().any(|p| p.rx.frames == 0) {
            assert!(
                Instant::now() < end,
                "a host has not announced itself: {:?}",
                self.program.state().ports
            );
            std::thread::sleep(Duration::from_millis(10));
        }
        // And until the last announcement has been flooded to its end.
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// What one host offers another.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// Sender and receiver, by number.
    pub hosts: (usize, usize),
    /// DSCP.
    pub dscp: u8,
    /// Frames.
    pub size: FrameSize,
    /// Bits per second on the wire.
    pub rate: f64,
}

/// Flows under way.
pub struct Traffic {
    senders: Running,
    receivers: Vec<Running>,
    offered: Vec<Arc<Counters>>,
    received: Vec<Arc<Counters>>,
    overflows: Vec<UdpCounters>,
}

impl Traffic {
    /// Lets hosts send, each flow to a sink of its own.
    ///
    /// # Panics
    /// When sockets can't be opened.
    pub fn start(network: &Network, offers: &[Offer]) -> Traffic {
        let mut sinks: Vec<Vec<_>> = network.hosts.iter().map(|_| Vec::new()).collect();
        let (mut flows, mut offered, mut received) = (Vec::new(), Vec::new(), Vec::new());
        for (port, offer) in (SINKS..).zip(offers) {
            let (from, to) = (&network.hosts[offer.hosts.0], &network.hosts[offer.hosts.1]);
            let sink = to.udp_sink(port).unwrap_or_else(|e| panic!("{e}"));
            received.push(sink.counters());
            sinks[offer.hosts.1].push(sink);
            let spec = SendSpec {
                to: SocketAddrV4::new(to.address().ip, port),
                dscp: offer.dscp,
                size: offer.size,
                seed: u64::from(port),
            };
            let emit = Box::new(from.udp_sender(&spec).unwrap_or_else(|e| panic!("{e}")));
            let counters = Arc::<Counters>::default();
            offered.push(Arc::clone(&counters));
            flows.push(generator::Flow { emit, rate_bps: offer.rate, counters });
        }
        let overflows =
            network.hosts.iter().map(|h| h.udp_counters().unwrap_or_else(|e| panic!("{e}"))).collect();
        let receivers = sinks
            .into_iter()
            .filter(|s| !s.is_empty())
            .map(|s| generator::receive(Box::new(UdpSinks::new(s)), Arc::default()).expect("a thread"))
            .collect();
        let senders = generator::send(flows).expect("a thread");
        Traffic { senders, receivers, offered, received, overflows }
    }

    /// What sinks have counted, by flow.
    pub fn received(&self) -> Vec<FlowStats> {
        self.received.iter().map(|c| c.stats()).collect()
    }

    /// What senders have handed to their kernels, by flow.
    ///
    /// # Panics
    /// When a sender has failed.
    #[track_caller]
    pub fn offered(&self) -> Vec<FlowStats> {
        for counters in &self.offered {
            assert_eq!(counters.error(), None);
        }
        self.offered.iter().map(|c| c.stats()).collect()
    }

    /// Packets that sinks were too slow for: then they did not count what the switch delivered.
    ///
    /// # Panics
    /// When `/proc` can't be read.
    pub fn overflows(&mut self) -> u64 {
        self.overflows.iter_mut().map(|c| c.receive_overflows().expect("counters")).sum()
    }

    /// Lets time pass and answers what arrived meanwhile in wire bytes, by flow, and how long it was exactly.
    pub fn measure(&mut self, span: Duration) -> (Vec<u64>, Duration) {
        let (before, begin) = (self.received(), Instant::now());
        std::thread::sleep(span);
        let (after, elapsed) = (self.received(), begin.elapsed());
        let wire = after.iter().zip(&before).map(|(a, b)| a.wire_bytes - b.wire_bytes).collect();
        (wire, elapsed)
    }

    /// Ends sending; sinks go on.
    pub fn stop_sending(&mut self) {
        self.senders.stop();
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.senders.stop();
        for receiver in &mut self.receivers {
            receiver.stop();
        }
    }
}

/// Repeats what depends on how busy the machine is: up to three attempts, of which one has to hold. Each tells what it
/// measured, and what was wrong with it.
///
/// # Panics
/// When none holds; shows all.
#[track_caller]
pub fn one_of_three(title: &str, mut attempt: impl FnMut() -> (String, Result<(), String>)) {
    let mut told = String::new();
    for number in 1..=3 {
        let (figures, verdict) = attempt();
        let wrong = verdict.as_ref().err().map_or(String::new(), |w| format!(" - {w}"));
        println!("{title}, attempt {number}: {figures}{wrong}");
        let _ = writeln!(told, "attempt {number}: {figures}{wrong}");
        if verdict.is_ok() {
            return;
        }
    }
    panic!("{title}: none of three attempts held\n{told}");
}
