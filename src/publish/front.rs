//! The measured part of a README: what is between two markers is replaced, all else is left alone.
//!
//! A figure that is typed into a README outlives what it was read off. So the front page's figures
//! are made from records too, and only here.

use super::chart::{CHARTS, HELD_CHART, REST_CHARTS};
use super::chart_held;
use super::facts;
use super::format::{counted, memory_bytes, whole};
use super::front_table;
use super::group::{Group, groups};
use super::markdown::escape;
use super::model::models;
use super::readme;
use super::report::{self, About, Picture};
use super::rivals::rivals;
use super::rivals_words;
use super::sheets;
use super::theme::{DARK, LIGHT};
use super::trust;
use super::{sheet_endpoint, sheet_held, trial};
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Peer, Record, Trial};

const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// Between these two stand the verdicts on claims, where a README has them: above all else, if it likes.
const VERDICTS_BEGIN: &str = "<!-- verdicts: begin -->";
const VERDICTS_END: &str = "<!-- verdicts: end -->";
const CHARTS_SHOWN: [&str; 3] = ["throughput", "comparison", "memory"];

/// The chart that is shown where a larger run was predicted.
const PREDICTION_CHART: &str = "model";

/// The chart that is shown where rounds of several windows were the question.
const WINDOW_CHART: &str = "rounds";

/// The fewest windows that are such a question: proving connections live takes one or two.
const WINDOWS_MIN: usize = 3;

/// So many engines are named; of more only the first is.
const ENGINES_NAMED_MAX: usize = 8;

/// The chart that stands for the table of mixes.
const IDLE_CHART: &str = "idle";

/// One result to be shown.
pub struct Measured {
    /// Where it lies, as the README has to link to it: see [`link`](super::link()).
    pub link: String,
    /// What it is about.
    pub about: About,
    /// Its records.
    pub records: Vec<Record>,
    /// The claims that were tried there, if it is a trial: its verdicts are shown, and not its runs.
    pub trial: Option<Trial>,
}

/// A front page: its text, and the pictures that no result has, because they are of all results.
#[derive(Debug, PartialEq, Eq)]
pub struct Front {
    /// The README.
    pub text: String,
    /// Files that it shows: where they lie, as the README links to them, and what is in them.
    pub pictures: Vec<(String, String)>,
}

/// A README without a place for what was measured.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPlace;

impl std::fmt::Display for NoPlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "there is no place for what was measured: put a line {BEGIN:?} and, below it, a line {END:?} \
             where it is to stand, each of them once; for verdicts {VERDICTS_BEGIN:?} and {VERDICTS_END:?} are \
             the same, and may be left out"
        )
    }
}

/// The README with its measured part made anew. Doing it again changes nothing.
///
/// # Errors
/// The two markers are not there, each once and on a line of its own, in their order.
pub fn front(readme: &str, results: &[Measured]) -> Result<Front, NoPlace> {
    let readme = &with_verdicts(readme, results)?;
    let (above, below) = around(readme, (BEGIN, END))?.ok_or(NoPlace)?;
    let trials = results.iter().filter(|one| one.trial.is_some());
    let results: Vec<&Measured> = results.iter().filter(|one| one.trial.is_none()).collect();
    let has_no_place = !readme.lines().any(|line| line.trim() == VERDICTS_BEGIN);
    let mut block = format!(
        "{BEGIN}\n<!-- From here to the end marker, everything is written by `fourtuple report DIR… --front` from records. -->\n\n"
    );
    if has_no_place {
        block.extend(trials.map(verdicts));
    }
    let stem = held_stem(&results);
    let pictures = held_pictures(&results, &stem);
    block.push_str(&first(&results, (!pictures.is_empty()).then_some(stem)));
    block.extend(results.iter().map(|one| section(one)));
    Ok(Front {
        text: format!("{above}{block}{below}"),
        pictures,
    })
}

/// The README with the verdicts in their own place, where it has one.
fn with_verdicts(readme: &str, results: &[Measured]) -> Result<String, NoPlace> {
    let trials: Vec<&Measured> = results.iter().filter(|one| one.trial.is_some()).collect();
    let place = around(readme, (VERDICTS_BEGIN, VERDICTS_END))?;
    let Some((above, below)) = place.filter(|_| !trials.is_empty()) else {
        return Ok(readme.to_owned());
    };
    let text: String = trials.into_iter().map(verdicts).collect();
    Ok(format!(
        "{above}{VERDICTS_BEGIN}\n<!-- Written by `fourtuple report DIR… --front` from trial.json. -->\n\n{text}{below}"
    ))
}

