//! Ablations from records: each setting of an engine's factors against the engine's default, under one load.
//!
//! A setting that the kernel did not grant ran as something else, and so says nothing of the factor: it is
//! marked, and decides nothing.

use super::change::{Change, change, noise};
use super::group::{Shape, kebab};
use super::metric::{self, Metric};
use super::point::Point;
use fourtuple_spec::factors::{Factors, NAMES};
use fourtuple_spec::{ClientKind, Engine, Mode, Record};

/// Every setting that ran under one load.
#[derive(Debug)]
pub struct Study<'a> {
    /// The load.
    pub shape: Shape,
    /// Every connection count at which a setting ran, ascending.
    pub counts: Vec<u32>,
    /// The settings by factor, in the order in which factors are listed; those of several factors last.
    pub settings: Vec<Setting>,
    /// The A/A widths, one for each count.
    pub widths: Vec<Widths>,
    /// The records that it rests on.
    pub records: Vec<&'a Record>,
}

/// One setting of an engine's factors.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The engine.
    pub engine: Engine,
    /// Its factors.
    pub factors: Factors,
    /// The load generator.
    pub client: ClientKind,
    /// What it changed, one for each count of the study.
    pub effects: Vec<Effect>,
}

/// Why a setting's numbers are, or are not, those of the setting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It ran as it was asked for.
    Measured,
    /// The kernel refused what it needs, and this is why.
    NotGranted(String),
    /// It did not run, and this is why.
    Failed(String),
    /// Nobody asked for it here.
    Absent,
}

/// What a setting changed at one connection count.
#[derive(Clone, Debug)]
pub struct Effect {
    /// The connection count.
    pub connections: u32,
    /// Whether the numbers are the setting's.
    pub standing: Standing,
    /// Echoes a second, or connections a second of churn.
    pub rate: Option<Change>,
    /// Median latency.
    pub p50: Option<Change>,
    /// 99th percentile of latency.
    pub p99: Option<Change>,
    /// CPU time of the server an echo, all of its threads, a kernel thread of its ring included.
    pub cpu: Option<Change>,
    /// Kernel memory of a connection.
    pub bytes: Option<Change>,
    /// Cores that the server kept busy: the default's, the setting's.
    pub cores_busy: (Option<f64>, Option<f64>),
}

/// What the two arms of the A/A pair differ by at one count, by number.
#[derive(Clone, Copy, Debug, Default)]
pub struct Widths {
    /// Of the rate.
    pub rate: Option<f64>,
    /// Of the median latency.
    pub p50: Option<f64>,
    /// Of the 99th percentile.
    pub p99: Option<f64>,
    /// Of the server's CPU time an echo.
    pub cpu: Option<f64>,
    /// Of kernel memory.
    pub bytes: Option<f64>,
}

impl Setting {
    /// Whether it is an ablation: one factor alone is not the default.
    pub fn is_single(&self) -> bool {
        self.factors.differences().len() == 1
    }

    /// What is not the default: `recv = oneshot`.
    pub fn label(&self) -> String {
        let client = match self.client {
            ClientKind::Uring => "",
            ClientKind::Spin => ", spin client",
        };
        format!("{}{client}", self.factors)
    }

    /// The first factor that is not the default, as a rank.
    pub fn factor(&self) -> usize {
        let differences = self.factors.differences();
        let first = differences.first().map_or("", |(name, _)| name);
        NAMES.iter().position(|name| *name == first).unwrap_or(0)
    }
}

impl Study<'_> {
    /// Features that the default was granted and this setting was not, though it is not about them: what the
    /// kernel does not grant together, as a kernel thread for submissions with deferred completions.
    pub fn lost_beside(&self, setting: &Setting) -> Vec<String> {
        let is_of_engine = |run: &&&Record| run.case.engine == Some(setting.engine);
        let refused = |factors: Factors| -> Vec<String> {
            let runs = self.records.iter().filter(is_of_engine);
            let runs = runs.filter(|run| run.case.factors == factors);
            let grants = runs.flat_map(|run| &run.granted.server);
            let names = grants.filter(|grant| !grant.granted);
            names.map(|grant| grant.feature.clone()).collect()
        };
        let usual = refused(Factors::default());
        let differences = setting.factors.differences();
        let is_own = |feature: &String| {
            let mut asked = differences.iter();
            asked.any(|(name, value)| concerns(name, value, feature))
        };
        let mut lost = refused(setting.factors);
        lost.retain(|feature| !usual.contains(feature) && !is_own(feature));
        lost.sort();
        lost.dedup();
        lost
    }

    /// The engines that have a setting, in the order of the settings.
    pub fn engines(&self) -> Vec<Engine> {
        let mut engines: Vec<Engine> = Vec::new();
        for setting in &self.settings {
            if !engines.contains(&setting.engine) {
                engines.push(setting.engine);
            }
        }
        engines
    }

    /// A setting's name, with the engine's before it where there are several.
    pub fn name(&self, setting: &Setting) -> String {
        match self.engines().len() {
            1 => setting.label(),
            _ => format!("{}, {}", setting.engine, setting.label()),
        }
    }
}

