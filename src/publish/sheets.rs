//! The tables that answer more than one run can: model, shares, prices, mixes, ceilings.

use super::format::{
    MISSING, bytes, counted, decimal_bytes, deviation, duration_ns, memory_bytes, or_missing,
    percent, rate, ratio, whole,
};
use super::group::{Group, groups};
use super::kind::{Kind, of_kind, sysctl_words};
use super::ledger::yes_or_no;
use super::metric;
use super::mix::{self, Mix, Ratio};
use super::model::{self, Model, models};
use super::price::{self, Price};
use super::rounds::steady;
use super::share::{Control, Share, shares};
use super::sheet::Sheet;
use crate::statistics::{Interval, median};
use fourtuple_spec::record::Round;
use fourtuple_spec::{EndpointState, Peer, Record};

/// 2^32 client addresses and 2^16 ports, to one address and port of a server.
const FOUR_TUPLES: f64 = 281_474_976_710_656.0;

/// Machines that the model is asked about beside the one at hand, bytes.
const MACHINES: [f64; 2] = [64e9, 512e9];

/// Everything that a group of ordinary runs has to say about memory, by model and by ledger.
pub fn of_group(group: &Group<'_>, all: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    let models = models(group);
    sheets.extend(lines(group));
    sheets.extend(predictions(&models));
    sheets.extend(capacity(group, &models));
    sheets.extend(super::ledger::unattributed(group));
    if !sheets.is_empty() {
        sheets.extend(super::ledger::sheet(group));
        sheets.extend(whose(group, all));
    }
    sheets.extend(rounds(group));
    sheets
}

/// What is not of ordinary runs: ceilings, prices, mixes.
pub fn of_rest(records: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    sheets.extend(ceilings(records));
    sheets.extend(mixes(records));
    sheets.extend(prices(records));
    sheets.extend(remedies(records));
    sheets
}

/// What a terminal has room for: predictions, what is unexplained, rounds, and what is in no group.
pub fn terminal(records: &[Record]) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    for group in groups(records) {
        sheets.extend(predictions(&models(&group)));
        sheets.extend(super::ledger::unattributed(&group));
        sheets.extend(rounds(&group));
    }
    sheets.extend(of_rest(records));
    sheets
}

/// The tables that a front page has room for: of what no chart there shows.
pub fn front(records: &[Record], has_idle_chart: bool) -> Vec<Sheet> {
    let mut sheets = Vec::new();
    sheets.extend(ceilings(records));
    if !has_idle_chart {
        sheets.extend(mixes(records));
    }
    sheets.extend(remedies(records));
    sheets
}

