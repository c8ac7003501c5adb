//! Model values as people write them, for tables, differences and messages.

use std::fmt::{self, Display, Formatter};

use crate::model::{
    Dcbx, DcbxMode, DcbxRole, FlowControl, Io, IpPrefix, LldpGroup, Match, MultiPeer, PeerReaction, Poll,
    PortKind, PortVlan, PrioritySet, QueueLimit, Scheduling, StaticEntry, StreamEndpoint, Trust, Tsa,
    WatchdogAction,
};
use crate::schema::network::show_mac;
use crate::units::{ByteSize, Microseconds};

impl Display for Tsa {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Strict => "strict",
            Self::Ets => "ets",
        })
    }
}

impl Display for Io {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::IoUring => "io_uring",
            Self::Readiness => "readiness",
        })
    }
}

impl Display for Poll {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sleep => "sleep",
            Self::Adaptive => "adaptive",
            Self::Busy => "busy",
        })
    }
}

impl Display for Scheduling {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Auto => "auto",
            Self::Normal => "normal",
            Self::Realtime => "realtime",
        })
    }
}

impl Display for LldpGroup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NearestNonTpmr => "nearest-non-tpmr",
            Self::NearestCustomer => "nearest-customer",
        })
    }
}

impl Display for Trust {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Pcp => "pcp",
            Self::Dscp => "dscp",
        })
    }
}

impl Display for WatchdogAction {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Drop => "drop",
            Self::Forward => "forward",
            Self::Alert => "alert",
        })
    }
}

impl Display for FlowControl {
    /// `off`, `pause`, `pfc 3, 4` or, with two different sets, `pfc receive 0, 1, 2 transmit 3`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let set = |set: &PrioritySet| if set.is_empty() { "none".to_owned() } else { set.to_string() };
        match self {
            Self::Off => f.write_str("off"),
            Self::Pause => f.write_str("pause"),
            Self::Pfc { receive, transmit } if receive == transmit => write!(f, "pfc {}", set(receive)),
            Self::Pfc { receive, transmit } => {
                write!(f, "pfc receive {} transmit {}", set(receive), set(transmit))
            }
        }
    }
}

impl Display for Dcbx {
    /// `auto` or `cee, willing, role auto-upstream, keep-first`: what differs from the default is named.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { mode, willing, role, multi_peer } = self;
        f.write_str(match mode {
            DcbxMode::Auto => "auto",
            DcbxMode::Ieee => "ieee",
            DcbxMode::Cee => "cee",
            DcbxMode::Cin => "cin",
        })?;
        f.write_str(if *willing { ", willing" } else { "" })?;
        f.write_str(match role {
            DcbxRole::Manual => "",
            DcbxRole::AutoUpstream => ", role auto-upstream",
            DcbxRole::AutoDownstream => ", role auto-downstream",
            DcbxRole::ConfigurationSource => ", role configuration-source",
        })?;
        f.write_str(if *multi_peer == MultiPeer::KeepFirst { ", keep-first" } else { "" })
    }
}

impl Display for PeerReaction {
    /// `hardware` or `100us`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Hardware => f.pad("hardware"),
            Self::Software { us } => Microseconds(u64::from(*us)).fmt(f),
        }
    }
}

impl Display for QueueLimit {
    /// `200KB` or `dynamic 0`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Static(bytes) => ByteSize(*bytes).fmt(f),
            Self::Dynamic(threshold) => write!(f, "dynamic {threshold}"),
        }
    }
}

impl Display for IpPrefix {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.addr, self.len)
    }
}

impl Display for StreamEndpoint {
    /// `listen unix:/run/vm1.sock`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::ListenUnix(path) => write!(f, "listen unix:{}", path.display()),
            Self::ConnectUnix(path) => write!(f, "connect unix:{}", path.display()),
            Self::ListenTcp(addr) => write!(f, "listen tcp:{addr}"),
            Self::ConnectTcp(addr) => write!(f, "connect tcp:{addr}"),
        }
    }
}

impl Display for PortKind {
    /// `tap in h1, no offload` or `stream, listen unix:/run/vm1.sock`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tap { netns, offload } => {
                f.write_str("tap")?;
                place(f, netns.as_deref())?;
                f.write_str(if *offload { "" } else { ", no offload" })
            }
            Self::Veth { netns, peer } => {
                write!(f, "veth to {peer}")?;
                place(f, netns.as_deref())
            }
            Self::Packet { netns } => {
                f.write_str("packet")?;
                place(f, netns.as_deref())
            }
            Self::Stream { endpoint } => write!(f, "stream, {endpoint}"),
        }
    }
}

fn place(f: &mut Formatter<'_>, netns: Option<&str>) -> fmt::Result {
    netns.map_or(Ok(()), |netns| write!(f, " in {netns}"))
}

impl Display for PortVlan {
    /// `transparent` or `pvid 10, tagged 20-29 40`.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if self.transparent {
            return f.write_str("transparent");
        }
        let mut parts = Vec::new();
        if let Some(pvid) = self.pvid {
            parts.push(format!("pvid {pvid}"));
        }
        let others: Vec<_> = self.untagged.iter().filter(|vid| Some(**vid) != self.pvid).collect();
        if !others.is_empty() {
            let vids: Vec<_> = others.iter().map(ToString::to_string).collect();
            parts.push(format!("untagged {}", vids.join(" ")));
        }
        if !self.tagged.is_empty() {
            let vids: Vec<_> = self.tagged.iter().map(|range| show_range(*range)).collect();
            parts.push(format!("tagged {}", vids.join(" ")));
        }
        if self.drop_untagged {
            parts.push("drop untagged".into());
        }
        f.write_str(&parts.join(", "))
    }
}

impl Display for StaticEntry {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} in VLAN {} at {}", show_mac(self.mac), self.vlan, self.port)
    }
}

impl Display for Match {
    /// `protocol 6 port 445 from 10.0.0.0/8`; `everything` when nothing is asked.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let list = |values: &[u8]| {
            let values: Vec<_> = values.iter().map(u8::to_string).collect();
            (!values.is_empty()).then(|| values.join(" or "))
        };
        let in_ports = (!self.in_ports.is_empty()).then(|| self.in_ports.join(" or "));
        let parts: Vec<String> = [
            ("at port", in_ports),
            ("VLAN", self.vlan.map(|vlan| vlan.to_string())),
            ("PCP", self.pcp.map(|pcp| pcp.to_string())),
            ("ethertype", self.ethertype.map(|ethertype| format!("{ethertype:#06x}"))),
            ("from MAC", self.src_mac.map(show_mac)),
            ("to MAC", self.dst_mac.map(show_mac)),
            ("protocol", list(&self.protocols)),
            ("port", self.either_port.map(show_range)),
            ("source port", self.src_port.map(show_range)),
            ("destination port", self.dst_port.map(show_range)),
            ("from", self.src_ip.map(|prefix| prefix.to_string())),
            ("to", self.dst_ip.map(|prefix| prefix.to_string())),
            ("DSCP", self.dscp.map(|dscp| dscp.to_string())),
        ]
        .into_iter()
        .filter_map(|(what, value)| Some(format!("{what} {}", value?)))
        .collect();
        f.write_str(if parts.is_empty() { "everything" } else { "" })?;
        f.write_str(&parts.join(" "))
    }
}

fn show_range((first, last): (u16, u16)) -> String {
    if first == last { first.to_string() } else { format!("{first}-{last}") }
}
