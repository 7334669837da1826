//! The server process: one thread serves, one listens to the parent.

use super::pipe::{Requests, reply};
use crate::exit::Exit;
use fourtuple_server::{Counters, Options, ServeError, Server};
use fourtuple_spec::message::{Failure, ServerReply, ServerRequest};
use std::sync::Arc;
use std::thread;

/// Serves until told to stop.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(request) = requests.next() else {
        return Exit::Failed;
    };
    match start(request).and_then(|server| serve(server, requests)) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            reply(&ServerReply::Failed(failure));
            Exit::Failed
        }
    }
}

fn start(request: ServerRequest) -> Result<Server, Failure> {
    let ServerRequest::Start {
        case,
        network,
        listen,
        shard: (_, shard_count),
    } = request
    else {
        return Err(super::failure(
            "the first request was not start".to_owned(),
            None,
        ));
    };
    let Some(engine) = case.engine else {
        return Err(super::failure("this case has no engine".to_owned(), None));
    };
    super::enter(&network)?;
    super::pin(&case.server_cpus)?;
    let options = Options {
        engine,
        listen,
        reuse_port: shard_count > 1,
        connections: Some(case.connections.div_ceil(shard_count.max(1))),
        message_bytes: case.message_bytes,
        slots_per_ring: case.slots_per_ring,
        factors: case.factors,
        threads: case.workers.max(case.server_cpus.len() as u32),
        state: case.state,
    };
    Server::bind(&options).map_err(failed)
}

fn serve(server: Server, requests: Requests) -> Result<(), Failure> {
    let counters = server.counters();
    let listening = ServerReply::Listening {
        address: server.address(),
        worker_threads: vec![super::thread_id()],
        granted: server.granted(),
    };
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || control(requests, &counters))
        .map_err(|error| super::failure(format!("cannot start a thread: {error}"), None))?;
    reply(&listening);
    server.serve().map_err(failed)
}

/// Answers the parent. Stopping does not unwind the engine: the kernel closes everything at exit,
/// and a million connections would be closed one by one for nothing.
fn control(mut requests: Requests, counters: &Arc<Counters>) {
    while let Some(request) = requests.next() {
        match request {
            ServerRequest::Count => reply(&ServerReply::Counters(counters.read())),
            ServerRequest::Stop => break,
            ServerRequest::Start { .. } => {}
        }
    }
    std::process::exit(0);
}

fn failed(error: ServeError) -> Failure {
    super::failure(error.error, error.limiter.as_deref())
}
