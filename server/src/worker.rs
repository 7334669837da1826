//! What an engine gets, and what it is asked for.

use crate::{Counters, Options, ServeError};
use fourtuple_spec::record::Grant;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What an engine gets to work with.
pub(crate) struct Worker {
    /// Listening and non-blocking; what it accepts has TCP_NODELAY already, by inheritance.
    pub listener: TcpListener,
    /// An eventfd, non-blocking: readable once the server is asked to stop, and ever after.
    pub stop: OwnedFd,
    /// To be `keep`-ed by the constructor and counted by the serving thread alone.
    pub counters: Arc<Counters>,
    /// What was asked for.
    pub options: Options,
}

/// A prepared engine. Need not be `Send`: it serves on the thread that made it.
pub(crate) trait Serve {
    /// What the kernel granted of what the engine asked for.
    fn granted(&self) -> Vec<Grant> {
        Vec::new()
    }

    /// Echoes until `Worker::stop` is readable; every descriptor is closed on return.
    fn serve(self: Box<Self>) -> Result<(), ServeError>;
}

/// Asks the kernel for all that the engine needs, so that a refusal is known before serving.
pub(crate) type Constructor = fn(Worker) -> Result<Box<dyn Serve>, ServeError>;

/// Bytes of a buffer made to fit `message_bytes`, between `bytes_min` and 256 KiB.
///
/// A message should fit one receive: at a quarter of the message, one echo was measured to become
/// four receives and four sends. Past 256 KiB the buffer leaves a core's own cache, and the system
/// call it saves is small beside the copy.
pub(crate) fn buffer_bytes(message_bytes: u32, bytes_min: usize) -> usize {
    (message_bytes as usize).clamp(bytes_min, 256 * 1024)
}
