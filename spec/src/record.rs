//! A record: all that one run produced, one JSON object a line, append-only.
//!
//! Missing is `null`, never 0. A run that failed is still a record.

use crate::case::Case;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the record's shape. It changes when a key changes its meaning or goes away.
pub const SCHEMA_VERSION: u32 = 1;

/// Rules by which a run is invalid that went as it should: what its load turned out to be makes its figures say more of
/// the client than of the server. The first words of [`Record::error`] name the rule, up to a colon.
pub const LOAD_RULES: [&str; 5] = [
    "rate-not-reached",
    "rate-exceeded",
    "client-late",
    "client-saturated",
    "client-near-ceiling",
];

/// The rule that memory has to be explained: its first words in [`Record::error`].
pub const LEDGER_RULE: &str = "ledger-open";

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It ran, and every echo was verified.
    Ok,
    /// It ran, but a rule of measuring was broken: drawn hollow, left out of verdicts.
    Invalid,
    /// It did not run to the end.
    Error,
}

/// All that one run produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// [`SCHEMA_VERSION`].
    pub schema_version: u32,
    /// When the run began: RFC 3339, UTC.
    pub started_at: String,
    /// The command line that made it.
    pub command: Vec<String>,
    /// What was asked for, with every default.
    pub case: Case,
    /// Which run of the case it is, from 0: a disturbed run is repeated once, and both are kept.
    #[serde(default)]
    pub attempt: u32,
    /// How it ended.
    pub outcome: Outcome,
    /// What stopped the growth or held the rate down, by name, from what was seen.
    pub limiter: Option<String>,
    /// Why it failed, and what to do.
    pub error: Option<String>,
    /// What a reader should know before quoting a number of this run.
    pub warnings: Vec<String>,
    /// The ramp.
    pub setup: Setup,
    /// Full rounds, in order: in each, every connection echoed once.
    #[serde(default)]
    pub rounds: Vec<Round>,
    /// The idle hold; `null` if none was asked for or reached.
    #[serde(default)]
    pub hold: Option<Hold>,
    /// Rates over the measured span.
    pub throughput: Throughput,
    /// Latency over the measured span: from the sending of a message in a closed loop, from the time at which
    /// it was to leave in an open one.
    pub latency_ns: LatencyNs,
    /// The same from when the message did leave, in an open loop.
    #[serde(default)]
    pub service_ns: LatencyNs,
    /// How late the client itself was in sending, in an open loop: from when the schedule had a message to when
    /// the client came to it. A message that waits for its connection is the server's affair.
    #[serde(default)]
    pub send_lag_ns: LatencyNs,
    /// Latencies less that lateness, message by message: at most what they would have been, had the client come to
    /// each message in time. What it delays beside that (echoes that wait for it, messages that leave in a burst after
    /// it was away) is still in them. Percentiles alone, without the distribution.
    #[serde(default)]
    pub punctual_ns: LatencyNs,
    /// Whether the measured span was in a steady state: the warm-up's rate had settled, and the span's did not
    /// drift. `null` where nothing was measured.
    #[serde(default)]
    pub steady: Option<bool>,
    /// What that rests on.
    #[serde(default)]
    pub steadiness: Steadiness,
    /// CPU over the measured span.
    pub cpu: Cpu,
    /// What an echo took besides time, over the measured span.
    #[serde(default)]
    pub cost: Cost,
    /// Memory, by difference between phase boundaries.
    pub memory: Memory,
    /// What else the machine was doing.
    pub noise: Noise,
    /// The rules on noise that the run broke, in words. It counts nevertheless; a sweep repeats it once.
    #[serde(default)]
    pub disturbances: Vec<String>,
    /// What the measuring itself costs.
    #[serde(default)]
    pub self_cost: SelfCost,
    /// When each phase began, in nanoseconds since the run began.
    pub phases_ns: BTreeMap<String, u64>,
    /// What the kernel granted of what was asked.
    pub granted: Granted,
    /// Events counted by the server.
    pub server: ServerCounters,
    /// Events counted by the client.
    pub client: ClientCounters,
    /// The machine.
    pub host: Host,
}

