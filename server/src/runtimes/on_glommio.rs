//! The glommio engine, as glommio's own examples have it: an executor on this thread, which pins nothing.
//!
//! Not as they have it is how connections are accepted. A `glommio::net::TcpListener` is either bound by glommio
//! itself, with SO_REUSEPORT and without what listens already, or taken from a raw descriptor, which is an unsafe
//! function and forbidden here. So its ring says when somebody waits ([`readable`]), and `accept` is called until
//! nobody does. Glommio's own calls `accept` first too, between two changes of the listener's flags, and asks
//! its ring after it has found nobody. Connections, once accepted, are glommio's.
//!
//! What it does by default, and here: receives and sends are system calls, and the ring is asked for readiness
//! alone. A second thread, for blocking calls, is started and sleeps. Three rings, and 10 MiB of memory for
//! storage, are registered where RLIMIT_MEMLOCK allows it; under 512 KiB of it glommio refuses to start. An
//! executor that has ended leaves one eventfd behind, because its tasks are freed without their hold on it.

use super::connections::{Connections, Open};
use super::{Parts, accept_until};
use crate::listen::{self, Accepted};
use crate::worker::{Serve, Worker};
use crate::{ServeError, stop};
use futures_lite::{AsyncReadExt, AsyncWriteExt};
use glommio::net::TcpStream;
use glommio::{GlommioError, LocalExecutor, LocalExecutorBuilder, Placement};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};
use socket2::Socket;
use std::convert::Infallible;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Under this it refuses to start.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

struct GlommioServer {
    executor: LocalExecutor,
    parts: Parts,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    may_lock_memory()?;
    let parts = Parts::new(worker)?;
    let executor = LocalExecutorBuilder::new(Placement::Unbound)
        .make()
        .map_err(|error| setup_failed(&error))?;
    Ok(Box::new(GlommioServer { executor, parts }))
}

impl Serve for GlommioServer {
    fn serve(self: Box<Self>) -> Result<(), ServeError> {
        let Self { executor, parts } = *self;
        executor.run(async move {
            let connections = Connections::new(parts.counters);
            let accepting = accept_all(&parts.listener, &connections, parts.buffer_bytes);
            let asked = until_asked(&parts.stop);
            accept_until(asked, &parts.listener, accepting, Rc::clone(&connections)).await
        })
    }
}

async fn accept_all(
    listener: &TcpListener,
    connections: &Rc<Connections>,
    buffer_bytes: usize,
) -> Result<Infallible, ServeError> {
    loop {
        match listen::accept(listener)? {
            Accepted::Connection(connection) => {
                let connection = adopted(connection);
                let open = connections.accepted(&connection);
                glommio::spawn_local(echo(connection, buffer_bytes, open)).detach();
            }
            Accepted::Drained => readable(listener).await?,
            Accepted::Gone => {}
        }
    }
}

/// One connection's task.
async fn echo(mut connection: TcpStream, buffer_bytes: usize, open: Open) {
    let mut buffer = vec![0; buffer_bytes];
    while let Ok(bytes @ 1..) = connection.read(&mut buffer).await {
        open.received(bytes);
        if connection.write_all(&buffer[..bytes]).await.is_err() {
            break;
        }
    }
    drop(connection);
    drop(open);
}

async fn until_asked(event: &OwnedFd) -> Result<(), ServeError> {
    while !stop::is_asked(event) {
        readable(event).await?;
    }
    Ok(())
}

/// Waits until a descriptor is readable that is no connection: a listener, or an event.
///
/// Glommio has no type for that. But its stream asks the ring for readiness before it receives anything, and
/// to receive is an error with those (ENOTCONN, ENOTSOCK), which takes nothing away. A stream watches once, and
/// owns what it watches: hence the duplicate.
async fn readable(descriptor: impl AsFd) -> Result<(), ServeError> {
    let duplicate = rustix::io::fcntl_dupfd_cloexec(descriptor, 0)
        .map_err(|errno| ServeError::refused("fcntl(F_DUPFD_CLOEXEC)", errno))?;
    let _ = adopted(duplicate).read(&mut [0]).await;
    Ok(())
}

/// Glommio's stream takes a socket of the version of `socket2` that it was written with.
fn adopted(descriptor: OwnedFd) -> TcpStream {
    TcpStream::from(Socket::from(std::net::TcpStream::from(descriptor)))
}

/// Whether as much memory may be locked as glommio insists on. It says no more of that than a name in a text, and
/// an ordinary user's rings would be refused before.
fn may_lock_memory() -> Result<(), ServeError> {
    let limit_bytes = getrlimit(Resource::Memlock).current;
    match limit_bytes.filter(|bytes| *bytes < MEMLOCK_BYTES_MIN) {
        None => Ok(()),
        Some(bytes) => Err(ServeError::limited(
            fourtuple_spec::limiter::LOCKED_MEMORY,
            format!(
                "glommio does not start with an RLIMIT_MEMLOCK of {bytes} bytes: raise it with `ulimit -l {}`, \
                 or choose another engine",
                MEMLOCK_BYTES_MIN / 1024
            ),
        )),
    }
}

fn setup_failed(error: &GlommioError<()>) -> ServeError {
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(errno) => ServeError::refused("glommio's executor", errno),
        None => ServeError::new(format!("glommio's executor: {error}")),
    }
}
