//! TCP sockets as the kernel lists them by sock_diag(7): which listen, and what both ends of a port's connections are.
//!
//! What is listed is the network namespace of the calling process, IPv4 and IPv6. The kernel walks its table while
//! connections come and go, so a count is exact of sockets at rest alone.
//!
//! A dump comes in pieces of 32 KB, some 120 bytes a socket, and none of it is kept but 16 bytes of each established
//! socket (40 of IPv6): a million connections with both ends here are 32 MB.

use fourtuple_spec::Census;
use fourtuple_spec::census::Ends;
use fourtuple_spec::limits::Listener;
use rustix::io::{Errno, retry_on_intr};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, netlink, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

const SOCK_DIAG_BY_FAMILY: u16 = 20;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const NLM_F_REQUEST: u16 = 0x1;
const NLM_F_DUMP: u16 = 0x300;
const HEADER_BYTES: usize = 16;
/// `struct inet_diag_msg`; attributes follow it.
const SOCKET_BYTES: usize = 72;
/// The kernel fills 32 KB at most, however much is offered.
const PIECE_BYTES: usize = 32 * 1024;
/// Only a kernel that hangs takes so long for a piece.
const PATIENCE: Duration = Duration::from_secs(60);

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;
const FAMILIES: [u8; 2] = [AF_INET, AF_INET6];
const IPPROTO_TCP: u8 = 6;

const ESTABLISHED: u8 = 1;
const TIME_WAIT: u8 = 6;
const LISTEN: u8 = 10;
/// By the kernel's numbers for them, from 1 on. A request whose handshake is not over (12) is a `SYN_RECV` to whoever
/// asks.
const STATES: [&str; 12] = [
    "ESTABLISHED",
    "SYN_SENT",
    "SYN_RECV",
    "FIN_WAIT1",
    "FIN_WAIT2",
    "TIME_WAIT",
    "CLOSE",
    "CLOSE_WAIT",
    "LAST_ACK",
    "LISTEN",
    "CLOSING",
    "SYN_RECV",
];
const EVERY_STATE: u32 = ((1 << STATES.len()) - 1) << 1;

/// How many of the server's and of the client's ends a census quotes.
const SERVER_LINES: usize = 8;
const CLIENT_LINES: usize = 4;

/// Every listening TCP socket: where, how many connections wait to be accepted, and how many may. An error says what
/// the kernel refused.
pub fn listeners() -> Result<Vec<Listener>, String> {
    let mut listeners = Vec::new();
    for family in FAMILIES {
        let query = Query {
            family,
            states: 1 << LISTEN,
            local_port: 0,
            remote_port: 0,
        };
        dump(&query, &mut |socket| {
            if socket.state == LISTEN {
                listeners.push(Listener {
                    address: socket.local,
                    waiting: socket.receive_queue.into(),
                    backlog: socket.send_queue.into(),
                });
            }
        })?;
    }
    Ok(listeners)
}

/// Hands the local and the remote end of every TCP socket in TIME_WAIT to `each`. An error says what the kernel refused.
pub(crate) fn in_time_wait(each: &mut impl FnMut(SocketAddr, SocketAddr)) -> Result<(), String> {
    for family in FAMILIES {
        let query = Query {
            family,
            states: 1 << TIME_WAIT,
            local_port: 0,
            remote_port: 0,
        };
        dump(&query, &mut |socket| {
            if socket.state == TIME_WAIT {
                each(socket.local, socket.remote);
            }
        })?;
    }
    Ok(())
}

/// Counts the TCP sockets whose local or remote port is `port`. An IPv4 address in an IPv6 socket is an IPv4 address.
/// An error says what the kernel refused.
pub fn census(port: u16) -> Result<Census, String> {
    let mut count = Count::new(port);
    for family in FAMILIES {
        let local = Query {
            family,
            states: EVERY_STATE,
            local_port: port,
            remote_port: 0,
        };
        let remote = Query {
            local_port: 0,
            remote_port: port,
            ..local
        };
        dump(&local, &mut |socket| count.add_server_end(&socket))?;
        dump(&remote, &mut |socket| count.add_client_end(&socket))?;
    }
    Ok(count.finish())
}

