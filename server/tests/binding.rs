//! What a server says when it cannot listen, and that it can be told to stop.

mod support;

use fourtuple_server::Server;
use fourtuple_spec::Engine;
use fourtuple_spec::engine::PROFILES;
use support::running::{options, start, start_or_skip};

#[test]
fn a_port_in_use_is_named_and_is_no_limit() {
    let first = start(options(Engine::Epoll, "127.0.0.1:0")).unwrap();
    let listen = first.address.to_string();
    let error = Server::bind(&options(Engine::Epoll, &listen))
        .err()
        .expect("the port is in use");
    assert!(error.error.contains(&listen), "{error}");
    assert!(
        error.error.contains("another socket listens there"),
        "{error}"
    );
    assert_eq!(error.limiter, None);
    first.end();
}

#[test]
fn a_port_is_shared_when_both_ask_for_it() {
    let mut shared = options(Engine::Epoll, "127.0.0.1:0");
    shared.reuse_port = true;
    let first = Server::bind(&shared).unwrap();
    shared.listen = first.address();
    let second = Server::bind(&shared).unwrap();
    assert_eq!(first.address(), second.address());
}

#[test]
fn an_address_that_is_not_this_machines_is_refused() {
    // TEST-NET-1: nobody's.
    let error = Server::bind(&options(Engine::Epoll, "192.0.2.1:0"))
        .err()
        .expect("no such address");
    assert!(
        error.error.contains("no interface of this machine"),
        "{error}"
    );
}

#[test]
fn a_server_told_to_stop_before_it_serves_returns_at_once() {
    for profile in PROFILES
        .iter()
        .filter(|profile| fourtuple_server::has(profile.engine))
    {
        // On this thread: a server that hangs hangs the test, which the harness reports.
        let server = match Server::bind(&options(profile.engine, "127.0.0.1:0")) {
            Ok(server) => server,
            Err(error) if error.limiter.as_deref() == Some("io_uring") => {
                eprintln!("skipped: {}: {error}", profile.name);
                continue;
            }
            Err(error) => panic!("{}: {error}", profile.name),
        };
        let stopper = server.stopper();
        stopper.stop();
        stopper.clone().stop();
        server
            .serve()
            .unwrap_or_else(|error| panic!("{}: {error}", profile.name));
        stopper.stop();
    }
}

#[test]
fn an_idle_server_stops() {
    for profile in PROFILES
        .iter()
        .filter(|profile| fourtuple_server::has(profile.engine))
    {
        if let Some(server) = start_or_skip(options(profile.engine, "127.0.0.1:0")) {
            server.end();
        }
    }
}
