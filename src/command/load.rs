//! `fourtuple load`: the load generator against any echo server.

use super::setting::Setting;
use super::single;
use crate::cli;
use crate::exit::{Ended, Exit};
use crate::network;
use fourtuple_client::GHOST_SERVER_ADDRESS;
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::{Case, Engine, NetworkChoice, Peer};
use std::net::SocketAddr;

/// Loads a server that this program did not start.
pub fn load(arguments: &cli::Load) -> Result<Exit, Ended> {
    let setting = Setting::read();
    let case = case(arguments, &setting)?;
    setting.check(&case)?;
    if case.peer == Peer::Ghost {
        network::ghosts_may_run_here().map_err(Ended::failed)?;
    }
    single::execute(&case, &setting, &arguments.recording)
}

fn case(arguments: &cli::Load, setting: &Setting) -> Result<Case, Ended> {
    // A request is always for an engine; which one stands here matters for nothing that stays.
    let mut request = CaseRequest::new(Engine::Uring, arguments.load.connections);
    single::shape(&mut request, &arguments.load);
    single::peers(&mut request, &arguments.ghost_tcp);
    single::offer(&mut request, &arguments.offer);
    // Elsewhere ghosts are refused the network as it is: here it is the server's, which is to be a private one.
    if arguments.ghost_tcp.peer == Some(cli::Peer::Ghost) {
        check_ghost_target(arguments.target)?;
    } else {
        request.network = Some(NetworkChoice::Host);
    }
    let case = request
        .resolve(&setting.case_defaults())
        .map_err(Ended::words)?;
    Ok(Case {
        engine: None,
        target: Some(arguments.target),
        network: NetworkChoice::Host,
        server_cpus: Vec::new(),
        ..case
    })
}

/// To ghosts the server has one address, that of their device.
fn check_ghost_target(target: SocketAddr) -> Result<(), Ended> {
    if target.ip() == GHOST_SERVER_ADDRESS {
        return Ok(());
    }
    Err(Ended::words(format!(
        "ghosts know the server as {GHOST_SERVER_ADDRESS}, and the target is {}: have it listen on every \
         address, and use --target {GHOST_SERVER_ADDRESS}:{}",
        target.ip(),
        target.port()
    )))
}
