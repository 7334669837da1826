//! A table with what has to be said about it, for a README and for a terminal alike.

use super::format::shortened;
use super::markdown::{self, escape};
use super::table::wrapped;

/// The most columns of text that one of the first columns takes on a terminal.
const KEY_WIDTH_MAX: usize = 36;

/// A table and the sentences around it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sheet {
    /// What it shows.
    pub title: String,
    /// How its numbers were made.
    pub intro: String,
    /// The columns' headings.
    pub headings: Vec<String>,
    /// How many of the first columns are names: set left, and repeated where a terminal is too narrow.
    pub keys: usize,
    /// The rows, as many cells each as there are headings.
    pub rows: Vec<Vec<String>>,
    /// What follows from it, a paragraph each.
    pub notes: Vec<String>,
}

impl Sheet {
    /// A table without rows.
    pub fn new(title: &str, keys: usize, headings: &[&str]) -> Self {
        Self {
            title: title.to_owned(),
            headings: headings.iter().map(|&heading| heading.to_owned()).collect(),
            keys,
            ..Self::default()
        }
    }

    /// As Markdown, under a heading of this level (`##`).
    pub fn markdown(&self, level: &str) -> String {
        let mut text = format!("{level} {}\n\n", escape(&self.title));
        if !self.intro.is_empty() {
            text.push_str(&format!("{}\n\n", escape(&self.intro)));
        }
        text.push_str(&self.markdown_table());
        for note in &self.notes {
            text.push_str(&format!("{}\n\n", escape(note)));
        }
        text
    }

    /// The table alone, as Markdown; nothing where it has no rows.
    pub fn markdown_table(&self) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let escaped =
            |cells: &Vec<String>| cells.iter().map(|cell| escape(cell)).collect::<Vec<_>>();
        let rows: Vec<Vec<String>> = self.rows.iter().map(escaped).collect();
        format!(
            "{}\n",
            markdown::aligned(&escaped(&self.headings), &rows, self.keys)
        )
    }

    /// For a terminal of this many columns: what does not fit beside its names stands below.
    pub fn terminal(&self, width: usize) -> String {
        let mut text = format!("{}\n", self.title);
        for line in wrapped(&self.intro, width) {
            text.push_str(&format!("{line}\n"));
        }
        if !self.rows.is_empty() {
            text.extend(self.blocks(width).iter().map(|block| self.block(block)));
        }
        if !self.notes.is_empty() {
            text.push('\n');
        }
        for line in self.notes.iter().flat_map(|note| wrapped(note, width)) {
            text.push_str(&format!("{line}\n"));
        }
        text.push('\n');
        text
    }

    /// Which columns stand side by side: the names, and as many others as fit.
    fn blocks(&self, width: usize) -> Vec<Vec<usize>> {
        let keys: Vec<usize> = (0..self.keys).collect();
        let key_width: usize = keys.iter().map(|&index| self.width(index) + 2).sum();
        let mut blocks = vec![keys.clone()];
        let mut room = key_width;
        for column in self.keys..self.headings.len() {
            let needed = self.width(column) + 2;
            let block = blocks.last().expect("there is always one");
            if room + needed > width + 2 && block.len() > self.keys {
                blocks.push(keys.clone());
                room = key_width;
            }
            room += needed;
            blocks.last_mut().expect("there is always one").push(column);
        }
        blocks
    }

    fn block(&self, columns: &[usize]) -> String {
        let mut text = "\n".to_owned();
        for row in std::iter::once(&self.headings).chain(&self.rows) {
            let cells: Vec<String> = columns
                .iter()
                .map(|&column| self.cell(row, column))
                .collect();
            text.push_str(cells.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    fn cell(&self, row: &[String], column: usize) -> String {
        let width = self.width(column);
        let content = row.get(column).map_or("", String::as_str);
        if column < self.keys {
            format!("{:width$}", shortened(content, width))
        } else {
            format!("{content:>width$}")
        }
    }

    fn width(&self, column: usize) -> usize {
        let all = std::iter::once(&self.headings).chain(&self.rows);
        let widest = all.filter_map(|row| Some(row.get(column)?.chars().count()));
        let widest = widest.max().unwrap_or(0);
        if column < self.keys {
            widest.min(KEY_WIDTH_MAX)
        } else {
            widest
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sheet() -> Sheet {
        let mut sheet = Sheet::new("Bytes", 1, &["engine", "first", "second", "third"]);
        sheet.rows = vec![["null_", "1", "2", "3"].map(str::to_owned).into()];
        sheet.notes = vec!["It is so.".to_owned()];
        sheet
    }

    #[test]
    fn what_does_not_fit_stands_below_under_the_same_names() {
        assert!(
            sheet()
                .terminal(80)
                .contains("null_       1       2      3\n")
        );
        let narrow = sheet().terminal(15);
        assert!(narrow.lines().all(|line| line.chars().count() <= 15));
        assert_eq!(narrow.matches("null_").count(), 3, "{narrow}");
    }

    #[test]
    fn markdown_sets_names_left_and_numbers_right() {
        let text = sheet().markdown("##");
        let expected = "## Bytes\n\n| engine | first | second | third |\n| --- | ---: | ---: | ---: |\n| null\\_ | 1 | 2 | 3 |\n\nIt is so.\n\n";
        assert_eq!(text, expected);
    }
}