/// A study for each load under which an engine ran both with its default and with a setting.
pub fn studies(records: &[Record]) -> Vec<Study<'_>> {
    let mut by_shape: Vec<(Shape, Vec<&Record>)> = Vec::new();
    for record in records.iter().filter(|record| is_compared(record)) {
        let shape = Shape::of(&record.case);
        match by_shape.iter_mut().find(|(known, _)| *known == shape) {
            Some((_, members)) => members.push(record),
            None => by_shape.push((shape, vec![record])),
        }
    }
    let studies = by_shape.into_iter();
    let mut studies: Vec<Study<'_>> = studies
        .filter_map(|(shape, members)| study(shape, members))
        .collect();
    studies.sort_by_key(|study| (study.shape.message_bytes, study.shape.depth));
    studies
}

/// Echoes a second, or connections a second of churn: what the load is measured by.
pub fn rate(record: &Record) -> Option<f64> {
    let churned = record.throughput.connections_per_second;
    churned.or(record.throughput.echoes_per_second)
}

/// Runs whose rate is an answer, over all of their connections.
pub fn is_compared(record: &Record) -> bool {
    let case = &record.case;
    case.engine.is_some()
        && case.measures()
        && case.mode != Mode::Open
        && !case.until_full
        && case.hot() == case.connections
}

/// An engine, its factors and the load generator: what is compared with the default of the same.
type ArmKey = (Engine, Factors, ClientKind);

fn study(shape: Shape, records: Vec<&Record>) -> Option<Study<'_>> {
    let (arms, counts) = arms_and_counts(&records);
    let widths: Vec<Widths> = counts
        .iter()
        .map(|count| widths(&records, *count))
        .collect();
    let effects = |arm: &ArmKey| {
        let at = counts.iter().zip(&widths);
        at.map(|(count, widths)| effect(&records, arm, *count, widths))
            .collect()
    };
    let mut settings: Vec<Setting> = arms
        .iter()
        .map(|arm| Setting {
            engine: arm.0,
            factors: arm.1,
            client: arm.2,
            effects: effects(arm),
        })
        .collect();
    settings.sort_by_key(|one| (!one.is_single(), one.factor(), listed(one.engine)));
    (!settings.is_empty()).then_some(Study {
        shape,
        counts,
        settings,
        widths,
        records,
    })
}

/// The settings whose default ran too, and the counts at which they ran.
fn arms_and_counts(records: &[&Record]) -> (Vec<ArmKey>, Vec<u32>) {
    let has_default = |engine: Engine| {
        let mut cases = records.iter().map(|record| &record.case);
        cases.any(|case| case.engine == Some(engine) && case.factors.is_default())
    };
    let mut arms: Vec<ArmKey> = Vec::new();
    let mut counts: Vec<u32> = Vec::new();
    for case in records.iter().map(|record| &record.case) {
        let Some(engine) = case.engine.filter(|engine| has_default(*engine)) else {
            continue;
        };
        if case.factors.is_default() {
            continue;
        }
        let arm = (engine, case.factors, case.client);
        if !arms.contains(&arm) {
            arms.push(arm);
        }
        counts.push(case.connections);
    }
    counts.sort_unstable();
    counts.dedup();
    (arms, counts)
}

fn listed(engine: Engine) -> usize {
    let mut rows = fourtuple_spec::engine::PROFILES.iter();
    rows.position(|row| row.engine == engine).unwrap_or(0)
}

/// The widest of the A/A pairs at this count, by number.
fn widths(records: &[&Record], connections: u32) -> Widths {
    let at: Vec<&Record> = of_count(records, connections);
    let controls: Vec<&Record> = at.iter().copied().filter(|run| run.case.control).collect();
    let mut engines: Vec<Engine> = controls.iter().filter_map(|run| run.case.engine).collect();
    engines.sort_unstable();
    engines.dedup();
    let widest = |metric: Metric| {
        let width = |engine: &Engine| {
            let is_of = |run: &&Record| run.case.engine == Some(*engine);
            let of_arm: Vec<&Record> = controls.iter().copied().filter(is_of).collect();
            let is_twin =
                |run: &&Record| is_of(run) && !run.case.control && run.case.factors.is_default();
            let twin: Vec<&Record> = at.iter().copied().filter(is_twin).collect();
            noise(&of_arm, &twin, metric)
        };
        engines.iter().filter_map(width).max_by(f64::total_cmp)
    };
    Widths {
        rate: widest(rate),
        p50: widest(metric::p50),
        p99: widest(metric::p99),
        cpu: widest(metric::server_cpu),
        bytes: widest(metric::kernel_bytes),
    }
}

