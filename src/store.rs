//! Where records are kept: one JSON object a line, appended and on disk before the next run begins.

use crate::clock;
use crate::command::setting::command_line;
use crate::exit::Ended;
use crate::points;
use crate::publish::write_whole;
use crate::quiet_check::QuietCheck;
use fourtuple_spec::claim::TRIAL_SCHEMA_VERSION;
use fourtuple_spec::record::SCHEMA_VERSION;
use fourtuple_spec::{Case, Record, Trial};
use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// The records of a directory.
pub const RECORDS_FILE: &str = "records.jsonl";

const HOST_FILE: &str = "host.json";

/// The verdicts of a directory, beside the records that they rest on.
pub const TRIAL_FILE: &str = "trial.json";

/// What a sweep is about, kept beside its records so that a report can be drawn again.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SweepFile {
    /// The plan's name.
    pub plan_name: String,
    /// What the plan is to find out.
    pub question: String,
    /// The command that made it.
    pub command: String,
    /// When it began.
    pub started_at: String,
    /// The machine.
    pub host: fourtuple_spec::record::Host,
    /// The seed of the order in which the arms of a block ran; `null` of what was recorded before there was one.
    #[serde(default)]
    pub seed: Option<u64>,
    /// How narrow the intervals were to become, as a share: half of the width. `null` is no such rule.
    #[serde(default)]
    pub until_interval: Option<f64>,
    /// How long the whole sweep was allowed to take; `null` is as long as it takes.
    #[serde(default)]
    pub budget_minutes: Option<f64>,
    /// How quiet the chosen cores were before the first run, where that was asked for.
    #[serde(default)]
    pub quiet_check: Option<QuietCheck>,
}

impl SweepFile {
    /// What this invocation is about.
    pub fn of(plan_name: &str, question: &str) -> Self {
        Self {
            plan_name: plan_name.to_owned(),
            question: question.to_owned(),
            command: command_line().join(" "),
            started_at: clock::now_rfc3339(),
            host: fourtuple_meter::host(),
            seed: None,
            until_interval: None,
            budget_minutes: None,
            quiet_check: None,
        }
    }
}

/// Records that can be appended to. One process at a time.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    file: File,
    records: Vec<Record>,
}

impl Store {
    /// Opens the records of a directory, which is made if it is not there. A last line that an
    /// interruption tore is cut off.
    pub fn open(directory: &Path) -> Result<Self, Ended> {
        let path = directory.join(RECORDS_FILE);
        let cannot = |error: io::Error| cannot_write(&path, &error, 0);
        if directory.exists() && !directory.is_dir() {
            return Err(Ended::words(format!(
                "{} is there and is no directory: choose another --out",
                directory.display()
            )));
        }
        fs::create_dir_all(directory).map_err(cannot)?;
        let mut file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .open(&path)
            .map_err(cannot)?;
        rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|_| {
            Ended::failed(format!(
                "another sweep is writing {}: wait for it, or choose another --out",
                path.display()
            ))
        })?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(cannot)?;
        let whole = whole_lines(&bytes);
        if whole.len() < bytes.len() {
            file.set_len(whole.len() as u64).map_err(cannot)?;
        }
        let records = parse(whole, &path)?;
        Ok(Self {
            path,
            file,
            records,
        })
    }

    /// What has been recorded so far.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// Appends a record and waits until it is on disk. If that fails, what was there before stays whole.
    pub fn append(&mut self, record: &Record) -> Result<(), Ended> {
        let mut line = serde_json::to_vec(record).map_err(anyhow::Error::from)?;
        line.push(b'\n');
        let before = self.file.metadata().map(|metadata| metadata.len());
        let result = self
            .file
            .write_all(&line)
            .and_then(|()| self.file.sync_data());
        if let Err(error) = result {
            if let Ok(length) = before {
                let _ = self.file.set_len(length);
            }
            return Err(cannot_write(&self.path, &error, self.records.len()));
        }
        self.records.push(record.clone());
        Ok(())
    }
}

/// The records of a directory, which must have some.
pub fn read(directory: &Path) -> Result<Vec<Record>, Ended> {
    let path = directory.join(RECORDS_FILE);
    let bytes = fs::read(&path).map_err(|error| {
        Ended::words(format!(
            "{} cannot be read: {error}; give a directory that a sweep has written",
            path.display()
        ))
    })?;
    parse(whole_lines(&bytes), &path)
}

