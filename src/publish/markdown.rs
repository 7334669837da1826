//! Tables and text in Markdown.

/// A table of numbers: the first column is set left, the others right.
pub fn numbers(headings: &[String], rows: &[Vec<String>]) -> String {
    aligned(headings, rows, 1)
}

/// A table of words: every column is set left.
pub fn words(headings: &[String], rows: &[Vec<String>]) -> String {
    aligned(headings, rows, headings.len())
}

/// A table whose first columns, `left` of them, are set left and the others right.
pub fn aligned(headings: &[String], rows: &[Vec<String>], left: usize) -> String {
    let mut text = line(headings);
    let rules =
        (0..headings.len()).map(|index| if index < left { "---" } else { "---:" }.to_owned());
    text.push_str(&line(&rules.collect::<Vec<_>>()));
    for row in rows {
        text.push_str(&line(row));
    }
    text
}

/// Text that Markdown takes as text, on one line.
///
/// Errors and host names come from outside: a bar would end a table's cell, an angle bracket would be HTML.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\n' | '\r' | '\t' => escaped.push(' '),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '|' | '*' | '_' | '`' | '[' | ']' | '\\' | '#' => {
                escaped.push('\\');
                escaped.push(character);
            }
            other => escaped.push(other),
        }
    }
    escaped
}

fn line(cells: &[String]) -> String {
    format!("| {} |\n", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_cannot_end_its_row() {
        assert_eq!(escape("a|b\n<c> & `d`"), "a\\|b &lt;c&gt; &amp; \\`d\\`");
        let table = numbers(&["a".into(), "b".into()], &[vec!["1".into(), "2".into()]]);
        assert_eq!(table, "| a | b |\n| --- | ---: |\n| 1 | 2 |\n");
    }
}
