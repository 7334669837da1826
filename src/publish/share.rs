//! Whose memory a connection is, by difference against the engine that never arms.
//!
//! In a `null` run both ends are open and idle, and neither waits. So what both ends have one of (socket,
//! inode, file, security blobs, node of a descriptor table) is half the server's and half the client's;
//! bind buckets are the client's, for an accepted socket shares its listener's; rings are of the process
//! that has them. What an engine takes beyond that is the server's.

use super::group::{Group, MEMORY_CONNECTIONS_MIN, Series};
use super::metric;
use super::point::Point;
use crate::statistics::median;
use fourtuple_spec::record::Ledger;
use fourtuple_spec::{Engine, Peer, Record};

/// The caches of bind buckets.
const BIND_CACHES: [&str; 2] = ["tcp_bind_bucket", "tcp_bind2_bucket"];

/// The cache that they may be merged into: of the same size, and older. A `null` server polls nothing.
const MERGED_CACHE: &str = "eventpoll_epi";

/// The memory of one connection by side, bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// The engine.
    pub name: String,
    /// The connections at which it was read.
    pub connections: u32,
    /// Kernel memory of both sides.
    pub kernel: f64,
    /// Kernel memory of the client's endpoint: that of the `null` run.
    pub client_kernel: f64,
    /// User memory of the server.
    pub server_user: Option<f64>,
    /// User memory of the client.
    pub client_user: Option<f64>,
}

impl Share {
    /// Kernel memory of the server's endpoint.
    pub fn server_kernel(&self) -> f64 {
        self.kernel - self.client_kernel
    }

    /// Its part of the kernel memory of both.
    pub fn server_part(&self) -> f64 {
        self.server_kernel() / self.kernel
    }
}

/// How the `null` run at one count is divided, bytes a connection.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Control {
    /// Kernel memory of both sides.
    pub kernel: f64,
    /// Bind buckets.
    pub bind: f64,
    /// Whether those were found in a cache of another name.
    pub is_merged: bool,
    /// Pages of the rings, server and client.
    pub rings: (f64, f64),
    /// Whether it is known whose ring has how many.
    pub has_rings: bool,
}

impl Control {
    /// What of it is the client's.
    pub fn client(&self) -> f64 {
        let shared = self.kernel - self.bind - self.rings.0 - self.rings.1;
        shared / 2.0 + self.bind + self.rings.1
    }
}

/// The shares of all engines with kernel peers (with ghosts there is nothing to divide), each at its largest count that has a control, and the control of the
/// largest of those.
pub fn shares(group: &Group<'_>) -> Option<(Control, Vec<Share>)> {
    if group.shape.peer != Peer::Kernel {
        return None;
    }
    let null = group.arm(Engine::Null)?;
    let engines = group
        .series
        .iter()
        .filter(|series| !series.is_control && series.client == null.client);
    let found: Vec<(Control, Share)> = engines
        .filter_map(|series| {
            let points = series.points.iter().rev();
            let mut large = points.filter(|point| point.connections >= MEMORY_CONNECTIONS_MIN);
            large.find_map(|point| {
                let control = control(null.point(point.connections)?)?;
                Some((control, share(series, point, &control)?))
            })
        })
        .collect();
    let largest = found.iter().max_by_key(|(_, share)| share.connections)?.0;
    (found.len() > 1).then(|| (largest, found.into_iter().map(|(_, share)| share).collect()))
}

fn share(series: &Series<'_>, point: &Point<'_>, control: &Control) -> Option<Share> {
    Some(Share {
        name: series.name.clone(),
        connections: point.connections,
        kernel: of_runs(point, metric::kernel_bytes)?,
        client_kernel: control.client(),
        server_user: of_runs(point, metric::server_bytes),
        client_user: of_runs(point, metric::client_bytes),
    })
}

/// How a point of `null` is divided; `None` where its caches could not be read.
pub fn control(point: &Point<'_>) -> Option<Control> {
    let kernel = of_runs(point, metric::kernel_bytes)?;
    let named = |names: &[&str]| {
        of_runs(point, |record| {
            let caches = record.memory.by_cache.as_ref()?;
            Some(names.iter().filter_map(|name| caches.get(*name)).sum())
        })
    };
    let own = named(&BIND_CACHES)?;
    let is_merged = own == 0.0;
    let bind = if is_merged {
        named(&[MERGED_CACHE])?
    } else {
        own
    };
    let server_rings = of_runs(point, |record| {
        ring_bytes(record, |ledger| ledger.server_ring_bytes)
    });
    let client_rings = of_runs(point, |record| {
        ring_bytes(record, |ledger| ledger.client_ring_bytes)
    });
    Some(Control {
        kernel,
        bind,
        is_merged: is_merged && bind > 0.0,
        rings: (server_rings.unwrap_or(0.0), client_rings.unwrap_or(0.0)),
        has_rings: server_rings.is_some() && client_rings.is_some(),
    })
}

fn ring_bytes(record: &Record, side: fn(&Ledger) -> Option<i64>) -> Option<f64> {
    Some(side(at_rest(record)?)? as f64 / metric::held(record))
}

/// The ledger of connections at rest.
pub fn at_rest(record: &Record) -> Option<&Ledger> {
    let mut ledgers = record.memory.ledger.iter();
    ledgers.find(|ledger| ledger.phase == "settle")
}

/// The median over the valid runs of a point: parts have to add up, and may be zero.
pub fn of_runs(point: &Point<'_>, number: impl Fn(&Record) -> Option<f64>) -> Option<f64> {
    let values: Vec<f64> = point.valid_runs().filter_map(number).collect();
    median(&values)
}

#[cfg(test)]
mod tests {
    use super::super::{fixture, group::groups};
    use super::*;

    #[test]
    fn the_control_halves_but_for_ports_and_rings() {
        let mut records = vec![
            fixture::held(Engine::Null, 100_000, 0),
            fixture::held(Engine::Uring, 100_000, 0),
        ];
        records[0].memory.kernel_bytes_per_connection = Some(8_000.0);
        records[1].memory.kernel_bytes_per_connection = Some(8_900.0);
        let caches = records[0].memory.by_cache.as_mut().unwrap();
        caches.insert("tcp_bind_bucket".to_owned(), 60.0);
        caches.insert("tcp_bind2_bucket".to_owned(), 40.0);
        let ledger = &mut records[0].memory.ledger[0];
        ledger.server_ring_bytes = Some(20 * 100_000);
        ledger.client_ring_bytes = Some(80 * 100_000);
        let groups = groups(&records);
        let (control, shares) = shares(&groups[0]).unwrap();
        // (8,000 − 100 − 20 − 80) / 2 = 3,900 for each end, and ports and the ring for the client.
        assert!((control.client() - 4_080.0).abs() < 1e-9 && !control.is_merged);
        let uring = shares.iter().find(|share| share.name == "uring").unwrap();
        assert!((uring.server_kernel() - 4_820.0).abs() < 1e-9);
    }

    #[test]
    fn without_a_control_nothing_is_divided() {
        let records = vec![
            fixture::held(Engine::Epoll, 100_000, 0),
            fixture::held(Engine::Uring, 100_000, 0),
        ];
        assert!(shares(&groups(&records)[0]).is_none());
    }
}
