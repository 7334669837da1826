//! `fourtuple claims`: the article on trial.

use super::setting::{self, Setting, command_line};
use crate::claims::{self, Claim, Court, Findings, Halt};
use crate::cli;
use crate::clock;
use crate::compare::Paper;
use crate::environment;
use crate::exit::{Ended, Exit};
use crate::interrupt::Interrupt;
use crate::output;
use crate::publish;
use crate::store::{self, Store, SweepFile};
use fourtuple_spec::claim::TRIAL_SCHEMA_VERSION;
use fourtuple_spec::record::Host;
use fourtuple_spec::{Environment, NetworkChoice, Trial, TriedClaim};
use std::io;
use std::path::Path;
use std::time::Instant;

/// What [`SweepFile::plan_name`] is of a trial.
const PLAN_NAME: &str = "claims";
/// Columns of what is said, on a terminal that has them.
const COLUMNS_MOST: usize = 80;

/// Tries the claims.
pub fn claims(arguments: &cli::Claims) -> Result<Exit, Ended> {
    let chosen = claims::chosen(&arguments.only).map_err(Ended::words)?;
    let setting = Setting::read();
    let network = match setting.private_refusal {
        None => NetworkChoice::Private,
        Some(_) => NetworkChoice::Host,
    };
    let environment = environment::of_runs(network);
    let (store, earlier) = match &arguments.out {
        None => (None, None),
        Some(directory) => opened(directory, &environment)?,
    };
    let interrupt = setting::interrupt()?;
    let court = Court::new(&setting, &interrupt, &environment, store, arguments.full);
    let mut session = Session {
        arguments,
        court: &court,
        interrupt: &interrupt,
        trial: Trial {
            schema_version: TRIAL_SCHEMA_VERSION,
            started_at: clock::now_rfc3339(),
            command: command_line(),
            host: fourtuple_meter::host(),
            is_full: arguments.full,
            seconds: 0.0,
            claims: Vec::new(),
        },
        earlier,
        has_broken: false,
    };
    let result = session.try_all(&chosen);
    session.end(result)
}

/// What this invocation does, and what it has found so far.
struct Session<'a> {
    arguments: &'a cli::Claims,
    court: &'a Court<'a>,
    interrupt: &'a Interrupt,
    trial: Trial,
    /// What the directory had before.
    earlier: Option<Trial>,
    has_broken: bool,
}

