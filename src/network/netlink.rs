//! Just enough of rtnetlink(7): requests as bytes, and a socket that asks one at a time.

use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

const NLMSG_ERROR: u16 = 2;
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWROUTE: u16 = 24;
const RTM_NEWNEIGH: u16 = 28;

const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_ACK: u16 = 0x4;
const NLM_F_REPLACE: u16 = 0x100;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;

pub(super) const IFLA_ADDRESS: u16 = 1;
pub(super) const IFLA_IFNAME: u16 = 3;
pub(super) const IFLA_MTU: u16 = 4;
pub(super) const IFLA_TXQLEN: u16 = 13;
const IFLA_OPERSTATE: u16 = 16;
pub(super) const IFLA_LINKINFO: u16 = 18;
pub(super) const IFLA_NET_NS_FD: u16 = 28;
pub(super) const IFLA_INFO_KIND: u16 = 1;
pub(super) const IFLA_INFO_DATA: u16 = 2;
pub(super) const IFA_ADDRESS: u16 = 1;
pub(super) const IFA_LOCAL: u16 = 2;
const NDA_DST: u16 = 1;
const NDA_LLADDR: u16 = 2;
const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;

const AF_INET: u8 = 2;
/// `lo` is the first interface of every network namespace.
const LOOPBACK: u32 = 1;
const HEADER_BYTES: usize = 16;
const LINK_BYTES: usize = 16;
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// A link is told with all its statistics and options: some 2 KB.
const REPLY_BYTES: usize = 16 * 1024;

/// A netlink socket of the network that its thread was in when it was opened, and stays there.
pub(super) struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    pub(super) fn open() -> Result<Self, String> {
        let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)
            .map_err(|error| format!("netlink socket: {error}"))?;
        Ok(Self { socket })
    }

    /// The index of a device.
    pub(super) fn index(&self, device: &str) -> Result<u32, String> {
        rustix::net::netdevice::name_to_index(&self.socket, device)
            .map_err(|error| format!("the index of {device} is unknown: {error}"))
    }

    /// Sends one request and waits until it is done.
    pub(super) fn ask(&mut self, request: Request) -> Result<(), String> {
        self.try_ask(request)?.map_err(|error| error.to_string())
    }

    /// The same with what the kernel answered apart from what kept it from answering.
    pub(super) fn try_ask(&mut self, request: Request) -> Result<Result<(), Errno>, String> {
        let reply = self.exchange(request)?;
        error_code(&reply).ok_or_else(|| "netlink: no acknowledgement".to_owned())
    }

    /// Whether a device and the one at its other end are up, and packets go through.
    pub(super) fn is_running(&mut self, interface: u32) -> Result<bool, String> {
        let reply = self.exchange(look_at_link(interface))?;
        match error_code(&reply) {
            Some(Err(error)) => Err(error.to_string()),
            _ => Ok(operational_state(&reply) == Some(IF_OPER_UP)),
        }
    }

    fn exchange(&mut self, request: Request) -> Result<Vec<u8>, String> {
        rustix::net::send(&self.socket, &request.finish(), SendFlags::empty())
            .map_err(|error| format!("netlink send: {error}"))?;
        let mut reply = vec![0; REPLY_BYTES];
        let (_, bytes) = rustix::net::recv(&self.socket, &mut reply[..], RecvFlags::empty())
            .map_err(|error| format!("netlink receive: {error}"))?;
        reply.truncate(bytes);
        Ok(reply)
    }
}

/// Brings up `lo`.
pub(super) fn raise_loopback() -> Result<(), String> {
    Netlink::open()?.ask(link_up(LOOPBACK))
}

/// A request under way to its bytes: nlmsghdr, a body, then attributes.
pub(super) struct Request {
    bytes: Vec<u8>,
}

impl Request {
    /// One that changes what is there.
    fn changing(kind: u16, body: &[u8]) -> Self {
        Self::new(kind, NLM_F_REQUEST | NLM_F_ACK, body)
    }

    /// One that makes something, which must not be there yet.
    fn creating(kind: u16, body: &[u8]) -> Self {
        Self::new(
            kind,
            NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL,
            body,
        )
    }

    /// One that makes something in the place of what is there.
    pub(super) fn replacing(kind: u16, body: &[u8]) -> Self {
        Self::new(
            kind,
            NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE,
            body,
        )
    }

