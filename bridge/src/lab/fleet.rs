//! All hosts of a lab together, in namespaces or inside the process: what a scenario needs of them and no more.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dcbridge_config::{BitRate, Config, PortKind, StreamEndpoint};

use super::args::Mode;
use super::generator::{Collect, Counters, Emit, Flow};
use super::hosts::{Address, Host, UdpCounters};
use super::inprocess::StackHost;
use super::measure::FlowStats;
use super::topology::{Attachment, FlowSpec};
use super::traffic::{SendSpec, UdpSinks};
use crate::net::{Error, Result};
use crate::port;
use crate::port::memory::MemoryPort;
use crate::port::{OpenContext, OpenError, Opened};

use crate::runtime::{self, Handle};

/// A send that waits for so long is given up: a flow must be able to stop.
const BLOCKED: Duration = Duration::from_millis(100);
/// The host that receives.
pub(super) const SINK: &str = "sink";

/// Sending hosts, and behind them the receiving one.
pub(super) struct Fleet {
    hosts: Hosts,
}

enum Hosts {
    Namespaces(Vec<Host>),
    /// And the switches' ends of their links, until they take them.
    Stacks(Vec<StackHost>, Arc<Mutex<HashMap<String, MemoryPort>>>),
}

/// Flows that are ready to run.
pub(super) struct Traffic {
    /// Senders, to be started.
    pub(super) flows: Vec<Flow>,
    /// Receivers, to be started.
    pub(super) collect: Box<dyn Collect>,
    /// What both count.
    pub(super) counts: Counts,
}

/// What both sides of all flows count.
pub(super) struct Counts {
    /// By flow: counters of the sending host.
    pub(super) sent: Vec<Arc<Counters>>,
    /// By flow: counters of the receiving host.
    pub(super) received: Vec<Arc<Counters>>,
    /// Counters of the receiving host's kernel, where it has one.
    pub(super) kernel: Option<UdpCounters>,
}

impl Counts {
    /// What was sent and received of each of `classes` classes.
    pub(super) fn by_class(&self, flows: &[FlowSpec], classes: usize) -> Vec<(FlowStats, FlowStats)> {
        let sum = |class: usize, side: &[Arc<Counters>]| {
            let mut total = FlowStats::default();
            let of_class = flows.iter().zip(side).filter(|(f, _)| f.class == class);
            of_class.for_each(|(_, c)| total.add(c.stats()));
            total
        };
        (0..classes)
            .map(|class| {
                // Received before sent: what is sent in between must not look lost.
                let received = sum(class, &self.received);
                (sum(class, &self.sent), received)
            })
            .collect()
    }

    /// Packets that the receiving host's sockets had no room for.
    pub(super) fn overflows(&mut self) -> std::result::Result<u64, String> {
        match &mut self.kernel {
            Some(kernel) => kernel.receive_overflows().map_err(|e| format!("the sink's counters: {e}")),
            None => Ok(0),
        }
    }
}

impl Fleet {
    /// `senders` hosts and a sink.
    ///
    /// # Errors
    /// When they can't be made.
    pub(super) fn new(mode: Mode, senders: usize) -> Result<Fleet> {
        let names: Vec<String> = (1..=senders).map(|n| format!("h{n}")).chain([SINK.to_owned()]).collect();
        let numbered = || names.iter().zip(1u8..);
        if mode != Mode::Inprocess {
            let hosts = numbered().map(|(name, n)| Host::new(name, n)).collect::<Result<_>>()?;
            return Ok(Fleet { hosts: Hosts::Namespaces(hosts) });
        }
        let all: Vec<Address> = numbered().map(|(_, n)| Address::of(n)).collect();
        let (mut hosts, mut ports) = (Vec::new(), HashMap::new());
        for (name, n) in numbered() {
            let (host, port) = StackHost::new(name, n, &all)?;
            hosts.push(host);
            ports.insert(name.clone(), port);
        }
        Ok(Fleet { hosts: Hosts::Stacks(hosts, Arc::new(Mutex::new(ports))) })
    }

    /// All hosts with how their ports are configured; the last one is the sink.
    fn members(&self) -> Vec<(String, Address, PortKind)> {
        match &self.hosts {
            Hosts::Namespaces(hosts) => {
                let tap = |h: &Host| PortKind::Tap { netns: Some(h.netns_path()), offload: true };
                hosts.iter().map(|h| (h.name().to_owned(), h.address(), tap(h))).collect()
            }
            Hosts::Stacks(hosts, _) => {
                // The configuration has no word for a port in memory, and needs none: `start` opens it.
                let memory = PortKind::Stream { endpoint: StreamEndpoint::ListenUnix(PathBuf::new()) };
                hosts.iter().map(|h| (h.name().to_owned(), h.address(), memory.clone())).collect()
            }
        }
    }

    /// Names of the sending hosts.
    pub(super) fn senders(&self) -> Vec<String> {
        self.members().into_iter().map(|(name, ..)| name).filter(|name| name != SINK).collect()
    }

