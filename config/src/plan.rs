//! How the shared buffer is divided: what lossless priority groups have to themselves, what may still arrive after
//! their pauses, and what is left for everyone.
//!
//! The formula of the headroom is the scheduler's; here it gets the configuration's figures. Whether the sum fits is
//! `check`'s affair.

use dcbridge_scheduler::headroom::{Headroom, LinkModel, Reaction, headroom};
use dcbridge_scheduler::time::{Rate, Time};
use dcbridge_scheduler::{CUT, LARGEST_CUT};
use serde::Serialize;

use crate::model::{BitRate, Config, FlowControl, PeerReaction, Port, PortKind};

/// Bytes of a buffer cell, the unit in which the buffer is accounted.
pub const CELL_BYTES: u32 = 256;

/// What a port without a line rate is taken for: faster than one core moves the frames of a peer that knows PFC (hosts on
/// TAPs reach 35 Gbit/s; what they may still send is reckoned by their host edge).
const UNLIMITED: BitRate = BitRate(25_000_000_000);

/// What lossless classes take of the shared buffer, in bytes of whole cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BufferPlan {
    /// Lossless priority groups: a priority at a port that pauses for it.
    pub groups: u32,
    /// What the groups have to themselves.
    pub reserved_bytes: u64,
    /// What may still arrive after their senders were paused.
    pub headroom_bytes: u64,
    /// What is left for everyone; `None` when the buffer is too small.
    pub shared_bytes: Option<u64>,
}

impl BufferPlan {
    /// Divides the buffer of a configuration.
    pub fn of(config: &Config) -> Self {
        let lossless = config.lossless_priorities();
        let mut plan = Self { groups: 0, reserved_bytes: 0, headroom_bytes: 0, shared_bytes: None };
        for port in &config.ports {
            let pausing = port.pausing(lossless);
            plan.groups += pausing.len() as u32;
            plan.headroom_bytes += pausing.len() as u64 * group_headroom(config, port);
            let classes = pausing.iter().filter_map(|priority| config.class_of(priority));
            plan.reserved_bytes += classes.map(|class| cells(class.reserved_bytes)).sum::<u64>();
        }
        plan.shared_bytes = config.bridge.buffer_bytes.checked_sub(plan.taken());
        plan
    }

    /// What is not shared.
    pub const fn taken(&self) -> u64 {
        self.reserved_bytes + self.headroom_bytes
    }
}

/// The calculated headroom of each lossless priority group of a port, without what its device adds (a ring that empties
/// after its gate was closed); `None` when no group of it pauses anyone.
pub fn port_headroom(config: &Config, port: &Port) -> Option<Headroom> {
    (!port.pausing(config.lossless_priorities()).is_empty()).then(|| link_headroom(port))
}

/// What the lossless priority groups of a port have to themselves, headroom included, in bytes of whole cells.
pub fn set_apart(config: &Config, port: &Port) -> u64 {
    let pausing = port.pausing(config.lossless_priorities());
    let classes = pausing.iter().filter_map(|priority| config.class_of(priority));
    pausing.len() as u64 * group_headroom(config, port)
        + classes.map(|class| cells(class.reserved_bytes)).sum::<u64>()
}

/// The same for a priority that would be lossless at a port, whether one is or not.
fn link_headroom(port: &Port) -> Headroom {
    let bits_per_second = port.line_rate.unwrap_or(UNLIMITED).0;
    let frame = port.max_frame();
    let rate = Rate::from_bits_per_second(bits_per_second);
    let piece = match port.kind {
        PortKind::Tap { offload: true, .. } | PortKind::Packet { .. } => {
            rate.bytes_in(CUT).min(u64::from(LARGEST_CUT)) as u32
        }
        // Frames go one by one; the calculator takes the longest.
        _ => 0,
    };
    headroom(&LinkModel {
        bits_per_second,
        max_frame: frame,
        own_piece: piece,
        peer_piece: piece,
        metres: port.cable_metres,
        reaction: match port.peer_reaction {
            PeerReaction::Hardware => Reaction::Hardware,
            PeerReaction::Software { us } => Reaction::Software(Time::from_micros(u64::from(us))),
        },
        cell: CELL_BYTES,
    })
}

