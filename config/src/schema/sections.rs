//! The sections of the file with their keys, defaults and documentation.
//!
//! This is the reference of the configuration: what is written here is what people read. Each key
//! says its unit, its default and what happens when it is turned. No code beyond declarations.

use super::dcbx::{DcbxSection, LldpSection};
use super::network::{
    Dscp, DscpKey, Endpoint, EtherType, InterfaceName, JumboPacket, ListenOrOff, Mac, Mtu, Netns, OctalKey,
    Pcp, Ports, Prefix, Protocol, SocketPath, Vlans,
};
use super::quantity::{Bytes, Micros, MicrosOr, Millis, Rate, RateOrUnlimited, Seconds};
use super::value::{Int, List, OneOf, Pairs, Priority, Table, Tables, Text, Word};
use super::worker::WorkerSection;
use super::{KeySpec, Section, section};
use crate::model::{BitRate, Trust, Tsa, WatchdogAction};
use crate::schema::choice::{MatchSetting, PausedPriorities, Priorities, VlanSetting, Yes};

/// The fastest line that is emulated: pause times stay exact up to here (see the design notes).
pub(crate) const RATE_MAX: u64 = 800_000_000_000;
const KBIT: u64 = 1_000;
const MBIT: u64 = 1_000_000;

type PauseRate = Rate<MBIT, RATE_MAX>;
type LineRate = RateOrUnlimited<MBIT, RATE_MAX>;
type ClassRate = Rate<{ 8 * KBIT }, RATE_MAX>;
type FdbLimit = Int<1, 1_000_000>;
type Lifetime = MicrosOr<Off, 1_000, 60_000_000>;
type Reaction = MicrosOr<Hardware, 1, 1_000_000>;
/// Longest cable: beyond it the headroom alone is more than a switch has.
type CableLength = Int<0, 100_000>;
type HeadroomSize = Bytes<0, 17_179_869_184>;

section! {
    /// The whole file.
    struct File in "" {
        /// The switch as a whole.
        bridge: Table<BridgeSection> => "every key at its default";
        /// The thread that moves frames.
        worker: Table<WorkerSection> => "every key at its default";
        /// The read-only HTTP listener.
        metrics: Table<MetricsSection> => "every key at its default";
        /// The traffic classes, at most eight.
        traffic_class: Tables<ClassSection> => "one ETS class `default` that holds all priorities and all bandwidth and may lose frames";
        /// Policies that give frames a priority.
        policy: Tables<PolicySection> => "no policies";
        /// Maps between marks and priorities.
        map: Table<MapSection> => "the standard maps";
        /// Defaults for every port.
        defaults: Table<DefaultsSection> => "every key at its default";
        /// The ports; at least one.
        port: Tables<PortSection>: required;
        /// Static forwarding entries.
        fdb: Tables<FdbSection> => "none";
        /// The PFC watchdog.
        pfc_watchdog: Table<WatchdogSection> => "off";
        /// LLDP, on which DCBX travels.
        lldp: Table<LldpSection> => "every key at its default";
    }
}

section! {
    /// The switch as a whole.
    struct BridgeSection in "[bridge]" {
        /// Name of the switch in tables and metrics, and in the default path of its control socket.
        name: InterfaceName = InterfaceName("br0".into());
        /// Packet memory that all ports share; it is allocated at start. More absorbs longer bursts and holds lossless traffic of more ports; less bounds the queueing delay.
        buffer: Bytes<65_536, 17_179_869_184> = Bytes(12_000_000);
        /// How long a learned address that is not seen again is kept (802.1Q 8.8.3). Shorter follows moving hosts faster, and floods more.
        ageing: Seconds<10, 1_000_000> = Seconds(300);
        /// Most addresses that the switch learns. When it is full, frames to further addresses are flooded.
        fdb_limit: FdbLimit = Int(100_000);
        /// Flooded traffic (broadcast, multicast, unknown unicast) that is accepted from each port; what exceeds it is dropped and counted. "unlimited" turns the limit off.
        flood_rate: RateOrUnlimited<{ 8 * KBIT }, RATE_MAX> = RateOrUnlimited(Some(BitRate(1_000_000_000)));
        /// Whether the switch listens for its own probes and holds a port that leads back to it. Turned off, a loop between two ports floods without end, up to `flood_rate`.
        loop_detection: bool = true;
        /// How long the process may stand still and still catch up with its line rates. More keeps the rate on a busy machine, in bursts of up to this length; 0 paces exactly and loses rate at every hiccup. Pauses end by themselves after at most 65535 quanta (3.36 ms at 10Gbit), so a lossless class holds through no longer stall: the default is then the longest pause, if that is shorter.
        stall_budget: Micros<0, 1_000_000> = Micros(5_000);
        /// Unix socket of the control interface (HTTP with JSON).
        control_socket: SocketPath => "/run/dcbridge/NAME.sock, with the bridge's name";
    }
}