impl Record {
    /// Whether the run went as it should and is invalid for its load alone. That is an answer: to run it again until it
    /// is another one would be choosing.
    pub fn is_invalid_for_load(&self) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        self.outcome == Outcome::Invalid && is_load_rule(error)
    }

    /// Whether it is its memory alone that says nothing: the ledger did not close, while every connection was proved and
    /// echoes came. A record names the first rule that was broken; what comes after that one is looked at here.
    pub fn is_invalid_for_ledger(&self) -> bool {
        let error = self.error.as_deref().unwrap_or_default();
        let is_proved = self.setup.connections_proved >= Some(self.case.connections);
        let has_echoed = self.throughput.echoes_verified > Some(0);
        let is_open = error.split(':').next() == Some(LEDGER_RULE);
        self.outcome == Outcome::Invalid && is_open && is_proved && has_echoed
    }
}

/// Whether an error is that a rule of load was broken.
pub fn is_load_rule(error: &str) -> bool {
    LOAD_RULES.contains(&error.split(':').next().unwrap_or_default())
}

/// The ramp: opening every connection.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Setup {
    /// Connections open at the end of it.
    pub connections_held: Option<u32>,
    /// Connections opened a second, over the whole ramp.
    pub connections_per_second: Option<f64>,
    /// Connections proved live by at least one verified echo.
    pub connections_proved: Option<u32>,
    /// Connections of one block of `block_seconds`.
    pub block_connections: Option<u32>,
    /// Seconds that each full block took, in order: flat if set-up does not slow down.
    pub block_seconds: Vec<f64>,
    /// Memory that was touched beforehand and handed back during the ramp, so that the set-up rate is the
    /// kernel's and not that of a hypervisor finding pages; `null` if none was.
    #[serde(default)]
    pub prepared_bytes: Option<u64>,
}

/// A full round: every connection echoed once.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Round {
    /// The phase that it was part of: `round`, or `proof` after the hold.
    pub phase: String,
    /// How many connections were active at once.
    pub active_connections: u32,
    /// Verified echoes: one a connection.
    pub echoes: u64,
    /// From the first send to the last verification.
    pub seconds: f64,
    /// Verified echoes a second.
    pub echoes_per_second: Option<f64>,
    /// Latency of its echoes.
    pub latency_ns: LatencyNs,
}

/// Holding every connection open and idle.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hold {
    /// For how long.
    pub seconds: f64,
    /// Connections that gave no verified echo after it; `null` if the engine never answers.
    pub connections_lost: Option<u32>,
}

/// Rates over the measured span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Throughput {
    /// Verified echoes a second.
    pub echoes_per_second: Option<f64>,
    /// Verified echoes.
    pub echoes_verified: Option<u64>,
    /// Messages that an open loop's schedule had for the span.
    #[serde(default)]
    pub messages_offered: Option<u64>,
    /// Of those, the ones that had not left, or had no answer, one second after the span's end: the histogram has the
    /// time that they had waited.
    #[serde(default)]
    pub messages_unsent: Option<u64>,
    /// Connections opened, echoed on and closed a second, of churn.
    #[serde(default)]
    pub connections_per_second: Option<f64>,
    /// Verified echoes of each 100 ms, in order.
    pub echoes_per_100_ms: Vec<u64>,
    /// Length of the span.
    pub seconds: Option<f64>,
}

/// Whether a rate had settled, and what says so.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Steadiness {
    /// How often the warm-up was doubled, because its rate had not settled: three times at most.
    pub warmup_doublings: Option<u32>,
    /// How long the warm-up took in the end.
    pub warmup_seconds: Option<f64>,
    /// What MSER-5 would cut off the warm-up's rate at its beginning, as a share of the warm-up: below a half,
    /// the rest of it was steady.
    pub cut_share: Option<f64>,
    /// By how much the rate changed from one end of the measured span to the other: the Theil–Sen slope of
    /// the echoes of each 100 ms, times the span, as a share of their median.
    pub drift: Option<f64>,
    /// The lower end of its 95 % interval.
    pub drift_low: Option<f64>,
    /// The upper end.
    pub drift_high: Option<f64>,
}

/// What measuring costs the client for an echo, and what the command took meanwhile. Each part is timed by itself, in the client's process and on its core, after the run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct SelfCost {
    /// One reading of the clock.
    pub clock_read_ns: Option<f64>,
    /// Readings of the clock for an echo in the measured span.
    pub clock_reads_per_echo: Option<f64>,
    /// Both together.
    pub clock_ns_per_echo: Option<f64>,
    /// Taking a latency into the histogram.
    pub histogram_ns_per_echo: Option<f64>,
    /// Comparing an echo of this size with what was sent.
    pub verification_ns_per_echo: Option<f64>,
    /// CPU time of the command in the measured span, all of it, for an echo: reading counters and clocks.
    pub metering_ns_per_echo: Option<f64>,
}

