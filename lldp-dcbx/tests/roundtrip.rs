//! Whatever a repr can hold survives emit and parse; whatever parses, emits what it came from.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use lldp_dcbx::wire::app::{AppEntry, AppTable, AppVlanEntry, AppVlanTable, Selector};
use lldp_dcbx::wire::basic::{Capabilities, ManagementAddress, Text};
use lldp_dcbx::wire::cee::{CeeApp, CeeApps, CeeMessage, LegacyPfc, PriorityGroups};
use lldp_dcbx::wire::cin::{BandwidthGroups, CinMessage, CinPriority};
use lldp_dcbx::wire::congestion::CongestionNotification;
use lldp_dcbx::wire::ets::{EtsConfiguration, EtsTable, Tsa};
use lldp_dcbx::wire::org::{LinkAggregation, VlanName};
use lldp_dcbx::wire::pfc::Pfc;
use lldp_dcbx::wire::subtlv::{Control, FeatureHead};
use lldp_dcbx::wire::tlv::RawTlv;
use lldp_dcbx::wire::{ChassisId, Lldpdu, PduView, PortId, Tlv, TlvIter};
use lldp_dcbx::{Priority, PrioritySet};
use proptest::prelude::*;

/// Eight shares that sum to 100.
fn shares() -> impl Strategy<Value = [u8; 8]> {
    prop::array::uniform7(0..=100_u8).prop_map(|mut cuts| {
        cuts.sort_unstable();
        std::array::from_fn(|i| {
            let low = if i == 0 { 0 } else { cuts[i - 1] };
            cuts.get(i).copied().unwrap_or(100) - low
        })
    })
}

fn ets() -> impl Strategy<Value = EtsTable> {
    let class = prop_oneof![9 => 0..8_u8, 1 => Just(15_u8)];
    (prop::array::uniform8(class), shares(), prop::array::uniform8(any::<u8>()))
        .prop_map(|(c, b, t)| EtsTable::new(c, b, t.map(Tsa::from_code)).unwrap())
}

fn app_entry() -> impl Strategy<Value = AppEntry> {
    (0..8_u8, any::<u16>(), 0..8_u8).prop_map(|(s, protocol, p)| AppEntry {
        selector: Selector::from_code(s),
        protocol,
        priority: Priority::from_low_bits(p),
    })
}

fn head(subtype: u8) -> impl Strategy<Value = FeatureHead> {
    (any::<[u8; 2]>(), any::<[bool; 3]>()).prop_map(move |(v, b)| FeatureHead {
        oper_version: v[0],
        max_version: v[1],
        enable: b[0],
        willing: b[1],
        error: b[2],
        subtype,
    })
}

fn control() -> impl Strategy<Value = Control> {
    any::<(u8, u8, u32, u32)>().prop_map(|(oper_version, max_version, seq, ack)| Control {
        oper_version,
        max_version,
        seq,
        ack,
    })
}

fn cee() -> impl Strategy<Value = Tlv> {
    let group = prop_oneof![4 => 0..8_u8, 1 => Just(15_u8)];
    let pg = (head(0), prop::array::uniform8(group), shares(), any::<u8>())
        .prop_map(|(h, g, s, n)| (h, PriorityGroups::new(g, s, n).unwrap()));
    let pfc = (head(0), any::<u8>(), any::<u8>())
        .prop_map(|(h, e, max_priorities)| (h, LegacyPfc { enabled: PrioritySet(e), max_priorities }));
    let app = (0..4_u8, any::<u16>(), any::<[u8; 3]>(), any::<u8>()).prop_map(
        |(selector, protocol, o, priorities)| CeeApp {
            selector,
            protocol,
            oui: [o[0] & 0xfc, o[1], o[2]],
            priorities,
        },
    );
    let apps = (head(0), prop::collection::vec(app, 0..=CeeApps::MAX))
        .prop_map(|(h, a)| (h, CeeApps::new(a).unwrap()));
    (control(), prop::option::of(pg), prop::option::of(pfc), prop::option::of(apps))
        .prop_map(|(c, pg, pfc, app)| Tlv::Cee(CeeMessage::new(c, pg, pfc, app)))
}

fn cin() -> impl Strategy<Value = Tlv> {
    let priority = (0..8_u8, 0..4_u8, any::<u8>()).prop_map(|(group, strict, percent)| CinPriority {
        group,
        strict,
        percent,
    });
    let pg = (head(0), shares(), prop::array::uniform8(priority))
        .prop_map(|(h, s, p)| (h, BandwidthGroups::new(s, p).unwrap()));
    let pfc = (head(0), any::<u8>())
        .prop_map(|(h, e)| (h, LegacyPfc { enabled: PrioritySet(e), max_priorities: 0 }));
    let app = |n| prop::option::of((head(n), any::<u8>().prop_map(PrioritySet)));
    (control(), prop::option::of(pg), prop::option::of(pfc), app(0), app(1), app(2))
        .prop_map(|(c, pg, pfc, a, b, d)| Tlv::Cin(CinMessage::new(c, pg, pfc, [a, b, d])))
}

