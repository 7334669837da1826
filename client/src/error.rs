//! Why the load generator cannot go on, and which limit was met.

use fourtuple_ring::{ConnectFailure, Errno, RingError, SetupError, errno_name};
use fourtuple_spec::limiter;
use fourtuple_spec::payload::Mismatch;
use std::net::SocketAddr;

/// Why the load generator cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct LoadError {
    /// What failed and what to do about it.
    pub error: String,
    /// The limit that was met, by name, if it was one.
    pub limiter: Option<String>,
    /// Connections that were open when it happened, if that is known.
    pub connections_held: Option<u32>,
}

impl LoadError {
    /// A failure that is no limit.
    pub(crate) fn new(error: impl Into<String>) -> Self {
        Self {
            error: error.into(),
            limiter: None,
            connections_held: None,
        }
    }

    /// Nothing to send on.
    pub(crate) fn none_open() -> Self {
        Self::new("no connection is open: nothing can echo")
    }

    /// No memory of this process's own.
    pub(crate) fn memory(error: impl Into<String>) -> Self {
        Self::limited(limiter::MEMORY, error)
    }

    /// Whether it was for want of memory.
    pub(crate) fn is_memory(&self) -> bool {
        self.limiter.as_deref() == Some(limiter::MEMORY)
    }

    /// A limit that was met, by the name under which the system knows it.
    pub(crate) fn limited(limiter: &str, error: impl Into<String>) -> Self {
        Self {
            limiter: Some(limiter.to_owned()),
            ..Self::new(error)
        }
    }

    /// The same, with the connections that were open.
    pub(crate) fn holding(self, connections: u32) -> Self {
        Self {
            connections_held: Some(connections),
            ..self
        }
    }

    /// A connection that could not be opened.
    pub(crate) fn connect(failure: ConnectFailure, target: SocketAddr, index: u32) -> Self {
        Self::opening(failure.step.name(), failure.errno, target, index)
    }

    /// A call on the way to an open connection that failed.
    pub(crate) fn opening(call: &str, errno: Errno, target: SocketAddr, index: u32) -> Self {
        let name = errno_name(errno);
        let what = format!("{call} of connection {index} to {target}: {name}");
        match errno {
            Errno::ADDRNOTAVAIL => Self::limited(
                limiter::PORT_RANGE,
                format!(
                    "{what}: no local port is free towards this address; widen \
                     net.ipv4.ip_local_port_range, or use more source or destination addresses"
                ),
            ),
            Errno::NFILE => Self::limited(
                limiter::FILE_MAX,
                format!("{what}: the machine is out of open files; raise the sysctl fs.file-max"),
            ),
            Errno::MFILE => Self::limited(
                limiter::DESCRIPTORS,
                format!("{what}: this process is out of descriptors; raise `ulimit -n`"),
            ),
            Errno::NOMEM | Errno::NOBUFS => Self::limited(
                limiter::MEMORY,
                format!("{what}: free memory, or hold fewer connections"),
            ),
            Errno::CONNREFUSED => Self::new(format!(
                "{what}: nothing listens there; is the server running?"
            )),
            Errno::TIMEDOUT => Self::limited(
                limiter::ACCEPT_QUEUE,
                format!(
                    "{what}: the handshake was never answered; look at the server's backlog, \
                     net.core.somaxconn and net.ipv4.tcp_max_syn_backlog"
                ),
            ),
            _ => Self::new(what),
        }
    }

    /// An echo that is not what was sent.
    #[cold]
    pub(crate) fn mismatch(mismatch: Mismatch) -> Self {
        Self::new(format!("the server does not echo: {mismatch}"))
    }

    /// More came than was asked for.
    #[cold]
    pub(crate) fn unasked(connection_index: u32, sequence: u32) -> Self {
        Self::new(format!(
            "connection {connection_index}: more came back than was sent (message {sequence} again, or data \
             of the server's own)"
        ))
    }

    /// A connection that ended while it was needed.
    pub(crate) fn lost(connection_index: u32, how: &str) -> Self {
        Self::new(format!(
            "connection {connection_index} {how} while an echo was awaited: the server died, or it \
             does not keep connections open"
        ))
    }
}

impl From<RingError> for LoadError {
    fn from(error: RingError) -> Self {
        let text = format!("the client's ring: {error}");
        match error {
            RingError::Enter(Errno::NOMEM | Errno::NOBUFS) | RingError::Stuck => {
                Self::limited(limiter::MEMORY, text)
            }
            _ => Self::new(text),
        }
    }
}

impl From<SetupError> for LoadError {
    fn from(error: SetupError) -> Self {
        let text = format!("the client needs io_uring: {error}");
        match error {
            SetupError::Table { .. } | SetupError::Descriptors { .. } => {
                Self::limited(limiter::DESCRIPTORS, text)
            }
            SetupError::Memory { .. } => Self::limited(limiter::MEMORY, text),
            SetupError::Disabled(_) | SetupError::Filtered | SetupError::Missing => {
                let advice = "The load generator of `--client spin` does without io_uring";
                Self::limited(limiter::IO_URING, format!("{text}. {advice}"))
            }
            _ => Self::new(text),
        }
    }
}
