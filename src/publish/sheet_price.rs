//! The price list as a table, and what settings change in it.

use super::format::{MISSING, bytes, count_range, or_missing, range};
use super::price::{self, Price};
use super::sheet::Sheet;
use fourtuple_spec::{EndpointState, Peer, Record};

/// The price list.
pub fn sheet(records: &[Record]) -> Option<Sheet> {
    let prices = price::prices(records);
    let mut sheet = Sheet::new(
        "The price of a connection by state",
        1,
        &["state", "kernel", "interval", "by", "server user", "counts"],
    );
    sheet.rows = prices.iter().map(price_row).collect();
    let scope = |peer: &Peer| match peer {
        Peer::Ghost => "with ghosts at the other end: the server's endpoint alone",
        Peer::Kernel => "with kernel peers: both endpoints",
    };
    let mut peers: Vec<Peer> = Vec::new();
    for price in &prices {
        if !peers.contains(&price.key.peer) {
            peers.push(price.key.peer);
        }
    }
    sheet.intro = format!(
        "Kernel bytes of a connection, {}. A slope is Theil–Sen over {} counts or more, with Sen's interval; a \
         quotient is of the largest count, fixed costs included.",
        peers.iter().map(scope).collect::<Vec<_>>().join(", and "),
        super::group::SLOPE_COUNTS_MIN
    );
    sheet.notes = states(&prices);
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn price_row(price: &Price<'_>) -> Vec<String> {
    let interval = price
        .interval
        .map(|(low, high)| format!("{} to {}", bytes(low), bytes(high)));
    let failure = price.points.iter().find_map(|point| point.failure());
    let no_interval = || match failure {
        Some(failure) if price.bytes.is_none() => super::format::shortened(failure, 28),
        _ => MISSING.to_owned(),
    };
    vec![
        price.label.clone(),
        or_missing(price.bytes, bytes),
        interval.unwrap_or_else(no_interval),
        match price.bytes {
            Some(_) if price.is_slope => "slope".to_owned(),
            Some(_) => "quotient".to_owned(),
            None => MISSING.to_owned(),
        },
        or_missing(price.server_user, bytes),
        count_range(&price.counts),
    ]
}

/// What the states are, in a paragraph.
fn states(prices: &[Price<'_>]) -> Vec<String> {
    let mut known: Vec<EndpointState> = Vec::new();
    for price in prices {
        if !known.contains(&price.key.state) {
            known.push(price.key.state);
        }
    }
    let words: Vec<String> = known
        .iter()
        .map(|state| format!("{}: {}", state.name(), state.summary()))
        .collect();
    if words.is_empty() {
        return Vec::new();
    }
    vec![format!("{}.", words.join("; "))]
}

/// What settings of the network change in each state.
pub fn remedies(records: &[Record]) -> Option<Sheet> {
    let differences = price::differences(&price::prices(records));
    if differences.iter().all(|one| one.is_control) {
        return None;
    }
    let mut sheet = Sheet::new(
        "What other settings change",
        2,
        &[
            "state",
            "settings",
            "difference",
            "interval",
            "pairs",
            "verdict",
        ],
    );
    for one in &differences {
        let interval = one.bytes;
        let verdict = if interval.low <= 0.0 && interval.high >= 0.0 {
            "no difference"
        } else if interval.low > 0.0 {
            "less with them"
        } else {
            "more with them"
        };
        sheet.rows.push(vec![
            one.state.clone(),
            one.settings.clone(),
            bytes(interval.estimate),
            range(&interval, bytes),
            one.pairs.to_string(),
            verdict.to_owned(),
        ]);
    }
    sheet.intro = "Kernel bytes of a connection without the settings less with them, paired by count and repeat, with the 95 % t-interval of the mean.".to_owned();
    Some(sheet)
}
