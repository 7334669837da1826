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
        }
    }

    /// Runs a case and keeps its record, whatever became of it.
    pub fn run(&self, request: &CaseRequest) -> Result<Record, Halt> {
        self.run_forced(request, false, None)
    }

    /// The same with somebody who looks at the processes once every connection is open and at rest.
    pub fn run_watched(
        &self,
        request: &CaseRequest,
        witness: &dyn Fn(&Subjects),
    ) -> Result<Record, Halt> {
        self.run_forced(request, false, Some(witness))
    }

    /// The same, though the doctor says that it cannot succeed: to see what it fails with.
    pub fn run_into_the_wall(&self, request: &CaseRequest) -> Result<Record, Halt> {
        self.run_forced(request, true, None)
    }

    fn run_forced(
        &self,
        request: &CaseRequest,
        is_forced: bool,
        witness: Option<&dyn Fn(&Subjects)>,
    ) -> Result<Record, Halt> {
        let case = self.case(request)?;
        let progress = Progress::of_one(&case);
        let on_stage = |stage: Stage| progress.stage(stage);
        let context = self
            .setting
            .context(self.interrupt, self.environment, is_forced, &on_stage);
        let context = Context { witness, ..context };
        let result = run::execute(&case, &context);
        progress.clear();
        let record = result.map_err(|_| Halt::Interrupted)?;
        self.keep(&record)?;
        Ok(record)
    }

    fn case(&self, request: &CaseRequest) -> Result<Case, Halt> {
        let case = request
            .resolve(&self.setting.case_defaults())
            .map_err(|error| Halt::NotRun(error.to_string()))?;
        self.setting.check(&case)?;
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

    /// The places of the records that were kept since this was last asked.
    pub fn take_kept(&self) -> Vec<u32> {
        std::mem::take(&mut self.kept.borrow_mut())
    }
}
