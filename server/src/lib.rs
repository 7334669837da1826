//! The echo engines, one file each, behind one small trait; `engine.rs` has the table.
//!
//! A server never measures itself: it counts events ([`Counters`]) and leaves time, CPU and memory
//! to whoever watches it.

mod acceptor;
mod counters;
mod direct;
mod engine;
mod epoll;
mod epoll_et;
mod epoll_ring;
mod error;
mod heat;
mod keeper;
mod leftover;
mod listen;
mod null;
mod outbox;
mod polling;
mod rings;
#[cfg(feature = "runtimes")]
mod runtimes;
mod spin;
mod state;
mod stop;
mod table;
mod tasks;
mod tasks_multi;
mod thread_limit;
mod threads;
mod uring;
mod uring_hybrid;
mod uring_poll;
mod watch;
mod worker;

pub use counters::Counters;
pub use error::ServeError;
pub use stop::Stopper;

use fourtuple_spec::record::Grant;
use fourtuple_spec::{EndpointState, Engine, Factors};
use std::net::SocketAddr;
use std::sync::Arc;
use worker::{Serve, Worker};

/// What to serve, and where.
#[derive(Clone, Debug)]
pub struct Options {
    /// The engine.
    pub engine: Engine,
    /// The address to listen on; port 0 lets the kernel pick.
    pub listen: SocketAddr,
    /// Share the port with other processes by SO_REUSEPORT.
    pub reuse_port: bool,
    /// How many connections to expect, where that is known. The rings' tables are made to fit them, which
    /// costs 8 bytes a slot up front; queues and buffers are smaller where that takes many rings.
    pub connections: Option<u32>,
    /// The message size to expect: buffers are made to fit it.
    pub message_bytes: u32,
    /// Slots of one ring's table; `None` is what the expected connections need, or the most that limits
    /// allow if that is less or nothing is known.
    pub slots_per_ring: Option<u32>,
    /// The most rings; a full last one ends the server. `None` is as many as the connections need.
    pub rings_max: Option<u32>,
    /// How the engine does what it does.
    pub factors: Factors,
    /// Threads of a runtime that has several.
    pub threads: u32,
    /// The state in which endpoints are held: the engine's own, or one that is held without an engine.
    /// `None` serves echoes.
    pub state: Option<EndpointState>,
}

/// Whether this build has a server of that engine.
pub fn has(engine: Engine) -> bool {
    engine::built(engine).is_some()
}

/// A server that listens and has its engine ready. Belongs to the thread that made it.
pub struct Server {
    address: SocketAddr,
    backlog: Grant,
    counters: Arc<Counters>,
    stopper: Stopper,
    engine: Box<dyn Serve>,
}

impl Server {
    /// Listens and prepares the engine.
    ///
    /// Connections that arrive from here on wait in the backlog until [`Server::serve`] accepts them.
    ///
    /// # Errors
    /// The address cannot be listened on, or the kernel refuses what the engine needs; the message
    /// says which and what to do.
    pub fn bind(options: &Options) -> Result<Self, ServeError> {
        let backlog = listen::backlog(options);
        let listener = listen::listen(options.listen, options.reuse_port, backlog)?;
        let address = listener
            .local_addr()
            .map_err(|error| ServeError::new(format!("getsockname on the listener: {error}")))?;
        let stopper = Stopper::new()?;
        let counters = Arc::new(Counters::default());
        let engine = engine::constructor(options)?(Worker {
            listener,
            stop: stopper.duplicate()?,
            counters: Arc::clone(&counters),
            options: options.clone(),
        })?;
        Ok(Self {
            address,
            backlog: listen::backlog_granted(backlog),
            counters,
            stopper,
            engine,
        })
    }

    /// Where it listens: the requested address, with the port that the kernel picked if it was 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What the kernel granted of what was asked: the listen backlog, then what the engine asked for.
    pub fn granted(&self) -> Vec<Grant> {
        let mut grants = vec![self.backlog.clone()];
        grants.extend(self.engine.granted());
        grants
    }

    /// Counts that another thread may read while the server serves.
    pub fn counters(&self) -> Arc<Counters> {
        Arc::clone(&self.counters)
    }

    /// A handle by which another thread ends [`Server::serve`].
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves on the calling thread until stopped; then closes every connection and returns.
    ///
    /// # Errors
    /// A limit was met that leaves connections waiting (descriptors, memory): [`ServeError::limiter`]
    /// names it. What a single peer does, a reset for one, is never an error.
    pub fn serve(self) -> Result<(), ServeError> {
        self.engine.serve()
    }
}
