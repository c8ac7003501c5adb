//! Frames for scenarios: built by etherparse, so that what the switch does is checked against somebody else's idea of
//! a packet.

use etherparse::{PacketBuilder, VlanId, VlanPcp};

use super::Packet;
use crate::port::VnetHeader;

/// The address of host `n`: `02:00:00:00:hi:lo`.
pub fn mac(n: u16) -> [u8; 6] {
    let [hi, lo] = n.to_be_bytes();
    [0x02, 0, 0, 0, hi, lo]
}

/// A frame in the making.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// Source and destination host.
    pub from: u16,
    /// Destination host; `None`: broadcast.
    pub to: Option<u16>,
    /// (VID, PCP) of a tag.
    pub tag: Option<(u16, u8)>,
    /// DSCP.
    pub dscp: u8,
    /// IPv6, else IPv4.
    pub v6: bool,
    /// Ports of the transport header.
    pub ports: (u16, u16),
    /// Length of the frame without FCS, at least 60; for superframes of each segment.
    pub len: usize,
}

impl Default for Spec {
    fn default() -> Self {
        Spec { from: 1, to: Some(2), tag: None, dscp: 0, v6: false, ports: (1000, 2000), len: 1514 }
    }
}

impl Spec {
    fn builder(&self) -> etherparse::PacketBuilderStep<etherparse::IpHeaders> {
        let ethernet = PacketBuilder::ethernet2(mac(self.from), self.to.map_or([0xFF; 6], mac));
        let ip = self.ip();
        match self.tag {
            None => ethernet.ip(ip),
            Some((vid, pcp)) => ethernet
                .vlan(etherparse::VlanHeader::Single(etherparse::SingleVlanHeader {
                    pcp: VlanPcp::try_new(pcp & 7).unwrap_or_default(),
                    drop_eligible_indicator: false,
                    vlan_id: VlanId::try_new(vid & 0xFFF).unwrap_or_default(),
                    ether_type: 0.into(),
                }))
                .ip(ip),
        }
    }

    fn ip(&self) -> etherparse::IpHeaders {
        let dscp = etherparse::IpDscp::try_new(self.dscp & 63).unwrap_or_default();
        let [a, b] = self.from.to_be_bytes();
        let [c, d] = self.to.unwrap_or(0xFFFF).to_be_bytes();
        if self.v6 {
            let address = |hi: u8, lo: u8| {
                let mut address = [0; 16];
                address[0] = 0xFD;
                address[14] = hi;
                address[15] = lo;
                address
            };
            let mut header = etherparse::Ipv6Header {
                hop_limit: 64,
                source: address(a, b),
                destination: address(c, d),
                ..Default::default()
            };
            header.set_dscp(dscp);
            etherparse::IpHeaders::Ipv6(header, etherparse::Ipv6Extensions::default())
        } else {
            let header = etherparse::Ipv4Header {
                dscp,
                time_to_live: 64,
                identification: 7,
                source: [10, 0, a, b],
                destination: [10, 0, c, d],
                ..Default::default()
            };
            etherparse::IpHeaders::Ipv4(header, etherparse::Ipv4Extensions::default())
        }
    }

    /// Bytes before a UDP payload.
    fn udp_headers(&self) -> usize {
        14 + if self.tag.is_some() { 4 } else { 0 } + if self.v6 { 40 } else { 20 } + 8
    }

    /// A UDP frame that carries `mark` at the beginning of its payload.
    pub fn udp(&self, mark: u64) -> Packet {
        let mut payload = vec![0; self.len.max(60).saturating_sub(self.udp_headers())];
        for (byte, value) in payload.iter_mut().zip(mark.to_be_bytes()) {
            *byte = value;
        }
        let builder = self.builder().udp(self.ports.0, self.ports.1);
        let mut bytes = Vec::with_capacity(self.len);
        // Writing to a Vec can't fail, and no payload here is longer than an IP packet.
        let _ = builder.write(&mut bytes, &payload);
        Packet::plain(bytes)
    }

    /// A TCP superframe with `payload`, cut into segments of `len` bytes by whoever needs frames; its checksum is
    /// unfinished, as a kernel hands it out.
    pub fn tcp_superframe(&self, payload: &[u8]) -> Packet {
        let builder = self.builder().tcp(self.ports.0, self.ports.1, 1_000_000, 65_000).ack(99).psh();
        let mut bytes = Vec::new();
        let _ = builder.write(&mut bytes, payload);
        let headers = bytes.len() - payload.len();
        let kind = if self.v6 { 4 } else { 1 };
        self.unfinished(bytes, headers, 20, 16, kind)
    }

    /// A UDP superframe, likewise.
    pub fn udp_superframe(&self, payload: &[u8]) -> Packet {
        let mut bytes = Vec::new();
        let _ = self.builder().udp(self.ports.0, self.ports.1).write(&mut bytes, payload);
        let headers = bytes.len() - payload.len();
        self.unfinished(bytes, headers, 8, 6, 5)
    }

    fn unfinished(
        &self,
        mut bytes: Vec<u8>,
        headers: usize,
        l4_len: usize,
        field: usize,
        kind: u8,
    ) -> Packet {
        let l4 = headers - l4_len;
        let ip = l4 - if self.v6 { 40 } else { 20 };
        let protocol: u32 = if l4_len == 8 { 17 } else { 6 };
        let (from, to) = if self.v6 { (ip + 8, ip + 40) } else { (ip + 12, ip + 20) };
        let mut sum = protocol + (bytes.len() - l4) as u32;
        for pair in bytes[from..to].chunks(2) {
            sum += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        while sum > 0xFFFF {
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
        bytes[l4 + field..l4 + field + 2].copy_from_slice(&(sum as u16).to_be_bytes());
        let vnet = VnetHeader {
            flags: 1,
            gso_type: kind,
            hdr_len: headers as u16,
            gso_size: (self.len - headers) as u16,
            csum_start: l4 as u16,
            csum_offset: field as u16,
        };
        Packet { bytes, vnet }
    }
}

/// The mark of a UDP frame of `Spec::udp`, if it has one.
pub fn mark(bytes: &[u8]) -> Option<u64> {
    let sliced = etherparse::SlicedPacket::from_ethernet(bytes).ok()?;
    let Some(etherparse::TransportSlice::Udp(udp)) = sliced.transport else { return None };
    Some(u64::from_be_bytes(*udp.payload().first_chunk::<8>()?))
}
