//! Limits of a process that the command itself has to know.

use crate::doctor::{Takes, of_case};
use fourtuple_spec::{Case, Engine};
use rustix::process::{Resource, getrlimit, setrlimit};

/// Descriptors that a process uses for other things than connections: pipes, rings, a listener.
const RESERVED_DESCRIPTORS: u64 = 64;

/// Descriptors that the command itself uses: records, standard streams, what it reads from /proc.
const OWN_DESCRIPTORS: u64 = 32;

/// Descriptors that a child costs the command: two pipes, and two more ends while it is started.
const CHILD_DESCRIPTORS: u64 = 4;

/// Raises this process's soft RLIMIT_NOFILE to the hard one and returns what it is now.
pub fn raise_descriptors() -> u64 {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Refused only where the hard limit is above fs.nr_open; then what there is has to do.
    let _ = setrlimit(Resource::Nofile, limit);
    soft_descriptors(getrlimit(Resource::Nofile).current)
}

/// Descriptors that a child will have once it has raised its limit.
pub fn child_descriptors() -> u64 {
    soft_descriptors(getrlimit(Resource::Nofile).maximum)
}

fn soft_descriptors(limit: Option<u64>) -> u64 {
    limit.unwrap_or(u64::MAX)
}

/// Descriptors of a case's server process, where a child has so many.
pub fn of_server(case: &Case, child_descriptors: u64) -> u64 {
    case.server_descriptors.map_or(child_descriptors, u64::from)
}

/// Child processes that a process with such a limit can hold the ends of.
pub fn children_max(descriptor_limit: u64) -> u64 {
    descriptor_limit.saturating_sub(OWN_DESCRIPTORS) / CHILD_DESCRIPTORS
}

/// Server processes of a case: as many as it says; or as its workers and its descriptors need, and the command can
/// hold the ends of.
pub fn server_processes(case: &Case, descriptor_limit: u64, children_max: u64) -> u32 {
    let most = u32::try_from(children_max).unwrap_or(u32::MAX);
    let needed = processes_needed(case, descriptor_limit);
    needed.min(most).max(worker_processes(case))
}

/// Server processes that a case's workers and its descriptors need.
pub fn processes_needed(case: &Case, descriptor_limit: u64) -> u32 {
    let workers = worker_processes(case);
    // How many processes another program has is its own affair.
    if of_case::takes(case) != Takes::Descriptor || case.engine == Some(Engine::Foreign) {
        return workers;
    }
    let needed = || shards(case.connections, descriptor_limit);
    case.server_processes.unwrap_or_else(needed).max(workers)
}

/// Server processes that a case's workers are: one each, but for a runtime that spreads its own threads.
pub fn worker_processes(case: &Case) -> u32 {
    match case.engine {
        Some(Engine::TokioMulti) => 1,
        _ => case.workers.max(1),
    }
}

/// Server processes that `connections` need where each takes a descriptor.
///
/// SO_REUSEPORT spreads by hash and not evenly, so a process is filled to 90 % on average.
pub fn shards(connections: u32, descriptor_limit: u64) -> u32 {
    let free = descriptor_limit.saturating_sub(RESERVED_DESCRIPTORS).max(1);
    let each = (free as f64 * 0.9).max(1.0);
    (f64::from(connections) / each).ceil().max(1.0) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use fourtuple_spec::factors::DescriptorKind;
    use fourtuple_spec::plan::{CaseDefaults, CaseRequest};

    const MANY: u64 = 5_000;

    fn case(engine: Engine) -> Case {
        CaseRequest::new(engine, 1_000)
            .resolve(&CaseDefaults::new(vec![0], vec![1]))
            .unwrap()
    }

    #[test]
    fn each_worker_is_a_process_and_descriptors_may_need_more() {
        let with = |engine| Case {
            workers: 3,
            ..case(engine)
        };
        assert_eq!(server_processes(&with(Engine::Uring), 20_000, MANY), 3);
        assert_eq!(server_processes(&with(Engine::Epoll), 20_000, MANY), 3);
        assert_eq!(server_processes(&with(Engine::Epoll), 128, MANY), 18);
        assert_eq!(server_processes(&with(Engine::TokioMulti), 20_000, MANY), 1);
    }

    #[test]
    fn there_are_no_more_processes_than_can_be_held_and_as_many_as_are_asked_for() {
        let mut case = case(Engine::Epoll);
        assert_eq!(server_processes(&case, 128, 7), 7);
        case.server_processes = Some(2);
        assert_eq!(server_processes(&case, 128, 7), 2);
        assert_eq!(processes_needed(&case, 128), 2);
        case.server_descriptors = Some(100);
        assert_eq!(of_server(&case, 20_000), 100);
    }

    #[test]
    fn a_ring_without_a_table_is_sharded_like_any_engine_on_process_descriptors() {
        let mut plain = case(Engine::Uring);
        assert_eq!(server_processes(&plain, 500, MANY), 1);
        plain.factors.descriptors = DescriptorKind::Plain;
        let epoll = server_processes(&case(Engine::Epoll), 500, MANY);
        assert_eq!(server_processes(&plain, 500, MANY), epoll);
        assert!(epoll > 1);
    }

    #[test]
    fn few_descriptors_hold_few_children() {
        assert_eq!(children_max(64), 8);
        assert_eq!(children_max(10), 0);
    }

    #[test]
    fn shards_leave_room_for_an_uneven_hash() {
        assert_eq!(shards(1, 1024), 1);
        assert_eq!(shards(17_942, 20_000), 1);
        assert_eq!(shards(17_943, 20_000), 2);
        assert_eq!(shards(1_000_000, 20_000), 56);
        assert_eq!(shards(10, 64), 10);
        assert_eq!(shards(1_000_000, u64::MAX), 1);
    }
}
