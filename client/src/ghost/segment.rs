//! IPv4 and TCP headers: bytes into a segment, and a segment into bytes.
//!
//! Only what the path needs: no IP options or fragments are made, and of TCP's options the segment
//! size and the window scale, in a SYN. Everything that is read is checked, both checksums included.

use std::net::Ipv4Addr;

/// The peer has no more to send.
pub(crate) const FIN: u8 = 0x01;
/// Opens a connection.
pub(crate) const SYN: u8 = 0x02;
/// Ends a connection at once.
pub(crate) const RST: u8 = 0x04;
/// Hand this on to the reader.
pub(crate) const PSH: u8 = 0x08;
/// The acknowledgement number means something.
pub(crate) const ACK: u8 = 0x10;

/// Payload of a full segment: an MTU of 1,500 without two headers of 20.
pub(crate) const SEGMENT_BYTES: u16 = 1460;
/// By how much a ghost's window is shifted in all segments but the SYN.
pub(crate) const WINDOW_SCALE: u8 = 7;

const IP_HEADER_BYTES: usize = 20;
const TCP_HEADER_BYTES: usize = 20;
const TCP: u8 = 6;

/// One end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint {
    pub address: Ipv4Addr,
    pub port: u16,
}

/// One segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment<'a> {
    pub source: Endpoint,
    pub destination: Endpoint,
    pub sequence: u32,
    pub acknowledgement: u32,
    pub flags: u8,
    /// As it stands in the header: not scaled yet.
    pub window: u16,
    /// What a SYN says about all later windows.
    pub window_scale: Option<u8>,
    pub payload: &'a [u8],
}

/// Why bytes are no segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Malformed {
    #[error("not an IPv4 packet with TCP in it")]
    Foreign,
    #[error("cut short, or a length field is wrong")]
    Truncated,
    #[error("a checksum is wrong")]
    Checksum,
}

impl Segment<'_> {
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }
}

/// Reads one packet. What an IP length field leaves out is padding.
pub(crate) fn parse(packet: &[u8]) -> Result<Segment<'_>, Malformed> {
    let first = *packet.first().ok_or(Malformed::Truncated)?;
    if first >> 4 != 4 {
        return Err(Malformed::Foreign);
    }
    let header_bytes = usize::from(first & 0x0f) * 4;
    if header_bytes < IP_HEADER_BYTES || packet.len() < header_bytes {
        return Err(Malformed::Truncated);
    }
    let is_fragment = number(packet, 6) & 0x3fff != 0;
    if packet[9] != TCP || is_fragment {
        return Err(Malformed::Foreign);
    }
    let total_bytes = usize::from(number(packet, 2));
    let payload = packet
        .get(header_bytes..total_bytes)
        .ok_or(Malformed::Truncated)?;
    if fold(sum(&packet[..header_bytes])) != 0xffff {
        return Err(Malformed::Checksum);
    }
    parse_tcp(address(packet, 12), address(packet, 16), payload)
}

fn parse_tcp(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    bytes: &[u8],
) -> Result<Segment<'_>, Malformed> {
    if bytes.len() < TCP_HEADER_BYTES {
        return Err(Malformed::Truncated);
    }
    let header_bytes = usize::from(bytes[12] >> 4) * 4;
    if header_bytes < TCP_HEADER_BYTES || bytes.len() < header_bytes {
        return Err(Malformed::Truncated);
    }
    if fold(pseudo_sum(source, destination, bytes.len()) + sum(bytes)) != 0xffff {
        return Err(Malformed::Checksum);
    }
    let (header, payload) = bytes.split_at(header_bytes);
    let end = |address, at| Endpoint {
        address,
        port: number(header, at),
    };
    Ok(Segment {
        source: end(source, 0),
        destination: end(destination, 2),
        sequence: long_number(header, 4),
        acknowledgement: long_number(header, 8),
        flags: header[13],
        window: number(header, 14),
        window_scale: window_scale(&header[TCP_HEADER_BYTES..]),
        payload,
    })
}