section! {
    /// The read-only HTTP listener.
    struct MetricsSection in "[metrics]" {
        /// Address of `/metrics`, the state and the dashboard. Whoever reaches it can read the state but change nothing; beyond loopback that is everyone on that network. "off" opens no port.
        listen: ListenOrOff = ListenOrOff(Some(([127, 0, 0, 1], 9464).into()));
    }
}

impl Word for Tsa {
    const WORDS: &'static [(&'static str, Self)] = &[("ets", Self::Ets), ("strict", Self::Strict)];
}

section! {
    /// A traffic class: priorities that share a place in the schedule of every port. Together the classes hold each of the eight priorities once.
    struct ClassSection in "[[traffic_class]]" {
        /// Name in tables and metrics; unique.
        name: Text: required;
        /// Number of the class. Among strict classes the higher number is served first.
        tc: Int<0, 7> => "position in the file, from 0";
        /// Its priorities; "rest" stands for those that no other class names.
        priorities: Priorities: required;
        /// Transmission selection (802.1Q 8.6.8): "strict" is served before every ETS class, and can starve them unless it has a `max_rate`; "ets" classes share what is left by `bandwidth`.
        tsa: OneOf<Tsa> = OneOf(Tsa::Ets);
        /// Share in percent of what strict classes leave, for "ets" only. The shares of all ETS classes sum to 100; what a class does not use goes to the others.
        bandwidth: Int<1, 100> => "an even part of what the other ETS classes leave";
        /// Rate that an ETS class gets before the shares are looked at.
        min_rate: ClassRate => "none";
        /// Rate that the class never exceeds, even when the line is idle.
        max_rate: ClassRate => "none";
        /// Whether the class must lose nothing to congestion: senders are then paused, per priority (PFC), before the buffer is full. Such a class needs room in `buffer`, and a slow receiver slows its senders. A stream port has no priorities of its own: there the whole port is paused.
        lossless: bool = false;
        /// Most bytes that each queue of the class holds; a lossy class drops beyond it, a lossless one pauses its senders. Instead of `dynamic_th`.
        queue_limit: Bytes<1_600, 17_179_869_184> => "see `dynamic_th`";
        /// Queue limit that follows the free part of the buffer: alpha = 2^`dynamic_th` times what is free (as in SONiC's buffer profiles). 0 lets one queue take half of the buffer, 3 eight ninths, -7 less than a hundredth.
        dynamic_th: Int<-7, 3> => "0, unless there is a `queue_limit`";
        /// Buffer that each priority group (a priority at the port where it comes in) of a lossless class has to itself, before it takes of the shared part. More keeps a group moving while others fill the buffer; it is not there for anyone else.
        reserved: Bytes<0, 17_179_869_184> => "two frames of the largest MTU for a lossless class, 0 for others";
        /// Hysteresis of a lossless class: paused senders go on only when the usage of their group is this far below the XOFF point. More sends fewer pause frames, and lets the line run dry sooner.
        xon_offset: Bytes<0, 17_179_869_184> => "two frames of the largest MTU";
        /// Longest time that a frame of the class may wait in the switch; it is then dropped and counted. A guard against deadlocks, and the one way in which a lossless class that is paused for long loses frames. "off": it waits as long as it takes.
        lifetime: Lifetime => "\"off\"";
    }
}

