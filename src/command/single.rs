//! One case from start to end, for `run` and for `load`.

use super::setting::{self, Setting};
use crate::cli::{Bounds, GhostTcp, LoadShape, Offer, Recording};
use crate::environment;
use crate::exit::{Ended, Exit};
use crate::output;
use crate::progress::Progress;
use crate::publish;
use crate::quiet_check::QuietCheck;
use crate::run::{self, Interrupted};
use crate::store::{self, Store, SweepFile};
use crate::values::Cpus;
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Case, Record};
use std::time::Duration;

/// A span in the unit of cases.
pub fn milliseconds(span: Option<Duration>) -> Option<u64> {
    span.map(|span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Puts what the flags say of the load into a request.
pub fn shape(request: &mut CaseRequest, load: &LoadShape) {
    let cores = |cpus: &Option<Cpus>| cpus.as_ref().map(|cpus| cpus.0.clone());
    request.message_bytes = load.message_bytes;
    request.depth = load.depth;
    request.active_connections = load.active_connections;
    request.connect_window = load.connect_window;
    request.client_spin_us = load.client_spin_us;
    request.settle_ms = milliseconds(load.settle);
    request.warmup_ms = milliseconds(load.warmup);
    request.measure_ms = milliseconds(load.duration);
    request.slots_per_ring = load.slots_per_ring;
    request.client = load.client.map(Into::into);
    request.client_cpus = cores(&load.client_cpus);
}

/// Puts what they say of the peers into it.
pub fn peers(request: &mut CaseRequest, tcp: &GhostTcp) {
    request.peer = tcp.peer.map(Into::into);
    request.tcp_options = tcp.tcp_options.map(Into::into);
    request.loss_ppm = tcp.loss_ppm;
    request.duplicate_ppm = tcp.duplicate_ppm;
    request.reorder_ppm = tcp.reorder_ppm;
}

/// Puts the limits that they set into it.
pub fn bounds(request: &mut CaseRequest, bounds: &Bounds) {
    request.group_connections = bounds.group_connections;
    request.rings_max = bounds.rings_max;
    request.server_processes = bounds.server_processes;
    request.server_descriptors = bounds.server_descriptors;
}

/// Puts what they say of the messages' times into it.
pub fn offer(request: &mut CaseRequest, offer: &Offer) {
    request.mode = offer.mode.map(Into::into);
    request.rate = offer.rate;
    request.schedule = offer.schedule.map(Into::into);
}

/// Runs a case, records it where asked, and says how it went.
pub fn execute(case: &Case, setting: &Setting, recording: &Recording) -> Result<Exit, Ended> {
    execute_checked(case, setting, recording, None)
}

/// The same, after a look at how quiet its cores are.
pub fn execute_checked(
    case: &Case,
    setting: &Setting,
    recording: &Recording,
    quiet_check: Option<QuietCheck>,
) -> Result<Exit, Ended> {
    let mut store = match &recording.out {
        Some(directory) => Some((directory, Store::open(directory)?)),
        None => None,
    };
    let interrupt = setting::interrupt()?;
    let environment = environment::of_cases(&[case], setting.private_refusal.as_deref());
    let progress = Progress::of_one(case);
    let on_stage = |stage| progress.stage(stage);
    let context = setting.context(&interrupt, &environment, recording.force, &on_stage);
    let result = run::execute(case, &context);
    progress.clear();
    let record =
        result.map_err(|Interrupted| Ended::interrupted("interrupted; nothing is left running"))?;
    if let Some((directory, store)) = &mut store {
        let about = SweepFile {
            quiet_check,
            ..SweepFile::of("runs", "What did each run give?")
        };
        store::write_about_once(directory, &about)?;
        environment::keep(directory, &environment)?;
        store.append(&record)?;
    }
    show(&record, recording.json)?;
    verdict(&record)
}

fn show(record: &Record, is_json: bool) -> Result<(), Ended> {
    if is_json {
        let line = serde_json::to_string(record).map_err(anyhow::Error::from)?;
        output::print(format_args!("{line}\n"))?;
    }
    output::say(publish::summary(record).trim_end());
    Ok(())
}

/// The exit status of a finished run. Memory that is refused beforehand is an answer, not a failure, and a run that is
/// invalid for its load went as it should: its summary says that its figures are the client's as well.
fn verdict(record: &Record) -> Result<Exit, Ended> {
    let error = record.error.as_deref().unwrap_or("no reason is known");
    let was_begun = !record.phases_ns.is_empty();
    match record.outcome {
        Outcome::Ok => Ok(Exit::Done),
        Outcome::Invalid if record.is_invalid_for_load() => Ok(Exit::Done),
        Outcome::Invalid => Err(Ended::no(format!("the run is invalid: {error}"))),
        Outcome::Error if !was_begun => Err(Ended::no(format!("not run: {error}"))),
        Outcome::Error => Err(Ended::failed(format!("the run failed: {error}"))),
    }
}
