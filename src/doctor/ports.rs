//! What bounds a client: ports, for each destination anew, and what has them.

use super::inputs::{Inputs, allows, known};
use super::number::{count, counted};
use super::remedy::{set, setting_file};
use super::setting::{Aside, words};
use super::{Allows, Binding, Connecting, Remedy, Rung, Scope, Side};
use fourtuple_spec::limiter;
use std::collections::BTreeSet;

/// The range that leaves no more than the privileged ports: what a remedy widens to.
const WIDEST: (u16, u16) = (1024, u16::MAX);

const SYMPTOM: &str = "EADDRNOTAVAIL: connect fails (EADDRINUSE, if bind picks the port)";

/// The ports of a range.
struct Ports {
    range: (u16, u16),
    /// Those that are kept back.
    reserved: u64,
    /// Those that somebody listens on: connect does not pick them.
    listening: u64,
}

impl Ports {
    fn read(inputs: &Inputs) -> Result<Self, String> {
        let network = &inputs.limits.network;
        let range = known(&network.ports)?;
        let within = |port: &u16| (range.0..=range.1).contains(port);
        let listeners = network.listeners.known().map_or(&[][..], Vec::as_slice);
        let listening = listeners.iter().map(|listener| listener.address.port());
        let listening: BTreeSet<u16> = listening.filter(within).collect();
        Ok(Self {
            range,
            reserved: known(&network.reserved_in_range)?,
            listening: listening.len() as u64,
        })
    }

    fn all(&self) -> u64 {
        size(self.range)
    }

    fn taken(&self) -> u64 {
        self.reserved.saturating_add(self.listening)
    }

    fn free(&self, binding: Binding) -> u64 {
        certain(self.all(), binding).saturating_sub(self.taken())
    }

    /// What would be free, at the least, in the widest range that takes nothing away.
    fn free_at_most(&self, binding: Binding) -> u64 {
        certain(size(self.widened()), binding).saturating_sub(self.taken())
    }

    fn widened(&self) -> (u16, u16) {
        (self.range.0.min(WIDEST.0), self.range.1.max(WIDEST.1))
    }
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
        used: ports.as_ref().ok().and_then(|ports| used(client?, ports)),
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

fn used(client: &Connecting, ports: &Ports) -> Option<String> {
    let mut parts = Vec::new();
    if ports.reserved > 0 {
        parts.push(format!("{} reserved", count(ports.reserved)));
    }
    if ports.listening > 0 {
        parts.push(format!("{} listened on", count(ports.listening)));
    }
    match (client.binding, client.groups) {
        (Binding::AtBind, _) => parts.push("one range for all destinations".to_owned()),
        (_, Some(1)) => parts.push("from one source to one destination".to_owned()),
        (_, Some(groups)) => parts.push(format!(
            "for each of {}",
            counted(
                groups,
                "pair of source and destination",
                "pairs of source and destination"
            )
        )),
        _ => {}
    }
    (!parts.is_empty()).then(|| parts.join(", "))
}

fn widen(inputs: &Inputs, client: &Connecting, ports: &Ports, room: u64) -> Remedy {
    let target = inputs.target(room);
    let widened = ports.widened();
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
        },
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

/// Connections in TIME_WAIT keep their four-tuples. The worst case: all of them towards the one destination that is
/// asked about, by its own sources.
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
            .then(|| "at worst they are all towards the same destination".to_owned()),
        remedy: match &allowed {
            Allows::Connections(_) => reuse(inputs, client),
            _ => Remedy::default(),
        },
        allows: allowed,
        read_from: "/proc/net/sockstat".to_owned(),
        symptom: "EADDRNOTAVAIL: connect fails for a minute after the connections before",
    })
}

/// A connect takes over the port of a connection in TIME_WAIT, where that is older than a second. A bind does not.
fn is_reused(inputs: &Inputs, client: &Connecting) -> bool {
    let stays_here = inputs.question.server.is_some();
    client.binding == Binding::AtConnect
        && match inputs.limits.network.time_wait_reuse.known() {
            Some(1) => true,
            Some(2) => stays_here,
            _ => false,
        }
}

fn after_wait(inputs: &Inputs, client: &Connecting, waiting: u64) -> Allows {
    let room = Ports::read(inputs).map(|ports| connections(client, ports.free(client.binding)));
    match room {
        Ok(Some(room)) => Allows::Connections(room.saturating_sub(waiting)),
        Ok(None) => {
            any("further destinations are not concerned, and there are as many as it takes")
        }
        Err(reason) => allows(&Err(reason)),
    }
}

fn reuse(inputs: &Inputs, client: &Connecting) -> Remedy {
    let wait = "or wait a minute, or let the other side close first, or close by reset";
    if client.binding == Binding::AtBind {
        return Remedy::advice(format!(
            "net.ipv4.tcp_tw_reuse does not help where bind picks the port: {wait}"
        ));
    }
    // How many ports there are is the range's own matter.
    set(inputs, "net.ipv4.tcp_tw_reuse", Scope::Network, "1").and(wait)
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
