//! The process that makes an experiment of a claim with plain sockets, in a network of its own.
//!
//! Both ends of every connection are here, in one thread: a connection is opened and accepted before the next one is
//! begun, so which two ends belong together is known, and nothing waits in a queue.

use super::pipe::{Requests, reply};
use crate::claims::experiment::{Attempt, Attempted, Outcome, Refusal, Reply, Request, Source};
use crate::exit::Exit;
use crate::network;
use crate::raw;
use fourtuple_ring::errno_name;
use fourtuple_spec::message::Network;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, connect, ipproto, listen,
    socket_with, sockopt,
};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddrV4, TcpStream};
use std::thread;

/// How many lines of `/proc/net/tcp` are quoted, its header included.
const LINES: usize = 12;
/// One connection waits at a time.
const BACKLOG: i32 = 16;

/// Makes the experiment that the first line of the input asks for, and prints what came of it as JSON.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(request) = requests.next::<Request>() else {
        return Exit::Failed;
    };
    let answer = match prepare(&request, requests) {
        Ok(listeners) => made(perform(&request, &listeners)),
        Err(reason) => Reply::Refused(reason),
    };
    reply(&answer);
    match answer {
        Reply::Done(_) => Exit::Done,
        Reply::Refused(_) | Reply::Failed(_) => Exit::Failed,
    }
}

fn made(result: Result<Outcome, String>) -> Reply {
    result.map_or_else(Reply::Failed, Reply::Done)
}

/// All that may be refused before the first connection.
fn prepare(request: &Request, requests: Requests) -> Result<Listeners, String> {
    network::enter_network(&Network::Create(request.sysctls.clone()))?;
    end_with_the_input(requests).map_err(|error| format!("a thread cannot be started: {error}"))?;
    listeners(&request.ports)
}

/// The input's end means that nobody waits any more.
fn end_with_the_input(mut requests: Requests) -> io::Result<()> {
    let watch = move || {
        let _: Option<Request> = requests.next();
        std::process::exit(3);
    };
    thread::Builder::new().spawn(watch).map(drop)
}

/// Opens what is asked for, proves all of it live, and looks at the sockets.
fn perform(request: &Request, listeners: &Listeners) -> Result<Outcome, String> {
    let mut pairs = Vec::new();
    let mut attempts = Vec::new();
    for attempt in &request.attempts {
        attempts.push(open_all(attempt, listeners, &mut pairs)?);
    }
    let proved = prove(&mut pairs).map_err(|error| format!("an echo failed: {error}"))?;
    let censuses = request
        .ports
        .iter()
        .map(|&port| fourtuple_meter::census(port));
    Ok(Outcome {
        attempts,
        proved,
        censuses: censuses.collect::<Result<_, _>>()?,
        lines: lines().unwrap_or_default(),
    })
}

type Listeners = BTreeMap<u16, OwnedFd>;

/// A connection.
struct Pair {
    client: TcpStream,
    server: TcpStream,
}

fn listeners(ports: &[u16]) -> Result<Listeners, String> {
    let open = |port| -> Result<OwnedFd, Errno> {
        let listener = tcp_socket()?;
        bind(&listener, &SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, port))?;
        listen(&listener, BACKLOG)?;
        Ok(listener)
    };
    let of = |&port: &u16| match open(port) {
        Ok(listener) => Ok((port, listener)),
        Err(error) => Err(format!("port {port} cannot be listened on: {error}")),
    };
    ports.iter().map(of).collect()
}

fn open_all(
    attempt: &Attempt,
    listeners: &Listeners,
    pairs: &mut Vec<Pair>,
) -> Result<Attempted, String> {
    let port = attempt.destination.port();
    let listener = (listeners.get(&port)).ok_or_else(|| format!("nobody listens on {port}"))?;
    for opened in 0..attempt.connections_max.into() {
        let client = match open(attempt) {
            Ok(client) => client,
            Err(refusal) => {
                let refusal = Some(refusal);
                return Ok(Attempted { opened, refusal });
            }
        };
        pairs.push(accept(listener, client)?);
    }
    Ok(Attempted {
        opened: attempt.connections_max.into(),
        refusal: None,
    })
}

fn open(attempt: &Attempt) -> Result<OwnedFd, Refusal> {
    let at = |step: &'static str| {
        move |errno: Errno| Refusal {
            step: step.to_owned(),
            errno: errno_name(errno),
        }
    };
    let socket = tcp_socket().map_err(at("socket"))?;
    let to = match attempt.source {
        Source::Kernel => None,
        Source::PortAtBind(address) => Some(SocketAddrV4::new(address, 0)),
        Source::PortAtConnect(address) => {
            raw::bind_address_without_port(socket.as_fd()).map_err(at("setsockopt"))?;
            Some(SocketAddrV4::new(address, 0))
        }
        Source::Given(source) => Some(source),
        Source::GivenToSeveral(source) => {
            sockopt::set_socket_reuseaddr(&socket, true).map_err(at("setsockopt"))?;
            Some(source)
        }
    };
    if let Some(source) = to {
        bind(&socket, &source).map_err(at("bind"))?;
    }
    connect(&socket, &attempt.destination).map_err(at("connect"))?;
    Ok(socket)
}

