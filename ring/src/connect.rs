//! Opening a connection: socket, options, bind, connect, as one chain of linked requests.
//!
//! Where the ring cannot make sockets (before 6.11), the same steps are made by system calls, the
//! socket is moved into the table and its process descriptor is closed at once; only the connect
//! itself, which takes a round trip, goes through the ring.

use crate::operations::{ONE, file};
use crate::ring::{Ring, RingError};
use crate::token::{Operation, Slot, Token};
use io_uring::{opcode, squeue, types};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

/// A step of opening a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ConnectStep {
    /// `socket()` into a slot.
    Socket = 0,
    /// `setsockopt()`.
    Option = 1,
    /// `bind()` to the source address.
    Bind = 2,
    /// `connect()`.
    Connect = 3,
}

impl ConnectStep {
    pub(crate) fn from_attachment(attachment: u32) -> Self {
        match attachment {
            0 => Self::Socket,
            1 => Self::Option,
            2 => Self::Bind,
            _ => Self::Connect,
        }
    }

    /// The system call's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socket => "socket",
            Self::Option => "setsockopt",
            Self::Bind => "bind",
            Self::Connect => "connect",
        }
    }
}

/// A connection that could not be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectFailure {
    /// The step that failed.
    pub step: ConnectStep,
    /// How.
    pub errno: Errno,
}

/// Requests of the longest chain: socket, two options, bind, connect.
const CHAIN_MAX: usize = 5;
const IP_BIND_ADDRESS_NO_PORT: u32 = 24;

impl Ring {
    /// Opens a connection on slot `index`, which must be free, from `source` (the kernel's choice if
    /// `None`) to `destination`, with TCP_NODELAY. Answered by one [`crate::Event::Connected`].
    pub fn connect(
        &mut self,
        index: u32,
        source: Option<IpAddr>,
        destination: SocketAddr,
    ) -> Result<Slot, RingError> {
        let slot = self.begin_slot(index);
        if self.has_ring_sockets {
            self.connect_chain(slot, source, destination)?;
        } else if let Err(failure) = self.socket_by_system_calls(slot, source, destination) {
            self.pending_failure(slot, failure);
        } else {
            self.reserve(1)?;
            self.push_connect(slot, destination);
        }
        Ok(slot)
    }

    fn connect_chain(
        &mut self,
        slot: Slot,
        source: Option<IpAddr>,
        destination: SocketAddr,
    ) -> Result<(), RingError> {
        self.reserve(CHAIN_MAX)?;
        let domain = if destination.is_ipv4() {
            libc::AF_INET
        } else {
            libc::AF_INET6
        };
        let socket = opcode::Socket::new(domain, libc::SOCK_STREAM, 0)
            .file_index(types::DestinationSlot::try_from_slot_target(slot.index).ok());
        self.push_step(slot, ConnectStep::Socket, socket.build());
        self.push_option(slot, libc::IPPROTO_TCP, libc::TCP_NODELAY as u32);
        if let Some(source) = source {
            self.push_option(slot, libc::IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT);
            let (address, length) = self.keep_address(SocketAddr::new(source, 0));
            let bind = opcode::Bind::new(file(slot), address, length);
            self.push_step(slot, ConnectStep::Bind, bind.build());
        }
        self.push_connect(slot, destination);
        Ok(())
    }

    fn push_option(&mut self, slot: Slot, level: i32, name: u32) {
        let value: *const i32 = &ONE;
        let option = opcode::SetSockOpt::new(file(slot), level as u32, name, value.cast(), 4);
        self.push_step(slot, ConnectStep::Option, option.build());
    }

    /// Queues a step that is followed by another and answers only if it fails.
    fn push_step(&mut self, slot: Slot, step: ConnectStep, entry: squeue::Entry) {
        let flags = squeue::Flags::IO_LINK | squeue::Flags::SKIP_SUCCESS;
        self.push_unanswered(entry.flags(flags), step_token(slot, step));
    }

    fn push_connect(&mut self, slot: Slot, destination: SocketAddr) {
        let (address, length) = self.keep_address(destination);
        let connect = opcode::Connect::new(file(slot), address, length);
        self.push(connect.build(), step_token(slot, ConnectStep::Connect));
    }

    fn socket_by_system_calls(
        &mut self,
        slot: Slot,
        source: Option<IpAddr>,
        destination: SocketAddr,
    ) -> Result<(), ConnectFailure> {
        let at = |step| move |errno| ConnectFailure { step, errno };
        let family = if destination.is_ipv4() {
            AddressFamily::INET
        } else {
            AddressFamily::INET6
        };
        let flags = SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))
                .map_err(at(ConnectStep::Socket))?;
        sockopt::set_tcp_nodelay(&socket, true).map_err(at(ConnectStep::Option))?;
        if let Some(source) = source {
            set_bind_address_no_port(&socket).map_err(at(ConnectStep::Option))?;
            rustix::net::bind(&socket, &SocketAddr::new(source, 0))
                .map_err(at(ConnectStep::Bind))?;
        }
        self.install(slot, socket.as_raw_fd())
            .map_err(at(ConnectStep::Socket))
    }
}

fn set_bind_address_no_port(socket: &impl AsRawFd) -> Result<(), Errno> {
    // SAFETY: the descriptor is open for the length of the call, and `ONE` is four readable bytes.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_IP,
            IP_BIND_ADDRESS_NO_PORT as i32,
            (&raw const ONE).cast(),
            4,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// The calling thread's errno.
pub(crate) fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

fn step_token(slot: Slot, step: ConnectStep) -> Token {
    Token {
        operation: Operation::Connect,
        slot,
        attachment: step as u32,
    }
}
