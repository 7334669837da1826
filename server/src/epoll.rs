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
use std::ops::ControlFlow;
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

/// User data of the two descriptors that are no connection; a connection's is its descriptor.
const LISTENER: u64 = u64::MAX;
const STOP: u64 = u64::MAX - 1;

struct EpollServer {
    sockets: Sockets,
    watch: Option<Watch>,
}

/// All that an epoll instance watches, and what is done when it reports an event.
pub(crate) struct Sockets {
    pub(crate) epoll: OwnedFd,
    pub(crate) counters: Arc<Counters>,
    listener: TcpListener,
    buffer: Box<[u8]>,
    connections: Table,
    /// The unsent ends of connections whose peers do not read, by descriptor.
    leftovers: HashMap<usize, Leftover>,
    /// Held open for as long as epoll watches it.
    _stop: OwnedFd,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let watch = Watch::new(worker.options.factors.spin);
    let sockets = Sockets::new(worker)?;
    Ok(Box::new(EpollServer { sockets, watch }))
}

impl Serve for EpollServer {
    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let Self { sockets, watch } = &mut *self;
        let mut events = room_for_events();
        loop {
            let count = wait(&sockets.epoll, &mut events, *watch, &sockets.counters)?;
            // A descriptor closed here and accepted anew in the same turn cannot be taken for the
            // old one: a turn reports a descriptor at most once, and its own event closes it.
            for event in &events[..count] {
                let (flags, data) = (event.flags, event.data);
                if sockets.take(data.u64(), flags)?.is_break() {
                    return Ok(());
                }
            }
        }
    }
}

impl Sockets {
    /// Watches the listener and the stop event of `worker`.
    pub(crate) fn new(worker: Worker) -> Result<Self, ServeError> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)
            .map_err(|errno| ServeError::refused("epoll_create1", errno))?;
        let add = |descriptor: &dyn std::os::fd::AsFd, data| {
            epoll::add(&epoll, descriptor, EventData::new_u64(data), EventFlags::IN)
                .map_err(|errno| ServeError::refused("epoll_ctl", errno))
        };
        add(&worker.listener, LISTENER)?;
        add(&worker.stop, STOP)?;
        keep(&worker.counters);
        Ok(Self {
            epoll,
            counters: worker.counters,
            listener: worker.listener,
            buffer: vec![0; buffer_bytes(worker.options.message_bytes, 64 * 1024)].into(),
            connections: Table::default(),
            leftovers: HashMap::new(),
            _stop: worker.stop,
        })
    }

    /// Does what an event asks for; breaks off once the server is asked to stop.
    #[inline]
    pub(crate) fn take(
        &mut self,
        data: u64,
        flags: EventFlags,
    ) -> Result<ControlFlow<()>, ServeError> {
        match data {
            LISTENER => self.accept_all()?,
            STOP => return Ok(ControlFlow::Break(())),
            connection => self.handle(connection as usize, flags)?,
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Accepts what waits, at most a backlog a turn: in a storm of connects, those that are open
    /// already get their turn too, and the listener is reported again.
    fn accept_all(&mut self) -> Result<(), ServeError> {
        for _ in 0..BACKLOG {
            self.counters.system_calls.add(1);
            match accept(&self.listener)? {
                Accepted::Connection(connection) => {
                    let data = EventData::new_u64(connection.as_raw_fd() as u64);
                    self.counters.system_calls.add(1);
                    epoll::add(&self.epoll, &connection, data, EventFlags::IN)
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
        self.counters.system_calls.add(1);
        match rustix::net::recv(connection, &mut *self.buffer, RecvFlags::empty()) {
            Ok((bytes @ 1.., _)) => {
                self.counters.system_calls.add(1);
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
            // Broken, or the peer has ended its half. Nothing is left to send: a connection with a
            // leftover does not receive. What the kernel still holds it delivers after the close.
            Ok(_) | Err(_) => self.close(index),
        }
        Ok(())
    }

    /// Sends what is left; once all is sent, receives again.
    #[cold]
    fn flush(&mut self, index: usize, leftover: Leftover) -> Result<(), ServeError> {
        let Some(connection) = self.connections.get(index) else {
            return Ok(());
        };
        self.counters.system_calls.add(1);
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
        self.counters.system_calls.add(1);
        let data = EventData::new_u64(index as u64);
        epoll::modify(&self.epoll, connection, data, flags)
            .map_err(|errno| ServeError::refused("epoll_ctl", errno))
    }

    /// Closes; epoll forgets a descriptor by itself when its last copy is closed.
    fn close(&mut self, index: usize) {
        self.connections.remove(index);
        self.counters.system_calls.add(1);
        self.counters.closed.add(1);
    }
}

/// Begins the counts that every engine on epoll keeps.
pub(crate) fn keep(counters: &Counters) {
    for count in [
        &counters.accepted,
        &counters.closed,
        &counters.received_bytes,
        &counters.system_calls,
        &counters.enters,
        &counters.completions,
    ] {
        count.keep();
    }
}
