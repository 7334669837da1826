//! The server process: one thread serves, one listens to the parent.

use super::foreign;
use super::pipe::{Requests, reply};
use crate::exit::Exit;
use fourtuple_server::{Counters, Options, ServeError, Server};
use fourtuple_spec::limiter;
use fourtuple_spec::message::{Failure, ServerReply, ServerRequest};
use fourtuple_spec::{Case, Engine};
use rustix::process::{Resource, Rlimit, setrlimit};
use std::sync::Arc;
use std::thread;

/// Serves until told to stop.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(request) = requests.next() else {
        return Exit::Failed;
    };
    if let ServerRequest::Start {
        case,
        network,
        listen,
        ..
    } = &request
        && case.engine == Some(Engine::Foreign)
    {
        return foreign::work(case, network, *listen, requests);
    }
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
        shard: (shard, shard_count),
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
    super::pin(&cores(&case, shard))?;
    limit_descriptors(case.server_descriptors)?;
    let options = Options {
        engine,
        listen,
        reuse_port: shard_count > 1,
        connections: Some(case.connections.div_ceil(shard_count.max(1))),
        message_bytes: case.message_bytes,
        slots_per_ring: case.slots_per_ring,
        rings_max: case.rings_max,
        factors: case.factors,
        threads: threads(&case),
        state: case.state,
    };
    Server::bind(&options).map_err(failed)
}

/// Sets RLIMIT_NOFILE to what the case says, so that the run meets it there.
fn limit_descriptors(descriptors: Option<u32>) -> Result<(), Failure> {
    let Some(descriptors) = descriptors else {
        return Ok(());
    };
    let limit = Some(u64::from(descriptors));
    let wanted = Rlimit {
        current: limit,
        maximum: limit,
    };
    setrlimit(Resource::Nofile, wanted).map_err(|errno| {
        super::failure(
            format!(
                "RLIMIT_NOFILE cannot be set to {descriptors}, as server_descriptors asks: {errno}"
            ),
            Some(limiter::DESCRIPTORS),
        )
    })
}

/// Each of several workers has a core of its own, as far as there are so many; one may use all of them, and so
/// may a runtime that spreads its own threads.
fn cores(case: &Case, shard: u32) -> Vec<u32> {
    let cores = &case.server_cpus;
    let has_own_workers = case.engine == Some(Engine::TokioMulti);
    match case.workers > 1 && !has_own_workers && !cores.is_empty() {
        true => vec![cores[shard as usize % cores.len()]],
        false => cores.clone(),
    }
}

/// Threads of a runtime that has several: as many as were asked for, or one a core.
fn threads(case: &Case) -> u32 {
    match case.workers {
        0 | 1 => u32::try_from(case.server_cpus.len()).unwrap_or(1).max(1),
        workers => workers,
    }
}

fn serve(server: Server, requests: Requests) -> Result<(), Failure> {
    let counters = server.counters();
    let listening = ServerReply::Listening {
        address: server.address(),
        granted: server.granted(),
    };
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || control(requests, &counters))
        .map_err(|error| super::failure(format!("cannot start a thread: {error}"), None))?;
    reply(&listening);
    let counters = server.counters();
    server.serve().map_err(|error| Failure {
        connections_held: held(&error, &counters),
        ..failed(error)
    })
}

/// Connections that were open when it failed: by its own word, where it has closed them by now.
fn held(error: &ServeError, counters: &Counters) -> Option<u32> {
    let held = error.held.or_else(|| counters.open())?;
    held.try_into().ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

    fn case(engine: Engine, workers: u32) -> Case {
        let mut request = CaseRequest::new(engine, 10);
        request.workers = Some(workers);
        request
            .resolve(&CaseDefaults::new(vec![2, 5], vec![1]))
            .unwrap()
    }

    #[test]
    fn each_worker_has_a_core_and_one_alone_may_use_all() {
        assert_eq!(cores(&case(Engine::Uring, 1), 0), [2, 5]);
        let several = case(Engine::Epoll, 3);
        let of = |shard| cores(&several, shard);
        assert_eq!([of(0), of(1), of(2)], [[2], [5], [2]]);
        assert_eq!(cores(&case(Engine::TokioMulti, 3), 0), [2, 5]);
    }

    #[test]
    fn a_runtime_has_a_thread_a_core_unless_it_is_told_otherwise() {
        assert_eq!(threads(&case(Engine::TokioMulti, 1)), 2);
        assert_eq!(threads(&case(Engine::TokioMulti, 3)), 3);
    }
}
