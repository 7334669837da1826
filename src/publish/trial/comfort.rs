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

/// A load: what it is called, and whether a run has it.
type Load = (&'static str, fn(&Record) -> bool);

const LOADS: [Load; 3] = [
    ("closed loop", |record| record.case.mode == Mode::Closed),
    ("fixed rate", |record| {
        record.case.mode == Mode::Open && !is_a_minute(record)
    }),
    ("one a minute each", is_a_minute),
];

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
            caption: &[
                "Dotted: 10 ms, which was called comfortable before the runs, if the server uses less than 70 % of a core."
                    .to_owned(),
                "Hollow: the load was more than the client's or the server's core could do.".to_owned(),
            ],
        },
    )
}

fn line(records: &[Record], (name, has): &Load, colour: &'static str) -> Option<Line> {
    let mut own: Vec<(&Record, u64)> = records
        .iter()
        .filter(|record| record.outcome != Outcome::Error && has(record))
        .filter_map(|record| Some((record, record.latency_ns.p99?)))
        .collect();
    own.sort_by_key(|(record, _)| record.case.connections);
    let marks = own.iter().enumerate().map(|(index, (record, p99))| Mark {
        connections: record.case.connections,
        value: *p99 as f64,
        interval: None,
        is_hollow: record.outcome == Outcome::Invalid,
        is_joined: index > 0,
        strays: Vec::new(),
    });
    let marks: Vec<Mark> = marks.collect();
    Some(Line {
        name: (*name).to_owned(),
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
}
