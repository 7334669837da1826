//! Queues and tables that a connection passes through: most of them bound how fast connections come, not how many.

use super::inputs::{Inputs, known};
use super::number::{count, counted};
use super::remedy::{INT_MAX, Setting, raise, setting_file};
use super::setting::{Aside, Ceiling, words};
use super::{Allows, Remedy, Rung, Scope, Serving, Side};
use fourtuple_spec::limiter;
use fourtuple_spec::limits::Listener;

/// The accept queue. It takes one more than its length: the kernel looks whether there are more than so many.
pub fn accept(inputs: &Inputs) -> Option<Rung> {
    let server = inputs.question.server.as_ref()?;
    let somaxconn = known(&inputs.limits.network.somaxconn);
    let length = somaxconn.as_ref().map(|most| server.backlog.min(*most));
    let allows = match length {
        Err(reason) => Allows::Unknown(reason.clone()),
        Ok(length) if server.accepts => Allows::Other(format!(
            "how many may come between two accepts: {}",
            count(length.saturating_add(1))
        )),
        Ok(length) => Allows::Connections(waiting_max(server, length)),
    };
    Some(Rung {
        limit: limiter::ACCEPT_QUEUE,
        side: Side::Server,
        scope: Scope::Network,
        value: somaxconn.as_ref().ok().map(|most| {
            let most = count(*most);
            format!("{}, {} {most}", backlog(inputs, server), limiter::SOMAXCONN)
        }),
        used: fullest(inputs).map(listener),
        remedy: somaxconn.map_or_else(|_| Remedy::default(), |most| lengthen(inputs, server, most)),
        allows,
        read_from: setting_file(limiter::SOMAXCONN),
        symptom: "silence: a SYN is dropped and sent again a second later (ListenOverflows)",
    })
}

/// What a program that runs already has asked for is not looked at: this program's own backlog stands for it.
fn backlog(inputs: &Inputs, server: &Serving) -> String {
    let backlog = count(server.backlog);
    match inputs.limits.process.pid {
        Some(_) => format!("a backlog of {backlog} is assumed"),
        None => format!("backlog {backlog}"),
    }
}

fn waiting_max(server: &Serving, length: u64) -> u64 {
    length.saturating_add(1).saturating_mul(server.processes)
}

fn fullest<'a>(inputs: &'a Inputs) -> Option<&'a Listener> {
    let listeners = inputs.limits.network.listeners.known()?;
    let fuller = |a: &&Listener, b: &&Listener| {
        share(a)
            .total_cmp(&share(b))
            .then(a.waiting.cmp(&b.waiting))
    };
    listeners.iter().max_by(fuller)
}

fn share(listener: &Listener) -> f64 {
    listener.waiting as f64 / (listener.backlog as f64 + 1.0)
}

fn listener(listener: &Listener) -> String {
    format!(
        "the fullest here is {}: {} of {} wait",
        listener.address,
        count(listener.waiting),
        count(listener.backlog.saturating_add(1))
    )
}

/// What is in the way of a longer queue may be the setting, the server's own backlog, or both.
fn lengthen(inputs: &Inputs, server: &Serving, somaxconn: u64) -> Remedy {
    let length = server.backlog.min(somaxconn);
    let needed = match server.accepts {
        true => length.saturating_add(1).saturating_mul(2),
        false => {
            let target = inputs.target(waiting_max(server, length));
            target.div_ceil(server.processes.max(1))
        }
    };
    let needed = needed.saturating_sub(1);
    let setting = Setting {
        name: limiter::SOMAXCONN,
        scope: Scope::Network,
        present: somaxconn,
        needed,
        most: INT_MAX,
    };
    let remedy = match somaxconn >= needed {
        true => Remedy::default(),
        false => raise(inputs, &setting),
    };
    if server.backlog >= needed {
        return remedy;
    }
    let remedy = Remedy {
        suffices: false,
        ..remedy
    };
    remedy.and(format!(
        "the server has to ask for it: listen() with a backlog of {}",
        count(needed)
    ))
}

/// net.ipv4.tcp_max_syn_backlog. The kernel looks at it only where it may not answer with cookies.
pub fn syn_backlog(inputs: &Inputs) -> Option<Rung> {
    inputs.question.server.as_ref()?;
    let network = &inputs.limits.network;
    let aside = Aside {
        limit: limiter::SYN_BACKLOG,
        side: Side::Server,
        scope: Scope::Network,
        value: words(&network.syn_backlog),
        bounds: "how many handshakes may be under way: beyond three quarters of it, or beyond the length of the accept \
            queue, a SYN is dropped"
            .to_owned(),
        symptom: "silence: a SYN is dropped and sent again a second later (TCPReqQFullDrop)",
    };
    let rung = aside.rung();
    Some(match known(&network.syncookies) {
        Ok(0) => rung,
        cookies => Rung {
            allows: cookies.map_or_else(Allows::Unknown, by_cookies),
            ..rung
        },
    })
}

fn by_cookies(cookies: u64) -> Allows {
    Allows::Any(format!(
        "net.ipv4.tcp_syncookies is {cookies}: handshakes beyond the accept queue's length go by cookies, and it is not \
         looked at"
    ))
}

