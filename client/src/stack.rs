//! Both ends of every connection in one thread on one core: what TCP alone costs, with nobody who waits and
//! no event loop.
//!
//! One *turn* is a connection's: the client's end sends `depth` messages, one call each; the server's end
//! receives what has come and sends it back, one call each for up to 64 KiB; the client's end receives and
//! verifies. On `lo` a send delivers within the call, so at depth 1 that is four system calls, and none of
//! them finds nothing. Where one does (a full buffer, receive packet steering), the turn's steps are tried
//! again, for ten seconds at most.
//!
//! Turns go round all connections in order, each from its first send to its last echo before the next
//! begins. So at N connections one comes back when all the others have been through the caches, as in any
//! server, and what it keeps in memory is fetched once a round trip. The other way is to go by steps: all of a
//! batch send, then all are served, then all receive. It keeps the code of each step hot, as an event loop
//! does that is told of many connections at once, but it fetches a connection's memory three times, and what
//! comes out depends on the batch: that is a property of loops, which this is to be without.

use crate::conductor::Conductor;
use crate::connection::Connection;
use crate::ramp::Blocks;
use crate::spin::{failed, open};
use crate::{Growth, LoadError, Warm};
use fourtuple_ring::{Errno, errno_name};
use fourtuple_spec::message::{Measured, Ramp};
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::{ClientCounters, Round};
use fourtuple_spec::{AddressPlan, Case};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, ipproto, sockopt};
use rustix::process::{Resource, getrlimit};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

const BUFFER_BYTES: usize = 64 * 1024;
/// Each connection is accepted before the next is opened.
const BACKLOG: i32 = 16;
/// How long the server's end of an open connection may take to appear.
const ACCEPT_TIME: Duration = Duration::from_secs(10);
/// Descriptors that the process uses for other things.
const RESERVED_DESCRIPTORS: u64 = 16;
const DONT_WAIT: SendFlags = SendFlags::DONTWAIT.union(SendFlags::NOSIGNAL);

/// The load that has no server.
pub(crate) struct StackLoad {
    case: Case,
    plan: AddressPlan,
    /// Where the listener listens.
    address: SocketAddr,
    listener: OwnedFd,
    pattern: Pattern,
    pairs: Vec<Pair>,
    connections: Vec<Connection>,
    /// Connections that have echoed since the ramp.
    proved: u32,
    /// When each message of the present turn was sent, by sequence modulo depth.
    sent_ns: Vec<u64>,
    /// When the last echo was verified.
    now_ns: u64,
    server_buffer: Vec<u8>,
    client_buffer: Vec<u8>,
}

/// Both ends of a connection.
struct Pair {
    client: OwnedFd,
    server: OwnedFd,
}

/// How far a connection's turn is.
struct Turn {
    index: usize,
    /// The message that is sent next, and how much of it has been.
    next: u32,
    next_bytes: usize,
    /// The first message of the turn after this one.
    end: u32,
    /// What the server's end has received and not sent back, in its buffer.
    owed: Range<usize>,
}

impl StackLoad {
    pub(crate) fn prepare(case: &Case, target: SocketAddr) -> Result<Self, LoadError> {
        check_descriptors(case.connections)?;
        let plan = AddressPlan::new(case.addresses, target, case.group_connections);
        let (listener, address) = listen(listen_address(&plan, case.connections))?;
        let target = SocketAddr::new(target.ip(), address.port());
        Ok(Self {
            plan: AddressPlan::new(case.addresses, target, case.group_connections),
            address,
            listener,
            pattern: Pattern::new(case.message_bytes),
            pairs: Vec::new(),
            connections: Vec::new(),
            proved: 0,
            sent_ns: vec![0; case.depth.max(1) as usize],
            now_ns: 0,
            server_buffer: vec![0; BUFFER_BYTES],
            client_buffer: vec![0; BUFFER_BYTES],
            case: case.clone(),
        })
    }

    pub(crate) fn ramp(
        &mut self,
        progress: &mut dyn FnMut(u32) -> Growth,
    ) -> Result<Ramp, LoadError> {
        let mut blocks = Blocks::new(self.case.connections);
        let mut held = 0;
        while held < self.case.connections {
            match self.open_pair(held) {
                Ok(pair) => self.pairs.push(pair),
                Err(error) if self.case.until_full && error.is_memory() => break,
                Err(error) => return Err(error.holding(held)),
            }
            held += 1;
            blocks.reached(held);
            if progress(held) == Growth::Enough {
                break;
            }
        }
        self.case.connections = held;
        self.connections = vec![Connection::default(); held as usize];
        Ok(blocks.finish(held))
    }

    fn open_pair(&self, index: u32) -> Result<Pair, LoadError> {
        let tuple = self.plan.four_tuple(index);
        let client = open(tuple.source, tuple.destination)
            .map_err(|failure| LoadError::connect(failure, self.address, index))?;
        let server = self.accept(&client, index)?;
        Ok(Pair { client, server })
    }

