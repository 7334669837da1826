//! The page: claim, experiment, numbers, verdict, evidence.

use super::super::facts;
use super::super::format::{self, counted, memory_bytes};
use super::super::markdown::{self, escape};
use super::super::readme;
use super::super::report::Picture;
use super::unit::{seconds, shown};
use super::{origin, verdicts};
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Record, Trial, TriedClaim};

const INTRODUCTION: &str = "A widely republished article explains why 65,535 is not the limit of TCP connections. \
It argues with the four-tuple, with descriptors and with memory, and it gives no measurement. Here each of its \
statements, in other words, is an experiment: what it should give was written down first, then it was made on one \
machine, and the verdict is what came of it.";

const READING: &str = "**Confirmed** and **refuted** mean what they say, for Linux and for this machine. \
**Incomplete** is a statement that leaves out what decides whether it holds. **Inconclusive** was tried, and what came \
of it decides nothing. **Not run** could not be tried here, and says why.";

/// The whole page.
pub fn page(trial: &Trial, pictures: &[Option<Picture>], records: &[Record]) -> String {
    let mut text = format!(
        "# The article on trial\n\n{INTRODUCTION}\n\n{READING}\n\n{}",
        made(trial, records)
    );
    text.push_str(&verdicts::table(trial, None));
    text.push('\n');
    for (tried, picture) in trial.claims.iter().zip(pictures) {
        text.push_str(&section(tried, picture.as_ref()));
    }
    text.push_str(&runs(trial, records));
    text
}

fn made(trial: &Trial, records: &[Record]) -> String {
    let machine = [
        facts::kernel(&trial.host),
        facts::processor(&trial.host),
        trial.host.memory_bytes.map(memory_bytes),
        trial.host.hypervisor.clone(),
    ];
    let machine: Vec<String> = machine.into_iter().flatten().collect();
    format!(
        "Made by {}, on {}, in {} of experiments: {}. This text, its tables and its charts are generated from \
         `trial.json` and `records.jsonl` beside it.\n\n",
        origin::of_all(trial),
        escape(&machine.join(" · ")),
        seconds(trial.claims.iter().map(|tried| tried.seconds).sum()),
        counted(records.len(), "run"),
    )
}

fn section(tried: &TriedClaim, picture: Option<&Picture>) -> String {
    // The heading is the id alone, so that it is its own anchor.
    let mut text = format!(
        "## {}\n\n> {}\n\n**{}**: {}\n\n**Experiment.** {}\n\n**Predicted.** {}\n\n",
        tried.id,
        escape(&tried.claim),
        capitalised(tried.verdict.name()),
        escape(&tried.why),
        escape(&tried.experiment),
        escape(&tried.predicted),
    );
    if let Some(measured) = &tried.measured {
        text.push_str(&format!("**Measured.** {}\n\n", escape(measured)));
    }
    text.extend(picture.map(readme::picture));
    if !tried.figures.is_empty() {
        text.push_str(&figures(&tried.figures));
        text.push('\n');
    }
    text.extend(tried.evidence.iter().map(evidence));
    for note in &tried.notes {
        text.push_str(&format!("- {}\n", escape(note)));
    }
    if !tried.notes.is_empty() {
        text.push('\n');
    }
    text.push_str(&took(tried));
    text
}

fn capitalised(word: &str) -> String {
    let mut characters = word.chars();
    let first = characters.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(characters).collect()
}

fn figures(figures: &[Figure]) -> String {
    let headings = ["number", "predicted", "measured", ""].map(str::to_owned);
    let rows = figures.iter().map(|figure| {
        vec![
            escape(&figure.name),
            shown(figure.predicted, &figure.unit),
            shown(figure.measured, &figure.unit),
            agreement(figure).to_owned(),
        ]
    });
    markdown::numbers(&headings, &rows.collect::<Vec<_>>())
}

/// Of counts alone: a count is met or not.
fn agreement(figure: &Figure) -> &'static str {
    match (figure.is_exact, figure.predicted, figure.measured) {
        (true, Some(predicted), Some(measured)) if predicted == measured => "exact",
        (true, Some(_), Some(_)) => "differs",
        _ => "",
    }
}

fn evidence(evidence: &Evidence) -> String {
    // A line of backticks in what a program printed would end the block.
    let lines = evidence.lines.join("\n").replace("```", "'''");
    format!("{}:\n\n```text\n{lines}\n```\n\n", escape(&evidence.what))
}

fn took(tried: &TriedClaim) -> String {
    let records = match tried.records[..] {
        [] => String::new(),
        [only] => format!("; record {only}"),
        [first, .., last] => format!("; records {first} to {last}"),
    };
    format!(
        "*Tried by {}; took {}{records}.*\n\n",
        origin::of_one(tried),
        seconds(tried.seconds)
    )
}

/// Every run, so that none is passed over.
fn runs(trial: &Trial, records: &[Record]) -> String {
    if records.is_empty() {
        return String::new();
    }
    let headings = [
        "record",
        "claim",
        "case",
        "outcome",
        "held",
        "limiter",
        "error or warnings",
    ];
    let rows = records.iter().enumerate().map(|(place, record)| {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        let claim = trial
            .claims
            .iter()
            .find(|tried| tried.records.contains(&place));
        let outcome = match record.outcome {
            Outcome::Ok => "ok",
            Outcome::Invalid => "invalid",
            Outcome::Error => "error",
        };
        let said = record.error.iter().chain(&record.warnings);
        let said: Vec<String> = said.map(|words| escape(words)).collect();
        vec![
            place.to_string(),
            claim.map_or_else(|| format::MISSING.to_owned(), |tried| tried.id.clone()),
            escape(&record.case.label()),
            outcome.to_owned(),
            shown(record.setup.connections_held.map(f64::from), ""),
            record
                .limiter
                .as_deref()
                .map_or_else(|| format::MISSING.to_owned(), escape),
            said.join("; "),
        ]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    format!(
        "## Every run\n\nIn the order of `records.jsonl`. Runs of an experiment that was interrupted, or made again \
         later, belong to no claim.\n\n{}",
        markdown::words(&headings.map(str::to_owned), &rows)
    )
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture as records;
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::Engine;

    #[test]
    fn a_page_has_every_part_of_every_claim() {
        let mut trial = fixture::trial();
        trial.claims[0].records = vec![1];
        let runs = vec![
            records::record(Engine::Epoll, 10, 0),
            records::failed(Engine::Epoll, 2_000, 0, Some("RLIMIT_NOFILE")),
        ];
        let text = page(&trial, &[None, None], &runs).replace('\u{a0}', " ");
        for part in [
            "Made by `fourtuple claims`, 2026-01-09, on Linux 6.18.5",
            "\n## client-ports\n",
            "**Refuted**: Because of it.",
            "**Not run**: Because of it.",
            "| to one destination | 1,000 connections | 1,000 connections | exact |",
            "| to four | 4,000 connections | 3,999 connections | differs |",
            "| at once | – | 100,000 connections |  |",
            "Lines of /proc/net/tcp:\n\n```text\n0100007F:0007 \'\'\'\n```",
            "- Here alone.",
            "*Tried by `fourtuple claims`, 2026-01-09; took 3.4 s; record 1.*",
            "| 0 | – | epoll × 10 | ok |",
            "| 1 | client-ports | epoll × 2000 | error |",
        ] {
            assert!(text.contains(part), "{part:?} is missing from\n{text}");
        }
        assert_eq!(text.matches("**Measured.**").count(), 1, "one was not run");
    }
}