/// The lines: slope with interval, and fixed costs. The A/A arm is among them: it shows the noise.
fn lines(group: &Group<'_>) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Memory of a connection as a slope",
        1,
        &[
            "engine",
            "kernel",
            "interval",
            "fixed",
            "server user",
            "client user",
            "counts",
        ],
    );
    for model in group.series.iter().filter_map(model::model) {
        let user = |fit: &Option<model::Fit>| {
            or_missing(fit.as_ref().map(|fit| fit.slope.estimate), bytes)
        };
        let kernel = &model.kernel;
        sheet.rows.push(vec![
            model.name.clone(),
            bytes(kernel.slope.estimate),
            range(&kernel.slope, bytes),
            decimal_bytes(kernel.at_zero),
            user(&model.server_user),
            user(&model.client_user),
            counts(&kernel.counts),
        ]);
    }
    sheet.intro = format!(
        "Theil–Sen over {} counts or more up to {}, one point a count (the median of its valid runs); the \
         95 % interval is Sen's, by ranks of the pairwise slopes. Kernel memory is of {}: what the machine \
         has less of, without anonymous memory and page cache. Fixed is what the line says at no connection.",
        super::group::SLOPE_COUNTS_MIN,
        whole(f64::from(model::FIT_CONNECTIONS_MAX)),
        group.shape.memory_scope()
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// What the lines say of larger runs, and what those were.
fn predictions(models: &[Model]) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Larger runs, predicted from the smaller ones",
        1,
        &[
            "engine",
            "connections",
            "predicted",
            "measured",
            "error",
            "within 1 %",
            "with user",
        ],
    );
    for model in models {
        for one in &model.predictions {
            let total = one.total.map(|total| deviation(total.error()));
            sheet.rows.push(vec![
                model.name.clone(),
                whole(f64::from(one.connections)),
                decimal_bytes(one.kernel.predicted),
                decimal_bytes(one.kernel.measured),
                deviation(one.kernel.error()),
                yes_or_no(one.kernel.is_within()).to_owned(),
                total.unwrap_or_else(|| MISSING.to_owned()),
            ]);
        }
    }
    let all = models.iter().flat_map(|model| &model.predictions);
    let within = all.filter(|one| one.kernel.is_within()).count();
    sheet.intro =
        "Kernel memory; the last column is the error with the memory of both processes in it."
            .into();
    sheet.notes = vec![format!(
        "{within} of {} within 1 %.",
        counted(sheet.rows.len(), "prediction")
    )];
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// How many connections memories of several sizes allow, and what all four-tuples would take.
fn capacity(group: &Group<'_>, models: &[Model]) -> Option<Sheet> {
    let here = largest_memory(&group.records);
    let mut sheet = Sheet::new("What memory allows", 2, &["engine", "side", "a connection"]);
    sheet
        .headings
        .extend(here.map(|bytes| format!("here, {}", memory_bytes(bytes))));
    let names = MACHINES.map(decimal_bytes);
    sheet.headings.extend(names);
    sheet.headings.push("2^48 of them".to_owned());
    let divided = shares(group);
    let shares = divided.as_ref().map_or(&[][..], |(_, shares)| shares);
    let both = match group.shape.peer {
        Peer::Kernel => "both ends",
        Peer::Ghost => "server",
    };
    for model in models {
        let sizes: Vec<f64> = here
            .map(|bytes| bytes as f64)
            .into_iter()
            .chain(MACHINES)
            .collect();
        sheet.rows.push(capacity_row(
            &model.name,
            both,
            model.pair_bytes(),
            model.fixed_bytes(),
            &sizes,
        ));
        let share = shares.iter().find(|share| share.name == model.name);
        if let Some(bytes) = share.map(|share| server_bytes(model, share)) {
            sheet.rows.push(capacity_row(
                &model.name,
                "server",
                bytes,
                model.fixed_bytes(),
                &sizes,
            ));
        }
    }
    sheet.intro = "From the slopes, kernel and user memory, with the fixed costs taken off first. What the \
                   system itself has in use is not in the records and is not taken off, so these are upper bounds."
        .to_owned();
    if !shares.is_empty() {
        sheet.intro.push_str(
            " The server's side alone is the slope's part that the table by side below gives it.",
        );
    }
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn capacity_row(name: &str, side: &str, each: f64, fixed: f64, sizes: &[f64]) -> Vec<String> {
    let mut row = vec![name.to_owned(), side.to_owned(), bytes(each)];
    let allowed = sizes
        .iter()
        .map(|size| model::connections_in(*size, fixed, each));
    row.extend(allowed.map(rate));
    row.push(decimal_bytes(each * FOUR_TUPLES));
    row
}

/// Bytes of the server's side: its part of the kernel's slope, and its user memory.
fn server_bytes(model: &Model, share: &Share) -> f64 {
    let part = share.server_kernel() / share.kernel;
    let user = model.server_user.as_ref().map(|fit| fit.slope.estimate);
    model.kernel.slope.estimate * part + user.unwrap_or(0.0)
}

fn largest_memory(records: &[&Record]) -> Option<u64> {
    let all = records.iter().filter_map(|record| record.host.memory_bytes);
    all.max()
}

/// Whose a connection's memory is.
fn whose(group: &Group<'_>, all: &[Record]) -> Option<Sheet> {
    let (control, shares) = shares(group)?;
    let mut sheet = Sheet::new(
        "Whose it is, bytes a connection",
        1,
        &[
            "engine",
            "connections",
            "server, kernel",
            "client, kernel",
            "server, user",
            "client, user",
            "sum",
        ],
    );
    for share in &shares {
        let user = share.server_user.unwrap_or(0.0) + share.client_user.unwrap_or(0.0);
        sheet.rows.push(vec![
            share.name.clone(),
            whole(f64::from(share.connections)),
            bytes(share.server_kernel()),
            bytes(share.client_kernel),
            or_missing(share.server_user, bytes),
            or_missing(share.client_user, bytes),
            bytes(share.kernel + user),
        ]);
    }
    sheet.intro = division(&control);
    sheet.notes.extend(cross_check(&control, all));
    Some(sheet)
}

/// How the control was divided.
fn division(control: &Control) -> String {
    let mut text = format!(
        "By difference, at each engine's largest count: in the null run both ends are idle and nobody waits, so what both have one of is halved \
         ({} each). Bind buckets ({}) are the client's.",
        bytes((control.kernel - control.bind - control.rings.0 - control.rings.1) / 2.0),
        bytes(control.bind)
    );
    if control.is_merged {
        text.push_str(" They were found in eventpoll_epi, a cache of the same size that the kernel merged them into: a null server polls nothing.");
    }
    text.push_str(if control.has_rings {
        " Pages of rings are of the process that has them."
    } else {
        " Whose pages of rings are is not in these records: they are halved as well."
    });
    text.push_str(" What an engine takes beyond null is its server's.");
    text
}

/// The server's endpoint by difference, beside the same endpoint priced alone, before ghosts.
fn cross_check(control: &Control, all: &[Record]) -> Option<String> {
    let prices = price::prices(all);
    let accepted = prices.iter().find(|price| {
        let key = &price.key;
        key.state == EndpointState::Accepted && key.peer == Peer::Ghost && key.sysctls.is_empty()
    })?;
    let alone = accepted.bytes?;
    let divided = control.kernel - control.client();
    Some(format!(
        "The price list has the same endpoint alone, accepted and unarmed before ghosts, at {}: by difference it is {}, {} off.",
        bytes(alone),
        bytes(divided),
        deviation(divided / alone - 1.0)
    ))
}

/// Full rounds by window, at the largest count that has any.
fn rounds(group: &Group<'_>) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "Full rounds: every connection echoes once",
        2,
        &[
            "engine", "phase", "active", "time", "echoes/s", "p50", "p99",
        ],
    );
    let has_rounds = |count: &u32| {
        let mut runs = group.records.iter();
        runs.any(|run| run.case.connections == *count && !run.rounds.is_empty())
    };
    let count = group.counts().into_iter().rfind(has_rounds)?;
    for series in group.series.iter().filter(|series| !series.is_control) {
        let Some(point) = series.point(count) else {
            continue;
        };
        let all: Vec<&Round> = point.valid_runs().flat_map(table_rounds).collect();
        let mut windows: Vec<(&str, u32)> = Vec::new();
        for round in &all {
            let window = (round.phase.as_str(), round.active_connections);
            if !windows.contains(&window) {
                windows.push(window);
            }
        }
        let rows = windows.iter().map(|window| {
            let of_window =
                |round: &&&Round| (round.phase.as_str(), round.active_connections) == *window;
            let rounds: Vec<&Round> = all.iter().filter(of_window).copied().collect();
            round_row(&series.name, &rounds)
        });
        sheet.rows.extend(rows);
    }
    sheet.intro = format!(
        "Over {} connections, so many of them active at once; medians. A proof is after an idle hold.",
        whole(f64::from(count))
    );
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// The rounds that say what a window reaches, and the proofs after a hold.
fn table_rounds(run: &Record) -> Vec<&Round> {
    let proofs = run.rounds.iter().filter(|round| round.phase != "round");
    steady(run).into_iter().chain(proofs).collect()
}

fn round_row(name: &str, rounds: &[&Round]) -> Vec<String> {
    let of = |number: fn(&Round) -> Option<f64>| {
        let values: Vec<f64> = rounds.iter().filter_map(|round| number(round)).collect();
        median(&values)
    };
    let first = rounds.first();
    vec![
        name.to_owned(),
        first.map_or_else(String::new, |round| round.phase.clone()),
        or_missing(of(|round| Some(f64::from(round.active_connections))), whole),
        or_missing(of(|round| Some(round.seconds * 1e9)), duration_ns),
        or_missing(of(|round| round.echoes_per_second), rate),
        or_missing(of(|round| Some(round.latency_ns.p50? as f64)), duration_ns),
        or_missing(of(|round| Some(round.latency_ns.p99? as f64)), duration_ns),
    ]
}

/// Runs that opened connections until something stopped them.
fn ceilings(records: &[Record]) -> Option<Sheet> {
    let mut sheet = Sheet::new(
        "The ceiling: connections until something stops them",
        1,
        &[
            "engine",
            "held",
            "proved live",
            "stopped by",
            "kernel",
            "server user",
            "client user",
            "all of it",
        ],
    );
    for record in of_kind(records, Kind::Ceiling) {
        let setup = &record.setup;
        let count = |count: Option<u32>| or_missing(count.map(f64::from), whole);
        let stopped = record.limiter.as_deref().or(record.error.as_deref());
        sheet.rows.push(vec![
            format!("{}{}", record.case.arm(), with_sysctls(record)),
            count(setup.connections_held),
            count(setup.connections_proved),
            super::format::shortened(stopped.unwrap_or(MISSING), 40),
            or_missing(metric::kernel_bytes(record), bytes),
            or_missing(metric::server_bytes(record), bytes),
            or_missing(metric::client_bytes(record), bytes),
            or_missing(all_of_it(record), decimal_bytes),
        ]);
    }
    let memory = largest_memory(&of_kind(records, Kind::Ceiling));
    sheet.intro = "Bytes are of one connection; all of it is the memory of all of them".to_owned();
    sheet.intro.push_str(&memory.map_or_else(
        || ".".to_owned(),
        |bytes| format!(", where the machine has {}.", decimal_bytes(bytes as f64)),
    ));
    (!sheet.rows.is_empty()).then_some(sheet)
}

/// Kernel and user memory of all connections that a run held.
fn all_of_it(record: &Record) -> Option<f64> {
    let sides = [metric::server_bytes(record), metric::client_bytes(record)];
    let each = metric::kernel_bytes(record)? + sides.into_iter().flatten().sum::<f64>();
    Some(each * metric::held(record))
}

fn with_sysctls(record: &Record) -> String {
    match sysctl_words(&record.case).as_str() {
        "" => String::new(),
        words => format!(", {words}"),
    }
}

/// Hot connections among idle ones. A comparison that no mix has has no column.
fn mixes(records: &[Record]) -> Option<Sheet> {
    type Comparison = (&'static str, fn(&Mix<'_>) -> Option<Ratio>);
    const COMPARISONS: [Comparison; 3] = [
        ("to the hot set alone", |mix| mix.to_alone),
        ("to no setting", |mix| mix.to_default),
        ("to epoll", |mix| mix.to_reference),
    ];
    let mixes = mix::mixes(records);
    let compared: Vec<&Comparison> = COMPARISONS
        .iter()
        .filter(|(_, ratio)| mixes.iter().any(|mix| ratio(mix).is_some()))
        .collect();
    let mut sheet = Sheet::new(
        "Busy connections among idle ones",
        1,
        &[
            "engine",
            "hot",
            "of",
            "which",
            "echoes/s",
            "p99",
            "server CPU",
        ],
    );
    let headings = compared.iter().map(|(heading, _)| (*heading).to_owned());
    sheet.headings.extend(headings);
    for mix in &mixes {
        let mut row = mix_row(mix);
        row.extend(compared.iter().map(|(_, ratio)| ratio_words(ratio(mix))));
        sheet.rows.push(row);
    }
    sheet.intro = "Only the hot ones take part in the measured span; the others are open and idle. Ratios are of rates, \
                   paired within repeats, with the 95 % interval. Server CPU is time an echo."
        .to_owned();
    sheet.notes = vec![match mix::noise(records, &mixes) {
        Some(width) => format!(
            "The A/A arm, the same under another label, differs by up to {}: a ratio inside that is no difference.",
            percent(width - 1.0)
        ),
        None => "Without an A/A arm nobody knows the noise: no difference is judged.".to_owned(),
    }];
    (!sheet.rows.is_empty()).then_some(sheet)
}

