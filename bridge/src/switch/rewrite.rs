//! Step 8: what leaves. Tags, priority marks, and pieces of superframes.
//!
//! Bytes in the arena are never changed here: a copy that has to differ carries a head of its own and a slice of the
//! body. Most frames differ in nothing and are sent as they came.

use dcbridge_config as config;
use dcbridge_scheduler::{FrameId, Grant, Priority};

use super::books::Reason;
use super::checksum;
use super::parse::{C_TAG, ETHERNET, Frame, TAG, Tag};
use super::vlan::TagAction;
use crate::port::{MAX_HEAD, NEEDS_CSUM, TxDesc, VnetHeader};

/// Bytes of both addresses.
const ADDRESSES: usize = 12;
const TCP: u8 = 6;
const TCP_FIN_PSH: u8 = 0x01 | 0x08;
const TCP_CWR: u8 = 0x80;

/// What is remembered of a frame until its last copy has left.
#[derive(Clone, Copy, Debug)]
pub struct Remembered {
    /// Its VLAN.
    pub vid: u16,
    /// The tag it came with.
    pub tag: Option<Tag>,
    /// Where its network header begins.
    l3: u16,
    /// Where its transport header begins; 0: no IP.
    l4: u16,
    v6: bool,
    protocol: u8,
    dscp: u8,
    /// Headers that each segment repeats; 0: a plain frame.
    headers: u16,
}

impl Remembered {
    /// Nothing.
    pub const EMPTY: Remembered =
        Remembered { vid: 0, tag: None, l3: 0, l4: 0, v6: false, protocol: 0, dscp: 0, headers: 0 };

    /// Of a frame of VLAN `vid`.
    pub fn new(frame: &Frame, vid: u16) -> Remembered {
        let (l4, v6, protocol, dscp) =
            frame.ip.map_or((0, false, 0, 0), |ip| (ip.l4, ip.v6, ip.protocol, ip.dscp));
        Remembered {
            vid,
            tag: frame.tag,
            l3: frame.l3,
            l4,
            v6,
            protocol,
            dscp,
            headers: frame.segment_headers,
        }
    }
}

/// How one port sends.
#[derive(Clone)]
pub struct Egress {
    /// Whether it takes superframes and unfinished checksums.
    pub offload: bool,
    rewrite_pcp: bool,
    rewrite_dscp: bool,
    pcp: [u8; 8],
    dscp: [Option<u8>; 8],
}

impl Egress {
    /// From the configuration.
    pub fn new(port: &config::Port, maps: &config::Maps, offload: bool) -> Egress {
        Egress {
            offload,
            rewrite_pcp: port.rewrite_pcp,
            rewrite_dscp: port.rewrite_dscp,
            pcp: maps.priority_to_pcp,
            dscp: maps.priority_to_dscp,
        }
    }

    /// The outer tag that a frame leaves with, or that it keeps what it has.
    fn tag(&self, action: TagAction, frame: &Remembered, priority: Priority) -> NewTag {
        let written = self.pcp[priority.index()];
        match (action, frame.tag) {
            (TagAction::Keep, Some(tag)) if self.rewrite_pcp && tag.pcp != written => {
                NewTag::Set(tag.vid, written, tag.dei)
            }
            (TagAction::Keep, _) => NewTag::Keep,
            (TagAction::Pop, _) => NewTag::None,
            (TagAction::Set, Some(tag)) if !self.rewrite_pcp => NewTag::Set(frame.vid, tag.pcp, tag.dei),
            (TagAction::Set, tag) => NewTag::Set(frame.vid, written, tag.is_some_and(|t| t.dei)),
        }
    }

