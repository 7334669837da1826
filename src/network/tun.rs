//! The device of ghost peers, and where it may be.

use super::netlink::{
    IFA_ADDRESS, IFA_LOCAL, IFLA_MTU, IFLA_TXQLEN, Netlink, Request, address, link_up,
};
use crate::raw;
use fourtuple_client::{GHOST_PREFIX_BITS, GHOST_SERVER_ADDRESS};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;

const GHOST_DEVICE: &str = "ghosts";
const GHOST_MTU_BYTES: u32 = 1500;
/// Packets that the kernel may have sent and the ghosts not read: what a window of connections can say
/// at once, with room. The queue's memory is taken before a run's baseline.
const GHOST_QUEUE_PACKETS: u32 = 32_768;

/// Opens a TUN device in this process's network, which has to be a private one, and brings it up with
/// the ghosts' server address.
pub fn open_ghost_device() -> Result<OwnedFd, String> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = rustix::fs::open("/dev/net/tun", flags, Mode::empty()).map_err(explain_tun)?;
    raw::make_tun(device.as_fd(), GHOST_DEVICE).map_err(explain_tun_setting)?;
    raise_ghost_device().map_err(|error| format!("the TUN device {GHOST_DEVICE}: {error}"))?;
    Ok(device)
}

fn raise_ghost_device() -> Result<(), String> {
    let mut netlink = Netlink::open()?;
    let index = netlink.index(GHOST_DEVICE)?;
    let up = link_up(index)
        .attribute(IFLA_MTU, &GHOST_MTU_BYTES.to_ne_bytes())
        .attribute(IFLA_TXQLEN, &GHOST_QUEUE_PACKETS.to_ne_bytes());
    netlink.ask(up)?;
    let server = GHOST_SERVER_ADDRESS.octets();
    let assign = address(index, GHOST_PREFIX_BITS)
        .attribute(IFA_LOCAL, &server)
        .attribute(IFA_ADDRESS, &server);
    netlink.ask(assign)?;
    // The device has a queue of its own, and `lo` has no other either: one more costs a tenth of the rate.
    // Where that is refused (before 4.3), it works as well, only slower.
    let _ = netlink.ask(no_queue(index));
    Ok(())
}

/// tcmsg: family and padding 0, index, a handle of the kernel's choice, the root as parent.
fn no_queue(interface: u32) -> Request {
    const RTM_NEWQDISC: u16 = 36;
    const TCA_KIND: u16 = 1;
    let mut body = [0_u8; 20];
    body[4..8].copy_from_slice(&interface.to_ne_bytes());
    body[12..16].copy_from_slice(&u32::MAX.to_ne_bytes());
    Request::replacing(RTM_NEWQDISC, &body).attribute(TCA_KIND, b"noqueue\0")
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_queueing_discipline_is_named_after_its_device() {
        let bytes = no_queue(7).finish();
        assert_eq!(bytes.len(), 16 + 20 + 12);
        assert_eq!(bytes[20..24], 7_u32.to_ne_bytes());
        assert_eq!(bytes[28..32], u32::MAX.to_ne_bytes());
        assert_eq!(bytes[36..38], 12_u16.to_ne_bytes());
        assert_eq!(bytes[40..48], *b"noqueue\0");
    }
}
