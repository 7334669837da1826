//! Time per verified echo by engine: 64 bytes, one message in flight a connection, on 1, 100 and
//! 1,000 connections.
//!
//! An iteration is one echo, verified. The load generator is asked for as many as Criterion wants,
//! on connections that stay open, and says how long they took ([`Load::echo`]); with many
//! connections it is the time *per echo*, not the latency of one. Few echoes over many connections
//! would leave most of those idle, so the warm-up lets Criterion find a number that is well above.
//!
//! The server has a thread, the client is the main thread; each is pinned to a core of its own where
//! there are two. They share a process here, which a run of the sweep never does: this is a guard
//! against regressions, the sweep is the measurement.

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, BenchmarkId, Criterion, SamplingMode, Throughput};
use fourtuple_client::{Growth, Load};
use fourtuple_server::{Options, ServeError, Server, Stopper};
use fourtuple_spec::engine::PROFILES;
use fourtuple_spec::plan::{CaseDefaults, CaseRequest};
use fourtuple_spec::{Case, ClientKind, Engine, Factors, NetworkChoice};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const MESSAGE_BYTES: u32 = 64;
const CONNECTIONS: [u32; 3] = [1, 100, 1_000];

/// A server on a thread of its own; stops when dropped.
struct Serving {
    address: SocketAddr,
    stopper: Stopper,
    thread: Option<JoinHandle<()>>,
}

impl Serving {
    fn start(engine: Engine) -> Result<Self, ServeError> {
        let (sender, receiver) = mpsc::channel();
        // A server belongs to the thread that made it, so it is bound there and answers from there.
        let thread = thread::spawn(move || {
            pin(0);
            let server = match Server::bind(&options(engine)) {
                Ok(server) => server,
                Err(error) => return sender.send(Err(error)).expect("the client waits for it"),
            };
            let answer = (server.address(), server.stopper());
            sender.send(Ok(answer)).expect("the client waits for it");
            if let Err(error) = server.serve() {
                eprintln!("the {engine} server ended: {error}");
            }
        });
        let (address, stopper) = receiver
            .recv()
            .expect("the server answers before it ends")?;
        Ok(Self {
            address,
            stopper,
            thread: Some(thread),
        })
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        self.stopper.stop();
        if let Some(thread) = self.thread.take() {
            // Its error has been printed, or its panic has.
            let _ = thread.join();
        }
    }
}

fn options(engine: Engine) -> Options {
    Options {
        engine,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        reuse_port: false,
        connections: None,
        message_bytes: MESSAGE_BYTES,
        slots_per_ring: Some(2 * CONNECTIONS[2]),
        rings_max: None,
        factors: Factors::default(),
        threads: 1,
        state: None,
    }
}

/// Pins the calling thread to the `nth` core that this process may use, where there are two.
fn pin(nth: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if cores.len() >= 2 {
        core_affinity::set_for_current(cores[nth]);
    }
}

fn open(engine: Engine, connections: u32, target: SocketAddr) -> Load {
    let mut load = Load::prepare(&case(engine, connections), target)
        .unwrap_or_else(|error| panic!("the client of {engine}: {error}"));
    load.ramp(&mut |_| Growth::GoOn)
        .unwrap_or_else(|error| panic!("{connections} connections to {engine}: {error}"));
    load
}

fn case(engine: Engine, connections: u32) -> Case {
    let bare = CaseRequest::new(engine, connections)
        .resolve(&CaseDefaults::new(vec![0], vec![1]))
        .expect("every default is sound");
    Case {
        client: client(),
        message_bytes: MESSAGE_BYTES,
        group_connections: CONNECTIONS[2],
        connect_window: 64,
        settle_ms: 0,
        warmup_ms: 0,
        measure_ms: 0,
        network: NetworkChoice::Host,
        ..bare
    }
}

/// The same client for every engine, or engines could not be compared.
fn client() -> ClientKind {
    ClientKind::Uring
}

fn echo(group: &mut BenchmarkGroup<'_, WallTime>, engine: Engine, connections: u32) {
    let serving = match Serving::start(engine) {
        Ok(serving) => serving,
        Err(error) if error.limiter.as_deref() == Some("io_uring") => {
            return eprintln!("{engine} is skipped: {error}");
        }
        Err(error) => panic!("the {engine} server: {error}"),
    };
    // Opened when it is first asked for: a filter on the command line may leave this one out.
    let mut load = None;
    group.bench_function(BenchmarkId::new(engine.name(), connections), |bencher| {
        let load = load.get_or_insert_with(|| open(engine, connections, serving.address));
        bencher.iter_custom(|iterations| {
            load.echo(iterations)
                .unwrap_or_else(|error| panic!("{engine}, {connections} connections: {error}"))
        });
    });
    if let Some(load) = load {
        load.drain()
            .unwrap_or_else(|error| panic!("closing the connections to {engine}: {error}"));
    }
}

/// Whether the client can work here; says why where it cannot.
fn is_client_able() -> bool {
    let nobody = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    match Load::prepare(&case(Engine::Epoll, 1), nobody) {
        Err(error) if error.limiter.as_deref() == Some("io_uring") => {
            eprintln!("round_trip is skipped: {error}");
            false
        }
        _ => true,
    }
}

fn main() {
    pin(1);
    if !is_client_able() {
        return;
    }
    let mut criterion = Criterion::default()
        .sample_size(10)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1_500))
        .configure_from_args();
    let mut group = criterion.benchmark_group("round_trip");
    // Every sample is equally long: a short one would be mostly the first and the last echoes.
    group.sampling_mode(SamplingMode::Flat);
    group.throughput(Throughput::Elements(1));
    for profile in PROFILES
        .iter()
        .filter(|profile| profile.echoes && fourtuple_server::has(profile.engine))
    {
        for connections in CONNECTIONS {
            echo(&mut group, profile.engine, connections);
        }
    }
    group.finish();
    criterion.final_summary();
}
