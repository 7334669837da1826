//! Tried claims as a person reads them on a terminal.

use crate::compare::{Paper, Tone};
use crate::progress::in_words;
use crate::publish::format;
use crate::publish::table::wrapped;
use crate::publish::unit::shown;
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::{TriedClaim, Verdict};
use std::time::Duration;

/// Where the words of a line begin.
const INDENT: usize = 13;
/// More lines of one piece of evidence are counted, not shown.
const LINES_MOST: usize = 24;
/// Where those lines begin: before the words, so that most tables fit.
const EVIDENCE_INDENT: usize = 4;
/// Columns of the longest name of a claim, of the longest verdict, and of the longest time.
const NAMES: usize = 13;
const VERDICTS: usize = 12;
const TIMES: usize = 11;

/// One claim, as soon as it is tried.
pub fn claim_text(tried: &TriedClaim, paper: &Paper) -> String {
    let mut sheet = Sheet {
        text: format!("{}\n", paper.toned(&tried.id, Tone::Bold)),
        paper,
    };
    sheet.words("claim", &tried.claim);
    sheet.words("experiment", &tried.experiment);
    sheet.words("predicted", &tried.predicted);
    sheet.words(
        "measured",
        tried.measured.as_deref().unwrap_or(format::MISSING),
    );
    sheet.verdict(tried);
    for (index, figure) in tried.figures.iter().enumerate() {
        sheet.words(
            if index == 0 { "figures" } else { "" },
            &figure_words(figure),
        );
    }
    for (index, evidence) in tried.evidence.iter().enumerate() {
        sheet.evidence(if index == 0 { "evidence" } else { "" }, evidence);
    }
    for note in &tried.notes {
        sheet.words("note", note);
    }
    sheet.words("took", &seconds(tried.seconds));
    sheet.text.replace('\u{a0}', " ")
}

/// The verdicts of all of them, with why and how long it took.
pub fn verdicts_text(claims: &[TriedClaim], paper: &Paper) -> String {
    let heading = format!(
        "{:NAMES$} {:VERDICTS$} {:>TIMES$}  why",
        "claim", "verdict", "took"
    );
    let mut text = paper.toned(&heading, Tone::Dim) + "\n";
    let start = NAMES + VERDICTS + TIMES + 4;
    for tried in claims {
        let lines = wrapped(&tried.why, paper.width.saturating_sub(start).max(20));
        let verdict = padded(tried.verdict.name(), VERDICTS);
        let verdict = paper.toned(&verdict, tone(tried.verdict));
        let took = seconds(tried.seconds);
        let first = lines.first().map_or("", String::as_str);
        text.push_str(&format!(
            "{:NAMES$} {verdict} {took:>TIMES$}  {first}\n",
            tried.id
        ));
        for line in lines.iter().skip(1) {
            text.push_str(&format!("{:start$}{line}\n", ""));
        }
    }
    text.replace('\u{a0}', " ")
}

struct Sheet<'a> {
    text: String,
    paper: &'a Paper,
}

impl Sheet<'_> {
    fn room(&self) -> usize {
        self.paper.width.saturating_sub(INDENT).max(20)
    }

    fn words(&mut self, name: &str, content: &str) {
        for (index, line) in wrapped(content, self.room()).iter().enumerate() {
            self.line(if index == 0 { name } else { "" }, line);
        }
    }

    fn line(&mut self, name: &str, line: &str) {
        let name = self.paper.toned(&padded(name, INDENT - 2), Tone::Dim);
        self.text.push_str(&format!("  {name}{line}\n"));
    }

    fn verdict(&mut self, tried: &TriedClaim) {
        let name = tried.verdict.name();
        let lines = wrapped(&format!("{name}: {}", tried.why), self.room());
        for (index, line) in lines.iter().enumerate() {
            match (index, line.strip_prefix(name)) {
                (0, Some(rest)) => {
                    let word = self.paper.toned(name, tone(tried.verdict));
                    self.line("verdict", &format!("{word}{rest}"));
                }
                _ => self.line("", line),
            }
        }
    }

    /// What a program printed keeps its spaces, unless it is wider than there is room.
    fn evidence(&mut self, name: &str, evidence: &Evidence) {
        self.words(name, &format!("{}:", evidence.what));
        let room = self.paper.width.saturating_sub(EVIDENCE_INDENT).max(20);
        for line in evidence.lines.iter().take(LINES_MOST) {
            match line.chars().count() <= room {
                true => self.bare(line),
                false => wrapped(line, room).iter().for_each(|part| self.bare(part)),
            }
        }
        let more = evidence.lines.len().saturating_sub(LINES_MOST);
        if more > 0 {
            self.bare(&format!("… and {}", format::counted(more, "line")));
        }
    }

    fn bare(&mut self, line: &str) {
        self.text
            .push_str(&format!("{:EVIDENCE_INDENT$}{line}\n", ""));
    }
}

