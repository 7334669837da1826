//! Latency against connections under three loads, with the bound that was fixed before the runs.

use super::super::chart::{Course, Spread, course_chart};
use super::super::facts;
use super::super::format;
use super::super::lines::{Line, Mark, Role};
use super::super::theme::Theme;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{Engine, Mode, Record};

/// 99th percentiles up to this are comfortable.
const BOUND_NS: f64 = 10e6;

/// Of one message a connection a minute, the rate is a sixtieth of the connections.
const MINUTE_SECONDS: u32 = 60;

/// What a load is called where not all of the connections take part: those that do send more often than once a minute.
const RATE_OF_A_MINUTE: &str = "rate of one a minute";

/// A load: what it is called, and whether a run has it.
type Load = (&'static str, fn(&Record) -> bool);

const LOADS: [Load; 3] = [
    ("closed loop", |record| record.case.mode == Mode::Closed),
    ("fixed rate", |record| {
        record.case.mode == Mode::Open && !is_a_minute(record)
    }),
    (A_MINUTE, is_a_minute),
];
const A_MINUTE: &str = "one a minute each";

/// Where both open loops have the same rate, it is that of the minute.
fn is_a_minute(record: &Record) -> bool {
    let case = &record.case;
    case.mode == Mode::Open
        && case
            .rate
            .is_some_and(|rate| rate == case.connections / MINUTE_SECONDS)
}

/// Draws the chart; `None` without two points of any load.
pub fn draw(records: &[Record], theme: &Theme) -> Option<String> {
    let colours = [Engine::Uring, Engine::Epoll, Engine::Tokio].map(|engine| theme.engine(engine));
    let loads = LOADS.iter().zip(colours);
    let mut lines: Vec<Line> = loads
        .filter_map(|(load, colour)| line(records, load, colour))
        .collect();
    let marks = || lines.iter().flat_map(|line| &line.marks);
    let first = marks().map(|mark| mark.connections).min()?;
    let last = marks().map(|mark| mark.connections).max()?;
    if first == last {
        return None;
    }
    lines.push(bound(first, last, theme));
    let runs: Vec<&Record> = records.iter().collect();
    course_chart(
        theme,
        &Course {
            title: "99th percentile of latency, by load",
            subtitle: &facts::origin(&runs, "64-byte messages", None),
            across: "connections",
            panels: &[("p99, from the intended time where there is one", lines)],
            spread: (Spread::Log, Spread::Log),
            tick_form: format::duration_tick,
            caption: &caption(records),
        },
    )
}

fn caption(records: &[Record]) -> Vec<String> {
    let mut lines = vec![
        "Dotted: comfortable, as fixed before the runs, at under 70 % of a core.".to_owned(),
        "Hollow: the client was late or at its end.".to_owned(),
    ];
    let mut partial: Vec<&Record> = records.iter().filter(|record| is_partial(record)).collect();
    partial.sort_by_key(|record| record.case.connections);
    let words = partial.iter().map(|record| part_words(record));
    let words: Vec<String> = words.collect();
    if !words.is_empty() {
        lines.push(format!("Taking part: {}.", words.join("; ")));
    }
    lines
}

/// Whether some of its connections were open and idle.
fn is_partial(record: &Record) -> bool {
    standing(record).is_some() && record.case.hot() < record.case.connections
}

fn part_words(record: &Record) -> String {
    let load = match is_a_minute(record) {
        true => RATE_OF_A_MINUTE,
        false => "fixed rate",
    };
    format!(
        "{load}, {} of {}",
        format::whole(record.case.hot().into()),
        format::whole(record.case.connections.into())
    )
}

/// What a run says of latency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    /// How long it took.
    Sound,
    /// How long it took under more load than could be borne.
    OfLoad,
}

/// What a run says of latency; `None` if nothing. A ledger that does not close is of memory alone.
fn standing(record: &Record) -> Option<Standing> {
    match record.outcome {
        Outcome::Ok => Some(Standing::Sound),
        Outcome::Invalid if record.is_invalid_for_load() => Some(Standing::OfLoad),
        Outcome::Invalid if record.is_invalid_for_ledger() => Some(Standing::Sound),
        Outcome::Invalid | Outcome::Error => None,
    }
}

