//! What the client reaches, and what it takes beside its server: so that it is no excuse for a rate.

use super::cast;
use super::format::{MISSING, counted, percent, rate, ratio, whole};
use super::group::{Group, Series};
use super::metric::{self, Metric};
use super::sheet::Sheet;
use super::verdict::pairs;
use crate::statistics;
use fourtuple_spec::ClientKind;

/// One arm at one count.
struct Found<'a> {
    name: &'a str,
    connections: u32,
    /// Its rate as a share of what the client reaches.
    share: f64,
    /// CPU of the client for an echo ÷ that of the server.
    cpu: Option<f64>,
}

/// The table; `None` where nobody measured what the client reaches.
pub fn sheet(group: &Group<'_>) -> Option<Sheet> {
    let ceiling = group.client_ceiling()?;
    let reached = |count: u32| cast::valid_rate(ceiling, count);
    let mut counts = group.counts();
    counts.retain(|count| reached(*count).is_some());
    let arms = driven(group);
    let found: Vec<Found<'_>> = counts
        .iter()
        .flat_map(|count| arms.iter().filter_map(|arm| find(ceiling, arm, *count)))
        .collect();
    if found.is_empty() {
        return None;
    }
    let mut headings = vec!["engine".to_owned()];
    headings.extend(counts.iter().map(|count| whole(f64::from(*count))));
    let mut first = vec!["spin: the client reaches at least".to_owned()];
    first.extend(counts.iter().filter_map(|count| reached(*count)).map(rate));
    let row = |arm: &&Series<'_>| {
        let cells = counts.iter().map(|count| {
            let mut own = found.iter();
            let own = own.find(|one| one.name == arm.name && one.connections == *count);
            own.map_or_else(|| MISSING.to_owned(), cell)
        });
        std::iter::once(arm.name.clone()).chain(cells).collect()
    };
    let mut sheet = Sheet {
        title: "What the client reaches, and what it takes".to_owned(),
        intro: "Against a server that never waits (spin), the io_uring client reaches at least the first row's rate. \
                Below it is each engine's rate as a share of that, and the client's CPU time an echo ÷ the server's."
            .to_owned(),
        headings,
        keys: 1,
        rows: vec![first],
        notes: Vec::new(),
    };
    sheet.rows.extend(arms.iter().map(row));
    sheet.notes.push(shares(&counts, &found, &reached));
    sheet.notes.push(burdens(&found));
    Some(sheet)
}

/// The arms that the io_uring client drove: of those it is the limit.
fn driven<'a, 'b>(group: &'b Group<'a>) -> Vec<&'b Series<'a>> {
    let mut arms = cast::arms(group);
    arms.retain(|arm| arm.client == ClientKind::Uring);
    arms
}

fn find<'a>(ceiling: &Series<'_>, arm: &'a Series<'_>, connections: u32) -> Option<Found<'a>> {
    let point = arm.point(connections)?;
    let pairs = pairs(point, ceiling.point(connections)?);
    let ratios: Vec<f64> = pairs.iter().map(|(own, most)| own / most).collect();
    let mean = |metric: Metric| {
        let values: Vec<f64> = point.valid_runs().filter_map(metric).collect();
        statistics::geometric_mean(&values)
    };
    let cpu = mean(metric::client_cpu).zip(mean(metric::server_cpu));
    Some(Found {
        name: &arm.name,
        connections,
        share: statistics::geometric_mean(&ratios)?,
        cpu: cpu.map(|(client, server)| client / server),
    })
}

fn cell(one: &Found<'_>) -> String {
    let cpu = one.cpu.map_or_else(|| MISSING.to_owned(), ratio);
    format!("{} · {cpu}", percent(one.share))
}

/// How near to the client's most the engines are, count by count.
fn shares(counts: &[u32], found: &[Found<'_>], reached: &impl Fn(u32) -> Option<f64>) -> String {
    let sentence = |count: &u32| {
        let at = || found.iter().filter(|one| one.connections == *count);
        let least = at().min_by(|a, b| a.share.total_cmp(&b.share))?;
        let most = at().max_by(|a, b| a.share.total_cmp(&b.share))?;
        Some(format!(
            "at {} at least {} a second, and engines are at {} ({}) to {} ({}) of that",
            counted(*count as usize, "connection"),
            rate(reached(*count)?),
            percent(least.share),
            least.name,
            percent(most.share),
            most.name,
        ))
    };
    let sentences: Vec<String> = counts.iter().filter_map(sentence).collect();
    format!("The client reaches {}.", sentences.join("; "))
}

/// Where the client takes more CPU time an echo than its server.
fn burdens(found: &[Found<'_>]) -> String {
    let heavy = found.iter().filter_map(|one| {
        let cpu = one.cpu.filter(|cpu| *cpu > 1.0)?;
        Some(format!(
            "{} at {} ({})",
            one.name,
            whole(f64::from(one.connections)),
            ratio(cpu)
        ))
    });
    let heavy: Vec<String> = heavy.collect();
    if heavy.is_empty() {
        return "Nowhere does the client take more CPU time an echo than its server.".to_owned();
    }
    format!(
        "Warning: the client takes more CPU time an echo than its server with {}. There a rate is the client's as \
         much as the server's.",
        heavy.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::super::group::groups;
    use super::super::{fixture, fixture_comparison};
    use super::*;
    use fourtuple_spec::{Engine, Record};

    fn text(records: &[Record]) -> String {
        let groups = groups(records);
        let sheet = sheet(&groups[0]).unwrap();
        sheet.markdown("##").replace('\u{a0}', " ")
    }

    #[test]
    fn engines_stand_beside_what_the_client_reaches() {
        let mut records = fixture_comparison::comparison(3);
        let text = self::text(&records);
        assert!(
            text.contains("| engine | 1 | 10 | 100 | 1,000 |\n"),
            "{text}"
        );
        assert!(text.contains("| spin: the client reaches at least | 5"));
        assert!(text.contains("Nowhere does the client take more"), "{text}");
        assert!(text.contains("(glommio) to "), "{text}");
        assert!(!text.contains("| stack |"));
        for record in &mut records {
            let case = &record.case;
            if case.engine == Some(Engine::Uring) && case.connections == 100 {
                let server = record.cpu.server_ns_per_echo;
                record.cpu.client_ns_per_echo = server.map(|time| time * 1.25);
            }
        }
        let text = self::text(&records);
        let warning = "more CPU time an echo than its server with uring at 100 (1.25×).";
        assert!(text.contains(warning), "{text}");
    }

    #[test]
    fn without_that_run_there_is_no_table() {
        assert!(sheet(&groups(&fixture::sweep(2))[0]).is_none());
    }
}
