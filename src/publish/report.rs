//! Writes a result's charts and README beside its records.

use super::chart::{CHARTS, REST_CHARTS};
use super::group::{Group, groups};
use super::readme;
use super::theme::{DARK, LIGHT, Theme};
use anyhow::{Context, Result};
use fourtuple_spec::{Environment, Record};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What a report says about its records beyond what they say themselves.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The plan's name: the title.
    pub plan_name: String,
    /// What the plan is to find out.
    pub question: String,
    /// The command line that made the records.
    pub command: String,
    /// Which points reached the width that intervals were to have, in lines; `None` where the plan did not say one.
    pub confidence: Option<String>,
    /// The environments of the records, as their files say them: the id that records have, and all of it.
    pub environments: Vec<(String, Environment)>,
    /// Earlier runs of the same cases, for which later ones stand: disturbed, invalid or failed.
    pub superseded: Vec<Record>,
}

/// A chart that a README shows: the stem of its two files, and the text in its place.
pub struct Picture {
    /// `throughput` for `throughput-light.svg` and `throughput-dark.svg`.
    pub stem: String,
    /// What it shows.
    pub alternative: &'static str,
}

/// Writes charts and `README.md` into a directory and returns the paths, the README first.
///
/// Each file appears whole or not at all: it is written under another name and renamed.
///
/// # Errors
/// What could not be written and why. The records are only read.
pub fn report(directory: &Path, records: &[Record], about: &About) -> Result<Vec<PathBuf>> {
    let groups = groups(records);
    let mut files: Vec<(String, String)> = Vec::new();
    let mut pictures: Vec<Vec<Picture>> = Vec::new();
    for group in &groups {
        let prefix = prefix(&groups, group);
        pictures.push(draw(group, &prefix, groups.len() > 1, &mut files));
    }
    let rest = draw_rest(records, &mut files);
    files.insert(
        0,
        (
            "README.md".to_owned(),
            readme::readme(about, records, (&groups, &pictures), &rest),
        ),
    );
    write_files(directory, files)
}

/// Writes files into a directory, each whole or not at all, and returns their paths.
///
/// # Errors
/// What could not be written and why.
pub fn write_files(directory: &Path, files: Vec<(String, String)>) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for (name, content) in files {
        let path = directory.join(name);
        write_whole(&path, content.as_bytes()).with_context(|| failure(&path))?;
        paths.push(path);
    }
    Ok(paths)
}

/// What the names of a group's charts begin with: its shape, where there are several.
pub fn prefix(groups: &[Group<'_>], group: &Group<'_>) -> String {
    if groups.len() == 1 {
        String::new()
    } else {
        format!("{}-", group.shape.slug())
    }
}

/// Beside other groups, one with a single connection count has no charts against counts: its tables say as much.
fn draw(
    group: &Group<'_>,
    prefix: &str,
    has_others: bool,
    files: &mut Vec<(String, String)>,
) -> Vec<Picture> {
    let is_point = has_others && group.counts().len() == 1;
    let shown = CHARTS
        .iter()
        .filter(|chart| !(is_point && chart.is_of_counts));
    let drawn = shown.filter_map(|chart| {
        let stem = format!("{prefix}{}", chart.name);
        picture(stem, chart.alternative, files, |theme| {
            (chart.draw)(group, theme)
        })
    });
    drawn.collect()
}

fn draw_rest(records: &[Record], files: &mut Vec<(String, String)>) -> Vec<Picture> {
    let drawn = REST_CHARTS.iter().filter_map(|chart| {
        let stem = chart.name.to_owned();
        picture(stem, chart.alternative, files, |theme| {
            (chart.draw)(records, theme)
        })
    });
    drawn.collect()
}

/// Draws a chart on both grounds; `None` where the records have nothing to show.
pub fn picture(
    stem: String,
    alternative: &'static str,
    files: &mut Vec<(String, String)>,
    draw: impl Fn(&Theme) -> Option<String>,
) -> Option<Picture> {
    for theme in [LIGHT, DARK] {
        files.push((format!("{stem}-{}.svg", theme.name), draw(&theme)?));
    }
    Some(Picture { stem, alternative })
}

/// Writes a file that appears whole or not at all.
///
/// # Errors
/// What the file system refused; a full disk is named as such. The file is what it was before.
pub fn write_whole(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let written = fs::write(&partial, content).and_then(|()| fs::rename(&partial, path));
    if written.is_err() {
        // What is left of a failed write is of no use; if it cannot be removed, the first error says more.
        let _ = fs::remove_file(&partial);
    }
    written.map_err(named)
}

fn named(error: io::Error) -> io::Error {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            io::Error::new(error.kind(), format!("the disk is full: {error}"))
        }
        _ => error,
    }
}

