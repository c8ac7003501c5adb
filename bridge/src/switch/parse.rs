//! Step 1: what a frame is. Every header is looked at once; later steps read `Frame`.
//!
//! What is not understood is not an error: a switch forwards it. Only what can't be an Ethernet frame is refused, and
//! offload headers that contradict the frame, since superframes will be cut by them.

use dcbridge_scheduler::Shape;
use etherparse::{IpNumber, Ipv4HeaderSlice, Ipv6ExtensionsSlice, Ipv6HeaderSlice, SingleVlanHeaderSlice};

use super::books::Reason;
use crate::port::{GSO_ECN, NEEDS_CSUM, VnetHeader};

/// Bytes of an Ethernet header.
pub const ETHERNET: usize = 14;
/// Bytes of a VLAN tag.
pub const TAG: usize = 4;
/// Ethertype of a C-VLAN tag.
pub const C_TAG: u16 = 0x8100;
const S_TAG: u16 = 0x88A8;
const OLD_S_TAG: u16 = 0x9100;

const GSO_TCP4: u8 = 1;
const GSO_TCP6: u8 = 4;
const GSO_UDP: u8 = 5;
/// More segments than any sender makes; bounds what one small read can turn into.
const MAX_SEGMENTS: usize = 4096;

/// The outer C-VLAN tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Priority code point.
    pub pcp: u8,
    /// Drop eligible.
    pub dei: bool,
    /// VLAN; 0 in a priority tag.
    pub vid: u16,
}

/// What a frame's IP header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ip {
    /// IPv6, else IPv4.
    pub v6: bool,
    /// Protocol behind extension headers.
    pub protocol: u8,
    /// Differentiated services code point.
    pub dscp: u8,
    /// Source and destination port (TCP, UDP, DCCP, SCTP); none in later fragments.
    pub ports: Option<(u16, u16)>,
    /// Where the transport header begins.
    pub l4: u16,
}

/// A frame, understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// All of it, as received: of a superframe, with its headers once.
    pub bytes: &'a [u8],
    /// Destination.
    pub dst: [u8; 6],
    /// Source.
    pub src: [u8; 6],
    /// Outer C-VLAN tag.
    pub tag: Option<Tag>,
    /// Ethertype behind all tags.
    pub ethertype: u16,
    /// Where the network header begins.
    pub l3: u16,
    /// The IP header, if there is a whole one.
    pub ip: Option<Ip>,
    /// Segments.
    pub shape: Shape,
    /// Bytes of all headers that each segment repeats; 0 for plain frames.
    pub segment_headers: u16,
}

impl Frame<'_> {
    /// Source and destination of the IP header, if there is one; IPv4 in the low 32 bits.
    pub fn ip_addresses(&self) -> Option<(u128, u128)> {
        let header = self.bytes.get(usize::from(self.l3)..)?;
        if self.ip?.v6 {
            let (src, behind) = header.get(8..)?.split_first_chunk()?;
            Some((u128::from_be_bytes(*src), u128::from_be_bytes(*behind.first_chunk()?)))
        } else {
            let (src, behind) = header.get(12..)?.split_first_chunk()?;
            let (src, dst) = (u32::from_be_bytes(*src), u32::from_be_bytes(*behind.first_chunk()?));
            Some((src.into(), dst.into()))
        }
    }

    /// Length of the longest segment behind its Ethernet header and outer tag: what an MTU limits.
    pub fn l3_len(&self) -> u32 {
        let l2 = ETHERNET + if self.tag.is_some() { TAG } else { 0 };
        self.shape.seg_len.max(self.shape.last_len).saturating_sub(l2 as u32)
    }
}

/// Understands a frame.
///
/// # Errors
/// Why it can't be a frame.
#[allow(clippy::inline_always)] // What it answers is large: to hand it on costs a third of finding it out.
#[inline(always)]
pub fn parse<'a>(bytes: &'a [u8], vnet: &VnetHeader) -> Result<Frame<'a>, Reason> {
    let Some((&dst, behind)) = bytes.split_first_chunk::<6>() else { return Err(Reason::Runt) };
    let Some((&src, behind)) = behind.split_first_chunk::<6>() else { return Err(Reason::Runt) };
    let Some(&outer) = behind.first_chunk::<2>() else { return Err(Reason::Runt) };
    let mut ethertype = u16::from_be_bytes(outer);
    let mut l3 = ETHERNET;
    let mut tag = None;
    let mut more_tags = 4;
    if ethertype == C_TAG
        && let Ok(vlan) = SingleVlanHeaderSlice::from_slice(&bytes[l3..])
    {
        tag = Some(Tag {
            pcp: vlan.priority_code_point().value(),
            dei: vlan.drop_eligible_indicator(),
            vid: vlan.vlan_identifier().value(),
        });
        ethertype = vlan.ether_type().0;
        l3 += TAG;
        more_tags -= 1;
    }
    if is_tag(ethertype) {
        (ethertype, l3) = skip_tags(bytes, ethertype, l3, more_tags);
    }
    let ip = match ethertype {
        0x0800 => ipv4(bytes, l3),
        0x86DD => ipv6(bytes, l3),
        _ => None,
    };
    let len = bytes.len() as u32;
    let plain = vnet.flags & NEEDS_CSUM == 0 && vnet.gso_type & !GSO_ECN == 0;
    let (shape, segment_headers) = if plain {
        (Shape::frame(len), 0)
    } else {
        check_offload(ip, bytes, vnet).ok_or(Reason::BadOffload)?
    };
    Ok(Frame { bytes, dst, src, tag, ethertype, l3: l3 as u16, ip, shape, segment_headers })
}