/// What counts: the last record of each case, in the order in which the cases first ran, so that a case that failed, or
/// was disturbed, and was run again counts once; and of each point's runs all or none, see [`points`].
pub fn latest(records: &[Record]) -> Vec<Record> {
    let mut latest: Vec<(Case, Record)> = Vec::with_capacity(records.len());
    for record in records {
        let case = record.case.planned();
        match latest.iter_mut().find(|(other, _)| *other == case) {
            Some((_, earlier)) => *earlier = record.clone(),
            None => latest.push((case, record.clone())),
        }
    }
    points::judged(latest.into_iter().map(|(_, record)| record).collect())
}

/// Writes what the sweep is about. Of what an earlier part of the same sweep has written only the rules change that
/// this part goes by.
pub fn write_about(directory: &Path, about: &SweepFile) -> Result<(), Ended> {
    if !directory.join(HOST_FILE).exists() {
        return write_about_once(directory, about);
    }
    let earlier = read_about(directory)?;
    let merged = SweepFile {
        seed: about.seed,
        until_interval: about.until_interval,
        budget_minutes: about.budget_minutes,
        quiet_check: (about.quiet_check.clone()).or_else(|| earlier.quiet_check.clone()),
        ..earlier.clone()
    };
    match merged == earlier {
        true => Ok(()),
        false => write(directory, &merged),
    }
}

/// Writes what the sweep is about, unless an earlier part of the same sweep has.
pub fn write_about_once(directory: &Path, about: &SweepFile) -> Result<(), Ended> {
    let path = directory.join(HOST_FILE);
    if path.exists() {
        return Ok(());
    }
    write(directory, about)
}

fn write(directory: &Path, about: &SweepFile) -> Result<(), Ended> {
    let path = directory.join(HOST_FILE);
    let mut text = serde_json::to_string_pretty(about).map_err(anyhow::Error::from)?;
    text.push('\n');
    write_whole(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error, 0))
}

/// The verdicts of a directory; `None` if no claims were tried there.
pub fn read_trial(directory: &Path) -> Result<Option<Trial>, Ended> {
    let path = directory.join(TRIAL_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => {
            let what = format!("{} cannot be read: {error}", path.display());
            return Err(Ended::failed(what));
        }
    };
    let damaged = |error| Ended::failed(format!("{} is damaged: {error}", path.display()));
    let trial: Trial = serde_json::from_str(&text).map_err(damaged)?;
    match trial.schema_version {
        TRIAL_SCHEMA_VERSION => Ok(Some(with_origins(trial))),
        other => Err(Ended::failed(format!(
            "{} has schema version {other}, and this program reads {TRIAL_SCHEMA_VERSION}",
            path.display()
        ))),
    }
}

/// What was written before each claim said by itself when and by what it was tried says it of all of them.
fn with_origins(mut trial: Trial) -> Trial {
    for tried in &mut trial.claims {
        if tried.tried_at.is_empty() {
            tried.tried_at.clone_from(&trial.started_at);
            tried.command.clone_from(&trial.command);
            tried.is_full = trial.is_full;
        }
    }
    trial
}

/// Writes the verdicts of a directory, whole or not at all.
pub fn write_trial(directory: &Path, trial: &Trial) -> Result<(), Ended> {
    let path = directory.join(TRIAL_FILE);
    let mut text = serde_json::to_string_pretty(trial).map_err(anyhow::Error::from)?;
    text.push('\n');
    write_whole(&path, text.as_bytes()).map_err(|error| cannot_write(&path, &error, 0))
}

/// What the sweep was about.
pub fn read_about(directory: &Path) -> Result<SweepFile, Ended> {
    let path = directory.join(HOST_FILE);
    let text = fs::read_to_string(&path)
        .map_err(|error| Ended::failed(format!("{} cannot be read: {error}", path.display())))?;
    serde_json::from_str(&text)
        .map_err(|error| Ended::failed(format!("{} is damaged: {error}", path.display())))
}

/// Everything up to the last line break: what is after it was never finished.
fn whole_lines(bytes: &[u8]) -> &[u8] {
    let length = bytes
        .iter()
        .rposition(|&byte| byte == b'\n')
        .map_or(0, |end| end + 1);
    &bytes[..length]
}

