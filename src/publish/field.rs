//! The arms that ran under one load: how fast each was, and who leads.

use super::change::{Change, change, noise};
use super::factors::{rate, refusal};
use super::metric::Metric;
use super::point::{Estimate, Point};
use fourtuple_spec::engine::Role;
use fourtuple_spec::{Case, ClientKind, Engine, Record};

/// All runs of one arm under one load.
#[derive(Clone, Debug)]
pub struct Arm<'a> {
    /// What it is called, both arms of an A/A pair alike.
    pub name: String,
    /// The engine.
    pub engine: Engine,
    /// The load generator.
    pub client: ClientKind,
    /// Whether it is the second arm of an A/A pair.
    pub is_control: bool,
    /// Whether none of its factors differs from the default.
    pub is_default: bool,
    /// Its runs.
    pub runs: Vec<&'a Record>,
}

/// Who of two groups of engines is ahead: the best of this project's own against the best of the others.
#[derive(Clone, Debug)]
pub struct Lead<'a> {
    /// The best of ours.
    pub subject: Arm<'a>,
    /// The best of the others.
    pub baseline: Arm<'a>,
    /// The rate of the one to that of the other.
    pub change: Change,
}

impl<'a> Arm<'a> {
    /// What its runs say about a number.
    pub fn estimate(&self, metric: Metric) -> Option<Estimate> {
        let connections = self.runs.first()?.case.connections;
        let runs = self.runs.clone();
        Point { connections, runs }.estimate(metric)
    }

    /// Its rate, from valid runs alone.
    pub fn valid_rate(&self) -> Option<f64> {
        let found = self.estimate(rate).filter(|found| !found.is_hollow)?;
        Some(found.value)
    }

    /// Whether it serves, and is no control and no floor.
    pub fn is_compared(&self) -> bool {
        let role = self.engine.profile().role;
        !self.is_control && matches!(role, Role::Subject | Role::Baseline)
    }
}

/// The arms of records of one load, engines in the order in which they are listed, defaults first. What was not
/// granted ran as something else: it is no arm.
pub fn arms<'a>(records: &[&'a Record]) -> Vec<Arm<'a>> {
    let mut arms: Vec<Arm<'a>> = Vec::new();
    for record in records {
        let case = &record.case;
        let Some(engine) = case.engine else { continue };
        if refusal(record).is_some() {
            continue;
        }
        let name = name(case);
        let own = (&name, case.client, case.control);
        match arms
            .iter_mut()
            .find(|arm| (&arm.name, arm.client, arm.is_control) == own)
        {
            Some(arm) => arm.runs.push(record),
            None => arms.push(Arm {
                name,
                engine,
                client: case.client,
                is_control: case.control,
                is_default: case.factors.is_default(),
                runs: vec![record],
            }),
        }
    }
    let listed = |engine: Engine| {
        let mut rows = fourtuple_spec::engine::PROFILES.iter();
        rows.position(|row| row.engine == engine)
    };
    arms.sort_by_key(|arm| (listed(arm.engine), !arm.is_default, arm.is_control));
    arms
}

/// What a case's arm is called, whichever of an A/A pair it is.
fn name(case: &Case) -> String {
    let plain = Case {
        control: false,
        ..case.clone()
    };
    plain.arm()
}

/// The widest of the A/A pairs among these arms, in this number.
pub fn width(arms: &[Arm<'_>], metric: Metric) -> Option<f64> {
    let controls = arms.iter().filter(|arm| arm.is_control);
    let widths = controls.filter_map(|control| {
        let mut twins = arms.iter().filter(|arm| !arm.is_control);
        let twin = twins.find(|arm| (&arm.name, arm.client) == (&control.name, control.client))?;
        noise(&control.runs, &twin.runs, metric)
    });
    widths.max_by(f64::total_cmp)
}

/// The compared arm with the highest rate.
pub fn best<'a, 'b>(arms: &'b [Arm<'a>]) -> Option<&'b Arm<'a>> {
    best_of(arms, |_| true)
}

