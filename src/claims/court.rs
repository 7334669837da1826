//! The court: what an experiment may ask for. It runs cases, counts sockets, and keeps every record.

use crate::command::setting::Setting;
use crate::exit::Ended;
use crate::interrupt::Interrupt;
use crate::progress::Progress;
use crate::run::{self, Context, Stage};
use crate::store::Store;
use fourtuple_meter::Subjects;
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Case, Environment, Record, Verdict};
use std::cell::{Cell, RefCell};

/// What an experiment found.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// What was measured, in a sentence or two.
    pub measured: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// Why.
    pub why: String,
    /// The numbers.
    pub figures: Vec<Figure>,
    /// What shows them.
    pub evidence: Vec<Evidence>,
    /// What a reader should know before quoting it.
    pub notes: Vec<String>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            measured: None,
            verdict: Verdict::NotRun,
            why: String::new(),
            figures: Vec::new(),
            evidence: Vec::new(),
            notes: Vec::new(),
        }
    }
}

/// Why an experiment came to no findings at all.
#[derive(Debug)]
pub enum Halt {
    /// The user interrupted it.
    Interrupted,
    /// It could not be made here: the limit or refusal, in words. The others go on.
    NotRun(String),
    /// A run of it failed, and no limit that was met and no refusal says why. The others go on, and the command fails
    /// when they are over.
    Broken(String),
    /// Records cannot be written, or the like: nothing goes on.
    Failed(Ended),
}

impl From<Ended> for Halt {
    fn from(ended: Ended) -> Self {
        Self::Failed(ended)
    }
}

/// What experiments share.
pub struct Court<'a> {
    /// What this machine gives.
    pub setting: &'a Setting,
    /// Whether the million-sized forms are to be run.
    pub is_full: bool,
    /// Ctrl-C.
    pub interrupt: &'a Interrupt,
    environment: &'a Environment,
    store: RefCell<Option<Store>>,
    kept: RefCell<Vec<u32>>,
    count: Cell<u32>,
    has_broken: Cell<bool>,
}

impl<'a> Court<'a> {
    /// A court that keeps its records in `store`, if there is one.
    pub fn new(
        setting: &'a Setting,
        interrupt: &'a Interrupt,
        environment: &'a Environment,
        store: Option<Store>,
        is_full: bool,
    ) -> Self {
        let count = store.as_ref().map_or(0, |store| store.records().len());
        Self {
            setting,
            is_full,
            interrupt,
            environment,
            store: RefCell::new(store),
            kept: RefCell::default(),
            count: Cell::new(u32::try_from(count).unwrap_or(u32::MAX)),
            has_broken: Cell::new(false),
        }
    }

    /// Refuses an experiment that needs a network of its own where none is granted.
    ///
    /// # Errors
    /// [`Halt::NotRun`] with the reason.
    pub fn needs_private_network(&self) -> Result<(), Halt> {
        match &self.setting.private_refusal {
            None => Ok(()),
            Some(reason) => Err(Halt::NotRun(format!(
                "it needs a network namespace of its own, and none is granted: {reason}"
            ))),
        }
    }

    /// Runs a case though the doctor says that it cannot succeed, to see what it fails with, and keeps its record,
    /// whatever became of it.
    pub fn run_into_the_wall(&self, request: &CaseRequest) -> Result<Record, Halt> {
        self.run_forced(request, true, None)
    }

    /// Runs a case that has to get to its end. Of one that did and broke a rule of measuring the record says so.
    ///
    /// # Errors
    /// [`Halt::NotRun`] with the limit's name where one was met or foreseen, or with what was refused before the run
    /// had begun; [`Halt::Broken`] where neither is known.
    pub fn run_whole(
        &self,
        request: &CaseRequest,
        witness: Option<&dyn Fn(&Subjects)>,
    ) -> Result<Record, Halt> {
        whole(self.run_forced(request, false, witness)?)
    }

    /// The same of a larger form, without which the claim is tried as well: why there is none, in words.
    pub fn run_more(
        &self,
        request: &CaseRequest,
        witness: Option<&dyn Fn(&Subjects)>,
    ) -> Result<Result<Record, String>, Halt> {
        match self.run_whole(request, witness) {
            Ok(record) => Ok(Ok(record)),
            Err(Halt::NotRun(why)) => Ok(Err(why)),
            Err(Halt::Broken(why)) => {
                self.has_broken.set(true);
                Ok(Err(why))
            }
            Err(halt) => Err(halt),
        }
    }

    /// Whether a run failed for no known reason and the claim went on without it.
    pub fn has_broken(&self) -> bool {
        self.has_broken.get()
    }

    fn run_forced(
        &self,
        request: &CaseRequest,
        is_forced: bool,
        witness: Option<&dyn Fn(&Subjects)>,
    ) -> Result<Record, Halt> {
        if self.interrupt.is_set() {
            return Err(Halt::Interrupted);
        }
        let case = self.case(request)?;
        let progress = Progress::of_one(&case);
        let on_stage = |stage: Stage| progress.stage(stage);
        let context = self
            .setting
            .context(self.interrupt, self.environment, is_forced, &on_stage);
        let context = Context { witness, ..context };
        let result = run::execute(&case, &context);
        if let Ok(record) = &result {
            progress.finish(&case, &in_a_line(record), false);
        }
        progress.clear();
        let record = result.map_err(|_| Halt::Interrupted)?;
        self.keep(&record)?;
        Ok(record)
    }

