//! The tokio engine, written as tokio's own documentation would: a current-thread runtime, a task
//! and a buffer a connection. (Not called `tokio.rs`, which would hide the crate.)
//!
//! It stands for what people would otherwise use, so it is not tuned past that: `spawn` rather than
//! a `LocalSet`, which puts a queue of its own on top of the runtime's.

use crate::listen::accept_refused;
use crate::worker::{Serve, Worker, buffer_bytes};
use crate::{Counters, ServeError};
use rustix::io::Errno;
use std::future::poll_fn;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::task::Poll;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

struct TaskServer {
    runtime: Runtime,
    listener: TcpListener,
    stop: AsyncFd<OwnedFd>,
    counters: Arc<Counters>,
    buffer_bytes: usize,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let runtime = Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(|error| refused("the runtime", &error))?;
    let (listener, stop) = {
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(worker.listener)
            .map_err(|error| refused("the listener", &error))?;
        (listener, watch(worker.stop)?)
    };
    let counters = worker.counters;
    counters.accepted.keep();
    counters.closed.keep();
    counters.received_bytes.keep();
    Ok(Box::new(TaskServer {
        runtime,
        listener,
        stop,
        counters,
        // 4 KiB is what tokio's echo examples take: the size at which a connection costs a page.
        buffer_bytes: buffer_bytes(worker.options.message_bytes, 4096),
    }))
}

impl Serve for TaskServer {
    fn serve(self: Box<Self>) -> Result<(), ServeError> {
        let Self {
            runtime,
            listener,
            stop,
            counters,
            buffer_bytes,
        } = *self;
        // Dropping the runtime afterwards drops the tasks, which closes their connections.
        runtime.block_on(async move {
            while let Some(accepted) = accept_or_stop(&listener, &stop).await {
                match accepted {
                    Ok(connection) => {
                        counters.accepted.add(1);
                        tokio::spawn(echo(connection, buffer_bytes, Arc::clone(&counters)));
                    }
                    Err(error) => accept_failed(&error)?,
                }
            }
            Ok(())
        })
    }
}

/// Deprecated because a `T` may give away or change its descriptor while it is watched. An `OwnedFd`
/// cannot, and the replacement is an unsafe function, which this crate forbids.
#[allow(deprecated)]
pub(crate) fn watch(event: OwnedFd) -> Result<AsyncFd<OwnedFd>, ServeError> {
    AsyncFd::with_interest(event, Interest::READABLE)
        .map_err(|error| refused("the stop event", &error))
}

/// The next connection, or `None` once the server is asked to stop.
pub(crate) async fn accept_or_stop(
    listener: &TcpListener,
    stop: &AsyncFd<OwnedFd>,
) -> Option<io::Result<TcpStream>> {
    poll_fn(|context| {
        if stop.poll_read_ready(context).is_ready() {
            return Poll::Ready(None);
        }
        listener
            .poll_accept(context)
            .map(|accepted| Some(accepted.map(|(connection, _)| connection)))
    })
    .await
}

/// One connection's task. Every count has one writer still: all tasks run on one thread.
async fn echo(mut connection: TcpStream, buffer_bytes: usize, counters: Arc<Counters>) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(bytes @ 1..) = connection.read(&mut buffer).await {
        counters.received_bytes.add(bytes as u64);
        if connection.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    drop(connection);
    counters.closed.add(1);
}

pub(crate) fn accept_failed(error: &io::Error) -> Result<(), ServeError> {
    match Errno::from_io_error(error) {
        Some(errno) => accept_refused(errno),
        None => Err(refused("accept", error)),
    }
}

pub(crate) fn refused(what: &str, error: &io::Error) -> ServeError {
    match Errno::from_io_error(error) {
        Some(errno) => ServeError::refused(what, errno),
        None => ServeError::new(format!("{what}: {error}")),
    }
}