    /// The other end of a connection that is open. Whoever else has connected is hung up on.
    fn accept(&self, client: &OwnedFd, index: u32) -> Result<OwnedFd, LoadError> {
        let refused = |errno| LoadError::opening("accept", errno, self.address, index);
        let own = rustix::net::getsockname(client).map_err(refused)?;
        let began = Instant::now();
        while began.elapsed() < ACCEPT_TIME {
            match rustix::net::acceptfrom_with(&self.listener, SocketFlags::CLOEXEC) {
                Ok((server, Some(peer))) if peer == own => return Ok(server),
                Ok(_) | Err(Errno::AGAIN | Errno::INTR | Errno::CONNABORTED) => {}
                Err(errno) => return Err(refused(errno)),
            }
        }
        Err(LoadError::new(format!(
            "the server's end of connection {index} did not appear within {} s",
            ACCEPT_TIME.as_secs()
        )))
    }

    pub(crate) fn measure(&mut self, warm: &mut dyn FnMut(Warm)) -> Result<Measured, LoadError> {
        self.check_open()?;
        self.connections.iter_mut().for_each(Connection::cool);
        let conductor = Conductor::new(&self.case, self.case.connections, self.proved);
        let conductor = self.play(conductor, self.case.depth, warm)?;
        Ok(conductor.measured(ClientCounters::default()))
    }

    pub(crate) fn echo(&mut self, count: u64) -> Result<Duration, LoadError> {
        self.check_open()?;
        let conductor = Conductor::counting(&self.case, self.proved, count);
        Ok(self.play(conductor, 1, &mut |_| {})?.elapsed())
    }

    /// Every connection once, one after the other: one is active at a time, however many may be.
    pub(crate) fn round(&mut self) -> Result<Round, LoadError> {
        self.check_open()?;
        let conductor = Conductor::rounding(&self.case, self.proved);
        Ok(self.play(conductor, 1, &mut |_| {})?.round(1))
    }

    fn check_open(&self) -> Result<(), LoadError> {
        match self.pairs.is_empty() {
            true => Err(LoadError::none_open()),
            false => Ok(()),
        }
    }

    /// From the first message to the last echo.
    fn play(
        &mut self,
        mut conductor: Conductor,
        depth: u32,
        warm: &mut dyn FnMut(Warm),
    ) -> Result<Conductor, LoadError> {
        self.now_ns = conductor.now_ns();
        loop {
            for index in 0..self.pairs.len() {
                self.turn(index, depth, &mut conductor)?;
                if conductor.advance(self.now_ns, warm, ClientCounters::default)? {
                    self.proved = conductor.proved;
                    return Ok(conductor);
                }
            }
        }
    }

    /// One turn of a connection.
    #[inline]
    fn turn(
        &mut self,
        index: usize,
        depth: u32,
        conductor: &mut Conductor,
    ) -> Result<(), LoadError> {
        let next = self.connections[index].sequence;
        let mut messages = 0;
        while messages < depth && conductor.is_sending() {
            conductor.in_flight += 1;
            messages += 1;
        }
        let mut turn = Turn {
            index,
            next,
            next_bytes: 0,
            end: next.wrapping_add(messages),
            owed: 0..0,
        };
        while self.connections[index].sequence != turn.end {
            let has_sent = self.send(&mut turn, conductor)?;
            let has_served = self.serve(&mut turn)?;
            let has_received = self.receive(&turn, conductor)?;
            if !(has_sent || has_served || has_received) {
                conductor.check_stall(conductor.now_ns())?;
            }
        }
        Ok(())
    }

    /// The client's end sends what it may and can. True if anything was moved, as in the steps below.
    #[inline]
    fn send(&mut self, turn: &mut Turn, conductor: &Conductor) -> Result<bool, LoadError> {
        let mut has_moved = false;
        while turn.next != turn.end {
            let message = self.pattern.message(turn.index as u32, turn.next);
            if turn.next_bytes == 0 {
                let at = stamp(&self.sent_ns, turn.next);
                self.sent_ns[at] = conductor.now_ns();
            }
            let left = &message[turn.next_bytes..];
            match rustix::net::send(&self.pairs[turn.index].client, left, DONT_WAIT) {
                Ok(bytes) if bytes == left.len() => {
                    turn.next = turn.next.wrapping_add(1);
                    turn.next_bytes = 0;
                }
                Ok(bytes) => turn.next_bytes += bytes,
                Err(Errno::AGAIN | Errno::INTR) => break,
                Err(errno) => return Err(failed(turn.index, errno)),
            }
            has_moved = true;
        }
        Ok(has_moved)
    }