fn tcp_socket() -> Result<OwnedFd, Errno> {
    socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        Some(ipproto::TCP),
    )
}

/// Accepts the other end, and sees that it is.
fn accept(listener: &OwnedFd, client: OwnedFd) -> Result<Pair, String> {
    let server = accept_with(listener, SocketFlags::CLOEXEC)
        .map_err(|error| format!("accept: {error} ({})", errno_name(error)))?;
    let pair = Pair {
        client: client.into(),
        server: server.into(),
    };
    let ends = (pair.client.local_addr(), pair.server.peer_addr());
    match ends {
        (Ok(own), Ok(theirs)) if own == theirs => Ok(pair),
        (own, theirs) => Err(format!(
            "the accepted connection is from {theirs:?} and not from {own:?}"
        )),
    }
}

/// Sends every connection its number, has every server's end echo it, and counts the numbers that came back to where
/// they belong: each is under way while all others are open.
fn prove(pairs: &mut [Pair]) -> io::Result<u64> {
    for (index, pair) in pairs.iter_mut().enumerate() {
        pair.client.write_all(&number(index))?;
    }
    let mut message = [0; 8];
    for pair in pairs.iter_mut() {
        pair.server.read_exact(&mut message)?;
        pair.server.write_all(&message)?;
    }
    let mut proved = 0;
    for (index, pair) in pairs.iter_mut().enumerate() {
        pair.client.read_exact(&mut message)?;
        proved += u64::from(message == number(index));
    }
    Ok(proved)
}

fn number(index: usize) -> [u8; 8] {
    (index as u64).to_be_bytes()
}

/// Index, local and remote address and port in hexadecimal, state. What follows is not asked for here.
fn lines() -> io::Result<Vec<String>> {
    let table = BufReader::new(File::open("/proc/self/net/tcp")?);
    let cut = |line: String| {
        line.split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    };
    let lines = table.lines().take(LINES);
    lines.map(|line| line.map(cut)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A port that nobody listens on at the moment.
    fn free_port() -> u16 {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        listener.local_addr().unwrap().port()
    }

    fn attempt(source: Source, [a, b]: [u8; 2], port: u16, connections_max: u32) -> Attempt {
        Attempt {
            source,
            destination: SocketAddrV4::new(Ipv4Addr::new(127, 0, a, b), port),
            connections_max,
        }
    }

    #[test]
    fn connections_are_opened_proved_and_counted_and_a_refusal_has_its_step_and_errno() {
        let (server, source) = (free_port(), free_port());
        let shared = Source::GivenToSeveral(SocketAddrV4::new(Ipv4Addr::LOCALHOST, source));
        let given = Source::Given(SocketAddrV4::new(Ipv4Addr::LOCALHOST, source));
        let request = Request {
            sysctls: BTreeMap::new(),
            ports: vec![server],
            attempts: vec![
                attempt(shared, [0, 1], server, 1),
                attempt(shared, [0, 2], server, 3),
                attempt(given, [0, 3], server, 1),
                attempt(Source::Kernel, [0, 4], server, 3),
                attempt(
                    Source::PortAtBind(Ipv4Addr::new(127, 0, 9, 1)),
                    [0, 4],
                    server,
                    2,
                ),
                attempt(
                    Source::PortAtConnect(Ipv4Addr::new(127, 0, 9, 2)),
                    [0, 4],
                    server,
                    2,
                ),
            ],
        };
        let outcome = perform(&request, &listeners(&request.ports).unwrap()).unwrap();
        let opened: Vec<u64> = outcome
            .attempts
            .iter()
            .map(|attempt| attempt.opened)
            .collect();
        assert_eq!(opened, [1, 1, 0, 3, 2, 2]);
        assert!(outcome.attempts[1].was_refused("connect", "EADDRNOTAVAIL"));
        assert!(outcome.attempts[2].was_refused("bind", "EADDRINUSE"));
        assert!(outcome.is_proved());
        let client = &outcome.censuses[0].client;
        assert_eq!((client.four_tuples, client.local_addresses), (9, 3));
        assert!(outcome.lines[0].starts_with("sl local_address rem_address st"));
    }

    #[test]
    fn what_cannot_be_tried_is_said() {
        let port = free_port();
        let request = Request {
            sysctls: BTreeMap::new(),
            ports: Vec::new(),
            attempts: vec![attempt(Source::Kernel, [0, 1], port, 1)],
        };
        let broken = perform(&request, &Listeners::new()).unwrap_err();
        assert!(broken.contains("nobody listens"), "{broken}");
        assert!(matches!(made(Err(broken)), Reply::Failed(_)));
        let taken = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let refused = listeners(&[taken.local_addr().unwrap().port()]).unwrap_err();
        assert!(refused.contains("cannot be listened on"), "{refused}");
    }

    #[test]
    fn what_comes_back_with_another_number_proves_nothing() {
        let port = free_port();
        let listeners = listeners(&[port]).unwrap();
        let mut pairs = Vec::new();
        let two = attempt(Source::Kernel, [0, 1], port, 2);
        open_all(&two, &listeners, &mut pairs).unwrap();
        assert_eq!(prove(&mut pairs).unwrap(), 2);
        pairs[1].server.write_all(&number(7)).unwrap();
        assert_eq!(prove(&mut pairs).unwrap(), 1);
    }
}
