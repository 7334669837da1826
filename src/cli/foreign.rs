//! A server that is another program.

use clap::Args;
use fourtuple_spec::case::Foreign;

/// A server that is another program.
#[derive(Args, Debug)]
pub struct ForeignServer {
    /// Another program as the server: {port} and {address} stand for where it is to listen.
    #[arg(long, value_name = "COMMAND", value_parser = split, conflicts_with = "engine")]
    pub server_command: Option<Words>,
    /// What it is called in records and on charts [default: its file name].
    #[arg(long, value_name = "NAME", requires = "server_command")]
    pub server_name: Option<String>,
}

/// A command, word by word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Words(pub Vec<String>);

impl ForeignServer {
    /// The program, if one is named.
    pub fn program(&self) -> Option<Foreign> {
        let command = self.server_command.as_ref()?.0.clone();
        Some(Foreign {
            name: self.server_name.clone().unwrap_or_default(),
            command,
        })
    }
}

/// Words as a shell has them, without its other powers: parted by blanks, which quotes of either kind keep.
fn split(command: &str) -> Result<Words, String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for letter in command.chars() {
        match quote {
            Some(open) if open == letter => quote = None,
            None if letter.is_whitespace() => words.extend(word.take()),
            None if letter == '\'' || letter == '"' => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    match (quote, words.is_empty()) {
        (Some(open), _) => Err(format!("the quote {open} is not closed")),
        (None, true) => Err("it names no program: \"my-server {port}\"".to_owned()),
        (None, false) => Ok(Words(words)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blanks_part_words_and_quotes_keep_them() {
        let of = |text| split(text).unwrap().0;
        assert_eq!(of("  nc  -l\t{port} "), ["nc", "-l", "{port}"]);
        let script = "sh -c 'echo \"a b\"; exec x' ''";
        assert_eq!(of(script), ["sh", "-c", "echo \"a b\"; exec x", ""]);
        assert_eq!(of("a\" b\"c"), ["a bc"]);
    }

    #[test]
    fn what_is_no_command_is_refused() {
        assert!(split("a 'b").unwrap_err().contains("is not closed"));
        assert!(split(" ").unwrap_err().contains("names no program"));
    }
}
