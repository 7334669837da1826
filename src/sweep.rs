//! Running a plan: what is left is run, each run recorded before the next begins; then everything is published.

mod budget;
pub mod confidence;
mod left;
mod offered;
mod runs;

use crate::command::setting::{Setting, interrupt};
use crate::environment;
use crate::exit::{Ended, Exit};
use crate::progress::in_words;
use crate::publish::{self, About};
use crate::quiet_check::{self, QuietCheck};
use crate::store::{self, Store, SweepFile};
use crate::{clock, output};
use fourtuple_spec::plan::{Block, Plan};
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Case, Record};
use runs::End;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What is to be run, and where its results go.
pub struct Order<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// What the user called it.
    pub plan_words: &'a str,
    /// Its blocks.
    pub blocks: &'a [Block],
    /// The cases of its own repeats, in order.
    pub cases: &'a [Case],
    /// The machine.
    pub setting: &'a Setting,
    /// The directory that the user asked for.
    pub out: Option<&'a Path>,
    /// Whether the quick variant was asked for.
    pub is_quick: bool,
    /// Whether to begin runs that memory is not expected to hold.
    pub is_forced: bool,
    /// How long the whole sweep may take.
    pub budget: Option<Duration>,
    /// Whether to look first at how quiet the cores are.
    pub is_quiet_checked: bool,
}

/// Runs what has not been run yet, then publishes everything.
pub fn sweep(order: &Order<'_>) -> Result<Exit, Ended> {
    let interrupt = interrupt()?;
    let (directory, mut store) = open(order)?;
    let left = left::left(order.cases, order.blocks, store.records());
    announce(order, &directory, left.len());
    let is_checked = order.is_quiet_checked && !left.is_empty();
    let quiet_check = is_checked.then(|| quiet_check::check(order.cases));
    store::write_about(&directory, &about(order, quiet_check))?;
    let end = runs::run_all(order, &left, &interrupt, &mut store, &directory)?;
    publish_all(&directory, store.records(), &store::read_about(&directory)?)?;
    let missing = left::left(order.cases, order.blocks, store.records()).len();
    if end == End::BudgetSpent {
        say_spent(order, missing);
    }
    let is_whole = end == End::Done || missing == 0;
    Ok(match verdict(&store::latest(store.records())) {
        Exit::Done if !is_whole => Exit::No,
        verdict => verdict,
    })
}

fn about(order: &Order<'_>, quiet_check: Option<QuietCheck>) -> SweepFile {
    SweepFile {
        quiet_check,
        seed: Some(order.plan.seed),
        until_interval: order.plan.stopping.map(|stopping| stopping.until_interval),
        budget_minutes: order.budget.map(|budget| budget.as_secs_f64() / 60.0),
        ..SweepFile::of(&order.plan.name, &order.plan.question)
    }
}

/// The directory of this sweep's records: the one asked for, or the first of today's that is not
/// finished and not another plan's.
fn open(order: &Order<'_>) -> Result<(PathBuf, Store), Ended> {
    if let Some(out) = order.out {
        let store = Store::open(out)?;
        if let Some(record) = first_alien(order, store.records()) {
            return Err(Ended::words(format!(
                "{} holds records that are not this plan's ({}, or other settings or cores): choose another --out",
                out.display(),
                record.case.label()
            )));
        }
        return Ok((out.to_owned(), store));
    }
    let host = fourtuple_meter::host().name.unwrap_or_default();
    let name = format!(
        "{}-{}-{}",
        clock::today(),
        plain(&host),
        plain(&order.plan.name)
    );
    let mut directory = Path::new("results").join(&name);
    for suffix in 2.. {
        if !directory.join(store::RECORDS_FILE).exists() {
            break;
        }
        let records = store::read(&directory)?;
        if !is_finished(order, &records) && first_alien(order, &records).is_none() {
            break;
        }
        directory.set_file_name(format!("{name}-{suffix}"));
    }
    let store = Store::open(&directory)?;
    Ok((directory, store))
}

/// A record that this plan would not make: of another case, or of a repeat that it has not.
fn first_alien<'a>(order: &Order<'_>, records: &'a [Record]) -> Option<&'a Record> {
    let is_planned = |record: &Record| {
        let arm = Case {
            repeat: 0,
            ..record.case.planned()
        };
        let mut blocks = order.blocks.iter();
        record.case.repeat < order.plan.repeats_max()
            && blocks.any(|block| block.arms.contains(&arm))
    };
    records.iter().find(|record| !is_planned(record))
}

