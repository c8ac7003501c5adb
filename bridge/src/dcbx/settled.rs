//! From what holds at a port by DCBX to what its switch does about it.

use dcbridge_config as config;
use dcbridge_scheduler as scheduler;
use lldp_dcbx::dcbx::{AppRule, Source};
use lldp_dcbx::views::PortViews;
use lldp_dcbx::wire::app;
use lldp_dcbx::wire::ets::{EtsTable, Tsa};

use super::local;
use crate::switch::classify::{Application, Selector};
use crate::switch::operation::{Classes, Operation};

/// What holds at a port; the default when that is what the configuration says anyway.
pub(super) fn operation(config: &config::Config, port: &config::Port, views: &PortViews) -> Operation {
    let held = &views.operational;
    if views.local.hold.is_some() {
        // DCBX is off: the port goes by its configuration.
        return Operation::default();
    }
    // CEE and CIN also switch a feature off when a peer is gone; without a peer, one's own settings hold.
    let alone = views.peer.is_none();
    let ets = Some(held.ets.value).filter(|_| held.ets.active || alone);
    let pfc = if held.pfc.active || alone { held.pfc.value.0 } else { 0 };
    let as_configured = pfc == local::pfc(config, port).0;
    let has_pfc = matches!(port.flow_control, config::FlowControl::Pfc { .. });
    Operation {
        classes: ets.map(classes).filter(|held| *held != classes(local::ets(config))),
        pfc: (has_pfc && !as_configured).then_some(pfc),
        applications: if held.app.active {
            held.app.value.iter().filter_map(application).collect()
        } else {
            Vec::new()
        },
    }
}

/// As the scheduler has it. What is said of classes without priorities makes no difference.
fn classes(table: EtsTable) -> Classes {
    let (bandwidth, algorithms, used) = (table.bandwidth(), table.tsa(), table.used_classes());
    Classes {
        class_of: table.classes(),
        tsa: std::array::from_fn(|class| match algorithms[class] {
            Tsa::Ets if used & (1 << class) != 0 => scheduler::Tsa::Ets { weight: bandwidth[class] },
            // Others than strict are refused by the port's capability when a priority uses them.
            _ => scheduler::Tsa::Strict,
        }),
    }
}

/// An application that was learned; the port's own are policies already.
fn application(rule: &AppRule) -> Option<Application> {
    let app::AppEntry { selector, protocol, priority } = rule.entry;
    if rule.source == Source::Local {
        return None;
    }
    let selector = match selector {
        app::Selector::Ethertype if protocol == 0 => Selector::Default,
        app::Selector::Ethertype => Selector::Ethertype(protocol),
        app::Selector::Tcp => Selector::Stream(protocol),
        app::Selector::Udp => Selector::Datagram(protocol),
        app::Selector::AnyPort => Selector::AnyPort(protocol),
        app::Selector::Dscp => Selector::Dscp(u8::try_from(protocol).ok()?),
        app::Selector::Reserved(_) => return None,
    };
    Some(Application { selector, priority: scheduler::Priority::new(priority.value()) })
}
