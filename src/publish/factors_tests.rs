//! Tests of [`super`].

use super::super::change::Told;
use super::super::{fixture, fixture_factors as fixtures};
use super::*;
use fourtuple_spec::factors::Send;

fn find<'a>(study: &'a Study<'_>, label: &str) -> &'a Setting {
    let mut settings = study.settings.iter();
    settings.find(|setting| setting.label() == label).unwrap()
}

#[test]
fn each_setting_is_compared_with_the_default_at_each_count() {
    let records = fixtures::ablations(5);
    let studies = studies(&records);
    assert_eq!(studies.len(), 1);
    let study = &studies[0];
    assert_eq!(study.counts, fixtures::COUNTS);
    assert_eq!(study.settings.len(), fixtures::settings().len());
    let spin = find(study, "spin = 50");
    let told: Vec<Told> = spin
        .effects
        .iter()
        .map(|effect| effect.rate.unwrap().told)
        .collect();
    assert_eq!(told, [Told::More, Told::Same, Told::Same]);
    let one = &spin.effects[0];
    assert!((1.9..1.95).contains(&one.rate.unwrap().ratio));
    assert_eq!(one.p50.unwrap().told, Told::Less);
    assert_eq!(one.cores_busy.1, Some(1.0));
    let oneshot = find(study, "recv = oneshot");
    assert_eq!(oneshot.effects[2].rate.unwrap().told, Told::Less);
}

#[test]
fn settings_stand_by_factor_and_those_of_several_come_last() {
    let mut records = fixtures::ablations(2);
    let mut both = records[0].clone();
    both.case.factors.spin = 50;
    both.case.factors.sqpoll = true;
    records.insert(0, both);
    let studies = studies(&records);
    let labels: Vec<String> = studies[0].settings.iter().map(Setting::label).collect();
    assert_eq!(labels[0], "accept = oneshot");
    assert_eq!(labels.last().unwrap(), "sqpoll = true, spin = 50");
    let last = studies[0].settings.last().unwrap();
    assert!(!last.is_single());
    assert_eq!(last.effects[1].standing, Standing::Absent);
}

#[test]
fn what_was_not_granted_is_named_and_decides_nothing() {
    let records = fixtures::ablations(5);
    let studies = studies(&records);
    let zero_copy = find(&studies[0], "send = zero-copy");
    for effect in &zero_copy.effects {
        let reason = "send-zero-copy: the kernel has no such request".to_owned();
        assert_eq!(effect.standing, Standing::NotGranted(reason));
        assert_eq!(effect.rate.unwrap().told, Told::Open);
    }
    let bundle = find(&studies[0], "send = bundle");
    assert_eq!(bundle.effects[0].standing, Standing::Measured);
}

#[test]
fn what_a_setting_costs_beside_itself_is_found() {
    let mut records = fixtures::ablations(2);
    let watched = records.iter_mut().filter(|run| run.case.factors.sqpoll);
    for run in watched {
        run.granted
            .server
            .push(fixtures::not_granted("defer-taskrun"));
    }
    for run in &mut records {
        run.granted
            .server
            .push(fixtures::not_granted("ring-sockets"));
    }
    let studies = studies(&records);
    let study = &studies[0];
    assert_eq!(
        study.lost_beside(find(study, "sqpoll = true")),
        ["defer-taskrun"]
    );
    assert!(study.lost_beside(find(study, "spin = 50")).is_empty());
    assert!(
        study
            .lost_beside(find(study, "send = zero-copy"))
            .is_empty()
    );
}

#[test]
fn a_feature_is_of_the_factor_that_asks_for_it() {
    for (name, value, feature, is_asked) in [
        ("send", "zero-copy", "send-zero-copy", true),
        ("recv", "bundle", "recv-bundle", true),
        ("recv", "bundle", "recv-multishot", true),
        ("recv", "oneshot", "recv-multishot", false),
        ("taskrun", "coop", "coop-taskrun", true),
        ("taskrun", "coop", "defer-taskrun", false),
        ("buffers", "ring-incremental", "buffers-incremental", true),
        ("sqpoll", "true", "sqpoll", true),
        ("spin", "50", "single-issuer", false),
    ] {
        assert_eq!(concerns(name, value, feature), is_asked, "{name} {feature}");
    }
}

#[test]
fn a_setting_without_its_default_has_no_study_and_one_that_failed_says_why() {
    let mut alone = fixture::record(Engine::Uring, 100, 0);
    alone.case.factors.spin = 50;
    assert!(studies(&[alone.clone()]).is_empty());
    let base = fixture::record(Engine::Uring, 100, 0);
    let mut failed = fixture::failed(Engine::Uring, 100, 0, None);
    failed.case.factors.send = Send::ZeroCopy;
    let records = [base, failed, alone];
    let studies = studies(&records);
    let standing = &studies[0].settings[0].effects[0].standing;
    assert_eq!(*standing, Standing::Failed("accept".to_owned()));
}

#[test]
fn a_server_that_refuses_to_start_was_not_granted_what_it_asked_for() {
    let base = fixture::record(Engine::Uring, 100, 0);
    let mut refused = fixture::failed(Engine::Uring, 100, 0, None);
    refused.case.factors.send = Send::Bundle;
    let text = "the server: this kernel does not grant send-bundle, which came with Linux 6.10: leave the factor send out";
    refused.error = Some(text.to_owned());
    let records = [base, refused];
    let studies = studies(&records);
    let reason = "this kernel does not grant send-bundle, which came with Linux 6.10";
    let effect = &studies[0].settings[0].effects[0];
    assert_eq!(effect.standing, Standing::NotGranted(reason.to_owned()));
    assert!(effect.rate.is_none());
}

#[test]
fn two_engines_are_named_and_each_has_its_own_default() {
    let mut records = Vec::new();
    for (engine, factor) in [(Engine::Uring, 1.9), (Engine::Epoll, 1.8)] {
        for repeat in 0..3 {
            let base = fixture::record(engine, 1, repeat);
            let mut spun = fixtures::faster(base.clone(), factor);
            spun.case.factors.spin = 50;
            records.extend([base, spun]);
        }
    }
    let studies = studies(&records);
    let names: Vec<String> = studies[0]
        .settings
        .iter()
        .map(|setting| studies[0].name(setting))
        .collect();
    assert_eq!(names, ["uring, spin = 50", "epoll, spin = 50"]);
    let ratio = studies[0].settings[1].effects[0].rate.unwrap().ratio;
    assert!((ratio - 1.8).abs() < 1e-9, "{ratio}");
}
