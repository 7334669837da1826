//! What holding a connection takes, in **bytes per connection**, so that Criterion's baselines guard
//! memory as they guard time.
//!
//! **What is measured.** One hold is one `fourtuple run`: fresh processes, a private network, 16,000
//! pairs at rest, the ledger read before and after. The value is
//!
//! ```text
//! (objects in use in the kernel's caches + anonymous memory of the server) / connections
//! ```
//!
//! for both endpoints of each pair. It is *not* the memory that a machine needs for a connection:
//! that is pages, with everything a slab wastes, and comes from the sweep. Objects are counted
//! because pages come by the slab, −ΔMemFree has everybody's memory in it, and both move by hundreds
//! of bytes a connection from hold to hold where objects move by a few.
//!
//! **What is left out.** Caches that any program's use of files and processes fills ([`is_foreign`]):
//! they are machine-wide, so whoever reads `/proc` meanwhile would be in the value. A dentry and an
//! LSM blob an endpoint go with them, about 500 B a connection, the same for every engine.
//!
//! **What it can see.** A regression of 16 bytes, for every engine but tokio, whose user memory differs by 11 B
//! from hold to hold. On a quiet machine (two virtual cores, Linux 6.18), ten holds and ten more with 16 bytes
//! added to each: uring-poll 7,445.7 ± 1.6 B, then regressed by 15 to 21 B; uring-hybrid 7,449.4 ± 2.3, by 13
//! to 19; spin 7,171.7 ± 1.4, by 13 to 17; tokio 12,296.6 ± 11, no change seen (−12 to 17).
//!
//! With 8,000 connections a hold and other builds going on, ten holds an engine, done twice: the first column is the mean of each ten, the second
//! their standard deviation, then what Criterion said of the second ten against the first, and of
//! the same with 16 bytes added to each hold:
//!
//! | engine | B/connection | deviation | as it is | with 16 B more |
//! | --- | --- | --- | --- | --- |
//! | uring | 8,039.7 and 8,041.3 | 5.8 and 6.5 | no change (p = 0.55) | regressed, 13 to 23 B |
//! | epoll | 7,309.0 and 7,308.2 | 10.5 and 11.9 | no change (p = 0.88) | regressed, 5 to 26 B |
//! | null | 7,171.9 and 7,175.1 | 11.0 and 10.8 | no change (p = 0.53) | regressed, 11 to 29 B |
//!
//! The rest of the spread is what SLUB counts as in use and is free: a core's current slab of each
//! cache. Criterion prints `time:` before every value, of whatever kind; the unit says what it is.
//!
//! A hold is done again where somebody else opened or closed TCP sockets meanwhile, which the TCP
//! cache tells: its size has to be that of two sockets a connection, and TIME_WAIT's that of none.

use criterion::measurement::{Measurement, ValueFormatter};
use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput};
use fourtuple_server::{Options, Server};
use fourtuple_spec::engine::{PROFILES, Profile};
use fourtuple_spec::record::{Ledger, Outcome};
use fourtuple_spec::{Engine, Factors, Record};
use std::collections::BTreeMap;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Few enough for a hold of two seconds and for one process where RLIMIT_NOFILE is 20,000, many enough that what
/// the slabs of each core hide (a slab of each cache, about 30 KB) is a few bytes a connection.
const CONNECTIONS: u32 = 16_000;

/// How often a hold that others have spoilt is done again.
const ATTEMPTS: u32 = 6;

/// Bytes per connection, as Criterion's measurement.
struct BytesPerConnection;

impl Measurement for BytesPerConnection {
    type Intermediate = ();
    type Value = f64;

    /// Nothing to begin: a hold measures itself.
    fn start(&self) {}

    /// # Panics
    /// Always: what lies between two calls has no size, and 0 would be a lie.
    fn end(&self, (): ()) -> f64 {
        panic!("memory is measured by `iter_custom` alone")
    }

