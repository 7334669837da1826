//! Which cores a run gets: different physical cores of the same node, and not the one that
//! interrupts prefer, as far as the machine has enough of them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// One logical CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cpu {
    /// Its number.
    pub number: u32,
    /// The physical core that it is a thread of: package and core.
    pub core: (u32, u32),
    /// The memory node that it belongs to.
    pub node: u32,
}

/// The CPUs that this process may use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    cpus: Vec<Cpu>,
}

impl Machine {
    /// Reads the allowed CPUs and where they lie. What sysfs does not say is taken to be simple:
    /// every CPU a core of its own, one node.
    pub fn read() -> Self {
        let allowed = core_affinity::get_core_ids().unwrap_or_default();
        let root = Path::new("/sys/devices/system/cpu");
        Self {
            cpus: allowed
                .iter()
                .filter_map(|id| u32::try_from(id.id).ok())
                .map(|number| read_cpu(root, number))
                .collect(),
        }
    }

    /// A core for the server and one for the client.
    pub fn choose(&self) -> (u32, u32) {
        let cores = self.physical_cores();
        let quiet: Vec<Cpu> = if cores.len() > 2 {
            cores
                .into_iter()
                .filter(|cpu| !self.hosts_cpu_0(cpu))
                .collect()
        } else {
            cores
        };
        let mut nodes: BTreeMap<u32, Vec<Cpu>> = BTreeMap::new();
        for &cpu in &quiet {
            nodes.entry(cpu.node).or_default().push(cpu);
        }
        let together = nodes.into_values().find(|node| node.len() > 1);
        let (first, second) = match &*together.unwrap_or(quiet) {
            [] => (0, 0),
            [only] => (only.number, self.sibling(only)),
            [first, second, ..] => (first.number, second.number),
        };
        (first, second)
    }

    /// Whether any core of one list is a thread of the same physical core as one of the other.
    pub fn share_physical_core(&self, one: &[u32], other: &[u32]) -> bool {
        let cores = |list: &[u32]| -> BTreeSet<_> {
            (self.cpus.iter())
                .filter(|cpu| list.contains(&cpu.number))
                .map(|cpu| cpu.core)
                .collect()
        };
        !cores(one).is_disjoint(&cores(other))
    }

    /// Refuses cores that this process may not use.
    pub fn check(&self, flag: &str, asked: &[u32]) -> Result<(), String> {
        let exists = |number: &u32| self.cpus.iter().any(|cpu| cpu.number == *number);
        match asked.iter().find(|number| !exists(number)) {
            None => Ok(()),
            Some(number) => Err(format!(
                "{flag}: there is no core {number} here; this process may use {}",
                list(self.cpus.iter().map(|cpu| cpu.number))
            )),
        }
    }

    /// The first thread of each physical core, in order.
    fn physical_cores(&self) -> Vec<Cpu> {
        let mut seen = BTreeSet::new();
        let first = |cpu: &&Cpu| seen.insert(cpu.core);
        self.cpus.iter().filter(first).copied().collect()
    }

    fn hosts_cpu_0(&self, cpu: &Cpu) -> bool {
        self.cpus
            .iter()
            .any(|other| other.number == 0 && other.core == cpu.core)
    }

    /// Another thread of the same core, or the same one again.
    fn sibling(&self, cpu: &Cpu) -> u32 {
        self.cpus
            .iter()
            .find(|other| other.core == cpu.core && other.number != cpu.number)
            .map_or(cpu.number, |other| other.number)
    }
}

fn read_cpu(root: &Path, number: u32) -> Cpu {
    let directory = root.join(format!("cpu{number}"));
    let field = |name: &str| -> Option<u32> {
        let text = fs::read_to_string(directory.join("topology").join(name)).ok()?;
        text.trim().parse().ok()
    };
    let node = fs::read_dir(&directory).ok().and_then(|entries| {
        entries
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .find_map(|name| name.strip_prefix("node")?.parse().ok())
    });
    Cpu {
        number,
        core: match (field("physical_package_id"), field("core_id")) {
            (Some(package), Some(core)) => (package, core),
            _ => (u32::MAX, number),
        },
        node: node.unwrap_or(0),
    }
}

/// `0, 2–4` for 0, 2, 3, 4.
fn list(numbers: impl Iterator<Item = u32>) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match spans.last_mut() {
            Some((_, end)) if *end + 1 == number => *end = number,
            _ => spans.push((number, number)),
        }
    }
    let words: Vec<String> = spans
        .iter()
        .map(|&(start, end)| match end - start {
            0 => start.to_string(),
            _ => format!("{start}-{end}"),
        })
        .collect();
    words.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpus: &[(u32, u32, u32)]) -> Machine {
        let cpus = cpus
            .iter()
            .map(|&(number, core, node)| Cpu {
                number,
                core: (0, core),
                node,
            })
            .collect();
        Machine { cpus }
    }

    #[test]
    fn one_core_is_shared() {
        assert_eq!(machine(&[(0, 0, 0)]).choose(), (0, 0));
        assert_eq!(machine(&[(5, 3, 0)]).choose(), (5, 5));
    }

    #[test]
    fn two_threads_of_one_core_are_better_than_one() {
        let machine = machine(&[(0, 0, 0), (1, 0, 0)]);
        assert_eq!(machine.choose(), (0, 1));
        assert!(machine.share_physical_core(&[0], &[1]));
    }

    #[test]
    fn two_cores_are_both_used() {
        let machine = machine(&[(0, 0, 0), (1, 1, 0)]);
        assert_eq!(machine.choose(), (0, 1));
        assert!(!machine.share_physical_core(&[0], &[1]));
    }

    #[test]
    fn threads_of_one_core_are_not_mistaken_for_two_cores() {
        let linux = [(0, 0, 0), (1, 1, 0), (2, 0, 0), (3, 1, 0)];
        assert_eq!(machine(&linux).choose(), (0, 1));
        let pairwise = [(0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 0)];
        assert_eq!(machine(&pairwise).choose(), (0, 2));
    }

    #[test]
    fn cpu_0_and_its_sibling_are_left_alone_where_there_are_more() {
        let cpus = [(0, 0, 0), (1, 0, 0), (2, 1, 0), (3, 1, 0), (4, 2, 0)];
        assert_eq!(machine(&cpus).choose(), (2, 4));
    }

    #[test]
    fn both_cores_are_of_one_node() {
        let cpus = [(0, 0, 0), (1, 1, 0), (2, 2, 1), (3, 3, 1)];
        assert_eq!(machine(&cpus).choose(), (2, 3));
        let apart = [(1, 1, 0), (2, 2, 1)];
        assert_eq!(machine(&apart).choose(), (1, 2));
    }

    #[test]
    fn a_core_that_is_not_there_is_refused_by_naming_those_that_are() {
        let machine = machine(&[(0, 0, 0), (2, 1, 0), (3, 2, 0)]);
        assert_eq!(machine.check("--server-cpus", &[2, 3]), Ok(()));
        let refusal = machine.check("--server-cpus", &[2, 7]).unwrap_err();
        assert_eq!(
            refusal,
            "--server-cpus: there is no core 7 here; this process may use 0, 2-3"
        );
    }

    #[test]
    fn this_machine_has_a_core_for_each_side() {
        let machine = Machine::read();
        let (server, client) = machine.choose();
        assert_eq!(machine.check("server", &[server, client]), Ok(()));
    }
}
