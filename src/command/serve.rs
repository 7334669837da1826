//! `fourtuple serve`: an echo server on its own, in this process, on this machine's network.

use super::setting;
use crate::cli;
use crate::exit::{Ended, Exit};
use crate::topology::Machine;
use crate::{child, limits, output};
use fourtuple_server::{Options, ServeError, Server};
use fourtuple_spec::Factors;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::record::ServerCounters;

/// Serves until a signal comes.
pub fn serve(arguments: &cli::Serve) -> Result<Exit, Ended> {
    limits::raise_descriptors();
    if let Some(cpus) = &arguments.server_cpus {
        Machine::read()
            .check("--server-cpus", &cpus.0)
            .map_err(Ended::words)?;
        child::pin(&cpus.0).map_err(|failure| Ended::failed(failure.error))?;
    }
    let server = Server::bind(&options(arguments)?).map_err(failed)?;
    let (counters, stopper) = (server.counters(), server.stopper());
    setting::interrupt()?.on_signal(move || stopper.stop());
    output::say(format_args!(
        "{} listens on {}; Ctrl-C stops it",
        arguments.engine,
        server.address()
    ));
    for grant in server.granted().iter().filter(|grant| !grant.granted) {
        let reason = grant.reason.as_deref().unwrap_or("no reason given");
        output::say(format_args!("without {}: {reason}", grant.feature));
    }
    match server.serve() {
        Ok(()) => show(&counters.read(), None, arguments.json).map(|()| Exit::Done),
        Err(error) => {
            show(&counters.read(), error.limiter.as_deref(), arguments.json)?;
            Err(failed(error))
        }
    }
}

fn options(arguments: &cli::Serve) -> Result<Options, Ended> {
    let cpus = arguments.server_cpus.as_ref().map(|cpus| cpus.0.len());
    let threads = cpus.or_else(|| std::thread::available_parallelism().ok().map(Into::into));
    Ok(Options {
        engine: arguments.engine,
        listen: arguments.listen,
        reuse_port: false,
        connections: None,
        message_bytes: arguments.message_bytes,
        slots_per_ring: None,
        rings_max: None,
        factors: factors(arguments)?,
        threads: threads.and_then(|count| count.try_into().ok()).unwrap_or(1),
        state: None,
    })
}

/// The factors, if the engine has them: a case decides that.
fn factors(arguments: &cli::Serve) -> Result<Factors, Ended> {
    let mut request = CaseRequest::new(arguments.engine, 1);
    arguments.factors.ask(&mut request);
    let case = request
        .resolve(&CaseDefaults::new(vec![0], vec![1]))
        .map_err(Ended::words)?;
    Ok(case.factors)
}

/// What was counted, and the limit that ended the server, if one did.
fn show(counters: &ServerCounters, limiter: Option<&str>, is_json: bool) -> Result<(), Ended> {
    let mut json = serde_json::to_value(counters).map_err(anyhow::Error::from)?;
    if let Some(limiter) = limiter {
        json["limiter"] = limiter.into();
    }
    if is_json {
        return output::print(format_args!("{json}\n"));
    }
    let counts = json.as_object().into_iter().flatten();
    for (name, count) in counts.filter(|(_, count)| !count.is_null()) {
        output::say(format_args!("{:<16} {count}", name.replace('_', " ")));
    }
    Ok(())
}

fn failed(error: ServeError) -> Ended {
    Ended::failed(error.error)
}
