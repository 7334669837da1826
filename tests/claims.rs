//! `fourtuple claims` as a program: which claims are tried, what is said, and what is kept.
//!
//! The claim `four-tuple` is tried, which takes a few sockets and no time to speak of, and makes no record.

mod common;

use common::place::{fourtuple_in, with_descriptors};
use common::{directory, errors, fourtuple, output, records, refused};
use fourtuple_spec::limiter;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Output;

const SMALL: [&str; 3] = ["claims", "--only", "four-tuple"];

/// The one object on standard output.
fn trial(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().count(), 1, "{text:?}\n{}", errors(output));
    serde_json::from_str(&text).unwrap()
}

fn kept(directory: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(directory.join("trial.json")).unwrap()).unwrap()
}

fn ids(trial: &Value) -> Vec<&str> {
    let claims = trial["claims"].as_array().unwrap();
    claims
        .iter()
        .map(|tried| tried["id"].as_str().unwrap())
        .collect()
}

fn with_out<'a>(directory: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = SMALL.to_vec();
    arguments.extend(["--out", directory.to_str().unwrap()]);
    arguments.extend(more);
    arguments
}

/// Whether a network was refused: then that is the reason, and nothing else is.
fn has_no_network(tried: &Value) -> bool {
    let why = tried["why"].as_str().unwrap();
    let is_it = why.starts_with("it needs a network namespace of its own, and none is granted: ");
    assert!(!is_it || tried["verdict"] == "not-run", "{tried}");
    is_it
}

#[test]
fn an_unknown_claim_is_refused_with_those_that_there_are() {
    let errors = refused(2, ["claims", "--only", "four-tupel"]);
    assert!(errors.contains("did you mean \"four-tuple\"?"), "{errors}");
    for id in ["server-ports", "two-to-48", "comfortable"] {
        assert!(errors.contains(id), "{errors}");
    }
}

#[test]
fn one_claim_is_one_object_with_counts_that_are_exact() {
    let output = output(SMALL.into_iter().chain(["--json"]));
    assert!(output.status.success(), "{}", errors(&output));
    let trial = trial(&output);
    assert_eq!(trial["schema_version"], 1);
    assert_eq!(trial["command"][1], "claims");
    assert_eq!(
        (ids(&trial), &trial["is_full"]),
        (vec!["four-tuple"], &Value::Bool(false))
    );
    let tried = &trial["claims"][0];
    let said = errors(&output);
    assert!(said.contains("[1/1] four-tuple"), "{said}");
    assert_eq!(tried["command"], trial["command"]);
    assert!(tried["tried_at"].as_str().unwrap() >= trial["started_at"].as_str().unwrap());
    if has_no_network(tried) {
        assert!(tried["measured"].is_null(), "{tried}");
        return;
    }
    assert_eq!(tried["verdict"], "confirmed", "{tried}");
    let figures = tried["figures"].as_array().unwrap();
    let exact = figures.iter().filter(|figure| figure["is_exact"] == true);
    let exact: Vec<&Value> = exact.collect();
    assert!(exact.len() >= 3, "{tried}");
    for figure in exact {
        assert_eq!(figure["measured"], figure["predicted"], "{figure}");
    }
    assert!(!tried["evidence"].as_array().unwrap().is_empty());
}

#[test]
fn what_is_said_fits_eighty_columns_and_has_no_colour() {
    let output = fourtuple()
        .args(SMALL)
        .env_remove("NO_COLOR")
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    assert!(!text.contains('\u{1b}'), "{text}");
    for part in [
        "  claim  ",
        "  predicted  ",
        "  verdict  ",
        "  took  ",
        "\nclaim         verdict ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    for line in text.lines() {
        // What cannot be broken at a space may be longer: a kernel's line, a path.
        let words = line.split_whitespace().map(|word| word.chars().count());
        let has_long_word = words.max().unwrap_or(0) > 60;
        assert!(line.chars().count() <= 80 || has_long_word, "{line}");
    }
}

