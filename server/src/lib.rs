//! The echo engines, one file each, behind one small trait.

use fourtuple_spec::Engine;
use fourtuple_spec::record::{Grant, ServerCounters};
use std::net::SocketAddr;
use std::sync::Arc;

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine.
    pub engine: Engine,
    /// The address to listen on; port 0 lets the kernel pick.
    pub listen: SocketAddr,
    /// Share the port with other processes by SO_REUSEPORT.
    pub reuse_port: bool,
    /// How many connections to expect, where that is known: sizes nothing that costs memory up front.
    pub connections: Option<u32>,
    /// The message size to expect: buffers are made to fit it.
    pub message_bytes: u32,
    /// Slots of one ring's table; `None` is the most that limits allow.
    pub slots_per_ring: Option<u32>,
}

/// A server that listens and has its engine ready. Belongs to the thread that made it.
pub struct Server {}

impl Server {
    /// Listens and prepares the engine.
    pub fn bind(options: &Options) -> Result<Self, ServeError> {
        let _ = options;
        Err(ServeError { error: String::new(), limiter: None })
    }
    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        unreachable!()
    }
    /// What the kernel granted.
    pub fn granted(&self) -> Vec<Grant> {
        Vec::new()
    }
    /// Counts that another thread may read while the server serves.
    pub fn counters(&self) -> Arc<Counters> {
        unreachable!()
    }
    /// A handle by which another thread ends [`Server::serve`].
    pub fn stopper(&self) -> Stopper {
        unreachable!()
    }
    /// Serves on the calling thread until stopped.
    pub fn serve(self) -> Result<(), ServeError> {
        Ok(())
    }
}

/// Counts kept by the serving thread, read by others.
#[derive(Default)]
pub struct Counters {}

impl Counters {
    /// The counts so far.
    pub fn read(&self) -> ServerCounters {
        ServerCounters::default()
    }
}

/// Ends a server from another thread.
#[derive(Clone)]
pub struct Stopper {}

impl Stopper {
    /// Asks the server to close everything and return.
    pub fn stop(&self) {}
}

/// Why a server cannot go on.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct ServeError {
    /// What failed and what to do about it.
    pub error: String,
    /// The limit that was met, by name, if it was one.
    pub limiter: Option<String>,
}
