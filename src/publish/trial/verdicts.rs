//! The verdicts as a table.

use super::super::markdown::{self, escape};
use fourtuple_spec::Trial;

/// More characters of what was measured are for the claim's section.
const MEASURED_MOST: usize = 220;

/// One claim a row: what is said, the verdict, what was measured. Each id links to its section of the page at `link`,
/// or of this page where there is none.
pub fn table(trial: &Trial, link: Option<&str>) -> String {
    let headings = ["what is said", "verdict", "what was measured"].map(str::to_owned);
    let page = link.map_or_else(String::new, |link| format!("{link}/README.md"));
    let rows = trial.claims.iter().map(|tried| {
        let words = tried.measured.as_ref().unwrap_or(&tried.why);
        vec![
            format!(
                "{} ([{id}]({page}#{id}))",
                escape(&tried.claim),
                id = tried.id
            ),
            format!("**{}**", tried.verdict.name()),
            escape(shortened(words)),
        ]
    });
    markdown::words(&headings, &rows.collect::<Vec<_>>())
}

/// As many whole sentences as there is room for, and the first in any case.
fn shortened(words: &str) -> &str {
    if words.chars().count() <= MEASURED_MOST {
        return words;
    }
    let ends = words.match_indices(". ").map(|(end, _)| end + 1);
    let is_short = |end: &usize| words[..*end].chars().count() <= MEASURED_MOST;
    let last = ends.clone().take_while(is_short).last();
    last.or(ends.clone().next())
        .map_or(words, |end| &words[..end])
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn each_claim_is_a_row_that_links_to_its_section() {
        let text = table(&fixture::trial(), Some("results/day"));
        let rows: Vec<&str> = text.lines().collect();
        assert_eq!(rows.len(), 4);
        assert_eq!(
            rows[2],
            "| What is said of client-ports \\| and &lt;more&gt;. \
             ([client-ports](results/day/README.md#client-ports)) | **refuted** | 100,000 were held. |"
        );
        assert!(
            rows[3].ends_with("| **not run** | Because of it. |"),
            "{text}"
        );
        assert!(table(&fixture::trial(), None).contains("([memory](#memory))"));
    }

    #[test]
    fn what_was_measured_is_cut_after_a_sentence_alone() {
        let sentence = format!("Of 127.0.0.1 {}µ.", "x".repeat(84));
        let three = [&sentence[..]; 3].join(" ");
        assert_eq!(shortened(&three), [&sentence[..]; 2].join(" "));
        let long = format!("A first one that is long: {}.", "1.5 µs, ".repeat(40));
        assert_eq!(shortened(&format!("{long} Then another.")), long);
        assert_eq!(shortened(&long), long);
        assert_eq!(shortened(&sentence), sentence);
        let mut trial = fixture::trial();
        trial.claims[0].measured = Some(three.clone());
        assert!(!table(&trial, None).contains(&three));
    }
}
