//! What is found in runs that nobody has made.

use super::*;
use crate::run::nothing_yet;
use fourtuple_spec::plan::CaseDefaults;
use fourtuple_spec::record::Outcome;

fn record(request: &CaseRequest, held: u32) -> Record {
    let defaults = CaseDefaults::new(vec![0], vec![1]);
    let mut record = nothing_yet(&request.resolve(&defaults).unwrap());
    record.setup.connections_held = Some(held);
    record.setup.connections_proved = Some(held);
    record
}

fn open(count: u64) -> Look {
    Look {
        open: Some([("socket".to_owned(), count)].into()),
        ..Look::default()
    }
}

/// epoll that ended for want of descriptors.
fn wall(held: u32) -> Wall {
    let few = record(&limited(Engine::Epoll, FEW_CONNECTIONS), FEW_CONNECTIONS);
    let mut record = record(&limited(Engine::Epoll, WALL_CONNECTIONS), held);
    record.outcome = Outcome::Error;
    record.limiter = Some(limiter::DESCRIPTORS.to_owned());
    record.error = Some("accept: EMFILE".to_owned());
    Wall {
        besides: besides(&few, &open(17)),
        record,
    }
}

fn direct(proved: u32, open_count: u64, files: u64) -> Direct {
    let request = limited(Engine::Uring, DIRECT_CONNECTIONS);
    Direct {
        record: record(&request, proved),
        look: Look {
            file_nr: Some(format!("{files}\t0\t9223372036854775807")),
            ..open(open_count)
        },
        few: FEW_CONNECTIONS,
        before: Look {
            file_nr: Some("1020\t0\t9223372036854775807".to_owned()),
            ..open(96)
        },
    }
}

fn unheld(open: u64) -> Unheld {
    let mut request = limited(Engine::Null, 20_000);
    request.state = Some(EndpointState::TimeWait);
    Unheld {
        state: EndpointState::TimeWait,
        record: record(&request, 20_000),
        open_before: Some(8),
        open: Some(open),
    }
}

fn findings(wall: Wall, direct: Option<Direct>, unheld: Vec<Unheld>) -> Findings {
    let tried = Tried {
        wall,
        direct,
        unheld,
    };
    tried.findings(Vec::new())
}

#[test]
fn what_goes_beyond_the_limit_refutes_it_and_open_files_are_another_matter() {
    let found = findings(
        wall(1_017),
        Some(direct(80_000, 96, 161_000)),
        vec![unheld(8)],
    );
    assert_eq!(found.verdict, Verdict::Refuted);
    assert!(
        found.why.contains(
            "Each end is counted towards fs.file-max, the machine's limit on open files (fs.file-nr rose by 160,000), \
             which was not run into here"
        ),
        "{}",
        found.why
    );
    assert!(!found.why.contains("epoll"), "{}", found.why);
    let last = found.evidence.last().unwrap();
    assert_eq!(
        last.lines,
        [
            "1020\t0\t9223372036854775807",
            "161000\t0\t9223372036854775807"
        ],
        "as the kernel printed them"
    );
    let measured = found.measured.unwrap();
    for words in [
        "EMFILE at 1,017",
        "80,000 with 96 open",
        "20,000 in state time-wait",
    ] {
        assert!(measured.contains(words), "{measured}");
    }
    assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
    let few_files = direct(80_000, 96, 2_000);
    let found = findings(wall(1_017), Some(few_files), Vec::new());
    assert!(
        found.why.contains("fs.file-max this says nothing"),
        "{}",
        found.why
    );
    let fewer = direct(80_000, 96, 900);
    let found = findings(wall(1_017), Some(fewer), Vec::new());
    assert!(
        found.why.contains("fs.file-nr fell by 100"),
        "{}",
        found.why
    );
}

#[test]
fn the_count_is_predicted_from_what_a_server_has_open_besides() {
    let exact = findings(wall(1_017), None, Vec::new());
    assert_eq!(exact.figures[0].predicted, Some(1_017.0));
    assert_eq!(exact.figures[0].measured, Some(1_017.0));
    assert!(!exact.why.contains("predicted"), "{}", exact.why);
    let off = findings(wall(1_016), None, Vec::new());
    assert!(
        off.why
            .ends_with("; but epoll ended with 1,016 connections, and 1,017 were predicted"),
        "{}",
        off.why
    );
}

#[test]
fn an_errno_is_named_only_where_the_server_said_it() {
    let mut unnamed = wall(1_017);
    unnamed.record.error = Some("accept: Too many open files".to_owned());
    let measured = findings(unnamed, None, Vec::new()).measured.unwrap();
    assert!(!measured.contains("EMFILE"), "{measured}");
    assert!(
        measured.contains(&format!("ended with {} at 1,017", limiter::DESCRIPTORS)),
        "{measured}"
    );
}

#[test]
fn without_all_of_its_connections_nothing_is_refuted() {
    for broken in [direct(79_999, 96, 161_000), direct(80_000, 80_016, 161_000)] {
        let found = findings(wall(1_017), Some(broken), vec![unheld(8)]);
        assert_eq!(found.verdict, Verdict::Incomplete);
    }
    let mut unlisted = direct(80_000, 96, 161_000);
    unlisted.look.open = None;
    let found = findings(wall(1_017), Some(unlisted), vec![unheld(8)]);
    assert_eq!(found.verdict, Verdict::Incomplete);
    let found = findings(wall(1_017), None, vec![unheld(20_008)]);
    assert_eq!(found.verdict, Verdict::Confirmed);
    assert!(!found.measured.unwrap().contains("time-wait"));
    assert_eq!(
        findings(wall(1_017), None, Vec::new()).verdict,
        Verdict::Confirmed
    );
}

#[test]
fn a_limit_that_was_not_met_is_no_verdict_unless_all_were_held() {
    let mut other = wall(40);
    other.record.limiter = None;
    assert_eq!(
        findings(other, None, vec![unheld(8)]).verdict,
        Verdict::Inconclusive
    );
    let mut none = wall(WALL_CONNECTIONS);
    none.record.limiter = None;
    assert_eq!(findings(none, None, Vec::new()).verdict, Verdict::Refuted);
}

#[test]
fn a_part_that_cannot_be_run_is_noted_and_a_failure_is_not() {
    let mut notes = Vec::new();
    let refused: Result<u32, Halt> = Err(Halt::NotRun("no tun".to_owned()));
    assert_eq!(noted(refused, "ghosts", &mut notes).unwrap(), None);
    assert_eq!(notes, ["ghosts: no tun"]);
    assert!(noted::<u32>(Err(Halt::Interrupted), "ghosts", &mut notes).is_err());
}

#[test]
fn every_request_is_sound() {
    let defaults = CaseDefaults::new(vec![0], vec![1]);
    for client in [ClientKind::Uring, ClientKind::Spin] {
        let request = served_by_epoll(client, WALL_CONNECTIONS);
        assert!(request.resolve(&defaults).is_ok());
    }
    assert!(
        limited(Engine::Uring, DIRECT_CONNECTIONS)
            .resolve(&defaults)
            .is_ok()
    );
    for (state, connections) in UNHELD {
        let mut request = limited(Engine::Null, connections);
        request.state = Some(state);
        assert!(request.resolve(&defaults).is_ok());
    }
}
