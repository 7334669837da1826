//! The connections of a server, so that one that stops can end them.
//!
//! None of the three runtimes ends its tasks the same way: compio drops them with the runtime, glommio on
//! request, and monoio never, because a task that waits is owned by the ring that it keeps alive. What they all
//! do is return from a receive or a send when the socket is shut down. So that is how connections are ended:
//! each task leaves by its own door, closes its socket, and the last one says so. It costs a byte a connection,
//! and nothing an echo.

use crate::{Counters, ServeError};
use socket2::SockRef;
use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Poll, Waker};

/// The connections of a server, and what their tasks count.
pub(super) struct Connections {
    counters: Arc<Counters>,
    /// By descriptor: whether it is an open connection of ours.
    is_open: RefCell<Vec<bool>>,
    open_count: Cell<usize>,
    /// Whoever waits for the last one to close.
    waiting: RefCell<Option<Waker>>,
}

impl Connections {
    pub(super) fn new(counters: Arc<Counters>) -> Rc<Self> {
        Rc::new(Self {
            counters,
            is_open: RefCell::default(),
            open_count: Cell::default(),
            waiting: RefCell::default(),
        })
    }

    /// Counts a connection that was accepted.
    pub(super) fn accepted(self: &Rc<Self>, connection: &impl AsRawFd) -> Open {
        let socket = connection.as_raw_fd();
        let index = socket as usize;
        let mut is_open = self.is_open.borrow_mut();
        if index >= is_open.len() {
            is_open.resize(index + 1, false);
        }
        is_open[index] = true;
        self.open_count.update(|count| count + 1);
        self.counters.accepted.add(1);
        Open {
            all: Rc::clone(self),
            socket,
        }
    }

    /// The same failure, with the connections that are open: they are ended before it is told.
    pub(super) fn count(&self, error: ServeError) -> ServeError {
        error.holding(&self.counters)
    }

    /// Shuts every connection down, and waits until the tasks that served them are done.
    pub(super) async fn end_all(&self) {
        for (index, _) in self
            .is_open
            .borrow()
            .iter()
            .enumerate()
            .filter(|(_, is)| **is)
        {
            shut_down(index as RawFd);
        }
        poll_fn(|context| {
            if self.open_count.get() == 0 {
                return Poll::Ready(());
            }
            *self.waiting.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await;
    }
}

/// An open connection. Its task drops it as the last thing, after the socket: a number that is still noted here
/// belongs to no other socket.
pub(super) struct Open {
    all: Rc<Connections>,
    socket: RawFd,
}

impl Open {
    /// Counts what was received.
    pub(super) fn received(&self, bytes: usize) {
        self.all.counters.received_bytes.add(bytes as u64);
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.all.is_open.borrow_mut()[self.socket as usize] = false;
        self.all.open_count.update(|count| count - 1);
        self.all.counters.closed.add(1);
        if self.all.open_count.get() == 0
            && let Some(waker) = self.all.waiting.take()
        {
            waker.wake();
        }
    }
}

/// Ends both directions of a socket: whoever waits for it, a listener too, is told at once.
pub(super) fn shut_down(socket: RawFd) {
    // Refused where the peer has gone already, and then the task is about to find out.
    let _ = SockRef::from(&socket).shutdown(Shutdown::Both);
}
