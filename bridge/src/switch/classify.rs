//! Step 3: the priority of a frame.
//!
//! Policies first, the highest precedence that matches; else the marks that the port trusts, in its order; else the
//! port's default priority. Applications that DCBX has learned at a port come behind all policies and before the default:
//! they name frames that bear no mark of their own (a trusted tag, a DSCP above 0, a queue of a priority). The *arrival* priority is what the sender can be paused by: the marks on the wire,
//! whatever a policy makes of them.

use dcbridge_config as config;
use dcbridge_scheduler::{PortId, Priority};

use super::parse::Frame;
use super::policies::Policies;

/// How an application is named (802.1Q D.2.12.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Every frame that no other entry names.
    Default,
    /// By its ethertype.
    Ethertype(u16),
    /// By a TCP or SCTP port.
    Stream(u16),
    /// By a UDP or DCCP port.
    Datagram(u16),
    /// By a port of any of these.
    AnyPort(u16),
    /// By its DSCP.
    Dscp(u8),
}

impl Selector {
    fn names(self, frame: &Frame) -> bool {
        let by_port = |wanted: u16, protocols: &[u8]| {
            frame.ip.is_some_and(|ip| {
                let ports = ip.ports.is_some_and(|(src, dst)| src == wanted || dst == wanted);
                ports && protocols.contains(&ip.protocol)
            })
        };
        match self {
            Selector::Default => true,
            Selector::Ethertype(ethertype) => frame.ethertype == ethertype,
            Selector::Stream(port) => by_port(port, &STREAMS),
            Selector::Datagram(port) => by_port(port, &DATAGRAMS),
            Selector::AnyPort(port) => by_port(port, &STREAMS) || by_port(port, &DATAGRAMS),
            Selector::Dscp(dscp) => frame.ip.is_some_and(|ip| ip.dscp == dscp),
        }
    }
}

/// TCP and SCTP.
const STREAMS: [u8; 2] = [6, 132];
/// UDP and DCCP.
const DATAGRAMS: [u8; 2] = [17, 33];

/// The priority of an application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Application {
    /// Which frames.
    pub selector: Selector,
    /// Their priority.
    pub priority: Priority,
}

/// What one port believes.
struct Believes {
    trust: Vec<config::Trust>,
    default: Priority,
    /// It stops its sender as a whole, by not being read.
    whole: bool,
    /// Applications that DCBX has learned here, those for all frames last, the highest priority first.
    applications: Vec<Application>,
}

/// A priority by the marks on the wire.
#[derive(Clone, Copy)]
struct Marked {
    priority: Priority,
    /// Somebody meant it: every IP packet has a DSCP, but 0 says nothing.
    meant: bool,
}

/// The priority of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified {
    /// By the marks on the wire.
    pub arrival: Priority,
    /// What it goes on with.
    pub priority: Priority,
}

/// All policies, maps and trusts, compiled.
pub struct Classifier {
    policies: Policies,
    ports: Vec<Believes>,
    pcp: [Priority; 8],
    dscp: [Priority; 64],
}

impl Classifier {
    /// From the configuration; ports are numbered in its order.
    pub fn new(config: &config::Config) -> Classifier {
        let ports = config
            .ports
            .iter()
            .map(|p| Believes {
                trust: p.trust.clone(),
                default: Priority::new(p.default_priority),
                whole: matches!(p.kind, config::PortKind::Stream { .. }),
                applications: Vec::new(),
            })
            .collect();
        Classifier {
            policies: Policies::new(config),
            ports,
            pcp: config.maps.pcp_to_priority.map(Priority::new),
            dscp: config.maps.dscp_to_priority.map(Priority::new),
        }
    }

    /// The priority of a frame of VLAN `vid` that came by `port`, and by the receive queue of a priority if it has such.
    pub fn classify(&self, port: PortId, queue: Option<Priority>, frame: &Frame, vid: u16) -> Classified {
        let marked = self.marked(port, frame);
        let default = self.ports[port.index()].default;
        let own = marked.map(|m| m.priority).or(queue).unwrap_or(default);
        let policy = self.policies.priority(port, frame, vid);
        let meant = marked.is_some_and(|m| m.meant) || queue.is_some_and(|q| q != Priority::new(0));
        let learned = || if meant { None } else { self.learned(port, frame) };
        let priority = policy.or_else(learned).unwrap_or(own);
        // A sender is paused by its queue, whatever its frames say; one with a single queue by any priority.
        let arrival = if self.ports[port.index()].whole { priority } else { queue.unwrap_or(own) };
        Classified { arrival, priority }
    }