impl Session<'_> {
    fn try_all(&mut self, chosen: &[&Claim]) -> Result<(), Ended> {
        for (index, claim) in chosen.iter().enumerate() {
            output::say(format_args!(
                "[{}/{}] {}",
                index + 1,
                chosen.len(),
                claim.id
            ));
            let tried = self.try_one(claim)?;
            let text = claims::claim_text(&tried, &self.paper());
            self.trial.seconds += tried.seconds;
            self.trial.claims.push(tried);
            // Kept before it is shown, and shown even if it cannot be kept.
            let kept = self.keep();
            self.show(&text).and(kept)?;
            if self.interrupt.is_set() {
                return Err(self.interrupted());
            }
        }
        Ok(())
    }

    fn try_one(&mut self, claim: &Claim) -> Result<TriedClaim, Ended> {
        let (tried_at, began) = (clock::now_rfc3339(), Instant::now());
        let findings = self.findings((claim.try_it)(self.court))?;
        let seconds = began.elapsed().as_secs_f64();
        Ok(TriedClaim {
            tried_at,
            command: self.trial.command.clone(),
            is_full: self.trial.is_full,
            ..claim.tried(findings, self.court.take_kept(), seconds)
        })
    }

    /// What is said of an experiment, whatever became of it.
    fn findings(&mut self, result: Result<Findings, Halt>) -> Result<Findings, Ended> {
        match result {
            Ok(findings) => Ok(findings),
            Err(Halt::NotRun(why)) => Ok(claims::not_run(why)),
            Err(Halt::Broken(why)) => {
                self.has_broken = true;
                Ok(claims::broken_off(&why))
            }
            Err(Halt::Interrupted) => Err(self.interrupted()),
            Err(Halt::Failed(ended)) => Err(ended),
        }
    }

    fn interrupted(&self) -> Ended {
        Ended::interrupted(match self.arguments.out {
            Some(_) => "interrupted; what was tried is kept, and nothing is left running",
            None => "interrupted; nothing is left running, and without --out nothing is kept",
        })
    }

    /// Says what there is to be said at the end, whatever the end is.
    fn end(&self, result: Result<(), Ended>) -> Result<Exit, Ended> {
        let printed = self.sum_up();
        let published = self.publish();
        ended(result, printed.and(published))?;
        match self.has_broken || self.court.has_broken() {
            false => Ok(Exit::Done),
            true => Err(Ended::failed(
                "a run failed for no known reason: what was said of it above is no verdict",
            )),
        }
    }

    /// Of a trial that ended early too: a program that reads this gets what was tried.
    fn sum_up(&self) -> Result<(), Ended> {
        if self.arguments.json {
            let line = serde_json::to_string(&self.trial).map_err(anyhow::Error::from)?;
            output::print(format_args!("{line}\n"))?;
        }
        match self.trial.claims.is_empty() {
            true => Ok(()),
            false => self.show(&claims::verdicts_text(&self.trial.claims, &self.paper())),
        }
    }

    /// For people: on the standard output, unless that is for a program.
    fn show(&self, text: &str) -> Result<(), Ended> {
        match self.arguments.json {
            true => output::say(text),
            false => output::print(format_args!("{text}\n"))?,
        }
        Ok(())
    }

    fn paper(&self) -> Paper {
        let (is_color, size) = match self.arguments.json {
            true => (
                output::is_color(&io::stderr()),
                rustix::termios::tcgetwinsize(io::stderr()),
            ),
            false => (
                output::is_color(&io::stdout()),
                rustix::termios::tcgetwinsize(io::stdout()),
            ),
        };
        let columns = size.map_or(COLUMNS_MOST, |size| usize::from(size.ws_col));
        Paper {
            width: columns.clamp(40, COLUMNS_MOST),
            is_color,
        }
    }

    /// Keeps what has been tried so far: an interruption loses no more than the claim that it came upon.
    fn keep(&self) -> Result<(), Ended> {
        let Some(directory) = &self.arguments.out else {
            return Ok(());
        };
        store::write_trial(directory, &self.merged())
    }

    fn merged(&self) -> Trial {
        match &self.earlier {
            Some(earlier) => merged(earlier, &self.trial),
            None => self.trial.clone(),
        }
    }

    /// Draws the page from what is kept, if anything was tried.
    fn publish(&self) -> Result<(), Ended> {
        let Some(directory) = &self.arguments.out else {
            return Ok(());
        };
        if self.trial.claims.is_empty() {
            return Ok(());
        }
        let records = self.court.records();
        let paths = publish::trial_page(directory, &self.merged(), &records)?;
        if let Some(page) = paths.first() {
            output::say(format_args!("the page is {}", page.display()));
        }
        Ok(())
    }
}

/// The first of two ends is the reason, and its exit status stands; what failed while it was reported is said beside
/// it.
fn ended(result: Result<(), Ended>, reported: Result<(), Ended>) -> Result<(), Ended> {
    match (result, reported) {
        (Err(first), Err(second)) => {
            if let Some(message) = second.message {
                output::say(format_args!("fourtuple: {message}"));
            }
            Err(first)
        }
        (result, reported) => result.and(reported),
    }
}

/// Opens a directory for the records and verdicts of this machine, and gives back the verdicts that are in it.
fn opened(
    directory: &Path,
    environment: &Environment,
) -> Result<(Option<Store>, Option<Trial>), Ended> {
    let store = Store::open(directory)?;
    let about = SweepFile::of(PLAN_NAME, "Does what is said of 65,535 connections hold?");
    store::write_about_once(directory, &about)?;
    let there = store::read_about(directory)?;
    if there.plan_name != PLAN_NAME {
        return Err(Ended::words(format!(
            "{} has the records of another plan ({}): choose another --out",
            directory.display(),
            there.plan_name
        )));
    }
    if !is_same_machine(&there.host, &about.host) {
        return Err(Ended::words(format!(
            "{} has the records of another machine or kernel ({}): choose another --out",
            directory.display(),
            there.host.name.as_deref().unwrap_or("of unknown name")
        )));
    }
    environment::keep(directory, environment)?;
    Ok((Some(store), store::read_trial(directory)?))
}

/// Figures of another kernel on the same hardware are another machine's.
fn is_same_machine(one: &Host, other: &Host) -> bool {
    let parts = |host: &Host| {
        let texts = [&host.name, &host.kernel, &host.cpu].map(Clone::clone);
        (texts, host.cores, host.memory_bytes)
    };
    parts(one) == parts(other)
}