section! {
    /// A policy: frames that match get a priority. Policies decide before the marks that a port trusts.
    struct PolicySection in "[[policy]]" {
        /// Name in tables and metrics; unique.
        name: Text: required;
        /// Which frames: a table of conditions that must all hold, the word of an application such as "smb", or a list of these, any of which may match.
        r#match: MatchSetting: required;
        /// The priority that they get.
        priority: Priority: required;
        /// The highest matching policy wins; among equals, the first in the file.
        precedence: Int<0, 255> => "127, as in Windows; 0 for the match `default`";
    }
}

section! {
    /// Conditions of a policy, all of which must hold.
    struct MatchSection in "match" {
        /// SMB.
        smb: Yes => "not asked";
        /// iSCSI.
        iscsi: Yes => "not asked";
        /// NFS.
        nfs: Yes => "not asked";
        /// Hyper-V live migration.
        live_migration: Yes => "not asked";
        /// Fibre Channel over Ethernet.
        fcoe: Yes => "not asked";
        /// FCoE initialisation.
        fip: Yes => "not asked";
        /// RDMA over Ethernet, version 1.
        rocev1: Yes => "not asked";
        /// RDMA over UDP.
        rocev2: Yes => "not asked";
        /// Every frame.
        default: Yes => "not asked";
        /// RDMA to this service port (Windows' NetDirectPort), by iWARP or RoCE.
        netdirect_port: Int<1, 65_535> => "not asked";
        /// TCP source or destination port.
        tcp_port: Ports => "not asked";
        /// UDP source or destination port.
        udp_port: Ports => "not asked";
        /// Source port; TCP or UDP unless `protocol` says otherwise.
        src_port: Ports => "not asked";
        /// Destination port; TCP or UDP unless `protocol` says otherwise.
        dst_port: Ports => "not asked";
        /// IP protocols, any of them.
        protocol: List<Protocol> => "not asked";
        /// Source address or prefix.
        src_ip: Prefix => "not asked";
        /// Destination address or prefix.
        dst_ip: Prefix => "not asked";
        /// DSCP of an IPv4 or IPv6 packet.
        dscp: Dscp => "not asked";
        /// PCP of the received VLAN tag.
        pcp: Pcp => "not asked";
        /// VLAN that the frame belongs to.
        vlan: Int<1, 4094> => "not asked";
        /// Ethertype behind all VLAN tags.
        ethertype: EtherType => "not asked";
        /// Source MAC address.
        src_mac: Mac => "not asked";
        /// Destination MAC address.
        dst_mac: Mac => "not asked";
        /// Ports (by name) on which the frame arrives, any of them.
        in_port: List<Text> => "not asked";
    }
}

section! {
    /// Maps between the marks of frames and priorities. What a map leaves out keeps its standard value.
    struct MapSection in "[map]" {
        /// PCP of a received tag to priority.
        pcp: Pairs<OctalKey, Priority> => "the PCP is the priority";
        /// DSCP to priority. Keys are numbers, names such as `ef`, or ranges such as "8-15".
        dscp: Pairs<DscpKey, Priority> => "the upper three bits of the DSCP";
        /// Priority to the PCP of outgoing tags: of every tag that the switch adds, and at ports with `rewrite = ["pcp"]` of every tag.
        rewrite_pcp: Pairs<OctalKey, Pcp> => "the priority is the PCP";
        /// Priority to the DSCP of outgoing packets at ports with `rewrite = ["dscp"]`.
        rewrite_dscp: Pairs<OctalKey, Dscp> => "the DSCP stays";
    }
}

impl Word for Trust {
    const WORDS: &'static [(&'static str, Self)] = &[("pcp", Self::Pcp), ("dscp", Self::Dscp)];
}

/// The word of a limit that can be turned off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Off;

impl Word for Off {
    const WORDS: &'static [(&'static str, Self)] = &[("off", Self)];
}

/// The word of a peer that is a hardware MAC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hardware;

