//! CPU time and switches of the run's threads, and what else its cores did.

use crate::stat::CoreTicks;
use crate::thread::Switches;
use crate::{Subjects, proc_files, stat, thread};
use fourtuple_spec::record::{Cpu, Noise};
use std::collections::BTreeMap;
use std::time::Instant;

/// CPU time and switches of the subjects' threads and cores at one moment.
///
/// Only the threads that are named count: a kernel thread that works for a ring (`iou-sqp`,
/// `iou-wrk`) shows as foreign unless it is named. Softirq time is charged to whoever ran.
#[derive(Clone, Debug, Default)]
pub struct CpuSnapshot {
    at: Option<Instant>,
    server: Threads,
    client: Threads,
    cores: BTreeMap<u32, CoreTicks>,
    server_cpus: Vec<u32>,
    client_cpus: Vec<u32>,
}

/// The sums over one side's threads; `None` if it has none or one of them cannot be read.
#[derive(Clone, Copy, Debug, Default)]
struct Threads {
    cpu_ns: Option<u64>,
    switches: Option<Switches>,
}

impl CpuSnapshot {
    /// Reads it. What cannot be read is absent; this never fails.
    pub fn take(subjects: &Subjects) -> Self {
        let text = proc_files::read("/proc/stat").unwrap_or_default();
        Self {
            at: Some(Instant::now()),
            server: Threads::read(&subjects.server_threads),
            client: Threads::read(&subjects.client_threads),
            cores: stat::cores(&text).unwrap_or_default(),
            server_cpus: subjects.server_cpus.clone(),
            client_cpus: subjects.client_cpus.clone(),
        }
    }

    /// What was used since `start`. Nanoseconds an echo are busy share ÷ rate, so that the window of
    /// the meter need not be exactly the client's. `segments_retransmitted` and `listen_overflows`
    /// are left `None`: see [`NetworkCounters`](crate::NetworkCounters).
    ///
    /// Thread times are good to about 10 ms, core shares to a tick of 10 ms: measure for a second or more.
    pub fn usage_since(&self, start: &Self, echoes_per_second: Option<f64>) -> (Cpu, Noise) {
        let elapsed = match (self.at, start.at) {
            (Some(end), Some(start)) => end.saturating_duration_since(start).as_secs_f64(),
            _ => 0.0,
        };
        if elapsed <= 0.0 {
            return (Cpu::default(), Noise::default());
        }
        let server_busy = self.server.busy_since(start.server, elapsed);
        let client_busy = self.client.busy_since(start.client, elapsed);
        let an_echo = |busy: Option<f64>| {
            let rate = echoes_per_second.filter(|rate| *rate > 0.0)?;
            Some(busy? / rate * 1e9)
        };
        let cpu = Cpu {
            server_ns_per_echo: an_echo(server_busy),
            client_ns_per_echo: an_echo(client_busy),
            client_watching: None,
            server_busy,
            client_busy,
            server_cores_busy: self.cores_busy_since(start, &self.server_cpus),
            client_cores_busy: self.cores_busy_since(start, &self.client_cpus),
        };
        let own = server_busy
            .zip(client_busy)
            .map(|(server, client)| server + client);
        (cpu, self.noise_since(start, own))
    }

    /// `own_busy` is what the run's own threads used, in cores.
    fn noise_since(&self, start: &Self, own_busy: Option<f64>) -> Noise {
        let mut pinned: Vec<u32> = self
            .server_cpus
            .iter()
            .chain(&self.client_cpus)
            .copied()
            .collect();
        pinned.sort_unstable();
        pinned.dedup();
        let ticks: Option<Vec<CoreTicks>> = pinned
            .iter()
            .map(|&core| self.core_since(start, core))
            .collect();
        let share = |part: fn(&CoreTicks) -> u64| {
            let ticks = ticks.as_ref().filter(|ticks| !ticks.is_empty())?;
            let total: u64 = ticks.iter().map(|core| core.total()).sum();
            Some(ticks.iter().map(part).sum::<u64>() as f64 / total as f64)
        };
        let worked = share(|core| core.worked);
        let server = self.server.switches_since(start.server);
        let client = self.client.switches_since(start.client);
        Noise {
            steal_share: share(|core| core.stolen),
            // Core time is the clock's for the threads and the ticks' for the cores: each against its own.
            foreign_cpu_share: worked
                .zip(own_busy)
                .map(|(worked, own)| (worked - own / pinned.len() as f64).max(0.0)),
            server_involuntary_switches: server.map(|switches| switches.involuntary),
            client_involuntary_switches: client.map(|switches| switches.involuntary),
            server_voluntary_switches: server.map(|switches| switches.voluntary),
            client_voluntary_switches: client.map(|switches| switches.voluntary),
            segments_retransmitted: None,
            listen_overflows: None,
        }
    }

    /// Empty if one of the cores cannot be read.
    fn cores_busy_since(&self, start: &Self, cores: &[u32]) -> Vec<f64> {
        let busy = |&core: &u32| {
            let ticks = self.core_since(start, core)?;
            Some((ticks.worked + ticks.stolen) as f64 / ticks.total() as f64)
        };
        cores
            .iter()
            .map(busy)
            .collect::<Option<_>>()
            .unwrap_or_default()
    }

    /// `None` if not one tick has passed on it.
    fn core_since(&self, start: &Self, core: u32) -> Option<CoreTicks> {
        let ticks = self.cores.get(&core)?.since(*start.cores.get(&core)?);
        (ticks.total() > 0).then_some(ticks)
    }
}