/// A number with what was predicted of it.
fn figure_words(figure: &Figure) -> String {
    let value = |value| shown(value, &figure.unit);
    let measured = value(figure.measured);
    let predicted = match (figure.predicted, figure.is_exact) {
        (None, _) => String::new(),
        (Some(_), true) if figure.predicted == figure.measured => {
            ", exactly as predicted".to_owned()
        }
        (predicted, _) => format!(" (predicted: {})", value(predicted)),
    };
    format!("{}: {measured}{predicted}", figure.name)
}

fn seconds(value: f64) -> String {
    match value < 60.0 {
        true => format!("{value:.1} s"),
        false => in_words(Duration::from_secs_f64(value.min(1e9))),
    }
}

fn padded(text: &str, columns: usize) -> String {
    format!("{text:columns$}")
}

fn tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Confirmed => Tone::Good,
        Verdict::Refuted => Tone::Bad,
        Verdict::Incomplete | Verdict::Inconclusive => Tone::Bold,
        Verdict::NotRun => Tone::Dim,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claims::{CLAIMS, Claim, Findings, count, not_run, number};

    const PAPER: Paper = Paper {
        width: 80,
        is_color: false,
    };

    fn tried() -> TriedClaim {
        let findings = Findings {
            measured: Some("9,999 of 10,000, which is one too few".to_owned()),
            verdict: Verdict::Refuted,
            why: "because ".to_owned() + &"of this ".repeat(20),
            figures: vec![
                count("connections", 10_000, Some(9_999), "connections"),
                count("ports", 1, Some(1), "port"),
                number("time", None, Some(1.5), "s"),
                number("bytes", Some(4e9), None, "B"),
            ],
            evidence: vec![Evidence {
                what: "The kernel's own words".to_owned(),
                lines: (0..26).map(|line| format!("state   {line}")).collect(),
            }],
            notes: vec!["a note\u{a0}here".to_owned()],
        };
        named("server-ports").tried(findings, vec![0], 61.2)
    }

    #[test]
    fn a_claim_is_said_within_eighty_columns() {
        let text = claim_text(&tried(), &PAPER);
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
        for part in [
            "server-ports\n",
            "  claim      A server is not limited",
            "  verdict    refuted: because of this",
            "  figures    connections: 9,999 connections (predicted: 10,000 connections)\n",
            "             ports: 1 port, exactly as predicted\n",
            "             time: 1.5 s\n",
            "             bytes: – (predicted: 4.00 GB)\n",
            "  evidence   The kernel's own words:\n    state   0\n",
            "    … and 2 lines\n",
            "  note       a note here\n",
            "  took       1 min 1 s\n",
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
        assert!(!text.contains('\u{1b}') && !text.contains('\u{a0}'));
    }

    #[test]
    fn colours_are_of_verdicts_and_change_no_word() {
        let paper = Paper {
            is_color: true,
            ..PAPER
        };
        for (colored, plain) in [
            (claim_text(&tried(), &paper), claim_text(&tried(), &PAPER)),
            (
                verdicts_text(&[tried()], &paper),
                verdicts_text(&[tried()], &PAPER),
            ),
        ] {
            assert!(colored.contains("\u{1b}[31mrefuted"), "{colored}");
            let bare = ["\u{1b}[1m", "\u{1b}[2m", "\u{1b}[31m", "\u{1b}[0m"];
            let bare = bare
                .iter()
                .fold(colored, |text, code| text.replace(code, ""));
            assert_eq!(bare, plain);
        }
    }

    #[test]
    fn the_last_table_has_a_line_a_claim() {
        let other = named("port-reuse").tried(not_run("no namespaces"), Vec::new(), 0.0);
        let text = verdicts_text(&[tried(), other], &PAPER);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "claim         verdict             took  why");
        assert!(
            lines[1].starts_with("server-ports  refuted        1 min 1 s  because of this"),
            "{text}"
        );
        let last = lines.last().unwrap();
        assert_eq!(
            *last,
            "port-reuse    not run            0.0 s  no namespaces"
        );
        assert!(lines.iter().all(|line| line.chars().count() <= 80));
    }

    fn named(id: &str) -> &'static Claim {
        CLAIMS.iter().find(|claim| claim.id == id).unwrap()
    }
}
