//! `fourtuple report --front` from the outside: a README that shows what was measured.

mod common;

use common::{SMALL_RUN, directory, errors, fourtuple};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

const README: &str =
    "# Page\n<!-- measured: begin -->\nnothing yet\n<!-- measured: end -->\nbelow\n";

/// A README, and beside it the record of one small run.
fn page(name: &str, readme: &str) -> (PathBuf, PathBuf) {
    let directory = directory(name);
    let (page, results) = (directory.join("README.md"), directory.join("results"));
    fs::write(&page, readme).unwrap();
    let run = fourtuple()
        .args(SMALL_RUN)
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
    for ground in ["light", "dark"] {
        let name = format!("held-{ground}.svg");
        assert_eq!(once.matches(&name).count(), 1, "{once}");
        let chart = fs::read_to_string(page.with_file_name(&name)).unwrap();
        assert!(chart.contains("with kernel peers"), "{chart}");
    }
    report(&[&results, &results], &page);
    assert_eq!(fs::read_to_string(&page).unwrap(), once);
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
