//! The tokio engine on the runtime that `#[tokio::main]` makes: several threads, a task and a buffer a
//! connection.
//!
//! The thread that serves accepts, as the body of `main` does, and sleeps otherwise; tasks are spawned and run on
//! the runtime's own threads, of which there are as many as the case gives the server cores.

use crate::counters::Share;
use crate::tasks::{accept_failed, accept_or_stop, refused, watch};
use crate::worker::{Serve, Worker, buffer_bytes};
use crate::{Counters, ServeError, thread_limit};
use std::cell::OnceCell;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::thread;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

thread_local! {
    /// What this thread of the runtime counts.
    static SHARE: OnceCell<Arc<Share>> = const { OnceCell::new() };
}

struct MultiTaskServer {
    runtime: Runtime,
    listener: TcpListener,
    stop: AsyncFd<OwnedFd>,
    counters: Arc<Counters>,
    buffer_bytes: usize,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let counters = worker.counters;
    counters.accepted.keep();
    counters.closed.keep();
    counters.received_bytes.keep();
    let threads = worker.options.threads.max(1) as usize;
    try_threads(threads)?;
    let sharing = Arc::clone(&counters);
    let runtime = Builder::new_multi_thread()
        .worker_threads(threads)
        .on_thread_start(move || {
            SHARE.with(|share| {
                share.get_or_init(|| sharing.share());
            });
        })
        .enable_io()
        .build()
        .map_err(|error| refused("the runtime", &error))?;
    let (listener, stop) = {
        let _entered = runtime.enter();
        let listener = TcpListener::from_std(worker.listener)
            .map_err(|error| refused("the listener", &error))?;
        (listener, watch(worker.stop)?)
    };
    Ok(Box::new(MultiTaskServer {
        runtime,
        listener,
        stop,
        counters,
        buffer_bytes: buffer_bytes(worker.options.message_bytes, 4096),
    }))
}

/// Whether so many threads can be started: the runtime panics if not.
fn try_threads(count: usize) -> Result<(), ServeError> {
    let gate = Mutex::new(());
    thread::scope(|scope| {
        // Shut until all have been started, or one could not be.
        let _shut = gate.lock();
        (0..count).try_for_each(|_| {
            thread::Builder::new()
                .spawn_scoped(scope, || drop(gate.lock()))
                .map(drop)
                .map_err(|error| thread_limit::refused(&error))
        })
    })
}

impl Serve for MultiTaskServer {
    fn serve(self: Box<Self>) -> Result<(), ServeError> {
        let Self {
            runtime,
            listener,
            stop,
            counters,
            buffer_bytes,
        } = *self;
        // Dropping the runtime afterwards ends its threads and drops the tasks, which closes their connections.
        runtime.block_on(async move {
            while let Some(accepted) = accept_or_stop(&listener, &stop).await {
                match accepted {
                    Ok(connection) => {
                        counters.accepted.add(1);
                        tokio::spawn(echo(connection, buffer_bytes));
                    }
                    Err(error) => accept_failed(&error)?,
                }
            }
            Ok(())
        })
    }
}

/// One connection's task. It may go on on another thread after each wait, and counts where it is.
async fn echo(mut connection: TcpStream, buffer_bytes: usize) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(bytes @ 1..) = connection.read(&mut buffer).await {
        count(|share| share.received_bytes.add(bytes as u64));
        if connection.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    drop(connection);
    count(|share| share.closed.add(1));
}

fn count(add: impl FnOnce(&Share)) {
    SHARE.with(|share| {
        if let Some(share) = share.get() {
            add(share);
        }
    });
}
