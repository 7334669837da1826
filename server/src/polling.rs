//! The mio engine, written as mio's own `tcp_server` example and documentation would. (Not called `mio.rs`,
//! which would hide the crate.)
//!
//! A token a connection, counted up; a map from token to connection; one buffer for all of them. mio is
//! edge-triggered, and asks that after an event a connection be received from until it would block: so
//! each echo costs one receive more than where a short one is taken for the last. It is registered for both
//! directions once, and taken off again before it is closed, as the example does.
//!
//! A peer that sends faster than the server can empty the socket has the server to itself for that long;
//! nothing in mio's interface is there against it, and the example does nothing either.

use crate::leftover::{Leftover, Sent, send};
use crate::listen::is_for_nobody;
use crate::tasks::{accept_failed, refused};
use crate::watch::EVENTS_MAX;
use crate::worker::{Serve, Worker, buffer_bytes};
use crate::{Counters, ServeError};
use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use std::collections::HashMap;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

const LISTENER: Token = Token(0);
const STOP: Token = Token(1);
const FIRST_CONNECTION: usize = 2;

struct PollServer {
    poll: Poll,
    listener: TcpListener,
    counters: Arc<Counters>,
    buffer: Box<[u8]>,
    connections: HashMap<Token, Connection>,
    next_token: usize,
    /// Held open for as long as mio watches it.
    _stop: OwnedFd,
}

struct Connection {
    stream: TcpStream,
    leftover: Option<Leftover>,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let poll = Poll::new().map_err(|error| refused("mio's Poll", &error))?;
    let mut listener = TcpListener::from_std(worker.listener);
    let registry = poll.registry();
    registry
        .register(&mut listener, LISTENER, Interest::READABLE)
        .map_err(|error| refused("the listener", &error))?;
    registry
        .register(
            &mut SourceFd(&worker.stop.as_raw_fd()),
            STOP,
            Interest::READABLE,
        )
        .map_err(|error| refused("the stop event", &error))?;
    crate::epoll::keep(&worker.counters);
    Ok(Box::new(PollServer {
        poll,
        listener,
        counters: worker.counters,
        buffer: vec![0; buffer_bytes(worker.options.message_bytes, 64 * 1024)].into(),
        connections: HashMap::new(),
        next_token: FIRST_CONNECTION,
        _stop: worker.stop,
    }))
}

impl Serve for PollServer {
    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        loop {
            self.counters.system_calls.add(1);
            match self.poll.poll(&mut events, None) {
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                polled => polled.map_err(|error| refused("mio's Poll", &error))?,
            }
            self.counters.enters.add(1);
            for event in &events {
                self.counters.completions.add(1);
                match event.token() {
                    LISTENER => self.accept_all()?,
                    STOP => return Ok(()),
                    _ => self.handle(event)?,
                }
            }
        }
    }
}

impl PollServer {
    /// Accepts until nothing waits: the listener is not reported again before.
    fn accept_all(&mut self) -> Result<(), ServeError> {
        loop {
            self.counters.system_calls.add(1);
            match self.listener.accept() {
                Ok((stream, _)) => self.register(stream)?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if is_for_nobody(&self.listener, &error) => return Ok(()),
                Err(error) => accept_failed(&error)?,
            }
        }
    }

    fn register(&mut self, mut stream: TcpStream) -> Result<(), ServeError> {
        let token = Token(self.next_token);
        self.next_token += 1;
        self.counters.system_calls.add(1);
        self.poll
            .registry()
            .register(&mut stream, token, Interest::READABLE | Interest::WRITABLE)
            .map_err(|error| refused("a connection's registration", &error))?;
        let leftover = None;
        self.connections
            .insert(token, Connection { stream, leftover });
        self.counters.accepted.add(1);
        Ok(())
    }

    fn handle(&mut self, event: &Event) -> Result<(), ServeError> {
        let token = event.token();
        let Some(connection) = self.connections.get_mut(&token) else {
            return Ok(());
        };
        if connection.handle(event, &mut self.buffer, &self.counters) {
            return Ok(());
        }
        let Some(mut connection) = self.connections.remove(&token) else {
            return Ok(());
        };
        self.poll
            .registry()
            .deregister(&mut connection.stream)
            .map_err(|error| refused("a connection's deregistration", &error))?;
        drop(connection);
        self.counters.system_calls.add(2);
        self.counters.closed.add(1);
        Ok(())
    }
}

impl Connection {
    /// Does what an event tells of. Whether the connection lives on.
    fn handle(&mut self, event: &Event, buffer: &mut [u8], counters: &Counters) -> bool {
        let mut is_readable = event.is_readable();
        if event.is_writable()
            && let Some(leftover) = self.leftover.take()
        {
            counters.system_calls.add(1);
            let sent = leftover.flush(&self.stream);
            if !self.keep(sent) {
                return false;
            }
            // What came meanwhile was told of when nothing was received.
            is_readable = true;
        }
        // An error tells of itself when it is received.
        if is_readable || event.is_error() {
            return self.echo(buffer, counters);
        }
        true
    }

    /// Echoes until receiving, or sending, would block. Whether the connection lives on.
    fn echo(&mut self, buffer: &mut [u8], counters: &Counters) -> bool {
        while self.leftover.is_none() {
            counters.system_calls.add(1);
            match self.stream.read(buffer) {
                // The peer has ended its half. Nothing is left to send, or nothing would be received.
                Ok(0) => return false,
                Ok(bytes) => {
                    counters.system_calls.add(1);
                    counters.received_bytes.add(bytes as u64);
                    let sent = send(&self.stream, &buffer[..bytes]);
                    if !self.keep(sent) {
                        return false;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Keeps what could not be sent. Whether the connection lives on.
    fn keep(&mut self, sent: Sent) -> bool {
        match sent {
            Sent::All => true,
            Sent::Rest(leftover) => {
                self.leftover = Some(leftover);
                true
            }
            Sent::Broken => false,
        }
    }
}