fn line(records: &[Record], (name, has): &Load, colour: &'static str) -> Option<Line> {
    let mut own: Vec<(&Record, u64, Standing)> = records
        .iter()
        .filter(|record| has(record))
        .filter_map(|record| Some((record, record.latency_ns.p99?, standing(record)?)))
        .collect();
    own.sort_by_key(|(record, ..)| record.case.connections);
    let has_partial = own.iter().any(|(record, ..)| is_partial(record));
    let marks = own.iter().enumerate();
    let marks = marks.map(|(index, (record, p99, standing))| Mark {
        connections: record.case.connections,
        value: *p99 as f64,
        interval: None,
        is_hollow: *standing == Standing::OfLoad,
        is_joined: index > 0,
        strays: Vec::new(),
    });
    let marks: Vec<Mark> = marks.collect();
    let name = match has_partial && *name == A_MINUTE {
        true => RATE_OF_A_MINUTE,
        false => name,
    };
    Some(Line {
        name: name.to_owned(),
        value: format::duration_ns(marks.last()?.value),
        colour,
        role: Role::Engine,
        marks,
        stop: None,
    })
}

fn bound(first: u32, last: u32, theme: &Theme) -> Line {
    let mark = |connections| Mark {
        connections,
        value: BOUND_NS,
        interval: None,
        is_hollow: false,
        is_joined: connections == last,
        strays: Vec::new(),
    };
    Line {
        name: "the bound".to_owned(),
        value: format::duration_tick(BOUND_NS),
        colour: theme.floor,
        role: Role::Floor,
        marks: vec![mark(first), mark(last)],
        stop: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::fixture;
    use super::super::super::theme::LIGHT;
    use super::*;

    fn open(connections: u32, rate: u32) -> Record {
        let mut record = fixture::open(Engine::Uring, rate, 0);
        record.case.connections = connections;
        record
    }

    #[test]
    fn each_load_is_a_line_and_the_bound_another() {
        let mut records = vec![
            fixture::record(Engine::Uring, 10, 0),
            fixture::record(Engine::Uring, 1_000, 0),
            open(1_000, 10_000),
            open(60_000, 1_000),
        ];
        let chart = draw(&records, &LIGHT).unwrap();
        for name in [
            "closed loop",
            "fixed rate",
            "one a minute each",
            "the bound",
        ] {
            assert!(chart.contains(&format!(">{name}<")), "{name}");
        }
        records.truncate(1);
        assert!(draw(&records, &LIGHT).is_none(), "one count is no course");
        records[0].latency_ns.p99 = None;
        assert!(draw(&records, &LIGHT).is_none());
    }

    #[test]
    fn what_is_of_load_is_hollow_and_what_says_nothing_is_left_out() {
        let invalid = |error: &str| {
            let mut record = fixture::record(Engine::Uring, 1_000, 0);
            record.outcome = Outcome::Invalid;
            record.error = Some(error.to_owned());
            record
        };
        assert_eq!(standing(&open(10, 10)), Some(Standing::Sound));
        let late = invalid("client-late: by 3 ms");
        assert_eq!(standing(&late), Some(Standing::OfLoad));
        assert_eq!(standing(&invalid("no-echo: none came")), None);
        let mut memory = invalid("ledger-open: 64 MB");
        assert_eq!(standing(&memory), Some(Standing::Sound));
        memory.setup.connections_proved = Some(999);
        assert_eq!(standing(&memory), None);
        let records = [fixture::record(Engine::Uring, 10, 0), late];
        let drawn = line(&records, &LOADS[0], "#000").unwrap();
        assert_eq!(drawn.marks.iter().filter(|mark| mark.is_hollow).count(), 1);
        let records = [
            fixture::record(Engine::Uring, 10, 0),
            invalid("no-echo: none"),
        ];
        assert_eq!(line(&records, &LOADS[0], "#000").unwrap().marks.len(), 1);
    }

    #[test]
    fn the_part_that_takes_part_is_said() {
        let mut part = open(60_000, 1_000);
        let whole = open(600_000, 10_000);
        assert_eq!(caption(&[whole.clone(), part.clone()]).len(), 2);
        part.case.hot_connections = Some(5_000);
        let records = [whole, part];
        assert_eq!(
            caption(&records)[2],
            "Taking part: rate of one a minute, 5,000 of 60,000."
        );
        assert_eq!(
            line(&records, &LOADS[2], "#000").unwrap().name,
            RATE_OF_A_MINUTE
        );
    }
}
