//! The listening socket, and what `accept` may be refused with.

use crate::{Options, ServeError, keeper};
use fourtuple_spec::record::Grant;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, OwnedFd};

/// How many connections may have arrived between two accepts.
///
/// A SYN that finds the backlog full is dropped and costs its sender a second. Load generators keep
/// fewer connects in flight than this, so a server that accepts at all never drops one; the kernel
/// clamps it to `net.core.somaxconn`, whose default has been 4,096 since Linux 5.4.
pub(crate) const BACKLOG: u32 = 4096;

/// The backlog that these options need.
///
/// Whoever holds states without an engine may leave connections where they are: all of them have to
/// find room. Twice as much, because a queue of half-open ones that is more than half full gives up
/// the oldest early.
pub(crate) fn backlog(options: &Options) -> u32 {
    match (options.state, options.connections) {
        (Some(state), Some(connections)) if keeper::keeps(state) => connections
            .saturating_mul(2)
            .clamp(BACKLOG, i32::MAX as u32),
        _ => BACKLOG,
    }
}

/// Listens on `address`, non-blocking, with the options that accepted sockets inherit.
pub(crate) fn listen(
    address: SocketAddr,
    reuse_port: bool,
    backlog: u32,
) -> Result<TcpListener, ServeError> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(family, SocketType::STREAM, flags, None)
        .map_err(|errno| ServeError::refused("socket", errno))?;
    set_options(&socket, reuse_port).map_err(|errno| ServeError::refused("setsockopt", errno))?;
    rustix::net::bind(&socket, &address)
        .and_then(|()| rustix::net::listen(&socket, backlog as i32))
        .map_err(|errno| explain(address, errno))?;
    Ok(TcpListener::from(socket))
}

fn set_options(socket: &OwnedFd, reuse_port: bool) -> Result<(), Errno> {
    // Without it, TIME_WAIT of an earlier server refuses the port for a minute.
    sockopt::set_socket_reuseaddr(socket, true)?;
    if reuse_port {
        sockopt::set_socket_reuseport(socket, true)?;
    }
    // Inherited by what is accepted. Without it a second small echo would wait for the first one's
    // acknowledgement.
    sockopt::set_tcp_nodelay(socket, true)
}

fn explain(address: SocketAddr, errno: Errno) -> ServeError {
    let advice = match errno {
        Errno::ADDRINUSE => {
            "another socket listens there: stop it, or choose another port (0 lets the kernel pick)"
        }
        Errno::ACCESS => {
            "the port is privileged: choose one above 1023, lower net.ipv4.ip_unprivileged_port_start, or run as root"
        }
        Errno::ADDRNOTAVAIL => "no interface of this machine has that address",
        _ => "the kernel refused",
    };
    ServeError::new(format!("listen on {address}: {errno}; {advice}"))
}

/// Whether the kernel takes the backlog as it is, or clamps it.
pub(crate) fn backlog_granted(backlog: u32) -> Grant {
    let somaxconn = std::fs::read_to_string("/proc/sys/net/core/somaxconn")
        .ok()
        .and_then(|text| text.trim().parse::<u32>().ok());
    backlog_grant(backlog, somaxconn)
}

fn backlog_grant(backlog: u32, somaxconn: Option<u32>) -> Grant {
    let reason = match somaxconn {
        Some(limit) if limit >= backlog => None,
        Some(limit) => Some(format!("clamped by net.core.somaxconn = {limit}")),
        None => Some("net.core.somaxconn could not be read".to_owned()),
    };
    Grant {
        feature: format!("listen backlog {backlog}"),
        granted: reason.is_none(),
        reason,
    }
}

/// What an `accept` ended with.
pub(crate) enum Accepted {
    /// A connection: non-blocking, close-on-exec.
    Connection(OwnedFd),
    /// Nothing is waiting.
    Drained,
    /// A connection died before it was accepted; the next may be well.
    Gone,
}

/// Accepts one connection.
///
/// # Errors
/// Out of descriptors or memory. Trying again at once would spin, because the connection stays in
/// the backlog and the listener stays readable; leaving it there would hang its peer: the server
/// cannot go on.
pub(crate) fn accept(listener: impl AsFd) -> Result<Accepted, ServeError> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    match rustix::net::accept_with(&listener, flags) {
        Ok(connection) => Ok(Accepted::Connection(connection)),
        Err(Errno::AGAIN) => Ok(Accepted::Drained),
        Err(errno) if is_for_nobody(&listener, &errno.into()) => Ok(Accepted::Drained),
        Err(errno) => accept_refused(errno).map(|()| Accepted::Gone),
    }
}

/// Whether an `accept` found no free descriptor while no connection is waiting: the kernel looks for a descriptor first.
pub(crate) fn is_for_nobody(listener: &impl AsFd, error: &io::Error) -> bool {
    let errno = Errno::from_io_error(error);
    matches!(errno, Some(Errno::MFILE | Errno::NFILE)) && !is_one_waiting(listener)
}

fn is_one_waiting(listener: &impl AsFd) -> bool {
    let mut watched = [PollFd::new(listener, PollFlags::IN)];
    let now = Timespec::default();
    // What cannot be told is taken to be so: then the server ends, and names its limit.
    poll(&mut watched, Some(&now)).map_or(true, |count| count > 0)
}

/// Whether the errno of an `accept` is the server's trouble, or only that connection's.
///
/// # Errors
/// Those of [`accept`].
pub(crate) fn accept_refused(errno: Errno) -> Result<(), ServeError> {
    match errno {
        Errno::MFILE
        | Errno::NFILE
        | Errno::NOMEM
        | Errno::NOBUFS
        | Errno::BADF
        | Errno::INVAL
        | Errno::NOTSOCK
        | Errno::OPNOTSUPP => Err(ServeError::refused("accept", errno)),
        // accept(2): Linux hands on errors that are pending on the new socket; and EINTR.
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::limiter;

    #[test]
    fn a_clamped_backlog_is_not_granted_and_says_why() {
        assert!(backlog_grant(BACKLOG, Some(BACKLOG)).granted);
        let clamped = backlog_grant(BACKLOG, Some(128));
        assert!(!clamped.granted);
        assert!(clamped.reason.unwrap().contains("somaxconn = 128"));
        assert!(!backlog_grant(BACKLOG, None).granted);
    }

    #[test]
    fn no_descriptor_is_missed_while_nobody_waits() {
        let listener = listen("127.0.0.1:0".parse().unwrap(), false, 8).unwrap();
        let none_left = Errno::MFILE.into();
        assert!(is_for_nobody(&listener, &none_left));
        assert!(!is_for_nobody(&listener, &Errno::NOMEM.into()));
        let _peer = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        assert!(!is_for_nobody(&listener, &none_left));
    }

    #[test]
    fn only_the_servers_own_trouble_stops_it() {
        assert!(accept_refused(Errno::CONNABORTED).is_ok());
        assert!(accept_refused(Errno::INTR).is_ok());
        let error = accept_refused(Errno::MFILE).unwrap_err();
        assert_eq!(error.limiter.as_deref(), Some(limiter::DESCRIPTORS));
        let error = accept_refused(Errno::NFILE).unwrap_err();
        assert_eq!(error.limiter.as_deref(), Some(limiter::FILE_MAX));
    }
}
