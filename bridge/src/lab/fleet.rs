//! All hosts of a lab together, in namespaces or inside the process: what the scenario needs of them and no more.

use std::sync::Arc;

use dcbridge_config::{BitRate, PortKind};

use super::args::Mode;
use super::generator::{Collect, Counters, Emit, Flow};
use super::hosts::{Address, Host, UdpCounters};
use super::topology::{Attachment, FlowSpec};
use super::traffic::{SendSpec, UdpSinks};
use crate::net::Result;

/// The host that receives.
pub const SINK: &str = "sink";

/// Sending hosts, and behind them the receiving one.
pub struct Fleet {
    hosts: Vec<Host>,
}

/// Flows that are ready to run.
pub struct Traffic {
    /// Senders, to be started.
    pub flows: Vec<Flow>,
    /// Receivers, to be started.
    pub collect: Box<dyn Collect>,
    /// By flow: counters of the sending host.
    pub sent: Vec<Arc<Counters>>,
    /// By flow: counters of the receiving host.
    pub received: Vec<Arc<Counters>>,
    /// Counters of the receiving host's kernel, where it has one.
    pub kernel: Option<UdpCounters>,
}

impl Fleet {
    /// `senders` hosts and a sink.
    ///
    /// # Errors
    /// When they can't be made.
    pub fn new(_mode: Mode, senders: usize) -> Result<Fleet> {
        let names = (1..=senders).map(|n| format!("h{n}")).chain([SINK.to_owned()]);
        let hosts = names.zip(1..).map(|(name, number)| Host::new(&name, number)).collect::<Result<_>>()?;
        Ok(Fleet { hosts })
    }

    fn sink(&self) -> &Host {
        // `new` put it there.
        &self.hosts[self.hosts.len() - 1]
    }

    /// Names of the sending hosts.
    pub fn senders(&self) -> Vec<String> {
        self.hosts[..self.hosts.len() - 1].iter().map(|h| h.name().to_owned()).collect()
    }

    /// The receiving host's address.
    pub fn sink_address(&self) -> Address {
        self.sink().address()
    }

    /// How the hosts are attached to the switch: the sink by a link of `rate`, the others without limit.
    pub fn attachments(&self, rate: BitRate) -> Vec<Attachment> {
        let attach = |host: &Host| Attachment {
            name: host.name().to_owned(),
            address: host.address(),
            kind: PortKind::Tap { netns: Some(host.netns_path()), offload: true },
            line_rate: (host.name() == SINK).then_some(rate),
        };
        self.hosts.iter().map(attach).collect()
    }

    /// Once the switch has made the links: gives the hosts their addresses, opens all sockets.
    ///
    /// # Errors
    /// What the kernel says.
    pub fn connect(&mut self, specs: &[FlowSpec]) -> Result<Traffic> {
        let addresses: Vec<Address> = self.hosts.iter().map(Host::address).collect();
        for host in &self.hosts {
            host.configure(&addresses)?;
        }
        let (mut flows, mut sinks) = (Vec::new(), Vec::new());
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        for spec in specs {
            let sink = self.sink().udp_sink(spec.to.port())?;
            received.push(sink.counters());
            sinks.push(sink);
            let send = SendSpec { to: spec.to, dscp: spec.dscp, size: spec.size, seed: spec.seed };
            let emit: Box<dyn Emit> = Box::new(self.hosts[spec.host].udp_sender(&send)?);
            let counters: Arc<Counters> = Arc::default();
            sent.push(Arc::clone(&counters));
            flows.push(Flow { emit, rate_bps: spec.rate_bps, counters });
        }
        let kernel = Some(self.sink().udp_counters()?);
        Ok(Traffic { flows, collect: Box::new(UdpSinks::new(sinks)), sent, received, kernel })
    }
}
