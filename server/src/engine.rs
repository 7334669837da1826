//! What an engine is, and the table of them. A new engine is one file and one row here.

#[cfg(feature = "runtimes")]
use crate::runtimes::{on_compio, on_glommio, on_monoio};
use crate::{Counters, Options, ServeError};
use crate::{
    epoll, epoll_et, epoll_ring, keeper, null, polling, spin, tasks, tasks_multi, threads, uring,
    uring_hybrid, uring_poll,
};
use fourtuple_spec::Engine;
use fourtuple_spec::factors::Receive;
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

/// How the engine of these options is made.
///
/// # Errors
/// It is no server of this program's, or not in this build; the message says what to do.
pub(crate) fn constructor(options: &Options) -> Result<Constructor, ServeError> {
    if options.state.is_some_and(keeper::keeps) {
        return Ok(keeper::new);
    }
    if options.factors.recv == Receive::Poll {
        return Ok(uring_poll::new);
    }
    built(options.engine).ok_or_else(|| absent(options.engine))
}

/// The table. A `match`, so that an engine without a row does not compile.
pub(crate) fn built(engine: Engine) -> Option<Constructor> {
    match engine {
        Engine::Uring => Some(uring::new),
        Engine::UringPoll => Some(uring_poll::new),
        Engine::UringHybrid => Some(uring_hybrid::new),
        Engine::Epoll => Some(epoll::new),
        Engine::EpollEt => Some(epoll_et::new),
        Engine::EpollInRing => Some(epoll_ring::new),
        Engine::Threads => Some(threads::new),
        Engine::Mio => Some(polling::new),
        Engine::Tokio => Some(tasks::new),
        Engine::TokioMulti => Some(tasks_multi::new),
        #[cfg(feature = "runtimes")]
        Engine::Monoio => Some(on_monoio::new),
        #[cfg(feature = "runtimes")]
        Engine::Glommio => Some(on_glommio::new),
        #[cfg(feature = "runtimes")]
        Engine::Compio => Some(on_compio::new),
        #[cfg(not(feature = "runtimes"))]
        Engine::Monoio | Engine::Glommio | Engine::Compio => None,
        Engine::Spin => Some(spin::new),
        Engine::Null => Some(null::new),
        // The client has both ends of the one; the other is another program.
        Engine::Stack | Engine::Foreign => None,
    }
}

fn absent(engine: Engine) -> ServeError {
    ServeError::new(match engine.profile().feature {
        Some(feature) => format!(
            "the engine {engine} is not in this build: build with `cargo build --release --features {feature}`"
        ),
        None => format!("the engine {engine} is no server of this program's own"),
    })
}

/// Bytes of a buffer made to fit `message_bytes`, between `bytes_min` and 256 KiB.
///
/// A message should fit one receive: at a quarter of the message, one echo was measured to become
/// four receives and four sends. Past 256 KiB the buffer leaves a core's own cache, and the system
/// call it saves is small beside the copy.
pub(crate) fn buffer_bytes(message_bytes: u32, bytes_min: usize) -> usize {
    (message_bytes as usize).clamp(bytes_min, 256 * 1024)
}
