//! Many connections towards one listening port, and what the kernel says of their sockets while all are held.

use super::census;
use super::{Court, Halt};
use fourtuple_meter::Subjects;
use fourtuple_spec::address::PRIVATE_SERVER_PORT;
use fourtuple_spec::claim::Evidence;
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::{AddressMode, Census, Engine, Peer, Record};
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
        let census = server.map(|&pid| census::take(pid, PRIVATE_SERVER_PORT));
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
                "Established sockets whose local port is {}, and how many different ones of each kind, from the \
                 kernel's dump of all sockets (sock_diag)",
                census.port
            ),
            lines: vec![server],
        },
        Evidence {
            what: "All sockets of that network by state, both ends".to_owned(),
            lines: states.collect(),
        },
        Evidence {
            what: "The first of the dump: state, local, remote, inode".to_owned(),
            lines: census.sample.clone(),
        },
    ]
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
