//! Is memory the practical limit? What the server's end of a connection takes in every state, and what that allows.

mod ceiling;
mod prices;
mod remedy;
#[cfg(test)]
mod tests;

use super::columns::aligned;
use super::{Claim, Court, Findings, Halt, number};
use crate::doctor::memory::reserve_bytes;
use crate::publish::format::{self, whole};
use crate::publish::price::{self, Difference, Price};
use ceiling::Ceiling;
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::{EndpointState, Engine, Record};

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "memory",
    claim: "Memory is the practical limit: what a connection takes of it decides how many a server holds.",
    experiment: "Ghosts, which hold no sockets, bring the server's end of a connection into each state of its life, at \
                 five counts, one run each; the slope is what one more takes. With tcp_rmem and tcp_wmem at 4,096 \
                 bytes, as is often advised, an idle connection and one with a full window of unread data are \
                 measured again. What memory is available here, divided by each price, is how many it would hold. \
                 With --full connections are opened until something stops them.",
    predicted: "As in the published price list (Linux 6.18), within 5 % or within what the runs leave open: from 261 B in \
                FIN_WAIT2 and 265 B in TIME_WAIT over 2.9 KB in the accept queue and 4.0 KB accepted to 147 KB with a \
                full window unread. Small buffers change an idle connection by nothing, which here is less than 1 %. \
                With --full memory is what stops it.",
    try_it,
};

/// What a label says of the folk remedy.
const SMALL_BUFFERS: &str = "tcp_rmem 4096×3, tcp_wmem 4096×3";

/// A price that is within this share of the published one is as predicted.
const PREDICTED_SHARE: f64 = 0.05;
const GIB: f64 = 1_073_741_824.0;

fn try_it(court: &Court<'_>) -> Result<Findings, Halt> {
    court.needs_private_network()?;
    let mut notes = Vec::new();
    let mut records = Vec::new();
    for request in prices::requests() {
        // What the first of them is refused for, the others are as well.
        let record = match records.is_empty() {
            true => Ok(court.run_whole(&request, None)?),
            false => court.run_more(&request, None)?,
        };
        match record {
            Ok(record) => records.push(record),
            Err(why) => notes.push(format!("a run was left out: {why}")),
        }
    }
    let memory = available();
    let ceiling = ceiling::find(court)?;
    Ok(findings(&records, memory, &ceiling, notes))
}

/// What connections may take here: what is available, less what stays free.
fn available() -> Option<u64> {
    let reserve = reserve_bytes(fourtuple_meter::host().memory_bytes);
    fourtuple_meter::available_bytes().map(|bytes| bytes.saturating_sub(reserve))
}

/// What one more connection takes in a state.
struct Row {
    label: String,
    state: EndpointState,
    engine: Option<Engine>,
    is_tuned: bool,
    /// Kernel bytes, and their interval.
    kernel: f64,
    interval: Option<(f64, f64)>,
    /// User memory of the server.
    user: f64,
}

impl Row {
    fn of(price: &Price<'_>) -> Option<Self> {
        Some(Self {
            label: price.label.clone(),
            state: price.key.state,
            engine: price.key.engine,
            is_tuned: !price.key.sysctls.is_empty(),
            kernel: price.bytes.filter(|&bytes| bytes > 0.0)?,
            interval: price.interval,
            user: price.server_user.unwrap_or(0.0),
        })
    }

    fn bytes(&self) -> f64 {
        self.kernel + self.user
    }

    fn predicted(&self) -> Option<f64> {
        prices::published(self.state, self.engine, self.is_tuned)
    }

    /// Whether it is as published, within the share that was fixed before or within its own interval; `None` where
    /// nothing was published.
    fn is_predicted(&self) -> Option<bool> {
        let predicted = self.predicted()?;
        let is_near = (self.kernel / predicted - 1.0).abs() <= PREDICTED_SHARE;
        let is_held = self
            .interval
            .is_some_and(|(low, high)| (low..=high).contains(&predicted));
        Some(is_near || is_held)
    }

    /// How many of them so much memory is enough for.
    fn held_in(&self, memory: u64) -> f64 {
        (memory as f64 / self.bytes()).floor()
    }
}

/// All that was found.
struct Priced<'a> {
    /// Cheapest first.
    rows: Vec<Row>,
    differences: Vec<Difference>,
    memory: Option<u64>,
    ceiling: &'a Ceiling,
}

fn findings(
    records: &[Record],
    memory: Option<u64>,
    ceiling: &Ceiling,
    mut notes: Vec<String>,
) -> Findings {
    let prices = price::prices(records);
    let mut rows: Vec<Row> = prices.iter().filter_map(Row::of).collect();
    rows.sort_by(|one, other| one.bytes().total_cmp(&other.bytes()));
    let priced = Priced {
        rows,
        differences: price::differences(&prices),
        memory,
        ceiling,
    };
    if priced.rows.is_empty() {
        return super::not_run("no run said what a connection takes");
    }
    if prices.iter().any(|price| !price.is_slope) {
        notes.push("a state with fewer than five counts has no slope: its price is that of its largest run, fixed costs included".to_owned());
    }
    notes.push(
        "one run a count: a price is good to some per cent; `fourtuple hold --price-list` has two, and more engines"
            .to_owned(),
    );
    notes.extend(prices.iter().filter_map(unpriced));
    notes.extend(priced.misses());
    let (verdict, why) = ceiling.judge(priced.spread());
    Findings {
        measured: Some(priced.measured()),
        verdict,
        why,
        figures: priced.figures(),
        evidence: priced.evidence(),
        notes,
    }
}

