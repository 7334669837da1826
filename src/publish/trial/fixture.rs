//! A trial made by hand, for tests.

use super::super::fixture;
use fourtuple_spec::claim::{Evidence, Figure, TRIAL_SCHEMA_VERSION};
use fourtuple_spec::{Trial, TriedClaim, Verdict};

/// A number of connections that was met.
pub fn figure(name: &str, predicted: Option<f64>, measured: f64) -> Figure {
    Figure {
        name: name.to_owned(),
        predicted,
        measured: Some(measured),
        unit: "connections".to_owned(),
        is_exact: predicted.is_some(),
    }
}

/// A claim with these numbers.
pub fn tried(id: &str, verdict: Verdict, figures: Vec<Figure>) -> TriedClaim {
    TriedClaim {
        id: id.to_owned(),
        claim: format!("What is said of {id} | and <more>."),
        experiment: "It is tried.".to_owned(),
        predicted: "A number.".to_owned(),
        measured: (verdict != Verdict::NotRun).then(|| "100,000 were held.".to_owned()),
        verdict,
        why: "Because of it.".to_owned(),
        figures,
        evidence: vec![Evidence {
            what: "Lines of /proc/net/tcp".to_owned(),
            lines: vec!["0100007F:0007 ```".to_owned()],
        }],
        notes: vec!["Here alone.".to_owned()],
        records: Vec::new(),
        seconds: 3.4,
        tried_at: "2026-01-09T10:00:00Z".to_owned(),
        command: vec!["fourtuple".to_owned(), "claims".to_owned()],
        is_full: false,
    }
}

/// Two claims.
pub fn trial() -> Trial {
    let figures = vec![
        figure("to one destination", Some(1_000.0), 1_000.0),
        figure("to four", Some(4_000.0), 3_999.0),
        figure("at once", None, 100_000.0),
    ];
    Trial {
        schema_version: TRIAL_SCHEMA_VERSION,
        started_at: "2026-01-09T10:00:00Z".to_owned(),
        command: vec!["fourtuple".to_owned(), "claims".to_owned()],
        host: fixture::sweep(1)[0].host.clone(),
        is_full: false,
        seconds: 7.0,
        claims: vec![
            tried("client-ports", Verdict::Refuted, figures),
            tried("memory", Verdict::NotRun, Vec::new()),
        ],
    }
}
