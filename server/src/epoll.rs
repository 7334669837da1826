//! The epoll engine: the io_uring engine's twin, written with the same care.
//!
//! Level-triggered, so one `recv` an event is enough: no second one to see EAGAIN, and what did not
//! fit the buffer is simply reported again. What is received goes straight back from the one shared
//! buffer, which stays in the core's cache however many connections there are.
//!
//! A connection costs 4 bytes of user memory: its descriptor, in a table indexed by descriptor. Only
//! a connection whose peer does not read gets more, a [`Leftover`]; while it has one, it is watched
//! for room to send and not for data. So the flags of an event tell which of the two a connection is
//! in, and the hot path looks nothing up but the descriptor.

use crate::engine::{Serve, Worker, buffer_bytes};
use crate::leftover::{Leftover, Sent, send};
use crate::listen::{Accepted, BACKLOG, accept};
use crate::{Counters, ServeError};
use rustix::event::epoll;
use rustix::event::epoll::{CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::collections::HashMap;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// Events taken by one `epoll_wait`: enough to spread its cost to nothing, few enough (12 KiB) that
/// the array shares the first-level cache with the work itself.
const EVENTS_MAX: usize = 1024;

/// User data of the two descriptors that are no connection; a connection's is its descriptor.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

struct EpollServer {
    epoll: OwnedFd,
    listener: TcpListener,
    counters: Arc<Counters>,
    buffer: Box<[u8]>,
    connections: Table,
    /// The unsent ends of connections whose peers do not read, by descriptor.
    leftovers: HashMap<usize, Leftover>,
    /// Held open for as long as epoll watches it.
    _stop: OwnedFd,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let epoll = epoll::create(CreateFlags::CLOEXEC)
        .map_err(|errno| ServeError::refused("epoll_create1", errno))?;
    let watch =
        |result: Result<(), Errno>| result.map_err(|errno| ServeError::refused("epoll_ctl", errno));
    let data = EventData::new_u64;
    watch(epoll::add(
        &epoll,
        &worker.listener,
        data(LISTENER),
        EventFlags::IN,
    ))?;
    watch(epoll::add(&epoll, &worker.stop, data(STOP), EventFlags::IN))?;
    let counters = worker.counters;
    counters.accepted.keep();
    counters.closed.keep();
    counters.received_bytes.keep();
    counters.enters.keep();
    counters.completions.keep();
    Ok(Box::new(EpollServer {
        epoll,
        listener: worker.listener,
        counters,
        buffer: vec![0; buffer_bytes(worker.options.message_bytes, 64 * 1024)].into(),
        connections: Table::default(),
        leftovers: HashMap::new(),
        _stop: worker.stop,
    }))
}

impl Serve for EpollServer {
    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let none = Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = vec![none; EVENTS_MAX];
        loop {
            let count = match epoll::wait(&self.epoll, &mut events[..], None) {
                Ok(count) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(ServeError::refused("epoll_wait", errno)),
            };
            self.counters.enters.add(1);
            self.counters.completions.add(count as u64);
            // A descriptor closed here and accepted anew in the same turn cannot be taken for the
            // old one: a turn reports a descriptor at most once, and its own event closes it.
            for event in &events[..count] {
                let Event { flags, data } = *event;
                match data.u64() {
                    LISTENER => self.accept_all()?,
                    STOP => return Ok(()),
                    connection => self.handle(connection as usize, flags)?,
                }
            }
        }
    }
}

impl EpollServer {
    /// Accepts what waits, at most a backlog a turn: in a storm of connects, those that are open
    /// already get their turn too, and the listener is reported again.
    fn accept_all(&mut self) -> Result<(), ServeError> {
        for _ in 0..BACKLOG {
            match accept(&self.listener)? {
                Accepted::Connection(connection) => {
                    let index = connection.as_raw_fd() as usize;
                    let data = EventData::new_u64(index as u64);
                    epoll::add(&self.epoll, &connection, data, EventFlags::IN)
                        .map_err(|errno| ServeError::refused("epoll_ctl", errno))?;
                    self.connections.insert(index, connection);
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
        if flags == EventFlags::IN {
            return self.echo(index);
        }
        match self.leftovers.remove(&index) {
            Some(leftover) => self.flush(index, leftover),
            // Reset or closed: `recv` says so, after whatever came before it.
            None => self.echo(index),
        }
    }

    /// Receives once and sends it back.
    #[inline]
    fn echo(&mut self, index: usize) -> Result<(), ServeError> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        match rustix::net::recv(connection, &mut *self.buffer, RecvFlags::empty()) {
            // The peer has ended its half. Nothing is left to send: a connection with a leftover
            // does not receive. What the kernel still holds it delivers after the close.
            Ok((0, _)) => self.close(index),
            Ok((bytes, _)) => {
                self.counters.received_bytes.add(bytes as u64);
                match send(connection, &self.buffer[..bytes]) {
                    Sent::All => {}
                    Sent::Rest(leftover) => {
                        self.watch(index, EventFlags::OUT)?;
                        self.leftovers.insert(index, leftover);
                    }
                    Sent::Broken => self.close(index),
                }
            }
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => self.close(index),
        }
        Ok(())
    }

    /// Sends what is left; once all is sent, receives again.
    #[cold]
    fn flush(&mut self, index: usize, leftover: Leftover) -> Result<(), ServeError> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        match leftover.flush(connection) {
            Sent::All => self.watch(index, EventFlags::IN)?,
            Sent::Rest(leftover) => {
                self.leftovers.insert(index, leftover);
            }
            Sent::Broken => self.close(index),
        }
        Ok(())
    }

    #[cold]
    fn watch(&self, index: usize, flags: EventFlags) -> Result<(), ServeError> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        epoll::modify(
            &self.epoll,
            connection,
            EventData::new_u64(index as u64),
            flags,
        )
        .map_err(|errno| ServeError::refused("epoll_ctl", errno))
    }

    /// Closes; epoll forgets a descriptor by itself when its last copy is closed.
    fn close(&mut self, index: usize) {
        self.connections.remove(index);
        self.counters.closed.add(1);
    }
}

/// The connections, by descriptor: 4 bytes a slot, because `OwnedFd` is never -1. The kernel hands
/// out the lowest free descriptor, so the table is as long as the most connections ever open.
#[derive(Default)]
struct Table(Vec<Option<OwnedFd>>);

impl Table {
    #[inline]
    fn get(&self, index: usize) -> Option<&OwnedFd> {
        self.0.get(index)?.as_ref()
    }

    fn insert(&mut self, index: usize, connection: OwnedFd) {
        if index >= self.0.len() {
            self.0.resize_with(index + 1, || None);
        }
        self.0[index] = Some(connection);
    }

    fn remove(&mut self, index: usize) {
        if let Some(slot) = self.0.get_mut(index) {
            *slot = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_four_bytes() {
        assert_eq!(size_of::<Option<OwnedFd>>(), 4);
    }
}
