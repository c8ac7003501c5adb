//! The Internet checksum (RFC 1071) and the pseudo headers of TCP and UDP (RFC 9293, RFC 8200 8.1).

/// Adds the words of `bytes` to a sum; an odd last byte counts as the high half of a word.
pub fn sum(start: u64, bytes: &[u8]) -> u64 {
    let mut sum = start;
    let mut quads = bytes.chunks_exact(4);
    for quad in &mut quads {
        sum += u64::from(u32::from_be_bytes([quad[0], quad[1], quad[2], quad[3]]));
    }
    let mut rest = quads.remainder().chunks_exact(2);
    for pair in &mut rest {
        sum += u64::from(u16::from_be_bytes([pair[0], pair[1]]));
    }
    if let [last] = rest.remainder() {
        sum += u64::from(*last) << 8;
    }
    sum
}

/// Folds a sum into 16 bits.
pub fn fold(mut sum: u64) -> u16 {
    while sum > 0xFFFF {
        sum = (sum & 0xFFFF) + (sum >> 16);
    }
    sum as u16
}

/// The checksum of a sum.
pub fn finish(sum: u64) -> u16 {
    !fold(sum)
}

/// The folded sum of the pseudo header of an IP header's addresses, a protocol and a transport length: what an
/// unfinished checksum holds.
pub fn pseudo_header(ip: &[u8], v6: bool, protocol: u8, l4_len: u32) -> u16 {
    let addresses = if v6 { &ip[8..40] } else { &ip[12..20] };
    fold(sum(u64::from(protocol) + u64::from(l4_len), addresses))
}