    fn add(&self, first: &f64, second: &f64) -> f64 {
        first + second
    }

    fn zero(&self) -> f64 {
        0.0
    }

    fn to_f64(&self, value: &f64) -> f64 {
        *value
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        self
    }
}

impl ValueFormatter for BytesPerConnection {
    fn format_value(&self, value: f64) -> String {
        format!("{value:.1} B/connection")
    }

    /// Never scaled: a figure in KiB would hide the bytes that this is about.
    fn scale_values(&self, _typical: f64, _values: &mut [f64]) -> &'static str {
        "B/connection"
    }

    fn scale_throughputs(
        &self,
        _typical: f64,
        _throughput: &Throughput,
        _values: &mut [f64],
    ) -> &'static str {
        "B/connection"
    }

    fn scale_for_machines(&self, _values: &mut [f64]) -> &'static str {
        "B/connection"
    }
}

/// Whether a cache is filled by what other programs do with files and processes.
fn is_foreign(cache: &str) -> bool {
    const NAMES: [&str; 13] = [
        "dentry",
        "lsm_inode_cache",
        // Grows and shrinks with dentries and inodes of /proc, for whatever hangs on them.
        "kmalloc-192",
        "buffer_head",
        "radix_tree_node",
        "maple_node",
        "vm_area_struct",
        "task_struct",
        "sighand_cache",
        "signal_cache",
        "pool_workqueue",
        "ftrace_event_field",
        // What closed connections leave: never one that is held.
        "tw_sock_TCP",
    ];
    const PREFIXES: [&str; 8] = [
        "anon_vma",
        "bio",
        "ext4",
        "xfs",
        "btrfs",
        // Large and accounted allocations are of processes: stacks, descriptor tables, pipes.
        "kmalloc-cg-",
        "kmalloc-rcl-",
        "ovl_",
    ];
    let is_inode = cache.contains("inode_cache") && cache != "sock_inode_cache";
    is_inode || NAMES.contains(&cache) || PREFIXES.iter().any(|prefix| cache.starts_with(prefix))
}

/// One hold: bytes per connection.
fn hold(engine: Engine, socket_bytes: Option<u64>) -> Result<f64, String> {
    for attempt in 1.. {
        let record = run(engine)?;
        let ledger = settled(&record)?;
        let objects = ledger
            .slab_objects_by_cache
            .as_ref()
            .ok_or_else(|| format!("no slab objects in the ledger: {}", ledger.notes.join("; ")))?;
        if attempt < ATTEMPTS && is_spoilt(objects, socket_bytes) {
            eprintln!("{engine}: others opened or closed TCP sockets meanwhile; held again");
            continue;
        }
        let caches = objects.iter().filter(|(cache, _)| !is_foreign(cache));
        let kernel_bytes: i64 = caches.map(|(_, bytes)| bytes).sum();
        let user_bytes = ledger
            .server_user_bytes
            .ok_or("the server's user memory could not be read")?;
        return Ok((kernel_bytes + user_bytes) as f64 / f64::from(CONNECTIONS));
    }
    unreachable!("the last attempt is taken as it is")
}

/// Whether the TCP cache has not grown by two sockets a connection, within half a percent, or
/// sockets in TIME_WAIT came or went: their ports' buckets did as well, under some other name.
fn is_spoilt(objects: &BTreeMap<String, i64>, socket_bytes: Option<u64>) -> bool {
    let waiting = objects.get("tw_sock_TCP").copied().unwrap_or(0);
    if waiting.unsigned_abs() > u64::from(CONNECTIONS) {
        return true;
    }
    let (Some(&grown), Some(socket_bytes)) = (objects.get("TCP"), socket_bytes) else {
        return false;
    };
    let expected = 2.0 * f64::from(CONNECTIONS) * socket_bytes as f64;
    (grown as f64 / expected - 1.0).abs() > 0.005
}

