//! The client's half of the floor: plain non-blocking `recv` and `send` over every connection in
//! turn, no event loop, a core always busy. The same verification and the same clock as the ring's.

use crate::conductor::Conductor;
use crate::connection::Connection;
use crate::members::Members;
use crate::ramp::Blocks;
use crate::{Growth, LoadError, Warm};
use fourtuple_ring::{ConnectFailure, ConnectStep, Errno, errno_name};
use fourtuple_spec::message::{Measured, Ramp};
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::{ClientCounters, Round};
use fourtuple_spec::{AddressPlan, Case};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType, ipproto, sockopt};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

const BUFFER_BYTES: usize = 64 * 1024;

/// The spinning load generator.
pub(crate) struct SpinLoad {
    case: Case,
    target: SocketAddr,
    pattern: Pattern,
    sockets: Vec<OwnedFd>,
    connections: Vec<Connection>,
    /// Connections that have echoed since the ramp.
    proved: u32,
}

impl SpinLoad {
    pub(crate) fn prepare(case: &Case, target: SocketAddr) -> Result<Self, LoadError> {
        if case.depth != 1 {
            return Err(LoadError::new(
                "the spinning client keeps one message in flight: use depth 1",
            ));
        }
        if case.message_bytes as usize > BUFFER_BYTES {
            return Err(LoadError::new(format!(
                "the spinning client sends a message before it reads, so a message of {} B could block both \
                 sides for good: use at most {BUFFER_BYTES} B, or `--client uring`",
                case.message_bytes
            )));
        }
        if case.active_connections < case.hot() {
            return Err(LoadError::new(
                "the spinning client keeps every connection of the measured span busy: active_connections \
                 must be at least that many",
            ));
        }
        Ok(Self {
            case: case.clone(),
            target,
            pattern: Pattern::new(case.message_bytes),
            sockets: Vec::new(),
            connections: Vec::new(),
            proved: 0,
        })
    }

