//! Two networks joined by a pair of virtual Ethernet devices: what one side sends passes a route, a neighbour, an
//! Ethernet device with an MTU and the other side's reception, as on a network, where `lo` has none of these.
//!
//! The client's process makes it all, because it comes second: it enters the server's network, leaves a netlink
//! socket behind there, and moves on into a network of its own. Both are owned by one user namespace, so an
//! ordinary user may join them. A device ends with its network, a network with its last process and socket: there
//! is nothing to clean up.
//!
//! Each side answers for a whole prefix of addresses, so that an address plan needs no address of its own on a
//! device. Neighbours are told beforehand: while the first packet's was being looked for, a window of connects
//! would find its queue full, and a SYN that is dropped comes again a second later.
//!
//! Offloads are as the kernel has them for such devices: TCP hands over segments larger than the MTU uncut and
//! without checksums, as it would to a network card that cuts them itself, and nothing cuts these.

use super::netlink::{
    IFA_ADDRESS, IFA_LOCAL, IFLA_ADDRESS, IFLA_IFNAME, IFLA_INFO_DATA, IFLA_INFO_KIND,
    IFLA_LINKINFO, IFLA_MTU, IFLA_NET_NS_FD, Netlink, Prefix, Request, address, link_body, link_up,
    local_route, neighbour, new_link, route_by,
};
use fourtuple_spec::address::{VETH_CLIENT_NETWORK, VETH_PREFIX_BITS, VETH_SERVER_NETWORK};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::thread;
use std::time::{Duration, Instant};

/// The name of both devices: each is the only one in its network beside `lo`.
const DEVICE: &str = "veth";
const MTU_BYTES: u32 = 1500;
/// Ethernet addresses are of a locally administered kind.
const SERVER: Side = Side::new([2, 0, 0, 0, 0, 1], VETH_SERVER_NETWORK);
const CLIENT: Side = Side::new([2, 0, 0, 0, 0, 2], VETH_CLIENT_NETWORK);
/// How long the pair may take until packets go through: the kernel looks at a new link within a second or so.
const UP_LIMIT: Duration = Duration::from_secs(10);
const UP_POLL: Duration = Duration::from_millis(2);

/// What a record says of the path, as it says what the private network was set to.
pub fn veth_settings() -> [(String, String); 2] {
    let offloads = "as the kernel has them: what is larger than the MTU passes uncut";
    [
        ("veth mtu".to_owned(), MTU_BYTES.to_string()),
        ("veth offloads".to_owned(), offloads.to_owned()),
    ]
}

/// Moves this process into a network of its own with these settings, joined to that of the server's process.
pub(super) fn enter(server_pid: u32, sysctls: &BTreeMap<String, String>) -> Result<(), String> {
    super::join(server_pid)?;
    let server_netlink = Netlink::open()?;
    let server_network = File::open("/proc/self/ns/net")
        .map_err(|error| format!("the server's network cannot be named: {error}"))?;
    super::create(sysctls)?;
    let mut client_netlink = Netlink::open()?;
    client_netlink
        .try_ask(pair(server_network.as_fd()))?
        .map_err(explain_refusal)?;
    join_ends([server_netlink, client_netlink]).map_err(|error| format!("the veth pair: {error}"))
}

/// Makes both devices: the client's here, the other in the server's network.
fn pair(server_network: BorrowedFd<'_>) -> Request {
    const VETH_INFO_PEER: u16 = 1;
    let server_network = server_network.as_raw_fd().to_ne_bytes();
    let device = |request: Request, side: Side| {
        request
            .attribute(IFLA_MTU, &MTU_BYTES.to_ne_bytes())
            .attribute(IFLA_ADDRESS, &side.ethernet)
            .attribute(IFLA_IFNAME, format!("{DEVICE}\0").as_bytes())
    };
    let peer = |request: Request| {
        device(request.header(&link_body(0, 0)), SERVER).attribute(IFLA_NET_NS_FD, &server_network)
    };
    device(new_link(), CLIENT).nest(IFLA_LINKINFO, |info| {
        info.attribute(IFLA_INFO_KIND, b"veth")
            .nest(IFLA_INFO_DATA, |data| data.nest(VETH_INFO_PEER, peer))
    })
}

fn explain_refusal(errno: Errno) -> String {
    let advice = match errno {
        Errno::OPNOTSUPP => {
            "; this kernel has no such devices: `modprobe veth` as root, or use the path lo"
        }
        Errno::PERM | Errno::ACCESS => {
            "; making a device takes CAP_NET_ADMIN in both networks: run as root, or use the path lo"
        }
        _ => "",
    };
    format!(
        "the networks of server and client cannot be joined by a veth pair (RTM_NEWLINK): {errno}{advice}"
    )
}