    /// What this machine cannot do at all is a reason not to run one claim, and none to end the trial.
    fn case(&self, request: &CaseRequest) -> Result<Case, Halt> {
        let case = request
            .resolve(&self.setting.case_defaults())
            .map_err(|error| Halt::NotRun(error.to_string()))?;
        self.setting
            .check(&case)
            .map_err(|ended| Halt::NotRun(ended.message.unwrap_or_default()))?;
        Ok(case)
    }

    fn keep(&self, record: &Record) -> Result<(), Halt> {
        if let Some(store) = &mut *self.store.borrow_mut() {
            store.append(record)?;
            self.kept.borrow_mut().push(self.count.get());
            self.count.set(self.count.get() + 1);
        }
        Ok(())
    }

    /// Every record that is kept, those of earlier trials too; none where nothing is.
    pub fn records(&self) -> Vec<Record> {
        let store = self.store.borrow();
        store
            .as_ref()
            .map_or_else(Vec::new, |store| store.records().to_vec())
    }

    /// The places of the records that were kept since this was last asked.
    pub fn take_kept(&self) -> Vec<u32> {
        std::mem::take(&mut self.kept.borrow_mut())
    }
}

fn whole(record: Record) -> Result<Record, Halt> {
    if record.outcome != Outcome::Error {
        return Ok(record);
    }
    let error = record.error.as_deref().unwrap_or("no reason is known");
    let was_at_work = record.phases_ns.contains_key("ramp");
    let was_refused = !was_at_work && !is_unexplained(error);
    Err(match &record.limiter {
        // A refusal begins with the limit's name.
        Some(limiter) if error.starts_with(limiter.as_str()) => Halt::NotRun(error.to_owned()),
        Some(limiter) => Halt::NotRun(format!("{limiter}: {error}")),
        None if was_refused => Halt::NotRun(error.to_owned()),
        None => Halt::Broken(format!("{} failed: {error}", record.case.label())),
    })
}

/// What is said of a process that ended, or hung, without a word of why: no refusal is among these.
const UNEXPLAINED: [&str; 6] = [
    "no reason is known",
    "was killed by",
    "before it was told to",
    "did not come",
    " is gone",
    "are gone",
];

fn is_unexplained(error: &str) -> bool {
    UNEXPLAINED.iter().any(|words| error.contains(words))
}

/// How a run went, in what fits beside the progress.
fn in_a_line(record: &Record) -> String {
    let label = record.case.label();
    let error = record.error.as_deref().unwrap_or("no reason is known");
    match (record.outcome, record.limiter.as_deref()) {
        (Outcome::Ok, _) => format!("{label}: done"),
        (Outcome::Invalid, _) => format!("{label}: {error}"),
        (Outcome::Error, limiter) => format!("{label}: {}: {error}", limiter.unwrap_or("failed")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::last_words::describe_end;
    use crate::run::nothing_yet;
    use fourtuple_spec::Engine;
    use fourtuple_spec::plan::CaseDefaults;
    use std::os::unix::process::ExitStatusExt;
    use std::process::ExitStatus;

    fn failed(limiter: Option<&str>, phase: &str) -> Record {
        let case = CaseRequest::new(Engine::Uring, 10)
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap();
        let mut record = nothing_yet(&case);
        record.outcome = Outcome::Error;
        record.limiter = limiter.map(str::to_owned);
        record.error = Some("it stopped".to_owned());
        record.phases_ns.insert(phase.to_owned(), 1);
        record
    }

    #[test]
    fn a_limit_or_a_refusal_is_a_reason_and_nothing_else_is() {
        let not_run = |record| match whole(record) {
            Err(Halt::NotRun(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            not_run(failed(Some("memory"), "ramp")),
            "memory: it stopped"
        );
        assert_eq!(not_run(failed(None, "start")), "it stopped");
        match whole(failed(None, "ramp")) {
            Err(Halt::Broken(why)) => assert_eq!(why, "uring × 10 failed: it stopped"),
            other => panic!("{other:?}"),
        }
        let mut invalid = failed(Some("client"), "ramp");
        invalid.outcome = Outcome::Invalid;
        assert_eq!(whole(invalid.clone()).unwrap(), invalid);
    }

    #[test]
    fn a_server_that_crashes_at_its_start_has_refused_nothing() {
        for end in [11, 9, 101 << 8] {
            let mut record = failed(None, "start");
            record.error = Some(describe_end("the server", ExitStatus::from_raw(end)));
            match whole(record) {
                Err(Halt::Broken(why)) => assert!(why.contains("the server"), "{why}"),
                other => panic!("{other:?}"),
            }
        }
        let mut silent = failed(None, "start");
        silent.error = Some(
            "a listening server was awaited for 20 s and did not come: a process hangs".to_owned(),
        );
        assert!(matches!(whole(silent.clone()), Err(Halt::Broken(_))));
        silent.limiter = Some("memory".to_owned());
        assert!(matches!(whole(silent), Err(Halt::NotRun(_))));
    }

    #[test]
    fn a_line_says_how_a_run_went() {
        let mut record = failed(Some("memory"), "ramp");
        assert_eq!(in_a_line(&record), "uring × 10: memory: it stopped");
        record.limiter = None;
        assert_eq!(in_a_line(&record), "uring × 10: failed: it stopped");
        record.outcome = Outcome::Invalid;
        assert_eq!(in_a_line(&record), "uring × 10: it stopped");
        record.outcome = Outcome::Ok;
        assert_eq!(in_a_line(&record), "uring × 10: done");
    }
}