/// Why a state has no price, if it has none.
fn unpriced(price: &Price<'_>) -> Option<String> {
    let label = &price.label;
    match price.bytes {
        Some(bytes) if bytes > 0.0 => None,
        Some(bytes) => Some(format!(
            "{label} has no price: its runs say {} a connection, which is what else the machine did",
            format::bytes(bytes)
        )),
        None => Some(format!("{label} has no price: no run of it counts")),
    }
}

impl Priced<'_> {
    /// Which prices are not as published.
    fn misses(&self) -> Option<String> {
        let missed = self
            .rows
            .iter()
            .filter(|row| row.is_predicted() == Some(false));
        let words = missed.map(|row| {
            let predicted = format::or_missing(row.predicted(), format::bytes);
            format!(
                "{} ({}, published {predicted})",
                row.label,
                format::bytes(row.kernel)
            )
        });
        let words: Vec<String> = words.collect();
        (!words.is_empty()).then(|| {
            format!(
                "further than 5 % from the published price, which their interval does not hold either: {}",
                words.join(", ")
            )
        })
    }

    /// How many of the prices are as published, of those that were.
    fn predicted_words(&self) -> String {
        let judged = || self.rows.iter().filter_map(Row::is_predicted);
        let met = judged().filter(|&is_predicted| is_predicted).count();
        format!("Of {} prices {met} are as published.", judged().count())
    }

    /// How much the dearest state takes of what the cheapest does.
    fn spread(&self) -> f64 {
        let first = self.rows.first().map_or(1.0, Row::bytes);
        self.rows.last().map_or(1.0, |last| last.bytes() / first)
    }

    /// What the folk remedy changes in a state.
    fn remedy(&self, state: EndpointState) -> Option<&Difference> {
        let mut all = self.differences.iter();
        all.find(|difference| !difference.is_control && difference.state == state.name())
    }

    fn price(&self, state: EndpointState) -> Option<&Row> {
        let mut rows = self.rows.iter();
        rows.find(|row| row.state == state && !row.is_tuned)
    }

    fn measured(&self) -> String {
        let mut sentences = Vec::new();
        if let (Some(first), Some(last)) = (self.rows.first(), self.rows.last()) {
            sentences.push(format!(
                "The server's end takes from {} ({}) to {} ({}).",
                format::bytes(first.bytes()),
                first.label,
                format::bytes(last.bytes()),
                last.label
            ));
            sentences.extend(self.memory.map(|memory| {
                format!(
                    "The {:.1} GiB that are available here are memory for {} of the one and {} of the other, limits on \
                     counts left aside.",
                    memory as f64 / GIB,
                    whole(first.held_in(memory)),
                    whole(last.held_in(memory))
                )
            }));
        }
        sentences.push(self.predicted_words());
        sentences.extend(self.remedy_words(EndpointState::Accepted));
        sentences.extend(self.remedy_words(EndpointState::UnreadFull));
        sentences.join(" ")
    }

    fn remedy_words(&self, state: EndpointState) -> Option<String> {
        let (remedy, price) = (self.remedy(state)?, self.price(state)?);
        Some(remedy::words(state, price.kernel, &remedy.bytes))
    }

    fn figures(&self) -> Vec<Figure> {
        let price = |row: &Row| number(&row.label, row.predicted(), Some(row.kernel), "B");
        let mut figures: Vec<Figure> = self.rows.iter().map(price).collect();
        for (state, predicted) in [
            (EndpointState::Accepted, Some(0.0)),
            (EndpointState::UnreadFull, None),
        ] {
            figures.extend(self.remedy(state).map(|remedy| {
                let name = format!("{} without small buffers less with them", state.name());
                number(&name, predicted, Some(remedy.bytes.estimate), "B")
            }));
        }
        figures.extend(self.ceiling.record().map(|record| {
            let held = record.setup.connections_held.map(f64::from);
            number(
                "connections until something stopped it",
                self.ceiling_predicted(),
                held,
                "connections",
            )
        }));
        figures
    }

    /// How many of the engine's idle connections so much memory holds.
    fn ceiling_predicted(&self) -> Option<f64> {
        let of_engine = |row: &&Row| {
            (row.state, row.engine) == (EndpointState::Armed, Some(ceiling::ENGINE))
                && !row.is_tuned
        };
        let row = self.rows.iter().find(of_engine)?;
        Some(row.held_in(self.memory?))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let mut evidence = vec![Evidence {
            what: "Bytes of one server endpoint and their interval, the server's own memory for it, and for how many of \
                   them there is memory here, the cheapest first; limits on counts (tcp_max_tw_buckets, \
                   tcp_max_orphans, the backlog) are not considered"
                .to_owned(),
            lines: self.table(),
        }];
        evidence.extend(self.ceiling.record().map(|_| Evidence {
            what: "The run until something stopped it".to_owned(),
            lines: self.ceiling.lines(),
        }));
        evidence
    }

    /// Narrow enough for a terminal; what was predicted is among the figures.
    fn table(&self) -> Vec<String> {
        let head = ["state", "kernel", "interval", "user", "memory for"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().map(|row| {
            let interval = row
                .interval
                .map_or(format::MISSING.to_owned(), |(low, high)| {
                    format!("{} to {}", whole(low), whole(high))
                });
            let held = self.memory.map(|memory| row.held_in(memory));
            vec![
                row.label.replace(SMALL_BUFFERS, "small buffers"),
                format::bytes(row.kernel),
                interval,
                format::bytes(row.user),
                format::or_missing(held, whole),
            ]
        }));
        aligned(&rows)
    }
}