fn join_ends([server, client]: [Netlink; 2]) -> Result<(), String> {
    let mut ends = [
        End::new(server, SERVER, CLIENT)?,
        End::new(client, CLIENT, SERVER)?,
    ];
    ends.iter_mut().try_for_each(End::raise)?;
    ends.iter_mut().try_for_each(End::lead)?;
    let deadline = Instant::now() + UP_LIMIT;
    ends.iter_mut().try_for_each(|end| end.await_up(deadline))
}

/// What one side is known by.
#[derive(Clone, Copy, Debug)]
struct Side {
    ethernet: [u8; 6],
    prefix: Prefix,
}

impl Side {
    const fn new(ethernet: [u8; 6], network: Ipv4Addr) -> Self {
        let bits = VETH_PREFIX_BITS;
        Self {
            ethernet,
            prefix: Prefix { network, bits },
        }
    }

    /// The address of its device.
    fn address(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.prefix.network.to_bits() + 1)
    }
}

/// One end of the pair, and a socket in its network.
struct End {
    netlink: Netlink,
    interface: u32,
    own: Side,
    other: Side,
}

impl End {
    fn new(netlink: Netlink, own: Side, other: Side) -> Result<Self, String> {
        Ok(Self {
            interface: netlink.index(DEVICE)?,
            netlink,
            own,
            other,
        })
    }

    fn raise(&mut self) -> Result<(), String> {
        self.netlink.ask(link_up(self.interface))
    }

    /// Its own prefix is here, the other's is at the other end.
    fn lead(&mut self) -> Result<(), String> {
        let (own, other) = (self.own, self.other);
        let own_address = own.address().octets();
        let requests = [
            address(self.interface, 32)
                .attribute(IFA_LOCAL, &own_address)
                .attribute(IFA_ADDRESS, &own_address),
            local_route(own.prefix),
            neighbour(self.interface, other.address(), other.ethernet),
            route_by(other.prefix, other.address(), self.interface),
        ];
        requests
            .into_iter()
            .try_for_each(|request| self.netlink.ask(request))
    }

    /// Which of the two was brought up first learns later that the other is up as well, and drops what it is
    /// to send until then.
    fn await_up(&mut self, deadline: Instant) -> Result<(), String> {
        while !self.netlink.is_running(self.interface)? {
            if Instant::now() > deadline {
                let seconds = UP_LIMIT.as_secs();
                return Err(format!("it did not come up within {seconds} s"));
            }
            thread::sleep(UP_POLL);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::{AddressMode, AddressPlan};

    /// What iproute2 6.1 sends for `ip link add name veth mtu 1500 address 02:00:00:00:00:02 type veth peer name
    /// veth mtu 1500 address 02:00:00:00:00:01 netns …`, with the names before the networks and without the
    /// sequence number.
    #[rustfmt::skip]
    const AS_IP_SENDS_IT: [u8; 140] = [
        0x8c, 0, 0, 0, 0x10, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        8, 0, 4, 0, 0xdc, 5, 0, 0, 10, 0, 1, 0, 2, 0, 0, 0, 0, 2, 0, 0,
        9, 0, 3, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0,
        0x4c, 0, 0x12, 0, 8, 0, 1, 0, b'v', b'e', b't', b'h', 0x40, 0, 2, 0,
        0x3c, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
        8, 0, 4, 0, 0xdc, 5, 0, 0, 10, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 0,
        9, 0, 3, 0, b'v', b'e', b't', b'h', 0, 0, 0, 0,
        8, 0, 0x1c, 0, 0, 0, 0, 0,
    ];

    #[test]
    fn a_pair_is_asked_for_as_ip_does() {
        if cfg!(target_endian = "big") {
            return; // There the bytes of a number come the other way round.
        }
        let network = File::open("/proc/self/ns/net").unwrap();
        let mut bytes = pair(network.as_fd()).finish();
        let descriptor = bytes.split_off(136);
        assert_eq!(descriptor, network.as_raw_fd().to_ne_bytes());
        assert_eq!(bytes, AS_IP_SENDS_IT[..136]);
    }

    #[test]
    fn a_refusal_says_what_to_do() {
        assert!(explain_refusal(Errno::OPNOTSUPP).contains("modprobe veth"));
        assert!(explain_refusal(Errno::PERM).contains("CAP_NET_ADMIN"));
        assert!(explain_refusal(Errno::NOMEM).contains("veth pair"));
    }

    #[test]
    fn devices_have_the_first_addresses_of_the_prefixes_that_plans_use() {
        let tuple = |mode| {
            let target = (VETH_SERVER_NETWORK, 7).into();
            AddressPlan::new(mode, target, 10).four_tuple(0)
        };
        let destination = tuple(AddressMode::Destinations).destination;
        assert_eq!(destination.ip(), SERVER.address());
        let source = tuple(AddressMode::Sources).source;
        assert_eq!(source, Some(CLIENT.address().into()));
    }
}
