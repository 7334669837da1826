//! Settings of a private network: which are its own, and how they are written.

use fourtuple_spec::address::PRIVATE_PORT_RANGE;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::{fs, io};

/// Buckets of the established hash of the next namespace made: it has to be set before that one is.
pub(super) const CHILD_HASH: &str = "net.ipv4.tcp_child_ehash_entries";

/// Writes what every private network starts with (ports for the clients, no short queues), then these.
pub(super) fn apply(sysctls: &BTreeMap<String, String>) -> Result<(), String> {
    let (low, high) = PRIVATE_PORT_RANGE;
    set("net.ipv4.ip_local_port_range", &format!("{low} {high}"))?;
    set("net.core.somaxconn", "65535")?;
    set("net.ipv4.tcp_max_syn_backlog", "65535")?;
    // Not every kernel has it per namespace, and only a client that closes first needs it.
    let _ = set("net.ipv4.tcp_max_tw_buckets", "2097152");
    for (name, value) in sysctls.iter().filter(|(name, _)| *name != CHILD_HASH) {
        set(name, value)?;
    }
    Ok(())
}

/// Writes a setting of this namespace and reads it back: the kernel clamps some values silently.
pub(super) fn set(name: &str, value: &str) -> Result<(), String> {
    let path = sysctl_path(name)?;
    fs::write(&path, value).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{name} is no setting of a private network: this kernel does not have it, or only for the whole host"
        ),
        _ => format!("{name} cannot be set to {value:?}: {error}"),
    })?;
    let got = fs::read_to_string(&path)
        .map_err(|error| format!("{name} cannot be read back: {error}"))?;
    // A set of cores reads back in all the words that the machine's cores take.
    let plain = |text: &str| -> Vec<String> {
        let words = text.split_whitespace();
        words
            .map(|word| word.trim_start_matches(['0', ',']).to_owned())
            .collect()
    };
    if plain(&got) == plain(value) {
        return Ok(());
    }
    Err(format!(
        "{name} was set to {value:?} and reads {:?}: the kernel took another value",
        got.trim()
    ))
}

fn sysctl_path(name: &str) -> Result<PathBuf, String> {
    check_sysctl_name(name)?;
    // As sysctl(8) has it: with a slash in the name, dots stay (an interface may have one).
    let relative = if name.contains('/') {
        name.to_owned()
    } else {
        name.replace('.', "/")
    };
    Ok(PathBuf::from("/proc/sys").join(relative))
}

/// Refuses names of settings that are not a network namespace's own.
pub fn check_sysctl_name(name: &str) -> Result<(), String> {
    let is_network = name.starts_with("net.") || name.starts_with("net/");
    let is_plain = name
        .chars()
        .all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    if is_network && is_plain && !name.contains("..") {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no setting of a network namespace: a case may set net.* only, the rest belongs to the host"
    ))
}

/// Ports that the host gives its clients.
pub fn host_port_range() -> (u16, u16) {
    fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| {
            let mut ports = text.split_whitespace().map(|port| port.parse().ok());
            Some((ports.next()??, ports.next()??))
        })
        .unwrap_or((32768, 60999))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_of_a_network_namespace_have_a_path() {
        let path = sysctl_path("net.ipv4.tcp_rmem").unwrap();
        assert_eq!(path, PathBuf::from("/proc/sys/net/ipv4/tcp_rmem"));
        let path = sysctl_path("net/ipv4/conf/eth0.1/mtu").unwrap();
        assert_eq!(path, PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/mtu"));
        for name in [
            "vm.swappiness",
            "fs.nr_open",
            "net..vm",
            "net/../vm/x",
            "net.ipv4 x",
        ] {
            assert!(sysctl_path(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_host_has_a_port_range() {
        let (low, high) = host_port_range();
        assert!(low < high);
    }
}
