//! How many connections there could be, how much memory they would take, and how many this machine's memory allows.
//!
//! What 2^48 connections take cannot be measured. A line through small runs can be, and a larger run says how far such
//! a line can be trusted.

use super::crowd;
use super::{Claim, Court, Findings, Halt, number};
use crate::doctor::memory::reserve_bytes;
use crate::publish::format::{bytes, decimal_bytes, deviation, percent, short, whole};
use crate::publish::metric;
use crate::publish::model::{self, Fit, Judged, WITHIN};
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Engine, Peer, Record, Verdict};

/// 2^32 addresses with 2^16 ports each.
const FOUR_TUPLES: u64 = 1 << 48;

/// Of the memory that is there a check that has to be made smaller plans with this share.
const SHARE: f64 = 0.9;
/// Such a check is of so many connections, or a multiple of it.
const STEP: u32 = 100_000;

/// A slope that is not known better than this, as half of its interval, is measured again.
const WIDE: f64 = 0.02;

/// The counts that the line goes through, where the server's end is alone.
const ENDS: [u32; 5] = [20_000, 40_000, 60_000, 80_000, 100_000];
/// The same with both ends, from more than a group on: below, each connection brings a port of its own.
const PAIRS: [u32; 5] = [30_000, 45_000, 60_000, 80_000, 100_000];
/// What the line has to predict.
const LARGER: u32 = 1_000_000;
/// The same in the full form.
const MOST: u32 = 5_000_000;

/// What is predicted of a server's end with a ghost as its peer: 4,212 B of the kernel's, and 8 B of the server's. It
/// is not what the doctor plans with, because that follows what was measured last.
const END_BYTES: f64 = 4_220.0;
/// The same of both ends: 8,130 B of the kernel's, and 8 B of the server's.
const PAIR_BYTES: f64 = 8_138.0;

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "two-to-48",
    claim: "In theory one server address and port can have 2^32 × 2^16 connections: every client address, with every \
            client port.",
    experiment: "The memory that the server's end takes is measured at five counts up to 100,000, by ghosts, which hold \
                 no end of their own, and a line is put through them. The line says what 2^48 connections would take and \
                 how many this machine has memory for; and it has to predict a run of ten times as many connections as \
                 it was made from, before that is made (the full form: fifty times).",
    predicted: "About 1 EB for the server's ends of 2^48 connections: some 4,200 B each. The larger run takes what the \
                line says, within 1 %.",
    try_it,
};

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    court.needs_private_network()?;
    let mut basis = basis(court)?;
    measure_again(court, &mut basis)?;
    let asked = [Some(LARGER), court.is_full.then_some(MOST)];
    let mut checks = Vec::new();
    for asked in asked.into_iter().flatten() {
        checks.extend(check(court, &mut basis, asked)?);
    }
    Ok(judge(basis, &checks))
}

/// Whose memory it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The server's end alone.
    End,
    /// That of both ends.
    Pair,
}

/// What the answer rests on.
struct Basis {
    whose: Whose,
    /// Connections, and the bytes that they took.
    points: Vec<(u32, f64)>,
    fit: Fit,
    /// Memory that connections may take here.
    room_bytes: f64,
    notes: Vec<String>,
}

/// A larger run.
struct Checked {
    connections: u32,
    bytes: Judged,
}

fn basis(court: &Court<'_>) -> Result<Basis, Halt> {
    let available = fourtuple_meter::available_bytes()
        .ok_or_else(|| cannot("how much memory is available cannot be read"))?;
    let reserve = reserve_bytes(fourtuple_meter::host().memory_bytes);
    let (whose, points, notes) = points(court)?;
    let fit = match model::line(&points) {
        Some(fit) => fit,
        None => return Err(cannot(&notes.join("; "))),
    };
    Ok(Basis {
        whose,
        points,
        fit,
        room_bytes: available.saturating_sub(reserve) as f64,
        notes,
    })
}

/// Measures every count once more where the points do not lie on a line. All of them count then: which of two runs
/// somebody else's memory came or went in cannot be told.
fn measure_again(court: &Court<'_>, basis: &mut Basis) -> Result<(), Halt> {
    if basis.fit.slope.relative_half_width() <= WIDE {
        return Ok(());
    }
    for &connections in basis.whose.counts() {
        let point = measured(court, basis.whose, connections, &mut basis.notes)?;
        basis.points.extend(point);
    }
    if let Some(fit) = model::line(&basis.points) {
        basis.fit = fit;
    }
    let width = basis.fit.slope.relative_half_width();
    if width > WIDE {
        basis.notes.push(format!(
            "The runs do not lie on a line: its slope is known to ± {} only. Others took memory, or gave some back; \
             try it again on a quiet machine.",
            percent(width)
        ));
    }
    Ok(())
}

