//! The engines on runtimes that are made of io_uring themselves: monoio, glommio and compio, behind the
//! feature `runtimes`. Each as its documentation would write an echo server: a task and a buffer a connection.
//!
//! What they share is what a server of this crate needs beside that, and none of it is on the path of an echo:
//! a listener that somebody else has made, an end from outside ([`accept_until`]), and every descriptor closed
//! by then ([`Connections`]). No runtime is tuned past its defaults.
//!
//! Where they keep to less than the other engines:
//! - Inside, all three panic when the kernel refuses what they asked of it half-way: a request that cannot be
//!   queued (monoio), a wait that fails for want of memory (glommio, compio). What is known at the start, and
//!   what `accept` is refused with, is a [`ServeError`].
//! - None of them says what it asked of the kernel, so no system calls and no completions are counted.
//! - They receive into a task's own buffer, which an idle connection keeps as well. No example of theirs
//!   echoes from provided buffers, though compio has them.
//!
//! To build them takes a Rust that compio builds with (0.19.2: 1.95), and for glommio a C compiler, a shell and
//! `git`, because it builds a liburing of its own.

mod connections;
pub(crate) mod on_compio;
pub(crate) mod on_glommio;
pub(crate) mod on_monoio;

use crate::acceptor::setup_failed;
use crate::listen::accept_refused;
use crate::worker::{Worker, buffer_bytes};
use crate::{Counters, ServeError};
use connections::{Connections, shut_down};
use fourtuple_ring::Setup;
use rustix::io::Errno;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

/// What a server is made of, beside its runtime.
struct Parts {
    listener: TcpListener,
    stop: OwnedFd,
    counters: Arc<Counters>,
    buffer_bytes: usize,
}

impl Parts {
    /// Begins the counts, and finds out whether io_uring is to be had.
    fn new(worker: Worker) -> Result<Self, ServeError> {
        try_ring(&worker.stop)?;
        let counters = worker.counters;
        counters.accepted.keep();
        counters.closed.keep();
        counters.received_bytes.keep();
        Ok(Self {
            listener: worker.listener,
            stop: worker.stop,
            counters,
            // As with tokio: the size at which a connection costs a page.
            buffer_bytes: buffer_bytes(worker.options.message_bytes, 4096),
        })
    }

    /// Leaves it to io_uring to wait for the next connection, as a listener of the runtime's own would. Kernels
    /// that look at the flag fail an accept with EAGAIN instead.
    fn without_non_blocking(self) -> Result<Self, ServeError> {
        self.listener
            .set_nonblocking(false)
            .map_err(|error| refused("fcntl(F_SETFL)", &error))?;
        Ok(self)
    }
}

/// Sets a ring up and drops it again: a runtime that is refused one says less about it, and glommio panics. Beside
/// one more descriptor, because glommio opens an event before it tries what the kernel offers.
fn try_ring(event: &OwnedFd) -> Result<(), ServeError> {
    let _beside = rustix::io::fcntl_dupfd_cloexec(event, 0)
        .map_err(|errno| ServeError::refused("fcntl(F_DUPFD_CLOEXEC)", errno))?;
    let ring = Setup::new(1).queues(8, 16).build();
    ring.map(drop).map_err(setup_failed)
}

/// Accepts until `asked` is ready, then ends the listener and every connection, and returns when the last task
/// is done.
///
/// The listener is shut down rather than the accept dropped: an accept that is under way may be over already,
/// and a runtime that has dropped it would lose the descriptor (monoio does).
async fn accept_until(
    asked: impl Future,
    listener: &impl AsRawFd,
    accepting: impl Future<Output = Result<Infallible, ServeError>>,
    connections: Rc<Connections>,
) -> Result<(), ServeError> {
    let (mut asked, mut accepting) = (pin!(asked), pin!(accepting));
    let mut is_stopping = false;
    let ended = poll_fn(|context| {
        if !is_stopping && asked.as_mut().poll(context).is_ready() {
            is_stopping = true;
            shut_down(listener.as_raw_fd());
        }
        match accepting.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Err(_)) if is_stopping => Poll::Ready(Ok(())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(connections.count(error))),
            Poll::Ready(Ok(never)) => match never {},
        }
    })
    .await;
    connections.end_all().await;
    ended
}

/// Whether what an `accept` failed with is the server's trouble, or only that connection's.
fn accept_failed(error: &io::Error) -> Result<(), ServeError> {
    match Errno::from_io_error(error) {
        Some(errno) => accept_refused(errno),
        None => Err(refused("accept", error)),
    }
}

fn refused(what: &str, error: &io::Error) -> ServeError {
    match Errno::from_io_error(error) {
        Some(errno) => ServeError::refused(what, errno),
        None => ServeError::new(format!("{what}: {error}")),
    }
}
