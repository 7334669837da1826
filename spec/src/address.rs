//! The address plan: connection index → four-tuple, the same on every machine and in every run.

use crate::case::AddressMode;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Ports that a private namespace gives its clients: `net.ipv4.ip_local_port_range`.
pub const PRIVATE_PORT_RANGE: (u16, u16) = (1024, 65535);

/// The port that a server listens on in a private namespace: the echo service's own, outside the clients' range.
pub const PRIVATE_SERVER_PORT: u16 = 7;

/// What stands for all addresses of the server, where a veth pair lies between it and its client, as 0.0.0.0
/// does on `lo`: 198.18.0.0/16. With the client's it is the range for benchmarks (RFC 2544).
pub const VETH_SERVER_NETWORK: Ipv4Addr = Ipv4Addr::new(198, 18, 0, 0);

/// The same of the client: 198.19.0.0/16.
pub const VETH_CLIENT_NETWORK: Ipv4Addr = Ipv4Addr::new(198, 19, 0, 0);

/// Bits that the addresses of one end of a veth pair share.
pub const VETH_PREFIX_BITS: u8 = 16;

/// The most connections of a group that a port range can take without `connect()` slowing down.
///
/// `connect()` walks the ports of one parity first, so the second half of a range costs a full walk
/// of the first: half is the bound. Of the 64,512 private ports, 25,000 was measured to be flat.
pub fn group_connections_max(range: (u16, u16)) -> u32 {
    let ports = u32::from(range.1.saturating_sub(range.0)) + 1;
    (ports / 2).clamp(1, 25_000)
}

/// What names a connection, before the kernel has picked the source port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FourTuple {
    /// The address to bind, or `None` where the kernel is to pick it.
    pub source: Option<IpAddr>,
    /// Where to connect.
    pub destination: SocketAddr,
}

/// The map from connection index to addresses.
#[derive(Clone, Debug)]
pub struct AddressPlan {
    mode: AddressMode,
    server: SocketAddr,
    group_connections: u32,
    spread: Option<Spread>,
}

/// The addresses that a plan may use: there are others after these, all of which work.
#[derive(Clone, Copy, Debug)]
struct Spread {
    first_destination: u32,
    first_source: u32,
    /// How many of either there are; `None` is more than any case needs.
    address_count: Option<u32>,
}

const LOOPBACK: Spread = Spread {
    first_destination: 0x7f00_0001,
    first_source: 0x7f01_0001,
    address_count: None,
};

/// Without a prefix's first address and its last, as usual on Ethernet.
const VETH: Spread = Spread {
    first_destination: VETH_SERVER_NETWORK.to_bits() + 1,
    first_source: VETH_CLIENT_NETWORK.to_bits() + 1,
    address_count: Some((1 << (32 - VETH_PREFIX_BITS)) - 2),
};

impl AddressPlan {
    /// A plan towards a server on this machine that listens on `server`'s port.
    ///
    /// With an IPv4 loopback or wildcard address both modes spread over 127.0.0.0/8, with
    /// [`VETH_SERVER_NETWORK`] over the two prefixes of a veth pair.
    /// Any other address is taken as it is: see [`AddressPlan::capacity`].
    pub fn new(mode: AddressMode, server: SocketAddr, group_connections: u32) -> Self {
        let spread = match server.ip() {
            IpAddr::V4(ip) if ip.is_loopback() || ip.is_unspecified() => Some(LOOPBACK),
            IpAddr::V4(VETH_SERVER_NETWORK) => Some(VETH),
            _ => None,
        };
        Self {
            mode,
            server,
            group_connections: group_connections.max(1),
            spread,
        }
    }

    /// How many connections the plan can name; `None` if only memory bounds it.
    pub fn capacity(&self) -> Option<u32> {
        match self.spread {
            None => Some(self.group_connections),
            Some(spread) => (spread.address_count)
                .map(|addresses| addresses.saturating_mul(self.group_connections)),
        }
    }

    /// The four-tuple of connection `index`.
    pub fn four_tuple(&self, index: u32) -> FourTuple {
        let Some(spread) = self.spread else {
            return FourTuple {
                source: None,
                destination: self.server,
            };
        };
        let group = index / self.group_connections;
        let port = self.server.port();
        let (source, destination) = match self.mode {
            AddressMode::Destinations => (None, spread.first_destination + group),
            AddressMode::Sources => (Some(spread.first_source + group), spread.first_destination),
        };
        FourTuple {
            source: source.map(address),
            destination: SocketAddr::new(address(destination), port),
        }
    }
}

fn address(bits: u32) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from_bits(bits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn server() -> SocketAddr {
        "0.0.0.0:7".parse().unwrap()
    }

    #[test]
    fn no_group_holds_more_than_its_share() {
        for mode in [AddressMode::Destinations, AddressMode::Sources] {
            let plan = AddressPlan::new(mode, server(), 250);
            let mut groups: HashMap<_, u32> = HashMap::new();
            for index in 0..10_001 {
                let tuple = plan.four_tuple(index);
                *groups.entry((tuple.source, tuple.destination)).or_default() += 1;
                assert_eq!(tuple.source.is_some(), mode == AddressMode::Sources);
            }
            assert_eq!(groups.len(), 41);
            assert!(groups.values().all(|&count| count <= 250));
        }
    }

    #[test]
    fn sources_leave_one_destination() {
        let plan = AddressPlan::new(AddressMode::Sources, server(), 10);
        for index in [0, 99, 1_000_000] {
            let destination = plan.four_tuple(index).destination;
            assert_eq!(destination, "127.0.0.1:7".parse().unwrap());
        }
    }

    #[test]
    fn a_veth_pair_has_a_prefix_at_each_end() {
        let server = (VETH_SERVER_NETWORK, 7).into();
        let plan = AddressPlan::new(AddressMode::Destinations, server, 10);
        assert_eq!(plan.capacity(), Some(655_340));
        let last = plan.four_tuple(655_339);
        assert_eq!(last.source, None);
        assert_eq!(last.destination, "198.18.255.254:7".parse().unwrap());
        let plan = AddressPlan::new(AddressMode::Sources, server, 25_000);
        assert_eq!(plan.capacity(), Some(65_534 * 25_000));
        let second = plan.four_tuple(25_000);
        assert_eq!(second.source, Some("198.19.0.2".parse().unwrap()));
        assert_eq!(second.destination, "198.18.0.1:7".parse().unwrap());
    }

    #[test]
    fn a_foreign_target_is_one_group() {
        let target = "[::1]:7000".parse().unwrap();
        let plan = AddressPlan::new(AddressMode::Destinations, target, 14_116);
        assert_eq!(plan.capacity(), Some(14_116));
        assert_eq!(plan.four_tuple(5).destination, target);
    }

    #[test]
    fn a_group_takes_at_most_half_of_the_ports() {
        assert_eq!(group_connections_max((32768, 60999)), 14_116);
        assert_eq!(group_connections_max(PRIVATE_PORT_RANGE), 25_000);
        assert_eq!(group_connections_max((5, 5)), 1);
    }
}
