//! Brings endpoints into the states that no engine reaches by serving, and holds them there.
//!
//! For the price list: what a connection costs that was never accepted, that cannot send, or that
//! is on its way out. What an accepted connection is brought to is [`Act`]; a state before
//! acceptance is held by not accepting at all. It hears no peer, so nothing is closed until it stops.

use crate::listen::{Accepted, accept};
use crate::worker::{Serve, Worker};
use crate::{Counters, ServeError, stop};
use fourtuple_spec::EndpointState;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// Connections accepted between two looks at the stop event.
const TURN: usize = 1024;

/// Bytes of one write where the send buffer is to be filled. They are never read.
static FILLING: [u8; 16 * 1024] = [0; 16 * 1024];

/// What is done to each connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// None is accepted.
    Leave,
    /// Written to until it takes no more, and held.
    Fill,
    /// Shut down for writing, and held.
    ShutDown,
    /// Closed.
    Close,
}

/// What a state asks for; `None` is left to an engine.
fn act(state: EndpointState) -> Option<Act> {
    match state {
        EndpointState::HalfOpen | EndpointState::AcceptQueue => Some(Act::Leave),
        EndpointState::SendFull => Some(Act::Fill),
        EndpointState::FinWait2Held => Some(Act::ShutDown),
        EndpointState::FinWait2 | EndpointState::TimeWait | EndpointState::Orphan => {
            Some(Act::Close)
        }
        EndpointState::Accepted
        | EndpointState::Armed
        | EndpointState::Echoed
        | EndpointState::Unread64
        | EndpointState::Unread4096
        | EndpointState::UnreadFull => None,
    }
}

/// Whether it is the keeper that holds this state, whatever engine a case names.
pub(crate) fn keeps(state: EndpointState) -> bool {
    act(state).is_some()
}

struct Keeper {
    listener: TcpListener,
    stop: OwnedFd,
    counters: Arc<Counters>,
    act: Act,
    held: Vec<OwnedFd>,
}

/// Prepares the keeper for the state that the options name.
pub(crate) fn new(worker: Worker) -> Result<Box<dyn Serve>, ServeError> {
    let Some(act) = worker.options.state.and_then(act) else {
        return Err(ServeError::new(
            "the keeper was asked for a state that is an engine's",
        ));
    };
    if act != Act::Leave {
        worker.counters.accepted.keep();
    }
    Ok(Box::new(Keeper {
        listener: worker.listener,
        stop: worker.stop,
        counters: worker.counters,
        act,
        held: Vec::new(),
    }))
}

impl Serve for Keeper {
    fn serve(mut self: Box<Self>) -> Result<(), ServeError> {
        while !stop::is_asked(&self.stop) {
            self.wait()?;
            if self.act != Act::Leave {
                self.accept_some()?;
            }
        }
        Ok(())
    }
}

impl Keeper {
    /// Sleeps until a connection waits, where it may be accepted, or until asked to stop.
    fn wait(&self) -> Result<(), ServeError> {
        let stop = PollFd::new(&self.stop, PollFlags::IN);
        let listener = PollFd::new(&self.listener, PollFlags::IN);
        let mut both = [stop, listener];
        let watched = if self.act == Act::Leave { 1 } else { 2 };
        match poll(&mut both[..watched], None) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(errno) => Err(ServeError::refused("poll", errno)),
        }
    }

    fn accept_some(&mut self) -> Result<(), ServeError> {
        for _ in 0..TURN {
            match accept(&self.listener)? {
                Accepted::Connection(socket) => {
                    let is_there = self.bring(socket)?;
                    // Only now: whoever reads the count takes the endpoint to be in its state.
                    self.counters.accepted.add(u64::from(is_there));
                }
                Accepted::Gone => {}
                Accepted::Drained => break,
            }
        }
        Ok(())
    }

    /// Brings a connection into its state; false if its peer is gone already, and it is closed.
    fn bring(&mut self, socket: OwnedFd) -> Result<bool, ServeError> {
        let brought = match self.act {
            Act::Fill => fill(&socket).map_err(|errno| ("send", errno)),
            Act::ShutDown => {
                shutdown(&socket, Shutdown::Write).map_err(|errno| ("shutdown", errno))
            }
            Act::Close | Act::Leave => return Ok(true),
        };
        match brought {
            Ok(()) => self.held.push(socket),
            Err((_, errno)) if is_of_the_peer(errno) => return Ok(false),
            Err((call, errno)) => return Err(ServeError::refused(call, errno)),
        }
        Ok(true)
    }
}