    /// The receiving host's address.
    pub(super) fn sink_address(&self) -> Address {
        match &self.hosts {
            // `new` put the sink last.
            Hosts::Namespaces(hosts) => hosts[hosts.len() - 1].address(),
            Hosts::Stacks(hosts, _) => hosts[hosts.len() - 1].address(),
        }
    }

    /// How the hosts are attached to the switch: the sink by a link of `rate`, the others without limit.
    pub(super) fn attachments(&self, rate: BitRate) -> Vec<Attachment> {
        let attach = |(name, address, kind): (String, Address, PortKind)| {
            let line_rate = (name == SINK).then_some(rate);
            Attachment { name, address, kind, line_rate }
        };
        self.members().into_iter().map(attach).collect()
    }

    /// Starts a switch between the hosts; its other ports are opened as everywhere.
    ///
    /// # Errors
    /// A sentence for a person.
    pub(super) async fn start(&self, config: Config) -> std::result::Result<Handle, runtime::Error> {
        match &self.hosts {
            Hosts::Namespaces(_) => Handle::start(config).await,
            Hosts::Stacks(hosts, ports) => {
                let names: Vec<String> = hosts.iter().map(|h| h.name().to_owned()).collect();
                let ports = Arc::clone(ports);
                let take = move |port: &dcbridge_config::Port, context: &OpenContext| {
                    if !names.contains(&port.name) {
                        return port::open(port, context);
                    }
                    let taken = ports.lock().unwrap_or_else(PoisonError::into_inner).remove(&port.name);
                    let port = taken.ok_or_else(|| OpenError::new("this host of the lab has ended"))?;
                    Ok(Opened { port: Box::new(port), notes: Vec::new() })
                };
                Handle::start_with(config, Arc::new(take)).await
            }
        }
    }

    /// Once the switch has made the links: gives the hosts their addresses, opens all sockets.
    ///
    /// # Errors
    /// What the kernel says.
    pub(super) fn connect(&self, specs: &[FlowSpec]) -> Result<Traffic> {
        match &self.hosts {
            Hosts::Namespaces(hosts) => connect_namespaces(hosts, specs),
            Hosts::Stacks(hosts, _) => connect_stacks(hosts, specs),
        }
    }
}

fn send_spec(spec: &FlowSpec) -> SendSpec {
    SendSpec { to: spec.to, dscp: spec.dscp, size: spec.size, seed: spec.seed }
}

/// Flows of these specifications, sent by `emitters`, with their counters.
fn flows(specs: &[FlowSpec], emitters: Vec<Box<dyn Emit>>) -> (Vec<Flow>, Vec<Arc<Counters>>) {
    let sent: Vec<Arc<Counters>> = specs.iter().map(|_| Arc::default()).collect();
    let flow = |((emit, spec), counters): ((Box<dyn Emit>, &FlowSpec), &Arc<Counters>)| Flow {
        emit,
        rate_bps: spec.rate_bps,
        counters: Arc::clone(counters),
    };
    (emitters.into_iter().zip(specs).zip(&sent).map(flow).collect(), sent)
}

fn connect_namespaces(hosts: &[Host], specs: &[FlowSpec]) -> Result<Traffic> {
    let addresses: Vec<Address> = hosts.iter().map(Host::address).collect();
    for host in hosts {
        host.configure(&addresses)?;
    }
    let sink = &hosts[hosts.len() - 1];
    let sinks = specs.iter().map(|s| sink.udp_sink(s.to.port())).collect::<Result<Vec<_>>>()?;
    let received = sinks.iter().map(super::traffic::UdpSink::counters).collect();
    let emitters = specs
        .iter()
        .map(|s| {
            let sender = hosts[s.host].udp_sender(&send_spec(s))?;
            if s.blocking {
                sender.block(BLOCKED).map_err(|e| Error::new("a socket can't be made to wait", e))?;
            }
            Ok(Box::new(sender) as Box<dyn Emit>)
        })
        .collect::<Result<Vec<_>>>()?;
    let (flows, sent) = flows(specs, emitters);
    let counts = Counts { sent, received, kernel: Some(sink.udp_counters()?) };
    Ok(Traffic { flows, collect: Box::new(UdpSinks::new(sinks)), counts })
}

fn connect_stacks(hosts: &[StackHost], specs: &[FlowSpec]) -> Result<Traffic> {
    let sink = &hosts[hosts.len() - 1];
    let sinks = specs.iter().map(|s| sink.udp_sink(s.to.port())).collect::<Result<Vec<_>>>()?;
    let received = sinks.iter().map(super::inprocess::StackSink::counters).collect();
    let emitters = specs
        .iter()
        .map(|s| Ok(Box::new(hosts[s.host].udp_sender(&send_spec(s))?) as Box<dyn Emit>))
        .collect::<Result<Vec<_>>>()?;
    let (flows, sent) = flows(specs, emitters);
    let counts = Counts { sent, received, kernel: None };
    Ok(Traffic { flows, collect: Box::new(sink.collector(sinks)), counts })
}