fn run(engine: Engine) -> Result<Record, String> {
    let connections = CONNECTIONS.to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_fourtuple"))
        .args(["run", "--json", "--engine", engine.name()])
        .args(["--connections", &connections])
        // One client for all engines, and it closes by a reset: what stayed in TIME_WAIT would be freed
        // within the next hold, as the spinning client's 500 B a connection were.
        .args(["--client", "uring"])
        // The load is not the point: as little of it as there can be. The rest is: after 50 ms a server
        // on a busy core had not accepted everything, and a hold was short by up to 1,700 B.
        .args([
            "--settle",
            "200ms",
            "--warmup",
            "10ms",
            "--duration",
            "10ms",
        ])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("`fourtuple run` cannot be started: {error}"))?;
    serde_json::from_slice(&output.stdout).map_err(|error| {
        let said = String::from_utf8_lossy(&output.stderr);
        format!("`fourtuple run` gave no record ({error}) and said: {said}")
    })
}

/// The ledger of connections at rest.
fn settled(record: &Record) -> Result<&Ledger, String> {
    // A run whose *rate* is invalid on a busy machine has held its connections all the same.
    if record.outcome == Outcome::Error || record.setup.connections_held != Some(CONNECTIONS) {
        return Err(record.error.clone().unwrap_or_default());
    }
    let mut ledgers = record.memory.ledger.iter();
    ledgers
        .find(|ledger| ledger.phase == "settle")
        .ok_or_else(|| "the record has no ledger of the settle phase".to_owned())
}

/// Why an engine cannot be held here.
fn refusal(profile: &Profile) -> Option<String> {
    let options = Options {
        engine: profile.engine,
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        reuse_port: false,
        connections: None,
        message_bytes: 64,
        slots_per_ring: None,
        rings_max: None,
        factors: Factors::default(),
        threads: 1,
        state: None,
    };
    Server::bind(&options).err().map(|error| error.to_string())
}

/// Bytes of one object of the TCP cache, where slabinfo has it.
fn socket_bytes(slabinfo: &str) -> Option<u64> {
    let row = slabinfo.lines().find(|line| line.starts_with("TCP "))?;
    row.split_whitespace().nth(3)?.parse().ok()
}

fn main() {
    let slabinfo = match fs::read_to_string("/proc/slabinfo") {
        Ok(slabinfo) => slabinfo,
        Err(error) => {
            return eprintln!(
                "connection_memory is skipped: /proc/slabinfo cannot be read ({error}), and without \
                 it bytes per connection would be noise; root may read it"
            );
        }
    };
    let socket_bytes = socket_bytes(&slabinfo);
    let mut criterion = Criterion::default()
        .with_measurement(BytesPerConnection)
        .sample_size(10)
        .nresamples(10_000)
        // A hold is its own warm-up; one is made all the same, and it is not counted.
        .warm_up_time(Duration::from_millis(1))
        .measurement_time(Duration::from_secs(12))
        // 4 bytes of 8,000: of 16 bytes, the interval of the difference stays above that.
        .noise_threshold(0.0005)
        .configure_from_args();
    let mut group = criterion.benchmark_group("connection_memory");
    group.sampling_mode(SamplingMode::Flat);
    for profile in PROFILES
        .iter()
        .filter(|profile| fourtuple_server::has(profile.engine))
    {
        if let Some(reason) = refusal(profile) {
            eprintln!("{profile} is skipped: {reason}", profile = profile.name);
            continue;
        }
        group.bench_function(BenchmarkId::from_parameter(profile.name), |bencher| {
            // Criterion divides by the iterations: one hold stands for all of them.
            bencher.iter_custom(|iterations| match hold(profile.engine, socket_bytes) {
                Ok(bytes) => bytes * iterations as f64,
                Err(error) => panic!("{} × {CONNECTIONS}: {error}", profile.name),
            });
        });
    }
    group.finish();
    criterion.final_summary();
}