fn mix_row(mix: &Mix<'_>) -> Vec<String> {
    let settings = match sysctl_words(mix.case).as_str() {
        "" => String::new(),
        words => format!(", {words}"),
    };
    let value = |metric: metric::Metric, form: fn(f64) -> String| {
        or_missing(mix.estimate(metric).map(|estimate| estimate.value), form)
    };
    vec![
        format!("{}{settings}", mix.case.arm()),
        whole(f64::from(mix.case.hot())),
        whole(f64::from(mix.case.connections)),
        mix.placement().to_owned(),
        value(metric::rate, rate),
        value(metric::p99, duration_ns),
        value(metric::server_cpu, duration_ns),
    ]
}

fn ratio_words(found: Option<Ratio>) -> String {
    let Some(found) = found else {
        return MISSING.to_owned();
    };
    let interval = found
        .interval
        .map(|interval| format!(" ({:.2}–{:.2})", interval.low, interval.high));
    format!("{}{}", ratio(found.value), interval.unwrap_or_default())
}

/// The price list.
fn prices(records: &[Record]) -> Option<Sheet> {
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
        counts(&price.counts),
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
fn remedies(records: &[Record]) -> Option<Sheet> {
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

fn range(interval: &Interval, form: fn(f64) -> String) -> String {
    format!("{} to {}", form(interval.low), form(interval.high))
}

/// `5: 20,000 to 100,000`.
fn counts(counts: &[u32]) -> String {
    let count = |count: u32| whole(f64::from(count));
    match counts {
        [] => MISSING.to_owned(),
        [only] => count(*only),
        [first, .., last] => format!("{}: {} to {}", counts.len(), count(*first), count(*last)),
    }
}