fn failure(path: &Path) -> String {
    format!(
        "cannot write {}; the records are untouched, and `fourtuple report` makes it from them again",
        path.display()
    )
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;
    use fourtuple_spec::{EndpointState, Engine};

    fn about() -> About {
        About {
            plan_name: "standard".to_owned(),
            question: "What does a connection cost?".to_owned(),
            command: "fourtuple sweep plans/standard.toml".to_owned(),
            ..About::default()
        }
    }

    /// A directory of its own for each test, removed when the test is over.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("fourtuple-report-{}-{name}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn names(directory: &Path) -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<String> = entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn every_chart_is_there_in_light_and_dark_and_in_the_readme() {
        let scratch = Scratch::new("whole");
        let paths = report(&scratch.0, &fixture::sweep(3), &about()).unwrap();
        // Five charts of load and memory and the model's, on two grounds, and the text.
        assert_eq!(paths.len(), 13);
        let readme = fs::read_to_string(scratch.0.join("README.md")).unwrap();
        for name in names(&scratch.0) {
            assert!(!name.ends_with(".partial"));
            assert!(
                name == "README.md" || readme.contains(&name),
                "{name} is not shown"
            );
        }
    }

    #[test]
    fn what_is_in_no_group_has_charts_and_tables_too() {
        let scratch = Scratch::new("rest");
        let mut records = fixture::million(1);
        records.extend(fixture::rest(3));
        report(&scratch.0, &records, &about()).unwrap();
        let readme = fs::read_to_string(scratch.0.join("README.md")).unwrap();
        for name in names(&scratch.0) {
            assert!(
                name == "README.md" || readme.contains(&name),
                "{name} is not shown"
            );
        }
        for heading in [
            "Memory of a connection as a slope",
            "Larger runs, predicted from the smaller ones",
            "What memory allows",
            "What no part of the ledger explains",
            "The ledger, bytes a connection",
            "Whose it is, bytes a connection",
            "Full rounds: every connection echoes once",
            "The ceiling: connections until something stops them",
            "Busy connections among idle ones",
            "The price of a connection by state",
            "What other settings change",
        ] {
            assert!(readme.contains(&format!("# {heading}\n")), "{heading}");
        }
        for chart in ["model", "setup", "rounds", "prices", "idle"] {
            assert!(
                scratch.0.join(format!("{chart}-dark.svg")).exists(),
                "{chart}"
            );
        }
    }

    #[test]
    fn results_of_earlier_versions_are_still_read_and_shown() {
        for name in ["2026-11-22-vm-standard", "2026-11-22-vm-million"] {
            let directory = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("results")
                .join(name);
            let lines = fs::read_to_string(directory.join("records.jsonl")).unwrap();
            let records: Vec<Record> = lines
                .lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect();
            let scratch = Scratch::new(name);
            report(&scratch.0, &records, &about()).unwrap();
            // What a verdict rests on is marked behind it, and was not always.
            let unmarked = |path: PathBuf| fs::read_to_string(path).unwrap().replace("\\*", "");
            let made = unmarked(scratch.0.join("README.md"));
            let before = unmarked(directory.join("README.md"));
            // Whatever is added, the verdicts and tables of before have the same numbers.
            let rows = before.lines().filter(|line| line.starts_with("- **"));
            for line in rows.chain(before.lines().filter(|line| line.starts_with("| 1,000"))) {
                assert!(made.contains(line), "{name}: {line}");
            }
        }
    }

    #[test]
    fn shapes_have_charts_of_their_own() {
        let scratch = Scratch::new("shapes");
        let mut records = vec![
            fixture::record(Engine::Epoll, 10, 0),
            fixture::record(Engine::Epoll, 100, 0),
            fixture::record(Engine::Epoll, 10, 0),
            fixture::record(Engine::Epoll, 100, 0),
            fixture::record(Engine::Epoll, 100, 0),
        ];
        records[2].case.message_bytes = 4_096;
        records[3].case.message_bytes = 4_096;
        records[4].case.message_bytes = 512;
        report(&scratch.0, &records, &about()).unwrap();
        let names = names(&scratch.0);
        assert!(
            names.iter().all(|name| !name.starts_with("512-bytes")),
            "one count is no line: {names:?}"
        );
        assert!(
            names.contains(&"64-bytes-depth-1-closed-kernel-throughput-light.svg".to_owned()),
            "{names:?}"
        );
        assert!(names.contains(&"4096-bytes-depth-1-closed-kernel-throughput-dark.svg".to_owned()));
    }

    #[test]
    fn odd_records_make_a_report_without_a_panic() {
        let scratch = Scratch::new("odd");
        let mut bare = fixture::record(Engine::Epoll, 5_000_000, 0);
        bare.host = Default::default();
        bare.memory = Default::default();
        bare.started_at = "é".to_owned();
        let odd: [Vec<Record>; 9] = [
            vec![],
            vec![bare],
            vec![fixture::record(Engine::Null, 1_000, 0)],
            vec![fixture::failed(Engine::Tokio, 10, 0, None)],
            fixture::sweep(1),
            vec![fixture::price(EndpointState::Armed, Engine::Uring, 10, 0)],
            vec![fixture::hot(Engine::Uring, 100_000, 10_000, 0)],
            vec![fixture::ceiling(Engine::Uring, 2_000_000)],
            vec![fixture::held(Engine::Null, 1_000_000, 0)],
        ];
        for records in &odd {
            let paths = report(&scratch.0, records, &about()).unwrap();
            let written: String = paths
                .iter()
                .map(|path| fs::read_to_string(path).unwrap())
                .collect();
            assert!(
                !written.contains("NaN") && !written.contains("inf\""),
                "{written}"
            );
        }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let missing = std::env::temp_dir().join("fourtuple-report-that-is-not-there");
        let error = report(&missing, &fixture::sweep(1), &about()).unwrap_err();
        let text = format!("{error:#}");
        assert!(
            text.contains("README.md") && text.contains("the records are untouched"),
            "{text}"
        );
        let full = named(io::Error::from(io::ErrorKind::StorageFull));
        assert!(full.to_string().starts_with("the disk is full"));
    }
}