/// Walks the options. A scale above 14 is taken for 14, as RFC 7323 has it.
fn window_scale(mut options: &[u8]) -> Option<u8> {
    loop {
        match *options {
            [] | [0, ..] => return None,
            [1, ..] => options = &options[1..],
            [3, 3, scale, ..] => return Some(scale.min(14)),
            [_, length, ..] if length >= 2 => options = options.get(usize::from(length)..)?,
            _ => return None,
        }
    }
}

/// Writes a segment as a packet. A SYN says the segment size, and the window scale where one is given.
pub(crate) fn build(segment: &Segment<'_>, packet: &mut Vec<u8>) {
    packet.clear();
    packet.resize(IP_HEADER_BYTES + TCP_HEADER_BYTES, 0);
    if segment.has(SYN) {
        let [high, low] = SEGMENT_BYTES.to_be_bytes();
        packet.extend([2, 4, high, low]);
        if let Some(scale) = segment.window_scale {
            packet.extend([1, 3, 3, scale]);
        }
    }
    let tcp_header_bytes = packet.len() - IP_HEADER_BYTES;
    packet.extend_from_slice(segment.payload);
    let (ip, tcp) = packet.split_at_mut(IP_HEADER_BYTES);
    write_tcp(segment, tcp_header_bytes, tcp);
    write_ip(segment, tcp.len(), ip);
}

fn write_tcp(segment: &Segment<'_>, header_bytes: usize, tcp: &mut [u8]) {
    tcp[0..2].copy_from_slice(&segment.source.port.to_be_bytes());
    tcp[2..4].copy_from_slice(&segment.destination.port.to_be_bytes());
    tcp[4..8].copy_from_slice(&segment.sequence.to_be_bytes());
    tcp[8..12].copy_from_slice(&segment.acknowledgement.to_be_bytes());
    tcp[12] = (header_bytes as u8 / 4) << 4;
    tcp[13] = segment.flags;
    tcp[14..16].copy_from_slice(&segment.window.to_be_bytes());
    let (source, destination) = (segment.source.address, segment.destination.address);
    let checksum = !fold(pseudo_sum(source, destination, tcp.len()) + sum(tcp));
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
}

fn write_ip(segment: &Segment<'_>, payload_bytes: usize, ip: &mut [u8]) {
    const DO_NOT_FRAGMENT: u8 = 0x40;
    let total_bytes = (IP_HEADER_BYTES + payload_bytes) as u16;
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&total_bytes.to_be_bytes());
    ip[6] = DO_NOT_FRAGMENT;
    ip[8] = 64;
    ip[9] = TCP;
    ip[12..16].copy_from_slice(&segment.source.address.octets());
    ip[16..20].copy_from_slice(&segment.destination.address.octets());
    let checksum = !fold(sum(ip));
    ip[10..12].copy_from_slice(&checksum.to_be_bytes());
}

