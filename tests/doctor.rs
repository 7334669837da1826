//! `fourtuple doctor`, as a whole program: what it says, how it exits, and that it reads the limits that there are.

mod common;

use common::place::{alone, command};
use common::{errors, fourtuple, output, refused};
use fourtuple_spec::limiter;
use serde_json::Value;
use std::process::{Command, Output, Stdio};

/// More than any machine holds, and as many as can be asked for.
const TOO_MANY: &str = "4294967295";

/// Limits that the ladder of every machine has a rung for.
const OF_EVERY_MACHINE: [&str; 19] = [
    limiter::DESCRIPTORS,
    limiter::NR_OPEN,
    limiter::FILE_MAX,
    limiter::PORT_RANGE,
    limiter::TIME_WAIT,
    limiter::TIME_WAIT_BUCKETS,
    limiter::ACCEPT_QUEUE,
    limiter::SYN_BACKLOG,
    limiter::CONNTRACK,
    limiter::TCP_MEM,
    limiter::MEMORY,
    limiter::MEMORY_GROUP,
    limiter::ORPHANS,
    limiter::HASH,
    limiter::NETDEV_BACKLOG,
    limiter::EPOLL_WATCHES,
    limiter::THREADS_MAX,
    limiter::PIDS_GROUP,
    limiter::LOCKED_MEMORY,
];

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn json(output: &Output) -> Value {
    let text = said(output);
    assert_eq!(text.lines().count(), 1, "{text}\n{}", errors(output));
    serde_json::from_str(&text).unwrap()
}

/// Runs it from a shell that has its standard streams open and nothing else, after a command of the shell's.
fn after(set: &str, arguments: &str) -> Output {
    let program = env!("CARGO_BIN_EXE_fourtuple");
    command(&alone())
        .args(["sh", "-c"])
        .arg(format!("{set} && exec {program} doctor {arguments}"))
        .output()
        .unwrap()
}

fn rungs(ladder: &Value) -> Vec<&str> {
    let rungs = ladder["rungs"].as_array().unwrap().iter();
    rungs.map(|rung| rung["limit"].as_str().unwrap()).collect()
}

#[test]
fn it_answers_for_both_ends_and_exits_with_0() {
    let output = output(["doctor"]);
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let text = said(&output);
    assert!(
        text.starts_with("As a server, a process started from here can hold "),
        "{text}"
    );
    assert!(
        text.contains("\nAs a client of one destination, it can hold "),
        "{text}"
    );
    assert!(
        text.contains("\n> "),
        "no limit is marked as the binding one:\n{text}"
    );
    let server = fourtuple()
        .args(["doctor", "--as", "server"])
        .output()
        .unwrap();
    assert!(!said(&server).contains("As a client"), "{}", said(&server));
}

#[test]
fn every_limit_is_in_the_text_and_in_the_object() {
    let object = json(&output(["doctor", "--json"]));
    assert_eq!(object["schema_version"], 1);
    assert_eq!(object["answer"], Value::Null);
    let ladders = &object["ladders"];
    let mut limits = rungs(&ladders["server"]);
    limits.extend(rungs(&ladders["client"]));
    let text = said(&output(["doctor"]));
    for limit in OF_EVERY_MACHINE {
        assert!(limits.contains(&limit), "{limit}: {limits:?}");
        assert!(text.contains(limit), "{limit} is not in:\n{text}");
    }
    for end in ["server", "client"] {
        let ladder = &ladders[end];
        let first = &ladder["rungs"][0];
        assert_eq!(ladder["binding"], first["limit"], "{first}");
        assert_eq!(ladder["allows"], first["allows"]["connections"], "{first}");
        assert!(
            object["bytes"][end]["bytes"].as_u64() > Some(1_000),
            "{}",
            object["bytes"]
        );
    }
    assert!(object["limits"]["process"]["descriptors_soft"]["known"].is_u64());
}

