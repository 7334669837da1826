//! The network that a child process works in: one of its own, its sibling's, or the host's.
//!
//! Everything here changes the calling thread, so it must run while the process has only one.

use crate::raw;
use fourtuple_client::{GHOST_PREFIX_BITS, GHOST_SERVER_ADDRESS};
use fourtuple_spec::address::PRIVATE_PORT_RANGE;
use fourtuple_spec::message::Network;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketType};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::{fs, io};

/// Buckets of the established hash of the next namespace made: it has to be set before that one is.
const CHILD_HASH: &str = "net.ipv4.tcp_child_ehash_entries";

/// The device of ghost peers.
const GHOST_DEVICE: &str = "ghosts";
const GHOST_MTU_BYTES: u32 = 1500;
/// Packets that the kernel may have sent and the ghosts not read: what a window of connections can say
/// at once, with room. The queue's memory is taken before a run's baseline.
const GHOST_QUEUE_PACKETS: u32 = 32_768;

const RTM_NEWLINK: u16 = 16;
const RTM_NEWADDR: u16 = 20;
const RTM_NEWQDISC: u16 = 36;
const IFLA_MTU: u16 = 4;
const IFLA_TXQLEN: u16 = 13;
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const TCA_KIND: u16 = 1;

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
    raise_loopback().map_err(|error| {
        let advice = apparmor_advice();
        format!("the loopback device cannot be brought up: {error}{advice}")
    })?;
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

/// Brings up interface 1, which is `lo` in every new namespace.
fn raise_loopback() -> Result<(), String> {
    Netlink::open()?.ask(RTM_NEWLINK, &link_up(1), &[])
}

/// Opens a TUN device in this process's network, which has to be a private one, and brings it up with
/// the ghosts' server address.
pub fn open_ghost_device() -> Result<OwnedFd, String> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(explain_tun)?;
    raw::make_tun(device.as_fd(), GHOST_DEVICE).map_err(explain_tun_setting)?;
    raise_ghost_device().map_err(|error| format!("the TUN device {GHOST_DEVICE}: {error}"))?;
    Ok(device)
}

fn explain_tun(errno: Errno) -> String {
    let advice = match errno {
        Errno::NOENT | Errno::NODEV | Errno::NXIO => {
            "; ghost peers need it: `modprobe tun`, or in a container `--device /dev/net/tun`"
        }
        Errno::ACCESS | Errno::PERM => {
            "; ghost peers need it: `chmod 666 /dev/net/tun` as root, or in a container `--device /dev/net/tun`"
        }
        _ => "",
    };
    format!("/dev/net/tun cannot be opened: {errno}{advice}")
}

fn explain_tun_setting(errno: Errno) -> String {
    let advice = match errno {
        Errno::PERM => {
            "; making a device takes CAP_NET_ADMIN in this network: run as root, or as an ordinary user where user \
             namespaces are allowed, e.g. under `unshare -rn`"
        }
        Errno::BUSY => {
            "; other ghosts are in this network already: a network has room for one such run"
        }
        _ => "",
    };
    format!("the TUN device {GHOST_DEVICE} cannot be made (TUNSETIFF): {errno}{advice}")
}

fn raise_ghost_device() -> Result<(), String> {
    let mut netlink = Netlink::open()?;
    let index = rustix::net::netdevice::name_to_index(&netlink.socket, GHOST_DEVICE)
        .map_err(|error| format!("its index is unknown: {error}"))?;
    let mtu_bytes = GHOST_MTU_BYTES.to_ne_bytes();
    let queue_packets = GHOST_QUEUE_PACKETS.to_ne_bytes();
    let limits = [(IFLA_MTU, &mtu_bytes[..]), (IFLA_TXQLEN, &queue_packets)];
    netlink.ask(RTM_NEWLINK, &link_up(index), &limits)?;
    let address = GHOST_SERVER_ADDRESS.octets();
    let attributes = [(IFA_LOCAL, &address[..]), (IFA_ADDRESS, &address)];
    netlink.ask(RTM_NEWADDR, &ipv4_address(index), &attributes)?;
    // The device has a queue of its own, and `lo` has no other either: one more costs a tenth of the rate.
    // Where that is refused (before 4.3), it works as well, only slower.
    let _ = netlink.ask(
        RTM_NEWQDISC,
        &root_queue(index),
        &[(TCA_KIND, b"noqueue\0")],
    );
    Ok(())
}

/// Just enough of rtnetlink(7).
struct Netlink {
    socket: OwnedFd,
}

