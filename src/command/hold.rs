//! `fourtuple hold`: connections held rather than worked, and the price list of their states.

use super::setting::Setting;
use super::{single, sweep};
use crate::cli;
use crate::exit::{Ended, Exit};
use fourtuple_spec::plan::CaseRequest;
use std::time::Duration;

/// How long connections rest before memory is read, where nothing else is asked.
const SETTLE: Duration = Duration::from_secs(1);
/// How long they are held idle.
const HOLD: Duration = Duration::from_secs(10);
/// More than any machine of today holds: where `--until-full` ends if memory does not end it.
const CONNECTIONS_MOST: u32 = 100_000_000;

/// Holds connections, or runs the price list.
pub fn hold(arguments: &cli::Hold) -> Result<Exit, Ended> {
    if arguments.price_list {
        if arguments.ghost_tcp.peer == Some(cli::Peer::Kernel) {
            return Err(Ended::words(
                "the price list is of the server's end alone, so its peers are ghosts: leave --peer out",
            ));
        }
        return sweep::sweep(&cli::Sweep {
            plan: "price-list".to_owned(),
            out: arguments.recording.out.clone(),
            quick: arguments.quick,
            budget: None,
            force: arguments.recording.force,
            quiet_check: false,
        });
    }
    let setting = Setting::read();
    let case = request(arguments)
        .ok_or_else(|| Ended::words("name an engine: --engine uring"))?
        .resolve(&setting.case_defaults())
        .map_err(Ended::words)?;
    setting.check(&case)?;
    single::execute(&case, &setting, &arguments.recording)
}

fn request(arguments: &cli::Hold) -> Option<CaseRequest> {
    let connections = arguments.connections.unwrap_or(CONNECTIONS_MOST);
    let mut request = CaseRequest::new(arguments.engine?, connections);
    single::peers(&mut request, &arguments.ghost_tcp);
    request.until_full = Some(arguments.until_full);
    request.settle_ms = single::milliseconds(Some(arguments.settle.unwrap_or(SETTLE)));
    request.hold_ms = single::milliseconds(Some(arguments.duration.unwrap_or(HOLD)));
    request.measure_ms = Some(0);
    request.rounds = (!arguments.rounds.is_empty()).then(|| arguments.rounds.clone());
    request.addresses = arguments.addresses.map(Into::into);
    request.prepare_memory = arguments.prepare_memory;
    request.slots_per_ring = arguments.slots_per_ring;
    request.network = arguments.network.map(Into::into);
    single::bounds(&mut request, &arguments.bounds);
    request.client = arguments.client.map(Into::into);
    request.sysctls = Some(arguments.sysctl.iter().cloned().collect());
    Some(request)
}