/// The headroom that each lossless priority group of a port has, in bytes of whole cells: as configured, else as
/// calculated; 0 when no group of it pauses anyone.
pub fn group_headroom(config: &Config, port: &Port) -> u64 {
    if port.pausing(config.lossless_priorities()).is_empty() { 0 } else { lossless_headroom(port) }
}

/// The headroom that a lossless priority group of a port gets, in bytes of whole cells, whether it has one by
/// configuration or not.
pub fn lossless_headroom(port: &Port) -> u64 {
    let calculated = || u64::from(link_headroom(port).cells) * u64::from(CELL_BYTES);
    port.headroom_bytes.map_or_else(calculated, cells)
}

/// How many priorities can be lossless at a port at once, by what DCBX may teach it: those of the configuration, and as
/// many more as the buffer has headroom for when every port that learns takes its part. 0 where the port has no PFC.
pub fn lossless_capacity(config: &Config, port: &Port) -> u8 {
    if !matches!(port.flow_control, FlowControl::Pfc { .. }) {
        return 0;
    }
    let learning = config.ports.iter().filter(|port| port.dcbx.is_some_and(|dcbx| dcbx.may_learn())).count();
    let shared = config.ports.len() as u64 * u64::from(LARGEST_CUT);
    let taken = BufferPlan::of(config).taken().saturating_add(shared);
    let room = config.bridge.buffer_bytes.saturating_sub(taken) / learning.max(1) as u64;
    let group = lossless_headroom(port) + cells(2 * u64::from(port.max_frame()));
    let configured = port.pausing(config.lossless_priorities()).len() as u64;
    (configured + room / group.max(1)).min(8) as u8
}

