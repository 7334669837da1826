//! The network that a child process works in: one of its own, its sibling's, or the host's.
//!
//! Everything here changes the calling thread, so it must run while the process has only one.

use crate::raw;
use fourtuple_spec::address::PRIVATE_PORT_RANGE;
use fourtuple_spec::message::Network;
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::{fs, io};

/// Buckets of the established hash of the next namespace made: it has to be set before that one is.
const CHILD_HASH: &str = "net.ipv4.tcp_child_ehash_entries";

/// Moves this process, which must have one thread, into `network`; otherwise says why it cannot.
pub fn enter_network(network: &Network) -> Result<(), String> {
    match network {
        Network::Create(sysctls) => create(sysctls),
        Network::Join(pid) => {
            join(*pid).map_err(|error| format!("cannot join the network of process {pid}: {error}"))
        }
        Network::Host => Ok(()),
    }
}

fn create(sysctls: &BTreeMap<String, String>) -> Result<(), String> {
    unshare()?;
    if let Some(entries) = sysctls.get(CHILD_HASH) {
        set_sysctl(CHILD_HASH, entries)?;
        raw::unshare_network().map_err(|error| format!("a second unshare failed: {error}"))?;
    }
    raise_loopback()
        .map_err(|error| format!("the loopback device cannot be brought up: {error}"))?;
    apply_defaults()?;
    for (name, value) in sysctls.iter().filter(|(name, _)| *name != CHILD_HASH) {
        set_sysctl(name, value)?;
    }
    Ok(())
}

/// Root needs no user namespace, and keeps its rights over the host's files without one.
fn unshare() -> Result<(), String> {
    if raw::unshare_network().is_ok() {
        return Ok(());
    }
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    raw::unshare_user_and_network().map_err(explain_refusal)?;
    let map = |file: &str, line: String| {
        fs::write(format!("/proc/self/{file}"), line)
            .map_err(|error| format!("/proc/self/{file} cannot be written: {error}"))
    };
    map("uid_map", format!("{0} {0} 1", user.as_raw()))?;
    map("setgroups", "deny".to_owned())?;
    map("gid_map", format!("{0} {0} 1", group.as_raw()))
}

fn explain_refusal(error: Errno) -> String {
    let setting = |path: &str| fs::read_to_string(path).map(|text| text.trim().to_owned());
    if setting("/proc/sys/user/max_user_namespaces").is_ok_and(|value| value == "0") {
        return "user.max_user_namespaces is 0".to_owned();
    }
    if setting("/proc/sys/kernel/unprivileged_userns_clone").is_ok_and(|value| value == "0") {
        return "kernel.unprivileged_userns_clone is 0".to_owned();
    }
    let cause = match error {
        Errno::PERM => " (a container's seccomp profile, or AppArmor)",
        Errno::INVAL | Errno::NOSYS => " (this kernel has no such namespaces)",
        _ => "",
    };
    format!("unshare: {error}{cause}")
}

/// Settings that every private network starts with: ports for the clients, no short queues.
fn apply_defaults() -> Result<(), String> {
    let (low, high) = PRIVATE_PORT_RANGE;
    set_sysctl("net.ipv4.ip_local_port_range", &format!("{low} {high}"))?;
    set_sysctl("net.core.somaxconn", "65535")?;
    set_sysctl("net.ipv4.tcp_max_syn_backlog", "65535")?;
    // Not every kernel has it per namespace, and only a client that closes first needs it.
    let _ = set_sysctl("net.ipv4.tcp_max_tw_buckets", "2097152");
    Ok(())
}

/// Writes a setting of this namespace and reads it back: the kernel clamps some values silently.
fn set_sysctl(name: &str, value: &str) -> Result<(), String> {
    let path = sysctl_path(name)?;
    fs::write(&path, value).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!(
            "{name} is no setting of a private network: this kernel does not have it, or only for the whole host"
        ),
        _ => format!("{name} cannot be set to {value:?}: {error}"),
    })?;
    let got = fs::read_to_string(&path)
        .map_err(|error| format!("{name} cannot be read back: {error}"))?;
    if got.split_whitespace().eq(value.split_whitespace()) {
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

/// `RTM_NEWLINK` for interface 1, which is `lo` in every new namespace, with `IFF_UP`.
fn raise_loopback() -> Result<(), String> {
    let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)
        .map_err(|error| format!("netlink socket: {error}"))?;
    rustix::net::send(&socket, &link_up_request(1), SendFlags::empty())
        .map_err(|error| format!("netlink send: {error}"))?;
    let mut reply = [0_u8; 1024];
    let (bytes, _) = rustix::net::recv(&socket, &mut reply[..], RecvFlags::empty())
        .map_err(|error| format!("netlink receive: {error}"))?;
    // nlmsghdr (16 bytes), then nlmsgerr, whose first field is the negative errno, or 0.
    let Some(code) = reply[..bytes].get(16..20) else {
        return Err("netlink: short answer".to_owned());
    };
    match i32::from_ne_bytes(code.try_into().expect("four bytes")) {
        0 => Ok(()),
        code => Err(Errno::from_raw_os_error(-code).to_string()),
    }
}

fn link_up_request(interface: i32) -> [u8; 32] {
    const RTM_NEWLINK: u16 = 16;
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const IFF_UP: u32 = 1;
    let mut bytes = [0_u8; 32];
    bytes[0..4].copy_from_slice(&32_u32.to_ne_bytes());
    bytes[4..6].copy_from_slice(&RTM_NEWLINK.to_ne_bytes());
    bytes[6..8].copy_from_slice(&REQUEST_AND_ACK.to_ne_bytes());
    // ifinfomsg from byte 16: family and type 0, then index, flags, and which flags change.
    bytes[20..24].copy_from_slice(&interface.to_ne_bytes());
    bytes[24..28].copy_from_slice(&IFF_UP.to_ne_bytes());
    bytes[28..32].copy_from_slice(&IFF_UP.to_ne_bytes());
    bytes
}

/// The user namespace comes first: in it the process has the right to enter the network.
fn join(pid: u32) -> io::Result<()> {
    let theirs = |kind: &str| format!("/proc/{pid}/ns/{kind}");
    let user = fs::File::open(theirs("user"))?;
    let network = fs::File::open(theirs("net"))?;
    let own = fs::metadata("/proc/self/ns/user")?;
    if user.metadata()?.ino() != own.ino() {
        move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User))?;
    }
    move_into_link_name_space(network.as_fd(), Some(LinkNameSpaceType::Network))?;
    Ok(())
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
