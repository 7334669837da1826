//! A thread a connection, and blocking calls: the server that the standard library's documentation begins with.
//!
//! Each connection is accepted, given a thread by `std::thread::Builder`, and echoed on with `read` and
//! `write_all` until its peer has ended. The stack is the standard library's own (2 MiB, or RUST_MIN_STACK): it
//! is address space, of which a thread touches a few pages. What a connection costs is those pages, the buffer,
//! and in the kernel the thread itself with a stack of 16 KiB.
//!
//! Whoever blocks in `accept`, `read` or `write` watches no stop event. So one more thread sleeps on that,
//! and shuts the listener down; then every connection is shut down, and every thread returns by itself.
//!
//! A peer that does not read stops its own thread in `write`, and takes no more than its buffer.

use crate::counters::Share;
use crate::listen::is_for_nobody;
use crate::tasks::accept_failed;
use crate::worker::{Serve, Worker, buffer_bytes};
use crate::{Counters, ServeError, stop, thread_limit};
use rustix::event::{PollFd, PollFlags, poll};
use std::collections::HashMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, Builder, Scope};

struct ThreadServer {
    listener: TcpListener,
    stop: OwnedFd,
    counters: Arc<Counters>,
    buffer_bytes: usize,
    open: Open,
}

/// The connections that are open, by descriptor: they are shut down when the server stops.
#[derive(Default)]
struct Open(Mutex<HashMap<RawFd, Arc<TcpStream>>>);

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    worker
        .listener
        .set_nonblocking(false)
        .map_err(|error| ServeError::new(format!("a listener that blocks: {error}")))?;
    let counters = worker.counters;
    counters.accepted.keep();
    counters.closed.keep();
    counters.received_bytes.keep();
    counters.system_calls.keep();
    Ok(Box::new(ThreadServer {
        listener: worker.listener,
        stop: worker.stop,
        counters,
        // As with the other engines that have a buffer a connection.
        buffer_bytes: buffer_bytes(worker.options.message_bytes, 4096),
        open: Open::default(),
    }))
}

impl Serve for ThreadServer {
    fn serve(self: Box<Self>) -> Result<(), ServeError> {
        let server = &*self;
        // The scope ends when every thread has.
        thread::scope(|scope| {
            Builder::new()
                .spawn_scoped(scope, || server.end_listening_when_asked())
                .map_err(|error| thread_limit::refused(&error))?;
            let served = server.accept_all(scope);
            // Before the others are shut down, which it says nothing of.
            let served = served.map_err(|error| error.holding(&server.counters));
            // So that the other thread ends, if it was not the one that ended this.
            let _ = rustix::io::write(&server.stop, &1u64.to_ne_bytes());
            server.open.shut_down();
            served
        })
    }
}

impl ThreadServer {
    /// Sleeps until the server is asked to stop. From then on `accept` is refused.
    fn end_listening_when_asked(&self) {
        while !stop::is_asked(&self.stop) {
            let _ = poll(&mut [PollFd::new(&self.stop, PollFlags::IN)], None);
        }
        let _ = rustix::net::shutdown(&self.listener, rustix::net::Shutdown::Both);
    }

    fn accept_all<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
    ) -> Result<(), ServeError> {
        let share = self.counters.share();
        loop {
            share.system_calls.add(1);
            match self.listener.accept() {
                Ok((connection, _)) => {
                    self.start(scope, connection)?;
                    self.counters.accepted.add(1);
                }
                Err(_) if stop::is_asked(&self.stop) => return Ok(()),
                Err(error) if is_for_nobody(&self.listener, &error) => self.wait_for_somebody(),
                Err(error) => accept_failed(&error)?,
            }
        }
    }

    /// Sleeps until a connection waits, or the server is asked to stop: `accept` would not, without a free descriptor.
    fn wait_for_somebody(&self) {
        let mut watched = [
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.stop, PollFlags::IN),
        ];
        let _ = poll(&mut watched, None);
    }

    /// Gives a connection its thread.
    fn start<'scope>(
        &'scope self,
        scope: &'scope Scope<'scope, '_>,
        connection: TcpStream,
    ) -> Result<(), ServeError> {
        let connection = Arc::new(connection);
        self.open.insert(Arc::clone(&connection));
        Builder::new()
            .spawn_scoped(scope, move || self.serve_one(connection))
            .map(drop)
            .map_err(|error| thread_limit::refused(&error))
    }

    /// The life of a connection's thread.
    fn serve_one(&self, connection: Arc<TcpStream>) {
        let share = self.counters.share();
        // However it ended, the connection is over.
        let _ = echo(&connection, self.buffer_bytes, &share);
        // Forgotten before it is closed, when the next connection may get its descriptor.
        self.open.remove(&connection);
        drop(connection);
        share.system_calls.add(1);
        share.closed.add(1);
        self.counters.take_over(&share);
    }
}

/// Echoes until the peer has ended its half.
fn echo(mut connection: &TcpStream, buffer_bytes: usize, share: &Share) -> io::Result<()> {
    let mut buffer = vec![0; buffer_bytes];
    loop {
        share.system_calls.add(1);
        match connection.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(bytes) => {
                share.received_bytes.add(bytes as u64);
                share.system_calls.add(1);
                connection.write_all(&buffer[..bytes])?;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Open {
    fn insert(&self, connection: Arc<TcpStream>) {
        self.all().insert(connection.as_raw_fd(), connection);
    }

    fn remove(&self, connection: &TcpStream) {
        self.all().remove(&connection.as_raw_fd());
    }

    /// Ends every connection: its thread finds it so.
    fn shut_down(&self) {
        for connection in self.all().values() {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// A thread that panicked while it had the lock left nothing half done.
    fn all(&self) -> MutexGuard<'_, HashMap<RawFd, Arc<TcpStream>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