    fn new(kind: u16, flags: u16, body: &[u8]) -> Self {
        let mut bytes = vec![0; 4];
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        // Sequence number and port: there is one request at a time, and the kernel knows who asks.
        bytes.extend([0; 8]);
        bytes.extend(body);
        Self { bytes }
    }

    /// Adds an attribute; what follows begins on a fourth byte, and its length is without the padding.
    pub(super) fn attribute(self, name: u16, value: &[u8]) -> Self {
        self.nest(name, |mut request| {
            request.bytes.extend(value);
            request
        })
    }

    /// Adds an attribute that holds whatever `fill` adds.
    pub(super) fn nest(mut self, name: u16, fill: impl FnOnce(Self) -> Self) -> Self {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(name.to_ne_bytes());
        let mut filled = fill(self);
        let length = (filled.bytes.len() - start) as u16;
        filled.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        filled
            .bytes
            .resize(filled.bytes.len().next_multiple_of(4), 0);
        filled
    }

    /// Adds a header within an attribute, before further ones.
    pub(super) fn header(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        let length = self.bytes.len() as u32;
        self.bytes[0..4].copy_from_slice(&length.to_ne_bytes());
        self.bytes
    }
}

/// ifinfomsg: family and type 0, then index, flags, and which flags change.
pub(super) fn link_body(interface: u32, flags: u32) -> [u8; LINK_BYTES] {
    let mut bytes = [0_u8; LINK_BYTES];
    bytes[4..8].copy_from_slice(&interface.to_ne_bytes());
    bytes[8..12].copy_from_slice(&flags.to_ne_bytes());
    bytes[12..16].copy_from_slice(&flags.to_ne_bytes());
    bytes
}

/// Makes a device; attributes say which.
pub(super) fn new_link() -> Request {
    Request::creating(RTM_NEWLINK, &link_body(0, 0))
}

/// Brings a device up.
pub(super) fn link_up(interface: u32) -> Request {
    const IFF_UP: u32 = 1;
    Request::changing(RTM_NEWLINK, &link_body(interface, IFF_UP))
}

fn look_at_link(interface: u32) -> Request {
    Request::new(RTM_GETLINK, NLM_F_REQUEST, &link_body(interface, 0))
}

/// Gives a device an address, which attributes name. ifaddrmsg: family, prefix, flags, scope (all the world), index.
pub(super) fn address(interface: u32, prefix_bits: u8) -> Request {
    let mut body = [AF_INET, prefix_bits, 0, 0, 0, 0, 0, 0];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    Request::new(RTM_NEWADDR, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, &body)
}

/// A range of addresses.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefix {
    /// Its first address.
    pub(super) network: Ipv4Addr,
    /// How many bits all of them share.
    pub(super) bits: u8,
}

/// Has this network answer for a whole prefix, as if each address were its own.
pub(super) fn local_route(prefix: Prefix) -> Request {
    const RT_TABLE_LOCAL: u8 = 255;
    const RT_SCOPE_HOST: u8 = 254;
    const RTN_LOCAL: u8 = 2;
    route(prefix, [RT_TABLE_LOCAL, RT_SCOPE_HOST, RTN_LOCAL], 0)
        .attribute(RTA_OIF, &LOOPBACK.to_ne_bytes())
}

/// Sends a whole prefix to one neighbour, which no other route has to lead to.
pub(super) fn route_by(prefix: Prefix, gateway: Ipv4Addr, interface: u32) -> Request {
    const RT_TABLE_MAIN: u8 = 254;
    const RT_SCOPE_UNIVERSE: u8 = 0;
    const RTN_UNICAST: u8 = 1;
    const RTNH_F_ONLINK: u32 = 4;
    let kind = [RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RTN_UNICAST];
    route(prefix, kind, RTNH_F_ONLINK)
        .attribute(RTA_GATEWAY, &gateway.octets())
        .attribute(RTA_OIF, &interface.to_ne_bytes())
}

