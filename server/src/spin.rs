//! The floor: non-blocking `recv` and `send` over every connection in turn, no event loop.
//!
//! What it reaches is what TCP itself costs on a core, so the distance of another engine to it is
//! the price of knowing who has data. It is no server to run: it keeps a core busy whether or not
//! anything arrives, and most of its receives find nothing once few of many connections are active.

use crate::leftover::{Leftover, Sent, send};
use crate::listen::{Accepted, BACKLOG, accept};
use crate::worker::{Serve, Worker, buffer_bytes};
use crate::{Counters, ServeError, stop};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Connections looked at between two looks at the listener and the stop event.
///
/// About half a millisecond: the two system calls cost a two-thousandth of it, and a backlog lasts
/// for more connections than can arrive meanwhile.
const LOOKS: usize = 4096;

struct Spinner {
    listener: TcpListener,
    stop: OwnedFd,
    counters: Arc<Counters>,
    buffer: Box<[u8]>,
    connections: Vec<Connection>,
}

/// 16 bytes.
struct Connection {
    socket: OwnedFd,
    leftover: Option<Box<Leftover>>,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let counters = worker.counters;
    counters.accepted.keep();
    counters.closed.keep();
    counters.received_bytes.keep();
    counters.system_calls.keep();
    counters.completions.keep();
    Ok(Box::new(Spinner {
        listener: worker.listener,
        stop: worker.stop,
        counters,
        buffer: vec![0; buffer_bytes(worker.options.message_bytes, 64 * 1024)].into(),
        connections: Vec::new(),
    }))
}

impl Serve for Spinner {
    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        let mut next = 0;
        loop {
            self.wait_while_empty()?;
            self.counters.system_calls.add(1);
            if stop::is_asked(&self.stop) {
                return Ok(());
            }
            self.accept_all()?;
            for _ in 0..LOOKS {
                if next >= self.connections.len() {
                    next = 0;
                    if self.connections.is_empty() {
                        break;
                    }
                }
                if self.connections[next].look(&mut self.buffer, &self.counters) {
                    next += 1;
                } else {
                    self.connections.swap_remove(next);
                    self.counters.system_calls.add(1);
                    self.counters.closed.add(1);
                }
            }
        }
    }
}

impl Spinner {
    /// Sleeps as long as there is no connection at all: nothing is being measured then.
    fn wait_while_empty(&self) -> Result<(), ServeError> {
        if !self.connections.is_empty() {
            return Ok(());
        }
        let mut either = [
            PollFd::new(&self.listener, PollFlags::IN),
            PollFd::new(&self.stop, PollFlags::IN),
        ];
        self.counters.system_calls.add(1);
        match poll(&mut either, None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(ServeError::refused("poll", errno)),
        }
    }

    fn accept_all(&mut self) -> Result<(), ServeError> {
        for _ in 0..BACKLOG {
            self.counters.system_calls.add(1);
            match accept(&self.listener)? {
                Accepted::Connection(socket) => {
                    self.connections.push(Connection {
                        socket,
                        leftover: None,
                    });
                    self.counters.accepted.add(1);
                }
                Accepted::Gone => {}
                Accepted::Drained => break,
            }
        }
        Ok(())
    }
}

impl Connection {
    /// Echoes what there is, if any. Whether the connection lives on.
    #[inline]
    fn look(&mut self, buffer: &mut [u8], counters: &Counters) -> bool {
        // The receive, or what is sent in its place.
        counters.system_calls.add(1);
        if let Some(leftover) = self.leftover.take() {
            let sent = leftover.flush(&self.socket);
            return self.settle(sent);
        }
        match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::empty()) {
            Ok((0, _)) => false,
            Ok((bytes, _)) => {
                counters.received_bytes.add(bytes as u64);
                counters.completions.add(1);
                counters.system_calls.add(1);
                let sent = send(&self.socket, &buffer[..bytes]);
                self.settle(sent)
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            Err(_) => false,
        }
    }

    #[inline]
    fn settle(&mut self, sent: Sent) -> bool {
        match sent {
            Sent::All => true,
            Sent::Rest(leftover) => {
                self.leftover = Some(Box::new(leftover));
                true
            }
            Sent::Broken => false,
        }
    }
}
