//! A server on a thread of its own, one at a time in a process.

use super::PATIENCE;
use fourtuple_server::{Counters, Options, ServeError, Server, Stopper};
use fourtuple_spec::record::ServerCounters;
use fourtuple_spec::{Engine, Factors};
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// One server at a time: the `spin` engine takes a core, and a thousand connections at once take
/// descriptors that a neighbouring test would miss.
static TURN: Mutex<()> = Mutex::new(());

/// A server that serves.
pub struct Running {
    pub engine: Engine,
    pub address: SocketAddr,
    pub counters: Arc<Counters>,
    pub stopper: Stopper,
    ended: Receiver<Result<(), ServeError>>,
    thread: Option<JoinHandle<()>>,
    _turn: MutexGuard<'static, ()>,
}

/// What a test asks of a server unless it says otherwise.
pub fn options(engine: Engine, listen: &str) -> Options {
    Options {
        engine,
        listen: listen.parse().expect("an address"),
        reuse_port: false,
        connections: None,
        message_bytes: 64,
        slots_per_ring: None,
        rings_max: None,
        factors: Factors::default(),
        threads: 1,
        state: None,
    }
}

/// Starts a server, or returns why it could not be bound.
pub fn start(options: Options) -> Result<Running, ServeError> {
    // A test that failed has poisoned the lock; it says nothing about the next one.
    let engine = options.engine;
    let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    let (bound_sender, bound) = channel();
    let (ended_sender, ended) = channel();
    // A server belongs to the thread that made it.
    let thread = thread::spawn(move || match Server::bind(&options) {
        Ok(server) => {
            let handles = (server.address(), server.counters(), server.stopper());
            let _ = bound_sender.send(Ok(handles));
            let _ = ended_sender.send(server.serve());
        }
        Err(error) => {
            let _ = bound_sender.send(Err(error));
        }
    });
    let (address, counters, stopper) = bound.recv_timeout(PATIENCE).expect("bind returns")?;
    Ok(Running {
        engine,
        address,
        counters,
        stopper,
        ended,
        thread: Some(thread),
        _turn: turn,
    })
}

/// Starts a server, or prints why its engine, with its factors, cannot run on this machine and returns `None`.
pub fn start_or_skip(options: Options) -> Option<Running> {
    let (engine, factors) = (options.engine, options.factors);
    let error = match start(options) {
        Ok(running) => return Some(running),
        Err(error) => error,
    };
    // What an older kernel has not, and what an ordinary user may not lock, no test here can ask for.
    let lacks_factor = !factors.is_default()
        && (error.error.contains("does not grant")
            || error.limiter.as_deref() == Some("RLIMIT_MEMLOCK"));
    let lacks_ring =
        engine.profile().needs_io_uring && error.limiter.as_deref() == Some("io_uring");
    let skip = lacks_factor || lacks_ring;
    assert!(skip, "{engine} {factors}: {error} ({:?})", error.limiter);
    eprintln!("skipped: {engine} {factors}: {error}");
    None
}

impl Running {
    /// Waits until the server has returned by itself, or was told to.
    pub fn wait(mut self) -> Result<(), ServeError> {
        let ended = self
            .ended
            .recv_timeout(PATIENCE)
            .expect("serve returns in time");
        if let Some(thread) = self.thread.take() {
            thread.join().expect("serve does not panic");
        }
        ended
    }

    /// Stops the server, which must end well.
    pub fn end(self) {
        self.stopper.stop();
        self.wait().expect("serve ends well");
    }

    /// Whether the server has returned.
    pub fn has_ended(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Waits until `holds` is true of the counters.
    pub fn await_counters(&self, what: &str, holds: impl Fn(&ServerCounters) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let counters = self.counters.read();
            if holds(&counters) {
                return;
            }
            assert!(Instant::now() < deadline, "{what}: {counters:?}");
            thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    /// Of a test that failed: the server must not outlive its turn.
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take()
            && self.ended.recv_timeout(PATIENCE).is_ok()
        {
            let _ = thread.join();
        }
    }
}
