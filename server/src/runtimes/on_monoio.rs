//! The monoio engine, as monoio's own echo example has it, on its io_uring driver.
//!
//! The driver is `IoUringDriver` and not the fusion of that and epoll, which would take epoll without a word
//! where io_uring is refused.

use super::connections::{Connections, Open};
use super::{Parts, accept_failed, accept_until, refused};
use crate::ServeError;
use crate::worker::{Serve, Worker};
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream, UnixStream};
use monoio::{IoUringDriver, Runtime, RuntimeBuilder};
use std::convert::Infallible;
use std::os::fd::OwnedFd;
use std::rc::Rc;

struct MonoioServer {
    runtime: Runtime<IoUringDriver>,
    parts: Parts,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let parts = Parts::new(worker)?.without_non_blocking()?;
    let runtime = RuntimeBuilder::<IoUringDriver>::new()
        .build()
        .map_err(|error| refused("monoio's runtime", &error))?;
    Ok(Box::new(MonoioServer { runtime, parts }))
}

impl Serve for MonoioServer {
    fn serve(self: Box<Self>) -> Result<(), ServeError> {
        let Self { mut runtime, parts } = *self;
        runtime.block_on(async move {
            let listener = TcpListener::from_std(parts.listener)
                .map_err(|error| refused("the listener", &error))?;
            let stop = watched(parts.stop)?;
            let connections = Connections::new(parts.counters);
            let accepting = accept_all(&listener, &connections, parts.buffer_bytes);
            let asked = stop.readable(false);
            accept_until(asked, &listener, accepting, Rc::clone(&connections)).await
        })
    }
}

/// The stop event as something that monoio can wait for. It is no socket, and is only ever polled.
fn watched(event: OwnedFd) -> Result<UnixStream, ServeError> {
    UnixStream::from_std(event.into()).map_err(|error| refused("the stop event", &error))
}

async fn accept_all(
    listener: &TcpListener,
    connections: &Rc<Connections>,
    buffer_bytes: usize,
) -> Result<Infallible, ServeError> {
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let open = connections.accepted(&connection);
                monoio::spawn(echo(connection, buffer_bytes, open));
            }
            Err(error) => accept_failed(&error)?,
        }
    }
}

/// One connection's task. A buffer is lent to the ring with each request, and comes back with the result.
async fn echo(mut connection: TcpStream, buffer_bytes: usize, open: Open) {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let (result, received) = connection.read(buffer).await;
        let Ok(bytes @ 1..) = result else { break };
        open.received(bytes);
        let (result, sent) = connection.write_all(received).await;
        if result.is_err() {
            break;
        }
        buffer = sent;
        buffer.clear();
    }
    drop(connection);
    drop(open);
}
