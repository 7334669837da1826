//! Sweeps from the outside: records that survive whatever happens to the sweep.

mod common;

use common::{directory, errors, fourtuple, records, signal, wait_until};
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

fn cases(records: &[Value]) -> Vec<String> {
    let mut cases: Vec<String> = records
        .iter()
        .map(|record| record["case"].to_string())
        .collect();
    cases.sort();
    cases
}

#[test]
fn a_sweep_leaves_records_the_host_and_a_report() {
    let (plan, out) = plan("whole", PLAN);
    let output = finished(&plan, &out);
    let records = records(&out);
    assert_eq!(records.len(), 4);
    assert!(records.iter().all(|record| record["outcome"] == "ok"));
    let host: Value =
        serde_json::from_str(&fs::read_to_string(out.join("host.json")).unwrap()).unwrap();
    assert_eq!(host["plan_name"], "tiny");
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
    assert_eq!(records(&out).len(), 4);
}

#[test]
fn a_failed_case_is_tried_again() {
    let (plan, out) = plan("failed", PLAN);
    finished(&plan, &out);
    let path = out.join("records.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        text.replacen("\"outcome\":\"ok\"", "\"outcome\":\"error\"", 1),
    )
    .unwrap();
    let output = finished(&plan, &out);
    assert!(
        errors(&output).contains("3 recorded already"),
        "{}",
        errors(&output)
    );
    assert_eq!(records(&out).len(), 5, "the failure stays on record");
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
    assert!((1..=4).contains(&kept.len()));
    finished(&plan, &out);
    let all = records(&out);
    assert_eq!(all[..kept.len()], kept);
    assert_eq!(all.len(), 4);
    let mut once = cases(&all);
    once.dedup();
    assert_eq!(once.len(), 4, "every case ran once");
}

#[test]
fn records_of_another_plan_are_not_mixed_in() {
    let (plan, out) = plan("alien", PLAN);
    finished(&plan, &out);
    fs::write(&plan, PLAN.replace("measure_ms = 50", "measure_ms = 60")).unwrap();
    let output = sweep(&plan, &out).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        errors(&output).contains("another --out"),
        "{}",
        errors(&output)
    );
    assert_eq!(records(&out).len(), 4);
}

#[test]
fn a_disk_that_fills_up_costs_no_record_that_was_there() {
    let (plan, out) = plan("full", PLAN);
    finished(&plan, &out);
    let path = out.join("records.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    let first = whole.find('\n').unwrap() + 1;
    fs::write(&path, &whole[..first]).unwrap();
    // No file may grow past one record and a bit, in blocks of 512 bytes.
    let blocks = first.div_ceil(512) + 1;
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
    assert_eq!(fs::read_to_string(&path).unwrap(), whole[..first]);
    finished(&plan, &out);
    assert_eq!(records(&out).len(), 4);
}

#[test]
fn a_case_that_memory_cannot_hold_is_recorded_and_the_sweep_goes_on() {
    let impossible = PLAN
        .replace("[1, 10]", "[1, 100000000]")
        .replace("repeats = 2", "repeats = 1");
    let (plan, out) = plan("memory", &impossible);
    finished(&plan, &out);
    let records = records(&out);
    assert_eq!(records.len(), 2);
    let refused = records
        .iter()
        .find(|record| record["outcome"] == "error")
        .unwrap();
    assert_eq!(refused["limiter"], "memory");
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