#[test]
fn what_is_kept_is_replaced_claim_by_claim() {
    let directory = directory("claims-out");
    let first = output(with_out(&directory, &[]));
    assert!(first.status.success(), "{}", errors(&first));
    let mut trial = kept(&directory);
    assert_eq!(ids(&trial), ["four-tuple"]);
    let host = fs::read_to_string(directory.join("host.json")).unwrap();
    assert!(host.contains("\"plan_name\": \"claims\""), "{host}");
    let names = fs::read_dir(&directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(
        names.iter().any(|name| name.starts_with("environment-")),
        "{names:?}"
    );
    for name in ["records.jsonl", "README.md"] {
        assert!(names.iter().any(|other| other == name), "{names:?}");
    }

    // Another claim that was tried before stays; this one is replaced.
    let mut other = trial["claims"][0].clone();
    other["id"] = "comfortable".into();
    other["tried_at"] = "2020-02-03T04:05:06Z".into();
    other["command"] = vec!["fourtuple", "claims", "--full"].into();
    trial["claims"][0]["why"] = "of an earlier trial".into();
    trial["claims"].as_array_mut().unwrap().insert(0, other);
    fs::write(directory.join("trial.json"), trial.to_string()).unwrap();
    let second = output(with_out(&directory, &["--json"]));
    assert!(second.status.success(), "{}", errors(&second));
    let trial = kept(&directory);
    assert_eq!(ids(&trial), ["four-tuple", "comfortable"]);
    assert_ne!(trial["claims"][0]["why"], "of an earlier trial");
    assert_eq!(trial["started_at"], "2020-02-03T04:05:06Z");
    assert_eq!(trial["command"], trial["claims"][0]["command"]);
    let page = fs::read_to_string(directory.join("README.md")).unwrap();
    for part in [
        "commands, the last `fourtuple claims --only four-tuple --out ",
        "*Tried by `fourtuple claims --full`, 2020-02-03; took ",
    ] {
        assert!(page.contains(part), "{part}\n{page}");
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn a_claim_rests_on_the_records_of_its_last_trial() {
    let directory = directory("claims-records");
    let mut before = 0;
    for _ in 0..2 {
        // A run that ends after a few hundred connections, for lack of descriptors, and is kept all the same.
        let tried = fourtuple_in(&with_descriptors(24))
            .args(["claims", "--only", "port-reuse", "--out"])
            .arg(&directory)
            .output()
            .unwrap();
        assert!(tried.status.success(), "{}", errors(&tried));
        let trial = kept(&directory);
        let count = records(&directory).len();
        if has_no_network(&trial["claims"][0]) {
            assert_eq!(count, 0);
        } else {
            assert!(count > before, "{trial}");
        }
        let places: Vec<usize> = (before..count).collect();
        assert_eq!(trial["claims"][0]["records"], Value::from(places));
        before = count;
    }
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn too_few_descriptors_are_no_answer_and_are_named() {
    let output = fourtuple_in(&with_descriptors(48))
        .args(SMALL)
        .arg("--json")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", errors(&output));
    let trial = trial(&output);
    let tried = &trial["claims"][0];
    assert_eq!(tried["verdict"], "not-run", "{tried}");
    if !has_no_network(tried) {
        let why = tried["why"].as_str().unwrap();
        assert!(why.contains(limiter::DESCRIPTORS), "{why}");
    }
}

#[test]
fn a_place_that_cannot_be_written_is_named() {
    let directory = directory("claims-unwritable");
    let file = directory.join("file");
    fs::write(&file, "mine").unwrap();
    let errors = refused(2, with_out(&file, &[]));
    assert!(
        errors.contains("file is there and is no directory: choose another --out"),
        "{errors}"
    );
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
    // Nobody, root neither, may make a directory there.
    let errors = refused(3, with_out(Path::new("/proc/fourtuple-claims"), &[]));
    assert!(
        errors.contains("/proc/fourtuple-claims/records.jsonl cannot be written"),
        "{errors}"
    );
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn what_cannot_be_kept_or_drawn_is_shown_all_the_same() {
    let directory = directory("claims-unkept");
    // What is written whole goes through a file of this name, and a directory is none.
    let in_the_way = |name: &str| directory.join(format!("{name}.partial"));
    fs::create_dir(in_the_way("README.md")).unwrap();
    let undrawn = output(with_out(&directory, &["--json"]));
    assert_eq!(undrawn.status.code(), Some(3));
    assert_eq!(ids(&trial(&undrawn)), ["four-tuple"]);
    assert_eq!(ids(&kept(&directory)), ["four-tuple"]);
    let said = errors(&undrawn);
    assert!(said.contains("README.md"), "{said}");

    fs::create_dir(in_the_way("trial.json")).unwrap();
    let unkept = output(with_out(&directory, &["--json"]));
    assert_eq!(unkept.status.code(), Some(3));
    assert_eq!(ids(&trial(&unkept)), ["four-tuple"]);
    let said = errors(&unkept);
    assert!(said.contains("trial.json cannot be written"), "{said}");
    // The first of both is the reason, which is said last.
    let (page, reason) = (said.rfind("README.md"), said.rfind("trial.json"));
    assert!(page.is_some() && page < reason, "{said}");
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn records_of_something_else_are_left_alone() {
    let directory = directory("claims-other");
    let small = common::SMALL_RUN.into_iter();
    let run = output(small.chain(["--out", directory.to_str().unwrap()]));
    assert!(directory.join("host.json").exists(), "{}", errors(&run));
    let before = records(&directory);
    let errors = refused(2, with_out(&directory, &[]));
    assert!(errors.contains("another plan"), "{errors}");
    assert_eq!(records(&directory), before);
    assert!(!directory.join("trial.json").exists());

    let host = directory.join("host.json");
    let other = fs::read_to_string(&host).unwrap();
    let other = other.replace("\"plan_name\": \"runs\"", "\"plan_name\": \"claims\"");
    let mut other: Value = serde_json::from_str(&other).unwrap();
    other["host"]["cpu"] = "of another machine".into();
    fs::write(&host, other.to_string()).unwrap();
    let errors = refused(2, with_out(&directory, &[]));
    assert!(errors.contains("another machine"), "{errors}");
    fs::remove_dir_all(&directory).unwrap();
}

#[test]
fn damaged_verdicts_are_not_overwritten() {
    let directory = directory("claims-damaged");
    fs::write(directory.join("trial.json"), "{").unwrap();
    let errors = refused(3, with_out(&directory, &[]));
    assert!(errors.contains("trial.json is damaged"), "{errors}");
    assert_eq!(
        fs::read_to_string(directory.join("trial.json")).unwrap(),
        "{"
    );
    fs::remove_dir_all(&directory).unwrap();
}
