//! The network that a child process works in: one of its own, its sibling's, one that is joined to its
//! sibling's, or the host's.
//!
//! Everything here changes the calling thread, so it must run while the process has only one.

mod netlink;
mod sysctl;
mod tun;
mod veth;

use crate::raw;
use fourtuple_spec::message::Network;
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::{fs, io};
pub use sysctl::{check_sysctl_name, host_port_range};
pub use tun::{ghosts_may_run_here, open_ghost_device};
pub use veth::veth_settings;

/// Moves this process, which must have one thread, into `network`; otherwise says why it cannot.
pub fn enter_network(network: &Network) -> Result<(), String> {
    match network {
        Network::Create(sysctls) => create(sysctls),
        Network::Join(pid) => join(*pid),
        Network::Veth(server_pid, sysctls) => veth::enter(*server_pid, sysctls),
        Network::Host => Ok(()),
    }
}

fn create(sysctls: &BTreeMap<String, String>) -> Result<(), String> {
    unshare()?;
    if let Some(entries) = sysctls.get(sysctl::CHILD_HASH) {
        sysctl::set(sysctl::CHILD_HASH, entries)?;
        raw::unshare_network().map_err(|error| format!("a second unshare failed: {error}"))?;
    }
    netlink::raise_loopback().map_err(|error| {
        let advice = apparmor_advice();
        format!("the loopback device cannot be brought up: {error}{advice}")
    })?;
    sysctl::apply(sysctls)
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
    let is_zero = |path: &str| fs::read_to_string(path).is_ok_and(|text| text.trim() == "0");
    if is_zero("/proc/sys/user/max_user_namespaces") {
        return "user.max_user_namespaces is 0; `sysctl user.max_user_namespaces=10000` as root allows them, or run \
                as root"
            .to_owned();
    }
    if is_zero("/proc/sys/kernel/unprivileged_userns_clone") {
        return "kernel.unprivileged_userns_clone is 0; `sysctl kernel.unprivileged_userns_clone=1` as root allows \
                them, or run as root"
            .to_owned();
    }
    let cause = match error {
        Errno::PERM => {
            " (a container's seccomp profile, or AppArmor); run outside the container, or in one with CAP_SYS_ADMIN"
        }
        Errno::INVAL | Errno::NOSYS => " (this kernel has no such namespaces)",
        Errno::NOSPC => " (user.max_user_namespaces or user.max_net_namespaces are reached)",
        _ => "",
    };
    format!("unshare: {error}{cause}")
}

/// Ubuntu's way to refuse: the namespace is granted, and every right in it is not.
fn apparmor_advice() -> &'static str {
    const SETTING: &str = "/proc/sys/kernel/apparmor_restrict_unprivileged_userns";
    match fs::read_to_string(SETTING) {
        Ok(text) if text.trim() == "1" => {
            "; AppArmor takes the rights from ordinary users' namespaces: `sysctl \
             kernel.apparmor_restrict_unprivileged_userns=0` as root gives them back, or run as root"
        }
        _ => "",
    }
}

/// Whether a process is in another network than this one is.
pub fn is_elsewhere(pid: u32) -> io::Result<bool> {
    let theirs = fs::metadata(format!("/proc/{pid}/ns/net"))?.ino();
    Ok(theirs != fs::metadata("/proc/self/ns/net")?.ino())
}

fn join(pid: u32) -> Result<(), String> {
    move_to(pid).map_err(|error| format!("cannot join the network of process {pid}: {error}"))
}

/// The user namespace comes first: in it the process has the right to enter the network.
fn move_to(pid: u32) -> io::Result<()> {
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
