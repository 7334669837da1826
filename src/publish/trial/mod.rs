//! Claims on trial: the page that reads as an article, its charts, and the table of verdicts.
//!
//! Everything here is made from `trial.json` and the records beside it, so that it can be drawn again at any time.

mod bars;
mod comfort;
#[cfg(test)]
pub mod fixture;
mod origin;
mod page;
pub mod unit;
mod verdicts;

pub use origin::of_all as made_by;
pub use verdicts::table as verdict_table;

use super::report::{Picture, picture, write_files};
use super::theme::Theme;
use super::{chart_model, chart_price, group};
use anyhow::Result;
use fourtuple_spec::{Record, Trial, TriedClaim};
use std::path::{Path, PathBuf};

/// Writes the charts and the page of a trial beside its records, and returns the paths, the page first.
///
/// # Errors
/// What could not be written and why.
pub fn trial_page(directory: &Path, trial: &Trial, records: &[Record]) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let pictures: Vec<Option<Picture>> = trial
        .claims
        .iter()
        .map(|tried| {
            let own = own_records(tried, records);
            picture(
                tried.id.clone(),
                alternative(&tried.id),
                &mut files,
                |theme| draw(trial, tried, &own, theme),
            )
        })
        .collect();
    let page = page::page(trial, &pictures, records);
    files.insert(0, ("README.md".to_owned(), page));
    write_files(directory, files)
}

/// The records that a claim rests on, in their order.
fn own_records(tried: &TriedClaim, records: &[Record]) -> Vec<Record> {
    let places = tried.records.iter();
    let own = places.filter_map(|place| records.get(*place as usize));
    own.cloned().collect()
}

/// The chart of a claim, where a picture says more than its numbers in a row.
fn draw(trial: &Trial, tried: &TriedClaim, own: &[Record], theme: &Theme) -> Option<String> {
    match tried.id.as_str() {
        "memory" => chart_price::draw(own, theme),
        "comfortable" => comfort::draw(own, theme),
        "two-to-48" => group::groups(own)
            .iter()
            .find_map(|group| chart_model::draw(group, theme))
            .or_else(|| bars::draw(trial, tried, theme)),
        _ => bars::draw(trial, tried, theme),
    }
}

fn alternative(id: &str) -> &'static str {
    match id {
        "memory" => {
            "Kernel bytes of one server endpoint in each state of its life, one bar a state"
        }
        "comfortable" => {
            "99th percentile of latency against connections, one line a load, with the bound of 10 ms"
        }
        "two-to-48" => {
            "Memory taken against connections: the line through the small runs, and the larger run"
        }
        _ => "What was measured, one bar a number, with a mark where each was predicted",
    }
}

#[cfg(test)]
mod tests {
    use super::super::theme::LIGHT;
    use super::*;
    use fourtuple_spec::{EndpointState, Engine};

    #[test]
    fn a_claim_is_drawn_from_its_own_records() {
        let price = |connections| {
            super::super::fixture::price(EndpointState::Armed, Engine::Uring, connections, 0)
        };
        let records = vec![
            super::super::fixture::record(Engine::Epoll, 10, 0),
            price(1_000),
            price(2_000),
        ];
        let trial = fixture::trial();
        let mut memory = trial.claims[1].clone();
        assert_eq!(own_records(&memory, &records), []);
        // The last place is of a record that is not there: somebody cut the file.
        memory.records = vec![1, 2, 99];
        let own = own_records(&memory, &records);
        assert_eq!(own, records[1..]);
        let chart = draw(&trial, &memory, &own, &LIGHT).unwrap();
        assert!(chart.contains("each state of its life"), "{chart}");
        assert!(draw(&trial, &memory, &[], &LIGHT).is_none());
    }
}
