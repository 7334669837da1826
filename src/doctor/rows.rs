//! The ladders of both ends in one table: a row a limit, the binding one on top.

use super::answer::{Answer, binding};
use super::number::count;
use super::page::{Page, WIDTH, broken};
use super::{Allows, Rung};

/// A limit in the ladders that have it.
#[derive(Debug)]
pub struct Row<'a> {
    /// In the server's.
    pub server: Option<&'a Rung>,
    /// In the client's.
    pub client: Option<&'a Rung>,
}

impl<'a> Row<'a> {
    fn rungs(&self) -> impl Iterator<Item = &'a Rung> {
        self.server.into_iter().chain(self.client)
    }

    /// The one that says most: that allows fewest connections, or else is unknown.
    pub fn narrowest(&self) -> &'a Rung {
        self.rungs()
            .min_by_key(|rung| rank(rung))
            .expect("a row has a rung")
    }

    /// How many connections it allows the end that it allows fewer.
    pub fn least(&self) -> Option<u64> {
        let counts = self.rungs().filter_map(|rung| match rung.allows {
            Allows::Connections(count) => Some(count),
            _ => None,
        });
        counts.min()
    }
}

/// Numbers first, by their size; then what is unknown, what bounds nothing, what bounds something else.
fn rank(rung: &Rung) -> (u8, u64) {
    match rung.allows {
        Allows::Connections(count) => (0, count),
        Allows::Unknown(_) => (1, 0),
        Allows::Any(_) => (2, 0),
        Allows::Other(_) => (3, 0),
    }
}

/// The rows of an answer, the binding one first.
pub fn of(answer: &Answer) -> Vec<Row<'_>> {
    let mut rows: Vec<Row> = Vec::new();
    for rung in answer.server.iter().flat_map(|ladder| &ladder.rungs) {
        rows.push(Row {
            server: Some(rung),
            client: None,
        });
    }
    for rung in answer.client.iter().flat_map(|ladder| &ladder.rungs) {
        let is_same = |row: &&mut Row| {
            row.client.is_none()
                && (row.server).is_some_and(|server| {
                    (server.limit, &server.value) == (rung.limit, &rung.value)
                })
        };
        match rows.iter_mut().find(is_same) {
            Some(row) => row.client = Some(rung),
            None => rows.push(Row {
                server: None,
                client: Some(rung),
            }),
        }
    }
    rows.sort_by_key(|row| rank(row.narrowest()));
    rows
}

/// The table of those that allow a number, or might.
pub fn table(page: &mut Page, answer: &Answer, rows: &[Row]) {
    let bound = |row: &&Row| rank(row.narrowest()).0 < 2;
    let rows: Vec<&Row> = rows.iter().filter(bound).collect();
    if rows.is_empty() {
        return;
    }
    let columns = Columns::of(answer, &rows);
    page.blank();
    page.columns(&columns.line("  limit", "value", columns.heads()));
    for row in rows {
        let lines = broken(
            row.narrowest().value.as_deref().unwrap_or("unknown"),
            columns.value,
        );
        let is_binding = columns.is_binding(answer, row);
        let mark = if is_binding { "> " } else { "  " };
        let name = format!("{mark}{}", row.narrowest().limit);
        let first = lines.first().map_or("", String::as_str);
        page.row(is_binding, &columns.line(&name, first, columns.cells(row)));
        for line in lines.iter().skip(1) {
            page.row(
                is_binding,
                &columns.line("", line, [String::new(), String::new()]),
            );
        }
    }
    page.columns("  >: it stops the next one");
}

/// How wide the columns are, and which there are.
struct Columns {
    limit: usize,
    value: usize,
    ends: [Option<usize>; 2],
}

impl Columns {
    fn of(answer: &Answer, rows: &[&Row]) -> Self {
        let wide = |text: &str| text.chars().count();
        let names = rows.iter().map(|row| wide(row.narrowest().limit) + 2);
        let limit = names.max().unwrap_or(0);
        let server = rows.iter().map(|row| wide(&cell(row.server)));
        let client = rows.iter().map(|row| wide(&cell(row.client)));
        let ends = [
            (answer.server.is_some()).then(|| server.max().unwrap_or(0).max("server".len())),
            (answer.client.is_some()).then(|| client.max().unwrap_or(0).max("client".len())),
        ];
        let taken: usize = ends.iter().flatten().map(|width| width + 2).sum();
        Self {
            limit,
            value: WIDTH.saturating_sub(limit + 2 + taken).max(8),
            ends,
        }
    }

    fn heads(&self) -> [String; 2] {
        ["server".to_owned(), "client".to_owned()]
    }

    fn cells(&self, row: &Row) -> [String; 2] {
        [cell(row.server), cell(row.client)]
    }

    fn line(&self, limit: &str, value: &str, ends: [String; 2]) -> String {
        let mut line = format!("{limit:<0$}  {value:<1$}", self.limit, self.value);
        for (width, text) in self.ends.iter().zip(ends) {
            if let Some(width) = width {
                line.push_str(&format!("  {text:>width$}"));
            }
        }
        line
    }

    fn is_binding(&self, answer: &Answer, row: &Row) -> bool {
        let ladders = [&answer.server, &answer.client];
        let rungs = [row.server, row.client];
        let mut pairs = ladders.into_iter().zip(rungs);
        pairs.any(|(ladder, rung)| {
            let binding = ladder.as_ref().and_then(binding);
            binding.is_some() && binding == rung
        })
    }
}

/// What a limit allows one end.
fn cell(rung: Option<&Rung>) -> String {
    match rung.map(|rung| &rung.allows) {
        None => "–".to_owned(),
        Some(Allows::Connections(allowed)) if *allowed >= 10_000_000_000 => "over 10^10".to_owned(),
        Some(Allows::Connections(allowed)) => count(*allowed),
        Some(Allows::Any(_) | Allows::Other(_)) => "any".to_owned(),
        Some(Allows::Unknown(_)) => "unknown".to_owned(),
    }
}