fn is_tag(ethertype: u16) -> bool {
    matches!(ethertype, C_TAG | S_TAG | OLD_S_TAG)
}

/// The outer C-VLAN tag is ours; others are passed over, to see what is carried: the ethertype behind `most` of them at most,
/// and where it ends.
#[inline(never)]
fn skip_tags(bytes: &[u8], mut ethertype: u16, mut l3: usize, most: usize) -> (u16, usize) {
    for _ in 0..most {
        if !is_tag(ethertype) {
            break;
        }
        let Ok(vlan) = SingleVlanHeaderSlice::from_slice(&bytes[l3..]) else { break };
        ethertype = vlan.ether_type().0;
        l3 += TAG;
    }
    (ethertype, l3)
}

fn ipv4(bytes: &[u8], l3: usize) -> Option<Ip> {
    let header = Ipv4HeaderSlice::from_slice(&bytes[l3..]).ok()?;
    let protocol = header.protocol().0;
    let l4 = l3 + header.slice().len();
    let first = header.fragments_offset().value() == 0;
    Some(Ip {
        v6: false,
        protocol,
        dscp: header.dcp().value(),
        ports: if first { ports(protocol, &bytes[l4..]) } else { None },
        l4: l4 as u16,
    })
}

#[inline]
fn ipv6(bytes: &[u8], l3: usize) -> Option<Ip> {
    let header = Ipv6HeaderSlice::from_slice(&bytes[l3..]).ok()?;
    let behind = l3 + header.slice().len();
    let next = header.next_header();
    let (protocol, l4, fragment) =
        if is_extension(next) { behind_extensions(bytes, behind, next) } else { (next, behind, false) };
    Some(Ip {
        v6: true,
        protocol: protocol.0,
        dscp: header.dscp().value(),
        ports: if fragment { None } else { ports(protocol.0, &bytes[l4..]) },
        l4: l4 as u16,
    })
}

/// The protocol behind the extension headers that begin at `at`, where its header begins, and whether the packet is a
/// fragment. Of extensions that are not whole there is nothing behind.
#[inline(never)]
fn behind_extensions(bytes: &[u8], at: usize, first: IpNumber) -> (IpNumber, usize, bool) {
    match Ipv6ExtensionsSlice::from_slice(first, &bytes[at..]) {
        Ok((extensions, protocol, payload)) => {
            (protocol, bytes.len() - payload.len(), extensions.is_fragmenting_payload())
        }
        Err(_) => (first, bytes.len(), false),
    }
}

fn is_extension(next: IpNumber) -> bool {
    matches!(next.0, 0 | 43 | 44 | 51 | 60 | 135 | 139 | 140)
}

fn ports(protocol: u8, l4: &[u8]) -> Option<(u16, u16)> {
    // TCP, UDP, DCCP, SCTP: all begin with their two ports.
    if !matches!(protocol, 6 | 17 | 33 | 132) {
        return None;
    }
    let &[a, b, c, d] = l4.first_chunk::<4>()?;
    Some((u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])))
}

/// Checks the offload header against the frame and answers the segments and the bytes of headers that each of them repeats.
/// `None`: they contradict.
#[inline(never)]
fn check_offload(ip: Option<Ip>, bytes: &[u8], vnet: &VnetHeader) -> Option<(Shape, u16)> {
    if vnet.flags & NEEDS_CSUM != 0 {
        let start = usize::from(vnet.csum_start);
        let field = start + usize::from(vnet.csum_offset);
        if start < ETHERNET || field + 2 > bytes.len() {
            return None;
        }
    }
    let kind = vnet.gso_type & !GSO_ECN;
    if kind == 0 {
        return Some((Shape::frame(bytes.len() as u32), 0));
    }
    let ip = ip?;
    let l4 = usize::from(ip.l4);
    let transport = match (kind, ip.v6, ip.protocol) {
        (GSO_TCP4, false, 6) | (GSO_TCP6, true, 6) => usize::from(bytes.get(l4 + 12)? >> 4) * 4,
        (GSO_UDP, _, 17) => 8,
        _ => return None,
    };
    // Each segment will carry a checksum of its own: it has to be at the place where its protocol has it.
    let field = if ip.protocol == 6 { 16 } else { 6 };
    if vnet.flags & NEEDS_CSUM == 0
        || usize::from(vnet.csum_start) != l4
        || vnet.csum_offset != field
        || (ip.protocol == 6 && transport < 20)
    {
        return None;
    }
    let headers = l4 + transport;
    let payload = bytes.len().checked_sub(headers)?;
    let size = usize::from(vnet.gso_size);
    if size == 0 || payload == 0 {
        return None;
    }
    let segs = payload.div_ceil(size);
    if segs > MAX_SEGMENTS {
        return None;
    }
    let last = payload - (segs - 1) * size;
    let shape = Shape {
        segs: segs as u16,
        seg_len: (headers + size.min(payload)) as u32,
        last_len: (headers + last) as u32,
    };
    Some((shape, headers as u16))
}
