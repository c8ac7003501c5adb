//! TLVs byte for byte as reference implementations put them on the wire, and hand-made ones where
//! none of those speaks the TLV.
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
use lldp_dcbx::wire::{ChassisId, Lldpdu, PduView, PortId, Tlv, TlvIter};
use lldp_dcbx::{Mac, Priority, PrioritySet};

fn hex(s: &str) -> Vec<u8> {
    let digits: Vec<u32> = s.chars().filter_map(|c| c.to_digit(16)).collect();
    digits.chunks(2).map(|d| (d[0] << 4 | d[1]) as u8).collect()
}

/// The TLV emits exactly these bytes, and these bytes parse to the TLV.
fn golden(tlv: &Tlv, bytes: &str) {
    let bytes = hex(bytes);
    assert_eq!(tlv.to_bytes(), bytes, "emit {tlv:?}");
    let view = TlvIter::new(&bytes).next().unwrap().unwrap();
    assert_eq!(Tlv::parse(view).as_ref(), Ok(tlv), "parse");
}

fn prio(p: u8) -> Priority {
    Priority::new(p).unwrap()
}

const E: Tsa = Tsa::Ets;
const S: Tsa = Tsa::Strict;

#[test]
fn ieee_as_sent_by_lldpad() {
    let four =
        EtsTable::new([0, 1, 2, 3, 4, 5, 6, 7], [25, 25, 25, 25, 0, 0, 0, 0], [E, E, E, E, S, S, S, S]);
    golden(
        &Tlv::EtsConfiguration(EtsConfiguration::new(false, false, 8, four.unwrap())),
        "fe19 0080c209 00 01234567 1919191900000000 0202020200000000",
    );
    let two = EtsTable::new([0, 1, 2, 3, 0, 0, 0, 0], [60, 40, 0, 0, 0, 0, 0, 0], [E, E, S, S, S, S, S, S]);
    golden(
        &Tlv::EtsRecommendation(two.unwrap()),
        "fe19 0080c20a 00 01230000 3c28000000000000 0202000000000000",
    );
    golden(&Tlv::Pfc(Pfc::new(true, false, 8, PrioritySet(0x18)).unwrap()), "fe06 0080c20b 88 18");
}

#[test]
fn ieee_by_hand() {
    let entries = vec![
        AppEntry { selector: Selector::Ethertype, protocol: 0x8906, priority: prio(3) },
        AppEntry { selector: Selector::AnyPort, protocol: 3260, priority: prio(4) },
        AppEntry { selector: Selector::Dscp, protocol: 46, priority: prio(5) },
    ];
    golden(&Tlv::AppPriority(AppTable::new(entries).unwrap()), "fe0e 0080c20c 00 61 8906 84 0cbc a5 002e");
    let vlans = vec![
        AppVlanEntry { vid: 0x123, selector: Selector::Ethertype, protocol: 0x8906 },
        AppVlanEntry { vid: 4094, selector: Selector::Udp, protocol: 4791 },
    ];
    golden(&Tlv::AppVlan(AppVlanTable::new(vlans).unwrap()), "fe0c 0080c210 1231 8906 ffe3 12b7");
    let cn = CongestionNotification::new(PrioritySet(0x28), PrioritySet(0x20));
    golden(&Tlv::CongestionNotification(cn), "fe06 0080c208 28 20");
}

#[test]
fn max_classes_of_eight_is_zero_on_the_wire() {
    for n in 1..=8_u8 {
        let tlv = Tlv::EtsConfiguration(EtsConfiguration::new(true, true, n, EtsTable::single_class()));
        let zeros = "00000000 0000000000000000 0000000000000000";
        golden(&tlv, &format!("fe19 0080c209 {:02x} {zeros}", 0xc0 | (n % 8)));
    }
}

fn head(enable: bool, willing: bool, error: bool) -> FeatureHead {
    FeatureHead { enable, willing, error, ..FeatureHead::default() }
}

#[test]
fn cee_as_sent_by_lldpad() {
    let control = Control { seq: 1, ack: 1, ..Control::default() };
    let pg = PriorityGroups::new([0, 0, 1, 2, 3, 4, 5, 15], [20, 20, 20, 20, 10, 10, 0, 0], 8).unwrap();
    let pfc = LegacyPfc { enabled: PrioritySet(0x08), max_priorities: 8 };
    let app =
        |selector, protocol, priorities| CeeApp { selector, protocol, oui: [0, 0x1b, 0x21], priorities };
    let apps = CeeApps::new(vec![app(0, 0x8906, 0x08), app(1, 3260, 0x10), app(0, 0x8914, 0x08)]).unwrap();
    let on = head(true, false, false);
    golden(
        &Tlv::Cee(CeeMessage::new(control, Some((on, pg)), Some((on, pfc)), Some((on, apps)))),
        "fe43 001b2102 020a 0000 00000001 00000001 0411 00008000 0012345f 141414140a0a0000 08
         0606 00008000 08 08 0816 00008000 8906 00 1b21 08 0cbc 01 1b21 10 8914 00 1b21 08",
    );
}