/// Claims tried now in the place of those tried earlier; the others stay, and each says when and by which command it
/// was tried.
fn merged(earlier: &Trial, now: &Trial) -> Trial {
    let is_again = |tried: &&TriedClaim| now.claims.iter().any(|new| new.id == tried.id);
    let kept = earlier.claims.iter().filter(|tried| !is_again(tried));
    let mut claims: Vec<TriedClaim> = kept.chain(&now.claims).cloned().collect();
    claims.sort_by_key(|tried| claims::place(&tried.id));
    let first = claims.iter().map(|tried| &tried.tried_at).min();
    Trial {
        started_at: first.unwrap_or(&now.started_at).clone(),
        seconds: claims.iter().map(|tried| tried.seconds).sum(),
        is_full: claims.iter().all(|tried| tried.is_full),
        claims,
        ..now.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::CLAIMS;

    /// A trial by the command `first` is of the 1st of a month, any other of the 2nd.
    fn trial(command: &str, is_full: bool, claims: &[(usize, &str)]) -> Trial {
        let day = if command == "first" { 1 } else { 2 };
        let tried_at = format!("2026-01-0{day}T10:00:00Z");
        let tried = |&(index, why): &(usize, &str)| TriedClaim {
            tried_at: tried_at.clone(),
            command: vec![command.to_owned()],
            is_full,
            ..CLAIMS[index].tried(claims::not_run(why), Vec::new(), 2.0)
        };
        Trial {
            schema_version: TRIAL_SCHEMA_VERSION,
            started_at: tried_at.clone(),
            command: vec![command.to_owned()],
            host: Host::default(),
            is_full,
            seconds: 2.0 * claims.len() as f64,
            claims: claims.iter().map(tried).collect(),
        }
    }

    #[test]
    fn a_claim_that_is_tried_again_replaces_itself_alone() {
        let earlier = trial("first", true, &[(0, "old"), (2, "old")]);
        let merged = merged(&earlier, &trial("second", false, &[(2, "new"), (1, "new")]));
        let found = merged.claims.iter().map(|tried| {
            let command = tried.command[0].as_str();
            (tried.id.as_str(), tried.why.as_str(), command)
        });
        let expected = [
            (CLAIMS[0].id, "old", "first"),
            (CLAIMS[1].id, "new", "second"),
            (CLAIMS[2].id, "new", "second"),
        ];
        assert_eq!(found.collect::<Vec<_>>(), expected);
        assert_eq!(merged.command, ["second"], "that of the last of them");
        assert_eq!(
            merged.started_at, earlier.started_at,
            "that of the first of them"
        );
        assert!(!merged.is_full && merged.seconds == 6.0);
    }

    #[test]
    fn a_trial_is_full_once_all_of_its_claims_are() {
        let earlier = trial("first", false, &[(0, "old"), (1, "old")]);
        let half = merged(&earlier, &trial("second", true, &[(0, "new")]));
        assert!(!half.is_full);
        assert!(merged(&half, &trial("third", true, &[(1, "new")])).is_full);
    }

    #[test]
    fn what_fails_while_an_end_is_reported_does_not_replace_it() {
        let exit = |result: Result<(), Ended>| result.map_err(|ended| ended.exit);
        let interrupted = || Err(Ended::interrupted("interrupted"));
        let failed = || Err(Ended::failed("the page cannot be written"));
        assert_eq!(exit(ended(interrupted(), failed())), Err(Exit::Interrupted));
        assert_eq!(exit(ended(interrupted(), Ok(()))), Err(Exit::Interrupted));
        assert_eq!(exit(ended(Ok(()), failed())), Err(Exit::Failed));
        assert_eq!(exit(ended(Ok(()), Ok(()))), Ok(()));
    }

    #[test]
    fn a_trial_of_all_leaves_nothing_of_the_one_before() {
        let now = trial("second", true, &[(0, "new"), (1, "new")]);
        assert_eq!(merged(&trial("first", false, &[(1, "old")]), &now), now);
    }

    #[test]
    fn another_kernel_is_another_machine() {
        let host = fourtuple_meter::host();
        assert!(is_same_machine(&host, &host.clone()));
        let other = Host {
            kernel: Some("7.0".to_owned()),
            ..host.clone()
        };
        assert!(!is_same_machine(&host, &other));
    }
}
