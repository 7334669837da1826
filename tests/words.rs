//! What is said on the command line: help, refusals, exit statuses.

mod common;

use common::{SMALL_RUN, directory, errors, fourtuple, output, record, refused};
use std::fs::{self, File};
use std::net::TcpListener;
use std::process::Stdio;

#[test]
fn help_teaches() {
    let top = output(["--help"]);
    let text = String::from_utf8(top.stdout).unwrap();
    assert!(top.status.success());
    for part in [
        "Exit status:",
        "130",
        "Examples:",
        "run",
        "sweep",
        "serve",
        "load",
        "report",
    ] {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("child"), "{text}");
    for verb in ["run", "sweep", "serve", "load", "report"] {
        let help = output([verb, "--help"]);
        let text = String::from_utf8(help.stdout).unwrap();
        assert!(help.status.success() && text.contains("Example"), "{text}");
        assert!(text.contains(&format!("fourtuple {verb}")), "{text}");
    }
}

#[test]
fn every_engine_is_in_the_help_of_run() {
    let help = output(["run", "--help"]);
    let text = String::from_utf8(help.stdout).unwrap();
    for profile in &fourtuple_spec::engine::PROFILES {
        assert!(text.contains(profile.name), "{}", profile.name);
    }
}

#[test]
fn every_factor_has_a_flag() {
    for verb in ["run", "serve"] {
        let help = output([verb, "--help"]);
        let text = String::from_utf8(help.stdout).unwrap();
        for name in fourtuple_spec::factors::NAMES {
            assert!(text.contains(&format!("--{name} ")), "{verb}: {name}");
        }
    }
}

/// Words that are wrong, and what the refusal has to say.
const WRONG: [(&str, &str); 17] = [
    (
        "run --engine urin --connections 1",
        "did you mean \"uring\"?",
    ),
    (
        "run --engine epoll --connections 0",
        "connections is 0; allowed is 1 to",
    ),
    ("run --engine epoll --connections ten", "1000, 10k or 1M"),
    (
        "run --engine epoll --connections 1 --message-bytes 0",
        "message_bytes is 0; allowed is 1 to 16777216",
    ),
    (
        "run --engine epoll --connections 1 --message-bytes 2GB",
        "allowed is 1 to 16777216",
    ),
    (
        "run --engine epoll --connections 1 --server-cpus 1023",
        "no core 1023 here; this process may use ",
    ),
    (
        "run --engine epoll --connections 1 --client-cpus a",
        "write 0, or 0,1, or 2-4",
    ),
    (
        "run --engine epoll --connections 1 --duration 2",
        "write 2s or 2ms",
    ),
    (
        "run --engine epoll --connections 1 --sysctl vm.swappiness=1",
        "net.* only",
    ),
    (
        "run --engine epoll --connections 1 --network host --sysctl net.ipv4.tcp_sack=0",
        "--network private",
    ),
    ("run --engine foreign --connections 1", "--server-command"),
    (
        "run --engine epoll --connections 1 --recv oneshot",
        "recv = oneshot is no factor of the engine epoll: it has spin",
    ),
    (
        "run --engine uring --connections 1 --wait 5000",
        "wait is 5000; allowed is 1 to 4096",
    ),
    (
        "run --engine threads --connections 1 --workers 2",
        "a thread a connection",
    ),
    (
        "serve --engine tokio --listen 127.0.0.1:0 --send bundle",
        "send = bundle is no factor of the engine tokio",
    ),
    ("sweep no-such-plan.toml", "one of standard, quick"),
    (
        "report no-such-directory",
        "a directory that a sweep has written",
    ),
];

#[test]
fn wrong_words_are_refused_with_what_would_be_right() {
    for (words, advice) in WRONG {
        let said = refused(2, words.split(' '));
        assert!(said.contains(advice), "{words}: {said}");
    }
    refused(2, []);
    refused(2, ["hop"]);
    refused(2, ["hold"]);
    refused(2, ["hold", "--engine", "epoll"]);
    refused(2, ["hold", "--price-list", "--engine", "epoll"]);
}

#[test]
fn a_plan_with_an_unknown_key_names_it_the_nearest_and_the_line() {
    let plan = directory("unknown-key").join("plan.toml");
    let text = "name = \"x\"\nquestion = \"?\"\n[[sweep]]\nengine = \"epoll\"\nconections = 10\n";
    fs::write(&plan, text).unwrap();
    let said = refused(2, ["sweep", plan.to_str().unwrap()]);
    for part in ["conections", "did you mean \"connections\"?", "line 5"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn too_little_memory_is_refused_beforehand_with_the_arithmetic() {
    // 825 GB: more than the machines that this runs on have.
    let words = ["run", "--engine", "epoll", "--connections", "100M"];
    let said = refused(1, words);
    for part in [
        "memory",
        "8,251 B a connection",
        "100,000,000 are wanted",
        "--force",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let json = output(words.into_iter().chain(["--json"]));
    let record = record(&json);
    assert_eq!(record["outcome"], "error");
    // Where a process may have few descriptors, those that this one can start are fewer yet.
    let narrowest = record["limiter"].as_str().unwrap();
    assert!(["memory", "RLIMIT_NOFILE"].contains(&narrowest), "{record}");
    assert!(record["phases_ns"].as_object().unwrap().is_empty());
    assert!(record["setup"]["connections_held"].is_null());
}

#[test]
fn a_port_in_use_is_said_and_is_a_failure() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let said = refused(3, ["serve", "--engine", "epoll", "--listen", &address]);
    assert!(said.contains(&address), "{said}");
}

#[test]
fn nobody_listening_is_said_and_is_a_failure() {
    let freed = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let target = freed.to_string();
    let words = [
        "load",
        "--target",
        &target,
        "--client",
        "spin",
        "--connections",
        "1",
    ];
    let said = refused(3, words);
    assert!(said.contains("ECONNREFUSED"), "{said}");
}

#[test]
fn a_reader_that_went_away_is_no_reason_to_panic() {
    let mut help = fourtuple()
        .args(SMALL_RUN)
        .arg("--json")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(help.stdout.take());
    let output = help.wait_with_output().unwrap();
    assert!(!errors(&output).contains("panicked"), "{}", errors(&output));
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
}

#[test]
fn a_full_standard_output_is_a_failure() {
    let output = fourtuple()
        .args(SMALL_RUN)
        .arg("--json")
        .stdout(File::options().write(true).open("/dev/full").unwrap())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        errors(&output).contains("cannot be written"),
        "{}",
        errors(&output)
    );
}