#[test]
fn a_few_connections_are_possible_and_four_thousand_million_are_not() {
    let few = output(["doctor", "--connections", "10"]);
    assert_eq!(few.status.code(), Some(0), "{}", said(&few));
    // What cannot be read in a network of its own, or by an ordinary user, is left out.
    let unknown = json(&output(["doctor", "--connections", "10", "--json"]))["unknown"].clone();
    let begins = match unknown.as_array().unwrap().is_empty() {
        true => "Yes: ",
        false => "Yes, as far as could be read: ",
    };
    assert!(said(&few).starts_with(begins), "{}", said(&few));
    let many = output(["doctor", "--connections", TOO_MANY]);
    assert_eq!(many.status.code(), Some(1), "{}", errors(&many));
    let text = said(&many);
    assert!(
        text.starts_with("No: ") && text.contains("What stands in the way"),
        "{text}"
    );
    let object = json(&output(["doctor", "--connections", TOO_MANY, "--json"]));
    assert_eq!(object["answer"], "no");
    for end in ["server", "client"] {
        let obstacles = object["ladders"][end]["obstacles"].as_array().unwrap();
        let names = obstacles.iter().map(|obstacle| &obstacle["limit"]);
        assert!(
            names.clone().any(|name| name == limiter::MEMORY),
            "{obstacles:?}"
        );
    }
}

#[test]
fn a_shell_that_lowers_its_descriptors_is_answered_with_that_limit() {
    let object = json(&after("ulimit -S -n 64", "--json"));
    let server = &object["ladders"]["server"];
    // Three standard streams, a listener, and what it waits with.
    assert_eq!(
        (&server["binding"], &server["allows"]),
        (&limiter::DESCRIPTORS.into(), &59.into())
    );
    let no = after("ulimit -S -n 64", "--connections 60");
    assert_eq!(no.status.code(), Some(1), "{}", said(&no));
    assert!(
        said(&no).contains("RLIMIT_NOFILE of the server is 64 soft"),
        "{}",
        said(&no)
    );
    let yes = after("ulimit -S -n 64", "--connections 59");
    assert_eq!(yes.status.code(), Some(0), "{}", said(&yes));
    // Slots of a ring's table are not counted, but rings are: each has as many slots as there may be descriptors.
    let direct = json(&after(
        "ulimit -S -n 64",
        "--engine uring --as server --json",
    ));
    let ladder = &direct["ladders"]["server"];
    let own = ladder["question"]["server"]["own_descriptors"].as_u64();
    let rungs = ladder["rungs"].as_array().unwrap();
    let table = rungs
        .iter()
        .find(|rung| rung["limit"] == limiter::DIRECT_TABLE);
    let room = (64 - 3 - own.unwrap()) * 64;
    assert_eq!(table.unwrap()["allows"]["connections"], room, "{table:?}");
}

#[test]
fn what_a_shell_left_open_is_inherited() {
    let allows = |set| {
        let object = json(&after(set, "--as server --json"));
        object["ladders"]["server"]["allows"].as_u64().unwrap()
    };
    let few = allows("ulimit -S -n 64");
    assert_eq!(
        allows("exec 8</dev/null 9</dev/null && ulimit -S -n 64"),
        few - 2
    );
}

#[test]
fn the_commands_clear_what_stands_in_the_way() {
    let object = json(&after(
        "ulimit -S -n 64",
        "--connections 1000 --as server --json",
    ));
    let commands = object["commands"].as_array().unwrap();
    let commands: Vec<&str> = commands.iter().flat_map(Value::as_str).collect();
    assert!(
        commands
            .iter()
            .any(|command| command.contains("ulimit ") || command.starts_with("prlimit ")),
        "{commands:?}"
    );
    let hard = object["limits"]["process"]["descriptors_hard"]["known"].as_u64();
    if hard < Some(1_100) || commands.len() > 1 {
        println!(
            "skipped: something else is in the way here, which no test may change: {commands:?}"
        );
        return;
    }
    let cleared = after(
        &format!("ulimit -S -n 64 && {}", commands[0]),
        "--connections 1000 --as server",
    );
    assert_eq!(cleared.status.code(), Some(0), "{}", said(&cleared));
}