impl Threads {
    fn read(threads: &[u32]) -> Self {
        let cpu_ns = |thread: &u32| {
            let text = proc_files::read(&format!("/proc/{thread}/schedstat")).ok()?;
            thread::cpu_ns(&text).ok()?
        };
        let switches = |thread: &u32| {
            let text = proc_files::read(&format!("/proc/{thread}/status")).ok()?;
            thread::switches(&text).ok()
        };
        if threads.is_empty() {
            return Self::default();
        }
        let all: Option<Vec<Switches>> = threads.iter().map(switches).collect();
        Self {
            cpu_ns: threads.iter().map(cpu_ns).sum(),
            switches: all.map(|all| Switches {
                voluntary: all.iter().map(|one| one.voluntary).sum(),
                involuntary: all.iter().map(|one| one.involuntary).sum(),
            }),
        }
    }

    /// In cores: 1.0 is a whole one.
    fn busy_since(self, start: Self, elapsed_seconds: f64) -> Option<f64> {
        let used_ns = self.cpu_ns?.checked_sub(start.cpu_ns?)?;
        Some(used_ns as f64 / 1e9 / elapsed_seconds)
    }

    fn switches_since(self, start: Self) -> Option<Switches> {
        let (end, start) = (self.switches?, start.switches?);
        Some(Switches {
            voluntary: end.voluntary.checked_sub(start.voluntary)?,
            involuntary: end.involuntary.checked_sub(start.involuntary)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn snapshot(
        at: Instant,
        server_ns: u64,
        client_ns: u64,
        cores: [(u64, u64, u64); 2],
    ) -> CpuSnapshot {
        let threads = |cpu_ns, count| Threads {
            cpu_ns: Some(cpu_ns),
            switches: Some(Switches {
                voluntary: count,
                involuntary: 2 * count,
            }),
        };
        let ticks = |(worked, rested, stolen)| CoreTicks {
            worked,
            rested,
            stolen,
        };
        CpuSnapshot {
            at: Some(at),
            server: threads(server_ns, server_ns / 1_000_000),
            client: threads(client_ns, client_ns / 1_000_000),
            cores: [(0, ticks(cores[0])), (1, ticks(cores[1]))].into(),
            server_cpus: vec![0],
            client_cpus: vec![1],
        }
    }

    fn close(a: Option<f64>, b: f64) {
        assert!(a.is_some_and(|a| (a - b).abs() < 1e-9), "{a:?} is not {b}");
    }

    #[test]
    fn shares_and_nanoseconds_an_echo_follow_from_two_snapshots() {
        let t = Instant::now();
        let start = snapshot(t, 0, 0, [(1000, 0, 0), (0, 0, 0)]);
        let end = snapshot(
            t + Duration::from_secs(2),
            1_000_000_000,
            1_600_000_000,
            [(1140, 60, 0), (160, 20, 20)],
        );
        let (cpu, noise) = end.usage_since(&start, Some(100_000.0));
        close(cpu.server_busy, 0.5);
        close(cpu.client_busy, 0.8);
        close(cpu.server_ns_per_echo, 5000.0);
        close(cpu.client_ns_per_echo, 8000.0);
        close(cpu.server_cores_busy.first().copied(), 0.7);
        close(cpu.client_cores_busy.first().copied(), 0.9);
        close(noise.steal_share, 20.0 / 400.0);
        close(noise.foreign_cpu_share, 300.0 / 400.0 - 1.3 / 2.0);
        assert_eq!(noise.server_voluntary_switches, Some(1000));
        assert_eq!(noise.client_involuntary_switches, Some(3200));
    }

    #[test]
    fn what_is_unknown_stays_unknown() {
        let t = Instant::now();
        let start = snapshot(t, 5, 5, [(0, 0, 0), (0, 0, 0)]);
        let mut end = snapshot(
            t + Duration::from_secs(1),
            4,
            1005,
            [(0, 100, 0), (0, 0, 0)],
        );
        end.client.switches = None;
        let (cpu, noise) = end.usage_since(&start, Some(0.0));
        assert_eq!(cpu.server_busy, None, "the thread was another one");
        assert_eq!(cpu.client_ns_per_echo, None, "there were no echoes");
        assert!(cpu.client_busy.is_some());
        assert_eq!(cpu.server_cores_busy, [0.0]);
        assert!(cpu.client_cores_busy.is_empty(), "not one tick passed");
        assert_eq!(noise.steal_share, None);
        assert_eq!(noise.foreign_cpu_share, None);
        assert_eq!(noise.client_voluntary_switches, None);
        let (cpu, noise) = end.usage_since(&CpuSnapshot::default(), Some(1.0));
        assert_eq!((cpu, noise), (Cpu::default(), Noise::default()));
    }

    #[test]
    fn a_thread_of_this_process_can_be_read_by_its_id() {
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let id = rustix::thread::gettid().as_raw_nonzero().get() as u32;
            tell.send(id).unwrap();
            let _ = ended.recv();
        });
        let id = told.recv().unwrap();
        assert_ne!(id, std::process::id());
        assert!(Threads::read(&[id]).switches.is_some());
        let with_stranger = Threads::read(&[id, u32::MAX]);
        assert!(with_stranger.switches.is_none() && with_stranger.cpu_ns.is_none());
        drop(end);
        thread.join().unwrap();
    }
}
