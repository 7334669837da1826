//! What bounds a client: ports, for each destination anew, and what has them.

use super::inputs::{Inputs, known};
use super::number::{count, counted};
use super::remedy::{set, setting_file};
use super::setting::{Aside, words};
use super::{Allows, Binding, Connecting, Remedy, Rung, Scope, Side};
use fourtuple_spec::limiter;
use fourtuple_spec::limits::NetworkLimits;
use std::collections::BTreeSet;

/// The range that leaves no more than the privileged ports: what a remedy widens to, where these are no more.
const WIDEST: (u16, u16) = (1024, u16::MAX);

const SYMPTOM: &str = "EADDRNOTAVAIL: connect fails (EADDRINUSE, if bind picks the port)";

/// The ports of a range.
struct Ports {
    range: (u16, u16),
    /// Those that are kept back.
    reserved: u64,
    /// Those that somebody listens on: connect does not pick them. `None` is not known.
    listening: Option<u64>,
    /// The widest range that takes nothing away.
    widened: (u16, u16),
    /// Those of it that are kept back or listened on, as far as that is known.
    taken_of_widened: u64,
}

impl Ports {
    fn read(inputs: &Inputs) -> Result<Self, String> {
        let network = &inputs.limits.network;
        let range = known(&network.ports)?;
        let reserved = known(&network.reserved_in_range)?;
        let listening = network.listening_in_range.known().copied();
        let widened = widened(range, network);
        let reserved_there = network.reserved_in_widest.known().copied().unwrap_or(0);
        let listening_there = listed(network, widened).max(listening.unwrap_or(0));
        Ok(Self {
            range,
            reserved,
            listening,
            widened,
            taken_of_widened: reserved_there.max(reserved).saturating_add(listening_there),
        })
    }

    fn all(&self) -> u64 {
        size(self.range)
    }

    fn taken(&self) -> u64 {
        self.reserved.saturating_add(self.listening.unwrap_or(0))
    }

    fn free(&self, binding: Binding) -> u64 {
        certain(self.all(), binding).saturating_sub(self.taken())
    }

    /// What would be free in the widest range, if nothing begins to listen there.
    fn free_at_most(&self, binding: Binding) -> u64 {
        certain(size(self.widened), binding).saturating_sub(self.taken_of_widened)
    }
}

/// The kernel takes no range that begins below `net.ipv4.ip_unprivileged_port_start`.
fn widened(range: (u16, u16), network: &NetworkLimits) -> (u16, u16) {
    let from = network.unprivileged_from.known().copied();
    let from = u16::try_from(from.unwrap_or(0)).unwrap_or(u16::MAX);
    let widest = (range.0.min(WIDEST.0).max(from), WIDEST.1);
    match size(widest) > size(range) {
        true => widest,
        false => range,
    }
}

/// Ports of a range that a listener is told of: where there are more than a few hundred, the others are not.
fn listed(network: &NetworkLimits, (first, last): (u16, u16)) -> u64 {
    let listeners = network.listeners.known().map_or(&[][..], Vec::as_slice);
    let ports = listeners.iter().map(|listener| listener.address.port());
    let within: BTreeSet<u16> = ports.filter(|port| (first..=last).contains(port)).collect();
    within.len() as u64
}

fn size((first, last): (u16, u16)) -> u64 {
    (u64::from(last) + 1).saturating_sub(u64::from(first))
}

/// Ports that are sure to be found. `connect` walks them by twos and leaves out an odd one, which it meets by luck alone;
/// `bind` looks at all of them. Found by experiment on Linux 6.18.
fn certain(ports: u64, binding: Binding) -> u64 {
    match binding {
        Binding::AtConnect if ports > 1 => ports & !1,
        _ => ports,
    }
}

/// How many connections so many ports are enough for; `None` is any number.
fn connections(client: &Connecting, ports: u64) -> Option<u64> {
    match (client.binding, client.group_connections) {
        (Binding::AtBind, _) => Some(ports),
        // Groups are filled one after another: the first one that is to hold more than there are ports ends it.
        (_, Some(each)) if each > ports => Some(ports),
        (_, Some(each)) => Some(client.groups?.saturating_mul(each)),
        (_, None) => Some(client.groups?.saturating_mul(ports)),
    }
}