    /// The DSCP to write, if it has to change.
    fn dscp(&self, frame: &Remembered, priority: Priority) -> Option<u8> {
        let wanted = self.dscp[priority.index()].filter(|_| self.rewrite_dscp && frame.l4 != 0)?;
        (wanted != frame.dscp).then_some(wanted)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum NewTag {
    Keep,
    None,
    Set(u16, u8, bool),
}

/// By how many bytes a frame's length changes at a port.
pub fn growth(action: TagAction, tag: Option<Tag>) -> i32 {
    match (action, tag) {
        (TagAction::Set, None) => TAG as i32,
        (TagAction::Pop, Some(_)) => -(TAG as i32),
        _ => 0,
    }
}

/// A frame with a head of its own, in the making.
struct Rewritten<'a> {
    bytes: &'a [u8],
    frame: &'a Remembered,
    desc: &'a mut TxDesc,
    /// How far headers moved.
    shift: isize,
}

/// What a granted piece looks like on the wire: all of `desc`.
///
/// # Errors
/// `CannotRewrite` when the headers that have to change don't fit into a head.
pub fn rewrite(
    bytes: &[u8],
    vnet: VnetHeader,
    frame: &Remembered,
    grant: &Grant,
    egress: &Egress,
    action: TagAction,
    desc: &mut TxDesc,
) -> Result<(), Reason> {
    let tag = egress.tag(action, frame, grant.priority);
    let dscp = egress.dscp(frame, grant.priority);
    let piece = frame.headers > 0 && (grant.from > 0 || !grant.last);
    let finish = !egress.offload && vnet.flags & NEEDS_CSUM != 0;
    if tag == NewTag::Keep && dscp.is_none() && !piece && !finish {
        // Without offloads a port is told nothing about them.
        let told = if egress.offload { vnet } else { VnetHeader::default() };
        whole(desc, grant.id, bytes.len(), told);
        return Ok(());
    }
    let old_tag = if frame.tag.is_some() { TAG } else { 0 };
    let copied = if piece || (finish && frame.headers > 0) {
        usize::from(frame.headers)
    } else {
        let checksum =
            if finish { usize::from(vnet.csum_start) + usize::from(vnet.csum_offset) + 2 } else { 0 };
        let ip = if dscp.is_some() { usize::from(frame.l4) } else { 0 };
        checksum.max(ip).max(ADDRESSES + old_tag)
    };
    whole(desc, grant.id, bytes.len(), vnet);
    let mut out = Rewritten { bytes, frame, desc, shift: 0 };
    out.begin(tag, old_tag, copied)?;
    if let Some(dscp) = dscp {
        out.set_dscp(dscp);
    }
    if piece {
        out.cut(grant, vnet.gso_size);
    }
    if dscp.is_some() || piece {
        out.finish_ip();
    }
    if finish {
        out.finish_checksum();
    }
    if !egress.offload {
        out.desc.vnet = VnetHeader::default();
    }
    Ok(())
}

/// A frame as it came.
fn whole(desc: &mut TxDesc, id: FrameId, len: usize, vnet: VnetHeader) {
    let TxDesc { head: _, head_len, body, off, len: all, vnet: told } = desc;
    (*head_len, *body, *off, *all, *told) = (0, id, 0, len as u32, vnet);
}

impl Rewritten<'_> {
    /// Copies the headers up to `copied` into the head, with the new tag.
    fn begin(&mut self, tag: NewTag, old_tag: usize, copied: usize) -> Result<(), Reason> {
        let head = &mut self.desc.head;
        let rest_from = if tag == NewTag::Keep { ADDRESSES } else { ADDRESSES + old_tag };
        let new_tag = if matches!(tag, NewTag::Set(..)) { TAG } else { 0 };
        let rest = self.bytes.get(rest_from..copied).ok_or(Reason::CannotRewrite)?;
        let len = ADDRESSES + new_tag + rest.len();
        if len > MAX_HEAD {
            return Err(Reason::CannotRewrite);
        }
        head[..ADDRESSES].copy_from_slice(&self.bytes[..ADDRESSES]);
        if let NewTag::Set(vid, pcp, dei) = tag {
            let tci = u16::from(pcp & 7) << 13 | u16::from(dei) << 12 | vid & 0xFFF;
            head[ADDRESSES..ADDRESSES + 2].copy_from_slice(&C_TAG.to_be_bytes());
            head[ADDRESSES + 2..ADDRESSES + TAG].copy_from_slice(&tci.to_be_bytes());
        }
        head[ADDRESSES + new_tag..len].copy_from_slice(rest);
        self.desc.head_len = len as u8;
        self.desc.off = copied as u32;
        self.desc.len = (self.bytes.len() - copied) as u32;
        self.shift = len as isize - copied as isize;
        let vnet = &mut self.desc.vnet;
        if vnet.flags & NEEDS_CSUM != 0 {
            vnet.csum_start = vnet.csum_start.wrapping_add_signed(self.shift as i16);
        }
        if vnet.hdr_len != 0 {
            vnet.hdr_len = vnet.hdr_len.saturating_add_signed(self.shift as i16);
        }
        Ok(())
    }

    /// The head from a header's place in the original on.
    fn at(&mut self, original: u16) -> &mut [u8] {
        let from = usize::from(original).saturating_add_signed(self.shift);
        &mut self.desc.head[from..usize::from(self.desc.head_len)]
    }