/// What an echo took besides time, over the measured span. What a side does not count is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Cost {
    /// System calls of the server an echo, as its engine counts them.
    pub server_system_calls_per_echo: Option<f64>,
    /// System calls of the client an echo, as it counts them.
    pub client_system_calls_per_echo: Option<f64>,
    /// System calls of the server an echo, as the kernel counted them during the warm-up, where counting
    /// them takes no time from what is measured. Needs the right to trace.
    pub server_system_calls_traced_per_echo: Option<f64>,
    /// Context switches of the server's threads an echo, voluntary and not.
    pub server_switches_per_echo: Option<f64>,
    /// Context switches of the client's threads an echo.
    pub client_switches_per_echo: Option<f64>,
    /// Completions, or events, that one call of the server brought.
    pub server_completions_per_wakeup: Option<f64>,
    /// The same of the client.
    pub client_completions_per_wakeup: Option<f64>,
    /// Receives of the server that ended for want of a buffer.
    pub server_no_buffers: Option<u64>,
    /// Completions of the server that did not fit the queue.
    pub server_overflows: Option<u64>,
    /// Receives of the client that ended for want of a buffer.
    pub client_no_buffers: Option<u64>,
    /// Completions of the client that did not fit the queue.
    pub client_overflows: Option<u64>,
}

/// Latency: from handing a message to the kernel to having verified its echo.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LatencyNs {
    /// Median.
    pub p50: Option<u64>,
    /// 90th percentile.
    pub p90: Option<u64>,
    /// 99th percentile.
    pub p99: Option<u64>,
    /// 99.9th percentile.
    pub p999: Option<u64>,
    /// The longest.
    pub max: Option<u64>,
    /// The whole distribution: HdrHistogram V2, base64.
    pub histogram: Option<String>,
}

/// CPU over the measured span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Cpu {
    /// CPU time of the server's threads for one echo.
    pub server_ns_per_echo: Option<f64>,
    /// CPU time of the client's threads for one echo, without the time that it watched in vain.
    pub client_ns_per_echo: Option<f64>,
    /// Share of one core that the server's threads used: 1.0 is a whole core.
    pub server_busy: Option<f64>,
    /// Share of one core that the client's threads used, without the time that it watched in vain. The
    /// spinning client of the floor does not tell watching from working: it is all in here.
    pub client_busy: Option<f64>,
    /// Share of one core that the client watched in vain: it looked for the next echo before it slept.
    pub client_watching: Option<f64>,
    /// Share of time that each of the server's cores was busy with anything, softirq and steal included.
    pub server_cores_busy: Vec<f64>,
    /// The same for the client's cores.
    pub client_cores_busy: Vec<f64>,
}

/// Memory. What is per connection is the difference between a phase and the baseline, divided by the connections held.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    /// Kernel memory of a connection, both endpoints with kernel peers, the server's alone with ghosts: what the machine has less of,
    /// without anonymous memory, page cache and the inodes of `/proc`, and with what slabs that were there
    /// already have supplied. From the settle phase: the
    /// server armed, the client idle. `null` below 1,000 connections, where it would be noise.
    pub kernel_bytes_per_connection: Option<f64>,
    /// Anonymous memory of the server's processes for a connection, after the measured span.
    pub server_user_bytes_per_connection: Option<f64>,
    /// Anonymous memory of the client's processes for a connection, after the measured span.
    pub client_user_bytes_per_connection: Option<f64>,
    /// Share of the memory taken that no part of the ledger explains, in the settle phase.
    pub unattributed_share: Option<f64>,
    /// Slab pages of a connection by cache, bytes, in the settle phase; caches under 1 B a connection are summed as `other`, and the inodes of `/proc` are left out.
    pub by_cache: Option<BTreeMap<String, f64>>,
    /// The ledger at each phase boundary after the baseline.
    pub ledger: Vec<Ledger>,
}

