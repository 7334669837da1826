//! What engines with threads do that may start no more of them. A binary of its own with one test, because the
//! limit is the process's.

mod support;

use fourtuple_server::Server;
use fourtuple_spec::Engine;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::net::TcpStream;
use support::peer::Peer;
use support::running::{Running, options, start};

#[test]
fn out_of_threads_ends_the_server_with_the_limits_name() {
    let server = start(options(Engine::Threads, "127.0.0.1:0")).unwrap();
    Peer::connect(server.address, 1).echo(64);
    let before = getrlimit(Resource::Nproc);
    let lowered = Rlimit {
        current: Some(1),
        maximum: before.maximum,
    };
    setrlimit(Resource::Nproc, lowered).unwrap();
    if std::thread::Builder::new().spawn(|| {}).is_ok() {
        setrlimit(Resource::Nproc, before).unwrap();
        eprintln!("skipped: RLIMIT_NPROC binds no superuser");
        return;
    }
    let (ended, peer) = refuse_a_connection(server);
    let unbound = Server::bind(&options(Engine::TokioMulti, "127.0.0.1:0")).err();
    setrlimit(Resource::Nproc, before).unwrap();
    drop(peer);
    for error in [ended, unbound.expect("a runtime without threads")] {
        assert_eq!(error.limiter.as_deref(), Some("RLIMIT_NPROC"), "{error}");
        assert!(error.error.contains("ulimit -u"), "{error}");
    }
}

/// Connects once more than there are threads for.
fn refuse_a_connection(server: Running) -> (fourtuple_server::ServeError, TcpStream) {
    let peer = TcpStream::connect(server.address).unwrap();
    (server.wait().expect_err("no thread for it"), peer)
}