/// The table of verdicts, with where the evidence is.
fn verdicts(measured: &Measured) -> String {
    let Some(tried) = &measured.trial else {
        return String::new();
    };
    format!(
        "{}\nMade by {}. Experiments, evidence and every run: [{link}]({link}/README.md).\n\n",
        trial::verdict_table(tried, Some(&measured.link)),
        trial::made_by(tried),
        link = measured.link,
    )
}

/// What is above the first marker, and the second one with what is below; `None` if neither is there.
fn around<'a>(
    readme: &'a str,
    (begin, end): (&str, &str),
) -> Result<Option<(&'a str, &'a str)>, NoPlace> {
    let places = |marker: &str| {
        let mut offset = 0;
        let mut found = Vec::new();
        for line in readme.split_inclusive('\n') {
            if line.trim() == marker {
                found.push(offset);
            }
            offset += line.len();
        }
        found
    };
    match (&places(begin)[..], &places(end)[..]) {
        ([], []) => Ok(None),
        (&[begin], &[end]) if begin < end => Ok(Some((&readme[..begin], &readme[end..]))),
        _ => Err(NoPlace),
    }
}

/// Where the picture of all results lies: beside them.
fn held_stem(results: &[&Measured]) -> String {
    let first = results.first().map_or("", |one| &one.link);
    match first.rsplit_once('/') {
        // A link with an escape in it is no path.
        Some((parent, _)) if !parent.contains('%') => format!("{parent}/{HELD_CHART}"),
        _ => HELD_CHART.to_owned(),
    }
}

/// Connections held over all results, on both grounds; empty where nothing was held.
fn held_pictures(results: &[&Measured], stem: &str) -> Vec<(String, String)> {
    let all: Vec<&Record> = results.iter().flat_map(|one| &one.records).collect();
    let drawn = [LIGHT, DARK].map(|theme| {
        let chart = chart_held::draw(&all, &theme)?;
        Some((format!("{stem}-{}.svg", theme.name), chart))
    });
    drawn.into_iter().flatten().collect()
}

/// What all results say together: how many connections were held, and what the server's end takes by
/// either kind of peer.
fn first(results: &[&Measured], picture: Option<String>) -> String {
    let all: Vec<&Record> = results.iter().flat_map(|one| &one.records).collect();
    let apart: Vec<&[Record]> = results.iter().map(|one| &one.records[..]).collect();
    let held = sheet_held::sheet(&all).map(|sheet| sheet.markdown("###"));
    let mut text = held.unwrap_or_default();
    if let (Some(stem), Some(heading)) = (picture, text.find("\n\n")) {
        let alternative = chart_held::ALTERNATIVE;
        let picture = readme::picture(&Picture { stem, alternative });
        text.insert_str(heading + 2, &picture);
    }
    let endpoint = sheet_endpoint::sheet(&apart);
    text.extend(endpoint.map(|sheet| sheet.markdown("###")));
    text
}

fn section(measured: &Measured) -> String {
    let all: Vec<&Record> = measured.records.iter().collect();
    let groups = groups(&measured.records);
    let mut text = format!(
        "### {}\n\n{}\n\n",
        escape(&measured.about.plan_name),
        escape(&measured.about.question)
    );
    text.push_str(&origin(measured, &all));
    text.extend(most_held(&all));
    for group in &groups {
        if groups.len() > 1 {
            text.push_str(&format!("#### {}\n\n", group.shape.words()));
        }
        for picture in pictures(group, &report::prefix(&groups, group), &measured.link) {
            text.push_str(&readme::picture(&picture));
        }
        text.extend(rivals(group).map(|rivals| format!("{}\n\n", rivals_words::losses(&rivals))));
        text.push_str(&front_table::table(group));
    }
    text.push_str(&rest(measured));
    text
}

/// What is in no group: a figure or a table each, and the rest behind the link.
fn rest(measured: &Measured) -> String {
    let mut text = String::new();
    let mut has_idle_chart = false;
    for chart in &REST_CHARTS {
        // Of connections held there is one picture of all results above.
        let is_above = chart.name == HELD_CHART;
        if is_above || (chart.draw)(&measured.records, &LIGHT).is_none() {
            continue;
        }
        has_idle_chart |= chart.name == IDLE_CHART;
        text.push_str(&readme::picture(&Picture {
            stem: format!("{}/{}", measured.link, chart.name),
            alternative: chart.alternative,
        }));
    }
    for sheet in sheets::front(&measured.records, has_idle_chart) {
        text.push_str(&format!(
            "**{}**\n\n{}",
            escape(&sheet.title),
            sheet.markdown_table()
        ));
    }
    text
}