/// Where memory went between the baseline and a phase boundary.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Ledger {
    /// The phase at whose end it was read.
    pub phase: String,
    /// What the machine has less of: −ΔMemFree, with the pages parked on per-CPU lists.
    pub taken_bytes: Option<i64>,
    /// The parts that explain it: slab, anonymous, page tables, …; a part that could not be read is `null`.
    pub parts: BTreeMap<String, Option<i64>>,
    /// `taken_bytes` less the sum of the parts.
    pub unattributed_bytes: Option<i64>,
    /// Slab pages by cache, bytes; caches that did not change are left out.
    pub slab_by_cache: Option<BTreeMap<String, i64>>,
    /// What free objects of slabs that were there already have supplied, in slab pages: it was needed, and
    /// nothing was taken for it. Not among the parts.
    #[serde(default)]
    pub slab_reused_bytes: Option<i64>,
    /// Slab objects in use by cache, bytes.
    pub slab_objects_by_cache: Option<BTreeMap<String, i64>>,
    /// Anonymous memory of the server's processes.
    pub server_user_bytes: Option<i64>,
    /// Anonymous memory of the client's processes.
    pub client_user_bytes: Option<i64>,
    /// Pages of the server's rings; with the client's they are the part `io_uring_rings`.
    #[serde(default)]
    pub server_ring_bytes: Option<i64>,
    /// Pages of the client's rings.
    #[serde(default)]
    pub client_ring_bytes: Option<i64>,
    /// What the memory cgroup was charged: the second witness.
    pub cgroup_bytes: Option<i64>,
    /// Its version, 1 or 2, and so what it cannot see.
    #[serde(default)]
    pub cgroup_version: Option<u32>,
    /// What could not be read, and why.
    pub notes: Vec<String>,
}

/// What else the machine was doing during the measured span.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Noise {
    /// Share of the pinned cores' time that the hypervisor took.
    pub steal_share: Option<f64>,
    /// Share of the pinned cores' time that tasks other than the run's used, over warm-up and measured span
    /// together: it is read before the one and after the other. Threads of the kernel that handle packets
    /// (`ksoftirqd`) work for the run, and are not among them; neither is the command, whose time is
    /// `self_cost.metering_ns_per_echo`. A task counts for the core on which it last ran, with all that it used
    /// meanwhile. Where the kernel does not say what each task ran, it is what the cores worked in the measured span
    /// less what the run's processes used, with packets handled by `ksoftirqd` in it, and a warning says so.
    pub foreign_cpu_share: Option<f64>,
    /// Who used most of that, and the share: a thread of the kernel by its name, or `programs`.
    #[serde(default)]
    pub foreign_most: Option<(String, f64)>,
    /// Share of the pinned cores' time that the kernel's threads for packets used, over the same time.
    #[serde(default)]
    pub packet_threads_share: Option<f64>,
    /// How long the server's threads were runnable without running, as a share of the measured span: the sum
    /// over threads, which several threads on one core make each other wait for. Whoever had the core meanwhile,
    /// `ksoftirqd` included, was not them.
    #[serde(default)]
    pub server_run_delay_share: Option<f64>,
    /// The same of the client's threads.
    #[serde(default)]
    pub client_run_delay_share: Option<f64>,
    /// Share of the measured span in which some task of the machine waited for a core (`/proc/pressure/cpu`).
    #[serde(default)]
    pub pressure_cpu_share: Option<f64>,
    /// The same for memory (`/proc/pressure/memory`).
    #[serde(default)]
    pub pressure_memory_share: Option<f64>,
    /// Packets that the pinned cores dropped because a backlog was full, of the whole machine.
    #[serde(default)]
    pub softnet_drops: Option<u64>,
    /// How often the pinned cores left packets for later because their budget was spent.
    #[serde(default)]
    pub softnet_squeezes: Option<u64>,
    /// By how much a pinned core was slower after the measured span than before the warm-up, as a share: the one
    /// that changed most, below 0 if it was faster. From a fixed loop that is timed on it.
    #[serde(default)]
    pub speed_drift: Option<f64>,
    /// Involuntary context switches of the server's threads.
    pub server_involuntary_switches: Option<u64>,
    /// Involuntary context switches of the client's threads.
    pub client_involuntary_switches: Option<u64>,
    /// Voluntary context switches of the server's threads.
    pub server_voluntary_switches: Option<u64>,
    /// Voluntary context switches of the client's threads.
    pub client_voluntary_switches: Option<u64>,
    /// Segments sent again, in the run's network, over the whole run.
    pub segments_retransmitted: Option<u64>,
    /// Connections dropped because the accept queue was full, over the whole run.
    pub listen_overflows: Option<u64>,
}