/// Writes until the socket takes no more.
fn fill(socket: &OwnedFd) -> Result<(), Errno> {
    loop {
        match send(socket, &FILLING, SendFlags::NOSIGNAL) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether a call failed because the peer has reset its connection, or nothing was heard of it.
fn is_of_the_peer(errno: Errno) -> bool {
    matches!(
        errno,
        Errno::CONNRESET | Errno::PIPE | Errno::NOTCONN | Errno::TIMEDOUT | Errno::HOSTUNREACH
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Server};
    use fourtuple_spec::Engine;
    use fourtuple_spec::Factors;
    use std::io::Read;
    use std::net::{SocketAddr, TcpStream};
    use std::thread::{self, JoinHandle};

    fn options(state: EndpointState) -> Options {
        Options {
            engine: Engine::Null,
            listen: "127.0.0.1:0".parse().unwrap(),
            reuse_port: false,
            connections: Some(10),
            message_bytes: 64,
            slots_per_ring: None,
            rings_max: None,
            factors: Factors::default(),
            threads: 1,
            state: Some(state),
        }
    }

    fn start(state: EndpointState) -> (SocketAddr, crate::Stopper, JoinHandle<()>) {
        let (sender, started) = std::sync::mpsc::channel();
        let serving = thread::spawn(move || {
            let server = Server::bind(&options(state)).unwrap();
            sender.send((server.address(), server.stopper())).unwrap();
            server.serve().unwrap();
        });
        let (address, stopper) = started.recv().unwrap();
        (address, stopper, serving)
    }

    #[test]
    fn a_closed_one_and_a_shut_one_end_and_a_full_one_delivers() {
        for (state, least) in [
            (EndpointState::FinWait2Held, 0),
            (EndpointState::TimeWait, 0),
            (EndpointState::SendFull, FILLING.len()),
        ] {
            let (address, stopper, serving) = start(state);
            let mut peer = TcpStream::connect(address).unwrap();
            let mut bytes = vec![0; least];
            peer.read_exact(&mut bytes).unwrap();
            if least == 0 {
                assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0, "{state:?}");
            }
            stopper.stop();
            serving.join().unwrap();
        }
    }

    #[test]
    fn a_peer_that_is_gone_before_it_is_accepted_ends_nothing() {
        use rustix::net::sockopt::set_socket_linger;
        for state in [EndpointState::FinWait2Held, EndpointState::SendFull] {
            let server = Server::bind(&options(state)).unwrap();
            let gone = TcpStream::connect(server.address()).unwrap();
            set_socket_linger(&gone, Some(std::time::Duration::ZERO)).unwrap();
            drop(gone);
            let mut peer = TcpStream::connect(server.address()).unwrap();
            let (stopper, counters) = (server.stopper(), server.counters());
            let reading = thread::spawn(move || {
                let least = peer.read(&mut [0; 1]);
                while counters.read().accepted == Some(0) {
                    thread::yield_now();
                }
                stopper.stop();
                least.map(|_| counters.read().accepted)
            });
            server.serve().unwrap();
            assert_eq!(reading.join().unwrap().unwrap(), Some(1), "{state:?}");
        }
    }

    #[test]
    fn it_stops_without_having_accepted() {
        let (address, stopper, serving) = start(EndpointState::AcceptQueue);
        let _peer = TcpStream::connect(address).unwrap();
        stopper.stop();
        serving.join().unwrap();
    }

    #[test]
    fn the_engines_states_are_not_kept() {
        assert!(!keeps(EndpointState::Armed) && !keeps(EndpointState::Unread64));
        assert!(keeps(EndpointState::HalfOpen) && keeps(EndpointState::Orphan));
    }
}