fn of_count<'a>(records: &[&'a Record], connections: u32) -> Vec<&'a Record> {
    let is_at = |record: &&Record| record.case.connections == connections;
    records.iter().copied().filter(is_at).collect()
}

fn effect(
    records: &[&Record],
    (engine, factors, client): &ArmKey,
    connections: u32,
    widths: &Widths,
) -> Effect {
    let of = |wanted: Factors| -> Vec<&Record> {
        let is_of = |run: &&Record| {
            let case = &run.case;
            (case.engine, case.client) == (Some(*engine), *client)
                && case.factors == wanted
                && !case.control
        };
        let at = of_count(records, connections);
        at.into_iter().filter(is_of).collect()
    };
    let (arm, base) = (of(*factors), of(Factors::default()));
    let standing = standing(&arm, connections);
    let compare = |metric: Metric, width: Option<f64>| {
        // What was not granted ran as something else: its ratio is shown, and decides nothing.
        let width = width.filter(|_| standing == Standing::Measured);
        change(&arm, &base, metric, width)
    };
    Effect {
        connections,
        rate: compare(rate, widths.rate),
        p50: compare(metric::p50, widths.p50),
        p99: compare(metric::p99, widths.p99),
        cpu: compare(metric::server_cpu, widths.cpu),
        bytes: compare(metric::kernel_bytes, widths.bytes),
        cores_busy: (busy(&base, connections), busy(&arm, connections)),
        standing,
    }
}

fn busy(runs: &[&Record], connections: u32) -> Option<f64> {
    let point = Point {
        connections,
        runs: runs.to_vec(),
    };
    Some(point.estimate(|run| run.cpu.server_busy)?.value)
}

fn standing(arm: &[&Record], connections: u32) -> Standing {
    if let Some(refusal) = arm.iter().find_map(|run| refusal(run)) {
        return Standing::NotGranted(refusal);
    }
    let point = Point {
        connections,
        runs: arm.to_vec(),
    };
    match (arm.is_empty(), point.estimate(rate)) {
        (true, _) => Standing::Absent,
        (false, Some(_)) => Standing::Measured,
        (false, None) => Standing::Failed(point.failure().unwrap_or("no rate").to_owned()),
    }
}

/// What a server's error begins with that refused to run as something else.
const NOT_GRANTED: &str = "this kernel does not grant";

/// Why a run is not one of its setting: the feature that the kernel refused, and the reason. A server of ours
/// refuses to start then; one that went on has it among its grants.
pub fn refusal(record: &Record) -> Option<String> {
    let error = record.error.as_deref().unwrap_or_default();
    if let Some(start) = error.find(NOT_GRANTED) {
        let sentence = error[start..].split([':', ';', '\n']).next();
        return sentence.map(str::to_owned);
    }
    let differences = record.case.factors.differences();
    let mut refused = record.granted.server.iter().filter(|grant| !grant.granted);
    let refused = refused.find(|grant| {
        let mut asked = differences.iter();
        asked.any(|(name, value)| concerns(name, value, &grant.feature))
    })?;
    let reason = refused.reason.as_deref().unwrap_or("no reason is known");
    Some(format!("{}: {reason}", refused.feature))
}

/// Whether a kernel feature is what this setting asks for, by its name: `send-zero-copy` is of `send`, and
/// `coop-taskrun` of `taskrun`. What the default asks for is not the setting's.
fn concerns(name: &str, value: &str, feature: &str) -> bool {
    let is_of_factor = feature.starts_with(name) || feature.ends_with(name);
    let is_of_default = match feature {
        "recv-multishot" => value != "bundle",
        "defer-taskrun" | "taskrun-flag" | "accept-multishot" => true,
        _ => false,
    };
    is_of_factor && !is_of_default
}

/// A load in few words, where several are in one table.
pub fn load_name(study: &Study<'_>) -> String {
    let shape = &study.shape;
    format!(
        "{} B, depth {}{}",
        super::format::whole(f64::from(shape.message_bytes)),
        shape.depth,
        match shape.mode {
            Mode::Closed => shape.with_settings(),
            mode => format!(", {}{}", kebab(&mode), shape.with_settings()),
        }
    )
}

#[cfg(test)]
#[path = "factors_tests.rs"]
mod tests;
