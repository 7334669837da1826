//! Which address and port each ghost has, and where its numbers begin.

use super::segment::Endpoint;
use std::net::Ipv4Addr;

/// The server's address on the device: the first of 198.18.0.0/15, which RFC 2544 keeps for
/// measurements. Ghosts have the addresses after it.
pub const GHOST_SERVER_ADDRESS: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 1);
/// Bits of that network's prefix.
pub const GHOST_PREFIX_BITS: u8 = 15;

/// Ghosts of one address, by port.
pub(super) const ADDRESS_GHOSTS: u32 = 60_000;
pub(super) const FIRST_PORT: u32 = 1024;
/// Connections that the addresses name: all of the network but its first two and its last.
pub(super) const GHOSTS_MAX: u64 =
    ((1 << (32 - GHOST_PREFIX_BITS as u64)) - 3) * ADDRESS_GHOSTS as u64;

/// The address and port of ghost `index`.
#[inline]
pub(super) fn ghost_endpoint(index: u32) -> Endpoint {
    let address = GHOST_SERVER_ADDRESS.to_bits() + 1 + index / ADDRESS_GHOSTS;
    Endpoint {
        address: Ipv4Addr::from_bits(address),
        port: (FIRST_PORT + index % ADDRESS_GHOSTS) as u16,
    }
}

/// The ghost that an address and port belong to, if they are a ghost's.
#[inline]
pub(super) fn ghost_index(endpoint: Endpoint) -> Option<u32> {
    let group = endpoint
        .address
        .to_bits()
        .checked_sub(GHOST_SERVER_ADDRESS.to_bits() + 1)?;
    let rank = u32::from(endpoint.port).checked_sub(FIRST_PORT)?;
    (rank < ADDRESS_GHOSTS).then_some(())?;
    group.checked_mul(ADDRESS_GHOSTS)?.checked_add(rank)
}

/// The number of a ghost's first byte: far from its neighbours', so that a mix-up shows.
#[inline]
pub(super) fn first_sequence(index: u32) -> u32 {
    index.wrapping_mul(0x9e37_79b9)
}