/// rtmsg: family, bits of the destination and of the source, type of service, table, who made it (an
/// administrator), scope, type, flags.
fn route(prefix: Prefix, [table, scope, kind]: [u8; 3], flags: u32) -> Request {
    const RTPROT_STATIC: u8 = 4;
    let mut body = [
        AF_INET,
        prefix.bits,
        0,
        0,
        table,
        RTPROT_STATIC,
        scope,
        kind,
        0,
        0,
        0,
        0,
    ];
    body[8..12].copy_from_slice(&flags.to_ne_bytes());
    Request::creating(RTM_NEWROUTE, &body).attribute(RTA_DST, &prefix.network.octets())
}

/// Says which Ethernet address a neighbour has, for good. ndmsg: family, padding, index, state, flags, type.
pub(super) fn neighbour(interface: u32, address: Ipv4Addr, ethernet: [u8; 6]) -> Request {
    const NUD_PERMANENT: u16 = 0x80;
    let mut body = [AF_INET, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    body[8..10].copy_from_slice(&NUD_PERMANENT.to_ne_bytes());
    Request::replacing(RTM_NEWNEIGH, &body)
        .attribute(NDA_DST, &address.octets())
        .attribute(NDA_LLADDR, &ethernet)
}

const IF_OPER_UP: u8 = 6;

/// What an acknowledgement says: after nlmsghdr comes nlmsgerr, whose first field is the negative errno, or 0.
/// `None` of any other message.
fn error_code(reply: &[u8]) -> Option<Result<(), Errno>> {
    if two_bytes(reply, 4)? != NLMSG_ERROR {
        return None;
    }
    let code = reply.get(HEADER_BYTES..HEADER_BYTES + 4)?;
    match i32::from_ne_bytes(code.try_into().ok()?) {
        0 => Some(Ok(())),
        code => Some(Err(Errno::from_raw_os_error(code.wrapping_neg()))),
    }
}

/// The operational state (RFC 2863) in what the kernel tells of a link.
fn operational_state(reply: &[u8]) -> Option<u8> {
    if two_bytes(reply, 4)? != RTM_NEWLINK {
        return None;
    }
    let mut attributes = reply.get(HEADER_BYTES + LINK_BYTES..)?;
    loop {
        let length = usize::from(two_bytes(attributes, 0)?).max(ATTRIBUTE_HEADER_BYTES);
        if two_bytes(attributes, 2)? == IFLA_OPERSTATE {
            return attributes.get(ATTRIBUTE_HEADER_BYTES).copied();
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
}

fn two_bytes(bytes: &[u8], at: usize) -> Option<u16> {
    let two = bytes.get(at..at + 2)?;
    Some(u16::from_ne_bytes(two.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_says_its_own_length() {
        let mtu_bytes = 1500_u32.to_ne_bytes();
        let bytes = link_up(7).attribute(IFLA_MTU, &mtu_bytes).finish();
        assert_eq!(bytes.len(), 16 + 16 + 8);
        assert_eq!(bytes[0..4], 40_u32.to_ne_bytes());
        assert_eq!(bytes[20..24], 7_u32.to_ne_bytes());
        assert_eq!(bytes[32..34], 8_u16.to_ne_bytes());
        assert_eq!(bytes[36..40], 1500_u32.to_ne_bytes());
    }

    #[test]
    fn what_follows_an_odd_attribute_begins_on_a_fourth_byte() {
        let request = Request::replacing(36, &[0; 20]).attribute(1, b"fq\0");
        let bytes = request.attribute(9, b"next").finish();
        assert_eq!(bytes.len(), 16 + 20 + 8 + 8);
        assert_eq!(bytes[0..4], 52_u32.to_ne_bytes());
        assert_eq!(bytes[36..38], 7_u16.to_ne_bytes(), "without the padding");
        assert_eq!(bytes[40..44], *b"fq\0\0");
        assert_eq!(bytes[48..52], *b"next");
    }

    #[test]
    fn an_attribute_holds_attributes() {
        let bytes = Request::changing(16, &[])
            .nest(18, |info| info.attribute(1, b"veth\0").attribute(2, b"ab"))
            .attribute(3, b"cd")
            .finish();
        let (outer, first, second) = (16, 20, 32);
        assert_eq!(bytes[outer..outer + 2], (4 + 12 + 8_u16).to_ne_bytes());
        assert_eq!(bytes[first..first + 2], 9_u16.to_ne_bytes());
        assert_eq!(bytes[second..second + 2], 6_u16.to_ne_bytes());
        assert_eq!(bytes[40..42], 6_u16.to_ne_bytes(), "the next beside it");
        assert_eq!(bytes.len(), 48);
    }

    /// What iproute2 6.1 sends for `ip route add local 198.18.0.0/16 dev lo proto static`, for `ip route add
    /// 198.18.0.0/16 via 198.18.0.1 dev veth onlink proto static` and for `ip neigh replace 198.18.0.1 lladdr
    /// 02:00:00:00:00:01 dev veth nud permanent`, where `veth` is interface 3, but for the sequence number.
    #[rustfmt::skip]
    const AS_IP_SENDS_THEM: [&[u8]; 3] = [
        &[
            0x2c, 0, 0, 0, 0x18, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,
            2, 16, 0, 0, 0xff, 4, 0xfe, 2, 0, 0, 0, 0, 8, 0, 1, 0,
            0xc6, 0x12, 0, 0, 8, 0, 4, 0, 1, 0, 0, 0,
        ],
        &[
            0x34, 0, 0, 0, 0x18, 0, 0x05, 0x06, 0, 0, 0, 0, 0, 0, 0, 0,
            2, 16, 0, 0, 0xfe, 4, 0, 1, 4, 0, 0, 0, 8, 0, 1, 0,
            0xc6, 0x12, 0, 0, 8, 0, 5, 0, 0xc6, 0x12, 0, 1, 8, 0, 4, 0, 3, 0, 0, 0,
        ],
        &[
            0x30, 0, 0, 0, 0x1c, 0, 0x05, 0x05, 0, 0, 0, 0, 0, 0, 0, 0,
            2, 0, 0, 0, 3, 0, 0, 0, 0x80, 0, 0, 0, 8, 0, 1, 0,
            0xc6, 0x12, 0, 1, 10, 0, 2, 0, 2, 0, 0, 0, 0, 1, 0, 0,
        ],
    ];

    #[test]
    fn routes_and_neighbours_are_what_ip_sends() {
        if cfg!(target_endian = "big") {
            return; // There the bytes of a number come the other way round.
        }
        let prefix = Prefix {
            network: Ipv4Addr::new(198, 18, 0, 0),
            bits: 16,
        };
        let gateway = Ipv4Addr::new(198, 18, 0, 1);
        let requests = [
            local_route(prefix),
            route_by(prefix, gateway, 3),
            neighbour(3, gateway, [2, 0, 0, 0, 0, 1]),
        ];
        assert_eq!(requests.map(Request::finish), AS_IP_SENDS_THEM);
    }

    #[test]
    fn an_acknowledgement_is_told_from_an_errno_and_from_other_messages() {
        let reply = |kind: u16, code: i32| {
            let mut bytes = vec![36, 0, 0, 0];
            bytes.extend(kind.to_ne_bytes());
            bytes.extend([0; 10]);
            bytes.extend(code.to_ne_bytes());
            bytes
        };
        assert_eq!(error_code(&reply(NLMSG_ERROR, 0)), Some(Ok(())));
        let refused = error_code(&reply(NLMSG_ERROR, -95));
        assert_eq!(refused, Some(Err(Errno::OPNOTSUPP)));
        assert_eq!(error_code(&reply(RTM_NEWLINK, 0)), None);
        assert_eq!(error_code(&reply(NLMSG_ERROR, 0)[..18]), None);
        assert_eq!(error_code(&[]), None);
    }

    #[test]
    fn a_link_tells_its_state_among_other_things() {
        let link = |state: u8| {
            Request::new(RTM_NEWLINK, 0, &link_body(2, 0))
                .attribute(IFLA_IFNAME, b"veth\0")
                .attribute(IFLA_OPERSTATE, &[state])
                .finish()
        };
        assert_eq!(operational_state(&link(IF_OPER_UP)), Some(6));
        assert_eq!(operational_state(&link(2)), Some(2));
        let untold = Request::new(RTM_NEWLINK, 0, &link_body(2, 0)).attribute(IFLA_MTU, &[0; 4]);
        assert_eq!(operational_state(&untold.finish()), None);
        let mut torn = link(IF_OPER_UP);
        torn.truncate(44);
        assert_eq!(operational_state(&torn), None);
        // A length of 0 must not be walked for ever.
        torn[32..34].copy_from_slice(&[0, 0]);
        assert_eq!(operational_state(&torn), None);
    }
}
