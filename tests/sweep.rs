//! Sweeps from the outside: records that survive whatever happens to the sweep.

mod common;

use common::{directory, errors, fourtuple, has_io_uring, records, signal, wait_until, went_well};
use rustix::process::Signal;
use serde_json::Value;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// A plan of four short runs that needs no io_uring.
const PLAN: &str = r#"
name = "tiny"
question = "Does a sweep keep its records?"
repeats = 2

[defaults]
client = "spin"
settle_ms = 0
warmup_ms = 10
measure_ms = 50

[[sweep]]
engine = "epoll"
connections = [1, 10]
"#;

fn plan(name: &str, text: &str) -> (PathBuf, PathBuf) {
    let directory = directory(name);
    let plan = directory.join("plan.toml");
    fs::write(&plan, text).unwrap();
    (plan, directory.join("out"))
}

fn sweep(plan: &Path, out: &Path) -> Command {
    let mut command = fourtuple();
    command.arg("sweep").arg(plan).arg("--out").arg(out);
    command
}

fn finished(plan: &Path, out: &Path) -> Output {
    let output = sweep(plan, out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    output
}

/// How many cases have been run: one that something disturbed has two records.
fn case_count(records: &[Value]) -> usize {
    latest(records).len()
}

/// The last record of each case, in order.
fn latest(records: &[Value]) -> Vec<&Value> {
    let is_last = |(index, record): &(usize, &Value)| {
        let later = &records[index + 1..];
        later.iter().all(|later| later["case"] != record["case"])
    };
    let last = records.iter().enumerate().filter(is_last);
    last.map(|(_, record)| record).collect()
}

fn write_records<'a>(out: &Path, records: impl IntoIterator<Item = &'a Value>) {
    let lines: String = records
        .into_iter()
        .map(|record| format!("{record}\n"))
        .collect();
    fs::write(out.join("records.jsonl"), lines).unwrap();
}