impl Netlink {
    fn open() -> Result<Self, String> {
        let socket = rustix::net::socket(AddressFamily::NETLINK, SocketType::RAW, None)
            .map_err(|error| format!("netlink socket: {error}"))?;
        Ok(Self { socket })
    }

    /// Sends one request and waits until it is done.
    fn ask(&mut self, kind: u16, body: &[u8], attributes: &[Attribute<'_>]) -> Result<(), String> {
        let request = netlink_request(kind, body, attributes);
        rustix::net::send(&self.socket, &request, SendFlags::empty())
            .map_err(|error| format!("netlink send: {error}"))?;
        let mut reply = [0_u8; 1024];
        let (bytes, _) = rustix::net::recv(&self.socket, &mut reply[..], RecvFlags::empty())
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
}

/// An attribute's name, and its value.
type Attribute<'v> = (u16, &'v [u8]);

/// nlmsghdr, the body, then each attribute with its header of four bytes; the next begins on the fourth byte.
fn netlink_request(kind: u16, body: &[u8], attributes: &[Attribute<'_>]) -> Vec<u8> {
    const REQUEST_AND_ACK: u16 = 1 | 4;
    const REPLACE: u16 = 0x100;
    const CREATE: u16 = 0x400;
    let flags = match kind {
        RTM_NEWADDR => REQUEST_AND_ACK | CREATE,
        RTM_NEWQDISC => REQUEST_AND_ACK | CREATE | REPLACE,
        _ => REQUEST_AND_ACK,
    };
    let mut bytes = vec![0; 4];
    bytes.extend(kind.to_ne_bytes());
    bytes.extend(flags.to_ne_bytes());
    // Sequence number and port: there is one request at a time, and the kernel knows who asks.
    bytes.extend([0; 8]);
    bytes.extend(body);
    for (name, value) in attributes {
        bytes.extend((4 + value.len() as u16).to_ne_bytes());
        bytes.extend(name.to_ne_bytes());
        bytes.extend(*value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    let length = bytes.len() as u32;
    bytes[0..4].copy_from_slice(&length.to_ne_bytes());
    bytes
}

/// ifinfomsg: family and type 0, then index, flags, and which flags change.
fn link_up(interface: u32) -> [u8; 16] {
    const IFF_UP: u32 = 1;
    let mut bytes = [0_u8; 16];
    bytes[4..8].copy_from_slice(&interface.to_ne_bytes());
    bytes[8..12].copy_from_slice(&IFF_UP.to_ne_bytes());
    bytes[12..16].copy_from_slice(&IFF_UP.to_ne_bytes());
    bytes
}

/// ifaddrmsg: family, prefix, flags, scope (all the world), index.
fn ipv4_address(interface: u32) -> [u8; 8] {
    const AF_INET: u8 = 2;
    let mut bytes = [AF_INET, GHOST_PREFIX_BITS, 0, 0, 0, 0, 0, 0];
    bytes[4..8].copy_from_slice(&interface.to_ne_bytes());
    bytes
}

/// tcmsg: family and padding 0, index, a handle of the kernel's choice, the root as parent.
fn root_queue(interface: u32) -> [u8; 20] {
    let mut bytes = [0_u8; 20];
    bytes[4..8].copy_from_slice(&interface.to_ne_bytes());
    bytes[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
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

/// Whether ghosts may speak in this process's network as it is: not in one that leads to other machines, which
/// has no use for 131,072 addresses and their packets.
///
/// # Errors
/// Why not, and what to do.
pub fn ghosts_may_run_here() -> Result<(), String> {
    let identity = |path: &str| fs::metadata(path).map(|meta| (meta.dev(), meta.ino()));
    let reason = match (identity("/proc/self/ns/net"), identity("/proc/1/ns/net")) {
        (Ok(own), Ok(first)) if own == first => Some("this is the network of process 1".to_owned()),
        (Ok(_), Ok(_)) => None,
        // An ordinary user is not told which network process 1 has, but may be in one of its own.
        _ => outside_device()?.map(|name| format!("the device {name} leads out of this network")),
    };
    reason.map_or(Ok(()), |reason| Err(format!("{reason}: {GHOST_ADVICE}")))
}

const GHOST_ADVICE: &str = "ghosts speak only in a network namespace of their own. Run server and load inside one, e.g. \
    `unshare -rn sh -c 'ip link set lo up; my-server 7000 & sleep 1; fourtuple load --peer ghost --target \
    198.18.0.1:7000'`";

/// A device by which this network has a route or an address, other than `lo`.
///
/// Not every other device counts: some kernels put tunnels into each network, which are down.
fn outside_device() -> Result<Option<String>, String> {
    let read = |path: &str| {
        fs::read_to_string(path)
            .map_err(|error| format!("{path} cannot be read ({error}): {GHOST_ADVICE}"))
    };
    let routes = read("/proc/self/net/route")?;
    // There is none where IPv6 is switched off.
    let addresses = fs::read_to_string("/proc/self/net/if_inet6").unwrap_or_default();
    Ok(outside_device_of(&routes, &addresses))
}

/// A route's first column is its device, after a line of titles; an IPv6 address's last is.
fn outside_device_of(routes: &str, addresses: &str) -> Option<String> {
    let routed = routes
        .lines()
        .skip(1)
        .filter_map(|line| line.split_whitespace().next());
    let addressed = addresses
        .lines()
        .filter_map(|line| line.split_whitespace().last());
    routed
        .chain(addressed)
        .find(|&name| name != "lo")
        .map(str::to_owned)
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
    fn a_netlink_request_says_its_own_length() {
        let mtu_bytes = 1500_u32.to_ne_bytes();
        let bytes = netlink_request(RTM_NEWLINK, &link_up(7), &[(IFLA_MTU, &mtu_bytes)]);
        assert_eq!(bytes.len(), 16 + 16 + 8);
        assert_eq!(bytes[0..4], 40_u32.to_ne_bytes());
        assert_eq!(bytes[20..24], 7_u32.to_ne_bytes());
        assert_eq!(bytes[32..34], 8_u16.to_ne_bytes());
        assert_eq!(bytes[36..40], 1500_u32.to_ne_bytes());
    }

    #[test]
    fn what_follows_an_odd_attribute_begins_on_a_fourth_byte() {
        let attributes = [(TCA_KIND, &b"fq\0"[..]), (9, &b"next"[..])];
        let bytes = netlink_request(RTM_NEWQDISC, &root_queue(7), &attributes);
        assert_eq!(bytes.len(), 16 + 20 + 8 + 8);
        assert_eq!(bytes[0..4], 52_u32.to_ne_bytes());
        assert_eq!(bytes[36..38], 7_u16.to_ne_bytes(), "without the padding");
        assert_eq!(bytes[40..44], *b"fq\0\0");
        assert_eq!(bytes[48..52], *b"next");
    }

    #[test]
    fn a_missing_tun_says_what_to_do() {
        assert!(explain_tun(Errno::NOENT).contains("modprobe tun"));
        assert!(explain_tun(Errno::ACCESS).contains("chmod"));
        assert!(explain_tun(Errno::PERM).contains("--device /dev/net/tun"));
        assert!(explain_tun_setting(Errno::PERM).contains("CAP_NET_ADMIN"));
        assert!(explain_tun_setting(Errno::BUSY).contains("other ghosts"));
    }

    #[test]
    fn ghosts_may_not_run_in_the_network_of_process_1() {
        let link = |path: &str| fs::read_link(path).ok();
        let own = link("/proc/self/ns/net");
        let first = link("/proc/1/ns/net");
        match (own, first) {
            (Some(own), Some(first)) => {
                let refusal = ghosts_may_run_here().err();
                assert_eq!(refusal.is_some(), own == first, "{refusal:?}");
            }
            _ => eprintln!("skipped: the network of process 1 is not to be known"),
        }
    }

    #[test]
    fn only_a_device_with_a_route_or_an_address_leads_out() {
        const TITLES: &str = "Iface\tDestination\tGateway \tFlags\n";
        const LOOPBACK: &str = "00000000000000000000000000000001 01 80 10 80       lo\n";
        let of = |routes: &str, addresses: &str| {
            outside_device_of(
                &format!("{TITLES}{routes}"),
                &format!("{LOOPBACK}{addresses}"),
            )
        };
        assert_eq!(of("", ""), None);
        assert_eq!(of("lo\t0000007F\t00000000\t0001\n", ""), None);
        let routed = of("eth0\t00000000\t0100A8C0\t0003\n", "");
        assert_eq!(routed.as_deref(), Some("eth0"));
        let addressed = of(
            "",
            "fe800000000000000000000000000001 02 40 20 80     veth0\n",
        );
        assert_eq!(addressed.as_deref(), Some("veth0"));
        assert_eq!(outside_device_of("", ""), None);
    }

    #[test]
    fn the_host_has_a_port_range() {
        let (low, high) = host_port_range();
        assert!(low < high);
    }
}