/// net.core.netdev_max_backlog.
pub fn packets(inputs: &Inputs) -> Option<Rung> {
    let aside = Aside {
        limit: limiter::NETDEV_BACKLOG,
        side: Side::Both,
        scope: Scope::Machine,
        value: words(&inputs.limits.machine.packet_backlog),
        bounds: "how many packets may wait for a core, not how many connections there are"
            .to_owned(),
        symptom: "drops and retransmits (/proc/net/softnet_stat, column 2)",
    };
    Some(aside.rung())
}

/// net.ipv4.tcp_max_orphans.
pub fn orphans(inputs: &Inputs) -> Option<Rung> {
    let aside = Aside {
        limit: limiter::ORPHANS,
        side: Side::Both,
        scope: Scope::Machine,
        value: words(&inputs.limits.machine.orphans_max),
        bounds: "how many closed connections may have data left to send: those beyond it are reset"
            .to_owned(),
        symptom: "resets while many connections are closed (TCPAbortOnMemory)",
    };
    // Read in a network, but of the whole machine, as the limit is.
    let used = inputs.limits.network.orphans.known();
    Some(Rung {
        used: used.map(|orphans| counted(*orphans, "orphan", "orphans")),
        ..aside.rung()
    })
}

/// Buckets of the table of established connections.
pub fn hash(inputs: &Inputs) -> Option<Rung> {
    let entries = known(&inputs.limits.network.hash_entries);
    let buckets = entries.as_ref().map(|entries| entries.unsigned_abs());
    let aside = Aside {
        limit: limiter::HASH,
        side: Side::Both,
        scope: match entries {
            Ok(entries) if entries > 0 => Scope::Network,
            _ => Scope::Machine,
        },
        value: buckets
            .map(|buckets| format!("{} buckets", count(buckets)))
            .map_err(Clone::clone),
        bounds: buckets.map_or_else(|_| String::new(), |buckets| look_up(inputs, buckets)),
        symptom: "none: look-ups take longer",
    };
    Some(aside.rung())
}

/// How full the table is with the connections that are wanted, or how many fill it.
fn look_up(inputs: &Inputs, buckets: u64) -> String {
    let each = inputs.sockets_per_connection();
    let there = inputs.limits.network.sockets.known().copied().unwrap_or(0);
    match inputs.question.connections {
        Some(wanted) => {
            let sockets = wanted.saturating_mul(each).saturating_add(there);
            let share = sockets as f64 / buckets.max(1) as f64;
            format!(
                "how long a look-up takes: {share:.2} sockets a bucket with {} connections",
                count(wanted)
            )
        }
        None => format!(
            "how long a look-up takes: one socket a bucket with {} connections",
            count(buckets.saturating_sub(there) / each)
        ),
    }
}

/// Connections that the firewall follows. One over loopback is one entry.
pub fn conntrack(inputs: &Inputs) -> Option<Rung> {
    let network = &inputs.limits.network;
    let followed = known(&network.conntrack);
    let value = network.conntrack_max.clone();
    let value = value.map(Option::unwrap_or_default);
    let ceiling = Ceiling {
        limit: limiter::CONNTRACK,
        side: Side::Both,
        scope: Scope::Machine,
        value: &value,
        used: followed
            .clone()
            .ok()
            .map(|followed| format!("{} followed", count(followed))),
        room: known(&value).and_then(|value| Ok(value.saturating_sub(followed.clone()?))),
        exempt: match network.conntrack_max.known() {
            Some(None) => Some("nothing follows connections here: the module is not loaded"),
            Some(Some(0)) => Some("0 is no limit"),
            _ => None,
        },
        symptom: "silence, then ETIMEDOUT (\"nf_conntrack: table full, dropping packet\")",
        needed: &|target| target.saturating_add(followed.clone().unwrap_or(0)),
        most: INT_MAX,
    };
    let rung = ceiling.rung(inputs);
    let is_idle = followed == Ok(0) && matches!(rung.allows, Allows::Connections(_));
    Some(Rung {
        value: rung.value.clone().filter(|_| network.conntrack_max.known() != Some(&None)),
        remedy: settable(inputs, rung.remedy.clone()),
        allows: match is_idle {
            // The count is 0 without a rule that asks for connections to be followed, and the setting is there all the same.
            true => Allows::Other(
                "how many connections a firewall may follow: it follows none now, so either no rule of it asks for that, or \
                 nothing has been connected"
                    .to_owned(),
            ),
            false => rung.allows.clone(),
        },
        ..rung
    })
}

/// The setting is the machine's: in any network but its first one it can be read, and not be set. What the first network
/// alone shows is the sign of that.
fn settable(inputs: &Inputs, remedy: Remedy) -> Remedy {
    let is_first = inputs.limits.machine.tcp_memory_pages.known().is_some();
    match remedy.now.is_some() && !is_first {
        true => remedy.and(
            "it can be set in the machine's first network alone, and this does not seem to be that",
        ),
        false => remedy,
    }
}