#[test]
fn a_sweep_leaves_records_the_host_and_a_report() {
    let (plan, out) = plan("whole", PLAN);
    let output = finished(&plan, &out);
    let records = records(&out);
    assert_eq!(case_count(&records), 4);
    assert!(records.iter().all(went_well));
    // A run that was disturbed is followed by its repetition, and by that alone.
    for (index, record) in records.iter().enumerate() {
        let was_disturbed = record["disturbances"] != Value::Array(Vec::new());
        let is_repeated = record["attempt"] == 0 && was_disturbed;
        let next = records.get(index + 1);
        let has_next = next.is_some_and(|next| next["attempt"] == 1);
        assert_eq!(is_repeated, has_next, "{record}");
        assert!(!has_next || next.unwrap()["case"] == record["case"]);
    }
    let host: Value =
        serde_json::from_str(&fs::read_to_string(out.join("host.json")).unwrap()).unwrap();
    assert_eq!(host["plan_name"], "tiny");
    assert_eq!(host["seed"], 0);
    assert_eq!(host["until_interval"], Value::Null);
    assert!(
        host["command"]
            .as_str()
            .unwrap()
            .starts_with("fourtuple sweep ")
    );
    assert!(out.join("README.md").exists());
    assert!(String::from_utf8_lossy(&output.stdout).contains("epoll"));
    for line in errors(&output).lines().filter(|line| line.starts_with('[')) {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn a_report_can_be_drawn_again_from_the_records_alone() {
    let (plan, out) = plan("again", PLAN);
    finished(&plan, &out);
    let report = fs::read_to_string(out.join("README.md")).unwrap();
    fs::remove_file(out.join("README.md")).unwrap();
    let output = fourtuple().arg("report").arg(&out).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    assert_eq!(fs::read_to_string(out.join("README.md")).unwrap(), report);
}

#[test]
fn a_finished_sweep_is_not_run_again() {
    let (plan, out) = plan("finished", PLAN);
    finished(&plan, &out);
    let before = records(&out);
    let output = finished(&plan, &out);
    assert!(
        errors(&output).contains("4 recorded already"),
        "{}",
        errors(&output)
    );
    assert_eq!(records(&out), before);
}

#[test]
fn a_torn_last_line_is_cut_off_and_its_case_run_again() {
    let (plan, out) = plan("torn", PLAN);
    finished(&plan, &out);
    let path = out.join("records.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let torn = &whole[..whole.len() - 100];
    fs::write(&path, torn).unwrap();
    let output = finished(&plan, &out);
    assert!(
        errors(&output).contains("3 recorded already"),
        "{}",
        errors(&output)
    );
    let again = fs::read_to_string(&path).unwrap();
    let kept = whole.rfind("{\"schema_version\"").unwrap();
    assert_eq!(again[..kept], whole[..kept]);
    assert_eq!(case_count(&records(&out)), 4);
}

#[test]
fn a_failed_case_is_tried_again() {
    let (plan, out) = plan("failed", PLAN);
    finished(&plan, &out);
    let mut before = records(&out);
    // The last record is the one of its case that counts.
    before.last_mut().unwrap()["outcome"] = "error".into();
    write_records(&out, &before);
    let output = finished(&plan, &out);
    assert!(
        errors(&output).contains("3 recorded already"),
        "{}",
        errors(&output)
    );
    let after = records(&out);
    assert_eq!(after[..before.len()], before, "the failure stays on record");
    assert_eq!(case_count(&after), 4);
    assert!(latest(&after).iter().all(|record| went_well(record)));
}

#[test]
fn an_interrupted_sweep_goes_on_where_it_stopped() {
    let (plan, out) = plan("interrupted", PLAN);
    let child = sweep(&plan, &out)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(out.join("records.jsonl")).unwrap_or_default();
    wait_until("a first record", || lines().contains('\n').then_some(()));
    signal(child.id(), Signal::INT);
    let stopped = child.wait_with_output().unwrap();
    let said = errors(&stopped);
    assert_eq!(stopped.status.code(), Some(130), "{said}");
    assert!(
        said.contains("fourtuple sweep") && said.contains("--out"),
        "{said}"
    );
    let kept = records(&out);
    assert!((1..=4).contains(&case_count(&kept)));
    finished(&plan, &out);
    let all = records(&out);
    assert_eq!(all[..kept.len()], kept);
    assert_eq!(case_count(&all), 4);
    let first = all.iter().filter(|record| record["attempt"] == 0);
    assert_eq!(first.count(), 4, "every case ran once");
}

#[test]
fn records_of_another_plan_are_not_mixed_in() {
    let (plan, out) = plan("alien", PLAN);
    finished(&plan, &out);
    let before = records(&out);
    fs::write(&plan, PLAN.replace("measure_ms = 50", "measure_ms = 60")).unwrap();
    let output = sweep(&plan, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors(&output).contains("another --out"),
        "{}",
        errors(&output)
    );
    assert_eq!(records(&out), before);
}

#[test]
fn a_disk_that_fills_up_costs_no_record_that_was_there() {
    let (plan, out) = plan("full", PLAN);
    finished(&plan, &out);
    let path = out.join("records.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let first = whole.find('\n').unwrap() + 1;
    // Empty lines say nothing; they make this file larger than the others that a sweep writes.
    let padded = whole[..first].to_owned() + &"\n".repeat(1 << 20);
    fs::write(&path, &padded).unwrap();
    // No file may grow past that and a bit, in blocks of 512 bytes.
    let blocks = padded.len().div_ceil(512) + 1;
    let script = format!("trap '' XFSZ; ulimit -f {blocks} && exec \"$0\" \"$@\"");
    let output = Command::new("sh")
        .args(["-c", &script, env!("CARGO_BIN_EXE_fourtuple"), "sweep"])
        .arg(&plan)
        .arg("--out")
        .arg(&out)
        .output()
        .unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(3), "{said}");
    assert!(said.contains("records.jsonl cannot be written"), "{said}");
    assert_eq!(fs::read_to_string(&path).unwrap(), padded);
    fs::write(&path, &whole[..first]).unwrap();
    finished(&plan, &out);
    assert_eq!(case_count(&records(&out)), 4);
}

#[test]
fn a_case_that_memory_cannot_hold_is_recorded_and_the_sweep_goes_on() {
    let impossible = PLAN
        .replace("[1, 10]", "[1, 100000000]")
        .replace("repeats = 2", "repeats = 1");
    let (plan, out) = plan("memory", &impossible);
    finished(&plan, &out);
    let records = records(&out);
    assert_eq!(case_count(&records), 2);
    let refused = records
        .iter()
        .find(|record| record["outcome"] == "error")
        .unwrap();
    let error = refused["error"].as_str().unwrap();
    assert!(error.contains("memory is "), "{error}");
    assert!(records.iter().any(|record| record["outcome"] == "ok"));
}

#[test]
fn two_sweeps_do_not_write_the_same_records() {
    let (plan, out) = plan("locked", PLAN);
    fs::create_dir_all(&out).unwrap();
    let held = File::create(out.join("records.jsonl")).unwrap();
    rustix::fs::flock(&held, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let output = sweep(&plan, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        errors(&output).contains("another sweep"),
        "{}",
        errors(&output)
    );
}

#[test]
fn a_damaged_line_is_named() {
    let (plan, out) = plan("damaged", PLAN);
    fs::create_dir_all(&out).unwrap();
    let mut file = File::create(out.join("records.jsonl")).unwrap();
    writeln!(file, "{{\"schema_version\": 1}}").unwrap();
    let output = sweep(&plan, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(errors(&output).contains("line 1"), "{}", errors(&output));
}

/// Two shares of the capacity of one engine.
const SHARES: &str = r#"
name = "shares"
question = "Is a share of the capacity offered?"
repeats = 2

[defaults]
settle_ms = 0
warmup_ms = 10
measure_ms = 100

[[sweep]]
engine = "epoll"
connections = 2
rate_percent = [20, 50]
"#;

fn is_share(record: &Value) -> bool {
    record["case"]["rate_percent"].is_number()
}

/// The percents and rates of all open loops.
fn offered(records: &[Value]) -> Vec<(u64, u64)> {
    let number = |record: &Value, key| record["case"][key].as_u64().unwrap_or(0);
    let shares = latest(records)
        .into_iter()
        .filter(|record| is_share(record));
    let mut offered: Vec<(u64, u64)> = shares
        .map(|record| (number(record, "rate_percent"), number(record, "rate")))
        .collect();
    offered.sort_unstable();
    offered
}

/// The machine may be too busy for a valid run of either kind: what is offered depends on what is recorded, and
/// what is recorded is made up here.
#[test]
fn shares_of_a_capacity_are_offered_after_it_and_the_same_when_resumed() {
    if !has_io_uring() {
        return;
    }
    let (plan, out) = plan("shares", SHARES);
    sweep(&plan, &out).output().unwrap();
    let all = records(&out);
    let closed = all.iter().position(is_share).unwrap();
    assert!(
        all[closed..].iter().all(is_share),
        "closed loops come first"
    );
    assert_eq!(case_count(&all[..closed]), 2);
    assert_eq!(case_count(&all[closed..]), 4);

    let as_valid = |record: &Value| {
        let mut record = record.clone();
        record["outcome"] = "ok".into();
        record["error"] = Value::Null;
        record["disturbances"] = Value::Array(Vec::new());
        record
    };
    let mut capacities: Vec<Value> = latest(&all[..closed]).into_iter().map(as_valid).collect();
    for record in &mut capacities {
        record["throughput"]["echoes_per_second"] = 10_000.0.into();
    }
    write_records(&out, &capacities);
    let said = errors(&sweep(&plan, &out).output().unwrap());
    assert!(said.contains("2 recorded already"), "{said}");
    assert!(said.contains("2000/s offered (20 %)"), "{said}");
    let all = records(&out);
    assert_eq!(
        offered(&all),
        [(20, 2_000), (20, 2_000), (50, 5_000), (50, 5_000)]
    );

    // What one repeat was offered is offered to the others, whatever the capacity is said to be now.
    let first = all
        .iter()
        .find(|record| record["case"]["rate_percent"] == 20);
    let mut first = as_valid(first.unwrap());
    first["case"]["rate"] = 1_990.into();
    capacities.push(first);
    write_records(&out, &capacities);
    let said = errors(&sweep(&plan, &out).output().unwrap());
    assert!(said.contains("3 recorded already"), "{said}");
    assert_eq!(
        offered(&records(&out)),
        [(20, 1_990), (20, 1_990), (50, 5_000), (50, 5_000)]
    );
}

#[test]
fn a_sweep_without_time_says_what_is_missing_and_goes_on_later() {
    let (plan, out) = plan("budget", PLAN);
    let output = sweep(&plan, &out).args(["--budget", "1ms"]).output();
    let output = output.unwrap();
    let said = errors(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("4 runs are missing"), "{said}");
    assert!(records(&out).is_empty());
    let said = errors(&finished(&plan, &out));
    assert!(!said.contains("missing"), "{said}");
    assert_eq!(case_count(&records(&out)), 4);
}

#[test]
fn a_plan_that_asks_for_narrow_intervals_goes_on_and_says_what_it_did_not_reach() {
    let rule = "repeats = 2\nuntil_interval = 0.000001\nrepeats_max = 3";
    let (plan, out) = plan("narrow", &PLAN.replace("repeats = 2", rule));
    let said = errors(&finished(&plan, &out));
    assert!(said.contains("0 of 2 blocks have intervals of"), "{said}");
    assert!(
        said.contains("confidence not reached at 10 connections: epoll ±"),
        "{said}"
    );
    let before = records(&out);
    assert_eq!(case_count(&before), 6);
    finished(&plan, &out);
    assert_eq!(records(&out), before, "three repeats are the most");
}