/// Command, date and machine: without them a number means nothing.
fn origin(measured: &Measured, records: &[&Record]) -> String {
    let valid = records
        .iter()
        .filter(|record| record.outcome == Outcome::Ok)
        .count();
    let machine = [
        facts::distinct(records, |record| facts::kernel(&record.host)),
        facts::distinct(records, |record| facts::processor(&record.host)),
        facts::distinct(records, |record| record.host.memory_bytes.map(memory_bytes)),
        facts::distinct(records, |record| record.host.hypervisor.clone()),
    ];
    format!(
        "Made by `{}`, {}, on {}: {}, of which {valid} valid. {} Every table, chart, warning and failure: \
         [{link}]({link}/README.md).\n\n",
        measured.about.command.replace(['`', '\n'], " "),
        facts::dates(records),
        escape(&machine.join(" · ")),
        counted(records.len(), "run"),
        trust::words(&measured.records),
        link = measured.link,
    )
}

/// The most connections that a valid run held, and the engines that held them.
fn most_held(records: &[&Record]) -> Option<String> {
    let proved = |record: &&&Record| {
        let setup = &record.setup;
        let is_proved =
            setup.connections_held.is_some() && setup.connections_proved == setup.connections_held;
        is_proved && record.outcome == Outcome::Ok && !record.case.control
    };
    let most = records
        .iter()
        .filter(proved)
        .map(|record| record.setup.connections_held)
        .max()?;
    let largest = records
        .iter()
        .filter(proved)
        .filter(|record| record.setup.connections_held == most);
    let mut engines: Vec<String> = Vec::new();
    for record in largest.clone() {
        let ghosts = match record.case.peer {
            Peer::Ghost => " with ghosts at the other end",
            Peer::Kernel => "",
        };
        let name = format!("`{}`{}{ghosts}", record.case.arm(), processes(record));
        if !engines.contains(&name) {
            engines.push(name);
        }
    }
    let limits = largest.filter_map(|record| record.granted.descriptor_limit);
    let limit = limits.min().map_or_else(String::new, |limit| {
        let limit = whole(limit as f64);
        format!(", where a process may have {limit} descriptors")
    });
    Some(format!(
        "Most connections held at once: **{}**, each proved live by a verified echo: {}{limit}.\n\n",
        whole(f64::from(most?)),
        named(&engines),
    ))
}

/// All names, or of many the first and how many others there are.
fn named(engines: &[String]) -> String {
    match engines {
        [first, rest @ ..] if rest.len() >= ENGINES_NAMED_MAX => {
            format!("{first} and {} other engines", rest.len())
        }
        _ => engines.join(", "),
    }
}

/// Over how many processes a server was spread, if it was.
fn processes(record: &Record) -> String {
    match record.granted.server_processes {
        Some(count @ 2..) => format!(" in {count} processes"),
        _ => String::new(),
    }
}

