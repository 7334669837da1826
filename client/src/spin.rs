//! The client's half of the floor: plain non-blocking `recv` and `send` over every connection in
//! turn, no event loop, a core always busy. The same verification and the same clock as the ring's.

use crate::conductor::Conductor;
use crate::uring::{Blocks, Connection};
use crate::{LoadError, Warm};
use fourtuple_ring::{ConnectFailure, ConnectStep, Errno, errno_name};
use fourtuple_spec::message::{Measured, Ramp};
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::record::ClientCounters;
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
        if case.active_connections < case.connections {
            return Err(LoadError::new(
                "the spinning client keeps every connection busy: active_connections must be at least connections",
            ));
        }
        Ok(Self {
            case: case.clone(),
            target,
            pattern: Pattern::new(case.message_bytes),
            sockets: Vec::new(),
            connections: Vec::new(),
        })
    }

    /// Closes every connection by a reset: nothing is left in TIME_WAIT for the next run to meet.
    pub(crate) fn drain(self) {
        for socket in &self.sockets {
            // Refused only for a socket that is closed already, by the server.
            let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
        }
    }

    pub(crate) fn ramp(&mut self, progress: &mut dyn FnMut(u32)) -> Result<Ramp, LoadError> {
        let count = self.case.connections;
        let plan = AddressPlan::new(
            self.case.addresses,
            self.target,
            self.case.group_connections,
        );
        let mut blocks = Blocks::new(count);
        for index in 0..count {
            let tuple = plan.four_tuple(index);
            let socket = open(tuple.source, tuple.destination).map_err(|failure| {
                LoadError::connect(failure, self.target, index).holding(index)
            })?;
            self.sockets.push(socket);
            blocks.reached(index + 1);
            if index % 1000 == 999 {
                progress(index + 1);
            }
        }
        self.connections = vec![Connection::default(); count as usize];
        Ok(blocks.finish(count))
    }

    pub(crate) fn measure(&mut self, warm: &mut dyn FnMut(Warm)) -> Result<Measured, LoadError> {
        let conductor = self.play(Conductor::new(&self.case), warm)?;
        Ok(conductor.measured(ClientCounters::default()))
    }

    pub(crate) fn echo(&mut self, count: u64) -> Result<Duration, LoadError> {
        let conductor = self.play(Conductor::counting(&self.case, count), &mut |_| {})?;
        Ok(conductor.elapsed())
    }

    /// From the first message to the last echo.
    fn play(
        &mut self,
        mut conductor: Conductor,
        warm: &mut dyn FnMut(Warm),
    ) -> Result<Conductor, LoadError> {
        let mut buffer = vec![0; BUFFER_BYTES];
        for index in 0..self.sockets.len() {
            if conductor.is_sending() {
                self.send(index, &mut conductor)?;
            }
        }
        loop {
            for index in 0..self.sockets.len() {
                self.poll(index, &mut buffer, &mut conductor)?;
            }
            let now_ns = conductor.now_ns();
            if conductor.advance(now_ns, warm)? {
                return Ok(conductor);
            }
        }
    }

    /// Looks whether an echo has come.
    #[inline]
    fn poll(
        &mut self,
        index: usize,
        buffer: &mut [u8],
        conductor: &mut Conductor,
    ) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        let received = connection.received as usize;
        let room = buffer.len().min(self.pattern.message_bytes() - received);
        let room = &mut buffer[..room];
        let bytes = match rustix::net::recv(&self.sockets[index], room, RecvFlags::DONTWAIT) {
            Ok((_, 0)) => return Err(LoadError::lost(index as u32, "was closed by the server")),
            Ok((_, bytes)) => bytes,
            Err(Errno::AGAIN | Errno::INTR) => return Ok(()),
            Err(errno) => return Err(failed(index, errno)),
        };
        self.pattern
            .check(
                index as u32,
                connection.sequence,
                received,
                &buffer[..bytes],
            )
            .map_err(|mismatch| LoadError::new(format!("the server does not echo: {mismatch}")))?;
        connection.received += bytes as u32;
        if (connection.received as usize) < self.pattern.message_bytes() {
            return Ok(());
        }
        let is_first = connection.sequence == 0;
        conductor.echoed(conductor.now_ns(), connection.sent_ns, is_first);
        connection.sequence = connection.sequence.wrapping_add(1);
        connection.received = 0;
        if conductor.is_sending() {
            self.send(index, conductor)?;
        }
        Ok(())
    }

    /// Sends the next message. A message larger than the socket takes at once blocks until it is
    /// taken, which is right for a floor that is about messages a receive can hold.
    #[inline]
    fn send(&mut self, index: usize, conductor: &mut Conductor) -> Result<(), LoadError> {
        let connection = &mut self.connections[index];
        connection.sent_ns = conductor.now_ns();
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

fn open(
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

fn failed(index: usize, errno: Errno) -> LoadError {
    LoadError::lost(index as u32, &format!("failed with {}", errno_name(errno)))
}
