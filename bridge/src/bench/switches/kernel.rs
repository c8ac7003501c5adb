//! The kernel's own: a bridge between veth pairs, alone or with HTB, and no switch at all.

use std::process::Command;

use super::super::ets;
use super::super::pair::{FAR_ENDS, NAMES};
use super::{Note, Rig, Setup, find, tool};
use crate::net::{VethPair, sysctl};

const BRIDGE: &str = "br0";

/// A bridge. Its frames are not shown to firewalls: settings of its own namespace, which end with it.
pub(super) fn bridge(rig: &mut Rig, _: &Setup) -> Result<(), Note> {
    rig.pair.add_veths()?;
    rig.pair.in_middle(|links| {
        links.add_bridge(BRIDGE)?;
        for far in FAR_ENDS {
            links.set_bridge(far, BRIDGE)?;
        }
        links.set_up(BRIDGE)?;
        for table in ["arptables", "ip6tables", "iptables"] {
            let key = format!("bridge/bridge-nf-call-{table}");
            // A kernel without bridge netfilter has no such key, and nothing to switch off.
            if sysctl::read(&key).is_ok() {
                sysctl::write(&key, "0")?;
            }
        }
        Ok(())
    })?;
    Ok(())
}

/// A bridge, and HTB with the classes of `ets` on its way to B.
pub(super) fn htb(rig: &mut Rig, setup: &Setup) -> Result<(), Note> {
    bridge(rig, setup)?;
    let Some(line) = setup.line else { return Ok(()) };
    let tc = find("tc").unwrap_or_else(|| "tc".into());
    for words in ets::htb(FAR_ENDS[1], line) {
        tool(rig, Command::new(&tc).args(words.split_whitespace()))?;
    }
    Ok(())
}

/// One veth pair between the hosts.
pub(super) fn wire(rig: &mut Rig, _: &Setup) -> Result<(), Note> {
    let [a, b] = &rig.pair.hosts;
    let pair = VethPair {
        name: NAMES[0],
        peer: NAMES[1],
        peer_netns: b.netns(),
        queues: 1,
        mtu: u32::from(rig.pair.mtu),
    };
    a.within(|| crate::net::Links::open()?.add_veth_pair(&pair))?;
    Ok(())
}