/// Bytes of the cells that `bytes` occupy.
fn cells(bytes: u64) -> u64 {
    bytes.next_multiple_of(u64::from(CELL_BYTES))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(defaults: &str, ports: usize, priorities: &str) -> Config {
        let ports: Vec<_> = (0..ports).map(|n| format!("[[port]]\nname = \"p{n}\"\n")).collect();
        let ports = ports.concat();
        let text = format!(
            "[defaults]\n{defaults}\n{ports}[[traffic_class]]\nname = \"s\"\npriorities = {priorities}\n\
             lossless = true\n[[traffic_class]]\nname = \"d\"\npriorities = \"rest\"\n"
        );
        crate::parse(&text, "f").unwrap_or_else(|errors| panic!("{}", crate::render(&errors, &text, false))).0
    }

    #[test]
    fn a_headroom_can_be_added_up_by_hand() {
        let config = config("line_rate = \"1Gbit\"\noffload = false\ncable_length = 99", 2, "[3]");
        let parts = port_headroom(&config, &config.ports[0]).expect("a lossless priority");
        // 1500 bytes, header, two tags, FCS, preamble and gap; 100 us at 1 Gbit/s; 1 us of cable there and back.
        assert_eq!((parts.own_piece, parts.peer_piece), (1546, 1546));
        assert_eq!((parts.pfc_frame, parts.reaction, parts.propagation), (84, 12_500, 125));
        assert_eq!(group_headroom(&config, &config.ports[0]), u64::from(parts.cells) * 256);
    }

    #[test]
    fn a_superframe_is_cut_to_a_tenth_of_a_millisecond_and_a_whole_one() {
        for (rate, piece) in [("1Gbit", 12_500), ("10Gbit", 69_400), ("100Mbit", 1546)] {
            let config = config(&format!("line_rate = \"{rate}\""), 2, "[3]");
            let parts = port_headroom(&config, &config.ports[0]).expect("a lossless priority");
            assert_eq!((parts.own_piece, parts.peer_piece), (piece, piece), "{rate}");
        }
    }

    #[test]
    fn a_plan_adds_up() {
        let config = config("line_rate = \"10Gbit\"\nmtu = 9000", 3, "[3, 4]");
        let plan = BufferPlan::of(&config);
        assert_eq!(plan.groups, 6);
        // Two frames of 9022 bytes in cells, six times.
        assert_eq!(plan.reserved_bytes, 6 * (2 * 9022_u64).next_multiple_of(256));
        assert_eq!(plan.headroom_bytes, 6 * group_headroom(&config, &config.ports[0]));
        assert_eq!(plan.taken() + plan.shared_bytes.expect("room"), 12_000_000);
    }

    #[test]
    fn a_port_can_learn_as_many_lossless_priorities_as_the_buffer_has_headroom_for() {
        let capacity = |defaults: &str, ports| {
            let config = config(defaults, ports, "[3]");
            lossless_capacity(&config, &config.ports[0])
        };
        assert_eq!(capacity("line_rate = \"1Gbit\"", 2), 8);
        assert_eq!(capacity("flow_control = \"off\"\ndcbx = { willing = true }", 2), 0);
        assert_eq!(capacity("headroom = \"2MB\"\ndcbx = { willing = true }", 2), 1 + 1);
        assert_eq!(capacity("headroom = \"2MB\"\ndcbx = { willing = true }", 5), 1);
    }

    #[test]
    fn what_is_configured_goes_before_what_is_calculated() {
        let config = config("headroom = \"100001\"", 2, "[3]");
        assert_eq!(BufferPlan::of(&config).headroom_bytes, 2 * 391 * 256);
    }

    #[test]
    fn a_port_that_pauses_nobody_needs_nothing() {
        for defaults in ["flow_control = \"off\"", "pfc_transmit = []", "pfc_transmit = [5]"] {
            let config = config(defaults, 2, "[3]");
            let plan = BufferPlan::of(&config);
            assert_eq!((plan.groups, plan.taken()), (0, 0), "{defaults}");
            assert_eq!(port_headroom(&config, &config.ports[0]), None);
        }
        assert_eq!(BufferPlan::of(&config("flow_control = \"pause\"", 2, "[3]")).groups, 2);
    }

    #[test]
    fn without_a_lossless_class_everything_is_shared() {
        let (config, _) =
            crate::parse("[[port]]\nname = \"a\"\n[[port]]\nname = \"b\"\n", "f").expect("legal");
        let plan = BufferPlan::of(&config);
        assert_eq!((plan.groups, plan.taken(), plan.shared_bytes), (0, 0, Some(12_000_000)));
        assert_eq!(port_headroom(&config, &config.ports[0]), None);
    }

    #[test]
    fn the_default_buffer_holds_six_streams_with_a_lossless_priority() {
        let of = |ports: usize| {
            let port = |n| format!("[[port]]\nname = \"p{n}\"\ntype = \"stream\"\nlisten = \"unix:/{n}\"\n");
            let ports = (0..ports).map(port).collect::<Vec<_>>().concat();
            let classes = "[[traffic_class]]\nname = \"s\"\npriorities = [3]\nlossless = true\n\
                 [[traffic_class]]\nname = \"d\"\npriorities = \"rest\"\n";
            crate::parse(&format!("{ports}{classes}"), "f").map(|(_, findings)| findings)
        };
        assert_eq!(of(6), Ok(vec![]));
        assert!(of(7).is_err());
    }

    #[test]
    fn the_default_buffer_holds_eight_taps_with_two_lossless_priorities() {
        for mtu in [1500, 9000] {
            let plan = BufferPlan::of(&config(&format!("mtu = {mtu}"), 8, "[3, 4]"));
            assert!(plan.shared_bytes.is_some_and(|shared| shared > 8 * 65_536), "{plan:?}");
        }
    }
}