#[test]
fn cin_by_hand() {
    let control = Control { seq: 2, ack: 1, ..Control::default() };
    let shared = |group| CinPriority { group, strict: 0, percent: 100 };
    let mut priorities = [0, 1, 2, 3, 4, 5, 6, 7].map(shared);
    priorities[7] = CinPriority { group: 7, strict: 2, percent: 0 };
    let pg = BandwidthGroups::new([20, 20, 20, 20, 10, 10, 0, 0], priorities).unwrap();
    let pfc = LegacyPfc { enabled: PrioritySet(0x08), max_priorities: 0 };
    let iscsi = FeatureHead { subtype: 1, ..head(true, true, true) };
    let apps = [Some((head(true, true, false), PrioritySet(8))), Some((iscsi, PrioritySet(0x10))), None];
    golden(
        &Tlv::Cin(CinMessage::new(
            control,
            Some((head(true, true, false), pg)),
            Some((head(true, false, false), pfc)),
            apps,
        )),
        "fe43 001b2101 020a 0000 00000002 00000001
         041c 0000c000 141414140a0a0000 0064 2064 4064 6064 8064 a064 c064 f000
         0605 00008000 08 0a05 0000c000 08 0a05 0000e001 10",
    );
}

#[test]
fn basic_8021_and_8023() {
    golden(&Tlv::PortDescription(Text::new("to rack 4")), "0809 746f207261636b2034");
    golden(&Tlv::SystemName(Text::new("sw1")), "0a03 737731");
    golden(&Tlv::SystemDescription(Text::new("")), "0c00");
    golden(
        &Tlv::Capabilities(Capabilities::new(
            Capabilities::BRIDGE | Capabilities::ROUTER,
            Capabilities::BRIDGE,
        )),
        "0e04 0014 0004",
    );
    golden(
        &Tlv::ManagementAddress(ManagementAddress::new(1, &[192, 0, 2, 1], 7).unwrap()),
        "100c 05 01 c0000201 02 00000007 00",
    );
    golden(&Tlv::Pvid(100), "fe06 0080c201 0064");
    golden(&Tlv::VlanName(VlanName::new(100, b"storage").unwrap()), "fe0e 0080c203 0064 07 73746f72616765");
    golden(&Tlv::MaxFrameSize(9018), "fe06 00120f04 233a");
    let lag = LinkAggregation { status: 1, port: 0, in_8023_form: true };
    golden(&Tlv::LinkAggregation(lag), "fe09 00120f03 01 00000000");
    let lag = LinkAggregation { status: 3, port: 5, in_8023_form: false };
    golden(&Tlv::LinkAggregation(lag), "fe09 0080c207 03 00000005");
}

#[test]
fn a_whole_lldpdu() {
    let pdu = Lldpdu {
        chassis: ChassisId::mac(Mac([2, 0, 0, 0, 0, 1])),
        port: PortId::interface_name("p0").unwrap(),
        ttl: 121,
        tlvs: vec![Tlv::SystemName(Text::new("sw1"))],
    };
    let (bytes, left_out) = pdu.emit();
    assert_eq!(bytes, hex("0207 04 020000000001 0403 05 7030 0602 0079 0a03 737731 0000"));
    assert_eq!(left_out, 0);
    let padded: Vec<u8> = bytes.iter().copied().chain([0; 20]).collect();
    let without_end = &bytes[..bytes.len() - 2];
    for octets in [&bytes[..], &padded, without_end] {
        let view = PduView::new_checked(octets).unwrap();
        assert_eq!(Lldpdu::parse(&view), Ok((pdu.clone(), vec![])));
    }
}

#[test]
fn tlvs_that_do_not_fit_are_left_out_whole() {
    let text = "x".repeat(255);
    let mut tlvs = vec![Tlv::SystemDescription(Text::new(&text)); 7];
    tlvs.push(Tlv::Pvid(1));
    let pdu =
        Lldpdu { chassis: ChassisId::local("c").unwrap(), port: PortId::local("p").unwrap(), ttl: 1, tlvs };
    let (bytes, left_out) = pdu.emit();
    assert_eq!(left_out, 2, "five of 257 octets fit behind the mandatory ones, and the short one");
    assert!(bytes.len() <= 1500);
    let (parsed, faults) = Lldpdu::parse(&PduView::new_checked(&bytes).unwrap()).unwrap();
    assert_eq!((parsed.tlvs.len(), parsed.tlvs.last(), faults.len()), (6, Some(&Tlv::Pvid(1)), 0));
}
