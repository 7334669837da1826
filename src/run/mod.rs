//! One run: a case, executed by fresh processes, becomes a record. Whatever happens, it is recorded.
//!
//! ```text
//! servers listen → client ready → baseline → (prepare) → ramp → settle → (rounds → hold) → warm-up →
//! measure → drain → reaped
//! ```

mod cost;
mod disturbance;
mod events;
mod hold;
mod measure;
mod memory;
mod prepare;
mod process;
mod quiet;
mod ramp;
mod record;
mod room;
mod self_cost;
mod speed;
mod start;
mod steadiness;
mod teardown;
mod trace;
mod validity;
mod wait;
mod wall;
mod warning;

use crate::doctor::read;
use crate::doctor::refuse::{self, Refusal};
use crate::interrupt::Interrupt;
use crate::topology::Machine;
use events::{Event, Halt};
use fourtuple_meter::{GroupShortage, MemorySnapshot, NetworkCounters, Subjects};
use fourtuple_spec::record::{Host, Outcome};
use fourtuple_spec::{Case, Engine, Limits, NetworkChoice, Record};
use process::Process;
pub use quiet::Leftovers;
#[cfg(test)]
pub use record::nothing_yet;
pub use record::refused;
use std::cell::Cell;
use std::sync::mpsc::{self, Receiver, Sender};
use std::time::Instant;

/// What is the same for all runs of this invocation.
pub struct Context<'a> {
    /// The command line.
    pub command: Vec<String>,
    /// The machine.
    pub host: Host,
    /// Its cores.
    pub machine: Machine,
    /// Why there is no private network, if there is none.
    pub private_refusal: Option<String>,
    /// Ctrl-C.
    pub interrupt: Interrupt,
    /// What bounds a process that is started from here, as it was read before the first run.
    pub limits: Limits,
    /// Whether to begin a run that the limits are not expected to allow.
    pub is_forced: bool,
    /// What earlier runs left behind.
    pub leftovers: Cell<Leftovers>,
    /// Hears how far a run has come.
    pub on_stage: &'a dyn Fn(Stage),
    /// Looks at the run's processes once every connection is open and at rest. Nothing waits for it but the run.
    pub witness: Option<&'a dyn Fn(&Subjects)>,
}

impl Context<'_> {
    /// Whether a case's run gets a network of its own.
    fn has_private_network(&self, case: &Case) -> bool {
        let wants = case.network == NetworkChoice::Private && case.target.is_none();
        wants && self.private_refusal.is_none()
    }
}

/// How far a run has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The kernel is freeing the memory of an earlier run.
    Waiting,
    /// Processes are being started.
    Starting,
    /// Memory is being backed.
    Preparing,
    /// So many connections are open.
    Ramping(u32),
    /// All are open, nothing moves.
    Settling,
    /// Every connection echoes once.
    Rounding,
    /// All are held, nothing moves.
    Holding,
    /// Every connection that takes part is being proved live.
    WarmingUp,
    /// The measured span.
    Measuring,
    /// Connections are being closed, memory falls back.
    Draining,
}

/// The user stopped the run; its half of a record is dropped, its processes are reaped.
#[derive(Debug)]
pub struct Interrupted;

/// Executes a case. All that can fail is in the record; only an interruption yields none.
pub fn execute(case: &Case, context: &Context<'_>) -> Result<Record, Interrupted> {
    let mut record = record::begin(case, context);
    // First, because what an earlier run held is not there before it is over.
    record.warnings.extend(quiet::wait(context)?);
    if !context.is_forced
        && let Err(refusal) = check(case, context)
    {
        record.outcome = Outcome::Error;
        record.limiter = Some(refusal.limiter.to_owned());
        record.error = Some(refusal.to_string());
        return Ok(record);
    }
    context.leftovers.set(Leftovers::of(case));
    let mut run = Run::new(case, context, record);
    let result = run.steps();
    run.processes_end();
    run.stage("end", Stage::Draining);
    match result {
        Ok(()) => record::judge(&mut run.record),
        Err(Halt::Failed(failure)) => record::fail(&mut run.record, failure),
        Err(Halt::Interrupted) => return Err(Interrupted),
    }
    let mut record = run.record;
    record.disturbances = disturbance::of(&record);
    let warnings = warning::of(&record, &context.machine);
    record.warnings.extend(warnings);
    Ok(record)
}

/// Refuses a case that the limits do not allow, now: what was read before the first run is looked at again before it
/// refuses, because much of it comes and goes (TIME_WAIT, tasks, open files).
fn check(case: &Case, context: &Context<'_>) -> Result<(), Refusal> {
    let is_private = context.has_private_network(case);
    refuse::check(case, &context.limits, is_private).or_else(|refusal| {
        let now = read::read(None).map_err(|_| refusal)?;
        refuse::check(case, &now, is_private)
    })
}

/// A run under way.
struct Run<'a> {
    case: Case,
    context: &'a Context<'a>,
    record: Record,
    began: Instant,
    sender: Sender<Event>,
    events: Receiver<Event>,
    servers: Vec<Process>,
    client: Option<Process>,
    preparer: Option<Process>,
    subjects: Subjects,
    memory: Option<MemorySnapshot>,
    network: NetworkCounters,
    /// What had happened in the control group before the run.
    group: Option<GroupShortage>,
    /// Sockets in TIME_WAIT before the first connection.
    time_wait: Option<u64>,
    /// Where the servers listen, once they do.
    server_port: Option<u16>,
}

impl<'a> Run<'a> {
    fn new(case: &Case, context: &'a Context<'a>, record: Record) -> Self {
        let (sender, events) = mpsc::channel();
        let wake = sender.clone();
        context.interrupt.on_signal(move || {
            let _ = wake.send(Event::Interrupted);
        });
        Self {
            case: case.clone(),
            context,
            record,
            began: Instant::now(),
            sender,
            events,
            servers: Vec::new(),
            client: None,
            preparer: None,
            subjects: Subjects {
                server_cpus: case.server_cpus.clone(),
                client_cpus: case.client_cpus.clone(),
                server_forks: case.engine == Some(Engine::Foreign),
                ..Subjects::default()
            },
            memory: None,
            network: NetworkCounters::default(),
            group: GroupShortage::read(),
            time_wait: None,
            server_port: None,
        }
    }

    fn steps(&mut self) -> Result<(), Halt> {
        self.stage("start", Stage::Starting);
        self.start_all()?;
        self.take_baseline();
        self.prepare()?;
        self.ramp()?;
        self.end_preparation();
        self.settle()?;
        self.rounds()?;
        self.hold()?;
        if self.case.measures() {
            self.measure()?;
        }
        self.note_user();
        self.count()?;
        self.drain()
    }

    /// Notes when a phase began.
    fn stage(&mut self, phase: &str, stage: Stage) {
        let elapsed = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.record.phases_ns.insert(phase.to_owned(), elapsed);
        (self.context.on_stage)(stage);
    }
}