/// Who leads; `None` where one of the two groups has no valid rate.
pub fn lead<'a>(arms: &[Arm<'a>]) -> Option<Lead<'a>> {
    let of = |role: Role| best_of(arms, move |arm| arm.engine.profile().role == role);
    let (subject, baseline) = (of(Role::Subject)?, of(Role::Baseline)?);
    Some(Lead {
        change: change(&subject.runs, &baseline.runs, rate, width(arms, rate))?,
        subject: subject.clone(),
        baseline: baseline.clone(),
    })
}

fn best_of<'a, 'b>(
    arms: &'b [Arm<'a>],
    is_meant: impl Fn(&Arm<'a>) -> bool,
) -> Option<&'b Arm<'a>> {
    let compared = arms.iter().filter(|arm| arm.is_compared() && is_meant(arm));
    let with_rate = compared.filter_map(|arm| Some((arm, arm.valid_rate()?)));
    let best = with_rate.max_by(|a, b| a.1.total_cmp(&b.1));
    best.map(|(arm, _)| arm)
}

/// The records of each load, in the order in which loads come: `key` is what has to be equal.
pub fn by<'a, K: PartialEq>(
    records: &[&'a Record],
    key: impl Fn(&Record) -> K,
) -> Vec<(K, Vec<&'a Record>)> {
    let mut found: Vec<(K, Vec<&'a Record>)> = Vec::new();
    for record in records {
        let own = key(record);
        match found.iter_mut().find(|(known, _)| *known == own) {
            Some((_, members)) => members.push(record),
            None => found.push((own, vec![record])),
        }
    }
    found
}

/// A case without what tells one arm from another, and one run from the next.
pub fn load(case: &Case) -> Case {
    Case {
        engine: None,
        foreign: None,
        factors: Default::default(),
        client: ClientKind::Uring,
        control: false,
        repeat: 0,
        server_cpus: Vec::new(),
        client_cpus: Vec::new(),
        ..case.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::super::change::Told;
    use super::super::fixture_factors as fixtures;
    use super::*;

    #[test]
    fn the_best_of_ours_stands_against_the_best_of_the_others() {
        let records = fixtures::sizes(4);
        let all: Vec<&Record> = records.iter().collect();
        let loads = by(&all, |record| load(&record.case));
        assert_eq!(loads.len(), fixtures::SIZES.len());
        let small = lead(&arms(&loads[0].1)).unwrap();
        assert_eq!(
            (&small.subject.name[..], &small.baseline.name[..]),
            ("uring", "epoll")
        );
        assert_eq!(small.change.told, Told::More);
        let large = lead(&arms(&loads[5].1)).unwrap();
        assert_eq!(large.subject.name, "uring, recv = bundle");
        assert_eq!(large.change.told, Told::Less);
    }

    #[test]
    fn what_was_not_granted_is_no_arm_and_so_never_leads() {
        let mut records = fixtures::sizes(2);
        for run in &mut records {
            if !run.case.factors.is_default() {
                run.granted
                    .server
                    .push(fixtures::not_granted("recv-bundle"));
            }
        }
        let all: Vec<&Record> = records.iter().collect();
        assert!(arms(&all).iter().all(|arm| arm.is_default));
    }

    #[test]
    fn the_floor_and_the_a_a_arm_are_never_the_best() {
        let records = fixtures::sizes(2);
        let all: Vec<&Record> = records.iter().collect();
        let arms = arms(&all);
        let names: Vec<(&str, bool)> = arms
            .iter()
            .map(|arm| (&arm.name[..], arm.is_control))
            .collect();
        let expected = [
            ("uring", false),
            ("uring, recv = bundle", false),
            ("uring-poll", false),
            ("epoll", false),
            ("epoll", true),
            ("tokio", false),
            ("spin", false),
        ];
        assert_eq!(names, expected);
        assert_eq!(best(&arms).unwrap().engine, Engine::Uring);
        assert!(width(&arms, rate).unwrap() > 1.0);
    }
}