/// Which sockets are asked for: of one family, in any of the states (bit by number), with these ports, where they are
/// not 0.
#[derive(Clone, Copy)]
struct Query {
    family: u8,
    states: u32,
    local_port: u16,
    remote_port: u16,
}

impl Query {
    /// nlmsghdr, then `struct inet_diag_req_v2`: family, protocol, no attributes, padding, states, and a socket's
    /// identity (ports, two addresses of 16 bytes, interface, cookie), of which the ports are looked at.
    fn bytes(&self) -> Vec<u8> {
        const IDENTITY_BYTES: usize = 48;
        const BYTES: usize = HEADER_BYTES + 8 + IDENTITY_BYTES;
        let mut bytes = Vec::with_capacity(BYTES);
        bytes.extend((BYTES as u32).to_ne_bytes());
        bytes.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        bytes.extend((NLM_F_REQUEST | NLM_F_DUMP).to_ne_bytes());
        // Sequence number and port: there is one request at a time, and the kernel knows who asks.
        bytes.extend([0; 8]);
        bytes.extend([self.family, IPPROTO_TCP, 0, 0]);
        bytes.extend(self.states.to_ne_bytes());
        bytes.extend(self.local_port.to_be_bytes());
        bytes.extend(self.remote_port.to_be_bytes());
        bytes.resize(BYTES, 0);
        bytes
    }
}

/// Asks for sockets and hands each to `each`.
fn dump(query: &Query, each: &mut impl FnMut(Socket)) -> Result<(), String> {
    let at = |what: &'static str| move |error: Errno| format!("sock_diag: {what}: {error}");
    let socket = open(PATIENCE).map_err(at("socket"))?;
    retry_on_intr(|| rustix::net::send(&socket, &query.bytes(), SendFlags::empty()))
        .map_err(at("request"))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let bytes = receive(&socket, &mut piece)?;
        let told = piece
            .get(..bytes)
            .ok_or_else(|| format!("sock_diag: a reply of {bytes} bytes did not fit"))?;
        if read_piece(told, each)? == Progress::Ended {
            return Ok(());
        }
    }
}

/// How many bytes of a reply there were.
fn receive(socket: &OwnedFd, piece: &mut [u8]) -> Result<usize, String> {
    // With TRUNC the kernel says how much there was, not how much fitted.
    let received = retry_on_intr(|| rustix::net::recv(socket, &mut *piece, RecvFlags::TRUNC));
    match received {
        Ok((_, bytes)) => Ok(bytes),
        Err(Errno::AGAIN) => Err("sock_diag: the kernel did not reply in time".to_owned()),
        Err(error) => Err(format!("sock_diag: reply: {error}")),
    }
}

/// A socket that waits for a reply no longer than `patience`.
fn open(patience: Duration) -> rustix::io::Result<OwnedFd> {
    let socket = rustix::net::socket(
        AddressFamily::NETLINK,
        SocketType::RAW,
        Some(netlink::SOCK_DIAG),
    )?;
    sockopt::set_socket_timeout(&socket, sockopt::Timeout::Recv, Some(patience))?;
    Ok(socket)
}

/// One socket of a dump.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    state: u8,
    local: SocketAddr,
    remote: SocketAddr,
    /// Bytes that nobody has read; of a listener, connections that wait.
    receive_queue: u32,
    /// Bytes that are not acknowledged; of a listener, its backlog.
    send_queue: u32,
    /// 0 of a socket that no descriptor refers to.
    inode: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Progress {
    Continues,
    Ended,
}

