//! What every echo goes through in user memory, in nanoseconds: tokens, the payload check, the
//! histogram, the address plan.
//!
//! Buffers are not here: a lease is made by the kernel's completion alone, so what a lease and its
//! return cost cannot be had apart from a receive; `round_trip` has it within.

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use fourtuple_ring::Token;
use fourtuple_spec::payload::Pattern;
use fourtuple_spec::{AddressMode, AddressPlan};
use hdrhistogram::Histogram;
use std::hint::black_box;
use std::time::Duration;

/// A receive on slot 12,345 by its third user.
const TOKEN_BITS: u64 = 2 << 60 | 3 << 44 | 12_345 << 24;

/// As many messages as a busy loop sees before it comes back to the same one: the pattern is read
/// all over, as in a run, and not from one cache line.
const MESSAGES: u32 = 4096;

fn token(criterion: &mut Criterion) {
    let token = Token::unpack(TOKEN_BITS).expect("bits of an operation that there is");
    let mut group = criterion.benchmark_group("token");
    group.bench_function("pack", |bencher| bencher.iter(|| black_box(token).pack()));
    group.bench_function("unpack", |bencher| {
        bencher.iter(|| Token::unpack(black_box(TOKEN_BITS)));
    });
    group.finish();
}

fn payload(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    let pattern = Pattern::new(64);
    let mut sequence = 0;
    group.bench_function("range", |bencher| {
        bencher.iter(|| {
            sequence = (sequence + 1) % MESSAGES;
            pattern.range(black_box(7), sequence)
        });
    });
    for message_bytes in [64, 4096] {
        let pattern = Pattern::new(message_bytes);
        let echoes: Vec<Vec<u8>> = (0..MESSAGES)
            .map(|sequence| pattern.message(7, sequence).to_vec())
            .collect();
        group.throughput(Throughput::Bytes(u64::from(message_bytes)));
        let id = BenchmarkId::new("check", message_bytes);
        let mut sequence = 0;
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                sequence = (sequence + 1) % MESSAGES;
                let echo = black_box(&echoes[sequence as usize]);
                pattern.check(7, sequence, 0, echo).is_ok()
            });
        });
    }
    group.finish();
}

fn histogram(criterion: &mut Criterion) {
    // The bounds that the load generator uses: 1 ns to 100 s, three significant figures.
    let mut histogram = Histogram::<u64>::new_with_bounds(1, 100_000_000_000, 3)
        .expect("constant bounds that HdrHistogram takes");
    let mut latency_ns = 0;
    criterion.bench_function("histogram/record", |bencher| {
        bencher.iter(|| {
            // Between 8 and 73 µs, where echoes over loopback are, and not the same twice.
            latency_ns = (latency_ns + 40_503) & 0xffff;
            histogram.saturating_record(black_box(8_000 + latency_ns));
        });
    });
}

fn addresses(criterion: &mut Criterion) {
    let server = "0.0.0.0:7".parse().expect("a constant address");
    let mut group = criterion.benchmark_group("four_tuple");
    let modes = [
        ("destinations", AddressMode::Destinations),
        ("sources", AddressMode::Sources),
    ];
    for (name, mode) in modes {
        let plan = AddressPlan::new(mode, server, 25_000);
        let mut index = 0_u32;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                index = index.wrapping_add(1) & 0xf_ffff;
                plan.four_tuple(black_box(index))
            });
        });
    }
    group.finish();
}

/// Eight benches of 1.3 s and their analysis: a quarter of a minute.
fn short() -> Criterion {
    Criterion::default()
        .sample_size(30)
        .nresamples(10_000)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! {
    name = hot_paths;
    config = short();
    targets = token, payload, histogram, addresses
}
criterion_main!(hot_paths);
