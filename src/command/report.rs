//! `fourtuple report`: everything that is drawn, drawn again from the records alone.

use crate::cli;
use crate::exit::{Ended, Exit};
use crate::output;
use crate::publish::{self, Front, Measured};
use crate::store::{self, SweepFile};
use crate::sweep::{about_of, publish_all};
use anyhow::Context;
use fourtuple_spec::{Record, Trial};
use std::fs;
use std::path::Path;

/// What a directory holds.
struct Held<'a> {
    directory: &'a Path,
    records: Vec<Record>,
    about: SweepFile,
    trial: Option<Trial>,
}

/// Draws reports again, and the front page that shows them.
pub fn report(arguments: &cli::Report) -> Result<Exit, Ended> {
    let results: Vec<Held<'_>> = arguments
        .directories
        .iter()
        .map(|directory| read(directory))
        .collect::<Result<_, _>>()?;
    // Before anything is written, so that a wrong file changes nothing.
    let front = match &arguments.front {
        Some(readme) => Some((readme, front(readme, &results)?)),
        None => None,
    };
    for held in &results {
        publish_one(held)?;
    }
    if let Some((readme, front)) = front {
        write(readme, &front)?;
        output::say(format_args!("what was measured is in {}", readme.display()));
    }
    Ok(Exit::Done)
}

/// A trial's page is of claims, not of points.
fn publish_one(held: &Held<'_>) -> Result<(), Ended> {
    let Some(trial) = &held.trial else {
        return publish_all(held.directory, &held.records, &held.about);
    };
    let files = publish::trial_page(held.directory, trial, &held.records)?;
    output::say(format_args!(
        "{} files written to {}",
        files.len(),
        held.directory.display()
    ));
    Ok(())
}

/// Writes the pictures of a front page, and then the page that shows them.
fn write(readme: &Path, front: &Front) -> Result<(), Ended> {
    let beside = readme.parent().unwrap_or(Path::new(""));
    let pictures = front.pictures.iter();
    let pictures = pictures.map(|(name, chart)| (beside.join(name), chart));
    for (path, content) in pictures.chain([(readme.to_owned(), &front.text)]) {
        publish::write_whole(&path, content.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

fn read(directory: &Path) -> Result<Held<'_>, Ended> {
    let (records, trial) = (store::read(directory)?, store::read_trial(directory)?);
    // Some claims are tried without a run.
    if records.is_empty() && trial.is_none() {
        return Err(Ended::no(format!(
            "{} holds no record yet",
            directory.join(store::RECORDS_FILE).display()
        )));
    }
    Ok(Held {
        directory,
        records,
        about: store::read_about(directory)?,
        trial,
    })
}

/// The README's new text.
fn front(readme: &Path, results: &[Held<'_>]) -> Result<Front, Ended> {
    let wrong = |error: &dyn std::fmt::Display| {
        Ended::words(format!("--front {}: {error}", readme.display()))
    };
    let text = fs::read_to_string(readme).map_err(|error| wrong(&error))?;
    let measured = results.iter().map(|held| {
        Ok(Measured {
            link: publish::link(readme, held.directory).map_err(|error| wrong(&error))?,
            about: about_of(held.directory, &held.records, &held.about)?,
            records: store::latest(&held.records),
            trial: held.trial.clone(),
        })
    });
    let measured: Vec<Measured> = measured.collect::<Result<_, Ended>>()?;
    publish::front(&text, &measured).map_err(|error| wrong(&error))
}