/// Reads one piece of a dump: messages, one after the other.
fn read_piece(mut bytes: &[u8], each: &mut impl FnMut(Socket)) -> Result<Progress, String> {
    if bytes.is_empty() {
        return Err(malformed("an empty reply"));
    }
    while !bytes.is_empty() {
        let length = number(bytes, 0).ok_or_else(|| malformed("a torn header"))? as usize;
        let message = bytes
            .get(HEADER_BYTES..length)
            .ok_or_else(|| malformed("a message of a wrong length"))?;
        match u16::from_ne_bytes([bytes[4], bytes[5]]) {
            NLMSG_ERROR => return Err(refused(message)),
            NLMSG_DONE => return ended(message),
            SOCK_DIAG_BY_FAMILY => {
                each(read_socket(message).ok_or_else(|| malformed("a socket of a wrong shape"))?);
            }
            _ => {}
        }
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(Progress::Continues)
}

/// The last message holds the dump's result: 0 or a negative errno.
fn ended(message: &[u8]) -> Result<Progress, String> {
    match number(message, 0) {
        None | Some(0) => Ok(Progress::Ended),
        Some(_) => Err(refused(message)),
    }
}

fn refused(message: &[u8]) -> String {
    // An errno is below 4,096; `Errno` would not take another.
    let code = number(message, 0).map(|code| (code as i32).wrapping_neg());
    let Some(code @ 1..4096) = code else {
        return malformed("an error without a number");
    };
    match Errno::from_raw_os_error(code) {
        error @ Errno::NOENT => {
            format!("sock_diag: {error} (the kernel has no inet_diag, or may not load it)")
        }
        error => format!("sock_diag: {error}"),
    }
}

fn malformed(what: &str) -> String {
    format!("sock_diag: {what}")
}

/// `struct inet_diag_msg`: family, state, timer, retransmits; ports and addresses in the network's order, interface,
/// cookie; expiry, the two queues, user, inode.
fn read_socket(message: &[u8]) -> Option<Socket> {
    let message = message.get(..SOCKET_BYTES)?;
    let port = |at: usize| u16::from_be_bytes([message[at], message[at + 1]]);
    let address = |at: usize| address(message[0], message.get(at..at + 16)?);
    Some(Socket {
        state: message[1],
        local: SocketAddr::new(address(8)?, port(4)),
        remote: SocketAddr::new(address(24)?, port(6)),
        receive_queue: number(message, 56)?,
        send_queue: number(message, 60)?,
        inode: number(message, 68)?,
    })
}

fn address(family: u8, bytes: &[u8]) -> Option<IpAddr> {
    let bytes: [u8; 16] = bytes.try_into().ok()?;
    let [a, b, c, d, ..] = bytes;
    match family {
        AF_INET => Some(Ipv4Addr::new(a, b, c, d).into()),
        AF_INET6 => Some(Ipv6Addr::from(bytes).to_canonical()),
        _ => None,
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let four = bytes.get(at..at + 4)?;
    Some(u32::from_ne_bytes(four.try_into().ok()?))
}

/// A census under way.
struct Count {
    census: Census,
    by_state: [u64; STATES.len() + 1],
    server: Kept,
    client: Kept,
    client_sample: Vec<String>,
}

impl Count {
    fn new(port: u16) -> Self {
        Self {
            census: Census {
                port,
                ..Census::default()
            },
            by_state: [0; STATES.len() + 1],
            server: Kept::default(),
            client: Kept::default(),
            client_sample: Vec::new(),
        }
    }

    fn add_server_end(&mut self, socket: &Socket) {
        // The kernel leaves out what was not asked for. This holds even if one does not.
        if socket.local.port() == self.census.port {
            self.add_state(socket.state);
            if socket.state == ESTABLISHED {
                self.server.add(socket);
                quote(&mut self.census.sample, SERVER_LINES, socket);
            }
        }
    }

    /// One whose local port it is too was a server's end already.
    fn add_client_end(&mut self, socket: &Socket) {
        let port = self.census.port;
        if socket.remote.port() == port && socket.local.port() != port {
            self.add_state(socket.state);
            if socket.state == ESTABLISHED {
                self.client.add(socket);
                quote(&mut self.client_sample, CLIENT_LINES, socket);
            }
        }
    }

    fn add_state(&mut self, state: u8) {
        let index = usize::from(state).wrapping_sub(1).min(STATES.len());
        self.by_state[index] += 1;
    }

    fn finish(mut self) -> Census {
        let names = STATES.into_iter().chain(["another"]);
        for (name, count) in names.zip(self.by_state).filter(|&(_, count)| count > 0) {
            *self.census.by_state.entry(name.to_owned()).or_default() += count;
        }
        self.census.server = self.server.ends();
        self.census.client = self.client.ends();
        self.census.sample.append(&mut self.client_sample);
        self.census
    }
}

fn quote(sample: &mut Vec<String>, lines_max: usize, socket: &Socket) {
    if sample.len() < lines_max {
        let state = STATES[usize::from(ESTABLISHED) - 1];
        let Socket {
            local,
            remote,
            inode,
            ..
        } = socket;
        sample.push(format!("{state} {local} {remote} inode {inode}"));
    }
}

/// What is kept of an established socket: 16 bytes of IPv4, 40 to 48 of IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Key<Address> {
    local: Address,
    remote: Address,
    local_port: u16,
    remote_port: u16,
    inode: u32,
}

impl<Address: Copy> Key<Address> {
    fn four_tuple(&self) -> (Address, Address, u16, u16) {
        (self.local, self.remote, self.local_port, self.remote_port)
    }
}

/// One side's ends. No IPv4 address is an IPv6 address, so distinct addresses and four-tuples add up.
#[derive(Default)]
struct Kept {
    ipv4: Vec<Key<u32>>,
    ipv6: Vec<Key<u128>>,
}

impl Kept {
    fn add(&mut self, socket: &Socket) {
        let (local_port, remote_port) = (socket.local.port(), socket.remote.port());
        let inode = socket.inode;
        match (socket.local.ip(), socket.remote.ip()) {
            (IpAddr::V4(local), IpAddr::V4(remote)) => self.ipv4.push(Key {
                local: local.to_bits(),
                remote: remote.to_bits(),
                local_port,
                remote_port,
                inode,
            }),
            (local, remote) => self.ipv6.push(Key {
                local: six(local).to_bits(),
                remote: six(remote).to_bits(),
                local_port,
                remote_port,
                inode,
            }),
        }
    }

    fn ends(&self) -> Ends {
        let Self { ipv4, ipv6 } = self;
        let ports = |of_4: fn(&Key<u32>) -> u16, of_6: fn(&Key<u128>) -> u16| {
            distinct(ipv4.iter().map(of_4).chain(ipv6.iter().map(of_6)))
        };
        let inodes = ipv4.iter().map(|key| key.inode);
        let inodes = inodes.chain(ipv6.iter().map(|key| key.inode));
        Ends {
            sockets: (ipv4.len() + ipv6.len()) as u64,
            local_addresses: distinct(ipv4.iter().map(|key| key.local))
                + distinct(ipv6.iter().map(|key| key.local)),
            local_ports: ports(|key| key.local_port, |key| key.local_port),
            remote_addresses: distinct(ipv4.iter().map(|key| key.remote))
                + distinct(ipv6.iter().map(|key| key.remote)),
            remote_ports: ports(|key| key.remote_port, |key| key.remote_port),
            four_tuples: distinct(ipv4.iter().map(Key::four_tuple))
                + distinct(ipv6.iter().map(Key::four_tuple)),
            inodes: distinct(inodes.filter(|&inode| inode != 0)),
        }
    }
}

fn six(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn distinct<Value: Ord>(values: impl Iterator<Item = Value>) -> u64 {
    let mut values: Vec<Value> = values.collect();
    values.sort_unstable();
    values.dedup();
    values.len() as u64
}

#[cfg(test)]
#[path = "sock_diag_tests.rs"]
mod tests;
