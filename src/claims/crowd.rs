//! Many connections towards one listening port, and what the kernel says of their sockets while all are held.

use super::census;
use super::{Court, Findings, Halt};
use crate::publish::format::whole;
use fourtuple_meter::Subjects;
use fourtuple_spec::address::PRIVATE_SERVER_PORT;
use fourtuple_spec::claim::Evidence;
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::{AddressMode, Census, Engine, Peer, Record, Verdict};
use std::cell::RefCell;

/// How long connections rest before anybody looks.
const SETTLE_MS: u64 = 300;

/// What was held, and what was counted meanwhile.
pub struct Crowd {
    /// The run.
    pub record: Record,
    /// The sockets; or why they were not counted.
    pub census: Result<Census, String>,
}

/// Connections that are opened, held and proved live by a verified echo each, and nothing else.
pub fn request(engine: Engine, peer: Peer, connections: u32) -> CaseRequest {
    let mut request = CaseRequest::new(engine, connections);
    request.peer = Some(peer);
    request.settle_ms = Some(SETTLE_MS);
    request.hold_ms = Some(0);
    request.measure_ms = Some(0);
    request
}

/// The same with kernel peers towards one server address and one port: what differs is the client's address and port.
pub fn one_port(connections: u32) -> CaseRequest {
    let mut request = request(Engine::Uring, Peer::Kernel, connections);
    request.addresses = Some(AddressMode::Sources);
    request
}

/// Holds them, and has their sockets counted while all are open.
///
/// # Errors
/// As of [`Court::run_whole`].
pub fn hold(court: &Court<'_>, request: &CaseRequest) -> Result<Crowd, Halt> {
    let counted = RefCell::new(None);
    let witness = |subjects: &Subjects| {
        let server = subjects.server_pids.first();
        let census = server.map(|&pid| census::take(pid, PRIVATE_SERVER_PORT, court.interrupt));
        *counted.borrow_mut() = census;
    };
    let record = court.run_whole(request, Some(&witness))?;
    let census = counted.into_inner();
    Ok(Crowd {
        record,
        census: census.unwrap_or_else(|| Err("the run ended before they could be".to_owned())),
    })
}

/// What the kernel listed, as evidence.
pub fn evidence(census: &Census) -> Vec<Evidence> {
    let states = census.by_state.iter();
    let states = states.map(|(state, sockets)| format!("{state} {sockets}"));
    let ends = &census.server;
    let server = format!(
        "{} sockets: {} local address, {} local port, {} remote addresses, {} remote ports, {} four-tuples, {} inodes",
        ends.sockets,
        ends.local_addresses,
        ends.local_ports,
        ends.remote_addresses,
        ends.remote_ports,
        ends.four_tuples,
        ends.inodes,
    );
    vec![
        Evidence {
            what: format!(
                "Established TCP sockets whose local port is {}, and how many different ones of each kind, from the \
                 kernel's dump of them (sock_diag)",
                census.port
            ),
            lines: vec![server],
        },
        Evidence {
            what: format!(
                "All TCP sockets with port {} at either end, by state",
                census.port
            ),
            lines: states.collect(),
        },
        Evidence {
            what: sample_words(census.port),
            lines: census.sample.clone(),
        },
    ]
}

/// What the sample of a census is.
pub fn sample_words(port: u16) -> String {
    format!(
        "Established sockets with port {port} at either end: the first 8 of the server's ends and the first 4 of the \
         clients', in the order of the kernel's dump (sock_diag): state, local, remote, inode"
    )
}

/// Of a crowd that was held, and whose sockets nobody could count.
pub fn uncounted(record: &Record, reason: &str) -> Findings {
    let proved = so_many(record.setup.connections_proved.map(u64::from));
    Findings {
        measured: Some(format!("{proved} connections were proved live.")),
        verdict: Verdict::Inconclusive,
        why: format!("their sockets could not be counted: {reason}"),
        ..Findings::default()
    }
}

/// A count, or that there is none: `{} were accepted`.
pub fn in_words(count: Option<u64>) -> String {
    count.map_or("an unknown number".to_owned(), |count| whole(count as f64))
}

/// The same before what is counted: `{} connections`.
pub fn so_many(count: Option<u64>) -> String {
    count.map_or("an unknown number of".to_owned(), |count| {
        whole(count as f64)
    })
}

#[cfg(test)]
pub mod fixture {
    //! A crowd that nobody has held.

    use super::*;
    use crate::run::nothing_yet;
    use fourtuple_spec::census::Ends;
    use fourtuple_spec::plan::CaseDefaults;

    /// The run of so many connections that went as it should.
    pub fn record(request: &CaseRequest) -> Record {
        let case = request
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap();
        let mut record = nothing_yet(&case);
        record.setup.connections_held = Some(request.connections);
        record.setup.connections_proved = Some(request.connections);
        record.server.accepted = Some(request.connections.into());
        record
    }

    /// 100,000 of them on one port, and in what they are otherwise.
    pub fn changed(change: impl FnOnce(&mut Record, &mut Census)) -> Crowd {
        let mut record = record(&one_port(100_000));
        let mut census = census(100_000);
        change(&mut record, &mut census);
        Crowd {
            record,
            census: Ok(census),
        }
    }

    /// What the kernel would say of so many connections towards one port.
    pub fn census(connections: u64) -> Census {
        let server = Ends {
            sockets: connections,
            local_addresses: 1,
            local_ports: 1,
            remote_addresses: connections.div_ceil(25_000),
            remote_ports: connections.min(25_000),
            four_tuples: connections,
            inodes: connections,
        };
        Census {
            port: PRIVATE_SERVER_PORT,
            by_state: [("ESTABLISHED".to_owned(), 2 * connections)].into(),
            server,
            client: Ends::default(),
            sample: vec!["ESTABLISHED 127.0.0.1:7 127.1.0.1:1024 inode 1".to_owned()],
        }
    }
}
