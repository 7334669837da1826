//! `fourtuple load`: the load generator against any echo server.

use super::setting::Setting;
use super::single;
use crate::cli;
use crate::exit::{Ended, Exit};
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::{Case, Engine, NetworkChoice};

/// Loads a server that this program did not start.
pub fn load(arguments: &cli::Load) -> Result<Exit, Ended> {
    let setting = Setting::read();
    let case = case(arguments, &setting)?;
    setting.check(&case)?;
    single::execute(&case, &setting, &arguments.recording)
}

fn case(arguments: &cli::Load, setting: &Setting) -> Result<Case, Ended> {
    // A request is always for an engine; which one stands here matters for nothing that stays.
    let mut request = CaseRequest::new(Engine::Uring, arguments.load.connections);
    single::shape(&mut request, &arguments.load);
    request.network = Some(NetworkChoice::Host);
    let case = request
        .resolve(&setting.case_defaults())
        .map_err(Ended::words)?;
    Ok(Case {
        engine: None,
        target: Some(arguments.target),
        server_cpus: Vec::new(),
        ..case
    })
}