    fn set_dscp(&mut self, dscp: u8) {
        let v6 = self.frame.v6;
        let ip = self.at(self.frame.l3);
        if v6 {
            let word = u16::from_be_bytes([ip[0], ip[1]]) & !0x0FC0 | u16::from(dscp) << 6;
            ip[..2].copy_from_slice(&word.to_be_bytes());
        } else {
            ip[1] = dscp << 2 | ip[1] & 3;
        }
    }

    /// Makes the head and the slice of the payload that the segments of `grant` are.
    fn cut(&mut self, grant: &Grant, gso_size: u16) {
        let frame = self.frame;
        let size = u32::from(gso_size);
        let from = u32::from(grant.from) * size;
        let payload = (self.bytes.len() - usize::from(frame.headers)) as u32;
        let len = if grant.last { payload - from } else { u32::from(grant.to - grant.from) * size };
        self.desc.off = u32::from(frame.headers) + from;
        self.desc.len = len;
        let l4_len = u32::from(frame.headers - frame.l4) + len;
        let ip_len = u32::from(frame.l4 - frame.l3) + l4_len;
        let ip = self.at(frame.l3);
        if frame.v6 {
            ip[4..6].copy_from_slice(&((ip_len - 40) as u16).to_be_bytes());
        } else {
            ip[2..4].copy_from_slice(&(ip_len as u16).to_be_bytes());
            let id = u16::from_be_bytes([ip[4], ip[5]]).wrapping_add(grant.from);
            ip[4..6].copy_from_slice(&id.to_be_bytes());
        }
        let pseudo = checksum::pseudo_header(
            &ip[..usize::from(frame.l4 - frame.l3)],
            frame.v6,
            frame.protocol,
            l4_len,
        );
        let l4 = self.at(frame.l4);
        if frame.protocol == TCP {
            let sequence = u32::from_be_bytes([l4[4], l4[5], l4[6], l4[7]]).wrapping_add(from);
            l4[4..8].copy_from_slice(&sequence.to_be_bytes());
            if !grant.last {
                l4[13] &= !TCP_FIN_PSH;
            }
            if grant.from > 0 {
                l4[13] &= !TCP_CWR;
            }
            l4[16..18].copy_from_slice(&pseudo.to_be_bytes());
        } else {
            l4[4..6].copy_from_slice(&(l4_len as u16).to_be_bytes());
            l4[6..8].copy_from_slice(&pseudo.to_be_bytes());
        }
        // The kernel hints at what lay in one piece of its memory, which may be more than is left; a device refuses that.
        self.desc.vnet.hdr_len = u16::from(self.desc.head_len);
        if grant.to - grant.from == 1 {
            self.desc.vnet.gso_type = 0;
            self.desc.vnet.gso_size = 0;
        }
    }

    /// The IPv4 header's checksum.
    fn finish_ip(&mut self) {
        if self.frame.v6 {
            return;
        }
        let len = usize::from(self.frame.l4 - self.frame.l3);
        let ip = &mut self.at(self.frame.l3)[..len];
        ip[10..12].fill(0);
        let sum = checksum::finish(checksum::sum(0, ip));
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
    }

    /// The transport checksum, over all that leaves: for ports that take no offloads.
    fn finish_checksum(&mut self) {
        let vnet = self.desc.vnet;
        let start = usize::from(vnet.csum_start);
        let field = start + usize::from(vnet.csum_offset);
        let head_len = usize::from(self.desc.head_len);
        let body = &self.bytes[self.desc.off as usize..(self.desc.off + self.desc.len) as usize];
        let head = &self.desc.head[start..head_len];
        let sum = if head.len().is_multiple_of(2) {
            checksum::sum(checksum::sum(0, head), body)
        } else {
            // An odd head: its last byte and the body's first make one word.
            let (whole, last) = head.split_at(head.len() - 1);
            let first = body.first().copied().unwrap_or(0);
            let sum = checksum::sum(checksum::sum(0, whole), &[last[0], first]);
            checksum::sum(sum, body.get(1..).unwrap_or(&[]))
        };
        let mut value = checksum::finish(sum);
        if value == 0 && self.frame.protocol != TCP {
            value = 0xFFFF;
        }
        self.desc.head[field..field + 2].copy_from_slice(&value.to_be_bytes());
    }
}

const _: () =
    assert!(ETHERNET + 2 * TAG + 60 + 60 <= MAX_HEAD, "the longest IPv4 and TCP headers fit into a head");
