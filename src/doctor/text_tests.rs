//! Tests of [`super`].

use super::super::answer::Asked;
use super::super::page::WIDTH;
use super::super::question::Question;
use super::super::{Remedy, Scope, Side};
use super::*;
use fourtuple_spec::limiter;

const COMMAND: &str = "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\"  # as long as a command can be, and longer";

fn rung(limit: &'static str, side: Side, allows: Allows) -> Rung {
    Rung {
        limit,
        side,
        scope: Scope::Process,
        value: Some(
            "20,000 soft, 20,000 hard, and as many words as it takes to need a second line"
                .to_owned(),
        ),
        used: Some("3 open".to_owned()),
        allows,
        read_from:
            "/proc/self/a/file/whose/name/is/longer/than/a/line/of/text/may/ever/be/in/any/of/these"
                .to_owned(),
        symptom: "EMFILE: accept, socket and open fail",
        remedy: Remedy {
            now: Some(COMMAND.to_owned()),
            suffices: true,
            lasting: Some("a line in a file".to_owned()),
            advice: Some("root may".to_owned()),
        },
    }
}

fn ladder(connections: Option<u64>, rungs: Vec<Rung>) -> Ladder {
    let question = Question {
        connections,
        server: None,
        client: None,
        memory: EachBytes {
            bytes: 4_267,
            charged_bytes: None,
            unit: "an endpoint".to_owned(),
            source: BytesSource::Published,
        },
    };
    Ladder { question, rungs }
}

fn answer(connections: Option<u64>) -> Answer {
    let side = Side::Server;
    let server = ladder(
        connections,
        vec![
            rung(limiter::DESCRIPTORS, side, Allows::Connections(19_995)),
            rung(limiter::MEMORY, side, Allows::Connections(5_000_000)),
            rung(limiter::FILE_MAX, side, Allows::Connections(u64::MAX / 2)),
            rung(
                limiter::CONNTRACK,
                side,
                Allows::Unknown("nothing follows connections".to_owned()),
            ),
            rung(
                limiter::MEMORY_GROUP,
                side,
                Allows::Any("there is no limit".to_owned()),
            ),
            rung(
                limiter::ACCEPT_QUEUE,
                side,
                Allows::Other("how many may wait".to_owned()),
            ),
        ],
    );
    let client = ladder(
        connections,
        vec![
            rung(
                limiter::PORT_RANGE,
                Side::Client,
                Allows::Connections(9_000),
            ),
            rung(
                limiter::DESCRIPTORS,
                Side::Client,
                Allows::Connections(19_996),
            ),
        ],
    );
    Answer {
        asked: Asked {
            connections,
            server: true,
            client: true,
            pid: None,
            engine: None,
            destinations: 1,
            sources: 1,
        },
        limits: Limits::default(),
        direct: Some(ladder(connections, server.rungs[1..].to_vec())),
        server: Some(server),
        client: Some(client),
        notes: vec!["half of it".to_owned()],
    }
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<&str>>().join(" ")
}

#[test]
fn the_answer_comes_first() {
    let said = text(&answer(None), false);
    let begins = "As a server, a process started from here can hold 19,995 more connections: RLIMIT_NOFILE stops the next one. \
                  As a client of one destination, it can hold 9,000 more connections: net.ipv4.ip_local_port_range stops the next \
                  one.";
    assert!(words(&said).starts_with(begins), "{said}");
    assert!(
        words(&said).contains("5,000,000 more connections: memory stops the next one"),
        "{said}"
    );
    assert!(said.contains("Not everything could be read"), "{said}");
    assert!(!said.contains("stands in the way"), "{said}");
}