impl Word for Hardware {
    const WORDS: &'static [(&'static str, Self)] = &[("hardware", Self)];
}

/// Which pauses a port knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Pfc,
    Pause,
    Off,
}

impl Word for Flow {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pfc", Self::Pfc), ("pause", Self::Pause), ("off", Self::Off)];
}

section! {
    /// Defaults for every port; the keys mean what they mean in `[[port]]`.
    struct DefaultsSection in "[defaults]" {
        /// Line rate of ports that set none.
        line_rate: LineRate = RateOrUnlimited(Some(BitRate(10_000_000_000)));
        /// MTU of ports that set neither `mtu` nor `jumbo_packet`.
        mtu: Mtu => "1500";
        /// The same with the Ethernet header counted.
        jumbo_packet: JumboPacket => "1514";
        /// Trusted marks.
        trust: List<OneOf<Trust>> = List(vec![(OneOf(Trust::Pcp), 0..0), (OneOf(Trust::Dscp), 0..0)]);
        /// Priority of frames that nothing else decides.
        default_priority: Priority = Int(0);
        /// Network namespace of ports that are interfaces.
        netns: Netns => "the namespace of dcbridge";
        /// Superframes of TAP ports.
        offload: bool = true;
        /// Isolation.
        isolated: bool = false;
        /// Most addresses learned on one port.
        fdb_limit: FdbLimit => "only the limit of the switch";
        /// Marks that are rewritten on the way out.
        rewrite: List<OneOf<Trust>> = List(vec![]);
        /// VLANs.
        vlan: VlanSetting = VlanSetting::Transparent;
        /// Which pauses are sent and obeyed.
        flow_control: OneOf<Flow> => "\"pfc\" when there is a lossless class or `dcbx` may learn one, else \"off\"";
        /// Priorities whose pauses are obeyed.
        pfc_receive: PausedPriorities = PausedPriorities::Lossless;
        /// Priorities for which pauses are sent.
        pfc_transmit: PausedPriorities = PausedPriorities::Lossless;
        /// Rate at which pause quanta are counted.
        pfc_rate: PauseRate => "the line rate; 10Gbit where that is unlimited";
        /// Length of the cable in metres.
        cable_length: CableLength = Int(5);
        /// How fast peers stop.
        peer_reaction: Reaction => "\"500us\" for stream ports, \"100us\" for others, nothing for \"veth\"";
        /// Headroom of each lossless priority of a port.
        headroom: HeadroomSize => "as calculated";
        /// LLDP.
        lldp: bool = true;
        /// DCBX.
        dcbx: Table<DcbxSection> => "every key at its default";
    }
}

/// What a port is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Tap,
    Veth,
    Packet,
    Stream,
}

impl Kind {
    /// As people write it in a sentence.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tap => "TAP",
            Self::Veth => "veth",
            Self::Packet => "packet",
            Self::Stream => "stream",
        }
    }
}

impl Word for Kind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("tap", Self::Tap), ("veth", Self::Veth), ("packet", Self::Packet), ("stream", Self::Stream)];
}