fn parse(bytes: &[u8], path: &Path) -> Result<Vec<Record>, Ended> {
    bytes
        .split(|&byte| byte == b'\n')
        .enumerate()
        .filter(|(_, line)| !line.is_empty())
        .map(|(index, line)| {
            parse_line(line).map_err(|problem| {
                Ended::failed(format!("{}, line {}: {problem}", path.display(), index + 1))
            })
        })
        .collect()
}

/// The part of a record that every version has.
#[derive(Deserialize)]
struct Version {
    schema_version: u32,
}

/// The version is looked at first: what a later one means by a key that is known here is not known here.
fn parse_line(line: &[u8]) -> Result<Record, String> {
    if let Ok(Version { schema_version }) = serde_json::from_slice(line)
        && schema_version > SCHEMA_VERSION
    {
        return Err(format!(
            "written by a newer fourtuple: its records have version {schema_version}, and this program reads up to \
             {SCHEMA_VERSION}; use that one, or one later still"
        ));
    }
    serde_json::from_slice(line).map_err(|error| {
        format!("not a record of this version: {error}; repair or remove the line")
    })
}

fn cannot_write(path: &Path, error: &io::Error, recorded: usize) -> Ended {
    let advice = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "choose a directory that you may write with --out"
        }
        _ => "mend that",
    };
    let kept = match recorded {
        0 => String::new(),
        _ => format!("; the {recorded} records in it are whole"),
    };
    Ended::failed(format!(
        "{} cannot be written: {error}{kept}: {advice}, then the same command goes on from there",
        path.display()
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::Findings;
    use crate::run::nothing_yet;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
    use fourtuple_spec::record::Host;
    use fourtuple_spec::{Engine, TriedClaim};

    fn record() -> Record {
        let case = CaseRequest::new(Engine::Epoll, 1)
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap();
        nothing_yet(&case)
    }

    #[test]
    fn records_of_a_later_version_are_refused_as_such() {
        let path = Path::new("records.jsonl");
        let mut record = record();
        let line = |record: &Record| serde_json::to_string(record).unwrap() + "\n";
        let mut text = line(&record);
        assert_eq!(parse(text.as_bytes(), path).unwrap(), [record.clone()]);
        record.schema_version = SCHEMA_VERSION + 1;
        text.push_str(&line(&record));
        let said = parse(text.as_bytes(), path).unwrap_err().message.unwrap();
        assert!(
            said.contains("line 2: written by a newer fourtuple"),
            "{said}"
        );
        // What else has changed in it does not matter.
        let said = parse(b"{\"schema_version\": 7, \"new\": []}", path).unwrap_err();
        assert!(said.message.unwrap().contains("version 7"));
        let said = parse(b"{\"schema_version\": 1, \"new\": []}", path).unwrap_err();
        assert!(
            said.message
                .unwrap()
                .contains("not a record of this version")
        );
    }

    #[test]
    fn claims_that_say_nothing_of_their_trial_have_what_it_says_of_all() {
        let claim = |time: &str| TriedClaim {
            tried_at: time.to_owned(),
            ..crate::claims::CLAIMS[0].tried(Findings::default(), Vec::new(), 1.0)
        };
        let trial = with_origins(Trial {
            schema_version: TRIAL_SCHEMA_VERSION,
            started_at: "2026-01-09T00:00:00Z".to_owned(),
            command: vec!["fourtuple".to_owned()],
            host: Host::default(),
            is_full: true,
            seconds: 2.0,
            claims: vec![claim(""), claim("2026-01-11T00:00:00Z")],
        });
        let (old, new) = (&trial.claims[0], &trial.claims[1]);
        assert_eq!(old.tried_at, trial.started_at);
        assert_eq!((&old.command, old.is_full), (&trial.command, true));
        assert_eq!((&new.tried_at[..10], new.is_full), ("2026-01-11", false));
    }

    #[test]
    fn the_last_run_of_a_repeat_counts_once_whatever_rate_it_was_offered() {
        let mut first = record();
        first.case.rate_percent = Some(50);
        let mut second = first.clone();
        (second.attempt, second.case.rate) = (1, Some(1_000));
        let mut other = first.clone();
        other.case.repeat = 1;
        let latest = latest(&[first, other.clone(), second.clone()]);
        assert_eq!(latest, [second, other]);
    }
}
