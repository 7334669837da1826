//! The compio engine, as compio's own examples have it, on its io_uring driver. Its polling driver is not
//! compiled in, so it cannot be taken instead.

use super::connections::{Connections, Open};
use super::{Parts, accept_failed, accept_until, refused};
use crate::ServeError;
use crate::worker::{Serve, Worker};
use compio::BufResult;
use compio::io::{AsyncRead, AsyncWriteExt};
use compio::net::{TcpListener, TcpStream};
use compio::runtime::Runtime;
use compio::runtime::fd::PollFd;
use std::convert::Infallible;
use std::rc::Rc;

struct CompioServer {
    runtime: Runtime,
    parts: Parts,
}

/// Prepares the engine.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let parts = Parts::new(worker)?.without_non_blocking()?;
    let runtime = Runtime::new().map_err(|error| refused("compio's runtime", &error))?;
    Ok(Box::new(CompioServer { runtime, parts }))
}

impl Serve for CompioServer {
    fn serve(self: Box<Self>) -> Result<(), ServeError> {
        let Self { runtime, parts } = *self;
        runtime.block_on(async move {
            let listener = TcpListener::from_std(parts.listener)
                .map_err(|error| refused("the listener", &error))?;
            let stop =
                PollFd::new(parts.stop).map_err(|error| refused("the stop event", &error))?;
            let connections = Connections::new(parts.counters);
            let accepting = accept_all(&listener, &connections, parts.buffer_bytes);
            let asked = stop.read_ready();
            accept_until(asked, &listener, accepting, Rc::clone(&connections)).await
        })
    }
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
                compio::runtime::spawn(echo(connection, buffer_bytes, open)).detach();
            }
            Err(error) => accept_failed(&error)?,
        }
    }
}

/// One connection's task. A buffer is lent to the ring with each request, and comes back with the result.
async fn echo(mut connection: TcpStream, buffer_bytes: usize, open: Open) {
    let mut buffer = Vec::with_capacity(buffer_bytes);
    loop {
        let BufResult(result, received) = connection.read(buffer).await;
        let Ok(bytes @ 1..) = result else { break };
        open.received(bytes);
        let BufResult(result, sent) = connection.write_all(received).await;
        if result.is_err() {
            break;
        }
        buffer = sent;
        buffer.clear();
    }
    drop(connection);
    drop(open);
}