/// What was granted of what was asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Granted {
    /// `private` or `host`.
    pub network: Option<String>,
    /// What the private network was set to, by the case and by what its kind of run needs.
    #[serde(default)]
    pub settings: BTreeMap<String, String>,
    /// Why it is the host's network although a private one was asked for.
    pub network_reason: Option<String>,
    /// Server processes: more than one where descriptors are short.
    pub server_processes: Option<u32>,
    /// RLIMIT_NOFILE of the children, soft.
    pub descriptor_limit: Option<u64>,
    /// Kernel features that the server asked for.
    pub server: Vec<Grant>,
    /// Kernel features that the client asked for.
    pub client: Vec<Grant>,
}

/// One feature, and whether the kernel granted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its name.
    pub feature: String,
    /// Whether it was granted.
    pub granted: bool,
    /// Why not.
    pub reason: Option<String>,
}

/// Events counted by the server over the whole run; a count that the engine has not is `null`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ServerCounters {
    /// Connections accepted.
    pub accepted: Option<u64>,
    /// Connections closed.
    pub closed: Option<u64>,
    /// Bytes received.
    pub received_bytes: Option<u64>,
    /// System calls of all kinds on the path of an echo.
    #[serde(default)]
    pub system_calls: Option<u64>,
    /// System calls that waited or submitted.
    pub enters: Option<u64>,
    /// Completions or events handled.
    pub completions: Option<u64>,
    /// Receives that ended for want of a buffer.
    pub no_buffers: Option<u64>,
    /// Completions that did not fit the queue.
    pub overflows: Option<u64>,
    /// Multishot requests that ended early and were armed again.
    pub rearmed: Option<u64>,
    /// Rings in use.
    pub rings: Option<u64>,
    /// Connections that proved busy and were given a receive that stays armed.
    #[serde(default)]
    pub promoted: Option<u64>,
    /// Connections that fell idle and were taken that receive again.
    #[serde(default)]
    pub demoted: Option<u64>,
}

/// Events counted by the client over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ClientCounters {
    /// System calls that waited or submitted.
    pub enters: Option<u64>,
    /// Completions handled.
    pub completions: Option<u64>,
    /// Receives that ended for want of a buffer.
    pub no_buffers: Option<u64>,
    /// Completions that did not fit the queue.
    pub overflows: Option<u64>,
    /// Multishot requests that ended early and were armed again.
    pub rearmed: Option<u64>,
    /// Connects that failed and were tried again.
    pub connect_retries: Option<u64>,
    /// Rings in use.
    pub rings: Option<u64>,
    /// What ghosts count; `null` with kernel peers.
    #[serde(default)]
    pub ghosts: Option<GhostCounters>,
}

/// Segments of ghosts over the whole run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GhostCounters {
    /// Segments sent to the server.
    pub sent: u64,
    /// Segments received from it.
    pub received: u64,
    /// Segments sent again, because nothing had answered them.
    pub resent: u64,
    /// Segments received that said nothing new: sent twice by the server or by the path.
    pub repeated: u64,
    /// Segments received ahead of one that was missing. They were not kept: the server sends them again.
    pub early: u64,
    /// Connections that were asked where they stood, because nothing is kept of one that is idle.
    pub asked: u64,
    /// Segments that the path lost on purpose.
    pub lost: u64,
    /// Packets that were no segment of any ghost's connection.
    pub foreign: u64,
}

/// The machine, as far as it can be read.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// Host name.
    pub name: Option<String>,
    /// Kernel release and version.
    pub kernel: Option<String>,
    /// The CPU's own name.
    pub cpu: Option<String>,
    /// Cores that are on line.
    pub cores: Option<u32>,
    /// Memory.
    pub memory_bytes: Option<u64>,
    /// Hypervisor, where the CPU says that there is one.
    pub hypervisor: Option<String>,
    /// Clock source.
    pub clock_source: Option<String>,
    /// Congestion control.
    pub congestion_control: Option<String>,
    /// `kernel.io_uring_disabled`.
    pub io_uring_disabled: Option<u32>,
    /// RLIMIT_NOFILE, soft and hard.
    pub descriptor_limits: Option<(u64, u64)>,
    /// Version of this program.
    pub fourtuple: Option<String>,
    /// Which environment it was: `environment-ID.json` beside the records is all of it.
    #[serde(default)]
    pub environment: Option<String>,
}