fn dcbx() -> impl Strategy<Value = Tlv> {
    let vlan = (1..=4094_u16, 0..8_u8, any::<u16>()).prop_map(|(vid, s, protocol)| AppVlanEntry {
        vid,
        selector: Selector::from_code(s),
        protocol,
    });
    prop_oneof![
        (any::<bool>(), any::<bool>(), 1..=8_u8, ets())
            .prop_map(|(w, c, n, t)| Tlv::EtsConfiguration(EtsConfiguration::new(w, c, n, t))),
        ets().prop_map(Tlv::EtsRecommendation),
        any::<(bool, bool, u8, u8)>().prop_filter_map("over capability", |(w, m, c, e)| {
            Pfc::new(w, m, c, PrioritySet(e)).ok().map(Tlv::Pfc)
        }),
        prop::collection::vec(app_entry(), 0..=AppTable::MAX)
            .prop_map(|v| Tlv::AppPriority(AppTable::new(v).unwrap())),
        prop::collection::vec(vlan, 0..=AppVlanTable::MAX)
            .prop_map(|v| Tlv::AppVlan(AppVlanTable::new(v).unwrap())),
        any::<(u8, u8)>().prop_map(|(c, r)| {
            Tlv::CongestionNotification(CongestionNotification::new(PrioritySet(c), PrioritySet(r)))
        }),
        cee(),
        cin(),
    ]
}

fn bytes(len: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), len)
}

fn basic() -> impl Strategy<Value = Tlv> {
    let raw = (9..=126_u8, bytes(0..=511)).prop_map(|(t, v)| Tlv::Unknown(RawTlv::new(t, &v).unwrap()));
    let foreign = bytes(0..=507).prop_map(|mut v| {
        v.splice(0..0, [0xaa, 0xbb, 0xcc]);
        Tlv::Unknown(RawTlv::new(127, &v).unwrap())
    });
    prop_oneof![
        ".{0,300}".prop_map(|s| Tlv::SystemName(Text::new(&s))),
        ".{0,300}".prop_map(|s| Tlv::SystemDescription(Text::new(&s))),
        ".{0,300}".prop_map(|s| Tlv::PortDescription(Text::new(&s))),
        any::<(u16, u16)>().prop_map(|(s, e)| Tlv::Capabilities(Capabilities::new(s, e))),
        (any::<u8>(), bytes(1..=31), any::<u32>())
            .prop_map(|(f, a, i)| Tlv::ManagementAddress(ManagementAddress::new(f, &a, i).unwrap())),
        any::<u16>().prop_map(Tlv::Pvid),
        any::<u16>().prop_map(Tlv::MaxFrameSize),
        (1..=4094_u16, bytes(1..=32)).prop_map(|(v, n)| Tlv::VlanName(VlanName::new(v, &n).unwrap())),
        any::<(u8, u32, bool)>().prop_map(|(status, port, in_8023_form)| Tlv::LinkAggregation(
            LinkAggregation { status, port, in_8023_form }
        )),
        raw,
        foreign,
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_tlv_survives(tlv in prop_oneof![dcbx(), basic()]) {
        let bytes = tlv.to_bytes();
        prop_assert!(bytes.len() <= 513);
        let mut walk = TlvIter::new(&bytes);
        let view = walk.next().unwrap().unwrap();
        prop_assert_eq!(walk.next(), None);
        prop_assert_eq!(Tlv::parse(view), Ok(tlv));
    }

    #[test]
    fn every_lldpdu_survives(
        chassis in (any::<u8>(), bytes(1..=255)),
        port in (any::<u8>(), bytes(1..=255)),
        ttl in any::<u16>(),
        tlvs in prop::collection::vec(prop_oneof![dcbx(), basic()], 0..6),
    ) {
        let pdu = Lldpdu {
            chassis: ChassisId::new(chassis.0, &chassis.1).unwrap(),
            port: PortId::new(port.0, &port.1).unwrap(),
            ttl,
            tlvs,
        };
        let (bytes, left_out) = pdu.emit();
        prop_assert!(bytes.len() <= 1500);
        let (parsed, faults) = Lldpdu::parse(&PduView::new_checked(&bytes).unwrap()).unwrap();
        prop_assert!(faults.is_empty());
        prop_assert_eq!(parsed.tlvs.len() + left_out, pdu.tlvs.len());
        if left_out == 0 {
            prop_assert_eq!(parsed, pdu);
        }
    }

    /// Bytes that parse and come out again parse to the same thing (reserved bits may be cleaned).
    #[test]
    fn parsing_is_stable(ty in 4..=127_u8, oui in 0..4_usize, subtype in 0..20_u8, mut v in bytes(0..=507)) {
        if ty == 127 {
            let ouis = [[0, 0x80, 0xc2], [0, 0x12, 0x0f], [0, 0x1b, 0x21], [1, 2, 3]];
            let [a, b, c] = ouis[oui];
            v.splice(0..0, [a, b, c, subtype]);
        }
        let raw = Tlv::Unknown(RawTlv::new(ty, &v).unwrap()).to_bytes();
        if let Ok(tlv) = Tlv::parse(TlvIter::new(&raw).next().unwrap().unwrap()) {
            let again = tlv.to_bytes();
            prop_assert_eq!(Tlv::parse(TlvIter::new(&again).next().unwrap().unwrap()), Ok(tlv));
        }
    }
}