fn cannot(reason: &str) -> Halt {
    Halt::NotRun(reason.to_owned())
}

/// The points of the line: of the server's end alone where ghosts are granted, else of both ends.
#[allow(clippy::type_complexity)]
fn points(court: &Court<'_>) -> Result<(Whose, Vec<(u32, f64)>, Vec<String>), Halt> {
    let mut notes = Vec::new();
    let (whose, mut points) = match measured(court, Whose::End, ENDS[0], &mut notes) {
        Ok(first) => (Whose::End, Vec::from_iter(first)),
        Err(Halt::NotRun(why)) => {
            notes.push(format!(
                "The bytes are those of both ends, because the server's end could not be measured alone: {why}"
            ));
            (Whose::Pair, Vec::new())
        }
        Err(halt) => return Err(halt),
    };
    let is_first_done = usize::from(whose == Whose::End);
    for &connections in &whose.counts()[is_first_done..] {
        points.extend(measured(court, whose, connections, &mut notes)?);
    }
    Ok((whose, points, notes))
}

/// The bytes that so many connections take. A run whose memory cannot be told is made once more; `None` if that of the
/// second cannot be told either.
fn measured(
    court: &Court<'_>,
    whose: Whose,
    connections: u32,
    notes: &mut Vec<String>,
) -> Result<Option<(u32, f64)>, Halt> {
    let mut why = String::new();
    for _ in 0..2 {
        let record = court.run_whole(&request(whose, connections), None)?;
        match taken(&record, whose) {
            Ok(bytes) => return Ok(Some((connections, bytes))),
            Err(reason) => why = reason,
        }
    }
    notes.push(format!(
        "{} connections gave no figure, twice: {why}",
        whole(connections.into())
    ));
    Ok(None)
}

/// Whether the line predicts a run of so many connections, or of as many as memory allows; `None` if that is no larger
/// than what the line was made from, or the run gave no figure.
fn check(court: &Court<'_>, basis: &mut Basis, asked: u32) -> Result<Option<Checked>, Halt> {
    let Some(connections) = basis.fits(asked) else {
        basis.notes.push(format!(
            "{} connections are not checked: memory allows {}",
            whole(asked.into()),
            whole(basis.allowed())
        ));
        return Ok(None);
    };
    if connections < asked {
        basis.notes.push(format!(
            "{} connections are checked in the place of {}, for which there is not enough memory",
            whole(connections.into()),
            whole(asked.into())
        ));
    }
    let predicted = basis.fit.at(connections.into());
    let mut why = String::new();
    for _ in 0..2 {
        match court.run_more(&request(basis.whose, connections), None)? {
            Ok(record) => match taken(&record, basis.whose) {
                Ok(measured) => {
                    let bytes = Judged {
                        predicted,
                        measured,
                    };
                    return Ok(Some(Checked { connections, bytes }));
                }
                Err(reason) => why = reason,
            },
            Err(reason) => {
                why = reason;
                break;
            }
        }
    }
    basis.notes.push(format!(
        "{} connections gave no figure: {why}",
        whole(connections.into())
    ));
    Ok(None)
}

fn request(whose: Whose, connections: u32) -> CaseRequest {
    let peer = match whose {
        Whose::End => Peer::Ghost,
        Whose::Pair => Peer::Kernel,
    };
    crowd::request(Engine::UringPoll, peer, connections)
}

/// Kernel and user memory that the connections of a run took, bytes; or why that is not known.
fn taken(record: &Record, whose: Whose) -> Result<f64, String> {
    if record.outcome != Outcome::Ok {
        return Err(record.error.clone().unwrap_or_default());
    }
    let user = match whose {
        Whose::End => metric::server_bytes(record),
        Whose::Pair => metric::server_bytes(record)
            .zip(metric::client_bytes(record))
            .map(|(server, client)| server + client),
    };
    metric::kernel_bytes(record)
        .zip(user)
        .map(|(kernel, user)| (kernel + user) * metric::held(record))
        .ok_or_else(|| "a part of its memory could not be read".to_owned())
}

impl Whose {
    fn counts(self) -> &'static [u32; 5] {
        match self {
            Self::End => &ENDS,
            Self::Pair => &PAIRS,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::End => "the server's end of one more connection",
            Self::Pair => "both ends of one more connection",
        }
    }

    /// What was known of it before.
    fn predicted_bytes(self) -> f64 {
        match self {
            Self::End => END_BYTES,
            Self::Pair => PAIR_BYTES,
        }
    }
}

impl Basis {
    fn each(&self) -> f64 {
        self.fit.slope.estimate
    }

    /// What 2^48 would take.
    fn all_bytes(&self) -> f64 {
        self.fit.at(FOUR_TUPLES as f64)
    }