    /// The server's end receives, and sends back.
    #[inline]
    fn serve(&mut self, turn: &mut Turn) -> Result<bool, LoadError> {
        let socket = &self.pairs[turn.index].server;
        let buffer = &mut self.server_buffer;
        let mut has_moved = false;
        if turn.owed.is_empty() {
            match rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
                Ok((_, 0)) => return Err(LoadError::lost(turn.index as u32, "was closed")),
                Ok((_, bytes)) => turn.owed = 0..bytes,
                Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
                Err(errno) => return Err(failed(turn.index, errno)),
            }
            has_moved = true;
        }
        match rustix::net::send(socket, &buffer[turn.owed.clone()], DONT_WAIT) {
            Ok(bytes) => turn.owed.start += bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(has_moved),
            Err(errno) => return Err(failed(turn.index, errno)),
        }
        Ok(true)
    }

    /// The client's end receives, and verifies.
    #[inline]
    fn receive(&mut self, turn: &Turn, conductor: &mut Conductor) -> Result<bool, LoadError> {
        let socket = &self.pairs[turn.index].client;
        let buffer = &mut self.client_buffer;
        let bytes = match rustix::net::recv(socket, &mut buffer[..], RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(LoadError::lost(turn.index as u32, "was closed")),
            Ok((_, bytes)) => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(failed(turn.index, errno)),
        };
        self.now_ns = conductor.now_ns();
        self.verify(turn, bytes, conductor)?;
        Ok(true)
    }

    /// Checks received bytes against what was sent, message by message.
    #[inline]
    fn verify(
        &mut self,
        turn: &Turn,
        bytes: usize,
        conductor: &mut Conductor,
    ) -> Result<(), LoadError> {
        let index = turn.index as u32;
        let connection = &mut self.connections[turn.index];
        let mut left = &self.client_buffer[..bytes];
        while !left.is_empty() {
            let (sequence, received) = (connection.sequence, connection.received());
            if sequence == turn.end {
                return Err(LoadError::unasked(index, sequence));
            }
            let room = self.pattern.message_bytes() - received;
            let (piece, rest) = left.split_at(left.len().min(room));
            (self.pattern)
                .check(index, sequence, received, piece)
                .map_err(LoadError::mismatch)?;
            left = rest;
            if piece.len() < room {
                connection.add_received(piece.len());
                continue;
            }
            let sent_ns = self.sent_ns[stamp(&self.sent_ns, sequence)];
            let proof = connection.complete();
            conductor.echoed(self.now_ns, self.now_ns.saturating_sub(sent_ns), proof);
        }
        Ok(())
    }

    /// Closes every connection by a reset: nothing is left in TIME_WAIT.
    pub(crate) fn drain(self) {
        for pair in self.pairs {
            // Refused only for a socket that is closed already.
            let _ = sockopt::set_socket_linger(&pair.client, Some(Duration::ZERO));
            drop(pair.client);
            drop(pair.server);
        }
    }
}

/// Where the time of a message is kept.
#[inline]
fn stamp(sent_ns: &[u64], sequence: u32) -> usize {
    sequence as usize % sent_ns.len()
}

fn check_descriptors(connections: u32) -> Result<(), LoadError> {
    let Some(limit) = getrlimit(Resource::Nofile).current else {
        return Ok(());
    };
    let needed = 2 * u64::from(connections) + RESERVED_DESCRIPTORS;
    if needed <= limit {
        return Ok(());
    }
    Err(LoadError::limited(
        fourtuple_spec::limiter::DESCRIPTORS,
        format!(
            "RLIMIT_NOFILE is {limit}, and {connections} connections with both ends in one process need \
             {needed} descriptors: `ulimit -n {needed}`, or ask for fewer connections"
        ),
    ))
}

/// The address that all of the plan's destinations reach.
fn listen_address(plan: &AddressPlan, connections: u32) -> SocketAddr {
    let first = plan.four_tuple(0).destination;
    let last = plan.four_tuple(connections.saturating_sub(1)).destination;
    match first.ip() == last.ip() {
        true => first,
        false => SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), first.port()),
    }
}

fn listen(address: SocketAddr) -> Result<(OwnedFd, SocketAddr), LoadError> {
    let listened = || -> Result<(OwnedFd, SocketAddr), Errno> {
        let family = match address.is_ipv4() {
            true => AddressFamily::INET,
            false => AddressFamily::INET6,
        };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let listener =
            rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        // Accepted sockets inherit it.
        sockopt::set_tcp_nodelay(&listener, true)?;
        rustix::net::bind(&listener, &address)?;
        rustix::net::listen(&listener, BACKLOG)?;
        let address = SocketAddr::try_from(rustix::net::getsockname(&listener)?)?;
        Ok((listener, address))
    };
    listened().map_err(|errno| {
        let name = errno_name(errno);
        LoadError::new(format!("cannot listen on {address}: {name}"))
    })
}
