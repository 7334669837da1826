//! The client process: one thread generates load, one listens to the parent.

use super::pipe::{Requests, reply};
use crate::exit::Exit;
use fourtuple_client::{Load, LoadError, Warm};
use fourtuple_spec::message::{ClientReply, ClientRequest, Failure};
use std::sync::mpsc::{self, Receiver};
use std::thread;

/// Generates load as told, until drained.
pub fn work() -> Exit {
    let mut requests = Requests::new();
    let Some(request) = requests.next() else {
        return Exit::Failed;
    };
    match start(request, requests) {
        Ok(()) => Exit::Done,
        Err(failure) => {
            reply(&ClientReply::Failed(failure));
            Exit::Failed
        }
    }
}

fn start(request: ClientRequest, requests: Requests) -> Result<(), Failure> {
    let ClientRequest::Start {
        case,
        network,
        target,
        rank: (rank, _),
    } = request
    else {
        return Err(super::failure(
            "the first request was not start".to_owned(),
            None,
        ));
    };
    super::enter(&network)?;
    super::pin(&case.client_cpus)?;
    let orders = listen(requests)?;
    let load = Load::prepare(&case, target).map_err(failed)?;
    reply(&ClientReply::Hello {
        rank,
        worker_threads: vec![super::thread_id()],
        granted: load.granted(),
    });
    obey(load, &orders)
}

/// Reads orders on a thread of its own, so that a parent's death is heard while load is generated.
fn listen(mut requests: Requests) -> Result<Receiver<ClientRequest>, Failure> {
    let (sender, orders) = mpsc::channel();
    thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            while let Some(request) = requests.next() {
                if sender.send(request).is_err() {
                    return;
                }
            }
            std::process::exit(3);
        })
        .map_err(|error| super::failure(format!("cannot start a thread: {error}"), None))?;
    Ok(orders)
}

fn obey(mut load: Load, orders: &Receiver<ClientRequest>) -> Result<(), Failure> {
    while let Ok(order) = orders.recv() {
        match order {
            ClientRequest::Ramp => {
                let ramp = load
                    .ramp(&mut |connections| reply(&ClientReply::Ramping { connections }))
                    .map_err(failed)?;
                reply(&ClientReply::Connected(ramp));
            }
            ClientRequest::Measure => {
                let measured = load.measure(&mut say_warm).map_err(failed)?;
                reply(&ClientReply::Measured(Box::new(measured)));
            }
            ClientRequest::Drain => {
                load.drain().map_err(failed)?;
                reply(&ClientReply::Drained);
                return Ok(());
            }
            ClientRequest::Start { .. } | ClientRequest::Enough => {}
            ClientRequest::Round { .. } => {}
        }
    }
    Ok(())
}

fn say_warm(warm: Warm) {
    reply(&ClientReply::Warm {
        warmup_ns: warm.warmup_ns,
        connections_proved: warm.connections_proved,
    });
}

fn failed(error: LoadError) -> Failure {
    Failure {
        error: error.error,
        limiter: error.limiter,
        connections_held: error.connections_held,
    }
}
