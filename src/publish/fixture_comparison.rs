//! The records of a comparison of every engine; for tests alone, and nobody's measurement.

use super::fixture::{control, failed, record};
use fourtuple_spec::case::Foreign;
use fourtuple_spec::engine::Role;
use fourtuple_spec::record::Record;
use fourtuple_spec::{ClientKind, Engine};

/// The full comparison: every engine that serves, three foreign servers, the floor with either client, the stack
/// alone, and the A/A arm. `epoll-et` is ahead of ours at 10 connections; threads do not get to 10,000.
pub fn comparison(repeats: u32) -> Vec<Record> {
    let mut records = Vec::new();
    for repeat in 0..repeats {
        for connections in [1, 10, 100, 1_000, 10_000] {
            for profile in &fourtuple_spec::engine::PROFILES {
                let is_floor = profile.role == Role::Floor && connections > 1_000;
                match profile.engine {
                    Engine::Foreign | Engine::Null => {}
                    Engine::Threads if connections > 1_000 => {
                        let limiter = Some("memory for threads");
                        records.push(failed(Engine::Threads, connections, repeat, limiter));
                    }
                    _ if is_floor => {}
                    engine => records.push(record(engine, connections, repeat)),
                }
            }
            if connections <= 1_000 {
                let mut ceiling = record(Engine::Spin, connections, repeat + 60);
                ceiling.case.repeat = repeat;
                ceiling.case.client = ClientKind::Uring;
                records.push(ceiling);
            }
            for (place, name) in (0..).zip(["go", "libuv", "redis"]) {
                records.push(foreign(name, place, connections, repeat));
            }
            let twin = record(Engine::Epoll, connections, repeat + 100);
            records.push(control(twin, repeat));
        }
    }
    records
}

/// One run of another program's server; the later its place, the slower it is.
pub fn foreign(name: &str, place: u32, connections: u32, repeat: u32) -> Record {
    let mut record = record(Engine::Epoll, connections, repeat + 10 * (place + 1));
    record.case.repeat = repeat;
    record.case.engine = Some(Engine::Foreign);
    record.case.foreign = Some(Foreign {
        name: name.to_owned(),
        command: vec!["server".to_owned()],
    });
    let slower = 0.94 - 0.07 * f64::from(place);
    let throughput = &mut record.throughput;
    throughput.echoes_per_second = throughput.echoes_per_second.map(|rate| rate * slower);
    let cpu = &mut record.cpu;
    cpu.server_ns_per_echo = cpu.server_ns_per_echo.map(|time| time / slower);
    record
}
