//! Is memory the practical limit? What the server's end of a connection takes in every state, and what that allows.

mod prices;
#[cfg(test)]
mod tests;

use super::columns::aligned;
use super::{Claim, Court, Findings, Halt, number};
use crate::doctor::memory::reserve_bytes;
use crate::publish::format::{self, whole};
use crate::publish::price::{self, Difference, Price};
use fourtuple_spec::claim::{Evidence, Figure};
use fourtuple_spec::plan::CaseRequest;
use fourtuple_spec::record::Outcome;
use fourtuple_spec::{EndpointState, Engine, Peer, Record, Verdict, limiter};

/// The claim.
pub const CLAIM: Claim = Claim {
    id: "memory",
    claim: "Memory is the practical limit: what a connection takes of it decides how many a server holds.",
    experiment: "Ghosts, which hold no sockets, bring the server's end of a connection into each state of its life, at \
                 five counts, one run each; the slope is what one more takes. With tcp_rmem and tcp_wmem at 4,096 \
                 bytes, as is often advised, an idle connection and one with a full window of unread data are \
                 measured again. What memory is available here, divided by each price, is how many it would hold. \
                 With --full connections are opened until something stops them.",
    predicted: "As in the published price list (Linux 6.18): from 260 B in TIME_WAIT over 2.9 KB in the accept queue and \
                4.0 KB accepted to 147 KB with a full window unread. Small buffers change an idle connection by \
                nothing, which here is less than 1 %. With --full memory is what stops it.",
    try_it,
};

/// Less than this share of what an idle connection takes is nothing.
const NOTHING_SHARE: f64 = 0.01;
/// As many connections as nothing holds: something else has to end the growth.
const CONNECTIONS_MOST: u32 = 100_000_000;
/// The engine whose ceiling is looked for: of those that serve, an idle connection of it takes least.
const CEILING_ENGINE: Engine = Engine::UringPoll;
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
    let ceiling = match court.is_full {
        false => None,
        true => match court.run_more(&until_full(), None)? {
            Ok(record) => Some(record),
            Err(why) => {
                notes.push(format!("the ceiling was not found: {why}"));
                None
            }
        },
    };
    Ok(findings(&records, memory, ceiling.as_ref(), notes))
}

/// What connections may take here: what is available, less what stays free.
fn available() -> Option<u64> {
    let reserve = reserve_bytes(fourtuple_meter::host().memory_bytes);
    fourtuple_meter::available_bytes().map(|bytes| bytes.saturating_sub(reserve))
}

fn until_full() -> CaseRequest {
    let mut request = CaseRequest::new(CEILING_ENGINE, CONNECTIONS_MOST);
    request.peer = Some(Peer::Ghost);
    request.until_full = Some(true);
    request.settle_ms = Some(1_000);
    request.measure_ms = Some(0);
    // What is held to keep memory prepared would be missing at the end.
    request.prepare_memory = Some(false);
    request
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

    /// How many of them so much memory holds.
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
    ceiling: Option<&'a Record>,
}

fn findings(
    records: &[Record],
    memory: Option<u64>,
    ceiling: Option<&Record>,
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
    let (verdict, why) = priced.judge();
    Findings {
        measured: Some(priced.measured()),
        verdict,
        why,
        figures: priced.figures(),
        evidence: priced.evidence(),
        notes,
    }
}

impl Priced<'_> {
    fn judge(&self) -> (Verdict, String) {
        let spread = self.spread();
        let Some(record) = self.ceiling else {
            return (
                Verdict::Incomplete,
                format!(
                    "every state takes memory, so memory ends it where limits on counts are raised; but the state \
                     decides by a factor of {} how many that is, and the claim leaves it out. Nothing here was opened \
                     until memory was full: --full does that",
                    whole(spread)
                ),
            );
        };
        let held = record.setup.connections_held.unwrap_or(0);
        let held = whole(f64::from(held));
        match record.limiter.as_deref() {
            Some(limiter::MEMORY | limiter::MEMORY_GROUP) => (
                Verdict::Confirmed,
                format!(
                    "opened until something stopped it, a server held {held} connections, and memory stopped it. How \
                     many that is, the state decides by a factor of {}",
                    whole(spread)
                ),
            ),
            Some(other) => (
                Verdict::Refuted,
                format!("{other} stopped it at {held} connections, and not memory"),
            ),
            None => (
                Verdict::Incomplete,
                format!("{held} connections were held, and nothing that has a name stopped it"),
            ),
        }
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
                    "The {:.1} GiB that are available here hold {} of the one and {} of the other.",
                    memory as f64 / GIB,
                    whole(first.held_in(memory)),
                    whole(last.held_in(memory))
                )
            }));
        }
        sentences.extend(self.remedy_words(EndpointState::Accepted));
        sentences.extend(self.remedy_words(EndpointState::UnreadFull));
        sentences.join(" ")
    }

    fn remedy_words(&self, state: EndpointState) -> Option<String> {
        let (remedy, price) = (self.remedy(state)?, self.price(state)?);
        let is_nothing = remedy.bytes.estimate.abs() < NOTHING_SHARE * price.kernel;
        Some(format!(
            "Of the {} of {}, small buffers save {}{}.",
            format::bytes(price.kernel),
            state.name(),
            format::bytes(remedy.bytes.estimate),
            if is_nothing { ", which is nothing" } else { "" }
        ))
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
        figures.extend(self.ceiling.map(|record| {
            let held = record.setup.connections_held.map(f64::from);
            number(
                "connections until memory is full",
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
            (row.state, row.engine) == (EndpointState::Armed, Some(CEILING_ENGINE)) && !row.is_tuned
        };
        let row = self.rows.iter().find(of_engine)?;
        Some(row.held_in(self.memory?))
    }

    fn evidence(&self) -> Vec<Evidence> {
        let mut evidence = vec![Evidence {
            what: "Bytes of one server endpoint and their interval, the server's own memory for it, and how many of them \
                   the memory that is available here holds, the cheapest first"
                .to_owned(),
            lines: self.table(),
        }];
        evidence.extend(self.ceiling.map(|record| Evidence {
            what: "The run until something stopped it".to_owned(),
            lines: ceiling_lines(record),
        }));
        evidence
    }

    fn table(&self) -> Vec<String> {
        let head = [
            "state",
            "kernel",
            "interval",
            "predicted",
            "user",
            "connections",
        ];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        rows.extend(self.rows.iter().map(|row| {
            let interval = row
                .interval
                .map_or(format::MISSING.to_owned(), |(low, high)| {
                    format!("{} to {}", whole(low), whole(high))
                });
            let held = self.memory.map(|memory| row.held_in(memory));
            vec![
                row.label.clone(),
                format::bytes(row.kernel),
                interval,
                format::or_missing(row.predicted(), format::bytes),
                format::bytes(row.user),
                format::or_missing(held, whole),
            ]
        }));
        aligned(&rows)
    }
}

fn ceiling_lines(record: &Record) -> Vec<String> {
    let held = record.setup.connections_held.unwrap_or(0);
    let proved = record.setup.connections_proved.unwrap_or(0);
    let mut lines = vec![format!(
        "held {}, proved {}, stopped by {}",
        whole(f64::from(held)),
        whole(f64::from(proved)),
        record
            .limiter
            .as_deref()
            .unwrap_or("nothing that has a name")
    )];
    lines.extend(
        record
            .error
            .clone()
            .filter(|_| record.outcome != Outcome::Ok),
    );
    lines
}