    /// Replaces the applications that are known at a port. Of several that name a frame, the one with the highest
    /// priority decides.
    pub fn learn(&mut self, port: PortId, mut applications: Vec<Application>) {
        applications.sort_by_key(|a| (a.selector == Selector::Default, std::cmp::Reverse(a.priority)));
        self.ports[port.index()].applications = applications;
    }

    #[inline(never)]
    fn learned(&self, port: PortId, frame: &Frame) -> Option<Priority> {
        let applications = &self.ports[port.index()].applications;
        applications.iter().find(|a| a.selector.names(frame)).map(|a| a.priority)
    }

    /// The priority by the marks that `port` trusts, if the frame has one of them.
    fn marked(&self, port: PortId, frame: &Frame) -> Option<Marked> {
        let believes = &self.ports[port.index()];
        believes.trust.iter().find_map(|trust| match trust {
            config::Trust::Pcp => {
                frame.tag.map(|t| Marked { priority: self.pcp[usize::from(t.pcp & 7)], meant: true })
            }
            config::Trust::Dscp => frame
                .ip
                .map(|ip| Marked { priority: self.dscp[usize::from(ip.dscp & 63)], meant: ip.dscp != 0 }),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::VnetHeader;
    use crate::sim::frames::Spec;
    use crate::switch::parse::parse;

    #[test]
    fn a_sender_that_stops_as_a_whole_is_paused_by_whatever_its_frames_become() {
        let text = "
            [[policy]]
            name = 'all'
            match = 'default'
            priority = 3
            [[port]]
            name = 'tap'
            [[port]]
            name = 'stream'
            type = 'stream'
            listen = 'unix:/s'
        ";
        let (config, _) = dcbridge_config::parse(text, "f").expect("legal");
        let classifier = Classifier::new(&config);
        let packet = Spec { from: 1, to: Some(2), ..Spec::default() }.udp(0);
        let frame = parse(&packet.bytes, &VnetHeader::default()).expect("a good frame");
        let of =
            |port, queue: Option<u8>| classifier.classify(PortId(port), queue.map(Priority::new), &frame, 1);
        let (zero, three) = (Priority::new(0), Priority::new(3));
        assert_eq!(
            of(0, None),
            Classified { arrival: zero, priority: three },
            "only its mark is known to its host"
        );
        assert_eq!(of(0, Some(5)).arrival, Priority::new(5), "paused by its queue");
        assert_eq!(of(1, None), Classified { arrival: three, priority: three });
    }

    #[test]
    fn learned_applications_name_what_bears_no_mark_and_no_policy_names() {
        let text = "
            [[policy]]
            name = 'web'
            match = { tcp_port = 80 }
            priority = 1
            [[policy]]
            name = 'sip'
            match = { udp_port = 5060 }
            priority = 6
            [[port]]
            name = 'a'
            [[port]]
            name = 'b'
        ";
        let (config, _) = dcbridge_config::parse(text, "f").expect("legal");
        let mut classifier = Classifier::new(&config);
        let app = |selector, priority| Application { selector, priority: Priority::new(priority) };
        let learned = vec![
            app(Selector::Default, 2),
            app(Selector::Datagram(4791), 3),
            app(Selector::AnyPort(4791), 4),
            app(Selector::Datagram(5060), 5),
            app(Selector::Dscp(46), 7),
        ];
        classifier.learn(PortId(0), learned);
        let udp = |port, dscp, tag| Spec { ports: (1000, port), dscp, tag, ..Spec::default() }.udp(0);
        let by = |classifier: &Classifier, port, queue: Option<u8>, packet: crate::sim::Packet| {
            let frame = parse(&packet.bytes, &VnetHeader::default()).expect("a good frame");
            classifier.classify(PortId(port), queue.map(Priority::new), &frame, 1).priority.get()
        };
        let of = |port, queue, packet| by(&classifier, port, queue, packet);
        assert_eq!(of(0, None, udp(4791, 0, None)), 4, "of two that name it, the higher");
        assert_eq!(of(0, None, udp(9, 0, None)), 2, "what no entry names has the default");
        assert_eq!(of(0, None, udp(5060, 0, None)), 6, "a policy goes before");
        assert_eq!(of(0, None, udp(4791, 10, None)), 1, "a DSCP that was chosen");
        assert_eq!(of(0, None, udp(4791, 0, Some((1, 0)))), 0, "a tag");
        assert_eq!(of(0, Some(5), udp(4791, 0, None)), 0, "a queue that was chosen");
        assert_eq!(of(1, None, udp(4791, 0, None)), 0, "another port has learned nothing");
        classifier.learn(PortId(0), Vec::new());
        assert_eq!(by(&classifier, 0, None, udp(4791, 0, None)), 0, "forgotten");
    }
}