fn pictures(group: &Group<'_>, prefix: &str, link: &str) -> Vec<Picture> {
    let has_lines = group.counts().len() > 1;
    let is_predicted = models(group)
        .iter()
        .any(|model| !model.predictions.is_empty());
    let has_windows = group.records.iter().any(|record| {
        let mut windows = record.case.rounds.clone();
        windows.sort_unstable();
        windows.dedup();
        windows.len() >= WINDOWS_MIN
    });
    let shown = CHARTS.iter().filter(|chart| {
        if chart.name == PREDICTION_CHART {
            return is_predicted;
        }
        if chart.name == WINDOW_CHART {
            return has_windows;
        }
        // Rates at a single count are points without a line: the table says it better.
        CHARTS_SHOWN.contains(&chart.name) && (has_lines || chart.name != "throughput")
    });
    let drawn = shown.filter(|chart| (chart.draw)(group, &LIGHT).is_some());
    drawn
        .map(|chart| Picture {
            stem: format!("{link}/{prefix}{}", chart.name),
            alternative: chart.alternative,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, fixture_comparison};
    use super::*;
    use fourtuple_spec::Engine;

    fn measured(records: Vec<Record>) -> Measured {
        Measured {
            link: "results/day".to_owned(),
            about: About {
                plan_name: "standard".to_owned(),
                question: "What does a connection cost?".to_owned(),
                command: "fourtuple sweep standard".to_owned(),
                ..About::default()
            },
            records,
            trial: None,
        }
    }

    fn made(results: &[Measured]) -> String {
        let readme = format!("# Title\n\n{BEGIN}\nold figures\n{END}\n\nbelow\n");
        front(&readme, results).unwrap().text.replace('\u{a0}', " ")
    }

    #[test]
    fn only_what_is_between_the_markers_changes_and_twice_is_once() {
        let results = [measured(fixture::sweep(2))];
        let readme =
            format!("# Title, where `{BEGIN}` is named\n{BEGIN}\nold\n{END}\nbelow, no line break");
        let once = front(&readme, &results).unwrap().text;
        assert!(once.starts_with(&format!("# Title, where `{BEGIN}` is named\n{BEGIN}\n")));
        assert!(once.ends_with(&format!("{END}\nbelow, no line break")));
        assert!(!once.contains("old"));
        assert_eq!(front(&once, &results).unwrap().text, once);
    }

    #[test]
    fn the_million_shows_its_prediction_and_the_rest_a_figure_each() {
        let mut records = fixture::million(1);
        records.extend(fixture::rest(2));
        let text = made(&[measured(records)]);
        for chart in ["model", "rounds", "prices", "idle"] {
            let file = format!("results/day/{chart}-light.svg");
            assert_eq!(text.matches(&file).count(), 1, "{text}");
        }
        assert!(text.contains("| 2,400,000 |"), "{text}");
        assert!(!text.contains("**Busy connections"), "the chart says it");
        let plain = made(&[measured(fixture::sweep(2))]);
        assert!(
            !plain.contains("model-light.svg"),
            "nothing larger was predicted"
        );
    }

    #[test]
    fn what_was_held_over_all_results_has_one_picture_above_them() {
        let kernel = measured(vec![fixture::ceiling(Engine::Uring, 2_400_000)]);
        let ghosts = fixture::ghost(fixture::ceiling(Engine::UringPoll, 5_400_000));
        let results = [kernel, measured(vec![ghosts])];
        let readme = format!("{BEGIN}\n{END}\n");
        let page = front(&readme, &results).unwrap();
        let names: Vec<&str> = page.pictures.iter().map(|(name, _)| &name[..]).collect();
        assert_eq!(names, ["results/held-light.svg", "results/held-dark.svg"]);
        for (name, chart) in &page.pictures {
            assert_eq!(page.text.matches(name.as_str()).count(), 1, "{name}");
            assert!(chart.contains(">2,400,000<") && chart.contains(">5,400,000<"));
        }
        let place = page.text.find("results/held-light.svg").unwrap();
        assert!(place < page.text.find("### standard").unwrap());
        let empty = vec![fixture::failed(Engine::Uring, 5, 0, Some("memory"))];
        assert!(
            front(&readme, &[measured(empty)])
                .unwrap()
                .pictures
                .is_empty()
        );
    }

    #[test]
    fn verdicts_stand_in_their_own_place_or_before_all_that_was_measured() {
        let tried = Measured {
            trial: Some(trial::fixture::trial()),
            ..measured(vec![fixture::record(Engine::Epoll, 10, 0)])
        };
        let results = [tried, measured(fixture::sweep(2))];
        let table = "(results/day/README.md#client-ports)) | **refuted** |";
        let plain = format!("{BEGIN}\n{END}\n");
        let text = front(&plain, &results).unwrap().text;
        assert_eq!(text.matches(table).count(), 1, "{text}");
        assert_eq!(
            text.matches("### standard").count(),
            1,
            "a trial has no section"
        );
        let own = format!("# Title\n{VERDICTS_BEGIN}\nold\n{VERDICTS_END}\nwords\n{plain}");
        let once = front(&own, &results).unwrap().text;
        assert!(once.find(table).unwrap() < once.find("words").unwrap());
        assert_eq!(once.matches(table).count(), 1, "{once}");
        assert!(!once.contains("old"));
        assert_eq!(front(&once, &results).unwrap().text, once);
        let untried = front(&own, &results[1..]).unwrap().text;
        assert!(untried.contains("old"), "what nothing was given for stays");
        let half = format!("{VERDICTS_BEGIN}\n{plain}");
        assert_eq!(front(&half, &results), Err(NoPlace));
    }

    #[test]
    fn a_readme_without_a_place_is_refused() {
        for readme in [
            String::new(),
            format!("{BEGIN}\n"),
            format!("{END}\n{BEGIN}\n"),
            format!("{BEGIN}\n{BEGIN}\n{END}\n"),
            format!("in the text {BEGIN}\n{END}\n"),
        ] {
            assert_eq!(front(&readme, &[]), Err(NoPlace), "{readme:?}");
        }
        assert!(NoPlace.to_string().contains(BEGIN));
    }

    #[test]
    fn it_shows_where_the_numbers_come_from_and_what_they_are() {
        let mut records = fixture::sweep(3);
        for record in &mut records {
            record.granted.descriptor_limit = Some(20_000);
            if record.case.engine == Some(Engine::Epoll) {
                record.granted.server_processes = Some(2);
            }
            if record.case.engine == Some(Engine::Null) {
                record.setup.connections_proved = None;
            }
        }
        let text = made(&[measured(records)]);
        for part in [
            "### standard\n",
            "Made by `fourtuple sweep standard`, 2026-01-09, on Linux 6.18.5 · AMD EPYC 7R13, 2 cores · 24 GiB · KVM: 144 runs, of which 141 valid.",
            "[results/day](results/day/README.md)",
            "srcset=\"results/day/throughput-dark.svg\"",
            "src=\"results/day/memory-light.svg\"",
            "Most connections held at once: **20,000**, each proved live by a verified echo: `uring`, `epoll` in 2 processes, `spin`, where a process may have 20,000 descriptors.",
            "| connections | engine | echoes a second | of the floor | server CPU an echo |",
            "| 20,000 | `tokio` | – (RLIMIT\\_NOFILE) |",
        ] {
            assert!(text.contains(part), "{part:?} is missing from\n{text}");
        }
        assert!(!text.contains("| 2,000 |"), "only decades and the largest");
        assert!(
            !text.contains("| 10 | `null` |") && text.contains("| 10,000 | `null` |"),
            "a row without a number says nothing"
        );
        assert!(!text.contains("(A/A)"), "{text}");
        assert!(!text.contains("latency-light"), "{text}");
    }

    #[test]
    fn of_many_engines_the_heat_map_shows_all_and_the_table_a_few() {
        let text = made(&[measured(fixture_comparison::comparison(5))]);
        for part in [
            "src=\"results/day/comparison-light.svg\"",
            "| 10 | `epoll-et` |",
            "more than the A/A width: at 1 connection `threads` by ",
            "Of 13 baselines the best is shown; the chart and the report have all.",
            "`uring` and 14 other engines",
        ] {
            assert!(text.contains(part), "{part:?} is missing from\n{text}");
        }
        assert!(!text.contains("| 10 | `glommio` |"), "{text}");
        assert!(
            !text.contains("### Connections held"),
            "rates at 10,000 connections are no answer to how many can be held"
        );
        let few = made(&[measured(fixture::sweep(3))]);
        assert!(!few.contains("comparison-light"), "lines say it");
    }

    #[test]
    fn a_column_that_no_row_has_is_left_out() {
        let text = made(&[measured(vec![fixture::record(Engine::Epoll, 10, 0)])]);
        let headings = text.lines().find(|line| line.starts_with("| connections"));
        assert_eq!(
            headings,
            Some("| connections | engine | echoes a second | server CPU an echo |")
        );
        assert!(!text.contains("Kernel memory"), "{text}");
    }

    #[test]
    fn shapes_link_to_charts_of_their_own_and_results_follow_each_other() {
        let mut records = fixture::sweep(1);
        let mut large = fixture::record(Engine::Epoll, 2_000, 0);
        large.case.message_bytes = 4_096;
        records.push(large);
        let text = made(&[
            measured(records),
            measured(vec![fixture::failed(Engine::Uring, 5, 0, Some("memory"))]),
        ]);
        assert!(text.contains("results/day/64-bytes-depth-1-closed-kernel-throughput-light.svg"));
        assert!(text.contains("results/day/4096-bytes-depth-1-closed-kernel-memory-light.svg"));
        assert!(!text.contains("4096-bytes-depth-1-closed-kernel-throughput"));
        assert!(text.contains("| 5 | `uring` | – (memory) |"), "{text}");
        assert_eq!(text.matches("### standard\n").count(), 2);
    }
}