#[test]
fn a_number_is_answered_by_yes_or_no() {
    let yes = text(&answer(Some(9_000)), false);
    assert!(
        words(&yes).starts_with(
            "Yes, as far as could be read: a process started from here can hold 9,000 more connections as a server and \
             as a client of one destination, each by itself."
        ),
        "{yes}"
    );
    assert!(!yes.contains("stands in the way"), "{yes}");
    let mut all_known = answer(Some(9_000));
    let is_known = |rung: &Rung| !matches!(rung.allows, Allows::Unknown(_));
    all_known.server.as_mut().unwrap().rungs.retain(is_known);
    assert!(text(&all_known, false).starts_with("Yes: "));
    let part = text(&answer(Some(9_001)), false);
    assert!(
        words(&part).starts_with(
            "No: a process started from here cannot hold 9,001 more connections as a client of"
        ),
        "{part}"
    );
    let no = text(&answer(Some(20_000)), false);
    assert!(
        words(&no)
            .contains("cannot hold 20,000 more connections as a server or as a client of one"),
        "{no}"
    );
    assert!(
        no.contains("What stands in the way") && no.contains("Commands that clear it"),
        "{no}"
    );
}

#[test]
fn a_command_that_is_not_enough_is_not_sold_as_such() {
    let mut answer = answer(Some(9_001));
    answer.client.as_mut().unwrap().rungs[0].remedy.suffices = false;
    let said = text(&answer, false);
    assert!(said.contains("clear a part of it"), "{said}");
    assert!(
        said.contains("They leave net.ipv4.ip_local_port_range of the client."),
        "{said}"
    );
    answer.client.as_mut().unwrap().rungs[0].remedy.now = None;
    assert!(text(&answer, false).contains("No command clears it"));
}

#[test]
fn every_limit_is_there_and_the_binding_ones_are_on_top() {
    let said = text(&answer(None), false);
    let rows: Vec<&str> = said.lines().filter(|line| line.starts_with("> ")).collect();
    assert!(
        rows[0].contains(limiter::PORT_RANGE) && rows[0].ends_with("9,000"),
        "{said}"
    );
    assert!(rows[1].contains(limiter::DESCRIPTORS), "{said}");
    assert!(words(rows[1]).ends_with("19,995 19,996"), "{said}");
    for limit in [
        limiter::MEMORY,
        limiter::FILE_MAX,
        limiter::CONNTRACK,
        limiter::MEMORY_GROUP,
        limiter::ACCEPT_QUEUE,
    ] {
        assert!(said.contains(limit), "{limit} is not in:\n{said}");
    }
    assert!(
        said.contains("over 10^10") && said.contains("nothing follows connections"),
        "{said}"
    );
}

#[test]
fn only_commands_are_wider_than_80_columns() {
    for connections in [None, Some(10), Some(100_000)] {
        let said = text(&answer(connections), false);
        assert!(said.lines().any(|line| line.trim() == COMMAND), "{said}");
        for line in said.lines().filter(|line| line.trim() != COMMAND) {
            assert!(line.chars().count() <= WIDTH, "{line:?}");
            assert_eq!(line.trim_end(), line);
        }
    }
}

#[test]
fn colour_changes_nothing_else() {
    let answer = answer(Some(100_000));
    let colored = text(&answer, true);
    assert!(colored.contains("\x1b[1mNo: "), "{colored}");
    let plain = ["\x1b[0m", "\x1b[1m", "\x1b[2m"]
        .iter()
        .fold(colored, |text, code| text.replace(code, ""));
    assert_eq!(plain, text(&answer, false));
}

#[test]
fn a_process_is_called_by_its_number_and_name() {
    let mut answer = answer(None);
    answer.limits.process.pid = Some(7);
    assert!(text(&answer, false).starts_with("As a server, process 7 can"));
    answer.limits.process.name = Some("nginx".to_owned());
    answer.asked.destinations = 3;
    answer.asked.sources = 2;
    let said = words(&text(&answer, false));
    assert!(
        said.starts_with("As a server, process 7 (nginx) can"),
        "{said}"
    );
    assert!(
        said.contains("client of 3 destinations from 2 addresses, it can"),
        "{said}"
    );
}