section! {
    /// A port of the switch.
    struct PortSection in "[[port]]" {
        /// Name of the port; for "tap" and "packet" that of the interface, for "veth" that of the switch's end. Unique.
        name: InterfaceName: required;
        /// "tap" is a TAP interface, created if it does not exist. "veth" is a veth pair, made if it does not exist, that a namespace or container uses like any interface: its sender blocks at once, priority by priority, where the switch has no room (needs root, Linux 6.16 and an MTU of at most 3500). "packet" is any Ethernet interface that exists, such as a network card; whoever sends there can only be asked to pause, by PFC frames. "stream" is a socket that speaks QEMU's `-netdev stream` protocol, and joins two switches as well.
        r#type: OneOf<Kind> = OneOf(Kind::Tap);
        /// Name of the host's end of a veth pair.
        peer: InterfaceName => "the name of the port; without a `netns` there is no default";
        /// Where a stream port waits for its peer, one at a time.
        listen: Endpoint => "none; a stream port has this or `connect`";
        /// Where a stream port finds its peer; tried again whenever the peer is lost.
        connect: Endpoint => "none; a stream port has this or `listen`";
        /// Rate of the emulated line in both directions, in bits on the wire (with preamble, FCS and gap). Queues form only in front of a line: with "unlimited" the processor is the bottleneck, and shares hold only as far as it is.
        line_rate: LineRate => "[defaults]";
        /// Largest payload of a frame in bytes, as Linux counts (L3). Longer frames are dropped and counted.
        mtu: Mtu => "[defaults]";
        /// The same as Windows counts, with the 14 bytes of the Ethernet header: 9014 is `mtu = 9000`.
        jumbo_packet: JumboPacket => "[defaults]";
        /// Marks that are believed, the first that a frame has: "pcp" of its VLAN tag, "dscp" of its IP header. An empty list believes none.
        trust: List<OneOf<Trust>> => "[defaults]";
        /// Priority of frames that neither a policy nor a trusted mark decides.
        default_priority: Priority => "[defaults]";
        /// Network namespace of the interface; for "veth" of the host's end (the other is in the namespace of dcbridge): a name, a path, or "pid:N".
        netns: Netns => "[defaults]";
        /// Superframes (TSO, USO, checksum offload) on a TAP: an order of magnitude faster. Turn it off to see plain frames with finished checksums in captures on the host.
        offload: bool => "[defaults]";
        /// Isolated ports do not reach each other, only ports that are not isolated.
        isolated: bool => "[defaults]";
        /// Most addresses learned on this port. A host that invents addresses then cannot fill the table of the switch.
        fdb_limit: FdbLimit => "[defaults]";
        /// Marks that are rewritten on the way out: "pcp" in a VLAN tag, "dscp" in an IP header; see `[map]`.
        rewrite: List<OneOf<Trust>> => "[defaults]";
        /// VLAN membership, or "transparent": frames of every VLAN pass with the tag they came with.
        vlan: VlanSetting => "[defaults]";
        /// Which pauses the port sends when a lossless priority group is full, and obeys when its peer sends them: "pfc" pauses by priority (802.1Q 36), "pause" the whole port (802.3x) for a peer that knows nothing else, "off" none: nobody is paused, and lossless classes lose what comes in here beyond the buffer. A host is paused by its own device where that can be done (a TAP with a queue per priority, a stream that is not read), else by frames.
        flow_control: OneOf<Flow> => "[defaults]";
        /// Priorities whose PFC pauses are obeyed; pauses of others are counted only. "lossless" stands for those of the lossless classes. "all" here with `pfc_transmit = "lossless"` is what SONiC calls asymmetric PFC: a host may stop anything, the switch stops only what it promises to keep.
        pfc_receive: PausedPriorities => "[defaults]";
        /// Priorities for which PFC pauses are sent. Only lossless classes ever pause; here, one that is not named is treated as if it were not lossless.
        pfc_transmit: PausedPriorities => "[defaults]";
        /// Rate at which pause quanta are counted, one being 512 bits. Both ends must agree: on a link to a physical port it is that port's speed, whatever `line_rate` emulates. Slower makes the longest pause longer (65535 quanta: 3.36 ms at 10Gbit, 33.6 ms at 1Gbit).
        pfc_rate: PauseRate => "[defaults]";
        /// Length of the cable in metres, for the headroom: a metre holds about 13 bytes at 10Gbit, there and back.
        cable_length: CableLength => "[defaults]";
        /// How long the peer goes on sending after a pause has reached it, for the headroom: "hardware" is a MAC that keeps 802.3's limit (67 quanta at 10Gbit, 3.4us); a program needs the time until it has run and stopped. Shorter saves buffer; a peer that needs longer than said here loses frames. [Why these defaults](concepts/lossless.md#the-peers-reaction).
        peer_reaction: Reaction => "[defaults]";
        /// Headroom of each lossless priority of this port: what may still arrive after its pause was decided. Left out it is calculated from rate, MTU, cable and reaction; `dcbridge headroom FILE` shows how. Less than that is accepted with a warning, more is safe and takes from the shared buffer.
        headroom: HeadroomSize => "[defaults]";
        /// Whether the port speaks LLDP. Turned off it says nothing and hears nobody, and has no DCBX.
        lldp: bool => "[defaults]";
        /// How the port negotiates with its peer, e.g. `{ willing = true }`; see `dcbx` below. A table here replaces the one of `[defaults]` as a whole.
        dcbx: Table<DcbxSection> => "[defaults]";
    }
}