    /// How many connections memory allows here.
    fn allowed(&self) -> f64 {
        model::connections_in(self.room_bytes, self.fit.at_zero, self.each()).floor()
    }

    /// As many of those that are asked for as there is memory for; `None` if that is no more than twice what the line
    /// goes through.
    fn fits(&self, asked: u32) -> Option<u32> {
        if self.allowed() >= f64::from(asked) {
            return Some(asked);
        }
        let usable = self.room_bytes * SHARE;
        let allowed = model::connections_in(usable, self.fit.at_zero, self.each());
        let fitted = (allowed as u32) / STEP * STEP;
        let most = self.fit.counts.iter().max()?;
        (fitted >= 2 * most).then_some(fitted)
    }
}

fn judge(basis: Basis, checks: &[Checked]) -> Findings {
    let mut notes = basis.notes.clone();
    notes.push(
        "Not all of the 2^32 addresses can be a client's, nor all of the ports. Of IPv6 addresses there are 2^128."
            .to_owned(),
    );
    let (verdict, why) = verdict(&basis, checks);
    Findings {
        measured: Some(measured_words(&basis, checks)),
        verdict,
        why,
        figures: figures(&basis, checks),
        evidence: vec![evidence(&basis, checks)],
        notes,
    }
}

fn verdict(basis: &Basis, checks: &[Checked]) -> (Verdict, String) {
    let all = FOUR_TUPLES as f64;
    if basis.allowed() >= all {
        let why = "this machine has the memory for all of them";
        return (Verdict::Confirmed, format!("{why}{}", trust(checks)));
    }
    let why = format!(
        "nothing in the protocol stops it, and memory, which it leaves out, does: {} for all of them, and what this \
         machine has is enough for one in {}{}",
        decimal_bytes(basis.all_bytes()),
        short(all / basis.allowed().max(1.0)),
        trust(checks),
    );
    (Verdict::Incomplete, why)
}

/// What has to be known of the line before it is believed; nothing where it predicted every larger run.
fn trust(checks: &[Checked]) -> &'static str {
    let is_missed = checks.iter().any(|checked| !checked.bytes.is_within());
    match (checks.is_empty(), is_missed) {
        (true, _) => {
            ", as far as the line can be trusted, which no larger run has tested: the notes say why"
        }
        (_, true) => ", as far as the line can be trusted: it missed a larger run by more than 1 %",
        (false, false) => "",
    }
}

fn measured_words(basis: &Basis, checks: &[Checked]) -> String {
    let slope = &basis.fit.slope;
    let mut text = format!(
        "{} takes {} ({} to {}), so 2^48 of them would take {}. The {} that connections may take here are enough for {}.",
        capitalised(basis.whose.words()),
        bytes(basis.each()),
        bytes(slope.low),
        bytes(slope.high),
        decimal_bytes(basis.all_bytes()),
        decimal_bytes(basis.room_bytes),
        whole(basis.allowed()),
    );
    for Checked { connections, bytes } in checks {
        text.push_str(&format!(
            " Of {} the line said {}, and {} were taken: {} off.",
            whole((*connections).into()),
            decimal_bytes(bytes.predicted),
            decimal_bytes(bytes.measured),
            deviation(bytes.error()),
        ));
    }
    text
}

fn capitalised(words: &str) -> String {
    let mut letters = words.chars();
    let first = letters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(letters).collect()
}

fn figures(basis: &Basis, checks: &[Checked]) -> Vec<Figure> {
    let each = basis.whose.predicted_bytes();
    let all = FOUR_TUPLES as f64;
    let allowed = Some(basis.allowed());
    let mut figures = vec![
        number(basis.whose.words(), Some(each), Some(basis.each()), "B"),
        number(
            "memory of 2^48 connections",
            Some(each * all),
            Some(basis.all_bytes()),
            "B",
        ),
        number(
            "connections that memory allows here",
            None,
            allowed,
            "connections",
        ),
    ];
    for Checked { connections, bytes } in checks {
        let name = format!("memory of {} connections", whole((*connections).into()));
        figures.push(number(
            &name,
            Some(bytes.predicted),
            Some(bytes.measured),
            "B",
        ));
        let name = format!("how far that was off, of at most {}", percent(WITHIN));
        figures.push(number(&name, None, Some(bytes.error().abs()), "share"));
    }
    figures
}

