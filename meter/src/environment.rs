//! The environment of runs, as the kernel tells it to the calling process: in its network, with its limits.

mod command_line;
mod control_group;
pub(crate) mod limits;
mod sysctls;

use crate::{host, proc_files};
use fourtuple_spec::Environment;
use std::collections::BTreeMap;

const CPUS: &str = "/sys/devices/system/cpu";
const HUGE_PAGES: &str = "/sys/kernel/mm/transparent_hugepage";

/// Everything but what io_uring can do and how this program was built, which others know.
///
/// What is of the network is that of the network which the calling process is in.
pub fn environment() -> Environment {
    let host = host();
    let sysctls = sysctls::read();
    Environment {
        kernel: host.kernel,
        command_line: proc_files::value("/proc/cmdline").map(|text| command_line::public(&text)),
        mitigations: files_in(&format!("{CPUS}/vulnerabilities")),
        cpu: host.cpu,
        cores: host.cores,
        smt: proc_files::value(&format!("{CPUS}/smt/control")),
        governors: governors(),
        microcode: microcode(&proc_files::read("/proc/cpuinfo").unwrap_or_default()),
        memory_bytes: host.memory_bytes,
        hypervisor: host.hypervisor,
        clock_source: host.clock_source,
        mtu: mtu(),
        transparent_huge_pages: huge_pages(),
        sysctls,
        limits: limits::parse(&proc_files::read("/proc/self/limits").unwrap_or_default()),
        control_group: control_group::read(),
        ..Environment::default()
    }
}

/// The `net.*` settings that a process sees in the network that it is in. A private network shows those alone that are
/// its own; the others hold for every network of the machine, and can be read in the first one.
pub fn network_settings() -> BTreeMap<String, String> {
    sysctls::read_network()
}

/// Each file of a directory with what it says.
fn files_in(directory: &str) -> BTreeMap<String, String> {
    let names = proc_files::names_in(directory).into_iter();
    names
        .filter_map(|name| {
            let value = proc_files::value(&format!("{directory}/{name}"))?;
            Some((name, value))
        })
        .collect()
}

/// The kinds in use: on most machines every core has the same.
fn governors() -> Vec<String> {
    let cpus = proc_files::names_in(CPUS).into_iter();
    let mut kinds: Vec<String> = cpus
        .filter_map(|cpu| proc_files::value(&format!("{CPUS}/{cpu}/cpufreq/scaling_governor")))
        .collect();
    kinds.sort();
    kinds.dedup();
    kinds
}

/// Of the first core: `microcode` of x86.
fn microcode(cpuinfo: &str) -> Option<String> {
    cpuinfo.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == "microcode").then(|| value.trim().to_owned())
    })
}

/// As IP version 6 has it, which is the device's wherever nobody has set it apart, and is told of the network that
/// the process is in. What `/sys/class/net` tells is of the network in which `/sys` was mounted.
fn mtu() -> BTreeMap<String, u32> {
    const DEVICES: &str = "/proc/sys/net/ipv6/conf";
    // The host's other devices are its own affair, and no run uses them.
    let mtu = proc_files::value(&format!("{DEVICES}/lo/mtu"));
    let mtu = mtu.and_then(|mtu| mtu.parse().ok());
    mtu.map(|mtu| ("lo".to_owned(), mtu)).into_iter().collect()
}

fn huge_pages() -> BTreeMap<String, String> {
    let of = |name: &str| proc_files::value(&format!("{HUGE_PAGES}/{name}"));
    ["enabled", "defrag", "shmem_enabled"]
        .into_iter()
        .filter_map(|name| Some((name.to_owned(), of(name)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_readings_are_equal() {
        let (first, second) = (environment(), environment());
        assert_eq!(first.differences(&second), []);
        assert_eq!(first.id(), second.id());
    }

    #[test]
    fn this_machine_has_one() {
        let environment = environment();
        assert!(environment.kernel.is_some());
        assert!(environment.cores.is_some_and(|cores| cores > 0));
        assert!(environment.limits.contains_key("open_files"));
        let somaxconn = &environment.sysctls["net.core.somaxconn"];
        assert!(somaxconn.parse::<u32>().is_ok(), "{somaxconn}");
        assert!(environment.sysctls.contains_key("vm.swappiness"));
        let network = network_settings();
        assert_eq!(network["net.core.somaxconn"], *somaxconn);
        assert!(network.keys().all(|name| name.starts_with("net.")));
    }

    #[test]
    fn nothing_of_it_names_the_machine() {
        let environment = environment();
        let host = host().name.unwrap_or_default();
        // A short name stands in other words as well.
        if host.len() > 5 {
            let json = format!("{environment:?}");
            assert!(!json.contains(&host));
        }
        let values = environment.sysctls.values();
        let words = values.chain(environment.command_line.as_ref());
        for value in words.chain(environment.control_group.values()) {
            assert!(
                !value.contains("/home") && !value.contains("/root"),
                "{value}"
            );
        }
    }

    #[test]
    fn microcode_is_the_first_cores() {
        let text = "processor\t: 0\nmodel name\t: X\nmicrocode\t: 0xd0003e7\nprocessor\t: 1\nmicrocode\t: 0x1\n";
        assert_eq!(microcode(text).as_deref(), Some("0xd0003e7"));
        assert_eq!(microcode("processor : 0\n"), None);
    }
}