section! {
    /// VLAN membership of a port (802.1Q 6.9). With any of these keys the port carries only the VLANs that are named.
    struct VlanSection in "vlan" {
        /// VLAN of frames that arrive without a tag (or with VID 0); it leaves untagged. Without a `pvid` such frames are dropped.
        pvid: Int<1, 4094> => "none";
        /// Further VLANs that leave without a tag.
        untagged: List<Vlans> => "only `pvid`";
        /// VLANs that leave with a tag.
        tagged: List<Vlans> => "none";
        /// Drop frames that arrive without a tag even where there is a `pvid`.
        drop_untagged: bool = false;
    }
}

section! {
    /// A static forwarding entry: never aged, never moved by learning.
    struct FdbSection in "[[fdb]]" {
        /// The (unicast) address.
        mac: Mac: required;
        /// Its VLAN.
        vlan: Int<1, 4094> => "the port's `pvid`; 1 where there is none";
        /// Name of the port that leads to it.
        port: Text: required;
    }
}

impl Word for WatchdogAction {
    const WORDS: &'static [(&'static str, Self)] =
        &[("drop", Self::Drop), ("forward", Self::Forward), ("alert", Self::Alert)];
}

section! {
    /// The PFC watchdog: ends the standstill when a peer pauses a priority without end (a pause storm). It is off unless this section is there, if only as `[pfc_watchdog]`.
    struct WatchdogSection in "[pfc_watchdog]" {
        /// A storm is detected when a priority was paused for this long while frames wait. Shorter reacts sooner, and takes a long pause for a storm.
        detection: Millis<100, 5_000> = Millis(200);
        /// A storm is over when no pause of the priority came for this long. Longer keeps a peer out that storms again and again.
        restoration: Millis<100, 60_000> = Millis(200);
        /// How often it looks; not above `detection`. A storm is detected at most this much later than `detection` says.
        poll: Millis<1, 1_000> => "200ms, or `detection` where that is shorter";
        /// What is done in a storm: "drop" flushes the queue and drops its frames on both sides, "forward" ignores the peer's pauses, "alert" only tells.
        action: OneOf<WatchdogAction> = OneOf(WatchdogAction::Drop);
    }
}

/// Every section with its keys, in the order of the reference.
pub(crate) fn all() -> Vec<(&'static str, &'static str, Vec<KeySpec>)> {
    fn entry<S: Section>() -> (&'static str, &'static str, Vec<KeySpec>) {
        (S::HEADER, S::DOC, S::keys())
    }
    vec![
        entry::<BridgeSection>(),
        entry::<WorkerSection>(),
        entry::<MetricsSection>(),
        entry::<ClassSection>(),
        entry::<PolicySection>(),
        entry::<MatchSection>(),
        entry::<MapSection>(),
        entry::<DefaultsSection>(),
        entry::<PortSection>(),
        entry::<VlanSection>(),
        entry::<DcbxSection>(),
        entry::<FdbSection>(),
        entry::<WatchdogSection>(),
        entry::<LldpSection>(),
    ]
}

/// The sections that do have a key which `header` lacks.
pub(crate) fn home_of(key: &str, header: &str) -> Option<String> {
    let homes: Vec<_> = all()
        .into_iter()
        .filter(|(other, _, keys)| *other != header && keys.iter().any(|spec| spec.name == key))
        .map(|(other, ..)| format!("`{other}`"))
        .collect();
    // A key that many sections have, such as `name`, says nothing about what was meant.
    (1..=2).contains(&homes.len()).then(|| homes.join(" or "))
}