/// The runs, and what the line says of each.
fn evidence(basis: &Basis, checks: &[Checked]) -> Evidence {
    let row = |connections: u32, taken: f64| {
        let said = basis.fit.at(connections.into());
        format!(
            "{:>11} {:>18} {:>18}",
            whole(connections.into()),
            whole(taken),
            whole(said)
        )
    };
    let heading = format!(
        "{:>11} {:>18} {:>18}",
        "connections", "bytes taken", "the line"
    );
    let small = basis
        .points
        .iter()
        .map(|&(connections, bytes)| row(connections, bytes));
    let large = checks
        .iter()
        .map(|checked| row(checked.connections, checked.bytes.measured));
    Evidence {
        what: format!(
            "Memory by connections, and the line through the first {} runs (Theil–Sen)",
            basis.points.len()
        ),
        lines: std::iter::once(heading).chain(small).chain(large).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::crowd::fixture;

    const GB: f64 = 1e9;

    fn basis(room_bytes: f64) -> Basis {
        let points: Vec<(u32, f64)> = (ENDS.iter())
            .map(|&count| (count, f64::from(count) * 4_000.0 + 1e7))
            .collect();
        Basis {
            whose: Whose::End,
            fit: model::line(&points).unwrap(),
            points,
            room_bytes,
            notes: Vec::new(),
        }
    }

    fn checked(measured: f64) -> Checked {
        Checked {
            connections: 1_000_000,
            bytes: Judged {
                predicted: basis(1.0).fit.at(1e6),
                measured,
            },
        }
    }

    #[test]
    fn a_check_is_as_large_as_memory_allows_and_larger_than_the_line() {
        assert_eq!(basis(20.0 * GB).fits(1_000_000), Some(1_000_000));
        assert_eq!(basis(20.0 * GB).fits(5_000_000), Some(4_400_000));
        assert_eq!(
            basis(4.01 * GB).fits(1_000_000),
            Some(1_000_000),
            "to the byte"
        );
        assert_eq!(basis(4.009 * GB).fits(1_000_000), Some(800_000));
        assert_eq!(basis(1.0 * GB).fits(1_000_000), Some(200_000));
        assert_eq!(basis(0.8 * GB).fits(1_000_000), None);
    }

    #[test]
    fn what_is_true_on_paper_is_incomplete_by_the_memory_it_takes() {
        let found = judge(basis(20.01 * GB), &[checked(4.01 * GB)]);
        assert_eq!(found.verdict, Verdict::Incomplete);
        assert!(found.why.contains("1.13\u{a0}EB for all"), "{}", found.why);
        assert!(found.why.ends_with("one in 56.3\u{a0}M"), "{}", found.why);
        let figure = |name: &str| {
            let figure = found
                .figures
                .iter()
                .find(|figure| figure.name.contains(name));
            figure.unwrap().clone()
        };
        assert_eq!(figure("memory allows here").measured, Some(5e6));
        let all = figure("2^48").measured.unwrap();
        assert!((all / (4_000.0 * FOUR_TUPLES as f64) - 1.0).abs() < 1e-9);
        let taken = figure("1,000,000");
        assert!((taken.predicted.unwrap() / taken.measured.unwrap() - 1.0).abs() < 1e-9);
        assert!(found.measured.unwrap().ends_with("+0.00\u{a0}% off."));
        assert_eq!(found.evidence[0].lines.len(), 1 + 5 + 1);
    }

    #[test]
    fn a_prediction_that_is_more_than_one_per_cent_off_is_said_to_be() {
        let why = |bytes: f64| judge(basis(20.0 * GB), &[checked(bytes)]).why;
        assert!(!why(4.01 * GB * 1.0099).contains("missed"));
        assert!(why(4.01 * GB * 1.0103).contains("missed"));
    }

    #[test]
    fn a_line_that_no_larger_run_has_tested_is_said_to_be_so() {
        let why = |checks: &[Checked]| judge(basis(20.0 * GB), checks).why;
        assert!(
            why(&[]).contains("no larger run has tested"),
            "{}",
            why(&[])
        );
        assert!(!why(&[checked(4.01 * GB)]).contains("tested"));
    }

    #[test]
    fn a_machine_with_all_that_memory_would_confirm() {
        let found = judge(basis(1.2e18), &[]);
        assert_eq!(found.verdict, Verdict::Confirmed);
    }

    #[test]
    fn bytes_are_those_of_the_ends_that_are_here() {
        let mut record = fixture::record(&request(Whose::Pair, 1_000));
        record.memory.kernel_bytes_per_connection = Some(8_000.0);
        record.memory.server_user_bytes_per_connection = Some(10.0);
        assert!(
            taken(&record, Whose::Pair).is_err(),
            "the client's are not known"
        );
        record.memory.client_user_bytes_per_connection = Some(20.0);
        assert_eq!(taken(&record, Whose::Pair), Ok(8_030_000.0));
        assert_eq!(taken(&record, Whose::End), Ok(8_010_000.0));
        record.outcome = Outcome::Invalid;
        record.error = Some("ledger-open: 64 MB".to_owned());
        assert_eq!(
            taken(&record, Whose::End),
            Err("ledger-open: 64 MB".to_owned())
        );
    }
}