#[test]
fn a_pipe_has_no_colour_and_80_columns_but_for_commands() {
    for arguments in [vec!["doctor"], vec!["doctor", "--connections", TOO_MANY]] {
        let text = said(&output(arguments.clone()));
        assert!(!text.contains('\x1b'), "{text}");
        let object = json(&output(arguments.into_iter().chain(["--json"])));
        let commands = object["commands"].as_array().unwrap();
        for command in commands.iter().flat_map(Value::as_str) {
            let is_alone = text.lines().any(|line| line.trim() == command);
            assert!(
                is_alone,
                "{command} is not on a line of its own in:\n{text}"
            );
        }
        let known = commands_in(&object);
        for line in text.lines().filter(|line| !known.contains(&line.trim())) {
            assert!(line.chars().count() <= 80, "{line:?}");
        }
    }
}

/// Every command of an object: of the answer, and of each limit.
fn commands_in(object: &Value) -> Vec<&str> {
    let ends = ["server", "client"];
    let ladders = ends.iter().map(|end| &object["ladders"][end]);
    let rungs = ladders.flat_map(|ladder| ladder["rungs"].as_array().unwrap());
    let of_rungs = rungs.filter_map(|rung| rung["remedy"]["now"].as_str());
    let of_answer = object["commands"].as_array().unwrap().iter();
    of_rungs
        .chain(of_answer.filter_map(Value::as_str))
        .collect()
}

#[test]
fn a_process_is_answered_for_with_what_it_has_open() {
    let own = std::process::id().to_string();
    let object = json(&output(["doctor", "--pid", &own, "--json"]));
    assert_eq!(object["limits"]["process"]["pid"], std::process::id());
    let question = &object["ladders"]["server"]["question"]["server"];
    assert_eq!(question["own_descriptors"], 0);
    let text = said(&output(["doctor", "--pid", &own]));
    assert!(
        text.starts_with(&format!("As a server, process {own} (")),
        "{text}"
    );
}

#[test]
fn what_is_measured_elsewhere_or_not_at_all_gives_way_to_what_is_published() {
    let object = json(&output(["doctor", "--results", "/nonexistent", "--json"]));
    assert_eq!(object["bytes"]["server"]["source"], "published");
    let text = said(&output(["doctor", "--results", "/nonexistent"]));
    // A line may end between any two words.
    let words: Vec<&str> = text.split_whitespace().collect();
    let text = words.join(" ");
    assert!(text.contains("as published with this program"), "{text}");
}

#[test]
fn wrong_words_exit_with_2_and_no_such_process_with_3() {
    assert!(refused(2, ["doctor", "--destinations", "0"]).contains("--destinations is 0"));
    assert!(refused(2, ["doctor", "--connections", "many"]).contains("1M"));
    assert!(refused(2, ["doctor", "--engine", "urin"]).contains("did you mean \"uring\"?"));
    assert!(refused(2, ["doctor", "--as", "peer"]).contains("server"));
    // One more than the highest number that a process may ever have.
    assert!(refused(3, ["doctor", "--pid", "4194305"]).contains("4194305"));
}

#[test]
fn an_ordinary_user_is_answered_too() {
    let is_root = rustix::process::geteuid().is_root();
    let has_setpriv = Command::new("setpriv").arg("--version").output().is_ok();
    if !is_root || !has_setpriv {
        println!("skipped: either every test here is that, or there is no setpriv");
        return;
    }
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .args([env!("CARGO_BIN_EXE_fourtuple"), "doctor", "--json"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if errors(&output).contains("ermission denied") && output.stdout.is_empty() {
        println!("skipped: the program lies where that user may not go");
        return;
    }
    assert_eq!(output.status.code(), Some(0), "{}", errors(&output));
    let object = json(&output);
    assert_eq!(object["limits"]["process"]["user"]["known"], 65534);
    let is_file_max = |rung: &&Value| rung["limit"] == limiter::FILE_MAX;
    let rungs = object["ladders"]["server"]["rungs"].as_array().unwrap();
    let file_max = rungs.iter().find(is_file_max).unwrap();
    assert!(
        file_max["allows"]["connections"].is_u64(),
        "nobody is exempt: {file_max}"
    );
}
