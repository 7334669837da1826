//! The record of a run: begun before anything can fail, judged when all is over.

use super::Context;
use crate::clock;
use fourtuple_spec::message::Failure;
use fourtuple_spec::record::{
    ClientCounters, Cpu, Granted, LatencyNs, Memory, Noise, Outcome, SCHEMA_VERSION,
    ServerCounters, Setup, Throughput,
};
use fourtuple_spec::{Case, Record};
use std::collections::BTreeMap;

/// A record in which nothing has happened yet.
pub fn begin(case: &Case, context: &Context<'_>) -> Record {
    Record {
        schema_version: SCHEMA_VERSION,
        started_at: clock::now_rfc3339(),
        command: context.command.clone(),
        case: case.clone(),
        outcome: Outcome::Ok,
        limiter: None,
        error: None,
        warnings: Vec::new(),
        setup: Setup::default(),
        rounds: Vec::new(),
        hold: None,
        throughput: Throughput::default(),
        latency_ns: LatencyNs::default(),
        cpu: Cpu::default(),
        memory: Memory::default(),
        noise: Noise::default(),
        phases_ns: BTreeMap::new(),
        granted: Granted::default(),
        server: ServerCounters::default(),
        client: ClientCounters::default(),
        host: context.host.clone(),
    }
}

/// Marks a run that did not get to its end.
pub fn fail(record: &mut Record, failure: Failure) {
    record.outcome = Outcome::Error;
    record.error = Some(failure.error);
    record.limiter = failure.limiter;
    if failure.connections_held.is_some() {
        record.setup.connections_held = failure.connections_held;
    }
}

/// Marks a run that got to its end but broke a rule of measuring.
pub fn judge(record: &mut Record) {
    if let Some(rule) = broken_rule(record) {
        record.outcome = Outcome::Invalid;
        record.error = Some(rule);
    }
}

fn broken_rule(record: &Record) -> Option<String> {
    let held = record.setup.connections_held.unwrap_or(0);
    let asked = match record.case.until_full {
        true => held.max(1),
        false => record.case.connections,
    };
    if held < asked {
        return Some(format!("{held} of {asked} connections were held"));
    }
    if !record.case.echoes() {
        return None;
    }
    let proved = record.setup.connections_proved.unwrap_or(0);
    if proved < asked {
        return Some(format!("{proved} of {asked} connections were proved live"));
    }
    if let Some(lost @ 1..) = record.hold.as_ref().and_then(|hold| hold.connections_lost) {
        return Some(format!("{lost} connections were lost during the hold"));
    }
    (record.case.measures() && record.throughput.echoes_verified == Some(0))
        .then(|| "no echo came within the measured span".to_owned())
}
