//! The system calls of the servers as the kernel counts them, during the warm-up and never beside what is
//! measured: a counted call takes some 100 ns more.
//!
//! The count is the tracepoint `raw_syscalls:sys_enter`, one event a thread, inherited by threads to come. It
//! takes the right to trace: root's, as a rule.

use crate::raw;
use fourtuple_meter::Subjects;
use fourtuple_spec::Case;
use std::fs::{self, File};
use std::io::Read;

/// Each thread takes a descriptor, and some microseconds when its count is read.
const THREADS_MOST: u64 = 256;

/// Where the tracepoint's number is. Nothing is mounted for it.
const ID_FILES: [&str; 2] = [
    "/sys/kernel/tracing/events/raw_syscalls/sys_enter/id",
    "/sys/kernel/debug/tracing/events/raw_syscalls/sys_enter/id",
];

/// As the warm-up ends, some echoes have been sent and not yet verified. With more of them than this share of
/// those that were, the calls are not those of the echoes.
const IN_FLIGHT_SHARE_MOST: f64 = 0.02;

/// A count under way.
pub struct Trace(Vec<File>);

impl Trace {
    /// Begins to count for the threads of the servers; `None` where that is refused, or there are none or too
    /// many.
    pub fn begin(subjects: &Subjects) -> Option<Self> {
        let threads = subjects.server_threads(THREADS_MOST)?;
        match threads.is_empty() {
            true => None,
            false => Self::of(&threads),
        }
    }

    fn of(threads: &[u32]) -> Option<Self> {
        let id = ID_FILES
            .iter()
            .find_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())?;
        let events: Option<Vec<File>> = threads
            .iter()
            .map(|&thread| Some(File::from(raw::count_tracepoint(id, thread).ok()?)))
            .collect();
        events.map(Self)
    }

    /// What has been counted so far.
    pub fn count(&mut self) -> Option<u64> {
        let counts = self.0.iter_mut().map(|event| {
            let mut bytes = [0; 8];
            event.read_exact(&mut bytes).ok()?;
            Some(u64::from_ne_bytes(bytes))
        });
        counts.sum()
    }

    /// Stops. On a thread of its own, because the last one to go waits until no core can be counting any more.
    pub fn end(self) {
        let _ = std::thread::Builder::new().spawn(move || drop(self));
    }
}

/// Whether the echoes of the warm-up are those that the counted calls served.
pub fn is_telling(case: &Case, warmup_echoes: u64) -> bool {
    let active = case.active_connections.min(case.hot());
    let in_flight = u64::from(active) * u64::from(case.depth);
    in_flight as f64 <= warmup_echoes as f64 * IN_FLIGHT_SHARE_MOST
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::Engine;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

    #[test]
    fn the_calls_of_a_thread_are_counted_where_that_is_allowed() {
        let (tell, told) = std::sync::mpsc::channel();
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            tell.send(rustix::thread::gettid().as_raw_nonzero().get() as u32)
                .unwrap();
            gone.recv().unwrap();
            for _ in 0..1_000 {
                let _ = rustix::process::getppid();
            }
            tell.send(0).unwrap();
            let _ = gone.recv();
        });
        let id = told.recv().unwrap();
        let trace = Trace::of(&[id]);
        go.send(()).unwrap();
        told.recv().unwrap();
        match trace {
            Some(mut trace) => {
                let count = trace.count().unwrap();
                assert!((1_000..2_000).contains(&count), "{count}");
                trace.end();
            }
            None => eprintln!("skipped: tracing is refused here"),
        }
        drop(go);
        thread.join().unwrap();
        assert!(Trace::begin(&Subjects::default()).is_none());
    }

    #[test]
    fn with_too_many_in_flight_a_warm_up_says_nothing() {
        let mut request = CaseRequest::new(Engine::Epoll, 100);
        request.depth = Some(2);
        let case = request
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap();
        assert!(is_telling(&case, 10_000));
        assert!(!is_telling(&case, 9_999));
    }
}