/// net.ipv4.ip_local_port_range.
pub fn range(inputs: &Inputs) -> Option<Rung> {
    let ports = Ports::read(inputs);
    let client = inputs.question.client.as_ref();
    let (side, allowed) = match client {
        None => (
            Side::Server,
            any("all connections of a server share its one port"),
        ),
        Some(client) if client.binding == Binding::Never => {
            (Side::Client, any("the kernel picks no port here"))
        }
        Some(client) => {
            let room = ports
                .as_ref()
                .map(|ports| connections(client, ports.free(client.binding)));
            (Side::Client, room_of(room))
        }
    };
    Some(Rung {
        limit: limiter::PORT_RANGE,
        side,
        scope: Scope::Network,
        value: ports.as_ref().ok().map(|ports| {
            let (first, last) = ports.range;
            format!(
                "{first} to {last}: {}",
                counted(ports.all(), "port", "ports")
            )
        }),
        used: ports
            .as_ref()
            .ok()
            .and_then(|ports| used(inputs, client?, ports)),
        remedy: match (client, &ports, &allowed) {
            (Some(client), Ok(ports), Allows::Connections(room)) => {
                widen(inputs, client, ports, *room)
            }
            _ => Remedy::default(),
        },
        allows: allowed,
        read_from: setting_file(limiter::PORT_RANGE),
        symptom: SYMPTOM,
    })
}

fn any(why: &str) -> Allows {
    Allows::Any(why.to_owned())
}

fn room_of(room: Result<Option<u64>, &String>) -> Allows {
    match room {
        Ok(Some(room)) => Allows::Connections(room),
        Ok(None) => any(
            "each further destination or source has the range anew, and there are as many as it takes",
        ),
        Err(reason) => Allows::Unknown(reason.clone()),
    }
}

