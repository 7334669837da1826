//! Lines of text that fit 80 columns, with colour where it is wanted.

/// The width that everything but a command keeps to.
pub const WIDTH: usize = 80;

const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// How wide the labels of a limit's details are.
const LABEL_WIDTH: usize = 10;

/// A text that grows line by line.
#[derive(Debug)]
pub struct Page {
    text: String,
    is_color: bool,
}

impl Page {
    /// An empty one.
    pub fn new(is_color: bool) -> Self {
        Self {
            text: String::new(),
            is_color,
        }
    }

    /// What was written.
    pub fn into_text(self) -> String {
        self.text
    }

    /// An empty line.
    pub fn blank(&mut self) {
        self.text.push('\n');
    }

    /// What is to be seen first.
    pub fn strong(&mut self, text: &str) {
        self.wrapped(BOLD, text, "", "  ");
    }

    /// Plain words.
    pub fn paragraph(&mut self, text: &str) {
        self.wrapped("", text, "", "  ");
    }

    /// A heading, with an empty line before it.
    pub fn heading(&mut self, text: &str) {
        self.blank();
        self.wrapped(BOLD, text, "", "  ");
    }

    /// One thing of a list.
    pub fn item(&mut self, text: &str) {
        self.wrapped("", text, "  ", "    ");
    }

    /// The name of what the next lines are about.
    pub fn name(&mut self, text: &str) {
        self.wrapped(BOLD, text, "  ", "    ");
    }

    /// A label and what it labels; a label alone if that is empty.
    pub fn labelled(&mut self, label: &str, text: &str) {
        let first = format!("    {label:<LABEL_WIDTH$}");
        match text.is_empty() {
            true => self.line(DIM, &format!("    {label}")),
            false => self.wrapped("", text, &first, &" ".repeat(first.chars().count())),
        }
    }

    /// A command on a line of its own, whatever its length: it is there to be copied.
    pub fn command(&mut self, command: &str) {
        self.line("", &format!("      {command}"));
    }

    /// A line as it is.
    pub fn line(&mut self, color: &str, line: &str) {
        let line = line.trim_end();
        match self.is_color && !color.is_empty() {
            true => self.text.push_str(&format!("{color}{line}{RESET}\n")),
            false => self.text.push_str(&format!("{line}\n")),
        }
    }

    /// A row of a table, emphasised or not.
    pub fn row(&mut self, is_strong: bool, line: &str) {
        self.line(if is_strong { BOLD } else { "" }, line);
    }

    /// The head of a table.
    pub fn columns(&mut self, line: &str) {
        self.line(DIM, line);
    }

    fn wrapped(&mut self, color: &str, text: &str, first: &str, rest: &str) {
        let width = WIDTH - first.chars().count().max(rest.chars().count());
        for (index, line) in broken(text, width).iter().enumerate() {
            let indent = if index == 0 { first } else { rest };
            self.line(color, &format!("{indent}{line}"));
        }
    }
}

/// Breaks a text at spaces into lines of at most this width. A word that is longer is broken where the line ends.
pub fn broken(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let letters: Vec<char> = word.chars().collect();
        for piece in letters.chunks(width) {
            let piece: String = piece.iter().collect();
            match lines.last_mut() {
                Some(line) if line.chars().count() + 1 + piece.chars().count() <= width => {
                    line.push(' ');
                    line.push_str(&piece);
                }
                _ => lines.push(piece),
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_break_at_spaces_and_long_words_anywhere() {
        assert_eq!(broken("one two three", 7), ["one two", "three"]);
        assert_eq!(
            broken("a /very/long/path", 6),
            ["a", "/very/", "long/p", "ath"]
        );
        assert!(broken("", 10).is_empty());
    }

    #[test]
    fn commands_are_never_broken_and_all_else_is() {
        let mut page = Page::new(false);
        let command = "sysctl -w ".repeat(20);
        page.command(&command);
        page.labelled("read", &"word ".repeat(40));
        page.item(&"x".repeat(200));
        let text = page.into_text();
        let (first, rest) = text.split_once('\n').unwrap();
        assert_eq!(first.trim(), command.trim());
        assert!(
            rest.lines().all(|line| line.chars().count() <= WIDTH),
            "{rest}"
        );
    }

    #[test]
    fn colour_is_only_where_it_is_wanted() {
        for is_color in [false, true] {
            let mut page = Page::new(is_color);
            page.strong("a");
            page.labelled("b", "");
            assert_eq!(page.into_text().contains('\x1b'), is_color);
        }
    }
}
