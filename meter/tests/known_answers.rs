//! Things whose size is known, found by the slope of the ledger over five or more counts.
//!
//! A slope, because what else a machine does is an offset or noise, and the median of all pairs' slopes,
//! because noise comes in single readings. The counters are the machine's: one test at a time.

use fourtuple_meter::{MemorySnapshot, Subjects};
use fourtuple_spec::record::Ledger;
use io_uring::IoUring;
use rustix::event::{EventfdFlags, eventfd};
use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

const TOLERANCE: f64 = 0.01;

/// Both ends of a pair are this process's, whose descriptors may be limited to 4,096.
const PAIRS: [u32; 6] = [200, 400, 600, 800, 1_000, 1_200];

/// Longer than loopback may delay an acknowledgment, until which a byte lies in both ends' buffers.
const ACKNOWLEDGED: Duration = Duration::from_millis(200);

/// An allocator's word before a block, rounded to what it aligns to.
const ALLOCATOR: f64 = 16.0;

fn alone() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Theil–Sen: the median of the slopes between all pairs of points.
fn slope(points: &[(u32, i64)]) -> f64 {
    let mut slopes: Vec<f64> = points
        .iter()
        .enumerate()
        .flat_map(|(index, &one)| points[index + 1..].iter().map(move |&other| (one, other)))
        .map(|((from, low), (to, high))| (high - low) as f64 / f64::from(to - from))
        .collect();
    slopes.sort_by(f64::total_cmp);
    let middle = slopes.len() / 2;
    match slopes.len() % 2 {
        0 => (slopes[middle - 1] + slopes[middle]) / 2.0,
        _ => slopes[middle],
    }
}

fn assert_finds(what: &str, points: &[(u32, i64)], known: f64) {
    let found = slope(points);
    assert!(
        (found / known - 1.0).abs() <= TOLERANCE,
        "{what}: {known} B each are known, {found:.2} B found: {points:?}"
    );
}

/// This process as the server, and what was there before.
struct Meter {
    subjects: Subjects,
    baseline: MemorySnapshot,
}

impl Meter {
    fn new() -> Self {
        let subjects = Subjects {
            server_pids: vec![std::process::id()],
            ..Subjects::default()
        };
        let baseline = MemorySnapshot::take(&subjects);
        Self { subjects, baseline }
    }

    fn ledger(&self) -> Ledger {
        MemorySnapshot::take(&self.subjects).ledger_since(&self.baseline, "held")
    }
}

/// So much in all that a huge page in the heap, 2 MiB rounded up, is below the tolerance.
#[test]
fn user_memory_a_connection_is_found() {
    const EACH: usize = 32_000;
    let _alone = alone();
    let mut held: Vec<Vec<u8>> = Vec::with_capacity(10_000);
    let meter = Meter::new();
    let points: Vec<(u32, i64)> = [2_000, 4_000, 6_000, 8_000, 10_000]
        .into_iter()
        .map(|count: u32| {
            held.resize_with(count as usize, || vec![1; EACH]);
            let found = meter.ledger().server_user_bytes;
            (count, found.expect("a process may read its own memory"))
        })
        .collect();
    assert_finds("user memory", &points, EACH as f64 + ALLOCATOR);
}

struct Pair {
    _reader: TcpStream,
    _writer: TcpStream,
}

fn pair_with_unread(listener: &TcpListener, payload: &[u8]) -> Pair {
    let address = listener.local_addr().expect("it is bound");
    let mut writer = TcpStream::connect(address).expect("loopback connects");
    let (reader, _) = listener.accept().expect("a connection waits");
    writer.write_all(payload).expect("the buffers have room");
    Pair {
        _reader: reader,
        _writer: writer,
    }
}

fn assert_unread_is_found(each: usize) {
    let _alone = alone();
    let payload = vec![7; each];
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a port");
    let mut held = Vec::new();
    let meter = Meter::new();
    let points: Vec<(u32, i64)> = PAIRS
        .into_iter()
        .map(|count| {
            held.resize_with(count as usize, || pair_with_unread(&listener, &payload));
            std::thread::sleep(ACKNOWLEDGED);
            let ledger = meter.ledger();
            let found = ledger.parts["tcp_pages"];
            (
                count,
                found.unwrap_or_else(|| panic!("not counted: {:?}", ledger.notes)),
            )
        })
        .collect();
    assert_finds("unread data", &points, each as f64);
}

#[test]
fn four_kilobytes_unread_a_connection_are_found() {
    assert_unread_is_found(4_096);
}

#[test]
fn sixteen_kilobytes_unread_a_connection_are_found() {
    assert_unread_is_found(16_384);
}

/// Bytes of an object of a cache; `None`, and a line that says so, where they cannot be read.
fn object_bytes(cache: &str) -> Option<u64> {
    let text = match std::fs::read_to_string("/proc/slabinfo") {
        Ok(text) => text,
        Err(error) => {
            skip(&format!("/proc/slabinfo: {error}"));
            return None;
        }
    };
    let is_wanted = |line: &&str| line.split_whitespace().next() == Some(cache);
    let line = text.lines().find(is_wanted);
    let size = line.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    if size.is_none() {
        skip(&format!(
            "/proc/slabinfo has no cache {cache}: it is merged with another"
        ));
    }
    size
}

fn skip(reason: &str) {
    // Not `eprintln!`: the harness keeps what a test that passes has printed.
    let _ = writeln!(std::io::stderr(), "skipped, registered files: {reason}");
}

/// A ring that holds as many files, none of which has a descriptor any more.
fn ring_with_files(count: u32) -> std::io::Result<IoUring> {
    let ring = IoUring::new(8)?;
    ring.submitter().register_files_sparse(count)?;
    for index in 0..count {
        let file = eventfd(0, EventfdFlags::CLOEXEC)?;
        ring.submitter()
            .register_files_update(index, &[file.as_raw_fd()])?;
    }
    Ok(ring)
}

/// Registered files are in no process's descriptor table; what is left of one is its `struct file`,
/// and 32 bytes of the ring's since 6.13, in a cache that everybody uses.
#[test]
fn registered_files_are_found() {
    const EACH: u32 = 3_000;
    let _alone = alone();
    let Some(known) = object_bytes("filp") else {
        return;
    };
    let meter = Meter::new();
    let mut rings = Vec::new();
    let mut points = Vec::new();
    for ring_count in 1..=6 {
        match ring_with_files(EACH) {
            Ok(ring) => rings.push(ring),
            Err(error) => return skip(&format!("io_uring: {error}")),
        }
        let ledger = meter.ledger();
        let objects = ledger
            .slab_objects_by_cache
            .expect("slabinfo was readable just now");
        points.push((ring_count * EACH, objects.get("filp").copied().unwrap_or(0)));
    }
    assert_finds("registered files", &points, known as f64);
}

#[test]
fn one_reading_that_is_far_off_does_not_move_the_slope() {
    let mut points: Vec<(u32, i64)> = (1..=6)
        .map(|count| (count, i64::from(count) * 50 + 7))
        .collect();
    points[2].1 += 100_000;
    assert_eq!(slope(&points), 50.0);
}