fn used(inputs: &Inputs, client: &Connecting, ports: &Ports) -> Option<String> {
    let mut parts = Vec::new();
    if ports.reserved > 0 {
        parts.push(format!("{} reserved", count(ports.reserved)));
    }
    match ports.listening {
        Some(0) => {}
        Some(listening) => parts.push(format!("{} listened on", count(listening))),
        None => {
            parts.push("at most, because it is not known which are listened on".to_owned());
        }
    }
    if client.binding != Binding::Never {
        parts.extend(apart(client));
        parts.extend(not_subtracted(inputs));
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

/// How many times the range is there.
fn apart(client: &Connecting) -> Option<String> {
    match (client.binding, client.groups) {
        (Binding::AtBind, _) => Some("one range for all destinations".to_owned()),
        (_, Some(1)) => Some("from one source to one destination".to_owned()),
        (_, Some(groups)) => {
            let (one, many) = (
                "pair of source and destination",
                "pairs of source and destination",
            );
            Some(format!("for each of {}", counted(groups, one, many)))
        }
        _ => None,
    }
}

/// Nobody counts the ports of sockets that are bound and do not listen, and of connections that there are: these take a
/// port from their own destination alone.
fn not_subtracted(inputs: &Inputs) -> Option<String> {
    let ports =
        "ports of sockets that are bound, or connected to the same destination, are not subtracted";
    match inputs.limits.network.sockets.known() {
        Some(0) => None,
        Some(open) => {
            let open = counted(*open, "TCP socket is open", "TCP sockets are open");
            Some(format!("{ports}: {open}"))
        }
        None => Some(ports.to_owned()),
    }
}

fn widen(inputs: &Inputs, client: &Connecting, ports: &Ports, room: u64) -> Remedy {
    let target = inputs.target(room);
    let widened = ports.widened;
    let most = ports.free_at_most(client.binding);
    let suffices = connections(client, most).is_none_or(|connections| connections >= target);
    let value = format!("{} {}", widened.0, widened.1);
    let remedy = match widened == ports.range {
        true => Remedy::advice(format!(
            "the range is as wide as it gets: {}",
            count(ports.all())
        )),
        false => Remedy {
            suffices,
            ..set(inputs, limiter::PORT_RANGE, Scope::Network, &value)
        }
        .and("a service that starts on one of these ports later needs it in net.ipv4.ip_local_reserved_ports"),
    };
    remedy.and(elsewhere(client, target, ports, suffices))
}

/// What helps without another range, or beside it.
fn elsewhere(client: &Connecting, target: u64, ports: &Ports, suffices: bool) -> String {
    if client.binding == Binding::AtBind {
        return "with IP_BIND_ADDRESS_NO_PORT, or without bind, each destination has the range anew".to_owned();
    }
    if client
        .group_connections
        .is_some_and(|each| each > ports.free(client.binding))
    {
        let most = counted(ports.free(client.binding), "connection", "connections");
        return format!("or give each pair of source and destination at most {most}");
    }
    let pairs = |ports: u64| count(target.div_ceil(ports.max(1)));
    match suffices {
        true => format!(
            "or use {} destinations or sources",
            pairs(ports.free(client.binding))
        ),
        false => format!(
            "a destination has at most {} ports for each source: use {} destinations or sources",
            count(ports.free_at_most(client.binding)),
            pairs(ports.free_at_most(client.binding))
        ),
    }
}

/// net.ipv4.ip_local_reserved_ports: only where it takes something away. The range has it subtracted already.
pub fn reserved(inputs: &Inputs) -> Option<Rung> {
    let client = inputs.question.client.as_ref()?;
    let ports = Ports::read(inputs).ok()?;
    if ports.reserved == 0 || client.binding == Binding::Never {
        return None;
    }
    Some(Rung {
        limit: limiter::RESERVED_PORTS,
        side: Side::Client,
        scope: Scope::Network,
        value: Some(counted(
            ports.reserved,
            "port of the range",
            "ports of the range",
        )),
        used: None,
        allows: Allows::Other(
            "ports that are kept back: they are subtracted from the range above".to_owned(),
        ),
        read_from: setting_file(limiter::RESERVED_PORTS),
        symptom: SYMPTOM,
        remedy: Remedy::advice("give back those that nobody needs: they are added to the range"),
    })
}

/// Connections in TIME_WAIT keep their four-tuples: those of one source and one destination are missing there. Which
/// destination is asked about is not known: it is taken for the one that has most.
pub fn time_wait(inputs: &Inputs) -> Option<Rung> {
    let client = inputs.question.client.as_ref()?;
    if client.binding == Binding::Never {
        return None;
    }
    let network = &inputs.limits.network;
    let waiting = known(&network.time_wait);
    let allowed = match &waiting {
        Err(reason) => Allows::Unknown(reason.clone()),
        Ok(0) => any("nothing is in TIME_WAIT"),
        Ok(_) if is_reused(inputs, client) => {
            any("net.ipv4.tcp_tw_reuse: after a second the next connection has the port")
        }
        Ok(waiting) => after_wait(inputs, client, *waiting),
    };
    Some(Rung {
        limit: limiter::TIME_WAIT,
        side: Side::Client,
        scope: Scope::Network,
        value: waiting
            .ok()
            .map(|waiting| counted(waiting, "connection", "connections")),
        used: matches!(allowed, Allows::Connections(_))
            .then(|| towards_one(network))
            .flatten(),
        remedy: match &allowed {
            Allows::Connections(_) | Allows::Other(_) => reuse(inputs, client),
            _ => Remedy::default(),
        },
        allows: allowed,
        read_from: "/proc/net/sockstat".to_owned(),
        symptom: "EADDRNOTAVAIL: connect fails for a minute after the connections before",
    })
}

fn towards_one(network: &NetworkLimits) -> Option<String> {
    let ports = network.time_wait_of_one.known()?;
    let ports = counted(*ports, "port of the range", "ports of the range");
    Some(format!("{ports} towards one destination"))
}

/// A connect takes over the port of a connection in TIME_WAIT, where that is older than a second and both have
/// timestamps. A bind does not.
fn is_reused(inputs: &Inputs, client: &Connecting) -> bool {
    let stays_here = inputs.question.server.is_some();
    client.binding == Binding::AtConnect
        && has_timestamps(inputs)
        && match inputs.limits.network.time_wait_reuse.known() {
            Some(1) => true,
            Some(2) => stays_here,
            _ => false,
        }
}

fn has_timestamps(inputs: &Inputs) -> bool {
    let timestamps = inputs.limits.network.timestamps.known();
    timestamps.is_some_and(|timestamps| *timestamps != 0)
}

/// What is left beside `waiting` sockets in TIME_WAIT. Whose these are may not be known: then no number is certain.
fn after_wait(inputs: &Inputs, client: &Connecting, waiting: u64) -> Allows {
    let ports = match Ports::read(inputs) {
        Ok(ports) => ports,
        Err(reason) => return Allows::Unknown(reason),
    };
    let most = counted(waiting.min(ports.all()), "port", "ports");
    if client.binding == Binding::AtBind {
        return Allows::Other(format!(
            "up to {most} of the range for a minute: bind picks none that is in TIME_WAIT"
        ));
    }
    match known(&inputs.limits.network.time_wait_of_one) {
        Ok(0) => any("none of them keeps a port of the range"),
        Ok(of_one) => match beside(client, ports.free(client.binding), of_one) {
            Some(room) => Allows::Connections(room),
            None => {
                any("further destinations are not concerned, and there are as many as it takes")
            }
        },
        Err(reason) => Allows::Other(format!(
            "up to {most} of the range for a minute; how many towards one destination is not known: {reason}"
        )),
    }
}

/// How many connections there is room for where one destination misses so many of its free ports; `None` is any number.
fn beside(client: &Connecting, free: u64, waiting: u64) -> Option<u64> {
    let left = free.saturating_sub(waiting);
    match client.group_connections {
        Some(each) if each <= left => connections(client, free),
        // All groups but that one have what they are to have.
        Some(each) if each <= free => {
            let others = client.groups?.checked_sub(1);
            others.map_or(Some(0), |others| {
                Some(others.saturating_mul(each).saturating_add(left))
            })
        }
        _ => connections(client, free).map(|room| room.saturating_sub(waiting)),
    }
}

fn reuse(inputs: &Inputs, client: &Connecting) -> Remedy {
    let wait = "wait a minute, or let the other side close first, or close by reset";
    if client.binding == Binding::AtBind {
        return Remedy::advice(format!(
            "net.ipv4.tcp_tw_reuse does not help where bind picks the port: {wait}"
        ));
    }
    let needs = "net.ipv4.tcp_tw_reuse helps connections alone that were made while net.ipv4.tcp_timestamps was not 0";
    if inputs.limits.network.time_wait_reuse.known() == Some(&1) {
        return Remedy::advice(needs).and(wait);
    }
    // How many ports there are is the range's own matter.
    let remedy = set(inputs, "net.ipv4.tcp_tw_reuse", Scope::Network, "1");
    match has_timestamps(inputs) {
        true => remedy.and(format!("or {wait}")),
        false => Remedy {
            suffices: false,
            ..remedy
        }
        .and(needs)
        .and(wait),
    }
}

/// net.ipv4.tcp_max_tw_buckets.
pub fn time_wait_max(inputs: &Inputs) -> Option<Rung> {
    let aside = Aside {
        limit: limiter::TIME_WAIT_BUCKETS,
        side: Side::Both,
        scope: Scope::Network,
        value: words(&inputs.limits.network.time_wait_max),
        bounds: "how many ended connections are kept in TIME_WAIT: those beyond it are forgotten at once".to_owned(),
        symptom: "TCPTimeWaitOverflow; an old segment may meet a new connection",
    };
    Some(aside.rung())
}
