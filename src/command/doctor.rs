//! `fourtuple doctor`: how many connections fit, and what stops the next one.

use crate::cli::{self, DoctorEnd};
use crate::doctor::answer::{Answer, Asked};
use crate::doctor::{measured, read, text};
use crate::exit::{Ended, Exit};
use crate::output;
use fourtuple_spec::Engine;
use std::io;

/// Answers.
pub fn doctor(arguments: &cli::Doctor) -> Result<Exit, Ended> {
    let asked = asked(arguments)?;
    let mut limits = read::read(asked.pid).map_err(Ended::failed)?;
    if asked.pid.is_none() {
        // This process ends before another one is started.
        read::leave_out_a_task(&mut limits);
    }
    let engine = asked.engine.unwrap_or(Engine::Epoll);
    let version = limits.group.version;
    let ends = measured::ends(
        &arguments.results,
        engine,
        &fourtuple_meter::host(),
        version,
    );
    let answer = Answer::of(asked, limits, &ends);
    match arguments.json {
        true => output::print(format_args!("{}\n", answer.to_json()))?,
        false => output::print(text::text(&answer, output::is_color(&io::stdout())))?,
    }
    Ok(match answer.is_yes() {
        Some(false) => Exit::No,
        Some(true) | None => Exit::Done,
    })
}

fn asked(arguments: &cli::Doctor) -> Result<Asked, Ended> {
    let counts = [
        ("--destinations", arguments.destinations),
        ("--sources", arguments.sources),
    ];
    if let Some((flag, _)) = counts.iter().find(|(_, count)| *count == 0) {
        return Err(Ended::words(format!(
            "{flag} is 0: a client connects from one address to another, so the least is 1"
        )));
    }
    Ok(Asked {
        connections: arguments.connections.map(u64::from),
        server: arguments.end != DoctorEnd::Client,
        client: arguments.end != DoctorEnd::Server,
        pid: arguments.pid,
        engine: arguments.engine,
        destinations: u64::from(arguments.destinations),
        sources: u64::from(arguments.sources),
    })
}
