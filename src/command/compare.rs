//! `fourtuple compare`: results against results, from their records alone.

use crate::cli;
use crate::compare::{self, Choice, Paper, Side};
use crate::environment;
use crate::exit::{Ended, Exit};
use crate::{output, store};
use fourtuple_spec::Mode;
use std::io;
use std::path::Path;

/// Compares two arms, two directories, or arms with themselves.
pub fn compare(arguments: &cli::Compare) -> Result<Exit, Ended> {
    let sides = arguments.results.iter().map(|words| side(words));
    let sides: Vec<Side> = sides.collect::<Result<_, _>>()?;
    let text = match (&sides[..], arguments.aa) {
        (sides, true) => with_itself(sides, arguments)?,
        ([one, other], false) if is_same(one, other) => arms(one, other, arguments)?,
        ([one, other], false) => directories(one, other, arguments)?,
        _ => {
            return Err(Ended::words(
                "two results are compared: give A and B, each a directory or DIR:ARM; --aa takes any number",
            ));
        }
    };
    output::print(text)?;
    Ok(Exit::Done)
}

fn with_itself(sides: &[Side], arguments: &cli::Compare) -> Result<String, Ended> {
    let compared = compare::self_comparison(sides).ok_or_else(|| {
        Ended::words(
            "no A/A pair is among the valid runs of these results: a plan has one where it says \
             `control = \"epoll\"`; the plans standard, comparison and plans/aa.toml do",
        )
    })?;
    Ok(match arguments.json {
        true => compare::self_json(sides, &compared),
        false => compare::self_text(sides, &compared, &paper()),
    })
}

fn arms(one: &Side, other: &Side, arguments: &cli::Compare) -> Result<String, Ended> {
    let (Some(first), Some(second)) = (&one.arm, &other.arm) else {
        return Err(Ended::words(format!(
            "A and B are the same directory: say which two arms of it, as in {0}:{1} {0}:{2}",
            one.directory,
            one.arms().first().map_or("uring", String::as_str),
            one.arms().get(1).map_or("epoll", String::as_str),
        )));
    };
    if !arguments.arm.is_empty() {
        return Err(Ended::words(
            "--arm chooses arms of two directories; here A and B name theirs already",
        ));
    }
    let measures = compare::measures(arguments.all);
    let differences = compare::differences(one, other);
    let compared = compare::two_arms(&one.records, (first, second), &measures)
        .ok_or_else(|| nothing_in_common(one, other, &differences))?;
    let sides = (one, other);
    Ok(match arguments.json {
        true => compare::arms_json(sides, &differences, &compared),
        false => compare::arms_text(sides, &differences, &compared, &paper()),
    })
}

fn directories(one: &Side, other: &Side, arguments: &cli::Compare) -> Result<String, Ended> {
    for arm in &arguments.arm {
        has_arm(one, arm)?;
        has_arm(other, arm)?;
    }
    // An arm that one side names is meant of both.
    let with = |side: &Side, other: &Side| Side {
        arm: side.arm.clone().or_else(|| other.arm.clone()),
        ..side.clone()
    };
    let (one, other) = (&with(one, other), &with(other, one));
    let measures = compare::measures(arguments.all);
    // Of an open loop the rate says nothing: its median latency stands in.
    let has_open = one.records.iter().any(|run| run.case.mode == Mode::Open);
    let ratio_measures = match (arguments.all, has_open) {
        (true, _) => &measures[..],
        (false, true) => &measures[..2],
        (false, false) => &measures[..1],
    };
    let choice = Choice {
        arms: &arguments.arm,
        measures: &measures,
        ratio_measures,
    };
    let differences = compare::differences(one, other);
    let compared = compare::directories(one, other, &choice)
        .ok_or_else(|| nothing_in_common(one, other, &differences))?;
    let sides = (one, other);
    Ok(match arguments.json {
        true => compare::directories_json(sides, &differences, &compared),
        false => compare::directories_text(sides, &differences, &compared, &paper()),
    })
}

/// A directory, or `DIR:ARM`. A directory's name may have colons in it, and so may an arm's.
fn side(words: &str) -> Result<Side, Ended> {
    let colons = words.match_indices(':').map(|(at, _)| at);
    let is_directory = |words: &str| Path::new(words).is_dir();
    let split = match is_directory(words) {
        true => None,
        false => colons.rev().find(|at| is_directory(&words[..*at])),
    };
    let (directory, arm) = match split {
        Some(at) => (&words[..at], Some(words[at + 1..].trim().to_owned())),
        None => (words, None),
    };
    let path = Path::new(directory);
    let records =
        store::read(path).map_err(|ended| Ended::words(ended.message.unwrap_or_default()))?;
    let side = Side {
        directory: directory.to_owned(),
        arm: None,
        records: store::latest(&records),
        environments: environment::read(path)?,
    };
    if let Some(arm) = &arm {
        has_arm(&side, arm)?;
    }
    Ok(Side { arm, ..side })
}

fn has_arm(side: &Side, arm: &str) -> Result<(), Ended> {
    let arms = side.arms();
    match arms.iter().any(|own| own == arm) {
        true => Ok(()),
        false => Err(Ended::words(format!(
            "{} has no arm “{arm}”; it has {}",
            side.directory,
            arms.join("; ")
        ))),
    }
}

fn is_same(one: &Side, other: &Side) -> bool {
    let place = |side: &Side| std::fs::canonicalize(&side.directory).ok();
    place(one) == place(other)
}

fn nothing_in_common(one: &Side, other: &Side, differences: &compare::Differences) -> Ended {
    let cases = compare::case_words(differences);
    let cases = match cases.is_empty() {
        true => String::new(),
        false => format!("; their cases differ in {}", cases.join("; ")),
    };
    Ended::words(format!(
        "{} and {} have no valid runs of the same case in common{cases}; run the same plan for both, and \
         without --quick for one alone",
        one.name(),
        other.name()
    ))
}

fn paper() -> Paper {
    let width = rustix::termios::tcgetwinsize(io::stdout())
        .map_or(100, |size| usize::from(size.ws_col))
        .max(40);
    Paper {
        width,
        is_color: output::is_color(&io::stdout()),
    }
}
