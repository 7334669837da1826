//! Brings endpoints into the states that no engine reaches by serving, and holds them there.
//!
//! For the price list: what a connection costs that was never accepted, that cannot send, or that
//! is on its way out. What an accepted connection is brought to is [`Act`]; a state before
//! acceptance is held by not accepting at all. It hears no peer, so nothing is closed until it stops.

use crate::engine::{Serve, Worker};
use crate::listen::{Accepted, accept};
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
                    self.bring(socket)?;
                    // Only now: whoever reads the count takes the endpoint to be in its state.
                    self.counters.accepted.add(1);
                }
                Accepted::Gone => {}
                Accepted::Drained => break,
            }
        }
        Ok(())
    }

    fn bring(&mut self, socket: OwnedFd) -> Result<(), ServeError> {
        match self.act {
            Act::Fill => fill(&socket)?,
            Act::ShutDown => shutdown(&socket, Shutdown::Write)
                .map_err(|errno| ServeError::refused("shutdown", errno))?,
            Act::Close | Act::Leave => return Ok(()),
        }
        self.held.push(socket);
        Ok(())
    }
}

/// Writes until the socket takes no more.
fn fill(socket: &OwnedFd) -> Result<(), ServeError> {
    loop {
        match send(socket, &FILLING, SendFlags::NOSIGNAL) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(()),
            Err(errno) => return Err(ServeError::refused("send", errno)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Options, Server};
    use fourtuple_spec::Engine;
    use std::io::Read;
    use std::net::{SocketAddr, TcpStream};
    use std::thread::{self, JoinHandle};

    fn start(state: EndpointState) -> (SocketAddr, crate::Stopper, JoinHandle<()>) {
        let (sender, started) = std::sync::mpsc::channel();
        let serving = thread::spawn(move || {
            let server = Server::bind(&Options {
                engine: Engine::Null,
                listen: "127.0.0.1:0".parse().unwrap(),
                reuse_port: false,
                connections: Some(10),
                message_bytes: 64,
                slots_per_ring: None,
                state: Some(state),
            })
            .unwrap();
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