    /// Closes every connection by a reset: nothing is left in TIME_WAIT for the next run to meet.
    pub(crate) fn drain(self) {
        for socket in &self.sockets {
            // Refused only for a socket that is closed already, by the server.
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }

    pub(crate) fn ramp(
        &mut self,
        progress: &mut dyn FnMut(u32) -> Growth,
    ) -> Result<Ramp, LoadError> {
        let plan = AddressPlan::new(
            self.case.addresses,
            self.target,
            self.case.group_connections,
        );
        let mut blocks = Blocks::new(self.case.connections);
        let mut held = 0;
        while held < self.case.connections {
            let tuple = plan.four_tuple(held);
            match open(tuple.source, tuple.destination) {
                Ok(socket) => self.sockets.push(socket),
                Err(failure) => {
                    let error = LoadError::connect(failure, self.target, held);
                    if self.case.until_full && error.is_memory() {
                        break;
                    }
                    return Err(error.holding(held));
                }
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

    pub(crate) fn measure(&mut self, warm: &mut dyn FnMut(Warm)) -> Result<Measured, LoadError> {
        self.check_open()?;
        let members = Members::hot(&self.case);
        (0..members.count()).for_each(|rank| self.connections[members.index(rank) as usize].cool());
        let conductor = Conductor::new(&self.case, members.count(), self.proved);
        let conductor = self.play(conductor, members, warm)?;
        Ok(conductor.measured(ClientCounters::default()))
    }

    pub(crate) fn echo(&mut self, count: u64) -> Result<Duration, LoadError> {
        self.check_open()?;
        let conductor = Conductor::counting(&self.case, self.proved, count);
        let conductor = self.play(conductor, Members::all(&self.case), &mut |_| {})?;
        Ok(conductor.elapsed())
    }

    /// Every connection once, a window of neighbours at a time, which moves on as its first one is done.
    pub(crate) fn round(&mut self, active_connections: u32) -> Result<Round, LoadError> {
        self.check_open()?;
        let count = self.sockets.len();
        let active = active_connections.clamp(1, self.case.connections);
        let mut conductor = Conductor::rounding(&self.case, self.proved);
        let mut buffer = vec![0; BUFFER_BYTES];
        let (mut first, mut next) = (0, 0);
        loop {
            while next < count && conductor.in_flight < u64::from(active) {
                self.send(next, &mut conductor)?;
                next += 1;
            }
            for index in first..next {
                if self.connections[index].is_in_flight() {
                    self.poll(index, &mut buffer, &mut conductor)?;
                }
            }
            while first < next && !self.connections[first].is_in_flight() {
                first += 1;
            }
            let now_ns = conductor.now_ns();
            if conductor.advance(now_ns, &mut |_| {}, ClientCounters::default)? {
                self.proved = conductor.proved;
                return Ok(conductor.round(active));
            }
        }
    }

    fn check_open(&self) -> Result<(), LoadError> {
        if self.sockets.is_empty() {
            return Err(LoadError::none_open());
        }
        Ok(())
    }

    /// From the first message to the last echo.
    fn play(
        &mut self,
        mut conductor: Conductor,
        members: Members,
        warm: &mut dyn FnMut(Warm),
    ) -> Result<Conductor, LoadError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        for rank in 0..members.count() {
            if conductor.is_sending() {
                self.send(members.index(rank) as usize, &mut conductor)?;
            }
        }
        loop {
            for rank in 0..members.count() {
                let index = members.index(rank) as usize;
                if self.poll(index, &mut buffer, &mut conductor)? && conductor.is_sending() {
                    self.send(index, &mut conductor)?;
                }
            }
            let now_ns = conductor.now_ns();
            if conductor.advance(now_ns, warm, ClientCounters::default)? {
                self.proved = conductor.proved;
                return Ok(conductor);
            }
        }
    }

    /// Looks whether an echo has come, and is complete.
    #[inline]
    fn poll(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        conductor: &mut Conductor,
    ) -> Result<bool, LoadError> {
        let connection = &mut self.connections[index];
        let received = connection.received();
        let room = buffer.len().min(self.pattern.message_bytes() - received);
        let room = &mut buffer[..room];
        let bytes = match rustix::net::recv(&self.sockets[index], room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(LoadError::lost(index as u32, "was closed by the server")),
            Ok((_, bytes)) => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(false),
            Err(errno) => return Err(failed(index, errno)),
        };
        self.pattern
            .check(
                index as u32,
                connection.sequence,
                received,
                &buffer[..bytes],
            )
            .map_err(LoadError::mismatch)?;
        if received + bytes < self.pattern.message_bytes() {
            connection.add_received(bytes);
            return Ok(false);
        }
        if !connection.is_in_flight() {
            return Err(LoadError::unasked(index as u32, connection.sequence));
        }
        let now_ns = conductor.now_ns();
        let latency_ns = connection.latency_ns(now_ns);
        let proof = connection.complete();
        connection.end();
        conductor.echoed(now_ns, latency_ns, proof);
        Ok(true)
    }

    /// Sends the next message. A message larger than the socket takes at once blocks until it is
    /// taken, which is right for a floor that is about messages a receive can hold.
    #[inline]
    fn send(&mut self, index: usize, conductor: &mut Conductor) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        connection.begin(conductor.now_ns());
        conductor.in_flight += 1;
        let mut message = self.pattern.message(index as u32, connection.sequence);
        while !message.is_empty() {
            match rustix::net::send(&self.sockets[index], message, SendFlags::NOSIGNAL) {
                Ok(sent) => message = &message[sent..],
                Err(Errno::INTR) => {}
                Err(errno) => return Err(failed(index, errno)),
            }
        }
        Ok(())
    }
}

/// Opens a connection.
pub(crate) fn open(
    source: Option<std::net::IpAddr>,
    destination: SocketAddr,
) -> Result<OwnedFd, ConnectFailure> {
    let at = |step| move |errno| ConnectFailure { step, errno };
    let family = if destination.is_ipv4() {
        AddressFamily::INET
    } else {
        AddressFamily::INET6
    };
    let socket = rustix::net::socket(family, SocketType::STREAM, Some(ipproto::TCP))
        .map_err(at(ConnectStep::Socket))?;
    sockopt::set_tcp_nodelay(&socket, true).map_err(at(ConnectStep::Option))?;
    if let Some(source) = source {
        rustix::net::bind(&socket, &SocketAddr::new(source, 0)).map_err(at(ConnectStep::Bind))?;
    }
    rustix::net::connect(&socket, &destination).map_err(at(ConnectStep::Connect))?;
    Ok(socket)
}

pub(crate) fn failed(index: usize, errno: Errno) -> LoadError {
    LoadError::lost(index as u32, &format!("failed with {}", errno_name(errno)))
}
