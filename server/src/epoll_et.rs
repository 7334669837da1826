//! The edge-triggered epoll engine, as epoll(7) and the servers that are known for it do it: every
//! connection is registered once, for everything, and never again.
//!
//! An edge is told once, so a connection is received from until nothing is left. A receive that did not
//! fill the buffer has emptied the socket: epoll(7) says so, and it saves the call that would only be
//! told EAGAIN. Not where the peer has hung up: the end of its half is found by receiving it. A
//! connection that could not send all waits for the edge of room to send, and then receives again,
//! because edges of what came meanwhile are spent.
//!
//! Against `epoll` it saves the two `epoll_ctl` of a peer that stalls, and pays an event for each new
//! connection, which has room to send from the start.

use crate::epoll::keep;
use crate::leftover::{Leftover, Sent, send};
use crate::listen::{Accepted, BACKLOG, accept};
use crate::table::Table;
use crate::watch::{Watch, room_for_events, wait};
use crate::worker::{Serve, Worker, buffer_bytes};
use crate::{Counters, ServeError};
use rustix::event::epoll;
use rustix::event::epoll::{CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// User data of the two descriptors that are no connection; a connection's is its descriptor.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

/// Full receives of one connection in a turn: a peer that sends without end is not to have the server to
/// itself. One more that is due is asked for by arming again, which tells what is there as a new edge.
const RECEIVES_MAX: u32 = 16;

struct EdgeServer {
    epoll: OwnedFd,
    listener: TcpListener,
    counters: Arc<Counters>,
    buffer: Box<[u8]>,
    connections: Table,
    /// The unsent ends of connections whose peers do not read, by descriptor.
    leftovers: HashMap<usize, Leftover>,
    watch: Option<Watch>,
    /// Held open for as long as epoll watches it.
    _stop: OwnedFd,
}

/// What a connection is registered for.
fn every_edge() -> EventFlags {
    EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET
}

/// The peer has closed its side, or the connection has failed.
fn hung_up() -> EventFlags {
    EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)
        .map_err(|errno| ServeError::refused("epoll_create1", errno))?;
    // Level-triggered, these two: the listener so that a turn need not take all that waits.
    let add = |descriptor: &dyn std::os::fd::AsFd, data| {
        epoll::add(&epoll, descriptor, EventData::new_u64(data), EventFlags::IN)
            .map_err(|errno| ServeError::refused("epoll_ctl", errno))
    };
    add(&worker.listener, LISTENER)?;
    add(&worker.stop, STOP)?;
    keep(&worker.counters);
    Ok(Box::new(EdgeServer {
        epoll,
        listener: worker.listener,
        counters: worker.counters,
        buffer: vec![0; buffer_bytes(worker.options.message_bytes, 64 * 1024)].into(),
        connections: Table::default(),
        leftovers: HashMap::new(),
        watch: Watch::new(worker.options.factors.spin),
        _stop: worker.stop,
    }))
}

impl Serve for EdgeServer {
    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let mut events = room_for_events();
        loop {
            let count = wait(&self.epoll, &mut events, self.watch, &self.counters)?;
            // A descriptor that is closed and accepted anew in the same turn cannot be taken for the old
            // one: a turn reports a descriptor at most once, and its own event closes it.
            for event in &events[..count] {
                let (flags, data) = (event.flags, event.data);
                match data.u64() {
                    LISTENER => self.accept_all()?,
                    STOP => return Ok(()),
                    connection => self.handle(connection as usize, flags)?,
                }
            }
        }
    }
}

impl EdgeServer {
    /// Accepts what waits, at most a backlog a turn: those that are open get their turn too.
    fn accept_all(&mut self) -> Result<(), ServeError> {
        for _ in 0..BACKLOG {
            self.counters.system_calls.add(1);
            match accept(&self.listener)? {
                Accepted::Connection(connection) => {
                    let data = EventData::new_u64(connection.as_raw_fd() as u64);
                    self.counters.system_calls.add(1);
                    epoll::add(&self.epoll, &connection, data, every_edge())
                        .map_err(|errno| ServeError::refused("epoll_ctl", errno))?;
                    self.connections.insert(connection);
                    self.counters.accepted.add(1);
                }
                Accepted::Gone => {}
                Accepted::Drained => break,
            }
        }
        Ok(())
    }

    #[inline]
    fn handle(&mut self, index: usize, flags: EventFlags) -> Result<(), ServeError> {
        if !self.leftovers.is_empty()
            && let Some(leftover) = self.leftovers.remove(&index)
        {
            return self.flush(index, leftover, flags);
        }
        if flags.intersects(EventFlags::IN | hung_up()) {
            return self.echo(index, flags);
        }
        // Room to send, which nothing waits for.
        Ok(())
    }

    /// Echoes until nothing is left to receive, or no room is left to send.
    #[inline]
    fn echo(&mut self, index: usize, flags: EventFlags) -> Result<(), ServeError> {
        for _ in 0..RECEIVES_MAX {
            if !self.echo_once(index, flags) {
                return Ok(());
            }
        }
        self.arm_again(index)
    }

    /// Receives once and sends it back. Whether there may be more to receive.
    #[inline]
    fn echo_once(&mut self, index: usize, flags: EventFlags) -> bool {
        let Some(connection) = self.connections.get(index) else {
            return false;
        };
        self.counters.system_calls.add(1);
        match rustix::net::recv(connection, &mut *self.buffer, RecvFlags::empty()) {
            Ok((bytes @ 1.., _)) => {
                self.counters.system_calls.add(1);
                self.counters.received_bytes.add(bytes as u64);
                match send(connection, &self.buffer[..bytes]) {
                    Sent::All => return bytes == self.buffer.len() || flags.intersects(hung_up()),
                    Sent::Rest(leftover) => {
                        self.leftovers.insert(index, leftover);
                    }
                    Sent::Broken => self.close(index),
                }
            }
            Err(Errno::INTR) => return true,
            Err(Errno::AGAIN) => {}
            // Broken, or the peer has ended its half: nothing is left to send either.
            Ok(_) | Err(_) => self.close(index),
        }
        false
    }

    /// Sends what is left; once all is sent, receives again.
    #[cold]
    fn flush(
        &mut self,
        index: usize,
        leftover: Leftover,
        flags: EventFlags,
    ) -> Result<(), ServeError> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        if !flags.intersects(EventFlags::OUT | EventFlags::HUP | EventFlags::ERR) {
            self.leftovers.insert(index, leftover);
            return Ok(());
        }
        self.counters.system_calls.add(1);
        match leftover.flush(connection) {
            Sent::All => self.echo(index, flags)?,
            Sent::Rest(leftover) => {
                self.leftovers.insert(index, leftover);
            }
            Sent::Broken => self.close(index),
        }
        Ok(())
    }

    /// Has what is there reported once more, when the others have had their turn.
    #[cold]
    fn arm_again(&self, index: usize) -> Result<(), ServeError> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        self.counters.system_calls.add(1);
        let data = EventData::new_u64(index as u64);
        epoll::modify(&self.epoll, connection, data, every_edge())
            .map_err(|errno| ServeError::refused("epoll_ctl", errno))
    }

    /// Closes; epoll forgets a descriptor by itself when its last copy is closed.
    fn close(&mut self, index: usize) {
        self.connections.remove(index);
        self.counters.system_calls.add(1);
        self.counters.closed.add(1);
    }
}
