//! `fourtuple report --front` from the outside: a README that shows what was measured.

mod common;

use common::{SMALL_RUN, directory, errors, fourtuple};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const README: &str =
    "# Page\n<!-- measured: begin -->\nnothing yet\n<!-- measured: end -->\nbelow\n";

/// Connections held and proved live, no rate measured.
const SMALL_HOLD: [&str; 11] = [
    "hold",
    "--engine",
    "epoll",
    "--client",
    "spin",
    "--connections",
    "10",
    "--duration",
    "10ms",
    "--settle",
    "10ms",
];

/// A README, and beside it the record of one small run.
fn page(name: &str, readme: &str) -> (PathBuf, PathBuf) {
    page_of(&SMALL_RUN, name, readme)
}

/// The same of a run of these words.
fn page_of(words: &[&str], name: &str, readme: &str) -> (PathBuf, PathBuf) {
    let directory = directory(name);
    let (page, results) = (directory.join("README.md"), directory.join("results"));
    fs::write(&page, readme).unwrap();
    let run = fourtuple()
        .args(words)
        .arg("--out")
        .arg(&results)
        .output()
        .unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", errors(&run));
    (page, results)
}

fn report(results: &[&Path], page: &Path) -> Output {
    fourtuple()
        .arg("report")
        .args(results)
        .arg("--front")
        .arg(page)
        .output()
        .unwrap()
}

#[test]
fn a_readme_shows_each_result_and_twice_is_once() {
    let (page, results) = page("front", README);
    let output = report(&[&results, &results], &page);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let once = fs::read_to_string(&page).unwrap();
    assert!(once.starts_with("# Page\n<!-- measured: begin -->\n"));
    assert!(once.ends_with("<!-- measured: end -->\nbelow\n"));
    assert!(!once.contains("nothing yet"));
    assert_eq!(once.matches("(results/README.md)").count(), 2, "{once}");
    assert!(once.contains("| 10 | `epoll` | "), "{once}");
    assert!(results.join("README.md").exists());
    report(&[&results, &results], &page);
    assert_eq!(fs::read_to_string(&page).unwrap(), once);
}

#[test]
fn a_readme_begins_with_the_connections_that_were_held() {
    let (page, results) = page_of(&SMALL_HOLD, "front-held", README);
    let output = report(&[&results], &page);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let text = fs::read_to_string(&page).unwrap();
    for ground in ["light", "dark"] {
        let name = format!("held-{ground}.svg");
        assert_eq!(text.matches(&name).count(), 1, "{text}");
        let chart = fs::read_to_string(page.with_file_name(&name)).unwrap();
        assert!(chart.contains("with kernel peers"), "{chart}");
    }
}

#[test]
fn a_readme_without_markers_is_refused_before_anything_is_written() {
    let (page, results) = page("front-without", "# Page\n");
    let output = report(&[&results], &page);
    assert_eq!(output.status.code(), Some(2));
    let words = errors(&output);
    assert!(words.contains("<!-- measured: begin -->"), "{words}");
    assert_eq!(fs::read_to_string(&page).unwrap(), "# Page\n");
    assert!(!results.join("README.md").exists());
}