/// Whether the plan would run nothing more.
fn is_finished(order: &Order<'_>, records: &[Record]) -> bool {
    let is_enough = |stopping| left::next_round(order.blocks, stopping, records).is_empty();
    left::left(order.cases, order.blocks, records).is_empty()
        && order.plan.stopping.as_ref().is_none_or(is_enough)
}

/// A name that is safe in a path.
fn plain(name: &str) -> String {
    let name: String = name
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() || c == '.' || c == '_' {
                c
            } else {
                '-'
            }
        })
        .collect();
    if name.is_empty() {
        "unnamed".to_owned()
    } else {
        name
    }
}

fn announce(order: &Order<'_>, directory: &Path, left: usize) {
    let all = order.cases.len().max(left);
    let kept = match all - left {
        0 => String::new(),
        kept => format!(", {kept} recorded already and kept"),
    };
    output::say(format_args!("{}: {}", order.plan.name, order.plan.question));
    output::say(format_args!(
        "{all} runs{kept}; records go to {}",
        directory.display()
    ));
    if let Some(stopping) = &order.plan.stopping {
        output::say(format_args!(
            "then more of them, until every interval is ±{} % or less, {} repeats at the most",
            confidence::percent(stopping.until_interval),
            stopping.repeats_max
        ));
    }
    if let Some(budget) = order.budget {
        output::say(format_args!("all of it within {}", in_words(budget)));
    }
    if let Some(reason) = &order.setting.private_refusal {
        output::say(format_args!(
            "warning: no private network ({reason}): the host's is used as it is"
        ));
    }
}

fn say_spent(order: &Order<'_>, missing: usize) {
    let budget = in_words(order.budget.unwrap_or_default());
    let what = match missing {
        0 => "some intervals are still wide".to_owned(),
        1 => "1 run is missing".to_owned(),
        _ => format!("{missing} runs are missing"),
    };
    output::say(format_args!(
        "the time of {budget} is used up and {what}: the same command with a larger --budget goes on from there"
    ));
}

/// Prints the table and writes the charts and the report.
pub fn publish_all(directory: &Path, records: &[Record], about: &SweepFile) -> Result<(), Ended> {
    let about = about_of(directory, records, about)?;
    let records = store::latest(records);
    let width = rustix::termios::tcgetwinsize(io::stdout())
        .map_or(100, |size| usize::from(size.ws_col))
        .max(40);
    let is_color = output::is_color(&io::stdout());
    output::print(publish::table(&records, width, is_color))?;
    let files = publish::report(directory, &records, &about)?;
    output::say(format_args!(
        "{} files written to {}",
        files.len(),
        directory.display()
    ));
    if let Some(confidence) = about.confidence {
        output::say(confidence);
    }
    Ok(())
}

/// What a report says about all records of a directory beyond what they say themselves.
pub fn about_of(directory: &Path, records: &[Record], about: &SweepFile) -> Result<About, Ended> {
    let cases: Vec<Case> = records.iter().map(|record| record.case.planned()).collect();
    let superseded = (records.iter().enumerate())
        .filter(|(index, _)| cases[index + 1..].contains(&cases[*index]));
    Ok(About {
        plan_name: about.plan_name.clone(),
        question: about.question.clone(),
        command: about.command.clone(),
        confidence: (about.until_interval).map(|until| confidence::in_words(records, until)),
        environments: environment::read(directory)?,
        superseded: superseded.map(|(_, record)| record.clone()).collect(),
    })
}

/// A limit that was met by name is an answer that a sweep may look for, and so is a load that says more of the client
/// than of the server; any other failure is one.
fn verdict(records: &[Record]) -> Exit {
    let has_failed = |record: &Record| record.outcome == Outcome::Error && record.limiter.is_none();
    if records.iter().any(has_failed) {
        Exit::Failed
    } else if records
        .iter()
        .any(|record| record.outcome == Outcome::Invalid && !record.is_invalid_for_load())
    {
        Exit::No
    } else {
        Exit::Done
    }
}
