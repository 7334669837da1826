//! The table of engines. A new engine is one file and one row here.

#[cfg(feature = "runtimes")]
use crate::runtimes::{on_compio, on_glommio, on_monoio};
use crate::worker::Constructor;
use crate::{Options, ServeError};
use crate::{
    epoll, epoll_et, epoll_ring, keeper, null, polling, spin, tasks, tasks_multi, threads, uring,
    uring_hybrid, uring_poll,
};
use fourtuple_spec::Engine;
use fourtuple_spec::factors::Receive;

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
        None => format!(
            "the engine {engine} is no server of this program's own: `fourtuple run` measures it"
        ),
    })
}