fn number(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn long_number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn address(bytes: &[u8], at: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(long_number(bytes, at))
}

/// RFC 1071's sum, not yet folded. 64 bits take any packet without a carry.
fn sum(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<4>();
    let sum: u64 = words
        .iter()
        .map(|word| u64::from(u32::from_be_bytes(*word)))
        .sum();
    let mut last = [0; 4];
    last[..rest.len()].copy_from_slice(rest);
    sum + u64::from(u32::from_be_bytes(last))
}

fn pseudo_sum(source: Ipv4Addr, destination: Ipv4Addr, tcp_bytes: usize) -> u64 {
    u64::from(source.to_bits())
        + u64::from(destination.to_bits())
        + u64::from(TCP)
        + tcp_bytes as u64
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn endpoint(bits: u32, port: u16) -> Endpoint {
        Endpoint {
            address: Ipv4Addr::from_bits(bits),
            port,
        }
    }

    /// RFC 1071 as it is written: 16 bits at a time, the carry added at once.
    fn plain_checksum(bytes: &[u8]) -> u16 {
        let mut sum = 0_u32;
        for pair in bytes.chunks(2) {
            sum += u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0));
            sum = (sum & 0xffff) + (sum >> 16);
        }
        sum as u16
    }

    proptest! {
        #[test]
        fn what_is_built_is_read_back(
            ends in any::<[(u32, u16); 2]>(),
            numbers in any::<(u32, u32, u16)>(),
            flags in any::<u8>(),
            scale in proptest::option::of(0_u8..=14),
            payload in proptest::collection::vec(any::<u8>(), 0..1461),
        ) {
            let segment = Segment {
                source: endpoint(ends[0].0, ends[0].1),
                destination: endpoint(ends[1].0, ends[1].1),
                sequence: numbers.0,
                acknowledgement: numbers.1,
                flags,
                window: numbers.2,
                window_scale: scale.filter(|_| flags & SYN != 0),
                payload: &payload,
            };
            let mut packet = Vec::new();
            build(&segment, &mut packet);
            prop_assert_eq!(parse(&packet), Ok(segment));
        }

        #[test]
        fn a_flipped_bit_is_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..100),
            at in any::<prop::sample::Index>(),
            bit in 0..8,
        ) {
            let segment = Segment {
                source: endpoint(1, 2), destination: endpoint(3, 4), sequence: 5, acknowledgement: 6,
                flags: ACK, window: 7, window_scale: None, payload: &payload,
            };
            let mut packet = Vec::new();
            build(&segment, &mut packet);
            let at = at.index(packet.len());
            packet[at] ^= 1_u8 << bit;
            prop_assert!(parse(&packet).is_err());
        }

        #[test]
        fn the_sum_is_that_of_the_rfc(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            // All ones and zero are the same number in one's complement.
            let same = |checksum: u16| if checksum == 0xffff { 0 } else { checksum };
            prop_assert_eq!(same(fold(sum(&bytes))), same(plain_checksum(&bytes)));
        }

        #[test]
        fn noise_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = parse(&bytes);
            let _ = window_scale(&bytes);
        }

        /// Lengths, options and all else at random, behind checksums that hold.
        #[test]
        fn sealed_noise_never_panics(
            mut bytes in proptest::collection::vec(any::<u8>(), 40..120),
            lengths in any::<(u8, u16, u8)>(),
        ) {
            bytes[0] = 0x40 | (lengths.0 & 0x0f);
            let total = bytes.len() as u16;
            bytes[2..4].copy_from_slice(&(lengths.1 % (total + 9)).to_be_bytes());
            bytes[6..8].fill(0);
            bytes[9] = TCP;
            let header_bytes = (usize::from(bytes[0] & 0x0f) * 4).min(bytes.len());
            bytes[10..12].fill(0);
            let checksum = !fold(sum(&bytes[..header_bytes]));
            bytes[10..12].copy_from_slice(&checksum.to_be_bytes());
            let _ = parse(&bytes);
            bytes[32] = lengths.2;
            let _ = parse_tcp(Ipv4Addr::LOCALHOST, Ipv4Addr::LOCALHOST, &bytes[20..]);
        }
    }

    #[test]
    fn a_syn_of_the_kernels_is_read() {
        // From 127.0.0.1:46386 to 127.0.0.1:7: MSS, SACK, timestamps, NOP, scale 7.
        let options = [
            2, 4, 0xff, 0xd7, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7,
        ];
        assert_eq!(window_scale(&options), Some(7));
        assert_eq!(window_scale(&[3, 3, 200]), Some(14));
        assert_eq!(window_scale(&[2, 0, 3, 3, 7]), None);
        assert_eq!(window_scale(&[8, 10, 1]), None);
    }

    #[test]
    fn a_known_packet_has_the_known_checksum() {
        // The example of RFC 1071, section 3.
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes)), 0xddf2);
    }

    #[test]
    fn what_is_not_tcp_is_foreign() {
        assert_eq!(parse(&[0x60; 60]), Err(Malformed::Foreign));
        assert_eq!(parse(&[]), Err(Malformed::Truncated));
        let mut datagram = [0_u8; 40];
        (datagram[0], datagram[9]) = (0x45, 17);
        assert_eq!(parse(&datagram), Err(Malformed::Foreign));
    }
}
